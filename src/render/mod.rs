//! The sidecar, written into what makes Kong's pods.
//!
//! In: what to write it into, and [`Settings`]. Out: YAML. The one decision: it goes in where the
//! pods' owner reads it (a GatewayConfiguration, a DataPlane, a Deployment, a chart's values), never
//! into what the owner has made of it, which it would take out again.

mod edits;
mod merge;
mod pod;
mod source;
mod target;
mod tree;

use crate::source::Source;

pub use merge::{Error as MergeError, Merged};

/// What makes Kong's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Kong Operator 2: GatewayConfiguration v2beta1.
    #[value(name = "gatewayconfiguration-v2beta1")]
    GatewayConfigurationV2beta1,
    /// Kong Gateway Operator 1: GatewayConfiguration v1beta1.
    #[value(name = "gatewayconfiguration-v1beta1")]
    GatewayConfigurationV1beta1,
    /// Kong Operator, a DataPlane without a Gateway.
    #[value(name = "dataplane")]
    DataPlane,
    /// A Deployment of one's own.
    #[value(name = "deployment")]
    Deployment,
    /// The values of Kong's chart "kong", or of "gateway" in its chart "ingress".
    #[value(name = "helm-kong")]
    HelmKong,
}

/// As which kind of container the sidecar runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// An init container that goes on (Kubernetes 1.29): ends after Kong, so that its last seconds
    /// are scraped.
    Native,
    /// A container beside Kong's.
    Container,
}

/// What the sidecar is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As which kind of container.
    pub form: Form,
    /// What the object is called.
    pub name: String,
    /// Where it is.
    pub namespace: String,
    /// The sidecar's image.
    pub image: String,
    /// What Kong's container is called in a Deployment of one's own.
    pub container: String,
    /// Kong's image, for the targets that have to name one.
    pub kong_image: String,
    /// Where the mapping comes from.
    pub mapping: Source,
    /// With `dir:`, how many ConfigMaps to look for.
    pub shards: u16,
    /// The sidecar's other arguments.
    pub arguments: Vec<String>,
    /// Where these make it listen.
    pub port: u16,
    /// How many series Kong's dictionary is to have room for; 0 leaves it alone.
    pub kong_series: u32,
    /// TLS for scrapers.
    pub tls: Option<Tls>,
}

/// Where the sidecar's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// A Secret with `tls.crt` and `tls.key`, in the namespace of Kong's pods.
    pub secret: String,
    /// Whether only clients are let in that its `ca.crt` has signed.
    pub clients: bool,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
#[error("cannot write YAML")]
pub struct Error(#[from] serde_saphyr::SerializeError);

/// The object, or the values, with nothing in it but what the sidecar needs.
///
/// # Errors
/// None that is known of.
pub fn render(target: Target, settings: &Settings) -> Result<String, Error> {
    Ok(target::tree(target, settings).to_yaml()?)
}

/// The sidecar in somebody's file, which keeps all else: comments, order and notation, too.
///
/// # Errors
/// Where the file has no such object, or one that is not written so that it can be edited.
pub fn merge(text: &str, target: Target, settings: &Settings) -> Result<Merged, MergeError> {
    let container = (target == Target::Deployment).then_some(settings.container.as_str());
    let tree = target::addition(target, settings);
    let kind = target::kind(target);
    merge::merge(text, &merge::Wanted { kind, name: &settings.name, container, tree: &tree })
}
