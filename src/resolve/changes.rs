//! What the index is asked for: the mapping as a whole, or what changed in it.
//!
//! In: an [`Index`]. Out: a [`Snapshot`], or names with what they stand for now. The one decision:
//! names are worked out in the order in which a snapshot keeps them, some thousands at a time, so
//! that neither a list of all of them nor a copy of the snapshot is ever there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Instant;

use crate::mapping::Snapshot;
use crate::mapping::snapshot::{Builder, place};
use crate::mapping::{Entry, Owner};
use crate::resolve::claim::Claim;
use crate::resolve::group::{self, Meaning};
use crate::resolve::index::{Index, Touched};

/// A name whose meaning may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name of the Kong service.
    pub name: String,
    /// What it stands for now; `None` where it is gone.
    pub entry: Option<Entry>,
}

/// A name that Kong's controllers leave out of Kong's configuration, with its routes: the
/// annotations of the Services behind it contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// The name of the Kong service that there is not.
    pub name: String,
    /// The annotations that every one of the Services would have to have, with the same value.
    pub annotations: Vec<String>,
    /// The rules that lose their traffic, as `HTTPRoute web/shop rule 0`.
    pub owners: Vec<String>,
}

impl Index {
    /// The names whose meaning may have changed since the last call, sorted; at the first call all
    /// names. Those that come back the same or were never there may be among them.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        match self.touched.replace(Touched::default()) {
            None => {
                let places: BTreeSet<_> = self.claims.iter().map(|(place, _)| *place).collect();
                self.tell(places, &mut changes);
                // What was never told need not be taken back.
                changes.retain(|_, entry| entry.is_some());
            }
            Some(Touched { places, left }) => {
                self.tell(places, &mut changes);
                left.into_iter().for_each(|name| {
                    changes.entry(name).or_insert(None);
                });
            }
        }
        changes.into_iter().map(|(name, entry)| Change { name, entry }).collect()
    }

    /// The mapping that follows `before` at the time `now`, where `before` is what this told last:
    /// as `before` with the [`Self::changes`], but with no list of them in between, however many
    /// they are.
    #[must_use]
    pub fn update(&mut self, before: &Snapshot, now: Instant) -> Snapshot {
        let Some(Touched { places, left }) = self.touched.replace(Touched::default()) else {
            let (mut all, mut told) = (Builder::for_names(self.claims.len()), HashMap::new());
            self.each(|place, base, name, meaning| {
                if let Meaning::Entry(entry) = meaning {
                    all.insert(&name, &entry);
                    if name != base {
                        told.entry(place).or_insert_with(Vec::new).push(name);
                    }
                }
            });
            self.told = told;
            return all.build().succeed(before, now);
        };
        let mut after = before.clone();
        let places: Vec<_> = places.into_iter().collect();
        // A name that is left over may be told as something else below.
        let left = left.into_iter().filter(|name| !self.is_claimed(place(name)));
        let left: Vec<_> = left.map(|name| (name, None)).collect();
        if !left.is_empty() {
            after = after.updated(left, now);
        }
        // In the order of places: one after the other, what is changed together is together.
        for some in places.chunks(AT_ONCE) {
            let mut changes = BTreeMap::new();
            self.tell(some.iter().copied(), &mut changes);
            after = after.updated(changes, now);
        }
        after
    }

    /// Whether there may be anything to tell.
    pub fn is_touched(&self) -> bool {
        let is_touched = |touched: &Touched| !touched.places.is_empty() || !touched.left.is_empty();
        self.touched.as_ref().is_none_or(is_touched)
    }

    /// The whole mapping.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Builder::for_names(self.claims.len());
        self.each(|_, _, name, meaning| {
            if let Meaning::Entry(entry) = meaning {
                snapshot.insert(&name, &entry);
            }
        });
        snapshot.build()
    }

    /// The names that Kong's controllers leave out, sorted.
    pub fn dropped(&self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        self.each(|_, _, name, meaning| {
            if let Meaning::Disagreement { annotations, owners } = meaning {
                let owners = owners.iter().map(describe).collect();
                dropped.push(Dropped { name, annotations, owners });
            }
        });
        dropped.sort_unstable();
        dropped
    }

    /// What `find` says of the first claimed name, with all claims on it, of which it says anything.
    pub(crate) fn find_claimed<T>(
        &self,
        mut find: impl FnMut(u64, &str, &[Claim]) -> Option<T>,
    ) -> Option<T> {
        let mut next = self.claims.first();
        while let Some((place, _)) = next {
            for (base, claims) in self.claimed_at(*place) {
                if let Some(found) = find(*place, &base, &claims) {
                    return Some(found);
                }
            }
            let after = (Bound::Excluded((*place, Claim::LAST)), Bound::Unbounded);
            next = self.claims.range(after).next();
        }
        None
    }

    /// Every claimed name with its place, in the order of places, and what it or a name that is made
    /// of it means.
    fn each(&self, mut take: impl FnMut(u64, &str, String, Meaning)) {
        self.find_claimed(|place, base, claims| {
            for (name, meaning) in group::resolve(&self.world, base, claims) {
                take(place, base, name, meaning);
            }
            None::<()>
        });
    }

    /// What the names at these places stand for now.
    fn tell(
        &mut self,
        places: impl IntoIterator<Item = u64>,
        changes: &mut BTreeMap<String, Option<Entry>>,
    ) {
        for place in places {
            let mut others = Vec::new();
            for (base, claims) in self.claimed_at(place) {
                for (name, meaning) in group::resolve(&self.world, &base, &claims) {
                    let Meaning::Entry(entry) = meaning else { continue };
                    if name != base {
                        others.push(name.clone());
                    }
                    changes.insert(name, Some(entry));
                }
                changes.entry(base).or_insert(None);
            }
            let told = match others.is_empty() {
                true => self.told.remove(&place),
                false => self.told.insert(place, others),
            };
            for gone in told.into_iter().flatten() {
                changes.entry(gone).or_insert(None);
            }
        }
    }

    fn is_claimed(&self, place: u64) -> bool {
        self.claims.range((place, Claim::FIRST)..=(place, Claim::LAST)).next().is_some()
    }
}

fn describe(owner: &Owner) -> String {
    let Owner { kind, namespace, name, rule } = owner;
    let rule = rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    format!("{} {namespace}/{name}{rule}", kind.as_str())
}

/// So many names are worked out at once, to be taken over into a snapshot.
const AT_ONCE: usize = 4096;
