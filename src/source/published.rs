//! The ConfigMaps that `publish` writes, followed in one namespace.
//!
//! In: ConfigMaps of one label. Out: snapshots into [`Current`]. The one decision: one ConfigMap is
//! one shard, whatever its name; what is in it says the rest. Nothing of a ConfigMap is kept, and
//! an API server that cannot be reached takes nothing away.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::ByteString;
use kube::Client;
use serde::Deserialize;
use tokio::time::interval;
use tracing::{debug, info, warn};

use crate::cluster::follow::{Event, Failure, Follower, Name, Options, Target};
use crate::cluster::publish::LABEL;
use crate::cluster::trouble::{Attempt, Reason, Trouble};
use crate::mapping::Current;
use crate::metrics::Shards;
use crate::source::file::Reload;
use crate::source::shards::{News, Receiver};
use crate::telemetry::Chain;

/// Follows the ConfigMaps of the mapping of this name in this namespace for as long as it is polled,
/// and tells `on_reload` of each change.
pub async fn follow(
    client: Client,
    namespace: &str,
    name: &str,
    options: Options,
    current: Current,
    shards: Shards,
    on_reload: impl FnMut(Reload),
) -> Infallible {
    info!(namespace, mapping = name, "following the published mapping");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let target = Target { path, labels: Some(format!("{LABEL}={name}")) };
    let receiver = Receiver::new(current.clone(), shards.clone());
    let namespace = namespace.to_owned();
    let (told, listed, trouble) = (shards.clone(), None, None);
    let mut published = Published { receiver, shards: told, namespace, listed, trouble, on_reload };
    tokio::select! {
        never = published.follow(Follower::new(client, target, options, read)) => never,
        never = forget(current) => never,
    }
}

struct Published<F> {
    receiver: Receiver,
    shards: Shards,
    namespace: String,
    /// While a list is coming in.
    listed: Option<Vec<(String, Vec<u8>)>>,
    /// What was told last of the API server.
    trouble: Option<Reason>,
    on_reload: F,
}

impl<F: FnMut(Reload)> Published<F> {
    async fn follow<R>(&mut self, mut follower: Follower<ConfigMap, R>) -> Infallible
    where
        R: Fn(&str) -> serde_json::Result<ConfigMap>,
    {
        loop {
            let event = follower.next().await;
            if !matches!(event, Event::Failed(_)) {
                self.shards.heard(SystemTime::now());
            }
            match event {
                Event::Init => self.listed = Some(Vec::new()),
                Event::InitApply(one) => {
                    let listed = self.listed.get_or_insert_default();
                    listed.push((one.metadata.name.clone(), one.shard()));
                }
                Event::InitDone => {
                    let listed = self.listed.take().unwrap_or_default();
                    self.take(News::All(listed)).await;
                }
                Event::Apply(one) => {
                    let name = one.metadata.name.clone();
                    self.take(News::One(name, one.shard())).await;
                }
                Event::Delete(Name { name, .. }) => self.take(News::Gone(name)).await,
                Event::Alive => {
                    if self.trouble.take().is_some() {
                        info!("the published mapping is being watched again");
                    }
                }
                Event::Unreadable { name, error } => {
                    warn!(%name, %error, "ConfigMap cannot be read");
                    // It is there, and is no shard.
                    match &mut self.listed {
                        Some(listed) => listed.push((name.name, Vec::new())),
                        None => self.take(News::One(name.name, Vec::new())).await,
                    }
                }
                Event::Failed(failure) => self.failed(&failure),
            }
        }
    }

    /// The same trouble is told once.
    fn failed(&mut self, failure: &Failure) {
        let (group, resource, namespace) = ("", "configmaps", Some(&*self.namespace));
        let attempt = Attempt { verbs: "list, watch", group, resource, namespace };
        let Trouble { reason, remedy } = Trouble::of_failure(failure, &attempt);
        let (error, told) = (Chain(failure), reason.as_str());
        if reason.is_usual() || self.trouble == Some(reason) {
            debug!(%error, reason = told, "published mapping not watched now");
            return;
        }
        warn!(%error, reason = told, remedy, "published mapping not watched, the last one stays");
        self.trouble = Some(reason);
    }

    async fn take(&mut self, news: News) {
        self.receiver.take(news).await.into_iter().for_each(&mut self.on_reload);
    }
}

/// Drops retained names whose hour is over, also where nothing changes any more.
async fn forget(current: Current) -> Infallible {
    let mut ticks = interval(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        current.forget(Instant::now());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap {
    metadata: Metadata,
    #[serde(default)]
    binary_data: BTreeMap<String, ByteString>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

impl ConfigMap {
    /// Its only piece of data. Without one, or with several, it is no shard, which the empty one
    /// says.
    fn shard(self) -> Vec<u8> {
        let mut data = self.binary_data.into_values();
        match (data.next(), data.next()) {
            (Some(ByteString(bytes)), None) => bytes,
            _ => Vec::new(),
        }
    }
}

fn read(json: &str) -> serde_json::Result<ConfigMap> {
    serde_json::from_str(json)
}
