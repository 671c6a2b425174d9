//! Manifests from files, folders or standard input in, the index of their objects out.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::args::Objects;
use crate::kubernetes::Object;
use crate::kubernetes::manifest::{self, Manifests};
use crate::resolve::{Index, Settings};

/// Why they cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {error}", path.display())]
    Manifest { path: PathBuf, error: manifest::Error },
}

/// What was read.
pub(super) struct Found {
    pub(super) objects: Vec<Object>,
    pub(super) read: usize,
    pub(super) skipped: BTreeMap<String, usize>,
}

/// Reads all that the arguments name.
pub(super) fn read(arguments: &Objects) -> Result<Found, Error> {
    let mut manifests = Manifests::default();
    for path in &arguments.paths {
        for (path, text) in texts(path)? {
            manifests
                .read(&text, arguments.defaults())
                .map_err(|error| Error::Manifest { path, error })?;
        }
    }
    let Manifests { objects, skipped } = manifests;
    Ok(Found { read: objects.len(), objects, skipped })
}

/// The index of these objects.
pub(super) fn index(objects: Vec<Object>, settings: Settings) -> Index {
    let mut index = Index::new(settings);
    objects.into_iter().for_each(|object| index.apply(object));
    index
}

/// Says on standard error what was not looked at.
pub(super) fn tell_skipped(read: usize, skipped: &BTreeMap<String, usize>) {
    if skipped.is_empty() {
        return;
    }
    let kinds: Vec<_> = skipped.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let total: usize = skipped.values().sum();
    let kinds = kinds.join(", ");
    eprintln!(
        "kong-metrics-exporter: {read} objects read, {total} of other kinds skipped: {kinds}"
    );
}

/// The texts at a path: of the file, of standard input for `-`, or of a folder's files.
pub(super) fn texts(path: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
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
