//! A mapping that is watched at a make-believe API server, for tests.
#![allow(dead_code)] // not every test uses all of it

use std::collections::BTreeSet;
use std::time::Duration;

use kong_metrics_exporter::cluster::board::{Board, Id, Status};
use kong_metrics_exporter::cluster::follow;
use kong_metrics_exporter::cluster::trouble::Reason;
use kong_metrics_exporter::cluster::watches::Options;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kong_metrics_exporter::mapping::{Current, Label, Tier};
use kong_metrics_exporter::resolve::{Flavor, Settings, Switch};
use kong_metrics_exporter::source::asking::{Asking, asking};
use kong_metrics_exporter::source::needs::Kinds;
use kong_metrics_exporter::source::watch::{self, Config};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::sidecar::eventually;

pub(crate) const ALL: [ObjectKind; 4] =
    [ObjectKind::Service, ObjectKind::HTTPRoute, ObjectKind::ReferenceGrant, ObjectKind::TCPRoute];

/// The mapping that is made of what an API server says.
pub(crate) struct Watching {
    pub(crate) current: Current,
    pub(crate) board: Board,
    pub(crate) asking: Asking,
    task: JoinHandle<()>,
}

impl Watching {
    pub(crate) fn start(api: &Api) -> Self {
        Self::start_with(api, quick())
    }

    pub(crate) fn start_with(api: &Api, config: Config) -> Self {
        let (current, board) = (Current::awaiting(), Board::default());
        let (asking, questions) = asking(config.kinds, &config.settings);
        let task = watch::follow(api.client(), config, current.clone(), board.clone(), questions);
        Self { current, board, asking, task: tokio::spawn(task) }
    }

    /// What stands behind a name: `web/echo web/other`, with `~` where that was once.
    pub(crate) fn find(&self, name: &str) -> Option<String> {
        let snapshot = self.current.load();
        let (entry, tier) = snapshot.find(Label::Service, name)?;
        let backends = entry.backends.iter();
        let backends = backends.map(|one| format!("{}/{}", one.namespace, one.service));
        let backends = backends.collect::<Vec<_>>().join(" ");
        Some(if tier == Tier::Exact { backends } else { format!("~{backends}") })
    }

    pub(crate) async fn until(&self, name: &str, expected: &str) {
        eventually(&format!("{name} -> {expected}"), async || {
            self.find(name).as_deref() == Some(expected)
        })
        .await;
    }

    pub(crate) fn status(&self, kind: ObjectKind) -> Status {
        self.board.watches().remove(&Id { kind, namespace: None }).unwrap_or_default()
    }

    pub(crate) async fn until_open(&self, kind: ObjectKind) {
        eventually(&format!("{kind:?} is open"), async || self.status(kind).is_open).await;
    }

    pub(crate) async fn until_trouble(&self, kind: ObjectKind, reason: Reason) {
        eventually(&format!("{kind:?}: {reason:?}"), async || {
            self.status(kind).trouble == Some(reason)
        })
        .await;
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Kong Ingress Controller as it comes, and no long pauses.
pub(crate) fn quick() -> Config {
    let backoff = follow::Options::default().backoff;
    let following = follow::Options {
        page_size: 3,
        answer: Duration::from_secs(2),
        silence: Duration::from_secs(2),
        backoff: backoff
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(40)),
        ..follow::Options::default()
    };
    Config {
        settings: Settings {
            flavor: Flavor::Kic,
            combined: Switch::Off,
            expressions: Switch::Off,
            ..Settings::default()
        },
        namespaces: BTreeSet::new(),
        kinds: Kinds::All,
        options: Options {
            following,
            look_every: Duration::from_millis(50),
            collect: Duration::from_millis(5),
        },
    }
}

pub(crate) fn spec(backends: &[&str]) -> Value {
    let backend = |name: &&str| match name.split_once('/') {
        Some((namespace, name)) => {
            json!({"kind": "Service", "namespace": namespace, "name": name, "port": 80, "weight": 1})
        }
        None => json!({"kind": "Service", "name": name, "port": 80, "weight": 1}),
    };
    let refs: Vec<_> = backends.iter().map(backend).collect();
    json!({"spec": {"parentRefs": [{"name": "kong"}], "rules": [{"backendRefs": refs}]}})
}

pub(crate) fn route(api: &Api, name: &str, backends: &[&str]) {
    api.put(ObjectKind::HTTPRoute, "web", name, spec(backends));
}

pub(crate) fn service(api: &Api, name: &str) {
    api.put(ObjectKind::Service, "web", name, json!({}));
}

/// A server with a route to a Service each.
pub(crate) async fn cluster(names: &[&str]) -> Api {
    let api = Api::start(&ALL).await;
    for name in names {
        service(&api, name);
        route(&api, name, &[name]);
    }
    api
}
