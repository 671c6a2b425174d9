//! The conformance set: every Kong service that Kong's own translator made of 46 cases, read by
//! its name alone, and answered with a mapping of the case's backends.

// Clippy's exception for tests does not see the functions beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use kong_metrics_exporter::mapping::name::{Form, decode};
use kong_metrics_exporter::mapping::{Label, Snapshot, Target, Tier, Why, file, resolve};
use serde_json::{Map, Value, json};

/// How many services the set has, so that reading too little is noticed.
const SERVICES: usize = 199;

#[test]
fn the_name_alone_reads_as_the_set_says() {
    let Some(variants) = variants() else { return };
    let mut count = 0;
    for service in variants.iter().flat_map(|variant| array(&variant["services"])) {
        let name = text(&service["kong_service"]);
        let mut expected = service["decode"].clone();
        let via = expected.as_object_mut().unwrap().remove("via");
        assert_eq!(spell(&decode(Label::Service, name).unwrap()), expected, "{name}");
        let is_udp = via.is_some_and(|via| via == "UDPIngress");
        assert_eq!(name.ends_with(".udp"), is_udp, "{name}");
        count += 1;
    }
    assert_eq!(count, SERVICES);
}

#[test]
fn the_name_alone_never_tells_a_wrong_service() {
    let Some(variants) = variants() else { return };
    let nothing = Snapshot::default();
    let mut told = 0;
    for service in variants.iter().flat_map(|variant| array(&variant["services"])) {
        let name = text(&service["kong_service"]);
        let behind = services_behind(service);
        let by_name = resolve(&nothing, Label::Service, name).target;
        // A Service that is named but missing or not granted is the set's one exception.
        if let (Target::Service { namespace, service, .. }, false) = (&by_name, behind.is_empty()) {
            assert_eq!(behind, BTreeSet::from([(*namespace, *service)]), "{name}");
            told += 1;
        }
        let upstream = text(&service["host"]);
        assert_eq!(resolve(&nothing, Label::Upstream, upstream).target, by_name, "{upstream}");
    }
    assert!(told > 0);
}

#[test]
fn a_mapping_of_the_backends_answers_every_service_and_upstream() {
    let Some(variants) = variants() else { return };
    let mut count = 0;
    for variant in &variants {
        let snapshot = snapshot_of(&variant["services"]);
        for service in array(&variant["services"]) {
            let name = text(&service["kong_service"]);
            let resolution = resolve(&snapshot, Label::Service, name);
            assert_eq!(resolution.tier, Some(Tier::Exact), "{name}");
            let behind = services_behind(service);
            match &resolution.target {
                Target::Service { namespace, service: told, backends } => {
                    assert_eq!(behind, BTreeSet::from([(*namespace, *told)]), "{name}");
                    assert_eq!(service["ambiguous"], false, "{name}");
                    assert!(!backends.is_empty(), "{name}");
                }
                Target::Route { owners, backends, complete } => {
                    let told = backends.iter().map(|b| (b.namespace, b.service));
                    assert_eq!(told.collect::<BTreeSet<_>>(), behind, "{name}");
                    assert_eq!(service["ambiguous"], behind.len() > 1, "{name}");
                    assert!(!owners.is_empty() && *complete, "{name}");
                }
                Target::Unknown(why) => panic!("{name}: {why}"),
            }
            let upstream = text(&service["host"]);
            assert_eq!(resolve(&snapshot, Label::Upstream, upstream), resolution, "{upstream}");
            count += 1;
        }
    }
    assert_eq!(count, SERVICES);
}

/// Kong Operator appends `.timeout.<ms>` to names and `.invalid` to upstreams.
#[test]
fn the_names_of_kong_operator_are_read_too() {
    let Some(variants) = variants() else { return };
    let (mut timeouts, mut invalids) = (0, 0);
    let nothing = Snapshot::default();
    for variant in &variants {
        let services = variant["kong_operator_main_derived_from_reading"].as_object();
        for (name, service) in services.into_iter().flatten() {
            let by_name = resolve(&nothing, Label::Service, name).target;
            assert!(!matches!(by_name, Target::Unknown(Why::NoEntry)), "{name}");
            let upstream = text(&service["host"]);
            assert_eq!(resolve(&nothing, Label::Upstream, upstream).target, by_name, "{upstream}");
            timeouts += usize::from(name.contains(".timeout."));
            invalids += usize::from(upstream.ends_with(".invalid"));
        }
    }
    assert!(timeouts > 0 && invalids > 0, "{timeouts} {invalids}");
}

/// Every variant of every case; `None` where the set is not there.
fn variants() -> Option<Vec<Value>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let shared = std::env::var("KONG_EXPORTER_SHARED").unwrap_or_else(|_| beside.to_owned());
    let folder = PathBuf::from(shared).join("testdata/golden");
    let Ok(cases) = std::fs::read_dir(&folder) else {
        println!("not run: no conformance set at {} (KONG_EXPORTER_SHARED)", folder.display());
        return None;
    };
    let mut variants = Vec::new();
    for case in cases {
        let Ok(expected) = std::fs::read(case.unwrap().path().join("expected.json")) else {
            continue;
        };
        let mut case: Value = serde_json::from_slice(&expected).unwrap();
        variants.append(case["variants"].as_array_mut().unwrap());
    }
    Some(variants)
}

/// The mapping of a variant, by way of the mapping file.
fn snapshot_of(services: &Value) -> Snapshot {
    let mut entries = Map::new();
    for service in array(services) {
        let only = |value: &Value, keys: &[&str]| {
            let fields = keys.iter().filter_map(|key| Some(((*key).to_owned(), value.get(key)?)));
            let fields = fields.filter(|(_, value)| !value.is_null());
            fields.map(|(key, value)| (key, value.clone())).collect::<Map<_, _>>()
        };
        let backends = array(&service["backends"])
            .iter()
            .map(|backend| only(backend, &["namespace", "service", "port", "weight"]));
        let owners = array(&service["sources"]).iter().map(|source| {
            let mut owner = only(source, &["namespace", "name", "rule"]);
            let kind = text(&source["kind"]).trim_end_matches("(default)");
            owner.insert("kind".to_owned(), kind.into());
            owner
        });
        let entry = json!({
            "backends": backends.collect::<Vec<_>>(),
            "owners": owners.collect::<Vec<_>>(),
        });
        entries.insert(text(&service["kong_service"]).to_owned(), entry);
    }
    let text = json!({ "services": entries }).to_string();
    file::parse(text.as_bytes()).unwrap()
}

fn services_behind(service: &Value) -> BTreeSet<(&str, &str)> {
    let backends = array(&service["backends"]).iter();
    backends.map(|backend| (text(&backend["namespace"]), text(&backend["service"]))).collect()
}

/// A form as the set spells it.
fn spell(form: &Form<'_>) -> Value {
    match form {
        Form::Service(backend) => json!({
            "form": "service-port",
            "namespace": backend.namespace,
            "service": backend.service,
            "port": backend.port,
        }),
        Form::Combined { route_namespace, backends, complete, timeout_ms } => {
            let backends = backends.iter().map(|backend| {
                json!({
                    "namespace": backend.namespace,
                    "service": backend.service,
                    "port": backend.port,
                    "weight": backend.weight,
                })
            });
            json!({
                "form": "combined",
                "route_namespace": route_namespace,
                "backends": backends.collect::<Vec<_>>(),
                "complete": complete,
                "timeout_ms": timeout_ms,
            })
        }
        Form::Rule { kind, namespace, name, hostname, rule } => {
            let mut rule = json!({
                "form": "route-rule",
                "kind": kind,
                "namespace": namespace,
                "name": name,
                "rule": rule,
                "may_contain_hostname": form.may_hold_hostname(),
            });
            if let Some(hostname) = hostname {
                rule["hostname"] = (*hostname).into();
            }
            rule
        }
        Form::Facade { namespace, facade } => {
            json!({"form": "facade", "namespace": namespace, "facade": facade})
        }
        Form::Hybrid => json!({"form": "hybrid"}),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
