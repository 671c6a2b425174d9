//! Arguments of `explain`.

use std::time::Duration;

use clap::Args;

use crate::args::objects::Objects;
use crate::args::values::positive_duration;
use crate::args::{Kubernetes, Watch, usage};
use crate::resolve::explain::Subject;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// What to explain: a name that Kong prints, or an object as KIND/NAMESPACE/NAME or
    /// KIND NAMESPACE/NAME
    #[arg(value_name = "SUBJECT", required = true, num_args = 1..=2)]
    subject: Vec<String>,

    /// Which manifests to read; those of the cluster where there are none.
    #[command(flatten)]
    pub objects: Objects,

    /// By when the API server must have listed everything, where the cluster is read
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = positive_duration
    )]
    pub timeout: Duration,

    /// How to print the explanation: text or json
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_OUTPUT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub output: Form,

    /// How Kong's controller is set up, and what of a cluster is read.
    #[command(flatten)]
    pub watch: Watch,

    /// How to reach the API server.
    #[command(flatten)]
    pub kubernetes: Kubernetes,
}

/// What an explanation is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Text for people.
    Text,
    /// JSON.
    Json,
}

impl Explain {
    /// What to explain.
    ///
    /// # Errors
    /// Where it cannot be meant: what was expected.
    pub fn subject(&self) -> Result<Subject, clap::Error> {
        Subject::parse(&self.subject).map_err(usage)
    }
}
