//! What is known about names: label text ready to be copied. In: a label's value. Out: the text that
//! stands for it.
//!
//! Kong prints each name many times, in runs, and in the same order in every family. So the name
//! asked for is nearly always the last one or the one that followed it last time; the hash is asked
//! for the rest. A scrape hands its memo to the next one, which then resolves only what is new.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::{LabelNames, text};
use crate::exposition::escape;
use crate::mapping::{self, Label, Snapshot, Target};

/// What a scrape learnt about names, kept for the next one. Good for one snapshot; forgets by
/// itself when given another.
#[derive(Debug, Default)]
pub struct Memo {
    known_for: Option<(Arc<Snapshot>, Arc<LabelNames>)>,
    services: Names,
    upstreams: Names,
    /// Keyed by service, a zero byte, and route: for the few names that several routes own.
    routes: Names,
    /// All label text.
    text: Vec<u8>,
    scratch: Vec<u8>,
    /// Counts scrapes; a name with this number was seen in the current one.
    scrape: u64,
}

/// Where the text of an answer is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Text {
    start: usize,
    end: usize,
}

/// What is known about one name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) text: Text,
    /// The `route` label has a say: see [`Memo::with_route`].
    pub(super) by_route: bool,
    /// First asked for in this scrape, and whether Services are known for it.
    pub(super) first: Option<bool>,
}

#[derive(Debug, Default)]
struct Names {
    /// Places in `entries`, by the hash of their keys.
    index: HashTable<u32>,
    hasher: RandomState,
    /// All names.
    keys: Vec<u8>,
    entries: Vec<Entry>,
    cursor: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Text,
    text: Text,
    by_route: bool,
    mapped: bool,
    scrape: u64,
}

impl Memo {
    /// The distinct names of the last body, in order of first sight.
    pub fn names(&self) -> impl Iterator<Item = (Label, &str)> {
        let services = self.services.seen(self.scrape).map(|name| (Label::Service, name));
        let upstreams = self.upstreams.seen(self.scrape).map(|name| (Label::Upstream, name));
        let utf8 = |(label, name)| Some((label, std::str::from_utf8(name).ok()?));
        services.chain(upstreams).filter_map(utf8)
    }

    /// Starts the next scrape.
    pub(super) fn begin(&mut self, snapshot: &Arc<Snapshot>, labels: &Arc<LabelNames>) {
        let same = self.known_for.as_ref().is_some_and(|(s, l)| {
            Arc::ptr_eq(s, snapshot) && (Arc::ptr_eq(l, labels) || l == labels)
        });
        let seen = self.names().count();
        let known = self.services.entries.len() + self.upstreams.entries.len();
        // Names that Kong no longer prints are not carried along for ever.
        if !same || known > 2 * seen + 1024 {
            self.forget();
            self.known_for = Some((Arc::clone(snapshot), Arc::clone(labels)));
        }
        self.scrape += 1;
    }

    /// What is known about a name; resolved now if it was never asked for.
    #[inline]
    pub(super) fn get(&mut self, label: Label, name: &[u8]) -> Known {
        let scrape = self.scrape;
        let names = match label {
            Label::Service => &mut self.services,
            Label::Upstream => &mut self.upstreams,
        };
        match names.find(name) {
            Some(entry) => {
                let first = (entry.scrape != scrape).then_some(entry.mapped);
                entry.scrape = scrape;
                Known { text: entry.text, by_route: entry.by_route, first }
            }
            None => self.learn(label, name),
        }
    }

    /// As [`Self::get`] for a service, where the sample's route tells its owners apart.
    pub(super) fn with_route(&mut self, service: &[u8], route: &[u8]) -> Text {
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        key.extend_from_slice(service);
        key.push(0);
        key.extend_from_slice(route);
        let text = match self.routes.find(&key) {
            Some(entry) => entry.text,
            None => self.learn_route(service, route, &key),
        };
        self.scratch = key;
        text
    }

    /// The bytes of an answer.
    #[inline]
    pub(super) fn text(&self, text: Text) -> &[u8] {
        self.text.get(text.start..text.end).unwrap_or_default()
    }

    #[cold]
    fn learn(&mut self, label: Label, name: &[u8]) -> Known {
        self.make_room();
        let Some((snapshot, labels)) = self.known_for.clone() else {
            return Known { text: Text::default(), by_route: false, first: None };
        };
        // The grammar lets only UTF-8 through.
        let resolved =
            mapping::resolve(&snapshot, label, std::str::from_utf8(name).unwrap_or_default());
        let by_route = label == Label::Service && text::depends_on_route(&resolved.target);
        let mapped = has_services(&resolved.target);
        let start = self.text.len();
        text::labels(&labels, &resolved.target, None, &mut self.text);
        self.text.extend_from_slice(labels.kong_service().as_bytes());
        if label == Label::Upstream {
            // `upstream` stays, so Kong's name is written out in front of it.
            self.text.extend_from_slice(b"=\"");
            escape(name, &mut self.text);
            self.text.extend_from_slice(b"\",");
        }
        let text = Text { start, end: self.text.len() };
        let names = match label {
            Label::Service => &mut self.services,
            Label::Upstream => &mut self.upstreams,
        };
        names.add(name, |key| Entry { key, text, by_route, mapped, scrape: self.scrape });
        Known { text, by_route, first: Some(mapped) }
    }

    #[cold]
    fn learn_route(&mut self, service: &[u8], route: &[u8], key: &[u8]) -> Text {
        self.make_room();
        let Some((snapshot, labels)) = self.known_for.clone() else { return Text::default() };
        let name = std::str::from_utf8(service).unwrap_or_default();
        let resolved = mapping::resolve(&snapshot, Label::Service, name);
        let Target::Route { owners, .. } = &resolved.target else { return Text::default() };
        let owner =
            mapping::name::owner_for_route(owners, std::str::from_utf8(route).unwrap_or_default());
        let start = self.text.len();
        text::labels(&labels, &resolved.target, owner, &mut self.text);
        self.text.extend_from_slice(labels.kong_service().as_bytes());
        let text = Text { start, end: self.text.len() };
        let entry = |key| Entry { key, text, by_route: false, mapped: false, scrape: self.scrape };
        self.routes.add(key, entry);
        text
    }

    fn make_room(&mut self) {
        let names = [&self.services, &self.upstreams, &self.routes];
        if names.iter().map(|names| names.entries.len()).sum::<usize>() >= MAX_NAMES {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.services = Names::default();
        self.upstreams = Names::default();
        self.routes = Names::default();
        self.text = Vec::new();
    }
}

impl Names {
    #[inline]
    fn find(&mut self, name: &[u8]) -> Option<&mut Entry> {
        for guess in [self.cursor + 1, self.cursor] {
            if self.entries.get(guess).is_some_and(|e| &self.keys[e.key.start..e.key.end] == name) {
                self.cursor = guess;
                return self.entries.get_mut(guess);
            }
        }
        let is_it = |at: &u32| key(&self.keys, &self.entries, *at) == name;
        self.cursor = *self.index.find(self.hasher.hash_one(name), is_it)? as usize;
        self.entries.get_mut(self.cursor)
    }

    fn seen(&self, scrape: u64) -> impl Iterator<Item = &[u8]> {
        let seen = self.entries.iter().filter(move |entry| entry.scrape == scrape);
        seen.map(|entry| &self.keys[entry.key.start..entry.key.end])
    }

    fn add(&mut self, name: &[u8], entry: impl FnOnce(Text) -> Entry) {
        let start = self.keys.len();
        self.keys.extend_from_slice(name);
        self.cursor = self.entries.len();
        self.entries.push(entry(Text { start, end: self.keys.len() }));
        let Self { index, hasher, keys, entries, .. } = self;
        let hash = |at: &u32| hasher.hash_one(key(keys, entries, *at));
        index.insert_unique(hasher.hash_one(name), self.cursor as u32, hash);
    }
}

/// The name of the entry at `at`.
fn key<'a>(keys: &'a [u8], entries: &[Entry], at: u32) -> &'a [u8] {
    let entry = entries.get(at as usize);
    entry.and_then(|entry| keys.get(entry.key.start..entry.key.end)).unwrap_or_default()
}

fn has_services(target: &Target<'_>) -> bool {
    match target {
        Target::Service { .. } => true,
        Target::Route { backends, complete, .. } => *complete && !backends.is_empty(),
        Target::Unknown(_) => false,
    }
}

/// More names than any Kong has; at some 320 bytes a name a bound of 21 MB on a hostile body. Beyond it
/// the memo starts anew, and the counts of distinct names may count a name twice.
const MAX_NAMES: usize = 65_536;
