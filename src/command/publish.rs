//! `publish`: the mapping into ConfigMaps, by one of several processes, until a signal comes.

use std::error::Error;
use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::args::Publish;
use crate::cluster::lease::{self, Candidate};
use crate::cluster::{client, publish};
use crate::command::mapping::follow;
use crate::command::sidecar::{Signals, failed};
use crate::command::status::{self, Status};
use crate::mapping::Current;
use crate::metrics::Publishing;
use crate::source::Cluster;
use crate::telemetry;

/// Runs until SIGTERM or SIGINT, then lets another one lead; 1 if it cannot start.
pub(super) fn run(arguments: &Publish) -> ExitCode {
    telemetry::start(arguments.logs.format, &arguments.logs.level);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        mapping = %arguments.source,
        name = arguments.name,
        "starting"
    );
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let end = runtime.block_on(run_to_the_end(arguments));
    runtime.shutdown_background();
    end.unwrap_or_else(|error| failed(error.as_ref()))
}

async fn run_to_the_end(arguments: &Publish) -> Result<ExitCode, Box<dyn Error>> {
    let signals = Signals::new()?;
    let listeners = arguments.listen.bind()?;
    let access = arguments.kubernetes.access();
    let client = client::connect(&access).await?;
    let own = client.default_namespace().to_owned();
    let cluster = Cluster { access, namespace: None, watch: arguments.watch.config() };
    let (mapping, following) = follow(&arguments.source, &cluster).await?;
    let options = publish::Options {
        name: arguments.name.clone(),
        namespaces: arguments.namespaces(&own),
        find: arguments.finds().then_some(publish::FIND_EVERY),
        interval: arguments.interval,
        check: arguments.check,
        answer: publish::ANSWER,
    };
    let metrics = Publishing::new(&options.namespaces, &mapping.reloads, mapping.watches.as_ref());
    let pages = Arc::new(Pages { metrics: metrics.clone(), mapping: mapping.current.clone() });
    let identity = lease::identity();
    tracing::info!(namespaces = ?options.namespaces, identity, lease = arguments.lease, "publishing");
    let lease_namespace = arguments.lease_namespace.as_deref().unwrap_or(&own);
    let candidate = Candidate::new(client.clone(), lease_namespace, &arguments.lease, &identity);
    let publishing =
        publish::run(client, options, mapping.current, candidate.leadership(), metrics);
    let (shut_down, shutdown) = oneshot::channel();
    // When this ends, no request is under way any more, and the lease is given back.
    let working = async {
        tokio::select! {
            never = publishing => match never {},
            _ = following => {}
            () = status::serve(listeners, pages, pending()) => {}
            _ = shutdown => tracing::info!("shutting down"),
        }
    };
    Ok(tokio::select! {
        () = candidate.run(working) => ExitCode::SUCCESS,
        code = signals.obey(shut_down, Duration::ZERO) => code,
    })
}

struct Pages {
    metrics: Publishing,
    mapping: Current,
}

impl Status for Pages {
    fn metrics(&self, out: &mut Vec<u8>) {
        self.metrics.append(&self.mapping, out);
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.mapping.is_ready() { Ok(()) } else { Err("the mapping has not been loaded yet\n") }
    }
}
