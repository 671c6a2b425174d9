//! `render`: the sidecar in what makes Kong's pods, as YAML on standard output.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::{self, Render};
use crate::render;
use crate::telemetry::Chain;

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Render(#[from] render::Error),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Merge { path: PathBuf, source: render::MergeError },
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// 0, or 1 if nothing can be printed.
pub(super) fn run(arguments: &Render) -> ExitCode {
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(error) => return args::refuse(&error),
    };
    match print(arguments, &settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Error::Merge { path, source }) => {
            eprintln!("kong-metrics-exporter: {}: {source}", path.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("kong-metrics-exporter: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn print(arguments: &Render, settings: &render::Settings) -> Result<(), Error> {
    let text = match &arguments.into {
        None => render::render(arguments.target, settings)?,
        Some(path) => {
            let text = read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let merged = render::merge(&text, arguments.target, settings);
            let merged = merged.map_err(|source| Error::Merge { path: path.clone(), source })?;
            for note in merged.notes {
                eprintln!("kong-metrics-exporter: {}: {note}", path.display());
            }
            merged.text
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(Error::Write)
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}
