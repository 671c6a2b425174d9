//! What a set of shards says, handed over, whichever way they came.
//!
//! In: shards, from files or from ConfigMaps. Out: snapshots into [`Current`], and what became of
//! each shard in the log and the metrics. The one decision: a shard that is damaged, of another
//! format or gone takes nothing with it; what it said last stays, and that is told once.

use std::time::{Instant, SystemTime};

use tracing::{info, warn};

use crate::mapping::Current;
use crate::mapping::shards::{Assembly, Outcome};
use crate::metrics::Shards;
use crate::source::file::Reload;
use crate::telemetry::Chain;

/// Takes shards.
#[derive(Debug)]
pub(crate) struct Receiver {
    current: Current,
    assembly: Assembly,
    metrics: Shards,
    /// What was told last of shards that are missing.
    missing: Option<String>,
}

/// A change: the shards as they are, by what they were read from.
pub(crate) enum News {
    /// All that there are.
    All(Vec<(String, Vec<u8>)>),
    /// One of them is new, or has changed.
    One(String, Vec<u8>),
    /// There is none here any more.
    Gone(String),
}

impl Receiver {
    pub(crate) fn new(current: Current, metrics: Shards) -> Self {
        Self { current, assembly: Assembly::default(), metrics, missing: None }
    }

    /// Takes a change, and says what came of it; nothing where nothing is new.
    pub(crate) async fn take(&mut self, news: News) -> Vec<Reload> {
        let (mut assembly, before) = (self.assembly.clone(), self.current.load());
        // Beside the runtime's thread, which answers scrapes meanwhile.
        let taken = tokio::task::spawn_blocking(move || {
            let now = Instant::now();
            let outcome = match news {
                News::All(shards) => assembly.replace(shards, &before, now),
                News::One(from, bytes) => assembly.update([(from, bytes)], &before, now),
                News::Gone(from) => {
                    assembly.remove(&from);
                    Outcome::default()
                }
            };
            (assembly, outcome)
        });
        // The task fails only where the runtime ends.
        let Ok((assembly, outcome)) = taken.await else { return Vec::new() };
        self.assembly = assembly;
        self.tell(outcome)
    }

    fn tell(&mut self, outcome: Outcome) -> Vec<Reload> {
        let Outcome { snapshot, accepted, refused } = outcome;
        let mut reloads = Vec::new();
        for (from, error) in refused {
            let error = Chain(&error);
            warn!(from, %error, "shard of the mapping refused, what it said before stays");
            reloads.push(Reload::Failure);
        }
        if let Some(snapshot) = snapshot {
            let (services, retained) = (snapshot.len(), snapshot.retained_len());
            let revision = self.assembly.revision();
            self.current.store(snapshot, SystemTime::now());
            info!(shards = accepted, revision, services, retained, "mapping read");
            reloads.push(Reload::Success);
        }
        self.tell_missing();
        self.metrics.set(&self.assembly);
        reloads
    }

    fn tell_missing(&mut self) {
        let missing: Vec<_> = self.assembly.missing().iter().map(ToString::to_string).collect();
        let missing = (!missing.is_empty()).then(|| missing.join(", "));
        if missing == self.missing {
            return;
        }
        match &missing {
            Some(missing) if self.assembly.accepted_len() == 0 => {
                let waiting = "no shard of a mapping yet, names say what they say by themselves";
                warn!(missing, "{waiting}");
            }
            Some(missing) => {
                warn!(missing, "shards of the mapping are missing, what they said before stays");
            }
            None => info!("all shards of the mapping are there"),
        }
        self.missing = missing;
    }
}
