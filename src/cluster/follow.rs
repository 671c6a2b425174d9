//! The objects of one kind, followed: a list, then a watch, and both again whenever they fail.
//!
//! In: where the objects are and how one of them is read. Out: [`Event`]s that a true copy can be
//! kept by, and [`Event::Alive`] whenever the server has shown that it still talks to us. The one
//! decision: this is not kube's `watcher`. That one swallows bookmarks and does not tell when a
//! watch is open again, so in a quiet cluster nobody could tell a good watch from a dead one; and
//! one object that cannot be read would be an error of the whole list, for ever.
//!
//! A connection that is silently dead is given up after [`Options::silence`], and the watch opened
//! anew; only if that fails is it told. API servers send a bookmark about once a minute, but promise
//! none, and for a kind that has not changed since they started there may be none for ten minutes.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, Status, WatchEvent};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

/// What happened. Between [`Self::Init`] and [`Self::InitDone`] comes everything that is there;
/// what has not come by then is gone. Another `Init` in between starts that anew.
#[derive(Debug)]
pub enum Event<T> {
    /// A list begins.
    Init,
    /// Something that is there.
    InitApply(T),
    /// The list is complete.
    InitDone,
    /// Something that is new or has changed.
    Apply(T),
    /// Something is gone.
    Delete(Name),
    /// A watch has been opened, or a bookmark has come: the server is there and knows of us.
    Alive,
    /// Something is there, new or as before, but cannot be read. The rest goes on.
    Unreadable {
        /// What it is called; empty where not even that can be read.
        name: Name,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It did not work, and is tried again after a pause.
    Failed(Failure),
}

/// What an object is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Name {
    /// Its namespace; empty where there is none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why a list or a watch did not work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The list was refused, or no answer came.
    #[error("cannot list")]
    List(#[source] kube::Error),
    /// What came in answer is no list.
    #[error("the answer to a list is not understood")]
    NoList(#[source] serde_json::Error),
    /// The watch was refused, or no answer came.
    #[error("cannot watch")]
    Watch(#[source] kube::Error),
    /// The watch was open and broke.
    #[error("the watch broke")]
    Broken(#[source] kube::Error),
    /// The watch was open, and the server ended it with this.
    #[error("the server ended the watch")]
    Ended(#[source] Box<Status>),
    /// The watch was opened and ended at once, without a word.
    #[error("the server ends the watch at once")]
    EndedAtOnce,
    /// Nothing came for so long.
    #[error("the API server has not said anything for {}", humantime::format_duration(*.0))]
    Silent(Duration),
}

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The path of their list ([`crate::cluster::resource::path`]).
    pub path: String,
    /// Only those with these labels, as in `a=b,c`.
    pub labels: Option<String>,
}

/// How to follow. All but the first are for tests to shorten.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the list is asked for.
    pub list: ListBy,
    /// Objects in a page.
    pub page_size: u32,
    /// By when a page, or the head of a watch's answer, must have come.
    pub answer: Duration,
    /// After how long without a word a watch is opened anew.
    pub silence: Duration,
    /// The pauses after failures.
    pub backoff: ExponentialBuilder,
}

/// How a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListBy {
    /// Page after page. Every server can do that.
    Pages,
    /// Object after object, in the watch (`sendInitialEvents`; on by default from Kubernetes 1.34
    /// on): the least memory, here and there. A server that refuses is asked for pages.
    Stream,
}

/// Follows one kind.
pub struct Follower<T, R> {
    requests: Requests,
    options: Options,
    read: R,
    state: State,
    /// Told one by one.
    events: VecDeque<Event<T>>,
    backoff: ExponentialBackoff,
    pause: Option<Duration>,
    /// Whether no watch has told anything since one was too old to go on with.
    has_expired: bool,
}

/// Asks for what is followed.
struct Requests {
    client: Client,
    target: Target,
    answer: Duration,
}

enum State {
    /// Nothing is known.
    Start,
    /// So far a list has come.
    Listing { next: String },
    /// The watch gives the list first.
    Streaming(Watch),
    /// Everything up to this version is known.
    Listed { version: String },
    /// And what comes later is being told.
    Watching { version: String, watch: Watch },
}

/// An open watch.
struct Watch {
    stream: BoxStream<'static, kube::Result<WatchEvent<Box<RawValue>>>>,
    opened: Instant,
    is_mute: bool,
}

impl<T, R: Fn(&str) -> serde_json::Result<T>> Follower<T, R> {
    /// Follows what `target` says; `read` makes an object of its JSON.
    pub fn new(client: Client, target: Target, options: Options, read: R) -> Self {
        let backoff = options.backoff.build();
        let requests = Requests { client, target, answer: options.answer };
        let (state, events, pause) = (State::Start, VecDeque::new(), None);
        Self { requests, options, read, state, events, backoff, pause, has_expired: false }
    }

    /// The next event, for ever. Where the future is dropped, the next one starts with a list.
    pub async fn next(&mut self) -> Event<T> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if let Some(pause) = self.pause.take() {
                sleep(pause).await;
            }
            let state = mem::replace(&mut self.state, State::Start);
            let (state, failure) = match state {
                State::Start if self.options.list == ListBy::Stream => self.start_stream().await,
                State::Start => self.list(None).await,
                State::Listing { next } => self.list(Some(next)).await,
                State::Streaming(watch) => self.stream(watch).await,
                State::Listed { version } => self.open(version).await,
                State::Watching { version, watch } => self.watch(version, watch).await,
            };
            self.state = state;
            if let Some(failure) = failure {
                // An API server that is back often begins with that: the pauses of its absence are
                // not for the list that is needed now. The second time in a row they are.
                if failure.is_expired() && !mem::replace(&mut self.has_expired, true) {
                    self.backoff = self.options.backoff.build();
                }
                self.pause = self.backoff.next();
                self.events.push_back(Event::Failed(failure));
            }
        }
    }

    /// Asks for a page, the first one or the one that `token` leads to.
    async fn list(&mut self, token: Option<String>) -> (State, Option<Failure>) {
        let page = match self.requests.page(self.options.page_size, token.clone()).await {
            Ok(page) => page,
            // A list that is too old to go on with begins anew, as every other does.
            Err(failure) => return (State::Start, Some(failure)),
        };
        let List { metadata, items } = match serde_json::from_str(&page) {
            Ok(list) => list,
            Err(error) => return (State::Start, Some(Failure::NoList(error))),
        };
        if token.is_none() {
            self.events.push_back(Event::Init);
        }
        for item in items.unwrap_or_default() {
            self.read(item.get(), Event::InitApply);
        }
        match metadata.next {
            Some(next) if !next.is_empty() => (State::Listing { next }, None),
            _ => {
                self.events.push_back(Event::InitDone);
                (State::Listed { version: metadata.resource_version }, None)
            }
        }
    }

    /// Opens a watch that begins with a list.
    async fn start_stream(&mut self) -> (State, Option<Failure>) {
        // No version: as new as can be, and never older than what another server said before.
        match self.requests.watch("", true).await {
            Ok(watch) => {
                self.events.push_back(Event::Init);
                (State::Streaming(watch), None)
            }
            Err(Failure::Watch(kube::Error::Api(status))) if matches!(status.code, 400 | 422) => {
                tracing::info!(
                    path = self.requests.target.path,
                    "the API server does not stream lists"
                );
                self.options.list = ListBy::Pages;
                (State::Start, None)
            }
            Err(failure) => (State::Start, Some(failure)),
        }
    }

    /// Takes what comes of a list in a watch.
    async fn stream(&mut self, mut watch: Watch) -> (State, Option<Failure>) {
        match watch.next(self.options.silence).await {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                self.read(object.get(), Event::InitApply);
                (State::Streaming(watch), None)
            }
            Ok(WatchEvent::Bookmark(bookmark))
                if bookmark.metadata.annotations.contains_key(END_OF_LIST) =>
            {
                self.events.extend([Event::InitDone, Event::Alive]);
                (State::Watching { version: bookmark.metadata.resource_version, watch }, None)
            }
            Ok(WatchEvent::Bookmark(_) | WatchEvent::Deleted(_)) => (State::Streaming(watch), None),
            Ok(WatchEvent::Error(status)) => (State::Start, Some(Failure::Ended(status))),
            Err(failure) => (State::Start, Some(failure.unwrap_or(Failure::EndedAtOnce))),
        }
    }

    /// Opens the watch that goes on from `version`.
    async fn open(&mut self, version: String) -> (State, Option<Failure>) {
        match self.requests.watch(&version, false).await {
            Ok(watch) => {
                self.events.push_back(Event::Alive);
                (State::Watching { version, watch }, None)
            }
            Err(failure) if failure.is_expired() => (State::Start, Some(failure)),
            Err(failure) => (State::Listed { version }, Some(failure)),
        }
    }

    /// Takes what comes of a watch.
    async fn watch(&mut self, version: String, mut watch: Watch) -> (State, Option<Failure>) {
        let event = match watch.next(self.options.silence).await {
            Ok(event) => event,
            // Dead, or a server that has no bookmarks to send: whether it answers will show.
            Err(Some(Failure::Silent(_))) => return (State::Listed { version }, None),
            Err(failure) => return (State::Listed { version }, failure),
        };
        let version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.read(object.get(), Event::Apply);
                Head::of(object.get()).resource_version
            }
            WatchEvent::Deleted(object) => {
                let head = Head::of(object.get());
                self.events.push_back(Event::Delete(head.name()));
                head.resource_version
            }
            WatchEvent::Bookmark(bookmark) => {
                self.events.push_back(Event::Alive);
                bookmark.metadata.resource_version
            }
            WatchEvent::Error(status) => {
                let failure = Failure::Ended(status);
                let is_expired = failure.is_expired();
                let state = if is_expired { State::Start } else { State::Listed { version } };
                return (state, Some(failure));
            }
        };
        // It works, so the next failure is a first one.
        self.backoff = self.options.backoff.build();
        self.has_expired = false;
        if version.is_empty() {
            // Nobody could say where to go on from.
            return (State::Start, None);
        }
        (State::Watching { version, watch }, None)
    }

    fn read(&mut self, json: &str, event: fn(T) -> Event<T>) {
        self.events.push_back(match (self.read)(json) {
            Ok(object) => event(object),
            Err(error) => Event::Unreadable { name: Head::of(json).name(), error },
        });
    }
}

impl Requests {
    /// A page of the list, as text.
    async fn page(&self, size: u32, token: Option<String>) -> Result<String, Failure> {
        let params = ListParams {
            label_selector: self.target.labels.clone(),
            limit: Some(size),
            continue_token: token,
            ..ListParams::default()
        };
        let page = async {
            let request = Request::new(&*self.target.path).list(&params);
            self.client.request_text(request.map_err(kube::Error::BuildRequest)?).await
        };
        let page = timeout(self.answer, page).await;
        page.map_err(|_| Failure::Silent(self.answer))?.map_err(Failure::List)
    }

    /// A watch from this version on.
    async fn watch(&self, version: &str, begins_with_list: bool) -> Result<Watch, Failure> {
        let params = WatchParams {
            label_selector: self.target.labels.clone(),
            timeout: Some(WATCH_SECONDS),
            send_initial_events: begins_with_list,
            ..WatchParams::default()
        };
        let stream = async {
            let request = Request::new(&*self.target.path).watch(&params, version);
            self.client.request_events(request.map_err(kube::Error::BuildRequest)?).await
        };
        let stream = timeout(self.answer, stream).await;
        let stream = stream.map_err(|_| Failure::Silent(self.answer))?;
        let stream = stream.map_err(Failure::Watch)?.boxed();
        Ok(Watch { stream, opened: Instant::now(), is_mute: true })
    }
}

impl Watch {
    /// What comes next. `Err(None)` is the end that every watch has some time.
    async fn next(
        &mut self,
        silence: Duration,
    ) -> Result<WatchEvent<Box<RawValue>>, Option<Failure>> {
        let item = timeout(silence, self.stream.next()).await;
        match item.map_err(|_| Failure::Silent(silence))? {
            Some(item) => {
                self.is_mute = false;
                Ok(item.map_err(Failure::Broken)?)
            }
            None if self.is_mute && self.opened.elapsed() < AT_ONCE => {
                Err(Some(Failure::EndedAtOnce))
            }
            None => Err(None),
        }
    }
}

impl Failure {
    /// What the API server itself said of it.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::List(kube::Error::Api(status))
            | Self::Watch(kube::Error::Api(status))
            | Self::Broken(kube::Error::Api(status))
            | Self::Ended(status) => Some(status),
            _ => None,
        }
    }

    /// Whether there is no going on from where we are, but a new list will help.
    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }
}

impl Target {
    /// All objects of this path.
    pub fn new(path: String) -> Self {
        Self { path, labels: None }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            list: ListBy::Pages,
            page_size: 500,
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(90),
            backoff: ExponentialBuilder::new()
                .with_min_delay(Duration::from_millis(500))
                .with_max_delay(Duration::from_secs(15))
                .with_factor(2.0)
                .with_jitter()
                .without_max_times(),
        }
    }
}

impl<T, R> fmt::Debug for Follower<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("target", &self.requests.target).finish_non_exhaustive()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// A page of a list.
#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

/// What of an object has to be known even where the rest cannot be read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Head {
    namespace: String,
    name: String,
    resource_version: String,
}

impl Head {
    fn of(json: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Object {
            metadata: Head,
        }
        serde_json::from_str::<Object>(json).unwrap_or_default().metadata
    }

    fn name(&self) -> Name {
        Name { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// How long the server is asked to keep a watch open. It is opened again without a new list.
const WATCH_SECONDS: u32 = 290;

/// A watch that ended so early and said nothing is a failure: opening it again and again would be
/// all that is done.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The annotation of the bookmark behind a list in a watch.
const END_OF_LIST: &str = "k8s.io/initial-events-end";
