//! Random clusters, random changes to them: no state, not even between two writes, loses a route or
//! is refused because of us; foreign bytes stay; a plan of what is as planned is empty; and when all
//! extensions are gone everything is as it would have been without us.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/cluster.rs"]
mod cluster;
#[path = "common/translator.rs"]
mod translator;
#[path = "common/world.rs"]
mod world;

use cluster::kic;
use kong_metrics_exporter::controller::Options;
use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use proptest::prelude::*;
use serde_json::{Value, json};
use translator::translate;
use world::World;

/// Something that a user does.
#[derive(Clone)]
enum Step {
    Put(Value),
    Delete(Key),
    /// A Service or route gets this list, or loses it.
    List(Key, Option<String>),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(value) => write!(f, "put {value}"),
            Self::Delete(key) => write!(f, "delete {} {}", key.kind.as_str(), key.name),
            Self::List(key, list) => write!(f, "list {} {} {list:?}", key.kind.as_str(), key.name),
        }
    }
}

const SERVICES: [&str; 4] = ["a", "b", "c", "d"];

fn named(kind: ObjectKind, name: &str) -> Key {
    Key::new(kind, "web", name)
}

fn service(name: &str, labels: bool) -> Value {
    let labels = if labels { json!({"app": "shop"}) } else { json!({}) };
    json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]},
        "metadata": {"name": name, "namespace": "web", "labels": labels}})
}

fn route(name: &str, rules: &[Vec<&str>], filter: Option<&str>) -> Value {
    let backend =
        |service: &&str| json!({"kind": "Service", "name": service, "port": 80, "weight": 1});
    let filters = filter.map(|plugin| json!([{"type": "ExtensionRef",
        "extensionRef": {"group": "configuration.konghq.com", "kind": "KongPlugin", "name": plugin}}]));
    let rule = |backends: &Vec<&str>| {
        let backends: Vec<_> = backends.iter().map(backend).collect();
        json!({"backendRefs": backends, "filters": filters.clone().unwrap_or(json!([]))})
    };
    let rules: Vec<_> = rules.iter().map(rule).collect();
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "web"},
        "spec": {"parentRefs": [{"name": "kong"}], "rules": rules}})
}

fn ingress(service: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "i", "namespace": "web"},
        "spec": {"ingressClassName": "kong", "rules": [{"http": {"paths": [
            {"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]}})
}

fn plugin(name: &str, of: &str) -> Value {
    json!({"apiVersion": "configuration.konghq.com/v1", "kind": "KongPlugin", "plugin": of,
        "metadata": {"name": name, "namespace": "web"}, "config": {"status_code_metrics": true}})
}

fn extension(
    name: &str,
    services: &[&str],
    selector: bool,
    on_routes: bool,
    counts: bool,
) -> Value {
    let names: Vec<_> = services.iter().map(|name| json!({"name": name})).collect();
    let mut annotations = serde_json::Map::new();
    if selector {
        annotations
            .insert("kong-metrics-exporter.io/service-label-selector".into(), "app=shop".into());
    }
    if on_routes {
        annotations.insert("kong-metrics-exporter.io/attach-to".into(), "routes".into());
    }
    json!({"apiVersion": "gateway-operator.konghq.com/v1alpha1", "kind": "DataPlaneMetricsExtension",
        "metadata": {"name": name, "namespace": "web", "annotations": annotations,
            "labels": {"kong-metrics-exporter.io/managed": counts.to_string()}},
        "spec": {"serviceSelector": {"matchNames": names}, "config": {"latency": true}}})
}

fn any_service() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&SERVICES[..])
}

fn any_list() -> impl Strategy<Value = Option<String>> {
    let item = proptest::sample::select(
        &["p", "q", " p ", "", " ", "web:p", "gone", "x-metrics-prometheus", "limit"][..],
    );
    proptest::option::of(proptest::collection::vec(item, 0..3).prop_map(|items| items.join(",")))
}

fn any_step() -> impl Strategy<Value = Step> {
    let names = || proptest::sample::subsequence(&SERVICES[..], 0..=3);
    let backends = || proptest::collection::vec(any_service(), 1..3);
    let extension = (any::<bool>(), names(), any::<[bool; 2]>(), 0..6).prop_map(
        |(is_x, names, [selector, on_routes], counts)| {
            let name = if is_x { "x" } else { "y" };
            extension(name, &names, selector, on_routes, counts > 0)
        },
    );
    let route = (any::<bool>(), proptest::collection::vec(backends(), 1..3), 0..6).prop_map(
        |(is_r, rules, filter)| {
            route(if is_r { "r" } else { "s" }, &rules, (filter == 0).then_some("p"))
        },
    );
    let plugin = (0..3_usize, any::<bool>()).prop_map(|(name, is_prometheus)| {
        let name = ["p", "q", "x-metrics-prometheus"][name];
        plugin(name, if is_prometheus { "prometheus" } else { "rate-limiting" })
    });
    let target = prop_oneof![
        any_service().prop_map(|name| named(ObjectKind::Service, name)),
        Just(named(ObjectKind::HTTPRoute, "r")),
        Just(named(ObjectKind::Ingress, "i")),
    ];
    let gone = prop_oneof![
        any_service().prop_map(|name| named(ObjectKind::Service, name)),
        proptest::sample::select(vec!["r", "s"])
            .prop_map(|name| named(ObjectKind::HTTPRoute, name)),
        proptest::sample::select(vec!["x", "y"])
            .prop_map(|name| named(ObjectKind::DataPlaneMetricsExtension, name)),
        proptest::sample::select(vec!["p", "q", "x-metrics-prometheus", "y-metrics-prometheus"])
            .prop_map(|name| named(ObjectKind::KongPlugin, name)),
    ];
    prop_oneof![
        3 => extension.prop_map(Step::Put),
        3 => route.prop_map(Step::Put),
        2 => (any_service(), any::<bool>()).prop_map(|(name, labels)| Step::Put(service(name, labels))),
        1 => any_service().prop_map(|name| Step::Put(ingress(name))),
        2 => plugin.prop_map(Step::Put),
        2 => (target, any_list()).prop_map(|(key, list)| Step::List(key, list)),
        2 => gone.prop_map(Step::Delete),
    ]
}

/// What a user changes, as the user's tools do it: what others have put there stays.
fn take(world: &mut World, step: &Step) {
    match step {
        Step::Put(value) => {
            let key = world::object(value).key();
            let mut value = value.clone();
            if let Some(there) = world.objects.get(&key) {
                if there["plugin"].is_string() && there["plugin"] != value["plugin"] {
                    return; // immutable
                }
                let mut merged = there.clone();
                // Neither list nor labels of the user's own stay.
                json_patch::merge(&mut merged, &value);
                for annotation in ["service-label-selector", "attach-to"] {
                    let name = format!("kong-metrics-exporter.io/{annotation}");
                    if value["metadata"]["annotations"][&name].is_null()
                        && let Some(all) = merged
                            .pointer_mut("/metadata/annotations")
                            .and_then(Value::as_object_mut)
                    {
                        all.remove(&name);
                    }
                }
                value = merged;
            }
            world.store(value);
        }
        Step::Delete(key) => world.delete(key),
        Step::List(key, list) => {
            let Some(there) = world.objects.get(key) else { return };
            let mut value = there.clone();
            let patch = json!({"metadata": {"annotations": {"konghq.com/plugins": list}}});
            json_patch::merge(&mut value, &patch);
            world.store(value);
        }
    }
}

/// The same cluster without us.
fn without_us(world: &World) -> std::collections::BTreeMap<Key, Value> {
    let mut objects = world.content();
    objects.retain(|_, value| {
        value["metadata"]["labels"]["kong-metrics-exporter.io/managed-by"] != "controller"
    });
    for value in objects.values_mut() {
        let Some(annotations) =
            value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        else {
            continue;
        };
        annotations.remove("kong-metrics-exporter.io/status");
        let Some(mark) = annotations.remove("kong-metrics-exporter.io/plugin") else { continue };
        let mark = mark.as_str().unwrap();
        let (name, before) = mark.split_once(" before=").map_or((mark, None), |(name, before)| {
            (name, Some(serde_json::from_str::<String>(before).unwrap()))
        });
        let list = annotations.get("konghq.com/plugins").and_then(Value::as_str).map(str::to_owned);
        let Some(list) = list else { continue };
        let rest: Vec<_> = list.split(',').filter(|item| item.trim() != name).collect();
        let rest = rest.join(",");
        let has_items = rest.split(',').any(|item| !item.trim().is_empty());
        let is_ours = list.split(',').any(|item| item.trim() == name);
        match before {
            _ if has_items => annotations.insert("konghq.com/plugins".into(), rest.into()),
            _ if !is_ours => None,
            Some(before) => annotations.insert("konghq.com/plugins".into(), before.into()),
            None => annotations.remove("konghq.com/plugins"),
        };
    }
    for value in objects.values_mut() {
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.retain(|_, value| !value.as_object().is_some_and(|map| map.is_empty()));
            if let Some(all) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
                all.retain(|own| own != "kong-metrics-exporter.io/controller");
                if all.is_empty() {
                    metadata.remove("finalizers");
                }
            }
        }
    }
    objects
}

/// Whether a user lists a plugin of ours: then it has to go before all is safe.
fn lists_our_plugin(world: &World) -> bool {
    world.objects.values().any(|value| {
        let annotations = &value["metadata"]["annotations"];
        let list = annotations["konghq.com/plugins"].as_str().unwrap_or_default();
        list.contains("-metrics-prometheus")
            && annotations["kong-metrics-exporter.io/plugin"].is_null()
    })
}

/// Whether everything that Kong would serve without us it serves with us.
fn is_safe(world: &World) -> Result<(), String> {
    let (with, without) = (translate(&world.objects), translate(&without_us(world)));
    let lost: Vec<_> = without.rules.difference(&with.rules).collect();
    if !lost.is_empty() {
        return Err(format!("lost: {lost:?}"));
    }
    if with.is_refused() && !without.is_refused() {
        return Err(format!("refused: {:?}", with.plugins));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_no_route_is_lost_and_nothing_is_refused(
        steps in proptest::collection::vec(any_step(), 1..25),
        cuts in proptest::collection::vec(0..12_usize, 25),
    ) {
        all_is_well(&steps, &cuts)?;
    }
}

/// Found by chance: a user lists a plugin that is made later, when another one has to go for it.
#[test]
fn a_plugin_of_ours_that_is_listed_ahead_is_never_beside_another() {
    let put = Step::Put;
    let steps = [
        put(ingress("d")),
        put(service("d", true)),
        put(extension("y", &[], true, false, true)),
        Step::List(named(ObjectKind::Ingress, "i"), Some("x-metrics-prometheus".to_owned())),
        put(route("s", &[vec!["a", "d"]], Some("p"))),
        put(extension("x", &[], true, false, true)),
    ];
    all_is_well(&steps, &[0; 6]).unwrap();
    all_is_well(&steps, &[1; 6]).unwrap();
}

fn all_is_well(steps: &[Step], cuts: &[usize]) -> Result<(), TestCaseError> {
    let options = Options::default();
    let mut world = World::new(&kic(), &[]);
    for (step, cut) in steps.iter().zip(cuts) {
        take(&mut world, step);
        // What the user did may need something to be withdrawn first. From then on all is safe.
        // A controller that is cut off in the midst is one that plans again.
        let mut is_safe_from_here = is_safe(&world).is_ok();
        for round in 0..2 {
            let writes = world.plan(&options).writes;
            let withdrawals = writes.iter().take_while(|write| write.is_withdrawal()).count();
            let end = if round == 0 { writes.len().min(*cut) } else { writes.len() };
            for (at, write) in writes[..end].iter().enumerate() {
                prop_assert_eq!(world.write(write), Ok(()), "{:?}", write);
                is_safe_from_here |=
                    is_safe(&world).is_ok() || at + 1 >= withdrawals && !lists_our_plugin(&world);
                if is_safe_from_here {
                    let safe = is_safe(&world);
                    prop_assert!(safe.is_ok(), "{} after {:?}", safe.unwrap_err(), write);
                }
            }
            if round == 1 {
                let safe = is_safe(&world);
                prop_assert!(safe.is_ok(), "{}", safe.unwrap_err());
            }
        }
        // Objects that were written while others waited for them.
        world.settle(&options);
        prop_assert!(world.plan(&options).events.is_empty());
        let safe = is_safe(&world);
        prop_assert!(safe.is_ok(), "{}", safe.unwrap_err());
    }
    let expected = without_us(&world);
    for name in ["x", "y"] {
        world.delete(&named(ObjectKind::DataPlaneMetricsExtension, name));
    }
    world.settle(&options);
    let mut expected = expected;
    expected.retain(|key, _| key.kind != ObjectKind::DataPlaneMetricsExtension);
    prop_assert_eq!(world.content(), expected);
    Ok(())
}
