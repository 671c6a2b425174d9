//! All kinds followed that somebody needs and the API server has.
//!
//! In: a client and a [`Scope`]. Out: [`Update`]s in batches, from which a true copy of all these
//! objects can be kept. The one decision: nothing is kept here but the names in a list that is
//! under way. What a list does not have any more is told when it is complete, and not before, so
//! nothing ever vanishes only because it has to be listed again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::pending;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use futures_util::stream::{BoxStream, SelectAll, unfold};
use kube::Client;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::board::{Board, Id};
use crate::cluster::follow::{Event, Failure, Follower, Name, Options as Following, Target};
use crate::cluster::kinds::{Kinds, LOOK_EVERY, Served};
use crate::cluster::resource;
use crate::kubernetes::manifest::Manifests;
use crate::kubernetes::{Key, Object, ObjectKind};

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// These kinds, where the server has them.
    pub kinds: BTreeSet<ObjectKind>,
    /// Of these no answer but a list will do: without them the others would be misunderstood.
    pub required: BTreeSet<ObjectKind>,
    /// In these namespaces; in all where there is none.
    pub namespaces: BTreeSet<String>,
}

/// How. All but the first are for tests to shorten.
#[derive(Debug, Clone)]
pub struct Options {
    /// One kind.
    pub following: Following,
    /// How often to ask which kinds there are.
    pub look_every: Duration,
    /// How long to wait for more once there is something to tell.
    pub collect: Duration,
}

/// What is different now.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // nearly all are of the large one
pub enum Update {
    /// An object is there, new or otherwise or as it was.
    Apply(Object),
    /// An object is gone.
    Delete(Key),
    /// Of this kind, in this namespace or all of them, nothing is there but these.
    Only(Id, HashSet<Key>),
}

/// Follows them all.
pub struct Watches {
    client: Client,
    scope: Scope,
    options: Options,
    board: Board,
    looks: BoxStream<'static, Result<Served, Failure>>,
    /// What the server has, once it has been asked.
    served: Option<Served>,
    followed: BTreeMap<Id, Followed>,
    events: SelectAll<BoxStream<'static, (Arc<Id>, Event<Object>)>>,
    updates: Vec<Update>,
    /// Since when there is something to tell.
    pending_since: Option<Instant>,
}

struct Followed {
    version: &'static str,
    stop: AbortHandle,
    progress: Progress,
    /// Those that cannot be read.
    unreadable: HashSet<Name>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Whether anything of it has been told, in an earlier life of this watch or this one.
    has_told: bool,
    /// What has come in the list that is under way, where something may be gone at its end.
    seen: Option<HashSet<Key>>,
    /// The unreadable ones of the list that is under way.
    unreadable: Option<HashSet<Name>>,
    is_listed: bool,
    /// The server has refused, and not because it is busy.
    is_refused: bool,
}

impl Watches {
    /// Follows what `scope` says, beginning with the first call of [`Self::next`].
    pub fn new(client: Client, scope: Scope, options: Options, board: Board) -> Self {
        let looks = looks(Kinds::new(client.clone()), options.clone());
        Self {
            client,
            scope,
            options,
            board,
            looks,
            served: None,
            followed: BTreeMap::new(),
            events: SelectAll::new(),
            updates: Vec::new(),
            pending_since: None,
        }
    }

    /// What is different, as soon as something is and a moment has passed for more to come. Nothing
    /// is lost where the future is dropped.
    pub async fn next(&mut self) -> Vec<Update> {
        loop {
            if self.updates.len() >= BATCH {
                break;
            }
            let due = self.pending_since.map(|since| since + self.options.collect);
            if due.is_some_and(|due| due <= Instant::now()) {
                break;
            }
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some((id, event)) = self.events.next(), if !self.events.is_empty() => {
                    self.take(&id, event);
                }
                Some(looked) = self.looks.next() => self.look(looked),
                () = wait => break,
            }
        }
        self.pending_since = None;
        mem::take(&mut self.updates)
    }

    /// Follows these kinds, too, from now on.
    pub fn add<'k>(&mut self, kinds: impl Iterator<Item = &'k ObjectKind>) {
        let before = self.scope.kinds.len();
        self.scope.kinds.extend(kinds);
        if self.scope.kinds.len() > before
            && let Some(served) = self.served.take()
        {
            self.look(Ok(served));
        }
    }

    /// Whether all that is there of this kind has been told, if it is followed.
    pub fn has_listed(&self, kind: ObjectKind) -> bool {
        let mut followed = self.followed.iter().filter(|(id, _)| id.kind == kind);
        followed.all(|(_, one)| one.progress.is_listed)
    }

    /// Whether everything that is there has been told, as far as the server allows. While a kind
    /// that is new is listed, not everything has been.
    pub fn is_settled(&self) -> bool {
        let is_settled = |(id, one): (&Id, &Followed)| {
            let is_required = self.scope.required.contains(&id.kind);
            one.progress.is_listed || (one.progress.is_refused && !is_required)
        };
        self.served.is_some() && self.followed.iter().all(is_settled)
    }

    /// The version in which a kind is followed; `None` where the server has none that is known.
    pub fn version(&self, kind: ObjectKind) -> Option<&'static str> {
        self.served.as_ref()?.get(&kind).copied()
    }

    /// Whether the server refuses what is required, so that this may never settle.
    pub fn is_refused(&self) -> bool {
        let is_refused = |(id, one): (&Id, &Followed)| {
            one.progress.is_refused && self.scope.required.contains(&id.kind)
        };
        self.followed.iter().any(is_refused)
    }

    fn take(&mut self, id: &Arc<Id>, event: Event<Object>) {
        let Some(one) = self.followed.get_mut(&**id) else { return };
        let Followed { progress, unreadable, .. } = one;
        let mut is_news = true;
        match event {
            Event::Init => {
                progress.seen = progress.has_told.then(HashSet::new);
                progress.unreadable = Some(HashSet::new());
                is_news = false;
            }
            Event::InitApply(object) => {
                if let Some(seen) = &mut progress.seen {
                    seen.insert(object.key());
                }
                progress.has_told = true;
                self.updates.push(Update::Apply(object));
            }
            Event::InitDone => {
                if let Some(seen) = progress.seen.take() {
                    self.updates.push(Update::Only(Id::clone(id), seen));
                }
                *unreadable = progress.unreadable.take().unwrap_or_default();
                (progress.is_listed, progress.is_refused) = (true, false);
                self.board.set_unreadable(id, unreadable.len());
                self.board.listed(id);
            }
            Event::Apply(object) => {
                let Key { namespace, name, .. } = object.key();
                readable(&self.board, id, unreadable, namespace.into(), name.into());
                self.board.changed(id);
                progress.has_told = true;
                self.updates.push(Update::Apply(object));
            }
            Event::Delete(Name { namespace, name }) => {
                self.board.changed(id);
                self.updates.push(Update::Delete(Key::new(id.kind, &namespace, &name)));
                readable(&self.board, id, unreadable, namespace, name);
            }
            Event::Unreadable { name, error } => {
                // It is there, so what was known of it is as good as anything.
                if let Some(seen) = &mut progress.seen {
                    seen.insert(Key::new(id.kind, &name.namespace, &name.name));
                }
                let is_known = unreadable.contains(&name);
                self.board.unreadable(id, &name, &error, !is_known);
                match &mut progress.unreadable {
                    Some(listed) => drop(listed.insert(name)),
                    None => {
                        unreadable.insert(name);
                        self.board.set_unreadable(id, unreadable.len());
                        self.board.changed(id);
                    }
                }
                is_news = false;
            }
            Event::Alive => {
                self.board.alive(id);
                is_news = false;
            }
            Event::Failed(failure) => {
                let reason = self.board.failed(id, &failure);
                is_news = reason.is_final() && !progress.is_refused;
                progress.is_refused = reason.is_final();
            }
        }
        if is_news {
            self.pending_since.get_or_insert_with(Instant::now);
        }
    }

    fn look(&mut self, looked: Result<Served, Failure>) {
        let served = match looked {
            Ok(served) => served,
            Err(failure) => return self.board.not_discovered(&failure),
        };
        self.board.discovered();
        if self.served.as_ref() == Some(&served) {
            return;
        }
        let (present, absent): (Vec<_>, Vec<_>) =
            self.scope.kinds.iter().copied().partition(|kind| served.contains_key(kind));
        tracing::info!(present = ?Plurals(&present), absent = ?Plurals(&absent), "kinds to follow");
        let gone: Vec<_> = self.followed.keys().cloned().collect();
        for id in gone.into_iter().filter(|id| !served.contains_key(&id.kind)) {
            if let Some(one) = self.followed.remove(&id) {
                one.stop.abort();
            }
            self.board.ended(&id);
            self.updates.push(Update::Only(id, HashSet::new()));
        }
        for kind in present {
            let Some(version) = served.get(&kind) else { continue };
            for id in self.ids(kind) {
                self.start(id, version);
            }
        }
        self.served = Some(served);
        self.pending_since.get_or_insert_with(Instant::now);
    }

    fn ids(&self, kind: ObjectKind) -> Vec<Id> {
        let namespaces = &self.scope.namespaces;
        if namespaces.is_empty() || !kind.is_namespaced() {
            return vec![Id { kind, namespace: None }];
        }
        let id = |namespace: &String| Id { kind, namespace: Some(namespace.as_str().into()) };
        namespaces.iter().map(id).collect()
    }

    /// Follows a kind in this version, and no longer in another.
    fn start(&mut self, id: Id, version: &'static str) {
        let before = self.followed.remove(&id);
        let mut progress = Progress::default();
        if let Some(before) = before {
            if before.version == version {
                self.followed.insert(id, before);
                return;
            }
            before.stop.abort();
            progress.has_told = before.progress.has_told;
        }
        self.board.begun(&id);
        let (stop, stopped) = AbortHandle::new_pair();
        self.events.push(self.events_of(id.clone(), version, stopped));
        self.followed.insert(id, Followed { version, stop, progress, unreadable: HashSet::new() });
    }

    fn events_of(
        &self,
        id: Id,
        version: &'static str,
        stopped: AbortRegistration,
    ) -> BoxStream<'static, (Arc<Id>, Event<Object>)> {
        let kind = id.kind;
        let target = Target::new(resource::path(kind, version, id.namespace.as_deref()));
        let read = move |json: &str| Manifests::one(kind, version, json);
        let follower =
            Follower::new(self.client.clone(), target, self.options.following.clone(), read);
        let id = Arc::new(id);
        let events = unfold((follower, id), async |(mut follower, id)| {
            let event = follower.next().await;
            Some(((Arc::clone(&id), event), (follower, id)))
        });
        Abortable::new(events, stopped).boxed()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for id in self.followed.keys() {
            self.board.ended(id);
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            following: Following::default(),
            look_every: LOOK_EVERY,
            collect: Duration::from_millis(75),
        }
    }
}

/// What the server has, now and then.
fn looks(kinds: Kinds, options: Options) -> BoxStream<'static, Result<Served, Failure>> {
    let backoff = options.following.backoff.build();
    unfold((kinds, backoff, Duration::ZERO), move |(mut kinds, mut backoff, pause)| {
        let options = options.clone();
        async move {
            sleep(pause).await;
            let looked = kinds.look().await;
            let pause = match &looked {
                Ok(_) => {
                    backoff = options.following.backoff.build();
                    options.look_every
                }
                Err(_) => backoff.next().unwrap_or(options.look_every),
            };
            Some((looked, (kinds, backoff, pause)))
        }
    })
    .boxed()
}

/// An object that could not be read is gone, or can be read now.
fn readable(
    board: &Board,
    id: &Id,
    unreadable: &mut HashSet<Name>,
    namespace: String,
    name: String,
) {
    if !unreadable.is_empty() && unreadable.remove(&Name { namespace, name }) {
        board.set_unreadable(id, unreadable.len());
    }
}

struct Plurals<'a>(&'a [ObjectKind]);

impl std::fmt::Debug for Plurals<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|kind| resource::plural(*kind))).finish()
    }
}

/// So many updates are told without waiting for more. They hold whole objects.
const BATCH: usize = 1024;
