//! Who leads, decided by what a Lease says and by nothing but one's own clock.
//!
//! In: what the Lease said when, and which writes came through. Out: what to write, and until when
//! one leads. The one decision: a time that another machine wrote is never compared with a time
//! here. A holder counts as gone when its record has not changed for as long as it promised, seen
//! from here; a leader counts its own time from before it asked for the renewal. So whatever the
//! clocks show, as long as they run at about the same speed a leader stops before another may start.

use std::time::Duration;

use tokio::time::Instant;

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A holder that has not renewed for so long may be replaced.
    pub duration: Duration,
    /// A leader that has not renewed for so long stops. What is between the two is for requests
    /// under way, and for clocks of different speed.
    pub deadline: Duration,
    /// How often the Lease is looked at, and renewed.
    pub interval: Duration,
    /// By when a request must have been answered.
    pub request: Duration,
}

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The Lease's resourceVersion, for the next write to rest on.
    pub version: String,
    /// Who holds it; empty for nobody.
    pub holder: String,
    /// For how long a renewal counts, as the holder says.
    pub duration: Option<Duration>,
    /// How often the holder has changed.
    pub transitions: i32,
    /// When the holder renewed it, by whatever clock. Only whether it differs is looked at.
    pub renewed: String,
}

/// What to write into the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The resourceVersion that the write rests on; `None` to create the Lease.
    pub version: Option<String>,
    /// Who is to hold it; empty for nobody.
    pub holder: String,
    /// How often the holder has changed.
    pub transitions: i32,
    /// Whether another one held it, or nobody, so that it is a new holder's first claim.
    pub is_new: bool,
}

/// One of those who want to lead.
#[derive(Debug)]
pub struct Elector {
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
    until: Option<Instant>,
}

/// What another holder's Lease was last seen to say.
#[derive(Debug)]
struct Seen {
    /// `None` where it has been deleted since.
    record: Option<Record>,
    /// Since when it has been so, at the latest.
    since: Instant,
    promised: Duration,
}

impl Elector {
    /// One of this name, which nobody else has, not even an earlier process in the same pod.
    pub fn new(identity: String, timing: Timing) -> Self {
        Self { identity, timing, seen: None, until: None }
    }

    /// What to write, now that the Lease has been read: `None` where there is no Lease. The time is
    /// that of the answer.
    pub fn decide(&mut self, record: Option<Record>, now: Instant) -> Option<Claim> {
        let is_ours = record.as_ref().is_some_and(|record| record.holder == self.identity);
        if !is_ours && self.is_held(record.as_ref(), now) {
            // Whoever it was that took it: there is nothing left to lead with.
            self.until = None;
            return None;
        }
        let before = record.as_ref().map_or(0, |record| record.transitions);
        Some(Claim {
            transitions: if is_ours || record.is_none() {
                before
            } else {
                before.saturating_add(1)
            },
            version: record.map(|record| record.version),
            holder: self.identity.clone(),
            is_new: !is_ours,
        })
    }

    /// A claim of ours came through that was sent at this time.
    pub fn claimed(&mut self, sent: Instant) {
        self.until = Some(sent + self.timing.deadline);
        self.seen = None;
    }

    /// Until when this one leads, if it does.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// What to write to let others lead at once; nothing may be led any more. `None` where there is
    /// nothing to give back.
    pub fn release(&mut self, record: Option<Record>) -> Option<Claim> {
        self.until = None;
        let record = record.filter(|record| record.holder == self.identity)?;
        let (version, transitions) = (Some(record.version), record.transitions);
        Some(Claim { version, holder: String::new(), transitions, is_new: false })
    }

    /// Whether another one may still be leading. Notes when its record was seen to change.
    fn is_held(&mut self, record: Option<&Record>, now: Instant) -> bool {
        let promised = match (record, &self.seen) {
            (Some(record), _) if record.holder.is_empty() => return false,
            (Some(record), _) => record.duration.unwrap_or(self.timing.duration),
            // Deleted under a holder that may not have noticed yet.
            (None, Some(seen)) => seen.promised,
            (None, None) => return false,
        };
        // Its version may change without the holder.
        let content = record.map(|record| Record { version: String::new(), ..record.clone() });
        let is_same = |seen: &&Seen| seen.record == content;
        let since = self.seen.as_ref().filter(is_same).map_or(now, |seen| seen.since);
        self.seen = Some(Seen { record: content, since, promised });
        now.saturating_duration_since(since) < promised
    }
}

impl Default for Timing {
    /// After a leader was killed another one leads in 10 to 14 seconds, and the time of a request.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(10),
            deadline: Duration::from_secs(6),
            interval: Duration::from_secs(2),
            request: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The Lease in the API server.
    #[derive(Default)]
    struct Server {
        record: Option<Record>,
        writes: u64,
    }

    impl Server {
        /// Whether the claim came through.
        fn write(&mut self, claim: &Claim) -> bool {
            if claim.version != self.record.as_ref().map(|record| record.version.clone()) {
                return false;
            }
            self.writes += 1;
            self.record = Some(Record {
                version: self.writes.to_string(),
                holder: claim.holder.clone(),
                duration: Some(Timing::default().duration),
                transitions: claim.transitions,
                renewed: self.writes.to_string(),
            });
            true
        }
    }

    /// What a candidate's round trip meets: milliseconds until the read comes, until its answer is
    /// there, until the write comes, until its answer is there; and whether that answer is lost.
    type Trip = (u64, u64, u64, u64, bool);

    /// Plays `trips` of each candidate and gives the spans of time in which each led.
    fn play(trips: &[Vec<Trip>]) -> Vec<(usize, Instant, Instant)> {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (mut server, mut spans) = (Server::default(), Vec::new());
        enum Step {
            Read,
            Decide(Option<Record>),
            Write(Claim),
            Learn(bool),
        }
        let electors = ["a", "b", "c"].map(|id| Elector::new(id.to_owned(), Timing::default()));
        let mut electors: Vec<_> =
            electors.into_iter().zip(trips).map(|(e, t)| (e, t.iter(), 0)).collect();
        let mut steps: Vec<(u64, usize, Step)> =
            (0..electors.len()).map(|who| (who as u64, who, Step::Read)).collect();
        let mut current: Vec<Trip> = vec![(1, 1, 1, 1, false); electors.len()];
        while let Some(next) = (0..steps.len()).min_by_key(|n| steps[*n].0) {
            let (ms, who, step) = steps.remove(next);
            let (elector, trips, sent) = &mut electors[who];
            let (_, answer, write, written, lost) = current[who];
            match step {
                Step::Read => steps.push((ms + answer, who, Step::Decide(server.record.clone()))),
                Step::Decide(record) => match elector.decide(record, at(ms)) {
                    Some(claim) => {
                        *sent = ms;
                        steps.push((ms + write, who, Step::Write(claim)));
                    }
                    None => steps.push((ms, who, Step::Learn(false))),
                },
                Step::Write(claim) => {
                    let came = server.write(&claim);
                    steps.push((ms + written, who, Step::Learn(came && !lost)));
                }
                Step::Learn(came) => {
                    if came {
                        elector.claimed(at(*sent));
                        if let Some(until) = elector.until() {
                            spans.push((who, at(ms), until));
                        }
                    }
                    if let Some(trip) = trips.next() {
                        current[who] = *trip;
                        steps.push((ms + trip.0, who, Step::Read));
                    }
                }
            }
        }
        spans
    }

    fn trips() -> impl Strategy<Value = Vec<Trip>> {
        let time = || prop_oneof![6 => 0..50_u64, 2 => 0..2_000_u64, 1 => 0..20_000_u64];
        vec((time(), time(), time(), time(), proptest::bool::weighted(0.1)), 0..40)
    }

    proptest! {
        #[test]
        fn there_are_never_two_leaders(trips in vec(trips(), 3)) {
            let spans = play(&trips);
            for (who, from, to) in &spans {
                for (other, begin, end) in spans.iter().filter(|(other, ..)| other != who) {
                    let overlap = begin.max(from) < end.min(to);
                    prop_assert!(!overlap, "{who} and {other}");
                }
            }
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn held_by(holder: &str, renewed: u64) -> Option<Record> {
        Some(Record {
            version: renewed.to_string(),
            holder: holder.to_owned(),
            duration: Some(10 * SECOND),
            transitions: 3,
            renewed: renewed.to_string(),
        })
    }

    fn elector() -> (Elector, Instant) {
        (Elector::new("me".to_owned(), Timing::default()), Instant::now())
    }

    #[test]
    fn a_lease_that_is_not_there_is_created() {
        let (mut elector, now) = elector();
        let claim = elector.decide(None, now).unwrap();
        assert_eq!((claim.version, claim.transitions, claim.is_new), (None, 0, true));
        assert_eq!(elector.until(), None, "not before the write came through");
        elector.claimed(now);
        assert_eq!(elector.until(), Some(now + 6 * SECOND));
    }

    #[test]
    fn a_holder_that_renews_is_left_alone_and_one_that_does_not_is_replaced() {
        let (mut elector, start) = elector();
        for second in 0..60 {
            // The time in the record is of another century; that it changes is what counts.
            let record = held_by("other", u64::from(second) / 9);
            assert_eq!(elector.decide(record, start + second * SECOND), None);
        }
        let last = start + 54 * SECOND;
        assert_eq!(elector.decide(held_by("other", 6), last + 9 * SECOND), None);
        let claim = elector.decide(held_by("other", 6), last + 10 * SECOND).unwrap();
        assert_eq!((claim.version.as_deref(), claim.transitions), (Some("6"), 4));
        assert!(claim.is_new);
    }

    #[test]
    fn a_change_of_anything_but_the_record_is_no_renewal() {
        let (mut elector, start) = elector();
        assert_eq!(elector.decide(held_by("other", 6), start), None);
        let relabelled = held_by("other", 6).map(|r| Record { version: "99".to_owned(), ..r });
        let claim = elector.decide(relabelled, start + 10 * SECOND).unwrap();
        assert_eq!(claim.version.as_deref(), Some("99"));
    }

    #[test]
    fn a_holder_is_given_as_long_as_it_says() {
        let (mut elector, start) = elector();
        let slow = || held_by("other", 1).map(|r| Record { duration: Some(60 * SECOND), ..r });
        assert_eq!(elector.decide(slow(), start), None);
        assert_eq!(elector.decide(slow(), start + 59 * SECOND), None);
        assert!(elector.decide(slow(), start + 60 * SECOND).is_some());
    }

    #[test]
    fn a_lease_that_is_deleted_under_its_holder_is_held_a_while() {
        let (mut elector, start) = elector();
        assert_eq!(elector.decide(held_by("other", 6), start), None);
        let deleted = start + 3 * SECOND;
        assert_eq!(elector.decide(None, deleted), None);
        assert_eq!(elector.decide(None, deleted + 9 * SECOND), None);
        let claim = elector.decide(None, deleted + 10 * SECOND).unwrap();
        assert_eq!(claim.version, None);
        // The holder itself makes it anew at once.
        elector.claimed(deleted + 10 * SECOND);
        assert!(elector.decide(None, deleted + 11 * SECOND).is_some());
    }

    #[test]
    fn what_was_given_back_is_taken_at_once() {
        let (mut elector, now) = elector();
        assert!(elector.decide(held_by("", 1), now).is_some());
        let claim = elector.release(held_by("me", 2)).unwrap();
        assert_eq!((claim.holder.as_str(), claim.version.as_deref()), ("", Some("2")));
        assert_eq!(elector.release(held_by("other", 3)), None);
        assert_eq!(elector.release(None), None);
    }

    #[test]
    fn who_finds_another_in_the_lease_leads_no_longer() {
        let (mut elector, now) = elector();
        elector.claimed(now);
        assert_eq!(elector.decide(held_by("other", 9), now + SECOND), None);
        assert_eq!(elector.until(), None);
    }
}
