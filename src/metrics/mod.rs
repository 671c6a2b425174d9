//! What the exporter says about itself. All names are here, but for the two tables that are read
//! when asked: `kong_exporter_backend_info` (`backends`) and `process_*` (`process`).
//!
//! In: what a scrape counted. Out: text in the classic format, to stand after Kong's. Gauges
//! describe the scrape whose answer they end; counters count since the start. `promtool check
//! metrics` finds nothing to say about them.

mod backends;
pub mod classic;
mod controlling;
mod process;
mod publishing;
mod shards;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::cluster::board::Board;
use crate::mapping::Current;
use crate::rewrite::{LabelNames, Reason, Selection, Stats};
use crate::source::file::Reload;

pub(crate) use backends::rows;

pub use controlling::{Controlling, Reconciled};
pub use publishing::{Published, Publishing};
pub use shards::Shards;

use backends::{Backends, Row};
use process::Process;
use watch::Watches;

/// Every metric of the exporter's own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    kong_up: Gauge,
    kong_errors: Family<Label, Counter>,
    first_byte_seconds: Float,
    duration_seconds: Histogram,
    kong_response_bytes: Gauge,
    response_bytes: Gauge,
    series: Family<Label, Gauge>,
    parse_errors: Family<Label, Counter>,
    newlines_escaped: Counter,
    label_clashes: Counter,
    mapped: Gauge,
    unmapped: Gauge,
    dictionary_used_ratio: Float,
    in_flight: Gauge,
    rejected: Family<Label, Counter>,
    abandoned: Counter,
    mapping_ready: Gauge,
    mapping_services: Gauge,
    mapping_updated_seconds: Float,
    backends: Backends,
}

/// Counts what came of changes of the mapping. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Reloads(Family<Label, Counter>);

impl Reloads {
    /// One change was seen, and read or not.
    pub fn count(&self, reload: Reload) {
        let result = match reload {
            Reload::Success => SUCCESS,
            Reload::Failure => FAILURE,
        };
        self.0.get_or_create(&[("result", result)]).inc();
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Changes of the mapping that were read, or could not be";
        add(registry, "kong_exporter_config_reload", help, self.0.clone());
    }
}

impl Default for Reloads {
    fn default() -> Self {
        let reloads = Family::<Label, Counter>::default();
        for result in [SUCCESS, FAILURE] {
            drop(reloads.get_or_create(&[("result", result)]));
        }
        Self(reloads)
    }
}

/// One label with values from a small fixed set.
type Label = [(&'static str, &'static str); 1];
type Float = Gauge<f64, AtomicU64>;

impl Metrics {
    /// All at zero. `labels` name the labels of `kong_exporter_backend_info`; `kong_errors` are the
    /// values that the `reason` of a failed scrape can take, each shown from the start.
    pub fn new(labels: Arc<LabelNames>, kong_errors: &[&'static str]) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;

        add_version(r);

        let mut metrics = Self {
            kong_up: add(
                r,
                "kong_exporter_kong_up",
                "Whether this scrape got a whole answer from Kong",
                Gauge::default(),
            ),
            kong_errors: add(
                r,
                "kong_exporter_kong_errors",
                "Scrapes that got no whole answer from Kong, by reason",
                Family::default(),
            ),
            first_byte_seconds: add(
                r,
                "kong_exporter_kong_first_byte_seconds",
                "Time from this scrape's start to the head of Kong's answer",
                Float::default(),
            ),
            duration_seconds: add(
                r,
                "kong_exporter_scrape_duration_seconds",
                "Time from a scrape's start to the last byte from Kong, or to the failure",
                Histogram::new(DURATION_BUCKETS_SECONDS),
            ),
            kong_response_bytes: add(
                r,
                "kong_exporter_kong_response_bytes",
                "Size of Kong's answer in this scrape",
                Gauge::default(),
            ),
            response_bytes: add(
                r,
                "kong_exporter_response_bytes",
                "Size of Kong's part of this answer, before compression",
                Gauge::default(),
            ),
            series: add(
                r,
                "kong_exporter_series",
                "Samples of this scrape: in from Kong, out to the client, rewritten on the way, \
                 unselected by a filter, dropped as malformed",
                Family::default(),
            ),
            parse_errors: add(
                r,
                "kong_exporter_parse_errors",
                "Lines of Kong's that were not passed on, by reason",
                Family::default(),
            ),
            newlines_escaped: add(
                r,
                "kong_exporter_newlines_escaped",
                "Raw newlines in label values of Kong's, written as \\\\n",
                Counter::default(),
            ),
            label_clashes: add(
                r,
                "kong_exporter_label_clashes",
                "Samples passed on as they were, for they had a label the exporter writes",
                Counter::default(),
            ),
            mapped: add(
                r,
                "kong_exporter_mapped_services",
                "Kong services in this scrape whose Kubernetes Services are known",
                Gauge::default(),
            ),
            unmapped: add(
                r,
                "kong_exporter_unmapped_services",
                "Kong services in this scrape without a known Kubernetes Service",
                Gauge::default(),
            ),
            dictionary_used_ratio: add(
                r,
                "kong_exporter_kong_dictionary_used_ratio",
                "How full Kong's prometheus_metrics dictionary is; a full one loses series",
                Float::default(),
            ),
            in_flight: add(
                r,
                "kong_exporter_scrapes_in_flight",
                "Scrapes being answered, this one included",
                Gauge::default(),
            ),
            rejected: add(
                r,
                "kong_exporter_scrapes_rejected",
                "Scrapes answered with 503, by reason",
                Family::default(),
            ),
            abandoned: add(
                r,
                "kong_exporter_scrapes_abandoned",
                "Scrapes whose client left, or stopped reading, before the end",
                Counter::default(),
            ),
            mapping_ready: add(
                r,
                "kong_exporter_mapping_ready",
                "Whether the mapping has been loaded",
                Gauge::default(),
            ),
            mapping_services: add(
                r,
                "kong_exporter_mapping_services",
                "Kong services that the mapping has an entry for",
                Gauge::default(),
            ),
            mapping_updated_seconds: add(
                r,
                "kong_exporter_mapping_last_update_timestamp_seconds",
                "When the mapping was last read anew; 0 for none",
                Float::default(),
            ),
            backends: Backends::new(labels),
            registry,
        };
        metrics.registry.register_collector(Box::new(metrics.backends.clone()));
        metrics.registry.register_collector(Box::new(Process::started_now()));
        for reason in kong_errors {
            drop(metrics.kong_errors.get_or_create(&[("reason", reason)]));
        }
        for reason in Reason::ALL {
            drop(metrics.parse_errors.get_or_create(&[("reason", reason.as_str())]));
        }
        drop(metrics.rejected.get_or_create(&[("reason", TOO_MANY)]));
        metrics.describe(&Stats::default());
        metrics
    }

    /// Shows these counts too.
    #[must_use]
    pub fn with_reloads(mut self, reloads: &Reloads) -> Self {
        reloads.register(&mut self.registry);
        self
    }

    /// Shows these, too.
    #[must_use]
    pub fn with_shards(mut self, shards: &Shards) -> Self {
        shards.register(&mut self.registry);
        self
    }

    /// Shows these watches too.
    #[must_use]
    pub fn with_watches(mut self, board: &Board) -> Self {
        self.registry.register_collector(Box::new(Watches(board.clone())));
        self
    }

    /// A scrape has begun; to be paired with [`Self::scrape_left`].
    pub(crate) fn scrape_entered(&self) {
        self.in_flight.inc();
    }

    /// A scrape is over, however it ended.
    pub(crate) fn scrape_left(&self) {
        self.in_flight.dec();
    }

    /// A scrape was refused: too many at once.
    pub(crate) fn scrape_rejected(&self) {
        self.rejected.get_or_create(&[("reason", TOO_MANY)]).inc();
    }

    /// A client did not take its answer to the end.
    pub(crate) fn scrape_abandoned(&self) {
        self.abandoned.inc();
    }

    /// Kong's whole body has come, and these are its counts.
    pub(crate) fn kong_answered(&self, stats: &Stats, first_byte: Duration, duration: Duration) {
        self.kong_up.set(1);
        self.first_byte_seconds.set(first_byte.as_secs_f64());
        self.duration_seconds.observe(duration.as_secs_f64());
        self.describe(stats);
    }

    /// Kong gave no whole body; `stats` tell how far it came.
    pub(crate) fn kong_failed(&self, reason: &'static str, stats: &Stats, duration: Duration) {
        self.kong_up.set(0);
        self.kong_errors.get_or_create(&[("reason", reason)]).inc();
        self.first_byte_seconds.set(0.0);
        self.duration_seconds.observe(duration.as_secs_f64());
        self.describe(stats);
    }

    /// The Services behind each Kong service of this scrape that several share.
    pub(crate) fn backends(&self, rows: Vec<Row>) {
        self.backends.set(rows);
    }

    /// The state of the mapping.
    pub(crate) fn mapping(&self, mapping: &Current) {
        self.mapping_ready.set(mapping.is_ready().into());
        self.mapping_services.set(mapping.load().len().try_into().unwrap_or(i64::MAX));
        let since_epoch = mapping.updated().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        self.mapping_updated_seconds.set(since_epoch.map_or(0.0, |since| since.as_secs_f64()));
    }

    /// The gauges of one body, and its share of the counters.
    fn describe(&self, stats: &Stats) {
        self.kong_response_bytes.set(signed(stats.bytes_in));
        self.response_bytes.set(signed(stats.bytes_out));
        let lost = Reason::ALL.into_iter().filter(|reason| reason.loses_a_line());
        for (stage, samples) in [
            ("in", stats.samples_in),
            ("out", stats.samples_out()),
            ("rewritten", stats.samples_rewritten),
            ("unselected", stats.samples_unselected),
            ("dropped", lost.map(|reason| stats.dropped_for(reason)).sum()),
        ] {
            self.series.get_or_create(&[("stage", stage)]).set(signed(samples));
        }
        for reason in Reason::ALL {
            let dropped = stats.dropped_for(reason);
            self.parse_errors.get_or_create(&[("reason", reason.as_str())]).inc_by(dropped);
        }
        self.newlines_escaped.inc_by(stats.newlines_escaped);
        self.label_clashes.inc_by(stats.samples_clashing);
        self.mapped.set(signed(stats.mapped));
        self.unmapped.set(signed(stats.unmapped));
        let ratio = stats.dictionary.map_or(0.0, |dictionary| dictionary.used_ratio());
        self.dictionary_used_ratio.set(ratio);
    }

    /// Appends everything that `selection` asks for, in the classic format.
    pub fn append(&self, selection: &Selection, out: &mut Vec<u8>) {
        append(&self.registry, |family| selection.passes(family), out);
    }
}

/// The version, for every command that serves metrics.
fn add_version(registry: &mut Registry) {
    let help = "The version that runs; always 1";
    let version =
        add(registry, "kong_exporter_build_info", help, Family::<Label, Gauge>::default());
    version.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
}

/// Appends those of the families that `passes` lets through, in the classic format.
fn append(registry: &Registry, passes: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(TEXT_BYTES);
    match encode_registry(&mut text, registry) {
        Ok(()) => classic::append(&text, passes, out),
        Err(error) => tracing::error!(%error, "own metrics cannot be written"),
    }
}

/// Registers a metric and keeps a handle to it.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A `reason` of rejected scrapes.
const TOO_MANY: &str = "max_requests";

/// The `result` of reading a changed mapping.
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

/// From a small gateway on loopback to Prometheus' longest usual timeout.
const DURATION_BUCKETS_SECONDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Room for the text, so that it grows once at most.
const TEXT_BYTES: usize = 16 * 1024;
