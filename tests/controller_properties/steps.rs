//! What users do: random choices in, steps out. Few names, so that they meet.

use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// Something that a user does.
#[derive(Clone)]
pub(crate) enum Step {
    Put(Value),
    Delete(Key),
    /// An object gets this list of plugins, or loses it.
    List(Key, Option<String>),
    /// Something is written before and behind what the list has.
    Around(Key, [&'static str; 2]),
    OptOut(Key, bool),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(value) => write!(f, "put {value}"),
            Self::Delete(key) => write!(f, "delete {} {}", key.kind.as_str(), key.name),
            Self::List(key, list) => write!(f, "list {} {} {list:?}", key.kind.as_str(), key.name),
            Self::Around(key, texts) => {
                write!(f, "around {} {} {texts:?}", key.kind.as_str(), key.name)
            }
            Self::OptOut(key, is) => write!(f, "opt-out {} {} {is}", key.kind.as_str(), key.name),
        }
    }
}

/// What is there before anything happens: nothing, or Services, plugins and a route.
pub(crate) fn any_begin() -> impl Strategy<Value = Vec<Step>> {
    let services = subsequence(&SERVICES[..], 2..=4);
    let all =
        (services, any_plugin(), any_plugin(), any_route()).prop_map(|(services, p, q, route)| {
            let services = services.into_iter().map(|name| service(name, name < "b"));
            services.chain([p, q, route]).map(Step::Put).collect()
        });
    prop_oneof![1 => Just(Vec::new()), 4 => all]
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_extension().prop_map(Step::Put),
        6 => any_route().prop_map(Step::Put),
        3 => (any_service(), any::<bool>()).prop_map(|(name, labels)| Step::Put(service(name, labels))),
        2 => any_service().prop_map(|name| Step::Put(ingress(name))),
        4 => any_plugin().prop_map(Step::Put),
        4 => (any_target(), any_list()).prop_map(|(key, list)| Step::List(key, list)),
        3 => (any_target(), any_around()).prop_map(|(key, texts)| Step::Around(key, texts)),
        1 => (any_target(), any::<bool>()).prop_map(|(key, is)| Step::OptOut(key, is)),
        4 => any_victim().prop_map(Step::Delete),
    ]
}

fn any_extension() -> impl Strategy<Value = Value> {
    let name = select(&EXTENSIONS[..]);
    let names = subsequence(&SERVICES[..], 0..=2);
    let flags = any::<[bool; 4]>();
    let weighted = prop::bool::weighted;
    let words = (weighted(0.25), weighted(0.3), weighted(0.85));
    (name, names, flags, words).prop_map(|(name, names, flags, (selector, on_routes, counts))| {
        extension(name, &names, flags, [selector, on_routes, counts])
    })
}

/// Now and then with a filter that names a plugin, which may be ours.
fn any_route() -> impl Strategy<Value = Value> {
    let backends = || prop::collection::vec(any_service(), 1..3);
    let rules = prop::collection::vec(backends(), 1..4);
    let filter = select(
        &[None, None, None, None, None, Some("p"), Some("q"), Some("x-metrics-prometheus")][..],
    );
    (select(&ROUTES[..]), rules, filter)
        .prop_map(|(route_of, rules, filter)| route(route_of, &rules, filter))
}

fn any_plugin() -> impl Strategy<Value = Value> {
    let name = select(&["p", "q", "x-metrics-prometheus", "c", "g"][..]);
    let of = select(&["prometheus", "prometheus", "rate-limiting"][..]);
    (name, of, any::<[bool; 4]>(), prop::bool::weighted(0.7)).prop_map(
        |(name, of, flags, is_global)| {
            match name {
                // Those of the whole cluster.
                "c" | "g" => cluster_plugin(name, of, flags, is_global && name == "g"),
                _ => plugin(name, of, flags),
            }
        },
    )
}

fn any_list() -> impl Strategy<Value = Option<String>> {
    let item = select(
        &["p", "q", " p ", "", " ", "web:p", "gone", "c", "x-metrics-prometheus", "limit"][..],
    );
    let any = prop::collection::vec(item, 0..3).prop_map(|items| Some(items.join(",")));
    // One of ours, before it is there or after, alone and beside another one.
    let ours = select(
        &["x-metrics-prometheus", "p,x-metrics-prometheus", "web:x-metrics-prometheus ,c"][..],
    );
    prop_oneof![2 => Just(None), 3 => any, 2 => ours.prop_map(|list| Some(list.to_owned()))]
}

/// As somebody edits a list by hand.
fn any_around() -> impl Strategy<Value = [&'static str; 2]> {
    let before = select(&["", " ", "limit , ", ",", " p,", "gone,"][..]);
    let behind = select(&["", " ", " ,limit", ",", ", q ", ",gone"][..]);
    (before, behind).prop_map(|(before, behind)| [before, behind])
}

fn any_service() -> impl Strategy<Value = &'static str> {
    select(&SERVICES[..])
}

fn any_target() -> impl Strategy<Value = Key> {
    let service = any_service().prop_map(|name| web(ObjectKind::Service, name));
    let route =
        select(&ROUTES[..]).prop_map(|(kind, namespace, name)| Key::new(kind, namespace, name));
    prop_oneof![3 => service, 3 => route, 1 => Just(web(ObjectKind::Ingress, "i"))]
}

fn any_victim() -> impl Strategy<Value = Key> {
    let extension =
        select(&EXTENSIONS[..]).prop_map(|name| web(ObjectKind::DataPlaneMetricsExtension, name));
    let plugins = &["p", "q", "x-metrics-prometheus", "y-metrics-prometheus"][..];
    let plugin = select(plugins).prop_map(|name| web(ObjectKind::KongPlugin, name));
    let of_cluster =
        select(&["c", "g"][..]).prop_map(|name| Key::new(ObjectKind::KongClusterPlugin, "", name));
    prop_oneof![4 => any_target(), 2 => extension, 2 => plugin, 1 => of_cluster]
}

pub(crate) fn web(kind: ObjectKind, name: &str) -> Key {
    Key::new(kind, "web", name)
}

pub(crate) fn service(name: &str, labels: bool) -> Value {
    let (namespace, name) = name.split_once('/').unwrap_or(("web", name));
    let labels = if labels { json!({"app": "shop"}) } else { json!({}) };
    json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]},
        "metadata": {"name": name, "namespace": namespace, "labels": labels}})
}

pub(crate) fn route(
    (kind, namespace, name): (ObjectKind, &str, &str),
    rules: &[Vec<&str>],
    filter: Option<&str>,
) -> Value {
    let backend = |service: &&str| json!({"kind": "Service", "namespace": "web", "name": service, "port": 80, "weight": 1});
    let has_filters = matches!(kind, ObjectKind::HTTPRoute | ObjectKind::GRPCRoute);
    let filter = filter.filter(|_| has_filters).map(|plugin| json!({"type": "ExtensionRef",
        "extensionRef": {"group": "configuration.konghq.com", "kind": "KongPlugin", "name": plugin}}));
    let rule = |backends: &Vec<&str>| {
        let backends: Vec<_> = backends.iter().map(backend).collect();
        json!({"backendRefs": backends, "filters": filter.iter().collect::<Vec<_>>()})
    };
    let rules: Vec<_> = rules.iter().map(rule).collect();
    let version = if has_filters { "v1" } else { "v1alpha2" };
    json!({"apiVersion": format!("gateway.networking.k8s.io/{version}"), "kind": kind.as_str(),
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [{"name": "kong"}], "rules": rules}})
}

pub(crate) fn ingress(service: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "i", "namespace": "web"},
        "spec": {"ingressClassName": "kong", "rules": [{"http": {"paths": [
            {"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]}})
}

fn plugin(name: &str, of: &str, flags: [bool; 4]) -> Value {
    json!({"apiVersion": "configuration.konghq.com/v1", "kind": "KongPlugin", "plugin": of,
        "metadata": {"name": name, "namespace": "web"}, "config": switches(PLUGIN_FLAGS, flags)})
}

fn cluster_plugin(name: &str, of: &str, flags: [bool; 4], is_global: bool) -> Value {
    json!({"apiVersion": "configuration.konghq.com/v1", "kind": "KongClusterPlugin", "plugin": of,
        "metadata": {"name": name, "labels": {"global": is_global.to_string()}},
        "config": switches(PLUGIN_FLAGS, flags)})
}

pub(crate) fn extension(
    name: &str,
    services: &[&str],
    flags: [bool; 4],
    [selector, on_routes, counts]: [bool; 3],
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
        "spec": {"serviceSelector": {"matchNames": names},
            "config": switches(EXTENSION_FLAGS.map(|(own, _)| own), flags)}})
}

fn switches(names: [&str; 4], flags: [bool; 4]) -> Value {
    names
        .into_iter()
        .zip(flags)
        .map(|(name, is)| (name.to_owned(), json!(is)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(crate) const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const EXTENSIONS: [&str; 3] = ["x", "y", "z"];

/// The last one is in another namespace.
pub(crate) const ROUTES: [(ObjectKind, &str, &str); 5] = [
    (ObjectKind::HTTPRoute, "web", "r"),
    (ObjectKind::HTTPRoute, "web", "s"),
    (ObjectKind::GRPCRoute, "web", "g"),
    (ObjectKind::TCPRoute, "web", "t"),
    (ObjectKind::HTTPRoute, "other", "r"),
];

/// As an extension calls it, and as the plugin does.
pub(crate) const EXTENSION_FLAGS: [(&str, &str); 4] = [
    ("latency", "latency_metrics"),
    ("bandwidth", "bandwidth_metrics"),
    ("upstreamHealth", "upstream_health_metrics"),
    ("statusCode", "status_code_metrics"),
];

const PLUGIN_FLAGS: [&str; 4] =
    ["latency_metrics", "bandwidth_metrics", "status_code_metrics", "per_consumer"];
