//! The corner cases of a controller of extensions, each with what Kong Operator's own does in it and
//! what ours does; then what Kong Operator's own tests assert; then Kong Operator itself beside us.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "../common/cluster.rs"]
mod cluster;
#[allow(dead_code)] // other tests use the rest
#[path = "../common/shared.rs"]
mod shared;
#[path = "../common/translator.rs"]
mod translator;
#[path = "../common/world.rs"]
mod world;

mod early;
mod late;
mod operator;
mod words;

use cluster::kic;
use serde_json::Value;
use translator::translate;
use world::World;

/// A corner case.
pub(crate) struct Case {
    pub(crate) number: &'static str,
    /// What Kong Operator's own controller does.
    #[allow(dead_code)] // for whoever reads the table
    pub(crate) reference: &'static str,
    /// What ours does, as `check` asserts it.
    #[allow(dead_code)]
    pub(crate) ours: &'static str,
    pub(crate) check: fn(),
}

#[test]
fn every_corner_case_ends_as_the_table_says() {
    for case in early::CASES.iter().chain(&late::CASES) {
        println!("case {}", case.number);
        (case.check)();
    }
}

/// The model of Kong's controllers that the property tests judge by, held to what the real one did.
#[test]
fn the_model_agrees_with_the_real_translator() {
    let Some(folder) = shared::shared("the model of the translator") else { return };
    let mut count = 0;
    for name in [
        "x-plugins-consistent-annotations",
        "x-plugins-global-prometheus",
        "x-plugins-per-service-plugin-names",
        "x-plugins-route-and-service",
    ] {
        let folder = folder.join("testdata/golden").join(name);
        let text = std::fs::read_to_string(folder.join("in.yaml")).unwrap();
        let mut world = World::new(&kic(), &[]);
        let documents = text.split("---\n").filter(|document| !document.contains("EndpointSlice"));
        documents.for_each(|document| world.put(document));
        let config = translate(&world.objects);
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let variants = expected["variants"].as_array().unwrap();
        let variant = variants.iter().find(|variant| variant["variant"] == "default").unwrap();
        let rule = |name: &str| {
            let mut pieces = name.split('.').skip(1);
            let mut piece = || pieces.next().unwrap();
            format!("HTTPRoute {}/{} {}", piece(), piece(), piece())
        };
        let mut plugins = std::collections::BTreeMap::new();
        for service in variant["services"].as_array().unwrap() {
            let rule = rule(service["kong_service"].as_str().unwrap());
            assert!(config.rules.contains(&rule), "{name}: {rule}");
            let of: Vec<_> = service["plugins"].as_array().unwrap().iter().map(type_of).collect();
            plugins.extend((!of.is_empty()).then_some((rule, of)));
            count += 1;
        }
        for of_route in variant["route_plugins"].as_array().unwrap() {
            let rule = rule(of_route[1].as_str().unwrap());
            let of = of_route[0].as_str().unwrap().to_owned();
            plugins.entry(format!("route {rule}")).or_insert_with(Vec::new).push(of);
        }
        assert_eq!(config.plugins, plugins, "{name}");
        let skipped = variant["skipped_for_inconsistent_annotations"].as_object().unwrap();
        let skipped: std::collections::BTreeSet<_> =
            skipped.keys().map(|name| rule(name)).collect();
        assert_eq!(config.dropped, skipped, "{name}");
        assert_eq!(config.is_refused(), name == "x-plugins-consistent-annotations");
    }
    assert_eq!(count, 6);
}

fn type_of(plugin: &Value) -> String {
    plugin["name"].as_str().unwrap().to_owned()
}
