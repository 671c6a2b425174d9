//! What became of the shards of a published mapping.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::mapping::shards::Assembly;
use crate::metrics::{Float, Label, add, signed};

/// Counts shards. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Shards {
    states: Family<Label, Gauge>,
    revision: Gauge,
    contact_seconds: Float,
}

impl Shards {
    /// What there is now.
    pub(crate) fn set(&self, assembly: &Assembly) {
        let [accepted, refused, missing] = STATES;
        for (state, count) in [
            (accepted, assembly.accepted_len()),
            (refused, assembly.refused_len()),
            (missing, assembly.missing().len()),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.states.get_or_create(&[("state", state)]).set(count);
        }
        self.revision.set(signed(assembly.revision()));
    }

    /// The API server has told something about them, if only that there is nothing to tell.
    pub(crate) fn heard(&self, now: SystemTime) {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.contact_seconds.set(since_epoch.as_secs_f64());
    }

    /// How many shards are in this state: `accepted`, `refused` or `missing`.
    pub fn count(&self, state: &str) -> usize {
        let state = STATES.into_iter().find(|one| *one == state);
        let count = state.map(|state| self.states.get_or_create(&[("state", state)]).get());
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        add(
            registry,
            "kong_exporter_mapping_shards",
            "Shards of the published mapping: accepted, refused as they are now, and missing",
            self.states.clone(),
        );
        add(
            registry,
            "kong_exporter_mapping_revision",
            "The latest revision of an accepted shard; 0 for none",
            self.revision.clone(),
        );
        add(
            registry,
            "kong_exporter_mapping_last_contact_timestamp_seconds",
            "When the API server was last heard about the published mapping; 0 for never",
            self.contact_seconds.clone(),
        );
    }
}

impl Default for Shards {
    fn default() -> Self {
        let (revision, contact_seconds) = (Gauge::default(), Float::default());
        let shards = Self { states: Family::default(), revision, contact_seconds };
        for state in STATES {
            drop(shards.states.get_or_create(&[("state", state)]));
        }
        shards
    }
}

const STATES: [&str; 3] = ["accepted", "refused", "missing"];
