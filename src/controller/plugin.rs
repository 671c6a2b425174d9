//! Kong's prometheus plugin as an object.
//!
//! In: an extension and what is to be measured. Out: the KongPlugin for it, or what has to change
//! about the one that is there. The one decision: what the plugin measures is ours, with its owner
//! and our labels; whatever else users add to the object is theirs.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::controller::keys;
use crate::kubernetes::extension::{ExtensionConfig, FLAGS, Plugin};
use crate::kubernetes::object::OwnerReference;
use crate::kubernetes::{Key, Metadata, ObjectKind};

/// What is to be measured: names out of [`FLAGS`].
pub type Flags = BTreeSet<&'static str>;

/// The flags of an extension.
pub fn flags_of(config: ExtensionConfig) -> Flags {
    let ExtensionConfig { latency, bandwidth, upstream_health, status_code } = config;
    let wanted = [latency, bandwidth, upstream_health, status_code];
    FLAGS
        .into_iter()
        .zip(wanted)
        .filter(|(_, is_wanted)| *is_wanted)
        .map(|(name, _)| name)
        .collect()
}

/// The flags of a prometheus plugin that is there. Where a Secret says what it measures, which is
/// not read, it may measure all that an extension can ask for.
pub fn flags_of_plugin(plugin: &Plugin) -> Flags {
    let is_hidden = plugin.config_from || plugin.config_patches;
    let own = FLAGS.into_iter().filter(|name| plugin.config.get(*name) == Some(&true));
    own.chain(FLAGS.into_iter().take(OF_EXTENSIONS).filter(|_| is_hidden)).collect()
}

/// Whether this is Kong's prometheus plugin.
pub fn is_prometheus(plugin: &Plugin) -> bool {
    plugin.plugin == PROMETHEUS
}

/// The name of the KongPlugin for an extension.
pub fn name_for(extension: &str) -> String {
    let name = format!("{extension}{SUFFIX}");
    if name.len() <= MAX_NAME { name } else { cut(extension, MAX_NAME - SUFFIX.len()) + SUFFIX }
}

/// The key of the KongPlugin for an extension.
pub fn key_for(extension: &Key) -> Key {
    Key::new(ObjectKind::KongPlugin, &extension.namespace, &name_for(&extension.name))
}

/// Whether a KongPlugin with this metadata is ours.
pub fn is_ours(metadata: &Metadata) -> bool {
    metadata.labels.get(keys::MANAGED_BY).is_some_and(|by| by == MANAGED_BY)
}

/// Whether a KongPlugin with this metadata is one that Kong Operator made for an extension.
pub fn is_operators(metadata: &Metadata) -> bool {
    let is = |key: &str, value: &str| metadata.labels.get(key).is_some_and(|own| own == value);
    is(keys::OPERATOR_MANAGED_BY, "controlplane") && is(keys::OPERATOR_PLUGIN_TYPE, PROMETHEUS)
}

/// The KongPlugin for an extension.
pub fn wanted(extension: &Key, uid: Option<&str>, flags: &Flags) -> Value {
    let key = key_for(extension);
    let mut metadata = json!({
        "name": &*key.name,
        "namespace": &*key.namespace,
        "labels": {keys::MANAGED_BY: MANAGED_BY, keys::EXTENSION: label_for(&extension.name)},
    });
    if let (Some(owner), Some(metadata)) = (owner(extension, uid), metadata.as_object_mut()) {
        metadata.insert("ownerReferences".to_owned(), json!([owner]));
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": ObjectKind::KongPlugin.as_str(),
        "metadata": metadata,
        "plugin": PROMETHEUS,
        "config": config(flags),
        "protocols": PROTOCOLS,
    })
}

/// What has to change about the KongPlugin that is there, as a merge patch. `None` if nothing.
pub fn difference(
    (metadata, plugin): (&Metadata, &Plugin),
    extension: &Key,
    uid: Option<&str>,
    flags: &Flags,
) -> Option<Value> {
    let mut labels = Map::new();
    for (key, value) in
        [(keys::MANAGED_BY, MANAGED_BY), (keys::EXTENSION, &label_for(&extension.name))]
    {
        if metadata.labels.get(key).is_none_or(|own| own != value) {
            labels.insert(key.to_owned(), value.into());
        }
    }
    for key in [
        keys::OPERATOR_MANAGED_BY,
        keys::OPERATOR_MANAGED_BY_NAME,
        keys::OPERATOR_MANAGED_BY_NAMESPACE,
        keys::OPERATOR_PLUGIN_TYPE,
    ] {
        if metadata.labels.contains_key(key) {
            labels.insert(key.to_owned(), Value::Null);
        }
    }
    let mut of_metadata = Map::new();
    if !labels.is_empty() {
        of_metadata.insert("labels".to_owned(), labels.into());
    }
    if let Some(owner) =
        owner(extension, uid).filter(|own| !metadata.owner_references.contains(own))
    {
        // Not those of the extension that had the name before, nor of Kong Operator.
        let is_foreign = |one: &&OwnerReference| {
            one.kind != owner.kind && one.kind != ObjectKind::ControlPlane.as_str()
        };
        let mut owners: Vec<_> = metadata.owner_references.iter().filter(is_foreign).collect();
        owners.push(&owner);
        of_metadata.insert("ownerReferences".to_owned(), json!(owners));
    }

    let wanted = config(flags);
    let mut config = Map::new();
    for name in FLAGS {
        let own = plugin.config.get(name);
        match wanted.get(name) {
            Some(value) if own.map(|own| Value::Bool(*own)).as_ref() != Some(value) => {
                config.insert(name.to_owned(), value.clone());
            }
            None if own == Some(&true) => drop(config.insert(name.to_owned(), Value::Null)),
            _ => {}
        }
    }
    let mut patch = Map::new();
    let hidden = [("configFrom", plugin.config_from), ("configPatches", plugin.config_patches)];
    let hidden = hidden.into_iter().filter(|(_, is_there)| *is_there);
    patch.extend(hidden.map(|(key, _)| (key.to_owned(), Value::Null)));
    if !of_metadata.is_empty() {
        patch.insert("metadata".to_owned(), of_metadata.into());
    }
    if !config.is_empty() {
        patch.insert("config".to_owned(), config.into());
    }
    if plugin.protocols != PROTOCOLS {
        patch.insert("protocols".to_owned(), json!(PROTOCOLS));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The switches of an extension always, the others where they are on.
fn config(flags: &Flags) -> Map<String, Value> {
    let (of_extensions, others) = FLAGS.split_at(OF_EXTENSIONS);
    let of_extensions = of_extensions.iter().map(|name| (*name, flags.contains(name)));
    let others = others.iter().filter(|name| flags.contains(**name)).map(|name| (*name, true));
    of_extensions.chain(others).map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// `None` where the extension's `uid` is not known: it is in no API server yet.
fn owner(extension: &Key, uid: Option<&str>) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: EXTENSION_API_VERSION.to_owned(),
        kind: extension.kind.as_str().to_owned(),
        name: extension.name.to_string(),
        uid: uid?.to_owned(),
        ..OwnerReference::default()
    })
}

/// The name as the value of a label.
fn label_for(name: &str) -> String {
    if name.len() <= MAX_LABEL { name.to_owned() } else { cut(name, MAX_LABEL) }
}

/// The beginning of the name and a hash of all of it.
fn cut(name: &str, length: usize) -> String {
    let hash = Sha256::digest(name.as_bytes());
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    // Names are ASCII.
    let begin = name.get(..length.saturating_sub(hash.len() + 1)).unwrap_or_default();
    format!("{}-{hash}", begin.trim_end_matches(['-', '.']))
}

/// What Kong calls the plugin.
const PROMETHEUS: &str = "prometheus";

/// Without them a plugin acts on HTTP and gRPC only.
const PROTOCOLS: [&str; 7] = ["http", "https", "grpc", "grpcs", "tcp", "tls", "udp"];

/// How many of [`FLAGS`] an extension has.
const OF_EXTENSIONS: usize = 4;

const SUFFIX: &str = "-metrics-prometheus";
const MANAGED_BY: &str = "controller";
const API_VERSION: &str = "configuration.konghq.com/v1";
const EXTENSION_API_VERSION: &str = "gateway-operator.konghq.com/v1alpha1";

/// The longest name of an object.
const MAX_NAME: usize = 253;
/// The longest value of a label.
const MAX_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(name: &str) -> Key {
        Key::new(ObjectKind::DataPlaneMetricsExtension, "web", name)
    }

    fn read(value: Value) -> (Metadata, Plugin) {
        let metadata = serde_json::from_value(value["metadata"].clone()).unwrap();
        (metadata, serde_json::from_value(value).unwrap())
    }

    #[test]
    fn the_plugin_is_as_documented() {
        let flags = Flags::from(["latency_metrics", "ai_metrics"]);
        assert_eq!(
            wanted(&extension("kong"), Some("u"), &flags),
            json!({
                "apiVersion": "configuration.konghq.com/v1",
                "kind": "KongPlugin",
                "metadata": {
                    "name": "kong-metrics-prometheus",
                    "namespace": "web",
                    "labels": {
                        "kong-metrics-exporter.io/managed-by": "controller",
                        "kong-metrics-exporter.io/extension": "kong",
                    },
                    "ownerReferences": [{
                        "apiVersion": "gateway-operator.konghq.com/v1alpha1",
                        "kind": "DataPlaneMetricsExtension",
                        "name": "kong",
                        "uid": "u",
                    }],
                },
                "plugin": "prometheus",
                "config": {
                    "latency_metrics": true,
                    "bandwidth_metrics": false,
                    "upstream_health_metrics": false,
                    "status_code_metrics": false,
                    "ai_metrics": true,
                },
                "protocols": ["http", "https", "grpc", "grpcs", "tcp", "tls", "udp"],
            })
        );
    }

    #[test]
    fn what_is_as_wanted_is_left_alone_and_so_is_what_users_add() {
        let (one, flags) = (extension("kong"), Flags::from(["latency_metrics"]));
        let mut there = wanted(&one, Some("u"), &flags);
        there["metadata"]["labels"]["team"] = "a".into();
        there["metadata"]["finalizers"] = json!(["f"]);
        there["config"]["per_consumer"] = false.into();
        let (metadata, plugin) = read(there);
        assert_eq!(difference((&metadata, &plugin), &one, Some("u"), &flags), None);
    }

    #[test]
    fn what_differs_is_put_right_and_only_that() {
        let (one, flags) = (extension("kong"), Flags::from(["latency_metrics"]));
        let mut there = wanted(&one, Some("old"), &Flags::from(["bandwidth_metrics"]));
        there["config"]["per_consumer"] = true.into();
        there["configFrom"] = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        there["protocols"] = json!(["http"]);
        there["metadata"]["labels"]["kong-metrics-exporter.io/extension"] = "x".into();
        let (metadata, plugin) = read(there);
        assert_eq!(
            difference((&metadata, &plugin), &one, Some("new"), &flags),
            Some(json!({
                "metadata": {
                    "labels": {"kong-metrics-exporter.io/extension": "kong"},
                    "ownerReferences": [{
                        "apiVersion": "gateway-operator.konghq.com/v1alpha1",
                        "kind": "DataPlaneMetricsExtension",
                        "name": "kong",
                        "uid": "new",
                    }],
                },
                "config": {"latency_metrics": true, "bandwidth_metrics": false, "per_consumer": null},
                "configFrom": null,
                "protocols": PROTOCOLS,
            }))
        );
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let long = |end: &str| format!("{}{end}", "a.".repeat(120));
        let (one, other) = (name_for(&long("x")), name_for(&long("y")));
        assert!(one.len() <= 253 && one != other && one.ends_with("-metrics-prometheus"), "{one}");
        assert!(crate::mapping::name::is_subdomain(&one), "{one}");
        let label = label_for(&long("x"));
        assert!(label.len() <= 63 && label != label_for(&long("y")), "{label}");
        assert_eq!(name_for("kong"), "kong-metrics-prometheus");
    }
}
