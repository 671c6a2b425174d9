//! What is not to be tried again yet.
//!
//! In: which objects could not be written. Out: whether one may be tried. The one decision: an object
//! that the API server does not let us write keeps no other from being written. It is tried again
//! when somebody has changed it or, less and less often, after a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::kubernetes::Key;

/// The objects that have failed.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<Key, Hold>);

#[derive(Debug)]
struct Hold {
    until: Instant,
    pause: Duration,
}

impl Holds {
    pub(super) fn is_held(&self, key: &Key, now: Instant) -> bool {
        self.0.get(key).is_some_and(|hold| now < hold.until)
    }

    /// It failed: longer than the last time, up to `max`.
    pub(super) fn hold(&mut self, key: &Key, min: Duration, max: Duration, now: Instant) {
        let pause = self.0.get(key).map_or(min, |hold| (hold.pause * 2).clamp(min, max));
        self.0.insert(key.clone(), Hold { until: now + pause, pause });
    }

    /// It worked.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Somebody has changed these. Whether any of them was held.
    pub(super) fn release(&mut self, changed: &BTreeSet<Key>, now: Instant) -> bool {
        let mut released = false;
        for (_, hold) in self.0.iter_mut().filter(|(key, _)| changed.contains(*key)) {
            released |= now < hold.until;
            hold.until = now;
        }
        released
    }

    /// Drops those that are wanted no more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Key) -> bool) {
        self.0.retain(|key, _| is_wanted(key));
    }

    /// When the next one may be tried.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|hold| hold.until).filter(|until| now < *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::ObjectKind;

    #[test]
    fn each_failure_holds_longer_and_a_change_lets_go() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let (key, second) = (Key::new(ObjectKind::Service, "web", "echo"), Duration::from_secs(1));
        for pause in [1, 2, 4, 5, 5] {
            holds.hold(&key, second, 5 * second, now);
            assert_eq!(holds.next(now), Some(now + pause * second));
            assert!(holds.is_held(&key, now));
            assert!(!holds.is_held(&key, now + pause * second));
        }
        assert!(holds.release(&BTreeSet::from([key.clone()]), now));
        assert!(!holds.release(&BTreeSet::from([key.clone()]), now));
        assert!(!holds.is_held(&key, now));
        holds.hold(&key, second, 5 * second, now);
        assert_eq!(holds.next(now), Some(now + 5 * second));
        holds.forget(&key);
        assert_eq!(holds.next(now), None);
    }
}
