//! Every recording of real Kong output goes through the rewriter. In: the recordings, and a mapping
//! for the names in them. Asserted: the whole text of each, three as they are and all by their hash,
//! and that each sample comes out as a second reader says it must.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

#[allow(dead_code)] // each test takes what it needs
#[path = "common/reader.rs"]
mod reader;
#[allow(dead_code)] // each test takes what it needs
#[path = "common/rewriting.rs"]
mod rewriting;
#[path = "common/shared.rs"]
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use kong_metrics_exporter::rewrite::{LabelNames, Reason};
use reader::Sample;
use rewriting::Setup;
use sha2::{Digest, Sha256};

/// Bodies that are no exposition: Kong's schema refuses the names in them, and no parser reads them.
const UNREADABLE: [&str; 1] = ["hostile-labels-3.10"];

#[test]
fn whole_texts_are_as_kept() {
    let Some(folder) = shared::recordings("recordings, whole texts") else { return };
    for name in ["tiny-3.10", "edge-escapes-3.10", "stream-3.10"] {
        let outcome = mapped().rewrite(std::fs::read(folder.join(format!("{name}.txt"))).unwrap());
        let kept = manifest().join(format!("tests/golden/{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&kept, &outcome.text).unwrap();
        }
        assert!(
            outcome.utf8() == std::fs::read_to_string(&kept).unwrap(),
            "{name} differs; UPDATE_GOLDEN=1 shows how in git diff"
        );
    }
}

#[test]
fn whole_texts_of_all_have_the_hashes_that_are_kept() {
    let bodies = bodies();
    if bodies.is_empty() {
        return;
    }
    let line = |(name, body): &(String, Vec<u8>)| {
        let hash = Sha256::digest(mapped().rewrite(body).text);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}  {name}\n")
    };
    let hashes: String = bodies.iter().map(line).collect();
    let kept = manifest().join("tests/golden/recordings.sha256");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&kept, &hashes).unwrap();
    }
    // Line by line, so that the one that differs is seen.
    let kept = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(hashes.lines().collect::<Vec<_>>(), kept.lines().collect::<Vec<_>>());
}

#[test]
fn every_sample_is_what_it_must_be() {
    let bodies = bodies();
    for (name, body) in &bodies {
        if UNREADABLE.contains(&name.as_str()) {
            continue;
        }
        let outcome = mapped().rewrite(body);
        let expected: Vec<Sample> = reader::kong_samples(body).into_iter().map(enriched).collect();
        let got = reader::samples(&outcome.text);
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got, expected, "{name}");
        }
        assert_eq!(got.len(), expected.len(), "{name}");
        assert_eq!(outcome.stats.samples_in, expected.len() as u64, "{name}");
        assert_eq!(outcome.stats.first_drop, None, "{name}");
        // What is no sample stays as it is, but for HELP and TYPE that were said before.
        let comments = |text: &[u8]| {
            String::from_utf8_lossy(text)
                .lines()
                .filter(|l| l.starts_with('#'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut said = BTreeSet::new();
        let once: Vec<String> = comments(body)
            .into_iter()
            .filter(|l| said.insert(l.split(' ').take(3).map(str::to_owned).collect::<Vec<_>>()))
            .collect();
        assert_eq!(comments(&outcome.text), once, "{name}");
    }
    println!("{} recordings", bodies.len());
}

#[test]
fn distinct_series_stay_distinct_even_if_all_services_are_one() {
    let one = BTreeMap::from([("namespace", "n"), ("service", "s")]);
    for (name, body) in bodies() {
        if UNREADABLE.contains(&name.as_str()) || name.starts_with("stream") {
            continue; // the stream subsystem repeats two series as they are
        }
        let before = reader::kong_samples(&body);
        let names: BTreeSet<&String> =
            before.iter().filter_map(|s| s.labels.get("service")).collect();
        let services: BTreeMap<_, _> = names
            .iter()
            .map(|n| (n, serde_json::json!({ "backends": [one] })))
            .filter(|(n, _)| !n.is_empty())
            .collect();
        let setup = Setup::mapping_file(&serde_json::json!({ "services": services }).to_string());
        let after = reader::samples(&setup.rewrite(&body).text);
        let distinct = |samples: &[Sample]| {
            samples.iter().map(|s| s.labels.clone()).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(distinct(&after), distinct(&before), "{name}");
        assert_eq!(after.len(), before.len(), "{name}");
    }
}

#[test]
fn chunks_of_any_size_give_the_same_bytes() {
    for (name, body) in bodies() {
        let whole = mapped().rewrite(&body);
        let step = if body.len() > 1_000_000 { 4093 } else { 7 };
        for size in [step, 16_384, 65_536] {
            let cut = mapped().rewrite_chunks(body.chunks(size));
            assert!(cut.text == whole.text, "{name} in chunks of {size}");
            assert_eq!(cut.stats, whole.stats, "{name} in chunks of {size}");
        }
    }
}

#[test]
fn a_second_pass_changes_nothing() {
    for (name, body) in bodies() {
        let first = mapped().rewrite(&body);
        assert!(mapped().rewrite(&first.text).text == first.text, "{name}");
    }
}

#[test]
fn without_anything_to_map_the_bytes_are_kongs() {
    let labels = LabelNames::new("exported_service", "exported_namespace", "service").unwrap();
    for (name, body) in bodies() {
        // Names that decode are made unknown; then only repeats and raw newlines may differ.
        let unknown: Vec<u8> = body.iter().map(|b| if *b == b'.' { b'~' } else { *b }).collect();
        let outcome = Setup { labels: labels.clone(), ..Setup::default() }.rewrite(&unknown);
        let touched = outcome.stats.newlines_escaped + outcome.stats.dropped_lines();
        assert!(outcome.text == unknown || touched > 0 || name.starts_with("health"), "{name}");
    }
}

#[test]
fn an_unreadable_body_loses_lines_and_never_becomes_an_unreadable_answer() {
    let Some(folder) = shared::recordings("the hostile recording") else { return };
    let body = std::fs::read(folder.join("hostile-labels-3.10.txt")).unwrap();
    let outcome = mapped().rewrite(&body);
    let samples = reader::samples(&outcome.text);
    assert_eq!(samples.len() as u64, outcome.stats.samples_in);
    // What is beyond reading: histogram lines that Kong cut off at a newline in a name.
    let beyond = |l: &&str| l.starts_with("kong_line\"") || l.starts_with("kong_kong_up 1\"");
    let beyond = std::str::from_utf8(&body).unwrap().lines().filter(beyond).count();
    assert_eq!(outcome.stats.dropped_for(Reason::Malformed), beyond as u64);
    assert_eq!(outcome.stats.dropped_lines(), beyond as u64);
}

/// The mapping of the whole-text tests: what the recordings' names that do not decode stand for.
fn mapped() -> Setup {
    Setup::mapping_file(
        &std::fs::read_to_string(manifest().join("tests/golden/mapping.json")).unwrap(),
    )
}

/// What a sample must come out as, by that mapping: said once more, by hand.
fn enriched(mut sample: Sample) -> Sample {
    let is_health = sample.labels["__name__"] == "kong_upstream_target_health";
    let name = match (sample.labels.get("service"), sample.labels.get("upstream")) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) if is_health => name.clone(),
        _ => return sample,
    };
    if name.is_empty() {
        return sample;
    }
    let pieces: Vec<&str> = name.split('.').collect();
    let mut labels: Vec<(&str, &str)> = Vec::new();
    let service = |namespace, service| {
        vec![
            ("exported_service", service),
            ("exported_namespace", namespace),
            ("kubernetes_name", service),
            ("kubernetes_namespace", namespace),
            ("kubernetes_kind", "service"),
            ("kubernetes_apiversion", "v1"),
        ]
    };
    let route = |kind, namespace, name, version| {
        vec![
            ("kubernetes_kind", kind),
            ("kubernetes_namespace", namespace),
            ("kubernetes_name", name),
            ("kubernetes_apiversion", version),
        ]
    };
    match (name.as_str(), &pieces[..]) {
        ("httproute.default.echo.0", _) => labels = service("default", "echo"),
        (_, [svc, ns, _, "svc"]) if is_health => labels = service(ns, svc),
        (_, [ns, svc, "53", "udp"]) => labels = service(ns, svc),
        (_, [ns, svc, port]) if !is_health && port.parse::<u16>().is_ok() => {
            labels = service(ns, svc)
        }
        (_, ["httproute", ns, name, rule]) if rule.parse::<u32>().is_ok() => {
            labels = route("httproute", ns, name, "gateway.networking.k8s.io/v1")
        }
        (_, ["grpcroute", ns, name, rule]) if rule.parse::<u32>().is_ok() => {
            labels = route("grpcroute", ns, name, "gateway.networking.k8s.io/v1")
        }
        (_, [kind @ ("tcproute" | "tlsroute" | "udproute"), ns, name, rule])
            if rule.parse::<u32>().is_ok() =>
        {
            labels = route(kind, ns, name, "gateway.networking.k8s.io/v1alpha2");
        }
        (_, ["httproute", ns, "svc", rest @ ..]) if rest.len() == 7 => {
            // Two backends, and only the namespace of their route is in the name.
            labels = vec![
                ("kubernetes_kind", "httproute"),
                ("kubernetes_namespace", ns),
                ("kubernetes_apiversion", "gateway.networking.k8s.io/v1"),
            ];
        }
        _ => {}
    }
    for (key, value) in labels {
        sample.labels.insert(key.to_owned(), value.to_owned());
    }
    sample.labels.remove("service");
    sample.labels.insert("kong_service".to_owned(), name.clone());
    sample
}

/// Name and text of every recording; none, with a note, where they are absent.
fn bodies() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = shared::recordings("recordings") else { return Vec::new() };
    let mut bodies: Vec<_> =
        std::fs::read_dir(folder).unwrap().filter_map(|f| body(&f.unwrap().path())).collect();
    bodies.sort();
    assert!(bodies.len() >= 20, "{} recordings", bodies.len());
    bodies
}

fn body(path: &Path) -> Option<(String, Vec<u8>)> {
    let file = path.file_name()?.to_str()?;
    let mut bytes = std::fs::read(path).ok()?;
    let name = match (file.strip_suffix(".txt"), file.strip_suffix(".txt.gz")) {
        (Some(name), _) => name,
        (None, Some(name)) => {
            let packed = std::mem::take(&mut bytes);
            GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
            name
        }
        _ => return None,
    };
    Some((name.to_owned(), bytes))
}

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
