//! docs/metrics.md, made from what the exporter prints about itself: families, their types, labels and
//! help. In: a running sidecar, a publisher's and a controller's metrics. What to worry about is
//! written by hand, in the last column; `UPDATE=1` writes the others and leaves that alone.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;
#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/processes.rs"]
mod processes;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use api::Api;
use kong::Kong;
use kong_metrics_exporter::cluster::board::Board;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kong_metrics_exporter::mapping;
use kong_metrics_exporter::metrics::{Controlling, Publishing, Reloads};
use regex::Regex;

#[tokio::test]
async fn the_page_of_metrics_is_what_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let before = fs::read_to_string(&path).unwrap();
    let (sidecars, rest) = before.split_once(PUBLISHERS).unwrap();
    let (publishers, controllers) = rest.split_once(CONTROLLERS).unwrap();

    let mut all = Vec::new();
    let metrics = Publishing::new(&["kong".to_owned()], &Reloads::default(), None);
    metrics.append(&mapping::Current::awaiting(), &mut all);
    let of_publisher = Own::read(str::from_utf8(&all).unwrap());
    let mut all = Vec::new();
    Controlling::new(&Board::default()).append(&mut all);
    let mut of_controller = Own::read(str::from_utf8(&all).unwrap());
    // The others are those of the sidecar's table.
    of_controller.families.retain(|family| family.name.contains("_controller_"));
    let after = [
        own_metrics().await.tables(sidecars),
        PUBLISHERS.to_owned(),
        of_publisher.tables(publishers),
        CONTROLLERS.to_owned(),
        of_controller.tables(controllers),
    ]
    .concat();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &after).unwrap();
    }
    let unexplained = after.lines().find(|line| line.ends_with("|  |"));
    assert_eq!(unexplained, None, "the last column is written by hand");
    let is = fs::read_to_string(path).unwrap();
    assert!(is == after, "UPDATE=1 cargo test --test docs_metrics");
}

/// What an exporter prints about itself.
struct Own {
    /// In order.
    families: Vec<Family>,
    /// Names with labels, as printed.
    series: Vec<String>,
}

struct Family {
    name: String,
    kind: String,
    labels: Vec<String>,
    help: String,
}

impl Own {
    /// Read from what is printed.
    fn read(all: &str) -> Self {
        let mut own = Self { families: Vec::new(), series: Vec::new() };
        let mut help = String::new();
        let label = Regex::new("([a-z_]+)=\"").unwrap();
        for line in all.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let text = rest.split_once(' ').unwrap().1;
                help = text.trim_end_matches('.').replace("\\\\", "\\");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let (name, kind) = (name.to_owned(), kind.to_owned());
                let help = std::mem::take(&mut help);
                own.families.push(Family { name, kind, labels: Vec::new(), help });
            } else {
                let series = line.rsplit_once(' ').unwrap().0;
                own.series.push(series.to_owned());
                let labels = series.split_once('{').map_or("", |(_, labels)| labels);
                let labels = label.captures_iter(labels).map(|found| found[1].to_owned());
                let labels = labels.filter(|label| label != "le").collect();
                own.families.last_mut().unwrap().labels = labels;
            }
        }
        own
    }

    /// A part of the page with its tables as they should be: the first of families, a second one, if
    /// there is one, of series whose labels have fixed values.
    fn tables(&self, part: &str) -> String {
        let by_hand: BTreeMap<_, _> = part.lines().filter_map(by_hand).collect();
        let last = |first: &str| by_hand.get(first).copied().unwrap_or_default();
        let families = self.families.iter().map(|Family { name, kind, labels, help }| {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            let labels = if labels.is_empty() { labels } else { format!(" {labels}") };
            let (first, help) = (format!("`{name}`"), help.replace('|', "\\|"));
            format!("| {first} | {kind} |{labels} | {help} | {} |\n", last(&first))
        });
        let is_fixed = |series: &&String| {
            let labels = ["reason", "stage", "result", "state"];
            labels.iter().any(|label| series.contains(&format!("{{{label}=\"")))
        };
        // In the order of the page, for what is printed has none; what is new comes last.
        let place = |series: &str| part.find(&format!("| `{series}` |")).unwrap_or(usize::MAX);
        let mut series: Vec<_> = self.series.iter().filter(is_fixed).collect();
        series.sort_by_key(|series| (place(series), (*series).clone()));
        let series = series.into_iter().map(|series| {
            let first = format!("`{series}`");
            format!("| {first} | {} |\n", last(&first))
        });
        let (families, series) = (families.collect::<String>(), series.collect::<String>());
        let mut after = String::new();
        let mut made = None;
        for line in part.split_inclusive('\n') {
            match made {
                Some(rows) if line.starts_with("| ---") => after += &format!("{line}{rows}"),
                Some(_) if line.starts_with('|') => {}
                _ => {
                    made = match line.split(' ').nth(1) {
                        Some("name") => Some(&families),
                        Some("series") => Some(&series),
                        _ => None,
                    };
                    after += line;
                }
            }
        }
        after
    }
}

/// Of a row: its first cell, and its last one, which is written by hand.
fn by_hand(row: &str) -> Option<(&str, &str)> {
    let cells = row.strip_prefix("| ")?.strip_suffix(" |")?;
    let (first, rest) = cells.split_once(" | ")?;
    Some((first, rest.rsplit_once(" | ").map_or(rest, |(_, last)| last)))
}

/// Of a Kong whose one service two Services share, so that there is nothing that is not shown.
async fn own_metrics() -> Own {
    let shared = "kong_http_requests_total{service=\"httproute.a.svc.a.b.80.90_a.c.80.10\"} 7\n";
    let kong = Kong::start(kong::good(shared)).await;
    let api = Api::start(&[ObjectKind::Service]).await;
    let kubeconfig = api.kubeconfig();
    let flag = format!("--kubernetes.kubeconfig={}", kubeconfig.0.display());
    let exporter = processes::exporter(&kong.url(), &["--mapping=watch", &flag]).await;
    while http::get(exporter.address, "/readyz", &[]).await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = http::get(exporter.address, "/metrics", &[]).await;
    Own::read(answer.text().strip_prefix(&answer.kongs()).unwrap())
}

const PUBLISHERS: &str = "\n## Those of `publish`\n";
const CONTROLLERS: &str = "\n## Those of `controller`\n";
