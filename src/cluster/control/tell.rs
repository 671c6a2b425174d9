//! Events, so that `kubectl describe` says what became of an extension and its Services.
//!
//! In: events of plans that have been carried out. Out: Events in the API server, one at a time,
//! beside the writes. The one decision: an event is worth less than a write. Those that do not come
//! through are lost, of too many about one object a few stand for all, and none is ever told again:
//! what has been told is in the annotation of status, which counts.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Told;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::cluster::resource;
use crate::cluster::trouble::{Attempt, Trouble, within};
use crate::controller::status::Event;
use crate::kubernetes::Key;
use crate::metrics::Controlling;
use crate::telemetry::Chain;

/// Takes events and has them sent.
pub(super) struct Teller {
    queue: mpsc::Sender<Told>,
    identity: String,
    metrics: Controlling,
}

impl Teller {
    /// Sends for as long as it is there. Has to be called in a tokio runtime.
    pub(super) fn new(client: Client, identity: &str, metrics: Controlling) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(send(client, waiting, metrics.clone()));
        Self { queue, identity: identity.to_owned(), metrics }
    }

    /// Tells these. `reference` gives the version and the uid of an object.
    pub(super) fn tell(
        &self,
        events: Vec<Event>,
        reference: impl Fn(&Key) -> (Option<&'static str>, Option<String>),
    ) {
        let mut counts = BTreeMap::<Key, usize>::new();
        let mut left_out = BTreeMap::<Key, usize>::new();
        for event in events {
            let count = counts.entry(event.about.clone()).or_default();
            *count += 1;
            if *count > MAX_ABOUT_ONE {
                *left_out.entry(event.about).or_default() += 1;
                continue;
            }
            self.queue(&event, &reference);
        }
        for (about, count) in left_out {
            let note = format!("and {count} more; the annotation of status has them all");
            let reason = "More".to_owned();
            let event = Event { about, related: None, is_warning: false, reason, note };
            self.queue(&event, &reference);
        }
    }

    fn queue(
        &self,
        event: &Event,
        reference: impl Fn(&Key) -> (Option<&'static str>, Option<String>),
    ) {
        let object = |key: &Key| {
            let (version, uid) = reference(key);
            ObjectReference {
                api_version: version
                    .map(|version| resource::api_resource(key.kind, version).api_version),
                kind: Some(key.kind.as_str().to_owned()),
                namespace: Some(key.namespace.to_string()),
                name: Some(key.name.to_string()),
                uid,
                ..ObjectReference::default()
            }
        };
        let now = Timestamp::now();
        let name = event.about.name.get(..MAX_NAME).unwrap_or(&event.about.name);
        let told = Told {
            metadata: ObjectMeta {
                namespace: Some(event.about.namespace.to_string()),
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(if event.is_warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(event.reason.clone()),
            note: Some(event.note.clone()),
            action: Some("Plan".to_owned()),
            regarding: Some(object(&event.about)),
            related: event.related.as_ref().map(object),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.identity.chars().take(MAX_INSTANCE).collect()),
            ..Told::default()
        };
        if self.queue.try_send(told).is_err() {
            self.metrics.event(Controlling::LOST);
        }
    }
}

async fn send(client: Client, mut waiting: mpsc::Receiver<Told>, metrics: Controlling) {
    let mut told = None;
    while let Some(event) = waiting.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let events: Api<Told> = Api::namespaced(client.clone(), &namespace);
        match within(ANSWER, events.create(&PostParams::default(), &event)).await {
            Ok(_) => {
                metrics.event(Controlling::SENT);
                told = None;
            }
            Err(error) => {
                metrics.event(Controlling::FAILED);
                let attempt = Attempt {
                    verbs: "create",
                    group: "events.k8s.io",
                    resource: "events",
                    namespace: None,
                };
                let Trouble { reason, remedy } = error.trouble(&attempt);
                // The same trouble is told once.
                if told.replace(reason) != Some(reason) {
                    let (error, reason) = (Chain(&error), reason.as_str());
                    tracing::warn!(%error, reason, remedy, "events are lost");
                }
            }
        }
    }
}

/// The name under which events are reported.
const CONTROLLER: &str = "kong-metrics-exporter.io/controller";

/// So many wait; of more, the newest are lost.
const QUEUE: usize = 4096;

/// Of one plan.
const MAX_ABOUT_ONE: usize = 20;

/// Of an object's name in that of an event, which has a time besides.
const MAX_NAME: usize = 200;

/// The API's limit.
const MAX_INSTANCE: usize = 128;

const ANSWER: Duration = Duration::from_secs(10);
