//! A few words in, manifests out; a world in, what has come of it out.

use kong_metrics_exporter::controller::Options;
use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use serde_json::{Value, json};

use crate::cluster::kic;
use crate::world::{World, lines};

pub(crate) const NOTHING: [&str; 0] = [];
pub(crate) const OURS: &str = "web/kong-metrics-prometheus";

pub(crate) fn world(manifests: &[&str]) -> World {
    World::new(&kic(), manifests)
}

/// With a ControlPlane that names the extension `kong`, in the version of Kong Operator 2.
pub(crate) fn attached(manifests: &[&str]) -> World {
    let mut world = world(&[]);
    manifests.iter().for_each(|manifest| world.put(&unmarked(manifest)));
    world.put(&control_plane("cp", &["kong"]));
    world
}

/// An extension that counts only where it is attached.
pub(crate) fn unmarked(extension: &str) -> String {
    extension.replace("managed: \"true\"", "x: z")
}

pub(crate) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: web}}\nspec: {{ports: []}}\n"
    )
}

/// A Service that lists plugins.
pub(crate) fn listing(name: &str, list: &str) -> String {
    service(name).replace(
        "namespace: web",
        &format!("namespace: web, annotations: {{konghq.com/plugins: \"{list}\"}}"),
    )
}

/// One that counts by itself.
pub(crate) fn extension(name: &str, services: &[&str]) -> String {
    let names: Vec<_> = services.iter().map(|name| format!("{{name: {name}}}")).collect();
    format!(
        "apiVersion: gateway-operator.konghq.com/v1alpha1\nkind: DataPlaneMetricsExtension\n\
         metadata: {{name: {name}, labels: {{kong-metrics-exporter.io/managed: \"true\"}}, namespace: web}}\n\
         spec: {{serviceSelector: {{matchNames: [{}]}}, config: {{latency: true}}}}\n",
        names.join(", ")
    )
}

/// As a user's `kubectl apply` leaves it: with our finalizer.
pub(crate) fn held(extension: &str) -> String {
    extension.replace(
        "namespace: web}",
        "namespace: web, finalizers: [kong-metrics-exporter.io/controller]}",
    )
}

pub(crate) fn control_plane(name: &str, extensions: &[&str]) -> String {
    let extensions: Vec<_> = extensions
        .iter()
        .map(|name| {
            format!("{{group: gateway-operator.konghq.com, kind: DataPlaneMetricsExtension, name: {name}}}")
        })
        .collect();
    format!(
        "apiVersion: gateway-operator.konghq.com/v2beta1\nkind: ControlPlane\n\
         metadata: {{name: {name}, namespace: web}}\nspec: {{extensions: [{}]}}\n",
        extensions.join(", ")
    )
}

pub(crate) fn plugin(name: &str, of: &str) -> String {
    format!(
        "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\n\
         metadata: {{name: {name}, namespace: web}}\nplugin: {of}\nconfig: {{}}\n"
    )
}

pub(crate) fn cluster_plugin(name: &str, of: &str) -> String {
    plugin(name, of).replace("KongPlugin", "KongClusterPlugin").replace(", namespace: web", "")
}

/// An HTTPRoute of one rule.
pub(crate) fn route(name: &str, services: &[&str]) -> String {
    let backend = |name: &&str| format!("{{kind: Service, name: {name}, port: 80, weight: 1}}");
    let backends: Vec<_> = services.iter().map(backend).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: web}}\n\
         spec: {{parentRefs: [{{name: kong}}], rules: [{{backendRefs: [{}]}}]}}\n",
        backends.join(", ")
    )
}

pub(crate) fn relist(world: &mut World, service: &str, list: Option<&str>) {
    let key = Key::new(ObjectKind::Service, "web", service);
    let mut value = world.objects[&key].clone();
    let patch = json!({"metadata": {"annotations": {"konghq.com/plugins": list}}});
    json_patch::merge(&mut value, &patch);
    world.store(value);
}

pub(crate) fn annotate(world: &mut World, service: &str, annotation: &str, text: &str) {
    let key = Key::new(ObjectKind::Service, "web", service);
    let mut value = world.objects[&key].clone();
    json_patch::merge(&mut value, &json!({"metadata": {"annotations": {annotation: text}}}));
    world.store(value);
}

pub(crate) fn planned(world: &World) -> Vec<String> {
    lines(&world.plan(&Options::default()).writes)
}

pub(crate) fn on_service<'w>(world: &'w World, name: &str) -> Option<&'w str> {
    world.plugins(ObjectKind::Service, &format!("web/{name}"))
}

pub(crate) fn status(world: &World, extension: &str) -> Value {
    let kind = ObjectKind::DataPlaneMetricsExtension;
    let name = format!("web/{extension}");
    let text = world.annotation(kind, &name, "kong-metrics-exporter.io/status");
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

pub(crate) fn state(world: &World, extension: &str, service: &str) -> String {
    let status = status(world, extension);
    status["services"][service]["state"].as_str().unwrap_or("not told").to_owned()
}

pub(crate) fn plugins_there(world: &World) -> Vec<&str> {
    let plugins = world.objects.keys().filter(|key| key.kind == ObjectKind::KongPlugin);
    plugins.map(|key| &*key.name).collect()
}

/// The switches that are on.
pub(crate) fn measured(world: &World, extension: &str) -> Vec<String> {
    let plugin =
        Key::new(ObjectKind::KongPlugin, "web", &format!("{extension}-metrics-prometheus"));
    let config = world.objects[&plugin]["config"].as_object().unwrap();
    let on = config.iter().filter(|(_, value)| **value == true);
    on.map(|(name, _)| name.clone()).collect()
}
