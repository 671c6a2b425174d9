//! The sidecar: HTTP in both directions, and Kong's bytes through the rewriter in between.
//!
//! In: listeners, a mapping that someone else keeps fresh, and a future that says when to end. Out:
//! answers. One thread does it all: a chunk of 64 KiB costs some 20 microseconds, and a scrape is
//! no more than a chain of chunks. Memory does not grow with a body: hyper asks for the next part
//! of an answer when the last has gone out, and only then Kong is read on.

mod answer;
mod deadline;
mod frames;
mod gzip;
mod kong;
mod listen;
mod mapping_page;
mod pages;
mod record;
mod scrape;
mod serve;
mod socket;
mod tls;
mod web_config;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Uri;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::cluster::board::Board;
use crate::mapping::Current;
use crate::metrics::{self, Metrics, Reloads, Shards};
use crate::rewrite::{FamilyFilter, LabelNames, Rewriter, Selection, Stats};
use crate::source::Source;
use crate::source::asking::Asking;
use crate::telemetry::Chain;

pub use kong::Error as KongError;
pub use listen::{Error as ListenError, ListenAddress};
pub use pages::FIXED as FIXED_PATHS;
pub use tls::{Error as TlsError, Tls};
pub use web_config::Error as WebConfigError;

use kong::Kong;
use record::{Change, Record};

/// What the flags say, in values that have been checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Kong's metrics are; http.
    pub kong_uri: Uri,
    /// By when Kong must have answered in whole.
    pub kong_timeout: Duration,
    /// Answer 502 when Kong fails, instead of 200 with `kong_exporter_kong_up 0`.
    pub fail_on_kong_error: bool,
    /// The path of the metrics, `/metrics` by default.
    pub telemetry_path: String,
    /// Scrapes at once; further ones get 503.
    pub max_requests: usize,
    /// Connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// 0: never; 1 (fast) to 9 (small).
    pub gzip_level: u32,
    /// TLS for whoever connects; `None` for plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// The labels to write.
    pub labels: Arc<LabelNames>,
    /// The families to pass on.
    pub families: Arc<FamilyFilter>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kong_uri: Uri::from_static("http://127.0.0.1:8100/metrics"),
            kong_timeout: Duration::from_secs(30),
            fail_on_kong_error: false,
            telemetry_path: "/metrics".to_owned(),
            max_requests: 8,
            max_connections: 512,
            gzip_level: 1,
            tls: None,
            labels: Arc::default(),
            families: Arc::default(),
        }
    }
}

/// The mapping, which somebody else keeps fresh.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// What counts now.
    pub current: Current,
    /// Where it comes from, for people to read.
    pub source: String,
    /// What came of its changes.
    pub reloads: Reloads,
    /// What became of its shards, where it comes in shards.
    pub shards: Shards,
    /// How the watches are doing that it comes from, if it does.
    pub watches: Option<Board>,
    /// Who can say why a name stands for no Service, if anybody can.
    pub asking: Option<Asking>,
}

impl Default for Mapping {
    /// No mapping but what names tell by themselves.
    fn default() -> Self {
        let current = Current::decoding_only();
        let (reloads, shards) = (Reloads::default(), Shards::default());
        let source = Source::None.to_string();
        Self { current, source, reloads, shards, watches: None, asking: None }
    }
}

/// Serves until `shutdown` resolves, goes on for as long as that says (`/readyz` tells of it), then
/// takes no new connection, lets the answers under way end, and returns.
///
/// Has to run in a tokio runtime with I/O and time enabled. Returns when all is given back, or
/// after a bounded wait for clients that do not take their answers.
pub async fn run(
    config: Config,
    listeners: Vec<TcpListener>,
    mapping: Mapping,
    shutdown: impl Future<Output = Duration>,
) {
    let shared = Arc::new(Shared::new(config, mapping));
    serve::run(&shared, listeners, shutdown).await;
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    config: Config,
    kong: Kong,
    mapping: Mapping,
    metrics: Metrics,
    record: Record,
    /// One for each of `--web.max-requests`.
    permits: Arc<Semaphore>,
    is_draining: AtomicBool,
}

impl Shared {
    fn new(config: Config, mapping: Mapping) -> Self {
        let mut metrics = Metrics::new(Arc::clone(&config.labels), &KongError::REASONS)
            .with_reloads(&mapping.reloads)
            .with_shards(&mapping.shards);
        if let Some(board) = &mapping.watches {
            metrics = metrics.with_watches(board);
        }
        Self {
            kong: Kong::new(config.kong_uri.clone(), config.max_requests),
            metrics,
            record: Record::default(),
            permits: Arc::new(Semaphore::new(config.max_requests)),
            is_draining: AtomicBool::new(false),
            mapping,
            config,
        }
    }

    fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Kong's whole body has passed through `rewriter`.
    fn kong_answered(&self, rewriter: Rewriter, first_byte: Duration, duration: Duration) {
        let (memo, stats) = rewriter.into_parts();
        self.metrics.kong_answered(&stats, first_byte, duration);
        let snapshot = self.mapping.current.load();
        if self.record.note_names(|| memo.names(), &snapshot, SystemTime::now()) {
            self.metrics.backends(metrics::rows(&snapshot, memo.names()));
            if let Some(asking) = &self.mapping.asking {
                asking.saw(memo.names());
            }
        }
        self.record.keep_memo(memo);
        self.tell_changes(&stats);
    }

    /// Logs what is otherwise with this body than with the one before.
    fn tell_changes(&self, stats: &Stats) {
        if self.record.note_outcome(None) == Change::Well {
            tracing::info!(uri = %self.config.kong_uri, "kong answers");
        }
        if let Some(dictionary) = stats.dictionary {
            let used = dictionary.used_ratio();
            match self.record.note_dictionary(used) {
                Some(true) => tracing::warn!(
                    used_ratio = used,
                    total_bytes = dictionary.total_bytes,
                    remedy = "KONG_NGINX_HTTP_LUA_SHARED_DICT: prometheus_metrics 20m, or more",
                    "kong's metrics dictionary is nearly full, kong will lose series silently"
                ),
                Some(false) => {
                    tracing::info!(used_ratio = used, "kong's metrics dictionary has room again");
                }
                None => {}
            }
        }
        match self.record.note_lost_lines(stats.first_drop.is_some()) {
            Some(true) => {
                let first = stats.first_drop.as_ref().map(ToString::to_string);
                tracing::warn!(first, "lines of kong's cannot be read and are left out");
            }
            Some(false) => tracing::info!("all lines of kong's can be read again"),
            None => {}
        }
    }

    /// Kong gave no whole body; `rewriter` is what it had come to.
    fn kong_failed(&self, error: &KongError, rewriter: Option<Rewriter>, duration: Duration) {
        let stats = rewriter.map_or_else(Stats::default, |rewriter| {
            let (memo, stats) = rewriter.into_parts();
            self.record.keep_memo(memo);
            stats
        });
        let reason = error.reason();
        self.metrics.kong_failed(reason, &stats, duration);
        let error = Chain(error);
        match self.record.note_outcome(Some(reason)) {
            Change::Trouble => {
                let uri = &self.config.kong_uri;
                let first = stats.first_drop.as_ref().map(ToString::to_string);
                tracing::warn!(%error, reason, first, %uri, "kong gives no metrics");
            }
            Change::None | Change::Well => {
                tracing::debug!(%error, reason, "kong gives no metrics, still");
            }
        }
    }

    /// Appends the exporter's own metrics.
    fn append_own(&self, selection: &Selection, out: &mut Vec<u8>) {
        self.metrics.mapping(&self.mapping.current);
        self.metrics.append(selection, out);
    }
}
