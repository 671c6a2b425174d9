//! The contestants written in Go, run as a program of their own: `peers bench NAME FILE MAPPING
//! PASSES` prints what a pass over the file cost, after one to warm up.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Decode into families, change the labels, encode: what an exporter in Go does by default.
pub(crate) const EXPFMT: &str = "go-expfmt-rewrite";

/// Which of them take part.
pub(crate) const NAMES: [&str; 3] = [EXPFMT, "go-textparse-rewrite", "go-scan-rewrite"];

/// The program, and the files it reads.
pub(crate) struct Peers {
    pub(crate) program: PathBuf,
    pub(crate) body: PathBuf,
    pub(crate) mapping: PathBuf,
}

/// What a pass cost.
#[derive(Deserialize)]
pub(crate) struct Pass {
    /// CPU seconds of the best pass, the garbage collector's included.
    pub(crate) min: f64,
    /// CPU seconds of the one in the middle.
    pub(crate) med: f64,
    /// Allocations in one pass.
    pub(crate) allocs: u64,
    /// Resident at the most, over what the input takes.
    pub(crate) rss_over_kb: i64,
}

impl Peers {
    /// Several passes of one contestant.
    pub(crate) fn bench(&self, name: &str, passes: usize) -> io::Result<Pass> {
        let output = Command::new(&self.program)
            .env("GOMAXPROCS", "1")
            .args(["bench", name])
            .args([&self.body, &self.mapping])
            .arg(passes.to_string())
            .output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("{name}: {error}")));
        }
        serde_json::from_slice(&output.stdout).map_err(io::Error::other)
    }

    /// The body as the line scan in Go rewrites it.
    pub(crate) fn rewritten_by_scan(&self) -> io::Result<Vec<u8>> {
        let output = Command::new(&self.program)
            .args([Path::new("filter"), Path::new("scan"), &self.mapping])
            .stdin(Stdio::from(File::open(&self.body)?))
            .output()?;
        Ok(output.stdout)
    }
}
