//! Arguments of `controller`.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::args::values::{duration, label};
use crate::args::{Kubernetes, Listen, Logs, Watch};
use crate::cluster::control::Config;

/// Arguments of `controller`.
#[derive(Debug, Args)]
pub struct Control {
    /// Take over what Kong Operator put on Services for the same extensions. Only once its own
    /// controller is off, by its flag --enable-controller-controlplaneextensions=false
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_ADOPT",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        help_heading = CONTROLLER
    )]
    adopt: bool,

    /// How long an extension that a ControlPlane or GatewayConfiguration has just named is left to
    /// Kong Operator's own controller, to see whether that acts on it; 0s where it is off
    #[arg(
        long = "operator.wait",
        env = "KONG_METRICS_EXPORTER_OPERATOR_WAIT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        help_heading = CONTROLLER
    )]
    wait: Duration,

    /// The Lease by which one of several controllers leads
    #[arg(
        long = "lease.name",
        env = "KONG_METRICS_EXPORTER_LEASE_NAME",
        value_name = "NAME",
        default_value = "kong-metrics-exporter-controller",
        help_heading = CONTROLLER
    )]
    pub lease: String,

    /// The namespace of the Lease, instead of this pod's own
    #[arg(
        long = "lease.namespace",
        env = "KONG_METRICS_EXPORTER_LEASE_NAMESPACE",
        value_name = "NAMESPACE",
        value_parser = label,
        help_heading = CONTROLLER
    )]
    pub lease_namespace: Option<String>,

    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,

    /// How to reach the API server.
    #[command(flatten)]
    pub kubernetes: Kubernetes,

    /// What is watched.
    #[command(flatten)]
    watch: Watch,

    /// Logs.
    #[command(flatten)]
    pub logs: Logs,
}

impl Control {
    /// What is controlled, and how, by the process of this name.
    pub fn config(&self, identity: String) -> Config {
        let watch = self.watch.config();
        Config {
            settings: watch.settings,
            namespaces: watch.namespaces,
            watching: watch.options,
            adopt: self.adopt,
            wait: self.wait,
            identity,
        }
    }
}

const CONTROLLER: &str = "Controller";
