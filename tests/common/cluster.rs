//! Make-believe clusters: a few words in, objects and mappings out.
#![allow(dead_code)] // not every test uses all of it
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

use kong_metrics_exporter::kubernetes::Object;
use kong_metrics_exporter::kubernetes::manifest::{Defaults, Manifests};
use kong_metrics_exporter::mapping::Snapshot;
use kong_metrics_exporter::mapping::entry::EntryRef;
use kong_metrics_exporter::resolve::{Flavor, Index, Settings, Switch};

/// Kong Operator as it comes.
pub(crate) fn operator() -> Settings {
    Settings {
        flavor: Flavor::KongOperator,
        combined: Switch::On,
        expressions: Switch::Off,
        ..Settings::default()
    }
}

/// Kong Ingress Controller as it comes.
pub(crate) fn kic() -> Settings {
    Settings { flavor: Flavor::Kic, combined: Switch::Off, ..operator() }
}

/// The objects of some manifests, as an API server would return them.
pub(crate) fn objects(manifests: &[String]) -> Vec<Object> {
    let mut read = Manifests::default();
    read.read(&manifests.join("---\n"), Defaults::Fill).unwrap();
    assert_eq!(read.skipped.len(), 0, "{:?}", read.skipped);
    read.objects
}

/// The index of some manifests.
pub(crate) fn index(settings: &Settings, manifests: &[String]) -> Index {
    let mut index = Index::new(settings.clone());
    objects(manifests).into_iter().for_each(|object| index.apply(object));
    index
}

/// What the mapping of some manifests holds, a line each.
pub(crate) fn mapping(settings: &Settings, manifests: &[String]) -> Vec<String> {
    lines(&index(settings, manifests).snapshot())
}

/// `name -> namespace/service:port*weight … < Kind namespace/name:rule …`, a line each.
pub(crate) fn lines(snapshot: &Snapshot) -> Vec<String> {
    snapshot.iter().map(|(name, entry)| format!("{name} ->{}", spell(&entry))).collect()
}

pub(crate) fn spell(entry: &EntryRef<'_>) -> String {
    let mut text = String::new();
    for backend in &entry.backends {
        text += &format!(" {}/{}", backend.namespace, backend.service);
        text += &backend.port.map(|port| format!(":{port}")).unwrap_or_default();
        text += &backend.weight.map(|weight| format!("*{weight}")).unwrap_or_default();
    }
    text += " <";
    for owner in &entry.owners {
        let name = owner.name.unwrap_or("?");
        text += &format!(" {} {}/{name}", owner.kind.as_str(), owner.namespace);
        text += &owner.rule.map(|rule| format!(":{rule}")).unwrap_or_default();
    }
    text
}

/// A Service `namespace/name`.
pub(crate) fn service(name: &str) -> String {
    manifest("v1", "Service", name, "{}", "{}")
}

/// A Service with annotations in YAML's flow style.
pub(crate) fn annotated_service(name: &str, annotations: &str) -> String {
    manifest("v1", "Service", name, annotations, "{}")
}

/// An HTTPRoute with these rules in flow style, attached to the Gateway `kong` of its namespace.
pub(crate) fn httproute(name: &str, rules: &[&str]) -> String {
    route("HTTPRoute", name, rules)
}

/// A route of any kind.
pub(crate) fn route(kind: &str, name: &str, rules: &[&str]) -> String {
    let spec = format!("{{parentRefs: [{{name: kong}}], rules: [{}]}}", rules.join(", "));
    gateway_api(kind, name, &spec)
}

/// An object of the Gateway API.
pub(crate) fn gateway_api(kind: &str, name: &str, spec: &str) -> String {
    manifest("gateway.networking.k8s.io/v1", kind, name, "{}", spec)
}

/// A rule with these backends in flow style.
pub(crate) fn rule(backends: &[&str]) -> String {
    format!("{{backendRefs: [{}]}}", backends.join(", "))
}

/// Any object; the name is `namespace/name` or only a name.
pub(crate) fn manifest(
    api_version: &str,
    kind: &str,
    name: &str,
    annotations: &str,
    spec: &str,
) -> String {
    let name = match name.split_once('/') {
        Some((namespace, name)) => format!("namespace: {namespace}, name: \"{name}\""),
        None => format!("name: \"{name}\""),
    };
    format!(
        "apiVersion: {api_version}\nkind: {kind}\n\
         metadata: {{{name}, annotations: {annotations}}}\nspec: {spec}\n"
    )
}
