//! Tests against a real control plane; README.md in this folder says what is started, and how.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself
#![allow(dead_code)] // the harness has more than these tests use

mod admin;
#[path = "../common/blocks.rs"]
mod blocks;
mod chain;
mod chart;
mod controller;
mod faults;
mod fleet;
mod following;
mod harness;
#[path = "../common/http.rs"]
mod http;
mod install;
mod keda;
#[path = "../common/kong.rs"]
mod kong;
#[path = "../common/processes.rs"]
mod processes;
mod publishing;
mod scene;
mod shown;
mod smoke;
mod translator;
#[path = "../common/tutorial.rs"]
mod tutorial;

use std::process::ExitCode;

fn main() -> ExitCode {
    let modules = [
        smoke::tests(),
        following::tests(),
        install::tests(),
        chart::tests(),
        shown::tests(),
        publishing::tests(),
        controller::tests(),
        faults::tests(),
        fleet::tests(),
        translator::tests(),
        chain::tests(),
        keda::tests(),
    ];
    harness::run(modules.into_iter().flatten().collect())
}
