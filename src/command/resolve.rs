//! `resolve`: manifests from files, folders or standard input in, a mapping file out, offline.
//!
//! What is left out of the mapping, and what was not looked at, is told on standard error.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::{Output, Resolve};
use crate::kubernetes::manifest::{self, Manifests};
use crate::mapping::file;
use crate::resolve::{Dropped, Index};
use crate::telemetry::Chain;

/// Why there is no mapping.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Manifest { path: PathBuf, source: manifest::Error },
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
        Err(Error::Manifest { path, source }) => tell(&format!("{}: {source}", path.display())),
        Err(error) => tell(&Chain(&error).to_string()),
    }
}

fn tell(message: &str) -> ExitCode {
    eprintln!("kong-metrics-exporter: {message}");
    ExitCode::FAILURE
}

fn resolve(arguments: &Resolve) -> Result<(), Error> {
    let mut manifests = Manifests::default();
    for path in &arguments.objects {
        for (path, text) in texts(path)? {
            manifests
                .read(&text, arguments.defaults())
                .map_err(|source| Error::Manifest { path, source })?;
        }
    }
    let (read, skipped) = (manifests.objects.len(), manifests.skipped);
    let mut index = Index::new(arguments.settings());
    for object in manifests.objects {
        index.apply(object);
    }
    let snapshot = index.snapshot();
    let printed = match arguments.output {
        Output::Json => file::to_json(&snapshot).map(|text| text + "\n").map_err(Into::into),
        Output::Yaml => file::to_yaml(&snapshot).map_err(Into::into),
    };
    let printed = printed.map_err(Error::Print)?;
    io::stdout().lock().write_all(printed.as_bytes()).map_err(Error::Write)?;
    if !skipped.is_empty() {
        let kinds: Vec<_> = skipped.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let total: usize = skipped.values().sum();
        let kinds = kinds.join(", ");
        eprintln!(
            "kong-metrics-exporter: {read} objects read, {total} of other kinds skipped: {kinds}"
        );
    }
    for Dropped { name, annotations, owners } in index.dropped() {
        let (annotations, owners) = (annotations.join(", "), owners.join(", "));
        eprintln!(
            "kong-metrics-exporter: {name} is left out, as Kong's controller leaves it out: the \
             Services behind {owners} do not all have the same {annotations}"
        );
    }
    Ok(())
}

/// The texts at a path: of the file, of standard input for `-`, or of a folder's files.
fn texts(path: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| Error::Read { path, source }
    };
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(failed(path))?;
        return Ok(vec![("standard input".into(), text)]);
    }
    let mut paths = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(failed(path))? {
            let entry = entry.map_err(failed(path))?.path();
            let extension = entry.extension().and_then(|extension| extension.to_str());
            if extension.is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension)) {
                paths.push(entry);
            }
        }
        paths.sort_unstable();
    } else {
        paths.push(path.to_owned());
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        Ok((path, text))
    };
    paths.into_iter().map(read).collect()
}
