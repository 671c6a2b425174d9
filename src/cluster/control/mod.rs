//! The controller at work: what the cluster has in, the writes of a plan out.
//!
//! ```text
//! watches ──> known (the view) ──> controller::plan ──> apply ──> API server
//!               ▲                                        │  └──> tell (Events)
//!               └──────── what came of each write ───────┘
//! ```
//! In: a client, and whether this process leads. Out: writes. The one decision: a plan is carried out
//! for as long as nothing else changes. Every fifth of a second it is looked whether something has;
//! then what is left of the plan is dropped, and a new one begins with what has to go off objects.
//! Nothing is planned before every kind has been listed, nor while a watch is broken: a route that is
//! not known is a route that could be lost.
//!
//! Writes go one after the other, without a limit of their own: there is never more than one request
//! under way, so a busy API server slows it down.

mod apply;
mod holds;
mod known;
mod ready;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use kube::Client;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::board::Board;
use crate::cluster::lease::Leadership;
use crate::cluster::watches::{Options as Watching, Scope, Update, Watches};
use crate::controller::{Options as Deciding, Plan, View, Write, plan};
use crate::kubernetes::{Key, ObjectKind};
use crate::metrics::{Controlling, Reconciled};
use crate::resolve::Settings;
use crate::telemetry::Chain;

use apply::{Error, Fault, Writer, verb};
use holds::Holds;
use known::Known;
use tell::Teller;

/// What is controlled, and how.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How Kong's controller is set up.
    pub settings: Settings,
    /// The namespaces to watch; all where there is none.
    pub namespaces: BTreeSet<String>,
    /// How to watch.
    pub watching: Watching,
    /// Whether to take over what Kong Operator manages.
    pub adopt: bool,
    /// How long an extension that has just been attached is left to Kong Operator.
    pub wait: Duration,
    /// The name of this process.
    pub identity: String,
}

/// Whom to ask.
#[derive(Clone)]
pub struct Clients {
    /// For all that is read, and for events.
    pub reading: Client,
    /// One that does not send a request again by itself.
    pub writing: Client,
}

/// Works for as long as it is polled.
pub async fn run(
    clients: Clients,
    config: Config,
    leadership: Leadership,
    board: Board,
    metrics: Controlling,
) {
    // One that has just started does not know all of its kinds.
    ready::until_ready(&clients.reading).await;
    loop {
        let Clients { reading, writing } = clients.clone();
        let watching = config.watching.clone();
        let controller = Controller {
            watches: Watches::new(reading.clone(), config.scope(), watching, board.clone()),
            board: board.clone(),
            waiting: Vec::new(),
            known: Some(Known::new(View::new(config.settings.clone()))),
            writer: Writer::new(writing, leadership.clone(), ANSWER),
            teller: Teller::new(reading, &config.identity, metrics.clone()),
            leadership: leadership.clone(),
            metrics: metrics.clone(),
            config: config.clone(),
            holds: Holds::default(),
            pauses: pauses(),
            paused_until: None,
            due_at: None,
            trouble: None,
            counted: None,
        };
        controller.run().await;
        metrics.leads(false);
        tracing::error!("what was known is lost in the middle of a plan and is read anew");
        sleep(Duration::from_secs(1)).await;
    }
}

/// All that is there, as soon as everything has been listed; `None` as soon as the server refuses what
/// is needed.
pub async fn once(client: Client, config: &Config, board: Board) -> Option<Seen> {
    let mut watches = Watches::new(client, config.scope(), config.watching.clone(), board);
    let mut known = Known::new(View::new(config.settings.clone()));
    loop {
        known.take(watches.next().await, Instant::now());
        if watches.is_settled() {
            let versions = ObjectKind::ALL.into_iter();
            let versions = versions.filter_map(|kind| Some((kind, watches.version(kind)?)));
            return Some(Seen { versions: versions.collect(), view: known.into_view() });
        }
        if watches.is_refused() {
            return None;
        }
    }
}

/// A cluster at one time.
#[derive(Debug)]
pub struct Seen {
    /// What is there.
    pub view: View,
    /// The versions in which the server has the kinds.
    pub versions: BTreeMap<ObjectKind, &'static str>,
}

impl Config {
    fn scope(&self) -> Scope {
        let is_needed = |kind: &ObjectKind| {
            // ControlPlanes say which extensions are attached.
            *kind == ObjectKind::ControlPlane || !kind.is_of_mapping() || self.settings.need(*kind)
        };
        let kinds: BTreeSet<_> = ObjectKind::ALL.into_iter().filter(is_needed).collect();
        // What is not known could make any write wrong.
        Scope { required: kinds.clone(), kinds, namespaces: self.namespaces.clone() }
    }
}

struct Controller {
    watches: Watches,
    board: Board,
    /// What came while writes were under way.
    waiting: Vec<Update>,
    /// Not here while a plan is made.
    known: Option<Known>,
    writer: Writer,
    teller: Teller,
    leadership: Leadership,
    metrics: Controlling,
    config: Config,
    holds: Holds,
    pauses: ExponentialBackoff,
    paused_until: Option<Instant>,
    /// When to plan; `None` where all is as it was planned.
    due_at: Option<Instant>,
    /// What ails the server, as it was told last.
    trouble: Option<&'static str>,
    /// When objects were counted last.
    counted: Option<Instant>,
}

/// What became of a plan.
#[derive(Default)]
struct Done {
    writes: BTreeSet<usize>,
    failures: usize,
    is_superseded: bool,
}

impl Controller {
    /// Runs until a plan ends in the middle, which it never should.
    async fn run(mut self) {
        let mut leads = false;
        self.metrics.leads(false);
        loop {
            let wake = self.wakes_at(Instant::now());
            let mut leadership = self.leadership.clone();
            let turned =
                async { if leads { leadership.lost().await } else { leadership.gained().await } };
            tokio::select! {
                updates = self.watches.next() => self.waiting.extend(updates),
                () = sleep_until(wake) => {}
                () = turned => {}
            }
            let now_leads = self.leadership.holds();
            if now_leads != leads {
                leads = now_leads;
                self.metrics.leads(leads);
                self.due_at = Some(Instant::now());
            }
            if self.take_waiting().await.is_none() {
                return;
            }
            let is_synced = self.is_synced();
            self.metrics.synced(is_synced);
            if is_synced && leads && self.is_due() && self.reconcile().await.is_none() {
                return;
            }
        }
    }

    /// Whether everything that is there is known.
    fn is_synced(&self) -> bool {
        self.watches.is_settled() && self.board.watches().values().all(|watch| watch.is_open)
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        let has_come = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        has_come(self.due_at) && self.paused_until.is_none_or(|until| until <= now)
    }

    fn wakes_at(&self, now: Instant) -> Instant {
        let due = self.due_at.max(self.paused_until).filter(|_| self.due_at.is_some());
        due.filter(|at| now < *at).unwrap_or(now + TICK).min(now + TICK)
    }

    /// Takes up what the watches have told. `None` where the work came to no end; otherwise whether
    /// there was any news.
    async fn take_waiting(&mut self) -> Option<bool> {
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Some(false);
        }
        let is_few = waiting.len() <= FEW;
        let counts = self.counted.is_none_or(|counted| counted + COUNT_EVERY <= now);
        let mut known = self.known.take()?;
        let take = move |known: &mut Known| {
            let news = known.take(waiting, now);
            (news, counts.then(|| known.view().count()))
        };
        let (known, (news, count)) = if is_few {
            let taken = take(&mut known);
            (known, taken)
        } else {
            beside(known, take).await?
        };
        self.known = Some(known);
        if let Some(count) = count {
            self.board.set_objects(count);
            self.counted = Some(now);
        }
        // What was held is tried again with the version that it has now.
        if self.holds.release(&news.objects, now) || news.is_any {
            self.due_at = Some(now);
        }
        Some(news.is_any)
    }

    /// Plans and carries out. `None` where the work came to no end.
    async fn reconcile(&mut self) -> Option<()> {
        let start = Instant::now();
        self.due_at = None;
        let known = self.known.take()?;
        let deciding = Deciding {
            adopt: self.config.adopt,
            unsettled: match self.config.adopt {
                true => BTreeSet::new(),
                false => known.unsettled(self.config.wait, start),
            },
        };
        let (known, plan) = beside(known, move |known| plan(known.view(), &deciding)).await?;
        self.known = Some(known);
        self.metrics.placed(&plan.extensions);
        let done = self.carry_out(&plan).await?;
        self.tell(&plan, &done);
        let (took, left) = (start.elapsed(), plan.writes.len() - done.writes.len());
        let result = match (left, done.is_superseded) {
            (0, _) => Reconciled::Success,
            (_, true) => Reconciled::Superseded,
            _ => Reconciled::Failure,
        };
        self.metrics.reconciled(result, left, took, SystemTime::now());
        if !plan.writes.is_empty() {
            let (writes, planned) = (done.writes.len(), plan.writes.len());
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let failures = done.failures;
            tracing::info!(planned, writes, failures, took_ms, "plan carried out");
        }
        self.due_at = self.due_at.or_else(|| self.next_due(plan.writes.len(), result));
        Some(())
    }

    /// When to plan again if nothing changes.
    fn next_due(&self, planned: usize, result: Reconciled) -> Option<Instant> {
        let now = Instant::now();
        match result {
            // Until nothing is left to be done.
            Reconciled::Success if planned > 0 => return Some(now),
            Reconciled::Superseded => return Some(now),
            Reconciled::Failure => {
                let paused = self.paused_until.filter(|until| now < *until);
                return paused.or_else(|| self.holds.next(now)).or(Some(now + TICK));
            }
            Reconciled::Success => {}
        }
        self.known.as_ref().and_then(|known| known.settles_at(self.config.wait, now))
    }

    async fn carry_out(&mut self, plan: &Plan) -> Option<Done> {
        let mut done = Done::default();
        let mut looked = Instant::now();
        let wanted: BTreeSet<_> = plan.writes.iter().map(|write| &write.object).collect();
        self.holds.retain(|key| wanted.contains(key));
        for (at, write) in plan.writes.iter().enumerate() {
            let is_ready = write.needs.iter().all(|need| done.writes.contains(need));
            if !is_ready || self.holds.is_held(&write.object, Instant::now()) {
                continue;
            }
            if looked.elapsed() >= LOOK_EVERY {
                if self.take_waiting().await? || !self.is_synced() {
                    done.is_superseded = true;
                    break;
                }
                looked = Instant::now();
            }
            match self.send(write).await {
                Ok(()) => {
                    done.writes.insert(at);
                }
                Err(error) => {
                    done.failures += 1;
                    if self.failed(write, &error) {
                        break;
                    }
                }
            }
        }
        Some(done)
    }

    /// Sends a write, and hears the watches meanwhile.
    async fn send(&mut self, write: &Write) -> Result<(), Error> {
        let version = self.watches.version(write.object.kind);
        let mut sending = pin!(self.writer.send(write, version));
        let object = loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent?,
                updates = self.watches.next() => self.waiting.extend(updates),
            }
        };
        if let Some(known) = &mut self.known {
            known.wrote(&write.object, object);
        }
        self.holds.forget(&write.object);
        (self.pauses, self.paused_until) = (pauses(), None);
        if self.trouble.take().is_some() {
            tracing::info!("the API server takes writes again");
        }
        self.metrics.wrote(verb(write), None);
        Ok(())
    }

    /// Whether there is no use in going on.
    fn failed(&mut self, write: &Write, error: &Error) -> bool {
        self.metrics.wrote(verb(write), Some(error.reason(write)));
        let now = Instant::now();
        let object = write.object.to_string();
        match error.fault() {
            Fault::NotLeading => return true,
            Fault::Stale => {
                // A watch that broke may never tell of the end of what we wrote just before.
                if error.is_gone(write)
                    && let Some(known) = &mut self.known
                {
                    known.wrote(&write.object, None);
                }
                self.holds.hold(&write.object, STALE_MIN, STALE_MAX, now);
                tracing::debug!(object, error = %Chain(error), "changed meanwhile, planned anew");
                return false;
            }
            Fault::Object => {
                self.holds.hold(&write.object, HOLD_MIN, HOLD_MAX, now);
                let (reason, remedy) =
                    error.trouble(write).map(|t| (t.reason.as_str(), t.remedy)).unzip();
                tracing::warn!(object, error = %Chain(error), reason, remedy, "not written, tried again later");
                return false;
            }
            Fault::Server => {}
        }
        let pause = self.pauses.next().unwrap_or(HOLD_MAX);
        self.paused_until = Some(now + pause);
        let reason = error.reason(write);
        // The same trouble is told once.
        if self.trouble.replace(reason) != Some(reason) {
            let remedy = error.trouble(write).map(|trouble| trouble.remedy);
            tracing::warn!(object, error = %Chain(error), reason, remedy, "no writes for now");
        }
        true
    }

    /// Events of those extensions whose status has been written.
    fn tell(&self, plan: &Plan, done: &Done) {
        let Some(known) = &self.known else { return };
        let view = known.view();
        let told: BTreeSet<_> = plan
            .writes
            .iter()
            .enumerate()
            .filter(|(at, write)| done.writes.contains(at) && write.tells())
            .map(|(_, write)| &write.object)
            .collect();
        let events = plan.events.iter().filter(|event| told.contains(event.extension()));
        let uid = |key: &Key| match view.extension(key) {
            Some((metadata, _)) => metadata.uid.clone(),
            None => view.target(key).and_then(|target| target.version.uid.clone()),
        };
        self.teller
            .tell(events.cloned().collect(), |key| (self.watches.version(key.kind), uid(key)));
    }
}

/// Works beside the runtime's thread, which renews the lease meanwhile.
async fn beside<T: Send + 'static>(
    mut known: Known,
    work: impl FnOnce(&mut Known) -> T + Send + 'static,
) -> Option<(Known, T)> {
    let work = spawn_blocking(move || {
        let done = work(&mut known);
        (known, done)
    });
    work.await.ok()
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(500));
    let pauses = pauses.with_max_delay(Duration::from_secs(15)).with_factor(2.0);
    pauses.with_jitter().without_max_times().build()
}

/// By when a write must have been answered. Less than a lease lasts beyond its leader's time would
/// be enough, were it not for webhooks, which may take ten seconds.
const ANSWER: Duration = Duration::from_secs(12);

/// How often a plan under way is held against what has changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Objects are counted for a metric, which walks over all of them.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// How often to look whether a watch is open again.
const TICK: Duration = Duration::from_millis(500);

/// So few updates are taken up at once; more, beside the runtime's thread.
const FEW: usize = 64;

/// How long an object is left alone that has changed under a plan, unless the watch tells of it.
const STALE_MIN: Duration = Duration::from_millis(250);
const STALE_MAX: Duration = Duration::from_secs(2);

/// How long an object is left alone that cannot be written.
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(60);
