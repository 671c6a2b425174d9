//! Where the recordings and other test data lie that are not part of this repository.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

use std::path::PathBuf;

/// The folder of shared test data: `KONG_EXPORTER_SHARED`, or `../shared` beside the checkout.
/// `None`, with a line on standard output, where it is absent.
pub(crate) fn shared(what: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = std::env::var_os("KONG_EXPORTER_SHARED").map_or_else(default, PathBuf::from);
    present(path, "KONG_EXPORTER_SHARED", what)
}

/// The folder of recordings: `KONG_METRICS_DIR`, or the one in the shared folder.
pub(crate) fn recordings(what: &str) -> Option<PathBuf> {
    match std::env::var_os("KONG_METRICS_DIR") {
        Some(path) => present(PathBuf::from(path), "KONG_METRICS_DIR", what),
        None => present(shared(what)?.join("testdata/kong-metrics"), "KONG_METRICS_DIR", what),
    }
}

fn present(path: PathBuf, variable: &str, what: &str) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path);
    }
    println!("not run: {what}: {} does not exist; set {variable}", path.display());
    None
}
