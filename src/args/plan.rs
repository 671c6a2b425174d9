//! Arguments of `plan`.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::args::values::positive_duration;
use crate::args::{Kubernetes, Objects, Watch};
use crate::cluster::control::Config;
use crate::controller::Options;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The manifests; those of the cluster where there are none.
    #[command(flatten)]
    pub objects: Objects,

    /// What to print: diff (each write, in order) or objects (whole, as they would be afterwards)
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_OUTPUT",
        value_name = "FORMAT",
        default_value = "diff"
    )]
    pub output: Shown,

    /// Take over what Kong Operator put on Services for the same extensions. Only once its own
    /// controller is off, by its flag --enable-controller-controlplaneextensions=false
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_ADOPT",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    adopt: bool,

    /// By when the API server must have listed everything, where the cluster is read
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = positive_duration
    )]
    pub timeout: Duration,

    /// How Kong's controller is set up, and what of a cluster is read.
    #[command(flatten)]
    watch: Watch,

    /// How to reach the API server.
    #[command(flatten)]
    pub kubernetes: Kubernetes,
}

/// What a plan is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shown {
    /// Each write, with what it changes.
    Diff,
    /// Every object that would be created or changed, whole.
    Objects,
}

impl Plan {
    /// How Kong's controller is set up, and what of a cluster is read.
    pub fn config(&self) -> Config {
        let watch = self.watch.config();
        Config {
            settings: watch.settings,
            namespaces: watch.namespaces,
            watching: watch.options,
            ..Config::default()
        }
    }

    /// What the user decides.
    pub fn options(&self) -> Options {
        Options { adopt: self.adopt, ..Options::default() }
    }
}
