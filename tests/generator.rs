//! The generator of test bodies prints what Kong prints: its lines are compared with recordings of
//! Kong, and the small bodies under `tests/data` with what it prints today (`UPDATE=1` writes them).
#![allow(clippy::unwrap_used)] // the rule leaves out test functions, but not what they call

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use generator::{Load, Order};

#[allow(dead_code)] // the benches use the rest
#[path = "../benches/support/generator.rs"]
mod generator;

#[test]
fn service_lines_are_those_of_the_recording_byte_for_byte() {
    let Some(recording) = recording("medium-200x3-3.10.txt.gz") else { return };
    assert_same_lines(&print(&Load::medium(), Order::Oss, false), &service_lines(&recording));
}

#[test]
fn grouped_order_is_that_of_the_derived_recording() {
    let Some(recording) = recording("derived-grouped-medium-200x3.txt.gz") else { return };
    assert_same_lines(&print(&Load::medium(), Order::Grouped, false), &service_lines(&recording));
}

#[test]
fn help_and_type_are_those_of_the_recording() {
    let Some(recording) = recording("medium-200x3-3.10.txt.gz") else { return };
    let printed = print(&Load::medium(), Order::Oss, true);
    let metadata: Vec<&str> = printed.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(metadata.len(), 10);
    for line in metadata {
        assert!(recording.lines().any(|recorded| recorded == line), "not in the recording: {line}");
    }
}

#[test]
fn both_orders_hold_the_same_lines_but_for_empty_buckets() {
    let sorted = |order| {
        let text = print(&Load::one_of_each_name(), order, true);
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !(line.contains("_bucket{") && line.ends_with(" 0")))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(Order::Oss), sorted(Order::Grouped));
}

#[test]
fn small_bodies_are_what_the_generator_prints() {
    let load = Load::one_of_each_name();
    let mapping: serde_json::Value = serde_json::from_str(&load.mapping_file()).unwrap();
    let mapping = format!("{}\n", serde_json::to_string_pretty(&mapping).unwrap());
    for (file, printed) in [
        ("generated-oss.txt", print(&load, Order::Oss, true)),
        ("generated-grouped.txt", print(&load, Order::Grouped, true)),
        ("generated-mapping.json", mapping),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap();
        assert_same_lines(&printed, &stored);
    }
}

#[test]
fn mapping_names_every_service_of_the_body() {
    let load = Load::medium();
    let body = print(&load, Order::Oss, false);
    let mapping: serde_json::Value = serde_json::from_str(&load.mapping_file()).unwrap();
    let table = load.mapping_table();
    let mut names: Vec<&str> = body.lines().filter_map(service).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 200);
    for name in names {
        assert!(mapping["services"][name]["backends"][0]["service"].is_string(), "{name}");
        assert!(table.lines().any(|line| line.split('\t').next() == Some(name)), "{name}");
    }
}

fn print(load: &Load, order: Order, metadata: bool) -> String {
    let mut out = Vec::new();
    load.print(order, metadata, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn service_lines(body: &str) -> String {
    body.split_inclusive('\n').filter(|line| service(line).is_some()).collect()
}

fn service(line: &str) -> Option<&str> {
    Some(line.split_once("{service=\"")?.1.split_once('"')?.0)
}

/// Like `assert_eq`, but says where instead of printing megabytes.
fn assert_same_lines(left: &str, right: &str) {
    for (number, (l, r)) in left.lines().zip(right.lines()).enumerate() {
        assert_eq!(l, r, "line {}", number + 1);
    }
    assert_eq!(left.lines().count(), right.lines().count());
    assert_eq!(left.len(), right.len());
}

/// Unpacked; `None`, and a word about it, where the recordings are not at hand.
fn recording(name: &str) -> Option<String> {
    let path = recordings().join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        println!("not run: no recording at {}", path.display());
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text)
}

fn recordings() -> PathBuf {
    let shared = || {
        std::env::var_os("KONG_EXPORTER_SHARED")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
    };
    std::env::var_os("KONG_METRICS_DIR")
        .map_or_else(|| shared().join("testdata/kong-metrics"), PathBuf::from)
}
