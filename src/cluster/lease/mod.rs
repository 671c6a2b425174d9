//! One leader among several processes, by a Lease in the API server.
//!
//! In: which Lease, and under which name. Out: a [`Leadership`] that says whether this process may
//! write, and until when. The one decision: own code, of which the deciding part is pure
//! ([`elector`]). Published crates compare the times that another machine wrote into the Lease with
//! the clock here, so that a clock that is wrong by the length of a lease makes two leaders, or none.

pub mod elector;

use std::env;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::trouble::{Attempt, Trouble, Unanswered, within};
use crate::telemetry::Chain;

pub use elector::{Claim, Elector, Record, Timing};

/// Whether this process leads. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

/// Stands for election.
pub struct Candidate {
    leases: Api<Lease>,
    namespace: String,
    name: String,
    elector: Elector,
    timing: Timing,
    /// Since when it is ours, for people.
    acquired: Option<Timestamp>,
    tell: watch::Sender<Option<Instant>>,
}

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read the Lease")]
    Read(#[source] Unanswered),
    #[error("cannot write the Lease")]
    Write(#[source] Unanswered),
}

impl Error {
    fn trouble(&self, namespace: &str) -> Trouble {
        let (Self::Read(source) | Self::Write(source)) = self;
        source.trouble(&Attempt {
            verbs: "get, create, update",
            group: "coordination.k8s.io",
            resource: "leases",
            namespace: Some(namespace),
        })
    }
}

impl Candidate {
    /// One that does nothing yet.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self::with_timing(client, namespace, name, identity, Timing::default())
    }

    /// The same with other times.
    pub fn with_timing(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        timing: Timing,
    ) -> Self {
        let elector = Elector::new(identity.to_owned(), timing);
        let leases = Api::namespaced(client, namespace);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let tell = watch::Sender::new(None);
        Self { leases, namespace, name, elector, timing, acquired: None, tell }
    }

    /// What tells whether this process leads.
    pub fn leadership(&self) -> Leadership {
        Leadership(self.tell.subscribe())
    }

    /// Stands for election until `end` resolves, which must not be before the last write has ended.
    /// Then gives the lease back, so that another one need not wait.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        let standing = async {
            let mut told = None;
            loop {
                if let Err(error) = self.stand().await {
                    let trouble = Chain(&error).to_string();
                    // The same trouble is told once.
                    if told.as_ref() != Some(&trouble) {
                        let Trouble { reason, remedy } = error.trouble(&self.namespace);
                        tracing::warn!(
                            error = trouble,
                            lease = self.name,
                            reason = reason.as_str(),
                            remedy,
                            "no part in the election"
                        );
                        told = Some(trouble);
                    }
                } else if told.take().is_some() {
                    tracing::info!(lease = self.name, "part in the election again");
                }
                sleep(self.timing.interval).await;
            }
        };
        tokio::select! {
            () = standing => {}
            () = end => {}
        }
        if let Err(error) = self.release().await {
            tracing::warn!(error = %Chain(&error), lease = self.name, "lease not given back, it runs out");
        }
    }

    /// Looks at the Lease once, and writes what follows.
    async fn stand(&mut self) -> Result<(), Error> {
        let record = self.read().await?;
        let (holder, now) = (record.as_ref().map(|record| record.holder.clone()), Instant::now());
        let claim = self.elector.decide(record, now);
        self.tell();
        let Some(claim) = claim else { return Ok(()) };
        let sent = Instant::now();
        if self.write(&claim).await? {
            if claim.is_new {
                tracing::info!(lease = self.name, before = holder.unwrap_or_default(), "leading");
            }
            self.elector.claimed(sent);
            self.tell();
        }
        Ok(())
    }

    async fn release(&mut self) -> Result<(), Error> {
        let has_led = self.elector.until().is_some();
        self.elector.release(None);
        self.tell();
        if !has_led {
            return Ok(());
        }
        let record = self.read().await?;
        if let Some(claim) = self.elector.release(record) {
            self.write(&claim).await?;
            tracing::info!(lease = self.name, "lease given back");
        }
        Ok(())
    }

    fn tell(&self) {
        let until = self.elector.until();
        self.tell.send_if_modified(|told| {
            let is_news = *told != until;
            if told.is_some() && until.is_none() {
                tracing::warn!(lease = self.name, "leading no longer");
            }
            *told = until;
            is_news
        });
    }

    async fn read(&self) -> Result<Option<Record>, Error> {
        let read = within(self.timing.request, self.leases.get_opt(&self.name)).await;
        Ok(read.map_err(Error::Read)?.map(record))
    }

    /// Whether it came through. `false` where another one was faster.
    async fn write(&mut self, claim: &Claim) -> Result<bool, Error> {
        let now = Timestamp::now();
        if claim.is_new {
            self.acquired = Some(now);
        }
        let spec = spec(claim, self.timing.duration, self.acquired, now);
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            resource_version: claim.version.clone(),
            ..ObjectMeta::default()
        };
        let lease = Lease { metadata, spec: Some(spec) };
        let params =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let write = async {
            match claim.version {
                None => self.leases.create(&params, &lease).await,
                Some(_) => self.leases.replace(&self.name, &params, &lease).await,
            }
        };
        match within(self.timing.request, write).await {
            Ok(_) => Ok(true),
            // 409 where another one wrote, or created it; 404 where it has been deleted.
            Err(Unanswered::Error(kube::Error::Api(status)))
                if matches!(status.code, 404 | 409) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::Write(error)),
        }
    }
}

impl Leadership {
    /// Whether this process may write now.
    pub fn holds(&self) -> bool {
        self.until().is_some()
    }

    /// Waits until this process leads. For ever, where nobody stands for election any more.
    pub async fn gained(&mut self) {
        let leads = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() < until);
        if self.0.wait_for(leads).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until this process leads no longer.
    pub async fn lost(&mut self) {
        while let Some(until) = self.until() {
            tokio::select! {
                () = sleep_until(until) => {}
                changed = self.0.changed() => if changed.is_err() { return },
            }
        }
    }

    /// What comes of `work`, unless this process leads no longer before it is done.
    pub async fn while_held<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if !self.holds() {
            return None;
        }
        tokio::select! {
            biased;
            () = self.lost() => None,
            done = work => Some(done),
        }
    }

    fn until(&self) -> Option<Instant> {
        self.0.borrow().filter(|until| Instant::now() < *until)
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("lease", &self.name).finish_non_exhaustive()
    }
}

/// A name that no other process has: the host's, which in a pod is the pod's, and a number.
pub fn identity() -> String {
    let host = env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "kong-metrics-exporter".to_owned());
    // Keyed at random, once for each process.
    let number = RandomState::new().hash_one(std::process::id());
    format!("{host}_{number:016x}")
}

fn record(lease: Lease) -> Record {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        version: lease.metadata.resource_version.unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map(Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0.to_string()).unwrap_or_default(),
    }
}

/// The times in it are for people.
fn spec(
    claim: &Claim,
    duration: Duration,
    acquired: Option<Timestamp>,
    now: Timestamp,
) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(claim.holder.clone()),
        lease_duration_seconds: i32::try_from(duration.as_secs().max(1)).ok(),
        lease_transitions: Some(claim.transitions),
        renew_time: Some(MicroTime(now)),
        acquire_time: acquired.map(MicroTime),
        ..LeaseSpec::default()
    }
}

const MANAGER: &str = "kong-metrics-exporter";
