//! Which families a body has had so far, and which of them pass. In: metadata lines and metric
//! names, in order. Out: keep or drop.
//!
//! A second HELP or TYPE of a family (Kong's stream subsystem repeats eight of them) is an error to
//! every parser built on Go's expfmt, and so is a TYPE after the family's first sample; Prometheus
//! itself does not mind. So the first stays and the rest goes.

use std::collections::HashMap;
use std::sync::Arc;

use super::{FamilyFilter, Reason, Selection};
use crate::exposition::grammar::Kind;
use crate::exposition::unquoted;

/// The families of one body.
#[derive(Debug)]
pub(super) struct Families {
    filter: Arc<FamilyFilter>,
    selection: Selection,
    seen: HashMap<Box<[u8]>, Seen>,
    /// Bytes of names in `seen`.
    size: usize,
    /// The family that TYPE named last; its samples may carry suffixes.
    current: Vec<u8>,
    kind: Kind,
    /// The names of samples since the last metadata, and whether they pass: where Kong prints each
    /// histogram in one piece, three of them take turns.
    recent: [(Vec<u8>, bool); 4],
    next_recent: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    help: bool,
    kind: bool,
    sample: bool,
}

/// What to do with a metadata line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// Not selected: left out without being an error.
    Unselected,
    Drop(Reason),
}

impl Families {
    pub(super) fn new(filter: Arc<FamilyFilter>, selection: Selection) -> Self {
        let kind = Kind::Other;
        Self {
            filter,
            selection,
            seen: HashMap::new(),
            size: 0,
            current: Vec::new(),
            kind,
            recent: Default::default(),
            next_recent: 0,
        }
    }

    /// A HELP line of `name` (quotes and all).
    pub(super) fn help(&mut self, name: &[u8]) -> Verdict {
        let name = unquoted(name);
        if !self.passes(name) {
            return Verdict::Unselected;
        }
        match self.entry(name) {
            None => Verdict::Drop(Reason::TooManyFamilies),
            Some(seen) if seen.help => Verdict::Drop(Reason::RepeatedHelp),
            Some(seen) => {
                seen.help = true;
                Verdict::Pass
            }
        }
    }

    /// A TYPE line of `name`.
    pub(super) fn kind(&mut self, name: &[u8], kind: Kind) -> Verdict {
        let name = unquoted(name);
        self.current.clear();
        self.current.extend_from_slice(name);
        self.kind = kind;
        self.recent.iter_mut().for_each(|(name, _)| name.clear());
        if !self.passes(name) {
            return Verdict::Unselected;
        }
        match self.entry(name) {
            None => Verdict::Drop(Reason::TooManyFamilies),
            Some(seen) if seen.kind => Verdict::Drop(Reason::RepeatedType),
            Some(seen) if seen.sample => Verdict::Drop(Reason::LateType),
            Some(seen) => {
                seen.kind = true;
                Verdict::Pass
            }
        }
    }

    /// The first of a run of samples named `name`: whether they pass.
    pub(super) fn sample(&mut self, name: &[u8]) -> bool {
        let name = unquoted(name);
        if let Some((_, passes)) = self.recent.iter().find(|(recent, _)| recent == name) {
            return *passes;
        }
        let is_current = name.strip_prefix(self.current.as_slice()).is_some_and(|suffix| {
            suffix.is_empty()
                || (self.kind != Kind::Other && matches!(suffix, b"_sum" | b"_count"))
                || (self.kind == Kind::Histogram && suffix == b"_bucket")
        });
        let current = std::mem::take(&mut self.current);
        let family = if is_current { current.as_slice() } else { name };
        let passes = self.passes(family);
        if let Some(seen) = self.entry(family) {
            seen.sample = true;
        }
        self.current = current;
        self.next_recent = (self.next_recent + 1) % self.recent.len();
        if let Some((recent, was)) = self.recent.get_mut(self.next_recent) {
            recent.clear();
            recent.extend_from_slice(name);
            *was = passes;
        }
        passes
    }

    fn passes(&self, family: &[u8]) -> bool {
        let Ok(family) = std::str::from_utf8(family) else { return false };
        self.filter.passes(family) && self.selection.passes(family)
    }

    fn entry(&mut self, name: &[u8]) -> Option<&mut Seen> {
        if !self.seen.contains_key(name) {
            if self.seen.len() == MAX_FAMILIES || self.size + name.len() > MAX_NAME_BYTES {
                return None;
            }
            self.size += name.len();
            self.seen.insert(name.into(), Seen::default());
        }
        self.seen.get_mut(name)
    }
}

/// Kong has some 30 families, a plugin adds a handful. The bounds keep a hostile body from growing us.
const MAX_FAMILIES: usize = 4096;
const MAX_NAME_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn families(allow: &[&str]) -> Families {
        let allow: Vec<String> = allow.iter().map(|s| (*s).to_owned()).collect();
        Families::new(Arc::new(FamilyFilter::new(&allow, &[]).unwrap()), Selection::default())
    }

    #[test]
    fn the_first_metadata_stays_and_repeats_go() {
        let mut seen = families(&[]);
        assert_eq!(seen.help(b"a"), Verdict::Pass);
        assert_eq!(seen.kind(b"a", Kind::Other), Verdict::Pass);
        assert!(seen.sample(b"a"));
        assert_eq!(seen.help(b"\"a\""), Verdict::Drop(Reason::RepeatedHelp));
        assert_eq!(seen.kind(b"a", Kind::Other), Verdict::Drop(Reason::RepeatedType));
    }

    #[test]
    fn a_type_after_the_familys_samples_goes() {
        let mut seen = families(&[]);
        seen.sample(b"a");
        assert_eq!(seen.kind(b"a", Kind::Other), Verdict::Drop(Reason::LateType));
        seen.sample(b"h_bucket");
        assert_eq!(seen.kind(b"h", Kind::Histogram), Verdict::Pass);
    }

    #[test]
    fn a_histograms_samples_go_with_their_family() {
        let mut seen = families(&["h"]);
        assert_eq!(seen.kind(b"h", Kind::Histogram), Verdict::Pass);
        assert!(seen.sample(b"h_bucket") && seen.sample(b"h_sum") && seen.sample(b"h"));
        assert!(!seen.sample(b"h_total"));
        assert_eq!(seen.kind(b"g", Kind::Other), Verdict::Unselected);
        assert!(!seen.sample(b"g") && !seen.sample(b"h_bucket"));
    }

    #[test]
    fn families_beyond_the_bound_lose_their_metadata_only() {
        let mut seen = families(&[]);
        for i in 0..MAX_FAMILIES {
            assert_eq!(seen.help(format!("f{i}").as_bytes()), Verdict::Pass);
        }
        assert_eq!(seen.help(b"one_more"), Verdict::Drop(Reason::TooManyFamilies));
        assert!(seen.sample(b"one_more"));
    }
}
