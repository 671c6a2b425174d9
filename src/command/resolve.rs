//! `resolve`: manifests from files, folders or standard input in, a mapping file out, offline.
//!
//! What is left out of the mapping, and what was not looked at, is told on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::{Output, Resolve};
use crate::command::objects;
use crate::mapping::file;
use crate::resolve::Dropped;
use crate::telemetry::Chain;

/// Why there is no mapping.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error("cannot print the mapping")]
    Print(#[source] Box<dyn std::error::Error>),
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// 0, or 1 if an input cannot be read in full.
pub(super) fn run(arguments: &Resolve) -> ExitCode {
    match resolve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough, as in `resolve | head`.
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => tell(&Chain(&error).to_string()),
    }
}

fn tell(message: &str) -> ExitCode {
    eprintln!("kong-metrics-exporter: {message}");
    ExitCode::FAILURE
}

fn resolve(arguments: &Resolve) -> Result<(), Error> {
    let manifests = objects::read(&arguments.objects)?;
    let index = objects::index(manifests.objects, arguments.settings());
    let snapshot = index.snapshot();
    let printed = match arguments.output {
        Output::Json => file::to_json(&snapshot).map(|text| text + "\n").map_err(Into::into),
        Output::Yaml => file::to_yaml(&snapshot).map_err(Into::into),
    };
    let printed = printed.map_err(Error::Print)?;
    io::stdout().lock().write_all(printed.as_bytes()).map_err(Error::Write)?;
    objects::tell_skipped(manifests.read, &manifests.skipped);
    for Dropped { name, annotations, owners } in index.dropped() {
        let (annotations, owners) = (annotations.join(", "), owners.join(", "));
        eprintln!(
            "kong-metrics-exporter: {name} is left out, as Kong's controller leaves it out: the \
             Services behind {owners} do not all have the same {annotations}"
        );
    }
    Ok(())
}
