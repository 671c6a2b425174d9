//! The binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    kong_metrics_exporter::command::run()
}
