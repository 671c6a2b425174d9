//! The mapping as ConfigMaps, in every namespace that is to have it.
//!
//! In: the mapping that counts now, and whether this process leads. Out: ConfigMaps, one for each
//! shard ([`crate::mapping::shards`]). The one decision: what is in the cluster is read before
//! anything is written, and what is there already, byte for byte in what it says, is left alone: no
//! write where nothing changed is no byte for a thousand sidecars. Only who leads writes, and every
//! write rests on the version that was read, so one that comes late is refused.

mod find;
mod place;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::Client;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cluster::lease::Leadership;
use crate::mapping::shards::{self, Contents};
use crate::mapping::{Current, Snapshot};
use crate::metrics::{Published, Publishing};
use crate::telemetry::Chain;

use find::Finder;
use place::{Done, Place};

/// The label of the ConfigMaps; its value is the name of the mapping.
pub const LABEL: &str = "kong-metrics-exporter.io/mapping";

/// What to publish, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of the mapping, with which the names of the ConfigMaps begin.
    pub name: String,
    /// The namespaces to publish in.
    pub namespaces: Vec<String>,
    /// How often to ask for the namespaces of DataPlanes, to publish there as well; `None` for never.
    pub find: Option<Duration>,
    /// At least so long between two publications.
    pub interval: Duration,
    /// How often to make sure that what was published is still there.
    pub check: Duration,
    /// By when a request must have been answered.
    pub answer: Duration,
}

/// Publishes what `current` holds for as long as it is polled and this process leads.
pub async fn run(
    client: Client,
    options: Options,
    current: Current,
    mut leadership: Leadership,
    metrics: Publishing,
) -> Infallible {
    let mut publisher = Publisher { client, options, current, metrics, made: None };
    loop {
        leadership.gained().await;
        publisher.metrics.leads(true);
        let mut until = leadership.clone();
        tokio::select! {
            never = publisher.lead(&leadership) => match never {},
            () = until.lost() => {}
        }
        publisher.metrics.leads(false);
    }
}

struct Publisher {
    client: Client,
    options: Options,
    current: Current,
    metrics: Publishing,
    /// The shards of the newest snapshot.
    made: Option<(Arc<Snapshot>, Arc<Contents>)>,
}

impl Publisher {
    async fn lead(&mut self, leadership: &Leadership) -> Infallible {
        let place = |namespace: &String, publisher: &Self| {
            Place::new(&publisher.client, namespace, &publisher.options, leadership.clone())
        };
        let named = self.options.namespaces.iter();
        let mut places: Vec<_> = named.map(|namespace| place(namespace, self)).collect();
        let answer = self.options.answer;
        let finder = |every| Finder::new(&self.client, every, answer);
        let mut finder = self.options.find.map(finder);
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // What is not known yet is not an empty mapping.
            if !self.current.is_ready() {
                continue;
            }
            if let Some(finder) = &mut finder
                && let Some(mut found) = finder.look().await
            {
                found.extend(self.options.namespaces.iter().cloned());
                places.retain(|place| found.remove(place.namespace()));
                if !found.is_empty() {
                    tracing::info!(namespaces = ?found, "publishing where there are DataPlanes, too");
                }
                places.extend(found.iter().map(|namespace| place(namespace, self)));
            }
            let snapshot = self.current.load();
            for place in &mut places {
                if place.is_due(&snapshot, &self.options, Instant::now()) {
                    let contents = self.contents(&snapshot).await;
                    self.publish(place, &snapshot, &contents).await;
                }
            }
        }
    }

    async fn publish(&self, place: &mut Place, snapshot: &Arc<Snapshot>, contents: &Contents) {
        let namespace = place.namespace().to_owned();
        match place.publish(snapshot, contents).await {
            Ok(done) => {
                let Done { written, removed, bytes, .. } = done;
                let counts = Published { written, removed, bytes };
                self.metrics.published(&namespace, counts, SystemTime::now());
                if written + removed > 0 {
                    let (revision, services) = (done.revision, snapshot.len());
                    tracing::info!(
                        namespace,
                        written,
                        removed,
                        bytes,
                        revision,
                        services,
                        "mapping published"
                    );
                }
            }
            Err(error) => {
                self.metrics.failed(&namespace);
                place.failed(Instant::now());
                let (trouble, again) = (error.trouble(&namespace), place.pause());
                let (reason, remedy) = trouble.map(|t| (t.reason.as_str(), t.remedy)).unzip();
                let error = Chain(&error);
                tracing::warn!(
                    namespace,
                    %error,
                    reason,
                    remedy,
                    ?again,
                    "mapping not published, trying on"
                );
            }
        }
    }

    /// The shards of a snapshot, made once for all namespaces.
    async fn contents(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Contents> {
        if let Some((of, contents)) = &self.made
            && Arc::ptr_eq(of, snapshot)
        {
            return Arc::clone(contents);
        }
        let source = Arc::clone(snapshot);
        // Beside the runtime's thread, which renews the lease meanwhile.
        let made = tokio::task::spawn_blocking(move || shards::contents(&source)).await;
        let contents = Arc::new(made.unwrap_or_else(|_| shards::contents(snapshot)));
        self.metrics.made(&contents);
        if let Some(name) = contents.left_out.first() {
            let count = contents.left_out.len();
            tracing::warn!(count, first = name, "entries left out that no sidecar would take");
        }
        self.made = Some((Arc::clone(snapshot), Arc::clone(&contents)));
        contents
    }
}

/// By when a request of ConfigMaps must have been answered. Longer than the Lease's, for what is sent
/// is larger; who leads no longer gives up sooner.
pub const ANSWER: Duration = Duration::from_secs(15);

/// How often to ask for the namespaces of DataPlanes.
pub const FIND_EVERY: Duration = Duration::from_secs(30);

/// How often to look whether there is something to do.
const LOOK: Duration = Duration::from_millis(500);
