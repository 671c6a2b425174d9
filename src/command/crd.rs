//! `crd`: the definition of DataPlaneMetricsExtensions, for clusters without Kong Operator, to
//! standard output.

use std::io::{self, Write};
use std::process::ExitCode;

/// 0, or 1 if nobody takes the output.
pub(super) fn run() -> ExitCode {
    match io::stdout().lock().write_all(DEFINITION.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kong-metrics-exporter: cannot write the output: {error}");
            ExitCode::FAILURE
        }
    }
}

const DEFINITION: &str = include_str!("../../deploy/crd/dataplanemetricsextensions.yaml");
