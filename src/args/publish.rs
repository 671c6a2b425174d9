//! Arguments of `publish`.

use std::time::Duration;

use clap::Args;

use crate::args::values::{label, mapping_name, positive_duration};
use crate::args::{Kubernetes, Listen, Logs, Watch};
use crate::mapping::shards::DEFAULT_NAME;
use crate::source::Source;

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// The namespaces to publish in, those of Kong's pods, comma separated or repeated. If left out:
    /// this pod's own, and every one that has DataPlanes of Kong Operator's
    #[arg(
        long = "publish.namespaces",
        env = "KONG_METRICS_EXPORTER_PUBLISH_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = label,
        help_heading = PUBLISHING
    )]
    namespaces: Vec<String>,

    /// The name of the mapping; its ConfigMaps are called NAME-0, NAME-1 …
    #[arg(
        long = "publish.name",
        env = "KONG_METRICS_EXPORTER_PUBLISH_NAME",
        value_name = "NAME",
        default_value = DEFAULT_NAME,
        value_parser = mapping_name,
        help_heading = PUBLISHING
    )]
    pub name: String,

    /// At least so long between two publications
    #[arg(
        long = "publish.interval",
        env = "KONG_METRICS_EXPORTER_PUBLISH_INTERVAL",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = positive_duration,
        help_heading = PUBLISHING
    )]
    pub interval: Duration,

    /// How often to make sure that all that was published is still there
    #[arg(
        long = "publish.check-interval",
        env = "KONG_METRICS_EXPORTER_PUBLISH_CHECK_INTERVAL",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = positive_duration,
        help_heading = PUBLISHING
    )]
    pub check: Duration,

    /// The Lease by which one of several publishers leads
    #[arg(
        long = "lease.name",
        env = "KONG_METRICS_EXPORTER_LEASE_NAME",
        value_name = "NAME",
        default_value = "kong-metrics-exporter-publish",
        help_heading = PUBLISHING
    )]
    pub lease: String,

    /// The namespace of the Lease, instead of this pod's own
    #[arg(
        long = "lease.namespace",
        env = "KONG_METRICS_EXPORTER_LEASE_NAMESPACE",
        value_name = "NAMESPACE",
        value_parser = label,
        help_heading = PUBLISHING
    )]
    pub lease_namespace: Option<String>,

    /// Where the mapping comes from: watch (the routes and Services of the cluster), file:PATH or
    /// dir:PATH
    #[arg(
        long = "mapping",
        env = "KONG_METRICS_EXPORTER_MAPPING",
        value_name = "SOURCE",
        default_value = "watch",
        help_heading = "Mapping"
    )]
    pub source: Source,

    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,

    /// How to reach the API server.
    #[command(flatten)]
    pub kubernetes: Kubernetes,

    /// What is watched.
    #[command(flatten)]
    pub watch: Watch,

    /// Logs.
    #[command(flatten)]
    pub logs: Logs,
}

impl Publish {
    /// Whether to find out by itself where there are gateways.
    pub fn finds(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// The namespaces to publish in, each once; `own` where none is given.
    pub fn namespaces(&self, own: &str) -> Vec<String> {
        let mut namespaces = self.namespaces.clone();
        if namespaces.is_empty() {
            namespaces.push(own.to_owned());
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces
    }
}

const PUBLISHING: &str = "Publishing";
