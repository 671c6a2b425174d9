//! `controller`: extensions into the prometheus plugin on the right objects, by one of several
//! processes, until a signal comes.

use std::error::Error;
use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::args::Control;
use crate::cluster::board::Board;
use crate::cluster::client;
use crate::cluster::control::{self, Clients};
use crate::cluster::lease::{self, Candidate};
use crate::command::sidecar::{Signals, failed};
use crate::command::status::{self, Status};
use crate::metrics::Controlling;
use crate::telemetry;

/// Runs until SIGTERM or SIGINT, then lets another one lead; 1 if it cannot start.
pub(super) fn run(arguments: &Control) -> ExitCode {
    telemetry::start(arguments.logs.format, &arguments.logs.level);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let end = runtime.block_on(run_to_the_end(arguments));
    runtime.shutdown_background();
    end.unwrap_or_else(|error| failed(error.as_ref()))
}

async fn run_to_the_end(arguments: &Control) -> Result<ExitCode, Box<dyn Error>> {
    let signals = Signals::new()?;
    let listeners = arguments.listen.bind()?;
    let access = arguments.kubernetes.access();
    let reading = client::connect(&access).await?;
    let writing = client::connect_for_once(&access).await?;
    let own = reading.default_namespace().to_owned();
    let identity = lease::identity();
    let config = arguments.config(identity.clone());
    let lease_namespace = arguments.lease_namespace.as_deref().unwrap_or(&own);
    tracing::info!(
        identity,
        lease = arguments.lease,
        namespace = lease_namespace,
        adopt = config.adopt,
        "controlling"
    );
    let candidate = Candidate::new(reading.clone(), lease_namespace, &arguments.lease, &identity);
    let board = Board::default();
    let metrics = Controlling::new(&board);
    let clients = Clients { reading, writing };
    let controlling = control::run(clients, config, candidate.leadership(), board, metrics.clone());
    let (shut_down, shutdown) = oneshot::channel();
    // When this ends, no request is under way any more, and the lease is given back.
    let working = async {
        tokio::select! {
            () = controlling => {}
            () = status::serve(listeners, Arc::new(Pages(metrics)), pending()) => {}
            _ = shutdown => tracing::info!("shutting down"),
        }
    };
    Ok(tokio::select! {
        () = candidate.run(working) => ExitCode::SUCCESS,
        code = signals.obey(shut_down, Duration::ZERO) => code,
    })
}

struct Pages(Controlling);

impl Status for Pages {
    fn metrics(&self, out: &mut Vec<u8>) {
        self.0.append(out);
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.0.has_listed() { Ok(()) } else { Err("not everything has been listed yet\n") }
    }
}
