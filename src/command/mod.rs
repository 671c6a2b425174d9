//! The commands: checked arguments in, an exit code out. One thin file each.

mod controller;
mod crd;
mod demo;
mod enrich;
mod explain;
mod mapping;
mod objects;
mod plan;
mod publish;
mod render;
mod resolve;
mod sidecar;
mod status;

use std::process::ExitCode;

use crate::args::{self, Command};

/// Does what this process' arguments say.
pub fn run() -> ExitCode {
    match args::parse().map(|arguments| arguments.command) {
        Ok(Command::Sidecar(arguments)) => sidecar::run(&arguments),
        Ok(Command::Enrich(arguments)) => enrich::run(&arguments),
        Ok(Command::Publish(arguments)) => publish::run(&arguments),
        Ok(Command::Resolve(arguments)) => resolve::run(&arguments),
        Ok(Command::Explain(arguments)) => explain::run(&arguments),
        Ok(Command::Controller(arguments)) => controller::run(&arguments),
        Ok(Command::Plan(arguments)) => plan::run(&arguments),
        Ok(Command::Render(arguments)) => render::run(&arguments),
        Ok(Command::Crd) => crd::run(),
        Ok(Command::Demo(arguments)) => demo::run(&arguments),
        Err(code) => code,
    }
}
