//! What became of the shards of a published mapping.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::mapping::shards::Assembly;
use crate::metrics::{Label, add, signed};

/// Counts shards. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Shards {
    states: Family<Label, Gauge>,
    revision: Gauge,
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
    }
}

impl Default for Shards {
    fn default() -> Self {
        let shards = Self { states: Family::default(), revision: Gauge::default() };
        for state in STATES {
            drop(shards.states.get_or_create(&[("state", state)]));
        }
        shards
    }
}

const STATES: [&str; 3] = ["accepted", "refused", "missing"];
