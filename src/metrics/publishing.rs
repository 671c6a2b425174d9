//! What `publish` says about itself.
//!
//! In: what it did, and the mapping that counts. Out: text in the classic format. Every label value
//! is there from the start, at 0.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cluster::board::Board;
use crate::mapping::Current;
use crate::mapping::shards::Contents;
use crate::metrics::process::Process;
use crate::metrics::watch::Watches;
use crate::metrics::{FAILURE, Float, Reloads, SUCCESS, add, add_version, append};

/// Every metric of a publisher. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Publishing {
    registry: Arc<Registry>,
    leader: Gauge,
    publications: Family<Publication, Counter>,
    config_maps: Family<Action, Counter>,
    bytes: Family<Place, Counter>,
    success_seconds: Family<Place, Float>,
    shards: Gauge,
    left_out: Gauge,
    mapping_ready: Gauge,
    mapping_services: Gauge,
    mapping_updated_seconds: Float,
}

/// What was done in a namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Published {
    /// ConfigMaps that were written.
    pub written: usize,
    /// ConfigMaps that were removed.
    pub removed: usize,
    /// The size of those that were written.
    pub bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Publication {
    namespace: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    namespace: String,
    action: &'static str,
}

impl Publishing {
    /// All at zero, for these namespaces.
    pub fn new(namespaces: &[String], reloads: &Reloads, watches: Option<&Board>) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        add_version(r);
        let leader = "Whether this process leads, and so is the one that writes";
        let publications = "Times that a namespace was made to have the mapping, or could not be";
        let config_maps = "ConfigMaps written and removed";
        let bytes = "Size of the shards in the ConfigMaps written";
        let success = "When a namespace last had the newest mapping for sure; 0 for never";
        let shards = "Shards of the newest mapping";
        let left_out = "Kong services whose entries no sidecar would take, so they are left out";
        let ready = "Whether the mapping has been loaded";
        let services = "Kong services that the mapping has an entry for";
        let updated = "When the mapping was last read anew; 0 for none";
        let mut metrics = Self {
            leader: add(r, "kong_exporter_publish_leader", leader, Gauge::default()),
            publications: add(r, "kong_exporter_publications", publications, Family::default()),
            config_maps: add(r, "kong_exporter_publish_configmaps", config_maps, Family::default()),
            bytes: add(r, "kong_exporter_publish_bytes", bytes, Family::default()),
            success_seconds: add(
                r,
                "kong_exporter_publish_last_success_timestamp_seconds",
                success,
                Family::default(),
            ),
            shards: add(r, "kong_exporter_publish_shards", shards, Gauge::default()),
            left_out: add(r, "kong_exporter_publish_left_out_services", left_out, Gauge::default()),
            mapping_ready: add(r, "kong_exporter_mapping_ready", ready, Gauge::default()),
            mapping_services: add(r, "kong_exporter_mapping_services", services, Gauge::default()),
            mapping_updated_seconds: add(
                r,
                "kong_exporter_mapping_last_update_timestamp_seconds",
                updated,
                Float::default(),
            ),
            registry: Arc::default(),
        };
        reloads.register(r);
        r.register_collector(Box::new(Process::started_now()));
        if let Some(board) = watches {
            r.register_collector(Box::new(Watches(board.clone())));
        }
        for namespace in namespaces {
            for result in [SUCCESS, FAILURE] {
                drop(metrics.publications.get_or_create(&publication(namespace, result)));
            }
            for action in [WRITTEN, REMOVED] {
                drop(metrics.config_maps.get_or_create(&action_in(namespace, action)));
            }
            drop(metrics.bytes.get_or_create(&place(namespace)));
            drop(metrics.success_seconds.get_or_create(&place(namespace)));
        }
        metrics.registry = Arc::new(registry);
        metrics
    }

    /// This process leads, or no longer.
    pub(crate) fn leads(&self, does: bool) {
        self.leader.set(does.into());
    }

    /// The shards of the newest mapping have been made.
    pub(crate) fn made(&self, contents: &Contents) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.shards.set(count(contents.shards.len()));
        self.left_out.set(count(contents.left_out.len()));
    }

    /// A namespace has the newest mapping, after this was done.
    pub(crate) fn published(&self, namespace: &str, done: Published, now: SystemTime) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.publications.get_or_create(&publication(namespace, SUCCESS)).inc();
        for (action, number) in [(WRITTEN, done.written), (REMOVED, done.removed)] {
            self.config_maps.get_or_create(&action_in(namespace, action)).inc_by(count(number));
        }
        self.bytes.get_or_create(&place(namespace)).inc_by(count(done.bytes));
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.success_seconds.get_or_create(&place(namespace)).set(seconds);
    }

    /// A namespace has not, or not all of it.
    pub(crate) fn failed(&self, namespace: &str) {
        self.publications.get_or_create(&publication(namespace, FAILURE)).inc();
    }

    /// Appends everything, in the classic format.
    pub fn append(&self, mapping: &Current, out: &mut Vec<u8>) {
        self.mapping_ready.set(mapping.is_ready().into());
        self.mapping_services.set(mapping.load().len().try_into().unwrap_or(i64::MAX));
        let since_epoch = mapping.updated().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        self.mapping_updated_seconds.set(since_epoch.map_or(0.0, |since| since.as_secs_f64()));
        append(&self.registry, |_| true, out);
    }
}

fn place(namespace: &str) -> Place {
    Place { namespace: namespace.to_owned() }
}

fn publication(namespace: &str, result: &'static str) -> Publication {
    Publication { namespace: namespace.to_owned(), result }
}

fn action_in(namespace: &str, action: &'static str) -> Action {
    Action { namespace: namespace.to_owned(), action }
}

const WRITTEN: &str = "written";
const REMOVED: &str = "removed";
