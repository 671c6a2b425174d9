//! How every watch is doing, for metrics and logs.
//!
//! In: what happened to a watch. Out: a [`Status`] for each, to be read at any time, and a line in
//! the log when something is otherwise than before. The one decision: what ails the whole server is
//! told once and not for each kind, and what goes on is not told again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::cluster::follow::{Failure, Name};
use crate::cluster::trouble::{Attempt, Reason, Trouble};
use crate::kubernetes::ObjectKind;
use crate::telemetry::Chain;

/// One watch: of a kind, in one namespace or all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The kind.
    pub kind: ObjectKind,
    /// The namespace; `None` for all, and for kinds that are in none.
    pub namespace: Option<Arc<str>>,
}

/// All watches. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    watches: BTreeMap<Id, Status>,
    /// Of asking which kinds there are.
    discovery: Status,
    objects: BTreeMap<ObjectKind, usize>,
    failures: BTreeMap<Reason, u64>,
    /// What ails the server, and since when.
    ailment: Option<(Reason, Instant)>,
}

/// How one watch is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether it is open, and everything there was at its start is known.
    pub is_open: bool,
    /// What keeps it from being so.
    pub trouble: Option<Reason>,
    /// When the server was heard last.
    pub contact: Option<SystemTime>,
    /// When something changed last.
    pub change: Option<SystemTime>,
    /// Complete lists so far.
    pub lists: u64,
    /// Changes so far, those that make no difference to us included.
    pub changes: u64,
    /// Objects that are there and cannot be read.
    pub unreadable: usize,
    /// Since when there is trouble.
    since: Option<Instant>,
}

/// How all watches of one kind are doing.
#[derive(Debug, Clone, Default)]
pub struct Kind {
    /// Whether all of them are open.
    pub is_open: bool,
    /// When the server was heard last, of the one that is the worst off.
    pub contact: Option<SystemTime>,
    /// When an object changed last.
    pub change: Option<SystemTime>,
    /// Objects that are known.
    pub objects: usize,
    /// Objects that cannot be read.
    pub unreadable: usize,
    /// Complete lists so far.
    pub lists: u64,
    /// Changes so far.
    pub changes: u64,
}

impl Board {
    /// Every watch there is now.
    pub fn watches(&self) -> BTreeMap<Id, Status> {
        self.lock().watches.clone()
    }

    /// Every kind that is watched now.
    pub fn kinds(&self) -> BTreeMap<ObjectKind, Kind> {
        let state = self.lock();
        let mut kinds = BTreeMap::<_, Kind>::new();
        for (id, status) in &state.watches {
            match kinds.get_mut(&id.kind) {
                Some(kind) => kind.add(status),
                None => drop(kinds.insert(id.kind, Kind::of(status))),
            }
        }
        for (kind, own) in &mut kinds {
            own.objects = state.objects.get(kind).copied().unwrap_or_default();
        }
        kinds
    }

    /// How it goes with asking which kinds there are.
    pub fn discovery(&self) -> Kind {
        Kind::of(&self.lock().discovery)
    }

    /// What keeps us from knowing which kinds there are.
    pub fn discovery_trouble(&self) -> Option<Reason> {
        self.lock().discovery.trouble
    }

    /// All failures so far.
    pub fn failures(&self) -> BTreeMap<Reason, u64> {
        self.lock().failures.clone()
    }

    /// So many objects of each kind are known.
    pub fn set_objects(&self, objects: BTreeMap<ObjectKind, usize>) {
        self.lock().objects = objects;
    }

    /// A watch begins; what an earlier one of the same kind counted stays.
    pub(crate) fn begun(&self, id: &Id) {
        self.lock().watches.entry(id.clone()).or_default().is_open = false;
    }

    /// A watch is given up.
    pub(crate) fn ended(&self, id: &Id) {
        self.lock().watches.remove(id);
    }

    /// The list is complete.
    pub(crate) fn listed(&self, id: &Id) {
        self.of(id, |status| {
            status.lists += 1;
            status.contact = Some(SystemTime::now());
        });
    }

    /// Something has changed.
    pub(crate) fn changed(&self, id: &Id) {
        self.of(id, |status| {
            let now = Some(SystemTime::now());
            (status.contact, status.change) = (now, now);
            status.changes += 1;
        });
    }

    /// An object cannot be read; `is_news` where it could be, or was not there.
    pub(crate) fn unreadable(
        &self,
        id: &Id,
        name: &Name,
        error: &serde_json::Error,
        is_news: bool,
    ) {
        let kind = id.kind.as_str();
        if is_news {
            tracing::warn!(kind, %name, %error, "an object cannot be read and is left out");
        } else {
            tracing::debug!(kind, %name, %error, "an object cannot be read, still");
        }
    }

    /// So many objects cannot be read.
    pub(crate) fn set_unreadable(&self, id: &Id, count: usize) {
        self.of(id, |status| status.unreadable = count);
    }

    /// The watch is open.
    pub(crate) fn alive(&self, id: &Id) {
        let mut state = self.lock();
        state.server_answers();
        let Some(status) = state.watches.get_mut(id) else { return };
        status.is_open = true;
        status.recover(&What(id));
    }

    /// Which kinds there are has been answered.
    pub(crate) fn discovered(&self) {
        let mut state = self.lock();
        state.server_answers();
        state.discovery.is_open = true;
        state.discovery.recover(&"which kinds there are");
    }

    /// A list or a watch failed.
    pub(crate) fn failed(&self, id: &Id, failure: &Failure) -> Reason {
        let namespace = id.namespace.as_deref();
        let trouble = Trouble::of_failure(failure, &Attempt::follow(id.kind, namespace));
        let mut state = self.lock();
        let is_told = state.tell_of_server(&trouble, failure);
        if let Some(status) = state.watches.get_mut(id) {
            status.fail(&What(id), &trouble, failure, is_told);
        }
        trouble.reason
    }

    /// Asking which kinds there are failed.
    pub(crate) fn not_discovered(&self, failure: &Failure) {
        let trouble = Trouble::of_failure(failure, &Attempt::discover());
        let mut state = self.lock();
        let is_told = state.tell_of_server(&trouble, failure);
        state.discovery.fail(&"which kinds there are", &trouble, failure, is_told);
    }

    fn of(&self, id: &Id, change: impl FnOnce(&mut Status)) {
        if let Some(status) = self.lock().watches.get_mut(id) {
            change(status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a failure. Whether it ails all of the server; that is told here, once.
    fn tell_of_server(&mut self, trouble: &Trouble, failure: &Failure) -> bool {
        let Trouble { reason, remedy } = trouble;
        *self.failures.entry(*reason).or_default() += 1;
        if !reason.is_of_server() {
            return false;
        }
        let before = self.ailment;
        let since = before.map_or_else(Instant::now, |(_, since)| since);
        self.ailment = Some((*reason, since));
        if before.is_none_or(|(before, _)| before != *reason) {
            let (error, reason) = (Chain(failure), reason.as_str());
            tracing::warn!(%error, reason, remedy, "no API server, the last mapping stays");
        }
        true
    }

    fn server_answers(&mut self) {
        if let Some((_, since)) = self.ailment.take() {
            tracing::info!(after = %Rounded(since.elapsed()), "the API server answers again");
        }
    }
}

impl Kind {
    fn of(status: &Status) -> Self {
        let Status { is_open, contact, change, lists, changes, unreadable, .. } = *status;
        Self { is_open, contact, change, objects: 0, unreadable, lists, changes }
    }

    fn add(&mut self, status: &Status) {
        self.is_open &= status.is_open;
        self.contact = self.contact.min(status.contact);
        self.change = self.change.max(status.change);
        self.unreadable += status.unreadable;
        self.lists += status.lists;
        self.changes += status.changes;
    }
}

impl Status {
    fn recover(&mut self, what: &dyn fmt::Display) {
        self.contact = Some(SystemTime::now());
        let (trouble, since) = (self.trouble.take(), self.since.take());
        if let (Some(reason), Some(since)) = (trouble, since)
            && !reason.is_of_server()
            && !reason.is_usual()
        {
            tracing::info!(%what, after = %Rounded(since.elapsed()), "well again");
        }
    }

    fn fail(
        &mut self,
        what: &dyn fmt::Display,
        trouble: &Trouble,
        failure: &Failure,
        is_told: bool,
    ) {
        let Trouble { reason, remedy } = trouble;
        self.is_open = false;
        self.since.get_or_insert_with(Instant::now);
        let before = self.trouble.replace(*reason);
        let (error, reason_text) = (Chain(failure), reason.as_str());
        if is_told || reason.is_usual() || before == Some(*reason) {
            tracing::debug!(%what, %error, reason = reason_text, "cannot be followed now");
        } else {
            tracing::warn!(%what, %error, reason = reason_text, remedy, "cannot be followed now");
        }
    }
}

/// A watch in a log: `httproutes in web`.
struct What<'a>(&'a Id);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Id { kind, namespace } = self.0;
        f.write_str(crate::cluster::resource::plural(*kind))?;
        match namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// A time in a log.
struct Rounded(Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write!(f, "{}", humantime::format_duration(Duration::from_millis(millis)))
    }
}
