//! Arguments of every command that reads manifests.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory};

use crate::args::Arguments;
use crate::args::values::on_or_off;
use crate::kubernetes::manifest::Defaults;

/// Which manifests to read, and how.
#[derive(Debug, Args)]
pub struct Objects {
    /// Files of manifests in YAML or JSON, folders of such files, or - for standard input
    #[arg(
        long = "objects",
        env = "KONG_METRICS_EXPORTER_OBJECTS",
        value_name = "PATH",
        num_args = 1..
    )]
    pub paths: Vec<PathBuf>,

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
}

impl Objects {
    /// # Errors
    /// Where no manifests are named.
    pub(super) fn required(&self) -> Result<(), clap::Error> {
        if !self.paths.is_empty() {
            return Ok(());
        }
        let kind = ErrorKind::MissingRequiredArgument;
        Err(Arguments::command().error(kind, "--objects=PATH names the manifests to read"))
    }

    /// Whether to fill in what the API server would.
    pub fn defaults(&self) -> Defaults {
        if self.defaults { Defaults::Fill } else { Defaults::Keep }
    }
}
