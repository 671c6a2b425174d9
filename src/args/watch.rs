//! Arguments of every command that watches what says which Services stand behind a Kong service.

use clap::Args;

use crate::args::Controller;
use crate::args::values::{label, list_by};
use crate::cluster::follow::ListBy;
use crate::source::watch::Config;

/// What is watched.
#[derive(Debug, Clone, Args)]
pub struct Watch {
    /// The namespaces to watch, those that Kong's controller watches, comma separated or repeated;
    /// all if left out
    #[arg(
        long = "namespaces",
        env = "KONG_METRICS_EXPORTER_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = label,
        help_heading = HEADING
    )]
    watched: Vec<String>,

    /// How the objects there are come at first: pages (500 at a time), or stream (one by one; less
    /// memory, from Kubernetes 1.34 on, else pages)
    #[arg(
        long = "watch.list",
        env = "KONG_METRICS_EXPORTER_WATCH_LIST",
        value_name = "HOW",
        default_value = "pages",
        value_parser = list_by,
        help_heading = HEADING
    )]
    list: ListBy,

    #[command(flatten)]
    controller: Controller,
}

impl Watch {
    /// The same, for the source.
    pub fn config(&self) -> Config {
        let mut config = Config {
            settings: self.controller.settings(),
            namespaces: self.watched.iter().cloned().collect(),
            ..Config::default()
        };
        config.options.following.list = self.list;
        config
    }
}

const HEADING: &str = "Watch";
