//! `explain`: manifests or a cluster, and a question, in; what maps to what, by which rule, and why
//! not, out.
//!
//! A cluster is read once, as `--mapping=watch` reads it at its start, and by the same rules.

use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use humantime::format_duration;
use tokio::runtime::Builder;

use crate::args::{self, Explain, Form};
use crate::cluster::board::Board;
use crate::cluster::client;
use crate::command::objects;
use crate::resolve::Index;
use crate::resolve::explain::{Subject, explain};
use crate::source::watch;
use crate::telemetry::{self, Chain, Format, Level};

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Connect(#[from] client::Error),
    #[error("the API server has not listed everything within {}: {missing}", format_duration(*.timeout))]
    Late { timeout: Duration, missing: String },
    #[error("the API server refuses what is needed: {missing}")]
    Refused { missing: String },
    #[error("cannot print the explanation")]
    Print(#[from] serde_json::Error),
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// 0; 1 if what was asked about is not known or an input cannot be read.
pub(super) fn run(arguments: &Explain) -> ExitCode {
    let subject = match arguments.subject() {
        Ok(subject) => subject,
        Err(message) => return args::refuse(&message),
    };
    match print(arguments, &subject) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kong-metrics-exporter: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whether it is known.
fn print(arguments: &Explain, subject: &Subject) -> Result<bool, Error> {
    let index = if arguments.objects.paths.is_empty() {
        // What goes wrong between here and the API server is told as it happens.
        telemetry::start(Format::Text, &Level::warn());
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        runtime.map_err(Error::Start)?.block_on(of_cluster(arguments))?
    } else {
        let manifests = objects::read(&arguments.objects)?;
        objects::index(manifests.objects, arguments.watch.config().settings)
    };
    let snapshot = index.snapshot();
    let explanation = explain(&index, &snapshot, subject);
    let printed = match arguments.output {
        Form::Text => explanation.to_string(),
        Form::Json => serde_json::to_string_pretty(&explanation)? + "\n",
    };
    io::stdout().lock().write_all(printed.as_bytes()).map_err(Error::Write)?;
    Ok(explanation.is_known())
}

async fn of_cluster(arguments: &Explain) -> Result<Index, Error> {
    let client = client::connect(&arguments.kubernetes.access()).await?;
    let (config, board) = (arguments.watch.config(), Board::default());
    let mut reading = pin!(watch::once(client, &config, board.clone()));
    match tokio::time::timeout(arguments.timeout, &mut reading).await {
        Ok(Ok(index)) => Ok(index),
        Ok(Err(missing)) => Err(Error::Refused { missing }),
        Err(_) => Err(Error::Late { timeout: arguments.timeout, missing: watch::missing(&board) }),
    }
}
