//! The entries of a snapshot, in buckets by the hash of the name.
//!
//! In: the buckets before, and which names have another entry or none now. Out: the buckets after.
//! The one decision: a bucket never changes; what did not change is the same bucket in both. Of
//! 50,000 names a change makes one bucket of a hundred anew, and a list of some 500 pointers.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use crate::mapping::table::{Packed, Table};

/// How long a name that vanished from the mapping keeps its last meaning.
pub const RETENTION: Duration = Duration::from_secs(60 * 60);

/// All entries: those of names that are there, and those of names that vanished.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets {
    /// None, or a power of two of them.
    buckets: Arc<[Arc<Bucket>]>,
    exact: usize,
    retained: usize,
    /// When the first of the names that vanished did so.
    oldest: Option<Instant>,
}

/// The entries of the names whose hashes are alike. No name is in both tables.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bucket {
    exact: Table<()>,
    /// With the time when the name vanished.
    retained: Table<Instant>,
    oldest: Option<Instant>,
}

/// A name's entry, and since when the name is gone; `None` where it is there.
pub(crate) type Change<'a> = (Packed<'a>, Since);

type Since = Option<Instant>;

impl Buckets {
    /// The entry of this name, if it is there.
    pub(crate) fn exact(&self, name: &str) -> Option<Packed<'_>> {
        let hash = hash(name);
        self.bucket(hash)?.exact.get(hash, name).map(|(packed, ())| packed)
    }

    /// The entry of this name, if it vanished.
    pub(crate) fn retained(&self, name: &str) -> Option<Packed<'_>> {
        // Mostly nothing has vanished.
        self.oldest?;
        let hash = hash(name);
        self.bucket(hash)?.retained.get(hash, name).map(|(packed, _)| packed)
    }

    /// Every entry that is there, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Packed<'_>> {
        self.buckets.iter().flat_map(|bucket| bucket.exact.iter()).map(|(packed, ())| packed)
    }

    /// How many names are there.
    pub(crate) fn len(&self) -> usize {
        self.exact
    }

    /// How many names vanished.
    pub(crate) fn retained_len(&self) -> usize {
        self.retained
    }

    /// What is left without the names whose hour is over at the time `now`; `None` where there are
    /// none such.
    pub(crate) fn forget(&self, now: Instant) -> Option<Self> {
        if !is_over(self.oldest, now) {
            return None;
        }
        let left = |bucket: &Arc<Bucket>| match is_over(bucket.oldest, now) {
            true => Arc::new(bucket.only(|_, since| !is_over(since, now))),
            false => Arc::clone(bucket),
        };
        Some(Self::of(self.buckets.iter().map(left).collect()))
    }

    /// What is left without these names, whether they are there or vanished.
    pub(crate) fn without(&self, names: &BTreeSet<String>) -> Self {
        let mut buckets = self.buckets.to_vec();
        let count = buckets.len();
        let touched: BTreeSet<_> = names.iter().map(|name| at(hash(name), count)).collect();
        for (_, bucket) in buckets.iter_mut().enumerate().filter(|(at, _)| touched.contains(at)) {
            *bucket = Arc::new(bucket.only(|packed, _| !names.contains(packed.name())));
        }
        Self::of(buckets)
    }

    /// What follows from changes. Of several of one name the last one counts. What is gone keeps the
    /// entry it had, not that of the change, and the time since when it has been gone.
    pub(crate) fn changed(&self, changes: &[Change<'_>]) -> Self {
        self.grown(changes).shrunk()
    }

    /// No entries, in as many buckets as so many names should have.
    pub(crate) fn for_names(names: usize) -> Self {
        Self::of(Self::default().split_for(names))
    }

    /// As [`Self::changed`], with as many buckets as before at least.
    pub(crate) fn grown(&self, changes: &[Change<'_>]) -> Self {
        let is_new =
            |(packed, since): &&Change<'_>| since.is_none() && self.exact(packed.name()).is_none();
        let most = self.exact + self.retained + changes.iter().filter(is_new).count();
        let mut buckets = if most > self.buckets.len() * MOST_IN_ONE {
            self.split_for(most)
        } else {
            self.buckets.to_vec()
        };
        let mut by_bucket = BTreeMap::<usize, BTreeMap<&str, Change<'_>>>::new();
        for change in changes {
            let name = change.0.name();
            by_bucket.entry(at(hash(name), buckets.len())).or_default().insert(name, *change);
        }
        for (number, changes) in by_bucket {
            let Some(bucket) = buckets.get_mut(number) else { continue };
            let after = bucket.changed(changes);
            // What comes back the same stays the same, for those who compare pointers.
            if after != **bucket {
                *bucket = Arc::new(after);
            }
        }
        Self::of(buckets)
    }

    /// The same with fewer buckets, where there are too many.
    pub(crate) fn shrunk(self) -> Self {
        let names = self.exact + self.retained;
        if self.buckets.len() > 1 && names < self.buckets.len() * LEAST_IN_ONE {
            return Self::of(self.split_for(names));
        }
        self
    }

    fn of(buckets: Vec<Arc<Bucket>>) -> Self {
        Self {
            exact: buckets.iter().map(|bucket| bucket.exact.len()).sum(),
            retained: buckets.iter().map(|bucket| bucket.retained.len()).sum(),
            oldest: buckets.iter().filter_map(|bucket| bucket.oldest).min(),
            buckets: buckets.into(),
        }
    }

    fn bucket(&self, hash: u64) -> Option<&Bucket> {
        self.buckets.get(at(hash, self.buckets.len())).map(|bucket| &**bucket)
    }

    /// The same entries in as many buckets as so many names should have.
    fn split_for(&self, names: usize) -> Vec<Arc<Bucket>> {
        let count = names.div_ceil(MOST_IN_ONE).next_power_of_two();
        let mut split: Vec<_> = iter::repeat_with(Vec::new).take(count).collect();
        for (packed, since) in self.buckets.iter().flat_map(|bucket| bucket.iter()) {
            let hash = hash(packed.name());
            if let Some(bucket) = split.get_mut(at(hash, count)) {
                bucket.push((hash, packed, since));
            }
        }
        split.iter().map(|entries| Arc::new(Bucket::of(entries))).collect()
    }
}

impl Bucket {
    fn of(entries: &[(u64, Packed<'_>, Since)]) -> Self {
        let exact = entries.iter().filter(|(.., since)| since.is_none());
        let exact: Vec<_> = exact.map(|(hash, packed, _)| (*hash, *packed, ())).collect();
        let retained = |(hash, packed, since): &(u64, _, Since)| Some((*hash, *packed, (*since)?));
        let retained: Vec<_> = entries.iter().filter_map(retained).collect();
        Self {
            exact: Table::of(&exact),
            retained: Table::of(&retained),
            oldest: retained.iter().map(|(.., since)| *since).min(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Packed<'_>, Since)> {
        let exact = self.exact.iter().map(|(packed, ())| (packed, None));
        exact.chain(self.retained.iter().map(|(packed, since)| (packed, Some(since))))
    }

    fn only(&self, stays: impl Fn(&Packed<'_>, Since) -> bool) -> Self {
        let left = self.iter().filter(|(packed, since)| stays(packed, *since));
        let left: Vec<_> =
            left.map(|(packed, since)| (hash(packed.name()), packed, since)).collect();
        Self::of(&left)
    }

    fn changed(&self, mut changes: BTreeMap<&str, Change<'_>>) -> Self {
        let mut after = Vec::with_capacity(self.exact.len() + self.retained.len() + changes.len());
        for (packed, since) in self.iter() {
            let name = packed.name();
            let (packed, since) = match changes.remove(name) {
                None => (packed, since),
                Some((_, gone @ Some(_))) => (packed, since.or(gone)),
                Some((packed, None)) => (packed, None),
            };
            after.push((hash(name), packed, since));
        }
        let there = changes.into_iter().filter(|(_, (_, since))| since.is_none());
        after.extend(there.map(|(name, (packed, since))| (hash(name), packed, since)));
        Self::of(&after)
    }
}

/// Of the names in a table: they come from whoever may make a route in the cluster, so they must not
/// be able to choose their hashes. One key for the process, so that snapshots can share buckets.
pub(crate) fn hash(name: &str) -> u64 {
    static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(random()));
    static KEY: LazyLock<SeedableRandomState> =
        LazyLock::new(|| SeedableRandomState::with_seed(random(), &SHARED));
    KEY.hash_one(name)
}

/// From the system, not from the addresses that foldhash would take.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The number of the bucket, by the highest bits: names in the order of their hashes are in the order
/// of buckets. The lowest byte tells the entries of one bucket apart.
fn at(hash: u64, count: usize) -> usize {
    // `count` is a power of two, and less than 2^56 of whatever there is.
    ((hash >> 8) as usize).checked_shr(56 - count.max(1).trailing_zeros()).unwrap_or_default()
}

fn is_over(since: Since, now: Instant) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) >= RETENTION)
}

/// More names than this are split into more buckets.
const MOST_IN_ONE: usize = 128;

/// Fewer than this are put together.
const LEAST_IN_ONE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::BackendRef;
    use crate::mapping::table::Rows;

    fn rows(names: impl IntoIterator<Item = String>, service: &str) -> Rows {
        let mut rows = Rows::default();
        for name in names {
            let backend = BackendRef { namespace: "web", service, port: None, weight: None };
            assert!(rows.push(&name, &[backend], &[]));
        }
        rows
    }

    fn there(rows: &Rows) -> Vec<Change<'_>> {
        rows.iter().map(|packed| (packed, None)).collect()
    }

    fn names(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|number| format!("name-{number}"))
    }

    fn are_shared(one: &Buckets, other: &Buckets) -> usize {
        let pairs = one.buckets.iter().zip(other.buckets.iter());
        pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count()
    }

    #[test]
    fn few_names_are_in_one_bucket_and_many_in_buckets_of_some_hundred() {
        for (count, expected) in [(0, 0), (1, 1), (128, 1), (129, 2), (50_000, 512)] {
            let buckets = Buckets::default().changed(&there(&rows(names(count), "a")));
            assert_eq!(buckets.buckets.len(), expected, "{count}");
            assert_eq!(buckets.len(), count);
        }
    }

    #[test]
    fn a_change_touches_one_bucket_and_what_comes_back_the_same_none() {
        let many = rows(names(10_000), "a");
        let before = Buckets::default().changed(&there(&many));
        let same = before.changed(&there(&many));
        assert_eq!(are_shared(&before, &same), before.buckets.len());
        let after = before.changed(&there(&rows(["name-77".to_owned()], "b")));
        assert_eq!(are_shared(&before, &after), before.buckets.len() - 1);
        assert_eq!(after.exact("name-77").unwrap().entry().backends[0].service, "b");
        assert_eq!(before.exact("name-77").unwrap().entry().backends[0].service, "a");
    }

    #[test]
    fn buckets_follow_the_number_of_names() {
        let now = Instant::now();
        let mut buckets = Buckets::default();
        for count in [10, 300, 5_000] {
            buckets = buckets.changed(&there(&rows(names(count), "a")));
            assert!(buckets.buckets.iter().all(|bucket| bucket.iter().count() < 2 * MOST_IN_ONE));
        }
        let gone = rows(names(5_000).skip(3), "");
        let gone: Vec<_> = gone.iter().map(|packed| (packed, Some(now))).collect();
        let gone = buckets.changed(&gone);
        assert_eq!((gone.len(), gone.retained_len()), (3, 4_997));
        assert_eq!(gone.buckets.len(), buckets.buckets.len(), "retained names are names");
        let over = gone.forget(now + RETENTION).unwrap();
        assert_eq!((over.len(), over.retained_len()), (3, 0));
        assert_eq!(over.changed(&[]).buckets.len(), 1);
    }

    #[test]
    fn forgetting_touches_the_buckets_with_something_to_forget() {
        let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let before = Buckets::default().changed(&there(&rows(names(10_000), "a")));
        let [one, other] = ["name-1", "name-2"].map(|name| rows([name.to_owned()], "a"));
        let gone = [
            (one.iter().next().unwrap(), Some(start)),
            (other.iter().next().unwrap(), Some(later)),
        ];
        let gone = before.changed(&gone);
        assert!(gone.forget(start + RETENTION - Duration::from_nanos(1)).is_none());
        let over = gone.forget(start + RETENTION).unwrap();
        assert_eq!(are_shared(&gone, &over), gone.buckets.len() - 1);
        assert!(over.retained("name-1").is_none());
        assert!(over.retained("name-2").is_some());
    }
}
