//! What a set of shards has come to.
//!
//! In: shards as they come, change and vanish, each under the name of what it was read from (a
//! ConfigMap, a file). Out: the snapshot that follows, which shards were refused and why, and what
//! is missing. The one decision: what was accepted stays until a later shard says otherwise. A shard
//! that comes damaged, or vanishes without another one about the same names, changes nothing.
//!
//! A name that a shard no longer has may be gone, and then it is retained; or it says by itself what
//! it stands for now. Which of the two cannot be told, so where it can say so, it is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::mapping::shards::pack::{self, Error, Header, Shard};
use crate::mapping::shards::{Region, hash, may_say_itself};
use crate::mapping::snapshot::Builder;
use crate::mapping::{Entry, Snapshot};

/// The shards that are known, without their entries.
#[derive(Debug, Clone, Default)]
pub struct Assembly {
    parts: BTreeMap<String, Part>,
}

/// What came of some shards.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The snapshot that follows; `None` where nothing has changed.
    pub snapshot: Option<Snapshot>,
    /// How many shards were accepted and not known before.
    pub accepted: usize,
    /// Which were refused, and why; not those that were already, for the same reason.
    pub refused: Vec<(String, Error)>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    /// Of the last one that was accepted.
    accepted: Option<Header>,
    /// Why the one that is there is refused.
    refused: Option<String>,
}

impl Assembly {
    /// Takes these shards as all that there are.
    pub fn replace<B: AsRef<[u8]>>(
        &mut self,
        shards: impl IntoIterator<Item = (String, B)>,
        before: &Snapshot,
        now: Instant,
    ) -> Outcome {
        let shards: Vec<_> = shards.into_iter().collect();
        let there: BTreeSet<_> = shards.iter().map(|(from, _)| from.as_str()).collect();
        self.parts.retain(|from, _| there.contains(from.as_str()));
        self.update(shards, before, now)
    }

    /// Takes these shards in place of those from the same places.
    pub fn update<B: AsRef<[u8]>>(
        &mut self,
        shards: impl IntoIterator<Item = (String, B)>,
        before: &Snapshot,
        now: Instant,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut accepted = Vec::new();
        for (from, bytes) in shards {
            let part = self.parts.entry(from.clone()).or_default();
            match pack::header(bytes.as_ref()) {
                Ok(header) if part.accepted.as_ref() == Some(&header) => part.refused = None,
                Ok(header) => accepted.push((from, header, bytes)),
                Err(error) => part.refuse(from, error, &mut outcome),
            }
        }
        // All headers before all entries: a shard is read with those in mind that are newer.
        let before_these = self.parts.clone();
        for (from, header, _) in &accepted {
            self.parts.entry(from.clone()).or_default().accepted = Some(header.clone());
        }
        let mut following = Following::of(before, now);
        for (from, header, bytes) in accepted {
            match pack::read(bytes.as_ref()) {
                Ok(shard) => {
                    outcome.accepted += 1;
                    self.parts.entry(from).or_default().refused = None;
                    following.take(shard, &self.newer_than(&header));
                }
                Err(error) => {
                    let part = self.parts.entry(from.clone()).or_default();
                    part.accepted = before_these.get(&from).and_then(|part| part.accepted.clone());
                    part.refuse(from, error, &mut outcome);
                }
            }
        }
        outcome.snapshot = (outcome.accepted > 0).then(|| following.snapshot());
        outcome
    }

    /// There is no shard from this place any more. What it said stays until another one says
    /// otherwise.
    pub fn remove(&mut self, from: &str) {
        self.parts.remove(from);
    }

    /// The names that no accepted shard is about; empty where the set is whole.
    pub fn missing(&self) -> Vec<Region> {
        let regions: Vec<_> = self.accepted().map(|header| header.region).collect();
        Region { number: 0, bits: 0 }.without(&regions)
    }

    /// Whether every name is in some accepted shard, if it is in the mapping at all.
    pub fn is_whole(&self) -> bool {
        self.missing().is_empty()
    }

    /// How many shards are accepted.
    pub fn accepted_len(&self) -> usize {
        self.accepted().count()
    }

    /// How many shards are refused as they are.
    pub fn refused_len(&self) -> usize {
        self.parts.values().filter(|part| part.refused.is_some()).count()
    }

    /// The latest revision of an accepted shard; 0 where there is none.
    pub fn revision(&self) -> u64 {
        self.accepted().map(|header| header.revision).max().unwrap_or_default()
    }

    fn accepted(&self) -> impl Iterator<Item = &Header> {
        self.parts.values().filter_map(|part| part.accepted.as_ref())
    }

    /// What later shards than this one are about, of the names that it is about, too.
    fn newer_than(&self, header: &Header) -> Vec<Region> {
        let rank = |header: &Header| (header.revision, header.region.bits);
        let others = self.accepted().filter(|other| *other != header);
        let newer = others.filter(|other| rank(other) > rank(header));
        newer.map(|other| other.region).filter(|region| region.overlaps(header.region)).collect()
    }
}

impl Part {
    fn refuse(&mut self, from: String, error: Error, outcome: &mut Outcome) {
        let told = error.to_string();
        if self.refused.as_ref() != Some(&told) {
            self.refused = Some(told);
            outcome.refused.push((from, error));
        }
    }
}

/// A snapshot in the making.
enum Following {
    /// There was none, so it is made in one go.
    Nothing(Builder),
    /// It follows this one.
    Snapshot(Snapshot, Instant),
}

impl Following {
    fn of(before: &Snapshot, now: Instant) -> Self {
        if before.is_empty() && before.retained_len() == 0 {
            return Self::Nothing(Builder::default());
        }
        Self::Snapshot(before.clone(), now)
    }

    /// The names of the shard's region stand for what it says, but for those that are in `newer`.
    fn take(&mut self, shard: Shard, newer: &[Region]) {
        let Shard { header, entries } = shard;
        let counts = |name: &str| {
            let hash = hash(name);
            header.region.contains(hash) && !newer.iter().any(|region| region.contains(hash))
        };
        let entries = entries.into_iter().filter(|(name, _)| counts(name));
        match self {
            Self::Nothing(builder) => {
                entries.for_each(|(name, entry)| builder.insert(&name, &entry));
            }
            Self::Snapshot(snapshot, now) => {
                let mut changes: BTreeMap<_, _> = snapshot
                    .names()
                    .filter(|name| counts(name))
                    .map(|name| (name.to_owned(), None))
                    .collect();
                changes.extend(entries.map(|(name, entry)| (name, Some(entry))));
                let is_unsaid = |(name, entry): (&String, &Option<Entry>)| {
                    (entry.is_none() && may_say_itself(name)).then(|| name.clone())
                };
                let unsaid: BTreeSet<_> = changes.iter().filter_map(is_unsaid).collect();
                *snapshot = snapshot.updated(changes, *now).without(&unsaid);
            }
        }
    }

    fn snapshot(self) -> Snapshot {
        match self {
            Self::Nothing(builder) => builder.build(),
            Self::Snapshot(snapshot, _) => snapshot,
        }
    }
}
