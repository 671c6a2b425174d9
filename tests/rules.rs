//! What is asked of Prometheus: rules, alerts and the queries of autoscalers. In: the manifests in
//! deploy/. Asserted with `promtool`, whose PromQL is Prometheus': what comes out for which series.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};

#[test]
fn rules_record_and_alert_as_promised() {
    let Some(folder) = workplace("rules") else { return };
    let rules = manifest("monitoring/rules/rules.yaml")["spec"].clone();
    let rules = serde_json::to_string_pretty(&rules).unwrap();
    fs::write(folder.join("rules.yaml"), rules).unwrap();
    fs::copy(root().join("tests/promtool/rules.yaml"), folder.join("test.yaml")).unwrap();
    promtool(&folder, &["check", "rules", "--lint-fatal", "rules.yaml"]);
    promtool(&folder, &["test", "rules", "test.yaml"]);
}

/// Busy, idle, never asked, and without a sidecar that answers: the last must not look like idle.
#[test]
fn a_scaled_object_tells_idleness_from_an_outage() {
    let Some(folder) = workplace("scaled-object") else { return };
    let object = manifest("autoscaling/keda/scaledobject.yaml");
    let query = |i: usize| &object["spec"]["triggers"][i]["metadata"]["query"];
    let (concurrency, requests) = (query(0), query(1));
    let labels = r#"exported_namespace="kong",exported_service="command""#;
    let sum = |values: &str| {
        let series = format!("kong_upstream_latency_ms_sum{{{labels}}}");
        json!({"series": series, "values": values})
    };
    let count = |values: &str| {
        let series = format!("kong_http_requests_total{{{labels},code=\"503\"}}");
        json!({"series": series, "values": values})
    };
    let says = |name: &str, namespace: &str, pod: &str, value: u8| {
        let series = format!(r#"kong_exporter_{name}{{namespace="{namespace}",pod="{pod}"}}"#);
        json!({"series": series, "values": format!("{value}x40")})
    };
    let reads = |pod: &str, value: u8| says("kong_up", "kong", pod, value);
    let maps = |pod: &str, value: u8| says("mapping_ready", "kong", pod, value);
    let test = |name: &str, series: Value, in_flight: Option<f64>, rate: Option<f64>| {
        let samples = |value: Option<f64>| {
            value.map_or(json!([]), |value| json!([{"labels": "{}", "value": value}]))
        };
        json!({
            "name": name,
            "interval": "15s",
            "input_series": series,
            "promql_expr_test": [
                {"expr": concurrency, "eval_time": "5m", "exp_samples": samples(in_flight)},
                {"expr": requests, "eval_time": "5m", "exp_samples": samples(rate)},
            ],
        })
    };
    let tests = json!({"evaluation_interval": "15s", "tests": [
        // 40 a second of 100 ms each.
        test("busy", json!([sum("0+60000x40"), count("0+600x40"), reads("a", 1), maps("a", 1)]), Some(4.0), Some(40.0)),
        test("idle", json!([sum("7+0x40"), count("7+0x40"), reads("a", 1), maps("a", 1)]), Some(0.0), Some(0.0)),
        test("never asked", json!([reads("a", 1), maps("a", 1)]), Some(0.0), Some(0.0)),
        // No endpoint: Kong answers 503 and measures no latency.
        test("at zero, and asked", json!([count("0+15x40"), reads("a", 1), maps("a", 1)]), Some(0.0), Some(1.0)),
        test("one of two Kongs can be read", json!([reads("a", 1), maps("a", 1), reads("b", 0), maps("b", 1)]), Some(0.0), Some(0.0)),
        test("no sidecar answers", json!([]), None, None),
        test("no Kong can be read", json!([reads("a", 0), maps("a", 1)]), None, None),
        // What Kong says is not told apart by Services.
        test("no mapping", json!([reads("a", 1), maps("a", 0)]), None, None),
        test("one does not read, the other has no mapping", json!([reads("a", 0), maps("a", 1), reads("b", 1), maps("b", 0)]), None, None),
        test("only another gateway's sidecar answers", json!([says("kong_up", "other", "a", 1), says("mapping_ready", "other", "a", 1)]), None, None),
    ]});
    fs::write(folder.join("test.yaml"), serde_json::to_string_pretty(&tests).unwrap()).unwrap();
    promtool(&folder, &["test", "rules", "test.yaml"]);
}

/// With the adapter's placeholders filled in as it fills them in.
#[test]
fn the_adapters_queries_give_what_they_are_named_after() {
    let Some(folder) = workplace("adapter") else { return };
    let labels = r#"exported_namespace="kong",exported_service="command""#;
    let series = |name: &str, more: &str, values: &str| json!({"series": format!("{name}{{{labels}{more}}}"), "values": values});
    let series = json!([
        series("kong_upstream_latency_ms_sum", "", "0+60000x40"),
        series("kong_upstream_latency_ms_count", "", "0+600x40"),
        series("kong_upstream_latency_ms_bucket", ",le=\"100.0\"", "0+300x40"),
        series("kong_upstream_latency_ms_bucket", ",le=\"250.0\"", "0+600x40"),
        series("kong_upstream_latency_ms_bucket", ",le=\"+Inf\"", "0+600x40"),
        series("kong_http_requests_total", ",code=\"200\"", "0+600x40"),
    ]);
    let mut asked = Vec::new();
    let mut names = Vec::new();
    for (file, group) in
        [("adapter.yaml", "exported_namespace,exported_service"), ("adapter-tutorial.yaml", "")]
    {
        let rules = manifest(&format!("autoscaling/prometheus-adapter/{file}"));
        for rule in rules["rules"]["custom"].as_array().unwrap() {
            let name = rule["name"]["as"].as_str().unwrap();
            let query = rule["metricsQuery"].as_str().unwrap();
            let query = query.replace("<<.LabelMatchers>>", labels).replace("<<.GroupBy>>", group);
            let value = match name {
                "kong_upstream_concurrency" => 4.0,
                "kong_http_requests_per_second" => 40.0,
                "kong_upstream_latency_ms_average" | "kong_upstream_latency_ms_60s_average" => {
                    100.0
                }
                // Half at most 100, half at most 250: the 95th is 9/10 of the way.
                "kong_upstream_latency_ms_p95" => 235.0,
                other => panic!("{file}: {other} is new; say here what it gives"),
            };
            let kept = match group {
                "" => r#"{exported_service="command"}"#.to_owned(),
                _ => format!("{{{labels}}}"),
            };
            asked.push(json!({"expr": query, "eval_time": "5m",
                "exp_samples": [{"labels": kept, "value": value}]}));
            names.push(name.to_owned());
        }
    }
    let tests = json!({"evaluation_interval": "15s", "tests": [
        {"interval": "15s", "input_series": series, "promql_expr_test": asked}]});
    fs::write(folder.join("test.yaml"), serde_json::to_string_pretty(&tests).unwrap()).unwrap();
    promtool(&folder, &["test", "rules", "test.yaml"]);

    for file in ["hpa.yaml", "hpa-tutorial.yaml"] {
        let object = manifest(&format!("autoscaling/hpa/{file}"));
        let metric = object.pointer("/spec/metrics/0/object/metric/name").unwrap();
        assert!(names.iter().any(|name| metric == name.as_str()), "{file}: no rule gives {metric}");
    }
}

#[test]
fn metrics_of_the_exporters_own_that_are_asked_for_exist() {
    let metrics = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let metrics: BTreeSet<_> = rows.collect();
    let own = Regex::new(r"\bkong_exporter_[a-z_]+[a-z]").unwrap();
    let mut asked = 0;
    for file in files(&root().join("deploy")) {
        let text = fs::read_to_string(&file).unwrap();
        for name in own.find_iter(&text).map(|found| found.as_str()) {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(metrics.contains(name), "{}: no metric {name}", file.display());
            asked += 1;
        }
    }
    assert!(asked > 0);
}

#[test]
fn the_datadog_annotation_is_json_and_fits_the_limit_of_the_agent() {
    let patch = manifest("autoscaling/datadog/annotations.yaml");
    let annotations = "/spec/dataPlaneOptions/deployment/podTemplateSpec/metadata/annotations";
    let checks = patch.pointer(annotations).unwrap()["ad.datadoghq.com/proxy.checks"].clone();
    let checks: Value = serde_json::from_str(checks.as_str().unwrap()).unwrap();
    let instance = &checks["openmetrics"]["instances"][0];
    let endpoint = instance["openmetrics_endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with("http://%%host%%:9542/metrics?name[]="), "{endpoint}");
    // What the DatadogMetric asks for is what the check sends.
    let metric = manifest("autoscaling/datadog/datadogmetric.yaml");
    let query = metric["spec"]["query"].as_str().unwrap();
    let namespace = instance["namespace"].as_str().unwrap();
    let family = instance["metrics"][0].as_str().unwrap();
    assert!(query.starts_with(&format!("sum:{namespace}.{family}.sum{{")), "{query}");
    for tag in ["exported_namespace", "exported_service"] {
        let tag = instance["rename_labels"][tag].as_str().unwrap();
        assert!(query.contains(&format!("{tag}:")), "{query}");
    }
}

/// A folder of its own; `None`, with a line on standard output, without promtool.
fn workplace(name: &str) -> Option<PathBuf> {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("not run: rules and queries: no promtool in PATH (Debian's package prometheus)");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("promtool-{name}"));
    fs::create_dir_all(&folder).unwrap();
    Some(folder)
}

fn promtool(folder: &Path, arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&told));
}

fn manifest(path: &str) -> Value {
    let path = root().join("deploy").join(path);
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.ends_with("chart") {
                Vec::new()
            } else if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
