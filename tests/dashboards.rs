//! What dashboards and rules ask for. In: the queries in deploy/monitoring. Asserted: each metric and
//! label that they name is one that a sidecar, a publisher or Prometheus' discovery gives, and
//! Prometheus' own parser takes the query.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/rewriting.rs"]
#[allow(dead_code)] // other tests use the rest
mod rewriting;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kong_metrics_exporter::demo::{MAPPING_FILE, Simulation};
use kong_metrics_exporter::rewrite::LabelNames;
use regex::Regex;
use serde_json::{Value, json};

use crate::rewriting::Setup;

#[test]
fn metrics_and_labels_that_are_asked_for_are_there() {
    let printed = printed(&LabelNames::default());
    let mut asked = 0;
    for query in queries() {
        let of = format!("{}: {}", query.from, query.text);
        let names = query.names();
        assert!(!names.is_empty(), "{of} asks for nothing");
        let labels: BTreeSet<_> = names
            .iter()
            .flat_map(|name| printed.get(name).unwrap_or_else(|| panic!("no {name}: {of}")))
            .collect();
        for label in query.labels() {
            assert!(labels.contains(&label), "{names:?} have no label {label}: {of}");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
}

#[test]
fn prometheus_takes_every_query() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!(
            "not run: queries of dashboards: no promtool in PATH (Debian's package prometheus)"
        );
        return;
    }
    let rules = queries().into_iter().enumerate().map(|(i, query)| {
        let text = query.text.replace("$__rate_interval", "1m");
        json!({"record": format!("query:{i}"), "expr": text})
    });
    let rules = json!({"groups": [{"name": "queries", "rules": rules.collect::<Vec<_>>()}]});
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("queries-of-dashboards.yaml");
    fs::write(&file, rules.to_string()).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
}

/// Kong's own dashboard lists and filters by these; most of its panels by `service`.
#[test]
fn kongs_own_dashboard_has_its_labels_with_the_label_service() {
    let names = LabelNames::new("exported_service", "exported_namespace", "service").unwrap();
    let printed = printed(&names);
    for (metric, labels) in [
        ("kong_http_requests_total", "service route code source workspace consumer"),
        ("kong_bandwidth_bytes", "service route direction workspace consumer"),
        ("kong_kong_latency_ms_bucket", "service route le workspace"),
        ("kong_request_latency_ms_bucket", "service route le workspace"),
        ("kong_upstream_latency_ms_bucket", "service route le workspace"),
        ("kong_upstream_target_health", "upstream target address state subsystem"),
        ("kong_nginx_connections_total", "state subsystem"),
        ("kong_memory_lua_shared_dict_bytes", "shared_dict kong_subsystem"),
        ("kong_memory_workers_lua_vms_bytes", "pid kong_subsystem"),
        ("kong_datastore_reachable", ""),
    ] {
        for label in labels.split_whitespace() {
            assert!(printed[metric].contains(label), "{metric} has no {label}");
        }
    }
}

/// A query, and the labels that its legend shows.
struct Query {
    from: String,
    text: String,
    shown: Vec<String>,
}

impl Query {
    /// Of the metrics.
    fn names(&self) -> BTreeSet<String> {
        let several = found(r#"__name__=~"([a-z_|]+)""#, &self.text);
        let several = several.iter().flat_map(|names| names.split('|').map(str::to_owned));
        // What stands in quotes, in braces and behind `by` is no name.
        let other = r#""[^"]*"|\b(?:by|on)\s*\([^)]*\)|\{[^{}]*\}"#;
        let bare = Regex::new(other).unwrap().replace_all(&self.text, "").into_owned();
        let own =
            found(r"\b((?:kong|process|kube|exported_service:kong)_\w+(?::\w+)?|up)\b", &bare);
        several.chain(own).collect()
    }

    fn labels(&self) -> BTreeSet<String> {
        let matched = found(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*""#, &self.text).into_iter();
        let grouped = found(r"\b(?:by|on)\s*\(([^)]*)\)", &self.text);
        let grouped = grouped.iter().flat_map(|labels| labels.split(',')).map(str::trim);
        let grouped = grouped.map(str::to_owned);
        let all = matched.chain(grouped).chain(self.shown.iter().cloned());
        all.filter(|name| name != "__name__").collect()
    }
}

/// Of the dashboards' panels and variables, and of the rules.
fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    let folder = root().join("deploy/monitoring/dashboards");
    let mut dashboards = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        dashboards += 1;
        let from = path.file_name().unwrap().to_str().unwrap().to_owned();
        let board: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(board["id"], Value::Null, "{from}: an id is of one Grafana");
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let legend = target["legendFormat"].as_str().unwrap();
                queries.push(Query {
                    from: format!("{from}: {}", panel["title"]),
                    text: target["expr"].as_str().unwrap().to_owned(),
                    shown: found(r"\{\{(\w+)\}\}", legend),
                });
            }
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let values = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
            let (text, label) = values.unwrap().rsplit_once(", ").unwrap();
            let from = format!("{from}: {}", variable["name"]);
            let shown = vec![label.to_owned()];
            queries.push(Query { from, text: text.to_owned(), shown });
        }
    }
    assert_eq!(dashboards, 4);
    let rules = fs::read_to_string(root().join("deploy/monitoring/rules/rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    for rule in rules["spec"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|g| g["rules"].as_array().unwrap())
    {
        let text = rule["expr"].as_str().unwrap().to_owned();
        let told = rule["annotations"].to_string();
        let shown = found(r"\$labels\.(\w+)", &told);
        queries.push(Query {
            from: format!("rule {}{}", rule["alert"], rule["record"]),
            text,
            shown,
        });
    }
    queries
}

/// The names of samples, and their labels with those of the target.
fn printed(labels: &LabelNames) -> BTreeMap<String, BTreeSet<String>> {
    let mut simulation = Simulation::new(1);
    simulation.advance(Duration::from_secs(60));
    let kongs = format!("{simulation}{HEALTH}");
    let setup = Setup { labels: labels.clone(), ..Setup::mapping_file(MAPPING_FILE) };
    let outcome = setup.rewrite(kongs);
    assert!(outcome.whole);
    let mut printed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let text = String::from_utf8(outcome.text).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        printed.entry(name.to_owned()).or_default().extend(found(r#"([a-z_]+)=""#, line));
    }
    // The exporter's own, of which tests/docs_metrics.rs shows that the tables have them all.
    let tables = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `(\w+)` \| (\w+) \| ([^|]*)\|").unwrap();
    for row in row.captures_iter(&tables) {
        let mut labels: BTreeSet<_> = found(r"`(\w+)`", &row[3]).into_iter().collect();
        if labels.contains("namespace") {
            labels.insert("exported_namespace".to_owned());
        }
        let names = match &row[2] {
            "histogram" => {
                ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", &row[1])).to_vec()
            }
            _ => vec![row[1].to_owned()],
        };
        if row[2] == *"histogram" {
            labels.insert("le".to_owned());
        }
        for name in names {
            printed.entry(name).or_default().extend(labels.clone());
        }
    }
    // Of Prometheus itself, of kube-state-metrics, and what the rules record.
    printed.insert("up".to_owned(), BTreeSet::new());
    for name in ["current", "desired"] {
        let name = format!("kube_horizontalpodautoscaler_status_{name}_replicas");
        printed.insert(name, BTreeSet::from(["horizontalpodautoscaler".to_owned()]));
    }
    let recorded = [
        "kong_http_requests:rate1m",
        "kong_upstream_latency_ms:p95_2m",
        "kong_http_errors:ratio2m",
    ];
    let of = ["exported_namespace", "exported_service"].map(str::to_owned);
    printed.extend(recorded.map(|name| (format!("exported_service:{name}"), of.clone().into())));
    let target = ["namespace", "pod", "container", "job", "instance", "endpoint"];
    for labels in printed.values_mut() {
        labels.extend(target.map(str::to_owned));
    }
    printed
}

/// A family that the make-believe Kong does not have.
const HEALTH: &str = "\
# HELP kong_upstream_target_health Health status of targets of upstream.
# TYPE kong_upstream_target_health gauge
kong_upstream_target_health{upstream=\"echo.default.80.svc\",target=\"10.0.0.1:80\",address=\"10.0.0.1:80\",state=\"healthy\",subsystem=\"http\"} 1
";

/// What the first group of a pattern takes, each time.
fn found(pattern: &str, text: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
