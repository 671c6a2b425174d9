//! The ConfigMaps of one namespace.
//!
//! In: what they are to hold. Out: requests to the API server, as few as will do. The one decision:
//! after anything that went wrong, nothing is believed of what was known; all is read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use crate::cluster::lease::Leadership;
use crate::cluster::publish::{LABEL, Options};
use crate::cluster::trouble::{Attempt, Trouble, Unanswered, within};
use crate::mapping::Snapshot;
use crate::mapping::shards::{Content, Contents, Published, TooLarge, plan};

/// One namespace, and what is known to be published there.
pub(super) struct Place {
    config_maps: Api<ConfigMap>,
    namespace: String,
    /// The name of the mapping.
    name: String,
    leadership: Leadership,
    /// By when a request must have been answered.
    answer: Duration,
    /// `None` where it has to be read.
    there: Option<BTreeMap<u32, There>>,
    /// The snapshot that was published last.
    published: Option<Arc<Snapshot>>,
    flushed: Option<Instant>,
    checked: Instant,
    failures: u32,
}

/// A ConfigMap of ours.
struct There {
    version: String,
    /// `None` where it is no shard.
    shard: Option<Published>,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) written: usize,
    pub(super) removed: usize,
    pub(super) bytes: usize,
    pub(super) revision: u64,
}

/// Why a namespace has not all of the mapping.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot list the ConfigMaps with the label {LABEL}")]
    List(#[source] Unanswered),
    #[error("cannot write ConfigMap {name}")]
    Write { name: String, source: Unanswered },
    #[error("cannot delete ConfigMap {name}")]
    Delete { name: String, source: Unanswered },
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("another process leads")]
    NotLeading,
}

impl Error {
    /// What it means to the person who has to do something about it; `None` where nobody has to.
    pub(super) fn trouble(&self, namespace: &str) -> Option<Trouble> {
        let source = match self {
            Self::List(source) | Self::Write { source, .. } | Self::Delete { source, .. } => source,
            Self::TooLarge(_) | Self::NotLeading => return None,
        };
        let (group, resource, namespace) = ("", "configmaps", Some(namespace));
        Some(source.trouble(&Attempt { verbs: VERBS, group, resource, namespace }))
    }
}

impl Place {
    pub(super) fn new(
        client: &Client,
        namespace: &str,
        options: &Options,
        leadership: Leadership,
    ) -> Self {
        Self {
            config_maps: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: options.name.clone(),
            leadership,
            answer: options.answer,
            there: None,
            published: None,
            flushed: None,
            checked: Instant::now(),
            failures: 0,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether there is something to do now.
    pub(super) fn is_due(&self, snapshot: &Arc<Snapshot>, options: &Options, now: Instant) -> bool {
        let has_changed = self.published.as_ref().is_none_or(|one| !Arc::ptr_eq(one, snapshot));
        let pause = options.interval.max(self.pause());
        let may = self.flushed.is_none_or(|flushed| now >= flushed + pause);
        may && (has_changed || self.failures > 0 || now >= self.checked + options.check)
    }

    /// How long to wait after a failure.
    pub(super) fn pause(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => MIN_PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(MAX_PAUSE),
        }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.flushed = Some(now);
        self.there = None;
    }

    /// Makes it so that the namespace has these shards and no others.
    pub(super) async fn publish(
        &mut self,
        snapshot: &Arc<Snapshot>,
        contents: &Contents,
    ) -> Result<Done, Error> {
        if !self.is_as_known().await? {
            self.there = None;
        }
        let mut there = match self.there.take() {
            Some(there) => there,
            None => self.read().await?,
        };
        self.checked = Instant::now();
        let shards = there.iter().map(|(number, one)| (*number, one.shard)).collect();
        let plan = plan(&shards, &contents.shards);
        let mut done = Done { revision: plan.revision, ..Done::default() };
        let mut too_large = None;
        for content in plan.write {
            let number = content.region().number();
            let version = there.get(&number).map(|one| one.version.clone());
            let (bytes, version) = match self.write(content, plan.revision, version).await {
                Err(Error::TooLarge(one)) => {
                    too_large = Some(one);
                    continue;
                }
                written => written?,
            };
            let shard = Some(Published::as_written(content, plan.revision));
            there.insert(number, There { version, shard });
            done.written += 1;
            done.bytes += bytes;
        }
        if let Some(too_large) = too_large {
            // Its names may still be where something would be removed.
            return Err(too_large.into());
        }
        for number in plan.remove {
            if let Some(one) = there.remove(&number) {
                self.remove(number, one.version).await?;
                done.removed += 1;
            }
        }
        self.there = Some(there);
        self.published = Some(Arc::clone(snapshot));
        self.flushed = Some(Instant::now());
        self.failures = 0;
        Ok(done)
    }

    /// Whether nobody else has written since. Asks for metadata alone.
    async fn is_as_known(&self) -> Result<bool, Error> {
        let Some(there) = &self.there else { return Ok(false) };
        let selector = self.selector();
        let listing = self.config_maps.list_metadata(&selector);
        let listed = within(self.answer, listing).await.map_err(Error::List)?;
        let versions: BTreeMap<_, _> = listed
            .items
            .iter()
            .filter_map(|one| Some((self.number(&one.name_any())?, one.resource_version()?)))
            .collect();
        Ok(versions.len() == there.len()
            && there.iter().all(|(number, one)| versions.get(number) == Some(&one.version)))
    }

    async fn read(&self) -> Result<BTreeMap<u32, There>, Error> {
        let selector = self.selector();
        let listing = self.config_maps.list(&selector);
        let listed = within(self.answer, listing).await.map_err(Error::List)?;
        let mut there = BTreeMap::new();
        for one in listed.items {
            let name = one.name_any();
            let Some(number) = self.number(&name) else {
                let namespace = &self.namespace;
                tracing::warn!(namespace, name, "ConfigMap has our label, but is none of ours");
                continue;
            };
            let version = one.resource_version().unwrap_or_default();
            let data = one.binary_data.unwrap_or_default().remove(&self.key(number));
            let shard = data.and_then(|ByteString(bytes)| Published::of(&bytes).ok());
            there.insert(number, There { version, shard });
        }
        Ok(there)
    }

    /// The size and the version of what was written.
    async fn write(
        &mut self,
        content: &Content,
        revision: u64,
        version: Option<String>,
    ) -> Result<(usize, String), Error> {
        let number = content.region().number();
        let name = self.config_map(number);
        let bytes = content.pack(revision)?;
        let size = bytes.len();
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(BTreeMap::from([
                    (LABEL.to_owned(), self.name.clone()),
                    (MANAGED_BY.to_owned(), MANAGER.to_owned()),
                ])),
                // One that is written by somebody else meanwhile is not overwritten.
                resource_version: version,
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(self.key(number), ByteString(bytes))])),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&config_map);
        let writing = within(self.answer, self.config_maps.patch(&name, &params, &patch));
        let written = self.leadership.while_held(writing).await;
        match written.ok_or(Error::NotLeading)? {
            Ok(one) => Ok((size, one.resource_version().unwrap_or_default())),
            Err(source) => Err(Error::Write { name, source }),
        }
    }

    async fn remove(&mut self, number: u32, version: String) -> Result<(), Error> {
        let name = self.config_map(number);
        let preconditions = Preconditions { resource_version: Some(version), uid: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let deleting = within(self.answer, self.config_maps.delete(&name, &params));
        let deleted = self.leadership.while_held(deleting).await;
        match deleted.ok_or(Error::NotLeading)? {
            Ok(_) => Ok(()),
            Err(Unanswered::Error(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Delete { name, source }),
        }
    }

    fn selector(&self) -> ListParams {
        ListParams::default().labels(&format!("{LABEL}={}", self.name))
    }

    fn config_map(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }

    fn key(&self, number: u32) -> String {
        format!("{}-{number}.gz", self.name)
    }

    fn number(&self, config_map: &str) -> Option<u32> {
        let number: u32 = config_map.strip_prefix(&*self.name)?.strip_prefix('-')?.parse().ok()?;
        // As it is written, without a sign or zeros before it.
        (self.config_map(number) == config_map).then_some(number)
    }
}

/// The field manager.
const MANAGER: &str = "kong-metrics-exporter";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

const MIN_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// All that a role has to allow, though a request takes but one or two of them.
const VERBS: &str = "get, list, create, patch, delete";
