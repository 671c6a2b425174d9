//! `explain`: manifests and a question in; what maps to what, by which rule, and why not, out.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::{self, Explain, Form};
use crate::command::objects;
use crate::resolve::explain::{Subject, explain};
use crate::telemetry::Chain;

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
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
    let manifests = objects::read(&arguments.objects)?;
    let index = objects::index(manifests.objects, arguments.settings());
    let snapshot = index.snapshot();
    let explanation = explain(&index, &snapshot, subject);
    let printed = match arguments.output {
        Form::Text => explanation.to_string(),
        Form::Json => serde_json::to_string_pretty(&explanation)? + "\n",
    };
    io::stdout().lock().write_all(printed.as_bytes()).map_err(Error::Write)?;
    Ok(explanation.is_known())
}
