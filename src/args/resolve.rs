//! Arguments of `resolve`.

use clap::Args;

use crate::args::controller::Controller;
use crate::args::objects::Objects;
use crate::resolve::Settings;

/// Arguments of `resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// Which manifests to read.
    #[command(flatten)]
    pub objects: Objects,

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
}
