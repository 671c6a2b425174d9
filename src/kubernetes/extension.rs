//! The objects that say what Kong is to measure: DataPlaneMetricsExtensions, what they are attached
//! to, and Kong's plugins.
//!
//! As for [`super::types`]: only the fields that are read; what is absent or `null` is empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::thin;

/// A DataPlaneMetricsExtension.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Extension {
    /// What is to be measured of which Services.
    #[serde(deserialize_with = "thin::or_default")]
    pub spec: ExtensionSpec,
    /// What has come of it.
    #[serde(deserialize_with = "thin::or_default")]
    pub status: ExtensionStatus,
}

/// `spec` of a DataPlaneMetricsExtension.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExtensionSpec {
    /// Which Services of its namespace.
    #[serde(deserialize_with = "thin::or_default")]
    pub service_selector: ServiceSelector,
    /// What of them.
    #[serde(deserialize_with = "thin::or_default")]
    pub config: ExtensionConfig,
}

/// The Services that an extension names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSelector {
    /// By name.
    #[serde(deserialize_with = "thin::or_default")]
    pub match_names: Vec<ServiceName>,
}

/// A Service by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServiceName {
    /// The name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
}

/// What an extension wants to have measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExtensionConfig {
    /// How long requests take.
    #[serde(deserialize_with = "thin::or_default")]
    pub latency: bool,
    /// How many bytes they have.
    #[serde(deserialize_with = "thin::or_default")]
    pub bandwidth: bool,
    /// Which targets of upstreams are healthy.
    #[serde(deserialize_with = "thin::or_default")]
    pub upstream_health: bool,
    /// How many requests end with which status.
    #[serde(deserialize_with = "thin::or_default")]
    pub status_code: bool,
}

/// `status` of a DataPlaneMetricsExtension.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExtensionStatus {
    /// The ControlPlane it is attached to.
    pub control_plane_ref: Option<ControlPlaneRef>,
    /// What has been told; `None` where the definition of the kind keeps no conditions.
    pub conditions: Option<Vec<Condition>>,
}

/// A condition in a status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// What is told.
    #[serde(rename = "type", deserialize_with = "thin::or_default")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "thin::or_default")]
    pub status: String,
    /// Why, in a word.
    #[serde(deserialize_with = "thin::or_default")]
    pub reason: String,
    /// Why, in a sentence.
    #[serde(deserialize_with = "thin::or_default")]
    pub message: String,
    /// The generation of the object that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A ControlPlane, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ControlPlaneRef {
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// Its namespace; the extension's own where none is given.
    pub namespace: Option<String>,
}

/// An extension, as the object names it that it is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ExtensionRef {
    /// The group of its kind; Kong Operator's where none is given.
    pub group: Option<String>,
    /// Its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub kind: String,
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// Its namespace; that of the object where none is given.
    pub namespace: Option<String>,
}

/// `spec` of a GatewayConfiguration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayConfigurationSpec {
    /// What is attached to all that is made of it; v2beta1.
    #[serde(deserialize_with = "thin::or_default")]
    pub extensions: Vec<ExtensionRef>,
    /// How its ControlPlanes are set up; v1beta1.
    #[serde(deserialize_with = "thin::or_default")]
    pub control_plane_options: ControlPlaneOptions,
}

/// How a ControlPlane that is made of a GatewayConfiguration is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ControlPlaneOptions {
    /// What is attached to it.
    #[serde(deserialize_with = "thin::or_default")]
    pub extensions: Vec<ExtensionRef>,
}

/// A KongPlugin or KongClusterPlugin. Neither has a `spec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Plugin {
    /// What Kong calls the plugin.
    #[serde(deserialize_with = "thin::or_default")]
    pub plugin: String,
    /// Of its configuration what says what a prometheus plugin measures ([`FLAGS`]).
    #[serde(deserialize_with = "flags")]
    pub config: BTreeMap<String, bool>,
    /// Whether its configuration is in a Secret.
    #[serde(deserialize_with = "is_there")]
    pub config_from: bool,
    /// Whether parts of its configuration are in Secrets.
    #[serde(deserialize_with = "is_there")]
    pub config_patches: bool,
    /// The protocols it acts on; Kong's default where there are none.
    #[serde(deserialize_with = "thin::or_default")]
    pub protocols: Vec<String>,
}

/// The switches of Kong's prometheus plugin: those that an extension has, and then the others.
pub const FLAGS: [&str; 7] = [
    "latency_metrics",
    "bandwidth_metrics",
    "upstream_health_metrics",
    "status_code_metrics",
    "per_consumer",
    "ai_metrics",
    "wasm_metrics",
];

/// The switches among a plugin's configuration. Another plugin's may be of any shape.
fn flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, bool>, D::Error> {
    let Value::Object(config) = Value::deserialize(deserializer)? else {
        return Ok(BTreeMap::new());
    };
    let flag = |name: &&str| Some(((*name).to_owned(), config.get(*name)?.as_bool()?));
    Ok(FLAGS.iter().filter_map(flag).collect())
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    Ok(!is_empty)
}
