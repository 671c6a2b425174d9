//! The mapping from the API server: `--mapping=watch`.
//!
//! In: all kinds of objects that say what stands behind a Kong service, as they change. Out: a
//! snapshot into [`Current`] whenever that makes a difference. The one decision: what takes long is
//! done on another thread, one batch after the other, and the watches wait meanwhile, so that
//! scrapes never do and nothing piles up here.
//!
//! No API server at the start is no error: names tell what they tell, and `/readyz` says no, until
//! everything has been listed. A mapping that was known stays, whatever becomes of the server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::cluster::board::Board;
use crate::cluster::trouble::Reason;
use crate::cluster::watches::{Options, Scope, Update, Watches};
use crate::kubernetes::ObjectKind;
use crate::mapping::{Current, Snapshot};
use crate::resolve::{Index, Settings};
use crate::source::asking::{Question, Questions, Word};
use crate::source::gather::Gather;
use crate::source::needs::{self, Kinds};

/// What is watched, and what is made of it.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How Kong's controller is set up.
    pub settings: Settings,
    /// The namespaces to watch; all where there is none.
    pub namespaces: BTreeSet<String>,
    /// Which kinds to watch.
    pub kinds: Kinds,
    /// How to watch.
    pub options: Options,
}

/// Watches for as long as it is polled, and answers questions.
pub async fn follow(
    client: Client,
    config: Config,
    current: Current,
    board: Board,
    mut questions: Questions,
) {
    loop {
        let (all, mut scope) = (config.scope(), config.scope());
        if config.kinds == Kinds::Needed {
            let needed = questions.needs();
            scope.kinds.retain(|kind| *kind == needs::FIRST || needed.contains(kind));
        }
        let options = config.options.clone();
        let source = Source {
            watches: Watches::new(client.clone(), scope, options, board.clone()),
            all: all.kinds,
            current: current.clone(),
            board: board.clone(),
            questions: &mut questions,
            gather: Some(Gather::new(config.settings.clone())),
            wants: Wants::default(),
        };
        source.run().await;
        tracing::error!("the mapping was lost in the middle of a change and is made anew");
        sleep(Duration::from_secs(1)).await;
    }
}

/// The index of all that is there, as soon as everything has been listed.
///
/// # Errors
/// As soon as the server refuses what the index cannot be made without: what that is.
pub async fn once(client: Client, config: &Config, board: Board) -> Result<Index, String> {
    let options = config.options.clone();
    let mut watches = Watches::new(client, config.scope(), options, board.clone());
    let mut gather = Gather::new(config.settings.clone());
    loop {
        gather.take(watches.next().await);
        if watches.is_settled() {
            return Ok(gather.into_index());
        }
        if watches.is_refused() {
            return Err(missing(&board));
        }
    }
}

/// What has not been listed, and why.
pub fn missing(board: &Board) -> String {
    let watches = board.watches();
    if watches.is_empty() {
        let trouble = board.discovery_trouble().map_or("no answer yet", Reason::as_str);
        return format!("which kinds there are ({trouble})");
    }
    let missing = watches.iter().filter(|(_, status)| !status.is_open).map(|(id, status)| {
        let trouble = status.trouble.map_or("no answer yet", Reason::as_str);
        format!("{} ({trouble})", id.kind.as_str())
    });
    missing.collect::<Vec<_>>().join(", ")
}

impl Config {
    fn scope(&self) -> Scope {
        let kinds = ObjectKind::ALL.into_iter();
        let kinds = kinds.filter(|kind| self.settings.need(*kind));
        // Without Services and grants there would be no backend that counts.
        let required = BTreeSet::from([ObjectKind::Service, ObjectKind::ReferenceGrant]);
        Scope { kinds: kinds.collect(), required, namespaces: self.namespaces.clone() }
    }
}

struct Source<'q> {
    watches: Watches,
    /// All kinds that can make a difference.
    all: BTreeSet<ObjectKind>,
    questions: &'q mut Questions,
    current: Current,
    board: Board,
    /// Not here while it is at work.
    gather: Option<Gather>,
    wants: Wants,
}

/// What is to be done.
#[derive(Default)]
struct Wants {
    /// Something has come that is in no snapshot yet.
    snapshot: bool,
    /// Since when that waits for lists to be complete.
    unsettled_since: Option<Instant>,
    /// Objects have changed since they were counted.
    count: bool,
    counted: Option<Instant>,
    has_stored: bool,
}

impl Source<'_> {
    /// Runs until the work ends in the middle, which it never should.
    async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let updates = tokio::select! {
                updates = self.watches.next() => {
                    self.wants.snapshot = true;
                    self.wants.count |= !updates.is_empty();
                    updates
                }
                word = self.questions.next() => match word {
                    Word::Needs(kinds) => {
                        self.watches.add(kinds.intersection(&self.all));
                        continue;
                    }
                    Word::Question(question) => match self.answer(question).await {
                        true => continue,
                        false => return,
                    },
                },
                _ = ticks.tick() => {
                    self.current.forget(Instant::now());
                    Vec::new()
                }
            };
            if updates.iter().any(is_first) {
                self.watches.add(self.all.iter());
            }
            let is_due = self.is_due();
            if updates.is_empty() && !is_due && !self.counts() {
                continue;
            }
            if !self.work(updates, is_due).await {
                return;
            }
        }
    }

    /// Whether it is time for a snapshot. The first one waits until everything is listed. A later
    /// one waits for kinds that have just appeared, for as they are listed routes may be there and
    /// what they refer to not; but not for ever, since one kind may be all that does not work.
    fn is_due(&mut self) -> bool {
        let Wants { snapshot, unsettled_since, has_stored, .. } = &mut self.wants;
        if self.watches.is_settled() {
            *unsettled_since = None;
            return *snapshot;
        }
        let since = unsettled_since.get_or_insert_with(Instant::now);
        let is_over = since.elapsed() >= PATIENCE && self.watches.has_listed(ObjectKind::Service);
        *snapshot && *has_stored && is_over
    }

    fn counts(&self) -> bool {
        let Wants { count, counted, has_stored, .. } = &self.wants;
        let is_over = counted.is_none_or(|counted| counted.elapsed() >= COUNT_EVERY);
        *has_stored && *count && is_over
    }

    /// `false` where the work came to no end.
    async fn work(&mut self, updates: Vec<Update>, is_due: bool) -> bool {
        let Some(mut gather) = self.gather.take() else { return false };
        let counts = self.counts() || (is_due && !self.wants.has_stored);
        let previous = self.current.load();
        let started = Instant::now();
        let work = tokio::task::spawn_blocking(move || {
            gather.take(updates);
            let next = if is_due { gather.next(&previous, Instant::now()) } else { None };
            let count = counts.then(|| gather.count());
            (gather, next, count)
        });
        let Ok((gather, next, count)) = work.await else { return false };
        self.gather = Some(gather);
        if let Some(count) = count {
            self.board.set_objects(count);
            (self.wants.count, self.wants.counted) = (false, Some(Instant::now()));
        }
        if is_due {
            self.wants.snapshot = false;
        }
        if let Some(next) = next {
            self.store(next, started.elapsed());
        }
        true
    }

    /// `false` where the work came to no end.
    async fn answer(&mut self, Question { names, answer }: Question) -> bool {
        // Before all is listed, everything would be said to be missing.
        if !self.wants.has_stored {
            return true;
        }
        let Some(gather) = self.gather.take() else { return false };
        let snapshot = self.current.load();
        let work = tokio::task::spawn_blocking(move || {
            let reasons = names.iter().map(|name| gather.reasons(&snapshot, name)).collect();
            // Who asked may have gone.
            let _ = answer.send(reasons);
            gather
        });
        self.gather = work.await.ok();
        self.gather.is_some()
    }

    fn store(&mut self, next: Snapshot, took: Duration) {
        let (services, retained) = (next.len(), next.retained_len());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.current.store(next, SystemTime::now());
        if std::mem::replace(&mut self.wants.has_stored, true) {
            tracing::debug!(services, retained, took_ms, "mapping changed");
        } else {
            tracing::info!(services, retained, took_ms, "mapping complete");
        }
    }
}

/// Whether it says that everything is needed.
fn is_first(update: &Update) -> bool {
    matches!(update, Update::Apply(object) if object.key().kind == needs::FIRST)
}

/// How often to look whether something that waited is due.
const TICK: Duration = Duration::from_secs(1);

/// How long a snapshot waits for a kind that has just appeared.
const PATIENCE: Duration = Duration::from_secs(30);

/// Objects are counted for a metric, which walks over all of them.
const COUNT_EVERY: Duration = Duration::from_secs(10);
