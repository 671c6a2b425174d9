//! `render`: the sidecar in what makes Kong's pods, as YAML on standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::{self, Render};
use crate::render;
use crate::telemetry::Chain;

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Render(#[from] render::Error),
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// 0, or 1 if nothing can be printed.
pub(super) fn run(arguments: &Render) -> ExitCode {
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(error) => return args::refuse(&error),
    };
    match print(arguments.target, &settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kong-metrics-exporter: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn print(target: render::Target, settings: &render::Settings) -> Result<(), Error> {
    let text = render::render(target, settings)?;
    io::stdout().lock().write_all(text.as_bytes()).map_err(Error::Write)
}
