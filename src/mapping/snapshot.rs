//! One consistent state of the mapping: exact Kong names to Kubernetes Services.
//!
//! In: names with their [`Entry`], and the state before. Out: a [`Snapshot`] that answers by name.
//! The one decision: a name that vanished keeps its last meaning for an hour ([`RETENTION`]),
//! because Kong's counters outlive the route. The clock is an argument.

use std::collections::BTreeSet;
use std::mem;
use std::time::Instant;

pub use crate::mapping::buckets::RETENTION;
use crate::mapping::buckets::{self, Buckets};
use crate::mapping::entry::{Backend, Entry, EntryRef, Owner, merge};
use crate::mapping::table::Rows;
use crate::mapping::{Label, Tier, name};

/// One consistent state of the mapping. Never changes once made; a change is a new one, which shares
/// with it what did not change.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    buckets: Buckets,
}

/// Makes a [`Snapshot`], entry by entry. Of two entries of one name the later one counts.
#[derive(Debug, Default)]
pub struct Builder {
    rows: Rows,
    buckets: Buckets,
}

impl Snapshot {
    /// The entry of this name, and whether it is there now ([`Tier::Exact`]) or was until less than
    /// an hour ago ([`Tier::Retained`]).
    ///
    /// A snapshot holds names of Kong services. An upstream has the same name, but for a possible
    /// `.invalid` at its end and for Ingresses, whose `<namespace>.<service>.<port>` has the
    /// upstream `<service>.<namespace>.<port>.svc`.
    pub fn find(&self, label: Label, name: &str) -> Option<(EntryRef<'_>, Tier)> {
        let Label::Upstream = label else { return self.find_any(&[name]) };
        let name = name::without_invalid(name);
        if let Some([ingress, udp_ingress]) = name::services_of_upstream(name) {
            return self.find_any(&[&ingress, &udp_ingress, name]);
        }
        let is_ingress = matches!(name::decode(Label::Service, name), Ok(name::Form::Service(_)));
        if is_ingress { None } else { self.find_any(&[name]) }
    }

    /// The names that are there now with their entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, EntryRef<'_>)> {
        let mut entries: Vec<_> =
            self.buckets.iter().map(|packed| (packed.name(), packed)).collect();
        entries.sort_unstable_by_key(|(name, _)| *name);
        entries.into_iter().map(|(name, packed)| (name, packed.entry()))
    }

    /// The names that are there now, in no order that means anything.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.buckets.iter().map(|packed| packed.name())
    }

    /// How many names are there now.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether no name is there now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many names vanished less than an hour ago.
    pub fn retained_len(&self) -> usize {
        self.buckets.retained_len()
    }

    /// The state that follows this one at the time `now`, when each of these names has another entry
    /// or, with `None`, is gone. A name that is gone is retained for an hour; what has been for an
    /// hour is dropped. Of several changes of one name the last one counts.
    ///
    /// What does not change is shared.
    #[must_use]
    pub fn updated(
        &self,
        changes: impl IntoIterator<Item = (String, Option<Entry>)>,
        now: Instant,
    ) -> Self {
        let (mut rows, mut times) = (Rows::default(), Vec::new());
        for (name, entry) in changes {
            let entry = entry.filter(|entry| push(&mut rows, &name, entry));
            // A name whose new entry cannot be kept is gone, too.
            if entry.is_some() || push(&mut rows, &name, &Entry::default()) {
                times.push(entry.is_none().then_some(now));
            }
        }
        let changes: Vec<_> = rows.iter().zip(times).collect();
        let before = self.forget(now).unwrap_or_else(|| self.clone());
        Self { buckets: before.buckets.changed(&changes) }
    }

    /// This state as the one that follows `previous` at the time `now`: what `previous` held and
    /// this one does not is retained, from now on or from when it vanished. Names that `self`
    /// retained by itself are dropped; a state made from entries has none. What is as it was in
    /// `previous` is shared with it.
    #[must_use]
    pub fn succeed(self, previous: &Self, now: Instant) -> Self {
        if previous.is_empty() && previous.retained_len() == 0 && self.retained_len() == 0 {
            return self;
        }
        let there = self.buckets.iter().map(|packed| (packed, None));
        let gone =
            previous.buckets.iter().filter(|packed| self.buckets.exact(packed.name()).is_none());
        let changes: Vec<_> = there.chain(gone.map(|packed| (packed, Some(now)))).collect();
        let before = previous.forget(now).unwrap_or_else(|| previous.clone());
        Self { buckets: before.buckets.changed(&changes) }
    }

    /// This state without the names whose hour is over at the time `now`; `None` where there are
    /// none such. For a mapping that does not change any more.
    #[must_use]
    pub fn forget(&self, now: Instant) -> Option<Self> {
        self.buckets.forget(now).map(|buckets| Self { buckets })
    }

    /// This state without these names, which are not retained either.
    pub(crate) fn without(&self, names: &BTreeSet<String>) -> Self {
        Self { buckets: self.buckets.without(names) }
    }

    fn find_any(&self, names: &[&str]) -> Option<(EntryRef<'_>, Tier)> {
        let exact = || names.iter().find_map(|name| self.buckets.exact(name));
        let retained = || names.iter().find_map(|name| self.buckets.retained(name));
        let (packed, tier) = match exact() {
            Some(packed) => (packed, Tier::Exact),
            None => (retained()?, Tier::Retained),
        };
        Some((packed.entry(), tier))
    }
}

impl FromIterator<(String, Entry)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        let mut snapshot = Builder::default();
        for (name, entry) in entries {
            snapshot.insert(&name, &entry);
        }
        snapshot.build()
    }
}

impl Builder {
    /// Adds what `name` stands for. An entry with a string of more than 64 KiB, which no line can
    /// carry, or one past 4 GiB is left out: such a name is then simply not in the mapping.
    pub fn insert(&mut self, name: &str, entry: &Entry) {
        push(&mut self.rows, name, entry);
        if self.rows.len() == AT_ONCE {
            self.flush();
        }
    }

    /// The snapshot of all that was added.
    pub fn build(mut self) -> Snapshot {
        self.flush();
        Snapshot { buckets: self.buckets.shrunk() }
    }

    /// A builder that will be given some `names` names. If they come in the order of their
    /// [`place`]s, little more memory is used than the snapshot has in the end.
    pub(crate) fn for_names(names: usize) -> Self {
        Self { rows: Rows::default(), buckets: Buckets::for_names(names) }
    }

    fn flush(&mut self) {
        let rows = mem::take(&mut self.rows);
        let entries: Vec<_> = rows.iter().map(|packed| (packed, None)).collect();
        self.buckets = self.buckets.grown(&entries);
    }
}

/// Where in a snapshot a name is. Names that are near each other are changed together at little
/// cost.
pub(crate) fn place(name: &str) -> u64 {
    buckets::hash(name)
}

fn push(rows: &mut Rows, name: &str, entry: &Entry) -> bool {
    let backends = merge(entry.backends.iter().map(Backend::borrow));
    let owners: Vec<_> = entry.owners.iter().map(Owner::borrow).collect();
    rows.push(name, &backends, &owners)
}

/// So many entries of a builder are put into buckets at once.
const AT_ONCE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mapping::{Kind, Port};

    fn snapshot(names: &[&str]) -> Snapshot {
        let entry = |name: &&str| Entry {
            backends: vec![Backend {
                namespace: "web".to_owned(),
                service: format!("of-{name}"),
                port: None,
                weight: None,
            }],
            owners: Vec::new(),
        };
        names.iter().map(|name| ((*name).to_owned(), entry(name))).collect()
    }

    fn found<'s>(snapshot: &'s Snapshot, name: &str) -> Option<(&'s str, Tier)> {
        let (entry, tier) = snapshot.find(Label::Service, name)?;
        entry.backends.first().map(|backend| (backend.service, tier))
    }

    #[test]
    fn a_name_that_vanished_is_retained_for_an_hour_and_no_longer() {
        let start = Instant::now();
        let almost = start + RETENTION - Duration::from_nanos(1);
        let after = snapshot(&["a"]).succeed(&snapshot(&["a", "b"]), start);
        assert_eq!(found(&after, "a"), Some(("of-a", Tier::Exact)));
        assert_eq!(found(&after, "b"), Some(("of-b", Tier::Retained)));
        let later = snapshot(&["c"]).succeed(&after, almost);
        assert_eq!(found(&later, "b"), Some(("of-b", Tier::Retained)));
        assert_eq!(found(&later, "a"), Some(("of-a", Tier::Retained)));
        let over = snapshot(&["c"]).succeed(&later, start + RETENTION);
        assert_eq!(found(&over, "b"), None);
        assert_eq!(found(&over, "a"), Some(("of-a", Tier::Retained)));
        assert_eq!((over.len(), over.retained_len()), (1, 1));
    }

    #[test]
    fn a_name_that_returns_is_exact_again() {
        let now = Instant::now();
        let gone = snapshot(&[]).succeed(&snapshot(&["a"]), now);
        let back = snapshot(&["a"]).succeed(&gone, now);
        assert_eq!(found(&back, "a"), Some(("of-a", Tier::Exact)));
        assert_eq!(back.retained_len(), 0);
    }

    #[test]
    fn the_hour_ends_without_a_change_too() {
        let start = Instant::now();
        let gone = snapshot(&["b"]).succeed(&snapshot(&["a"]), start);
        assert!(gone.forget(start).is_none());
        let over = gone.forget(start + RETENTION).unwrap();
        assert_eq!(found(&over, "a"), None);
        assert_eq!(found(&over, "b"), Some(("of-b", Tier::Exact)));
        assert!(over.forget(start + RETENTION).is_none());
    }

    #[test]
    fn an_upstream_is_retained_with_its_service() {
        let gone = snapshot(&[]).succeed(&snapshot(&["default.echo.80"]), Instant::now());
        let (_, tier) = gone.find(Label::Upstream, "echo.default.80.svc").unwrap();
        assert_eq!(tier, Tier::Retained);
    }

    #[test]
    fn the_later_of_two_entries_of_one_name_counts() {
        let mut builder = Builder::default();
        for service in ["x", "y", "z"] {
            let backend = Backend {
                namespace: "web".to_owned(),
                service: service.to_owned(),
                port: Some(Port::Name("http".to_owned())),
                weight: None,
            };
            builder.insert("a", &Entry { backends: vec![backend], owners: Vec::new() });
        }
        let snapshot = builder.build();
        assert_eq!(found(&snapshot, "a"), Some(("z", Tier::Exact)));
        assert_eq!(snapshot.len(), 1);
    }

    #[test]
    fn a_name_that_no_line_can_carry_is_left_out() {
        let long = "x".repeat(65_536);
        let snapshot = snapshot(&[&long[1..], &long, "a"]);
        assert_eq!(snapshot.len(), 1, "its Service is three bytes longer");
        assert_eq!(found(&snapshot, "a"), Some(("of-a", Tier::Exact)));
    }

    #[test]
    fn a_name_that_thousands_of_routes_make_has_them_all() {
        let owner = |number: u32| Owner {
            kind: Kind::HTTPRoute,
            namespace: format!("münchen-{}", number % 7),
            name: format!("route-{number}"),
            rule: Some(number),
        };
        let owners: Vec<_> = (0..5_000).map(owner).collect();
        let entry = Entry { backends: Vec::new(), owners: owners.clone() };
        let snapshot: Snapshot = [("a".to_owned(), entry)].into_iter().collect();
        let (found, _) = snapshot.find(Label::Service, "a").unwrap();
        assert!(found.owners.iter().copied().eq(owners.iter().map(Owner::borrow)));
    }
}
