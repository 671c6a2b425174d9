//! `sidecar`: binds, serves until a signal comes, and ends in order.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::{self, Sidecar};
use crate::command::mapping::follow;
use crate::sidecar::Tls;
use crate::telemetry::{self, Chain};

/// Runs until SIGTERM or SIGINT and then to the end of `--shutdown-delay`; 1 if it cannot start.
pub(super) fn run(arguments: &Sidecar) -> ExitCode {
    telemetry::start(arguments.logs.format, &arguments.logs.level);
    let mut config = match arguments.config() {
        Ok(config) => config,
        Err(error) => return args::refuse(&error),
    };
    let source = arguments.source();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        kong = %config.kong_uri,
        mapping = %source,
        labels = %config.labels,
        "starting"
    );
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let end = runtime.block_on(async {
        let signals = Signals::new()?;
        if let Some(path) = &arguments.web_config {
            config.tls = Tls::read(path)?.map(Arc::new);
            tracing::info!(path = %path.display(), tls = config.tls.is_some(), "web configuration");
        }
        let listeners = arguments.listen.bind()?;
        let (mapping, following) = follow(&source, &arguments.cluster()).await?;
        let (shut_down, shutdown) = oneshot::channel();
        let serving = crate::sidecar::run(config, listeners, mapping, async {
            // The sender lives as long as this future does.
            shutdown.await.unwrap_or_default()
        });
        Ok::<_, Box<dyn Error>>(tokio::select! {
            () = serving => ExitCode::SUCCESS,
            never = following => never,
            code = signals.obey(shut_down, arguments.shutdown_delay) => code,
        })
    });
    // A name lookup or the reading of a file may be under way on a thread of its own; nobody
    // waits for it.
    runtime.shutdown_background();
    end.unwrap_or_else(|error| failed(error.as_ref()))
}

pub(super) fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    tracing::error!(error = %Chain(error), "cannot start");
    ExitCode::FAILURE
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Hands the first signal on: SIGTERM comes from Kubernetes, which tells others at the same
    /// time, so there is something to wait for; ^C comes from a person, who does not want to wait.
    /// The second one ends this, with the exit code a shell expects of it.
    pub(super) async fn obey(
        mut self,
        shut_down: oneshot::Sender<Duration>,
        delay: Duration,
    ) -> ExitCode {
        let delay = tokio::select! {
            _ = self.terminate.recv() => delay,
            _ = self.interrupt.recv() => Duration::ZERO,
        };
        // It fails only when serving has ended already, and then so does this.
        let _ = shut_down.send(delay);
        let number = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        tracing::warn!("second signal, ending at once");
        ExitCode::from(u8::try_from(128 + number.as_raw_value()).unwrap_or(1))
    }
}
