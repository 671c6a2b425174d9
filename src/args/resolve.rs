//! Arguments of `resolve`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::args::values::on_or_off;
use crate::kubernetes::manifest::Defaults;
use crate::resolve::{Flavor, Settings, Switch};

/// Arguments of `resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// Files of manifests in YAML or JSON, folders of such files, or - for standard input
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_OBJECTS",
        value_name = "PATH",
        required = true,
        num_args = 1..
    )]
    pub objects: Vec<PathBuf>,

    /// Whether to fill in what the API server would: on or off (manifests to the letter)
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_DEFAULTS",
        value_name = "SWITCH",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = on_or_off
    )]
    defaults: bool,

    /// How to print the mapping: json or yaml
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_OUTPUT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    pub output: Output,

    #[command(flatten)]
    controller: Controller,
}

/// What a mapping is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How Kong's controller is set up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kong's controller")]
struct Controller {
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
}

impl Resolve {
    /// How Kong's controller is set up.
    pub fn settings(&self) -> Settings {
        let Controller { flavor, combined, expressions, facade, ingress_class } = &self.controller;
        Settings {
            flavor: *flavor,
            combined: *combined,
            expressions: *expressions,
            facade: *facade,
            ingress_class: ingress_class.clone(),
            ..Settings::default()
        }
    }

    /// Whether to fill in what the API server would.
    pub fn defaults(&self) -> Defaults {
        if self.defaults { Defaults::Fill } else { Defaults::Keep }
    }
}
