//! What stays of a scrape when it is over: the memo for the next, the names it saw, and whether
//! Kong was well, so that changes of that can be told from repetitions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use crate::mapping::{Label, Snapshot};
use crate::rewrite::Memo;

/// Shared by all scrapes of a sidecar.
#[derive(Debug, Default)]
pub(crate) struct Record {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memo: Option<Memo>,
    last: Option<Last>,
    /// Why Kong's last scrape failed, empty if it did not. `None` before the first.
    trouble: Option<&'static str>,
    is_dictionary_full: bool,
    is_losing_lines: bool,
}

/// What the last finished scrape saw.
#[derive(Debug, Clone)]
pub(crate) struct Last {
    /// When it ended.
    pub(crate) at: SystemTime,
    /// The names in it.
    pub(crate) names: Names,
    /// The mapping of the time. Weak: an old one is not kept alive for this.
    snapshot: Weak<Snapshot>,
}

impl Last {
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot))
    }
}

/// Distinct Kong names, in order of first sight, in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    text: String,
    ends: Vec<(Label, usize)>,
}

impl Names {
    /// Each with the label it was read from.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Label, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(label, end)| {
            let name = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (*label, name)
        })
    }

    fn are<'a>(&self, mut others: impl Iterator<Item = (Label, &'a str)>) -> bool {
        let is_next = |(label, name)| others.next().is_some_and(|(l, n)| l == label && n == name);
        self.iter().all(is_next) && others.next().is_none()
    }
}

impl<'a> FromIterator<(Label, &'a str)> for Names {
    fn from_iter<I: IntoIterator<Item = (Label, &'a str)>>(names: I) -> Self {
        let mut all = Self::default();
        for (label, name) in names {
            all.text.push_str(name);
            all.ends.push((label, all.text.len()));
        }
        all
    }
}

/// What changed with a scrape's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// It went well, and the one before did not or was none.
    Well,
    /// It went wrong, for another reason than the one before if that did too.
    Trouble,
}

impl Record {
    /// The memo of some earlier scrape, or a new one.
    pub(crate) fn take_memo(&self) -> Memo {
        self.state().memo.take().unwrap_or_default()
    }

    /// Keeps the memo for the next scrape. One is kept; scrapes at the same time are rare.
    pub(crate) fn keep_memo(&self, memo: Memo) {
        self.state().memo = Some(memo);
    }

    /// Notes the names of a scrape that ended well, and the mapping that counted. Returns whether
    /// either differs from the last's.
    pub(crate) fn note_names<'a, I: Iterator<Item = (Label, &'a str)>>(
        &self,
        names: impl Fn() -> I,
        snapshot: &Arc<Snapshot>,
        at: SystemTime,
    ) -> bool {
        let mut state = self.state();
        match &mut state.last {
            Some(last) if last.is_of(snapshot) && last.names.are(names()) => {
                last.at = at;
                false
            }
            last => {
                let snapshot = Arc::downgrade(snapshot);
                *last = Some(Last { at, names: names().collect(), snapshot });
                true
            }
        }
    }

    /// What the last scrape that ended well saw.
    pub(crate) fn last(&self) -> Option<Last> {
        self.state().last.clone()
    }

    /// Notes how a scrape ended: `None`, or the reason it failed for.
    pub(crate) fn note_outcome(&self, failure: Option<&'static str>) -> Change {
        let now = failure.unwrap_or_default();
        let before = self.state().trouble.replace(now);
        match (before, failure) {
            (Some(before), _) if before == now => Change::None,
            (_, None) => Change::Well,
            (_, Some(_)) => Change::Trouble,
        }
    }

    /// Notes how full Kong's dictionary is, 0 to 1. `Some` on a change: whether it is too full.
    pub(crate) fn note_dictionary(&self, used_ratio: f64) -> Option<bool> {
        let mut state = self.state();
        let limit = if state.is_dictionary_full { CALM_AGAIN } else { TOO_FULL };
        let is_full = used_ratio > limit;
        let has_changed = is_full != state.is_dictionary_full;
        state.is_dictionary_full = is_full;
        has_changed.then_some(is_full)
    }

    /// Notes whether lines of the last body were lost. `Some` on a change.
    pub(crate) fn note_lost_lines(&self, has_lost: bool) -> Option<bool> {
        let before = std::mem::replace(&mut self.state().is_losing_lines, has_lost);
        (before != has_lost).then_some(has_lost)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kong evicts series without an error when the dictionary is full; this is early enough to act.
const TOO_FULL: f64 = 0.9;

/// Lower than the other, so that a level near the limit is not reported again and again.
const CALM_AGAIN: f64 = 0.85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_put_in() {
        let names = [(Label::Service, "a.b.80"), (Label::Upstream, ""), (Label::Service, "c")];
        assert!(names.iter().copied().collect::<Names>().iter().eq(names));
    }

    #[test]
    fn only_other_names_or_another_mapping_are_news() {
        let record = Record::default();
        let names = [(Label::Service, "a"), (Label::Service, "b")];
        let moved = [(Label::Service, "ab"), (Label::Service, "")];
        let snapshot = Arc::<Snapshot>::default();
        let at = SystemTime::UNIX_EPOCH;
        assert!(record.note_names(|| names.into_iter(), &snapshot, at));
        assert!(!record.note_names(|| names.into_iter(), &snapshot, at));
        assert!(record.note_names(|| moved.into_iter(), &snapshot, at));
        assert!(record.note_names(std::iter::empty, &snapshot, at));
        assert!(!record.note_names(std::iter::empty, &snapshot, at));
        assert!(record.note_names(std::iter::empty, &Arc::default(), at));
    }

    #[test]
    fn outcomes_are_news_only_when_they_change() {
        let record = Record::default();
        assert_eq!(record.note_outcome(Some("connect")), Change::Trouble);
        assert_eq!(record.note_outcome(Some("connect")), Change::None);
        assert_eq!(record.note_outcome(Some("status")), Change::Trouble);
        assert_eq!(record.note_outcome(None), Change::Well);
        assert_eq!(record.note_outcome(None), Change::None);
        assert_eq!(Record::default().note_outcome(None), Change::Well);
    }

    #[test]
    fn a_full_dictionary_is_told_once_and_again_when_it_is_over() {
        let record = Record::default();
        assert_eq!(record.note_dictionary(0.9), None);
        assert_eq!(record.note_dictionary(0.91), Some(true));
        assert_eq!(record.note_dictionary(0.99), None);
        assert_eq!(record.note_dictionary(0.88), None);
        assert_eq!(record.note_dictionary(0.8), Some(false));
        assert_eq!(record.note_dictionary(0.88), None);
    }
}
