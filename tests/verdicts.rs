//! What three real parsers said of 111 inputs, held against the rewriter. In: `cases.jsonl` (input,
//! the series that Prometheus' textparse reads, its error or none). Asserted: a line that
//! Prometheus reads passes, a line it refuses does not, and what passes is what it read.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

#[allow(dead_code)] // each test takes what it needs
#[path = "common/reader.rs"]
mod reader;
#[allow(dead_code)] // each test takes what it needs
#[path = "common/rewriting.rs"]
mod rewriting;
#[path = "common/shared.rs"]
mod shared;

use std::collections::BTreeMap;

use kong_metrics_exporter::exposition::grammar::Dialect;
use rewriting::Setup;

/// Inputs that Prometheus accepts and the rewriter does not pass whole, and why.
const STRICTER: [(&str, &str); 2] = [
    ("service-twice", "a label twice takes the whole scrape down in Prometheus 2"),
    ("invalid-utf8-comment", "the answer says it is UTF-8, and Python's parser refuses the body"),
];

#[test]
fn every_recorded_verdict_is_met() {
    let Some(folder) = shared::recordings("recorded verdicts") else { return };
    let text = std::fs::read_to_string(folder.join("variants/cases.jsonl")).unwrap();
    let mut checked = 0;
    for line in text.lines() {
        check(&serde_json::from_str(line).unwrap());
        checked += 1;
    }
    assert_eq!(checked, 111);
}

fn check(case: &serde_json::Value) {
    let name = case["name"].as_str().unwrap();
    let openmetrics = case["content_type"].as_str().unwrap().starts_with("application/openmetrics");
    let dialect = if openmetrics { Dialect::OpenMetrics } else { Dialect::Text };
    let input = match case["input_text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64(case["input_b64"].as_str().unwrap()),
    };
    let outcome = Setup { dialect, ..Setup::default() }.rewrite(&input);
    let stricter = STRICTER.iter().any(|(stricter, _)| *stricter == name);
    let accepted = case.get("prometheus_error").is_none();
    let lost: u64 = outcome.stats.dropped_lines();
    if accepted && !stricter {
        // Only metadata may go: a second HELP or TYPE, which Go's other parser refuses.
        let first = &outcome.stats.first_drop;
        assert!(first.is_none(), "{name}: accepted by Prometheus, dropped here: {first:?}");
    } else {
        assert!(lost > 0 || !outcome.whole, "{name}: refused by Prometheus, passed here");
    }
    if accepted && !stricter {
        let expected: Vec<Series> =
            case["prometheus_series"].as_array().unwrap().iter().map(series).collect();
        let got: Vec<Series> = reader::samples(&outcome.text).into_iter().map(undone).collect();
        assert_eq!(got, expected, "{name}");
    }
}

/// Labels, value in Go's spelling, timestamp in milliseconds.
type Series = (BTreeMap<String, String>, String, Option<i64>);

fn series(value: &serde_json::Value) -> Series {
    let labels = value["labels"].as_object().unwrap();
    // Prometheus takes leading blanks as part of the metric's name; the rewriter removes them.
    let text = |v: &serde_json::Value| v.as_str().unwrap().trim_start_matches(' ').to_owned();
    let labels = labels.iter().map(|(k, v)| (k.clone(), text(v))).collect();
    (
        with_plain_le(labels),
        number(value["value"].as_str().unwrap()),
        value.get("ts").and_then(|ts| ts.as_i64()),
    )
}

/// Takes the exporter's labels off again.
fn undone(sample: reader::Sample) -> Series {
    let mut labels = sample.labels;
    if let Some(service) = labels.remove("kong_service") {
        for ours in
            ["kubernetes_name", "kubernetes_namespace", "kubernetes_kind", "kubernetes_apiversion"]
        {
            labels.remove(ours);
        }
        labels.remove("exported_service");
        labels.remove("exported_namespace");
        labels.insert("service".to_owned(), service);
    }
    let timestamp = sample.rest.split(" # ").next().unwrap().trim();
    let timestamp = match timestamp.split_once('.') {
        _ if timestamp.is_empty() || timestamp.starts_with('#') => None,
        Some(_) => Some((timestamp.parse::<f64>().unwrap() * 1000.0).round() as i64),
        None => Some(timestamp.parse().unwrap()),
    };
    (with_plain_le(labels), number(&sample.value), timestamp)
}

/// Prometheus 3 spells `le` its own way (`25.0`).
fn with_plain_le(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Some(le) = labels.get_mut("le") {
        *le = number(le);
    }
    labels
}

/// One spelling for equal numbers.
fn number(text: &str) -> String {
    format!("{:?}", text.parse::<f64>().unwrap())
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter_map(|b| DIGITS.iter().position(|d| *d == b)) {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
