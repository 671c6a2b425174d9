//! The conformance set: the objects of 46 cases in, every Kong service that Kong's own translator
//! made of them out; through the library and through the command.

// Clippy's exception for tests does not see the functions beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)] // other tests use the rest
#[path = "common/shared.rs"]
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use kong_metrics_exporter::kubernetes::manifest::{Defaults, Manifests};
use kong_metrics_exporter::mapping::entry::EntryRef;
use kong_metrics_exporter::mapping::shards::{self, Assembly};
use kong_metrics_exporter::mapping::{Kind, Label, Snapshot, Tier, file, resolve};
use kong_metrics_exporter::resolve::{Flavor, Index, Settings, Switch};
use serde_json::Value;

/// How many services the set has, so that reading too little is noticed.
const SERVICES: usize = 199;

/// A case in one of its variants.
struct Variant {
    manifests: PathBuf,
    settings: Settings,
    expected: Value,
}

#[test]
fn every_service_of_the_set_comes_out_as_expected_and_no_other() {
    let Some(variants) = variants() else { return };
    let mut count = 0;
    for variant in &variants {
        let index = variant.index(&variant.settings);
        let snapshot = index.snapshot();
        let mut surplus: BTreeSet<_> = snapshot.iter().map(|(name, _)| name.to_owned()).collect();
        for service in array(&variant.expected["services"]) {
            let name = text(&service["kong_service"]);
            assert!(surplus.remove(name), "{variant}: {name} is missing");
            let (entry, tier) = snapshot.find(Label::Service, name).unwrap();
            assert_eq!(tier, Tier::Exact);
            assert_eq!(backends_of(&entry), expected_backends(&service["backends"]), "{name}");
            assert_eq!(owners_of(&entry), expected_owners(&service["sources"]), "{name}");
            let by_upstream = resolve(&snapshot, Label::Upstream, text(&service["host"]));
            assert_eq!(by_upstream, resolve(&snapshot, Label::Service, name), "{name}");
            count += 1;
        }
        for absent in array(&variant.expected["predicted_but_absent"]) {
            surplus.remove(text(absent));
        }
        assert!(surplus.is_empty(), "{variant}: {surplus:?} is too much");
        means_the_same_published(&snapshot);
        let dropped = index.dropped().into_iter().map(|one| (one.name, one.annotations));
        let skipped = variant.expected["skipped_for_inconsistent_annotations"].as_object().unwrap();
        let skipped = skipped.iter().map(|(name, annotations)| {
            let annotations = array(annotations).iter().map(|one| text(one).to_owned());
            (name.clone(), annotations.collect::<Vec<_>>())
        });
        let skipped: BTreeMap<_, _> = skipped.collect();
        assert_eq!(dropped.collect::<BTreeMap<_, _>>(), skipped, "{variant}");
    }
    assert_eq!(count, SERVICES);
}

/// Also without what is not published, for the name says it.
fn means_the_same_published(snapshot: &Snapshot) {
    let shards = shards::contents(snapshot).shards.into_iter().enumerate();
    let shards = shards.map(|(number, one)| (number.to_string(), one.pack(1).unwrap()));
    let outcome = Assembly::default().replace(shards, &Snapshot::default(), Instant::now());
    let published = outcome.snapshot.unwrap();
    for (name, _) in snapshot.iter() {
        for label in [Label::Service, Label::Upstream] {
            let target = |snapshot| format!("{:?}", resolve(snapshot, label, name).target);
            assert_eq!(target(&published), target(snapshot), "{name}");
        }
    }
}

#[test]
fn the_command_prints_what_the_library_works_out() {
    let Some(variants) = variants() else { return };
    for variant in &variants {
        let on_off = |switch: Switch| if switch == Switch::On { "on" } else { "off" };
        let Settings { combined, expressions, facade, .. } = variant.settings;
        let output = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"))
            .args(["resolve", "--flavor=kic", "--defaults=off"])
            .arg(format!("--combined={}", on_off(combined)))
            .arg(format!("--expressions={}", on_off(expressions)))
            .arg(format!("--facade={}", if facade { "on" } else { "off" }))
            .arg("--objects")
            .arg(&variant.manifests)
            .output()
            .unwrap();
        assert!(output.status.success(), "{variant}: {output:?}");
        let snapshot = variant.index(&variant.settings).snapshot();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), json(&snapshot), "{variant}");
    }
}

/// Computed for the set from the source of Kong Operator, not run.
#[test]
fn kong_operators_names_come_out_as_derived() {
    let Some(variants) = variants() else { return };
    let (mut count, mut timeouts) = (0, 0);
    for variant in &variants {
        let Some(derived) = variant.expected["kong_operator_main_derived_from_reading"].as_object()
        else {
            continue;
        };
        let settings = Settings { flavor: Flavor::KongOperator, ..variant.settings.clone() };
        let snapshot = variant.index(&settings).snapshot();
        let names: Vec<_> = snapshot.iter().map(|(name, _)| name).collect();
        assert_eq!(names, derived.keys().collect::<Vec<_>>(), "{variant}");
        for ((name, entry), service) in snapshot.iter().zip(derived.values()) {
            assert_eq!(backends_of(&entry), expected_backends(&service["backends"]), "{name}");
            timeouts += usize::from(name.contains(".timeout."));
            count += 1;
        }
    }
    assert!(count > 10 && timeouts > 2, "{count} {timeouts}");
}

#[test]
fn auto_holds_the_names_of_every_setup() {
    let Some(variants) = variants() else { return };
    for variant in &variants {
        let auto = variant.index(&Settings::default()).snapshot();
        for flavor in [Flavor::Kic, Flavor::KongOperator] {
            let settings = Settings { flavor, ..variant.settings.clone() };
            for (name, entry) in variant.index(&settings).snapshot().iter() {
                let (in_auto, _) = auto.find(Label::Service, name).unwrap();
                assert_eq!(backends_of(&in_auto), backends_of(&entry), "{variant}: {name}");
            }
        }
    }
}

impl Variant {
    fn index(&self, settings: &Settings) -> Index {
        let mut manifests = Manifests::default();
        let text = std::fs::read_to_string(&self.manifests).unwrap();
        manifests.read(&text, Defaults::Keep).unwrap();
        let mut index = Index::new(settings.clone());
        for object in manifests.objects {
            index.apply(object);
        }
        index
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.manifests.display(), self.expected["variant"])
    }
}

/// Every variant of every case; `None` where the set is not there.
fn variants() -> Option<Vec<Variant>> {
    let folder = shared::shared("conformance set")?.join("testdata/golden");
    let mut variants = Vec::new();
    for case in std::fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let Ok(expected) = std::fs::read(case.join("expected.json")) else { continue };
        let mut expected: Value = serde_json::from_slice(&expected).unwrap();
        let of_case = expected["variants"].as_array_mut().unwrap().drain(..);
        variants.extend(of_case.map(|expected| variant(&case, expected)));
    }
    Some(variants)
}

fn variant(case: &Path, expected: Value) -> Variant {
    let is_on = |flag: &str| expected["feature_flags"][flag] == true;
    let switch = |flag| if is_on(flag) { Switch::On } else { Switch::Off };
    let settings = Settings {
        flavor: Flavor::Kic,
        combined: switch("CombinedServicesFromDifferentHTTPRoutes"),
        expressions: switch("ExpressionRoutes"),
        facade: is_on("KongServiceFacade"),
        ..Settings::default()
    };
    Variant { manifests: case.join("in.yaml"), settings, expected }
}

fn json(snapshot: &Snapshot) -> String {
    file::to_json(snapshot).unwrap() + "\n"
}

type Backend = (String, String, String, Option<u64>);

fn backends_of(entry: &EntryRef<'_>) -> Vec<Backend> {
    let backend = |backend: &kong_metrics_exporter::mapping::BackendRef<'_>| {
        let port = backend.port.map(|port| port.to_string()).unwrap_or_default();
        (backend.namespace.into(), backend.service.into(), port, backend.weight.map(u64::from))
    };
    entry.backends.iter().map(backend).collect()
}

/// As a mapping holds them: the same Service and port once, with the weights added.
fn expected_backends(backends: &Value) -> Vec<Backend> {
    let mut merged = Vec::<Backend>::new();
    for backend in array(backends) {
        let port = match &backend["port"] {
            Value::Null => String::new(),
            Value::String(name) => name.clone(),
            number => number.to_string(),
        };
        let (namespace, service) = (text(&backend["namespace"]), text(&backend["service"]));
        let weight = backend["weight"].as_u64();
        let same = |own: &&mut Backend| {
            (own.0.as_str(), own.1.as_str(), &own.2) == (namespace, service, &port)
        };
        match merged.iter_mut().find(same) {
            Some(own) => own.3 = Some(own.3.unwrap_or(1) + weight.unwrap_or(1)),
            None => merged.push((namespace.into(), service.into(), port, weight)),
        }
    }
    merged
}

type Owner = (String, String, String, Option<u64>);

fn owners_of(entry: &EntryRef<'_>) -> BTreeSet<Owner> {
    // The set names the Ingress that sends to a facade, and not the facade.
    let owners = entry.owners.iter().filter(|owner| owner.kind != Kind::KongServiceFacade);
    let owner = |owner: &kong_metrics_exporter::mapping::OwnerRef<'_>| {
        let name = owner.name.unwrap_or_default();
        (owner.kind.as_str().into(), owner.namespace.into(), name.into(), owner.rule.map(u64::from))
    };
    owners.map(owner).collect()
}

fn expected_owners(sources: &Value) -> BTreeSet<Owner> {
    let owners = array(sources).iter().map(|source| {
        let kind = text(&source["kind"]).trim_end_matches("(default)");
        let (namespace, name) = (text(&source["namespace"]), text(&source["name"]));
        let rule = source["rule"].as_u64();
        (kind.into(), namespace.into(), name.into(), rule)
    });
    owners.collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
