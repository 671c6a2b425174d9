//! What `controller` says about itself.
//!
//! In: what it planned and what it did. Out: text in the classic format. Every label value is there
//! from the start, at 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::cluster::board::Board;
use crate::cluster::trouble::Reason;
use crate::controller::placement::{Placed, State};
use crate::metrics::process::Process;
use crate::metrics::watch::Watches;
use crate::metrics::{FAILURE, Float, Label, SUCCESS, add, add_version, append};

/// Every metric of a controller. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Controlling {
    registry: Arc<Registry>,
    has_listed: Arc<AtomicBool>,
    leader: Gauge,
    synced: Gauge,
    reconciles: Family<Label, Counter>,
    reconcile_seconds: Histogram,
    success_seconds: Float,
    writes: Family<Write, Counter>,
    errors: Family<Label, Counter>,
    pending: Gauge,
    extensions: Family<Label, Gauge>,
    services: Family<Label, Gauge>,
    events: Family<Label, Counter>,
}

/// How it ended with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// All of it has been carried out.
    Success,
    /// Something has changed meanwhile.
    Superseded,
    /// A write failed.
    Failure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    verb: &'static str,
    result: &'static str,
}

impl Controlling {
    /// An event that the API server has.
    pub(crate) const SENT: &'static str = "sent";
    /// An event that it did not take.
    pub(crate) const FAILED: &'static str = "failed";
    /// An event that never got there, for too many were waiting.
    pub(crate) const LOST: &'static str = "lost";

    /// Why a write was given up: another process leads.
    pub(crate) const NOT_LEADING: &'static str = "not_leading";

    /// All at zero.
    pub fn new(watches: &Board) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        add_version(r);
        let leader = "Whether this process leads, and so is the one that writes";
        let synced = "Whether everything is known and every watch is open; nothing is written else";
        let reconciles = "Plans that were carried out, were superseded by a change, or failed";
        let seconds = "Time to make a plan and carry it out";
        let success = "When everything was last found or made as it is to be; 0 for never";
        let writes = "Writes to the API server";
        let errors = "Writes that the API server did not take, by reason";
        let pending = "Writes of the last plan that are still to be done";
        let extensions = "Extensions that count, by what became of them";
        let services = "Services that extensions select, by what became of them";
        let events = "Events told, not taken by the API server, or lost in too many";
        let mut metrics = Self {
            has_listed: Arc::default(),
            leader: add(r, "kong_exporter_controller_leader", leader, Gauge::default()),
            synced: add(r, "kong_exporter_controller_synced", synced, Gauge::default()),
            reconciles: add(
                r,
                "kong_exporter_controller_reconciles",
                reconciles,
                Family::default(),
            ),
            reconcile_seconds: add(
                r,
                "kong_exporter_controller_reconcile_duration_seconds",
                seconds,
                Histogram::new(BUCKETS_SECONDS),
            ),
            success_seconds: add(
                r,
                "kong_exporter_controller_last_success_timestamp_seconds",
                success,
                Float::default(),
            ),
            writes: add(r, "kong_exporter_controller_writes", writes, Family::default()),
            errors: add(r, "kong_exporter_controller_errors", errors, Family::default()),
            pending: add(r, "kong_exporter_controller_pending_writes", pending, Gauge::default()),
            extensions: add(
                r,
                "kong_exporter_controller_extensions",
                extensions,
                Family::default(),
            ),
            services: add(r, "kong_exporter_controller_services", services, Family::default()),
            events: add(r, "kong_exporter_controller_events", events, Family::default()),
            registry: Arc::default(),
        };
        r.register_collector(Box::new(Process::started_now()));
        r.register_collector(Box::new(Watches(watches.clone())));
        for result in [Reconciled::Success, Reconciled::Superseded, Reconciled::Failure] {
            drop(metrics.reconciles.get_or_create(&[("result", result.as_str())]));
        }
        for verb in ["create", "patch", "delete"] {
            for result in [SUCCESS, FAILURE] {
                drop(metrics.writes.get_or_create(&Write { verb, result }));
            }
        }
        for result in [Self::SENT, Self::FAILED, Self::LOST] {
            drop(metrics.events.get_or_create(&[("result", result)]));
        }
        for reason in Reason::ALL.map(Reason::as_str).into_iter().chain([Self::NOT_LEADING]) {
            drop(metrics.errors.get_or_create(&[("reason", reason)]));
        }
        metrics.placed(&[]);
        metrics.registry = Arc::new(registry);
        metrics
    }

    /// This process leads, or no longer.
    pub(crate) fn leads(&self, does: bool) {
        self.leader.set(does.into());
    }

    /// Everything is known, or not all of it.
    pub(crate) fn synced(&self, is: bool) {
        self.synced.set(is.into());
        if is {
            self.has_listed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether everything has been known once.
    pub fn has_listed(&self) -> bool {
        self.has_listed.load(Ordering::Relaxed)
    }

    /// What is planned.
    pub(crate) fn placed(&self, extensions: &[Placed]) {
        let (mut by_extension, mut by_service) = (BTreeMap::new(), BTreeMap::new());
        for placed in extensions {
            let state = placed.hands_off.as_ref().map_or(ACTIVE, |outcome| outcome.state.as_str());
            *by_extension.entry(state).or_default() += 1;
            for outcome in placed.services.values() {
                *by_service.entry(outcome.state.as_str()).or_default() += 1;
            }
        }
        let of_extension =
            [ACTIVE, State::Conflict.as_str(), State::ManagedByKongOperator.as_str()];
        let of_service = State::ALL.map(State::as_str);
        for (family, states, counts) in [
            (&self.extensions, of_extension.as_slice(), by_extension),
            (&self.services, of_service.as_slice(), by_service),
        ] {
            for state in states {
                let count: i64 = counts.get(state).copied().unwrap_or_default();
                family.get_or_create(&[("state", state)]).set(count);
            }
        }
    }

    /// A write was tried; `error` is why it failed.
    pub(crate) fn wrote(&self, verb: &'static str, error: Option<&'static str>) {
        let result = if error.is_none() { SUCCESS } else { FAILURE };
        self.writes.get_or_create(&Write { verb, result }).inc();
        if let Some(reason) = error {
            self.errors.get_or_create(&[("reason", reason)]).inc();
        }
    }

    /// A plan came to its end, with so many writes left.
    pub(crate) fn reconciled(
        &self,
        result: Reconciled,
        pending: usize,
        took: Duration,
        now: SystemTime,
    ) {
        self.reconciles.get_or_create(&[("result", result.as_str())]).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
        self.pending.set(pending.try_into().unwrap_or(i64::MAX));
        if result == Reconciled::Success {
            let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            self.success_seconds.set(seconds);
        }
    }

    /// What became of an event.
    pub(crate) fn event(&self, result: &'static str) {
        self.events.get_or_create(&[("result", result)]).inc();
    }

    /// Appends everything, in the classic format.
    pub fn append(&self, out: &mut Vec<u8>) {
        append(&self.registry, |_| true, out);
    }
}

impl Reconciled {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => SUCCESS,
            Self::Superseded => "superseded",
            Self::Failure => FAILURE,
        }
    }
}

/// The `state` of an extension that is acted on.
const ACTIVE: &str = "Active";

/// From a plan with nothing to do to one with thousands of writes.
const BUCKETS_SECONDS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0];
