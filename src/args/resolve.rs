//! Arguments of `resolve`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::args::Controller;
use crate::args::values::on_or_off;
use crate::kubernetes::manifest::Defaults;
use crate::resolve::Settings;

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

impl Resolve {
    /// How Kong's controller is set up.
    pub fn settings(&self) -> Settings {
        self.controller.settings()
    }

    /// Whether to fill in what the API server would.
    pub fn defaults(&self) -> Defaults {
        if self.defaults { Defaults::Fill } else { Defaults::Keep }
    }
}
