//! The mapping that counts now, shared by those who read it and the one who replaces it.
//!
//! In: a new [`Snapshot`] whenever the source changes. Out: the newest one, without waiting. The
//! one decision: readers take a whole snapshot once per scrape, so one answer has one mapping.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::mapping::Snapshot;

/// Holds the newest snapshot. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Current {
    state: Arc<ArcSwap<State>>,
}

#[derive(Debug)]
struct State {
    snapshot: Arc<Snapshot>,
    updated: Option<SystemTime>,
    is_ready: bool,
}

impl Current {
    /// Waits for its first snapshot: empty and not ready.
    pub fn awaiting() -> Self {
        Self::of(false)
    }

    /// For `--mapping=none`: empty for good, and ready, for names tell what they tell.
    pub fn decoding_only() -> Self {
        Self::of(true)
    }

    /// The newest snapshot. Two calls give the same `Arc` until another one is stored.
    pub fn load(&self) -> Arc<Snapshot> {
        Arc::clone(&self.state.load().snapshot)
    }

    /// Replaces the snapshot with what the source said at the time `at`.
    pub fn store(&self, snapshot: Snapshot, at: SystemTime) {
        self.put(snapshot, Some(at));
    }

    /// Drops the retained names whose hour is over; the time of the last update stays.
    pub fn forget(&self, now: std::time::Instant) {
        let state = self.state.load();
        if let Some(snapshot) = state.snapshot.forget(now) {
            self.put(snapshot, state.updated);
        }
    }

    /// When a snapshot was stored last; `None` before the first one.
    pub fn updated(&self) -> Option<SystemTime> {
        self.state.load().updated
    }

    /// Whether the source has said anything yet. Names are decoded even before.
    pub fn is_ready(&self) -> bool {
        self.state.load().is_ready
    }

    fn of(is_ready: bool) -> Self {
        let state = State { snapshot: Arc::default(), updated: None, is_ready };
        Self { state: Arc::new(ArcSwap::from_pointee(state)) }
    }

    fn put(&self, snapshot: Snapshot, updated: Option<SystemTime>) {
        let snapshot = Arc::new(snapshot);
        self.state.store(Arc::new(State { snapshot, updated, is_ready: true }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::mapping::Entry;

    fn one() -> Snapshot {
        [("a".to_owned(), Entry::default())].into_iter().collect()
    }

    #[test]
    fn every_handle_sees_what_one_stores() {
        let current = Current::awaiting();
        let reader = current.clone();
        assert!(!reader.is_ready());
        assert_eq!(reader.updated(), None);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        current.store(one(), at);
        assert!(reader.is_ready());
        assert_eq!(reader.updated(), Some(at));
        assert_eq!(reader.load().len(), 1);
        assert!(Arc::ptr_eq(&reader.load(), &current.load()));
    }

    #[test]
    fn decoding_only_is_ready_from_the_start() {
        let current = Current::decoding_only();
        assert!(current.is_ready());
        assert!(current.load().is_empty());
    }

    #[test]
    fn forgetting_is_no_update() {
        let (current, start) = (Current::awaiting(), Instant::now());
        current.forget(start);
        assert!(!current.is_ready());
        current.store(Snapshot::default().succeed(&one(), start), SystemTime::UNIX_EPOCH);
        let before = current.load();
        current.forget(start);
        assert!(Arc::ptr_eq(&before, &current.load()));
        current.forget(start + crate::mapping::snapshot::RETENTION);
        assert_eq!(current.load().retained_len(), 0);
        assert_eq!(current.updated(), Some(SystemTime::UNIX_EPOCH));
    }
}
