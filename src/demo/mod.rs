//! A make-believe Kong: simulated traffic in, the bytes and headers of Kong 3.10's `/metrics` out.
//!
//! It exists so that `kong-metrics-exporter demo` shows the sidecar at work on a machine without
//! Kong or Kubernetes, one service for each form of name that Kong's controllers write. `traffic`
//! says who calls what; `simulation` counts it; `text` prints it; `serve` answers.
//! Only the last one does I/O or looks at a clock.

mod counters;
mod excerpt;
mod serve;
mod simulation;
mod text;
mod traffic;

pub use excerpt::excerpt;
pub use serve::serve;
pub use simulation::Simulation;

/// What the names of the simulated Kong stand for, as a file for `--mapping file:PATH`. It has an
/// entry where a name does not say it by itself, and none for the one that nobody knows.
pub const MAPPING_FILE: &str = include_str!("mapping.json");

/// The Kong service of the autoscaling tutorial's Service `command` in the namespace `kong`.
pub const COMMAND: &str = "httproute.kong.svc.kong.command.80.1";
