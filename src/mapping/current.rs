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
