//! Arguments of every command that works out names: how Kong's controller is set up.

use clap::{ArgAction, Args};

use crate::args::values::{gateway, on_or_off};
use crate::resolve::{Flavor, Settings, Switch};

/// How Kong's controller is set up.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kong's controller")]
pub struct Controller {
    /// Which one it is: kong-operator, kic, or auto (the names of both)
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_FLAVOR",
        value_name = "FLAVOR",
        default_value = "auto"
    )]
    flavor: Flavor,

    /// Whether it combines rules of different HTTPRoutes into one Kong service: on, off, or auto
    /// (as the ControlPlanes say, else the names of both)
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_COMBINED",
        value_name = "SWITCH",
        default_value = "auto"
    )]
    combined: Switch,

    /// Whether Kong's router is "expressions": on, off, or auto (the names of both)
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_EXPRESSIONS",
        value_name = "SWITCH",
        default_value = "auto"
    )]
    expressions: Switch,

    /// Whether KongServiceFacades count: on or off
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_FACADE",
        value_name = "SWITCH",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = on_or_off
    )]
    facade: bool,

    /// The ingress class that counts, instead of kong and those of Kong's IngressClasses
    #[arg(long, env = "KONG_METRICS_EXPORTER_INGRESS_CLASS", value_name = "NAME")]
    ingress_class: Option<String>,

    /// The Gateways whose routes count, comma separated or repeated, instead of all but those of
    /// another vendor's GatewayClass
    #[arg(
        long = "gateway",
        env = "KONG_METRICS_EXPORTER_GATEWAY",
        value_name = "NAMESPACE/NAME",
        value_delimiter = ',',
        value_parser = gateway
    )]
    gateways: Vec<(String, String)>,
}

impl Controller {
    /// The same, for the resolver.
    pub fn settings(&self) -> Settings {
        let Self { flavor, combined, expressions, facade, ingress_class, gateways } = self;
        Settings {
            flavor: *flavor,
            combined: *combined,
            expressions: *expressions,
            facade: *facade,
            ingress_class: ingress_class.clone(),
            gateways: gateways.iter().cloned().collect(),
        }
    }
}
