//! A real Prometheus scrapes the built sidecar in front of a make-believe Kong. In: recorded output
//! of Kong, and the target labels that ServiceMonitors and PodMonitors give. Asserted: what
//! Prometheus has stored, down to the last label, and what the autoscaling tutorial's query says.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/processes.rs"]
mod processes;
#[allow(dead_code)] // the recordings' tests read Kong's own
#[path = "common/reader.rs"]
mod reader;
#[path = "common/shared.rs"]
mod shared;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use kong::{HEAD, Kong, Step, good, send_text};
use kong_metrics_exporter::demo::COMMAND;
use processes::{Prometheus, exporter, prometheus_programs, until};
use serde_json::{Value, json};

#[tokio::test]
async fn all_kinds_of_targets_give_the_same_series_and_the_tutorials_query_a_value() {
    for program in prometheus_programs() {
        let kong = Kong::start(good(&body(0))).await;
        let ours = exporter(&kong.url(), &[]).await;
        // As Kong Operator's own exporter names them: what it takes to see why ours are not so.
        let raw = ["--label.service=service", "--label.namespace=namespace"];
        let raw = exporter(&kong.url(), &raw).await;
        let jobs = CASES
            .iter()
            .flat_map(|case| [case.job("exported", ours.address), case.job("raw", raw.address)]);
        let prometheus = Prometheus::start(&program, jobs.collect()).await;

        let by_kongs_name = format!("kong_service=\"{COMMAND}\"");
        let mut load = 0;
        let exported = until("a value in all cases", async || {
            load += 1;
            kong.answers(good(&body(load)));
            let exported = latencies(&prometheus, "exported", OF_COMMAND).await;
            let raw = latencies(&prometheus, "raw", &by_kongs_name).await;
            [&exported, &raw].iter().all(|all| all.iter().all(Option::is_some)).then_some(exported)
        })
        .await;
        for latency in exported.into_iter().flatten() {
            assert!((latency - MILLISECONDS).abs() < 1e-9, "{latency}");
        }
        // Only where Prometheus happens to rename them.
        let raw = latencies(&prometheus, "raw", OF_COMMAND).await;
        assert_eq!(raw.map(|latency| latency.is_some()), [true, false, false, false]);

        let direct = http::get(ours.address, "/metrics", &[]).await;
        let sent = reader::samples(&direct.body).len() as f64;
        let sent_of_kongs = reader::samples(direct.kongs().as_bytes()).len() as f64;
        for case in &CASES {
            let job = case.name("exported");
            let one = |selector: &str| format!("{selector}{{job=\"{job}\"}}");
            assert_eq!(prometheus.value(&one("up")).await, Some(1.0), "{job}");

            let query = format!("kong_upstream_latency_ms_count{{job=\"{job}\",{OF_COMMAND}}}");
            let stored = prometheus.query(&query).await;
            let stored: Vec<_> = stored.into_iter().map(|element| element.labels).collect();
            assert_eq!(stored, [case.stored_labels(&job)], "{job}");

            let series = prometheus.query(&adapter_series(&job)).await;
            let commands =
                series.iter().filter(|found| found.labels["exported_service"] == "command");
            let mut commands: Vec<_> = commands.map(|found| &found.labels["__name__"]).collect();
            commands.sort();
            assert_eq!(
                commands,
                ["kong_upstream_latency_ms_count", "kong_upstream_latency_ms_sum"],
                "{job}"
            );

            // As many samples as were sent, and as many series as samples: none came twice.
            assert_eq!(prometheus.value(&one("scrape_samples_scraped")).await, Some(sent), "{job}");
            let others = "__name__!~\"up|scrape_.+\"";
            let series = prometheus.value(&format!("count({{job=\"{job}\",{others}}})")).await;
            assert_eq!(series, Some(sent), "{job}");
            let said = format!("kong_exporter_series{{job=\"{job}\",stage=\"out\"}}");
            assert_eq!(prometheus.value(&said).await, Some(sent_of_kongs), "{job}");
        }
        complains_of_nothing(&prometheus).await;
    }
}

#[tokio::test]
async fn a_kong_that_is_down_leaves_the_target_up_and_its_series_stale() {
    for program in prometheus_programs() {
        let kong = Kong::start(good(&body(1))).await;
        let ours = exporter(&kong.url(), &[]).await;
        let prometheus = Prometheus::start(&program, vec![CASES[2].job("x", ours.address)]).await;
        let kongs = "count({__name__=~\"kong_.+\",__name__!~\"kong_exporter_.+\"})";
        let before =
            until("kong's series", async || Some(prometheus.value(kongs).await? as usize)).await;
        assert_eq!(before, reader::samples(body(1).as_bytes()).len());

        let address = kong.address;
        kong.answers(vec![Step::Close]);
        until("no connection to kong", async || (kong.open() == 0).then_some(())).await;
        kong.stop_listening().await;
        until("down, and known to be", async || {
            let told = "up == 1 and on(job) kong_exporter_kong_up == 0";
            prometheus.value(told).await?;
            prometheus.value(kongs).await.is_none().then_some(())
        })
        .await;
        let connect = "kong_exporter_kong_errors_total{reason=\"connect\"} > 0";
        until("the reason", async || prometheus.value(connect).await).await;

        let _kong = Kong::start_at(address, good(&body(2))).await;
        until("kong's series again", async || {
            prometheus.value("kong_exporter_kong_up == 1").await?;
            (prometheus.value(kongs).await? as usize == before).then_some(())
        })
        .await;
        complains_of_nothing(&prometheus).await;
    }
}

#[tokio::test]
async fn of_an_answer_that_kong_breaks_off_nothing_is_stored() {
    for program in prometheus_programs() {
        let kong = Kong::start(good(&body(1))).await;
        let ours = exporter(&kong.url(), &[]).await;
        let prometheus = Prometheus::start(&program, vec![CASES[2].job("x", ours.address)]).await;
        let everything = "count({job!=\"\",__name__!~\"up|scrape_.+\"})";
        for cut in [cut_between_chunks(), cut_in_a_number()] {
            until("a whole scrape", async || {
                prometheus.value("up == 1").await?;
                prometheus.value(everything).await
            })
            .await;
            kong.answers(cut);
            // The first part does go out: that it is a part has to show.
            let direct = http::get(ours.address, "/metrics", &[]).await;
            assert!(direct.status() == 200 && !direct.is_whole, "{direct:?}");
            assert!(direct.text().contains(ONLY_IN_THE_CUT), "{direct:?}");
            until("a failed scrape", async || prometheus.value("up == 0").await).await;
            assert_eq!(prometheus.value("scrape_samples_scraped").await, Some(0.0));
            assert_eq!(prometheus.value(everything).await, None);
            kong.answers(good(&body(2)));
        }
        let reason = "kong_exporter_kong_errors_total{reason=\"truncated\"} >= 2";
        until("the reason", async || prometheus.value(reason).await).await;
        let ever = format!("count_over_time({ONLY_IN_THE_CUT}[1h])");
        assert_eq!(prometheus.query(&ever).await, []);
        let most = format!("max_over_time(kong_upstream_latency_ms_count{{{OF_COMMAND}}}[1h])");
        assert_eq!(prometheus.value(&most).await, Some(f64::from(2 * REQUESTS)));
        complains_of_nothing(&prometheus).await;
    }
}

/// How a target is found, and what of its labels wins.
struct Case {
    is_service_monitor: bool,
    honor_labels: bool,
}

const CASES: [Case; 4] = [
    Case { is_service_monitor: true, honor_labels: false },
    Case { is_service_monitor: true, honor_labels: true },
    Case { is_service_monitor: false, honor_labels: false },
    Case { is_service_monitor: false, honor_labels: true },
];

impl Case {
    fn name(&self, what: &str) -> String {
        let monitor = if self.is_service_monitor { "ServiceMonitor" } else { "PodMonitor" };
        format!("{what} {monitor} {}", self.honor_labels)
    }

    /// As Prometheus Operator v0.85 writes them.
    fn target_labels(&self) -> BTreeMap<&'static str, &'static str> {
        let mut labels = BTreeMap::from([
            ("namespace", "kong-system"),
            ("pod", "dataplane-7c9d8-x2x4z"),
            ("container", "metrics-exporter"),
            ("endpoint", "enriched"),
        ]);
        if self.is_service_monitor {
            labels.insert("service", "dataplane-metrics");
        }
        labels
    }

    fn job(&self, what: &str, address: SocketAddr) -> Value {
        json!({
            "job_name": self.name(what),
            "honor_labels": self.honor_labels,
            "static_configs": [{"targets": [address.to_string()], "labels": self.target_labels()}],
            "relabel_configs": [{"target_label": "instance", "replacement": INSTANCE}],
        })
    }

    /// All labels of the Service's `kong_upstream_latency_ms_count`.
    fn stored_labels(&self, job: &str) -> BTreeMap<String, String> {
        let mut labels = self.target_labels();
        labels.extend([
            ("__name__", "kong_upstream_latency_ms_count"),
            ("exported_namespace", "kong"),
            ("exported_service", "command"),
            ("instance", INSTANCE),
            ("job", job),
            ("kong_service", COMMAND),
            ("kubernetes_apiversion", "v1"),
            ("kubernetes_kind", "service"),
            ("kubernetes_name", "command"),
            ("kubernetes_namespace", "kong"),
            ("route", ROUTE),
            ("workspace", "default"),
        ]);
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// What the tutorial's query says of each case, with these matchers besides the job's.
async fn latencies(prometheus: &Prometheus, what: &str, matchers: &str) -> [Option<f64>; 4] {
    let mut all = [None; 4];
    for (latency, case) in all.iter_mut().zip(&CASES) {
        let matchers = format!("job=\"{}\",{matchers}", case.name(what));
        let query = TUTORIALS_QUERY.replace("<<.LabelMatchers>>", &matchers);
        // The subquery's steps are 10 s apart. One has to pass; the next need not be waited for.
        let result = prometheus.query_in(&query, Duration::from_secs(10)).await;
        assert!(result.len() <= 1, "{result:?}");
        *latency = result.first().map(|element| element.value).filter(|value| !value.is_nan());
    }
    all
}

/// What prometheus-adapter looks for, in one job.
fn adapter_series(job: &str) -> String {
    format!(
        "{{__name__=~\"^kong_upstream_latency_ms_(sum|count)\",kubernetes_namespace!=\"\",\
         kubernetes_name!=\"\",kubernetes_kind!=\"\",job=\"{job}\"}}"
    )
}

/// What Prometheus drops it counts, if not always here: see the number of series above.
async fn complains_of_nothing(prometheus: &Prometheus) {
    let text = prometheus.metrics().await;
    let samples = reader::samples(text.as_bytes());
    for counter in [
        "prometheus_tsdb_out_of_order_samples_total",
        "prometheus_target_scrapes_sample_duplicate_timestamp_total",
        "prometheus_target_scrapes_sample_out_of_order_total",
        "prometheus_target_scrapes_sample_out_of_bounds_total",
    ] {
        let counts = samples.iter().filter(|sample| sample.labels["__name__"] == counter);
        let counts: Vec<_> = counts.map(|sample| sample.value.as_str()).collect();
        assert!(
            !counts.is_empty() && counts.iter().all(|count| *count == "0"),
            "{counter} {counts:?}"
        );
    }
}

/// [`RECORDING`], in which the tutorial's Service has had `load` times [`REQUESTS`] requests.
fn body(load: u32) -> String {
    let is = |line: &str, suffix: &str| {
        line.starts_with(&format!("kong_upstream_latency_ms_{suffix}{{service=\"{COMMAND}\""))
    };
    let lines = RECORDING.lines().map(|line| match line.rsplit_once(' ') {
        Some((series, _)) if is(line, "count") => format!("{series} {}\n", load * REQUESTS),
        Some((series, _)) if is(line, "sum") => {
            format!("{series} {}\n", f64::from(load * REQUESTS) * MILLISECONDS)
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// What Kong printed for two services, or would have for five. One of them gets the names that the
/// tutorial's HTTPRoute and its rule become in Kong.
static RECORDING: LazyLock<String> = LazyLock::new(|| {
    let folder = shared::recordings("Prometheus on recorded output; on generated output instead");
    let (recording, name) = match folder {
        Some(folder) => (folder.join("tiny-3.10.txt"), "httproute.default.echo.0"),
        None => ("tests/data/generated-oss.txt".into(), "grpcroute.legacy.billing-6.3"),
    };
    let text = std::fs::read_to_string(recording).unwrap();
    let text = text.replace(&format!("\"{name}.0\""), &format!("\"{ROUTE}\""));
    text.replace(&format!("\"{name}\""), &format!("\"{COMMAND}\""))
});

/// The head and half of a body that is larger than what anyone buffers, and no more.
fn cut_between_chunks() -> Vec<Step> {
    vec![send_text(format!("{HEAD}{}", kong::chunks(&first_part()))), Step::Close]
}

/// Here the last line reads well: it is only not what Kong wanted to say.
fn cut_in_a_number() -> Vec<Step> {
    let part = format!("{}kong_{ONLY_IN_THE_CUT}_too 12", first_part());
    let announced = part.len() + 100;
    vec![send_text(format!("{HEAD}{announced:x}\r\n{part}")), Step::Close]
}

fn first_part() -> String {
    let text = body(1000);
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let half = lines[..lines.len() / 2].concat();
    format!("{ONLY_IN_THE_CUT} 1\n{half}{}", kong::exposition(2_000))
}

const ONLY_IN_THE_CUT: &str = "only_in_the_cut";

const ROUTE: &str = "httproute.kong.command.0.0";
const OF_COMMAND: &str = "exported_namespace=\"kong\",exported_service=\"command\"";
const INSTANCE: &str = "10.0.0.7:9542";

/// The mean that the tutorial shows.
const MILLISECONDS: f64 = 102.312;
/// So many take a whole number of milliseconds.
const REQUESTS: u32 = 125;

/// The metricsQuery of the rule for prometheus-adapter.
const TUTORIALS_QUERY: &str = "\
    sum by (exported_service) (rate(kong_upstream_latency_ms_sum{<<.LabelMatchers>>}[60s:10s])) / \
    sum by (exported_service) (rate(kong_upstream_latency_ms_count{<<.LabelMatchers>>}[60s:10s]))";
