//! Arguments of `plan`.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::args::{Controller, Objects};
use crate::controller::Options;
use crate::resolve::Settings;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The manifests.
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

    #[command(flatten)]
    controller: Controller,
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
    /// How Kong's controller is set up.
    pub fn settings(&self) -> Settings {
        self.controller.settings()
    }

    /// What the user decides.
    pub fn options(&self) -> Options {
        Options { adopt: self.adopt, ..Options::default() }
    }
}
