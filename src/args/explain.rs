//! Arguments of `explain`.

use clap::Args;

use crate::args::controller::Controller;
use crate::args::objects::Objects;
use crate::args::usage;
use crate::resolve::Settings;
use crate::resolve::explain::Subject;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// What to explain: a name that Kong prints, or an object as KIND/NAMESPACE/NAME or
    /// KIND NAMESPACE/NAME
    #[arg(value_name = "SUBJECT", required = true, num_args = 1..=2)]
    subject: Vec<String>,

    /// Which manifests to read.
    #[command(flatten)]
    pub objects: Objects,

    /// How to print the explanation: text or json
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_OUTPUT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub output: Form,

    #[command(flatten)]
    controller: Controller,
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

    /// How Kong's controller is set up.
    pub fn settings(&self) -> Settings {
        self.controller.settings()
    }
}
