//! One run: how it is set up and a seed in, a tally of what was compared out, or the first step
//! after which Kong's configuration and our mapping do not agree. The one decision: a step is over
//! when the configuration has its marker and agrees; what does not agree gets until [`PATIENCE`]
//! ends, since the controller works through each kind of object by itself. Nothing changes
//! meanwhile, so what is wrong stays wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kong_metrics_exporter::kubernetes::manifest::{Defaults, Manifests};
use kong_metrics_exporter::kubernetes::{Key, Object};
use kong_metrics_exporter::mapping::Snapshot;
use kong_metrics_exporter::resolve::{self, Index, Settings, Switch};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::Flavor;
use super::book::{Book, SHAPES};
use super::controller::Controller;
use super::fixtures::{CONTROLLER, KINDS, Setup, kong, marker_object, setup_objects};
use super::judge::{Judge, Objects, Seen};
use super::mappings::Mappings;
use super::stream::{Change, Stream, key_of};
use crate::admin::{Admin, Push, entries};
use crate::harness::{APISERVER_ADDRESS, Cluster};

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) steps: usize,
    pub(crate) changes: usize,
    pub(crate) pushes: usize,
    /// How often a configuration with the marker of its step did not agree yet.
    pub(crate) second_looks: usize,
    pub(crate) took: Duration,
    pub(crate) seen: Seen,
}

/// A run under way.
struct Run<'a> {
    cluster: &'a Cluster,
    setup: Setup,
    book: Book,
    stream: Stream,
    objects: Objects,
    settings: Settings,
    index: Index,
    admin: Admin,
    controller: Controller,
    mappings: Mappings,
    seen: Seen,
    second_looks: usize,
    folder: PathBuf,
}

/// So many steps.
pub(crate) async fn run(
    cluster: &Cluster,
    kic: &Path,
    flavor: Flavor,
    seed: u64,
    steps: usize,
) -> Result<Tally, String> {
    let start = Instant::now();
    let mut run = Run::start(cluster, kic, flavor, seed).await?;
    let mut changes = 0;
    for number in 1..=steps {
        let step = run.stream.step(&run.book);
        changes += step.len();
        let told: Vec<_> = step.iter().map(describe).collect();
        let done = run.step(number, step).await;
        done.map_err(|error| format!("step {number} of {told:#?}: {error}"))?;
    }
    run.compare_with_lists().await?;
    Ok(Tally {
        steps,
        changes,
        pushes: run.admin.pushed().borrow().as_ref().map_or(0, |push| push.number),
        second_looks: run.second_looks,
        took: start.elapsed(),
        seen: run.seen,
    })
}

impl<'a> Run<'a> {
    async fn start(
        cluster: &'a Cluster,
        kic: &Path,
        flavor: Flavor,
        seed: u64,
    ) -> Result<Self, String> {
        let system = cluster.namespace("kong").await;
        let namespaces = [cluster.namespace("a").await, cluster.namespace("b").await];
        let setup = Setup { namespaces, class: system.clone(), system };
        let folder = cluster.plane.folder().join("logs").join(&setup.system);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let admin = Admin::start(kong(flavor.has_expressions)).await;
        let switch = |is_on| if is_on { Switch::On } else { Switch::Off };
        let settings = Settings {
            flavor: resolve::Flavor::Kic,
            combined: switch(flavor.is_combined),
            expressions: switch(flavor.has_expressions),
            ingress_class: Some(setup.class.clone()),
            ..Settings::default()
        };
        cluster.define(&KINDS).await;
        for object in setup_objects(&setup) {
            let object = serde_json::from_value(object).map_err(|error| error.to_string())?;
            cluster.apply_object("", object).await;
        }
        let [a, b] = &setup.namespaces;
        let flags = [
            format!("--watch-namespace={a},{b},{}", setup.system),
            format!("--publish-service={}/kong-proxy", setup.system),
            format!("--ingress-class={}", setup.class),
            format!("--gateway-api-controller-name={CONTROLLER}"),
            format!(
                "--feature-gates=GatewayAlpha=true,KongServiceFacade=true,\
                 CombinedServicesFromDifferentHTTPRoutes={}",
                flavor.is_combined
            ),
        ];
        let kubeconfig = cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
        let controller = Controller::start(kic, &kubeconfig, &admin, &folder, &flags);
        let mappings = Mappings::start(cluster, &setup, flavor, &settings).await;
        let mut run = Self {
            cluster,
            book: Book::new(setup.namespaces.clone()),
            stream: Stream::new(setup.clone(), seed),
            setup,
            objects: Objects::new(),
            index: Index::new(settings.clone()),
            settings,
            admin,
            controller,
            mappings,
            seen: Seen::default(),
            second_looks: 0,
            folder,
        };
        for slice in run.book.slices() {
            run.apply(&slice).await?;
        }
        let classes = setup_objects(&run.setup).into_iter().filter(is_read);
        for object in classes {
            run.make(Change::Apply(object)).await?;
        }
        for namespace in run.setup.namespaces.clone() {
            for shape in &SHAPES {
                let service = run.book.service(&namespace, shape, &json!({}));
                run.stream.adopt(&service);
                run.make(Change::Apply(service)).await?;
            }
        }
        run.settle(0).await?;
        Ok(run)
    }

    async fn step(&mut self, number: usize, changes: Vec<Change>) -> Result<(), String> {
        for change in changes {
            self.make(change).await?;
        }
        self.settle(number).await
    }

    /// Makes a change in the cluster, and takes up what the API server has then.
    async fn make(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Apply(object) => {
                let object = self.apply(&object).await?;
                read(&object)?.into_iter().for_each(|object| self.index.apply(object));
                self.objects.insert(key_of(&object), object);
            }
            Change::Delete(key) => {
                if let Some(object) = self.objects.remove(&key) {
                    let api = self.api(&object).await;
                    let name = text(&object["metadata"]["name"]);
                    let deleted = api.delete(name, &DeleteParams::default()).await;
                    deleted.map_err(|error| format!("cannot delete {object}: {error}"))?;
                    self.index.delete(&key);
                }
            }
        }
        Ok(())
    }

    /// Waits until the controller has pushed what agrees with the objects as they are now.
    async fn settle(&mut self, step: usize) -> Result<(), String> {
        let marker = format!("step-{step}");
        self.make(Change::Apply(marker_object(&self.setup, &marker))).await?;
        let marker = format!("{}.{marker}.80", self.setup.system);
        let deadline = Instant::now() + if step == 0 { START } else { PATIENCE };
        // One that Kong refuses, too: its names are those that Kong would have.
        let mut pushed = self.admin.pushed();
        let snapshot = self.index.snapshot();
        let mut differences = vec!["no configuration with the marker".to_owned()];
        loop {
            let push = pushed.borrow_and_update().clone();
            let push = push.filter(|push| has_service(&push.config, &marker));
            if let Some(push) = &push {
                let mut seen = self.seen.clone();
                differences = self.judge(&snapshot, false).differences(&push.config, &mut seen);
                if differences.is_empty() {
                    seen.count(
                        "configurations refused by Kong",
                        usize::from(!push.refusals.is_empty()),
                    );
                    self.seen = seen;
                    return self.compare_mappings(&snapshot, push).await;
                }
                self.second_looks += 1;
            }
            if timeout_at(deadline, pushed.changed()).await.is_err() {
                self.keep(push.as_deref());
                let ended = if self.controller.has_ended() { "the controller ended; " } else { "" };
                let folder = self.folder.display();
                return Err(format!(
                    "{ended}{differences:#?}; objects and configuration are in {folder}"
                ));
            }
        }
    }

    /// Waits until the mappings that came through the API server agree with the configuration, too.
    async fn compare_mappings(&mut self, own: &Snapshot, push: &Push) -> Result<(), String> {
        let start = Instant::now();
        for (through, is_published) in [("watch", false), ("published", true)] {
            let seen = loop {
                let snapshot = match is_published {
                    false => self.mappings.watched(),
                    true => self.mappings.published(),
                };
                let mut seen = Seen::default();
                let judge = self.judge(&snapshot, is_published);
                let mut differences = judge.differences(&push.config, &mut seen);
                if !is_published && !snapshot.iter().eq(own.iter()) {
                    differences.push("it is not what the resolver makes of these objects".into());
                }
                if differences.is_empty() {
                    break seen;
                }
                if start.elapsed() > PATIENCE {
                    self.keep(Some(push));
                    let folder = self.folder.display();
                    return Err(format!("{through}: {differences:#?}; see {folder}"));
                }
                sleep(Duration::from_millis(20)).await;
            };
            self.seen.add(through, &seen);
        }
        Ok(())
    }

    fn judge<'j>(&'j self, snapshot: &'j Snapshot, is_published: bool) -> Judge<'j> {
        let (book, objects, dropped) = (&self.book, &self.objects, self.index.dropped());
        Judge { book, objects, snapshot, is_published, dropped }
    }

    /// What was taken up from each answer is what lists give.
    async fn compare_with_lists(&self) -> Result<(), String> {
        let mut index = Index::new(self.settings.clone());
        let folder =
            |(key, object): (&Key, &Value)| ((key.kind, key.namespace.clone()), object.clone());
        let folders: BTreeMap<_, _> = self.objects.iter().map(folder).collect();
        for like in folders.values() {
            let list = self.api(like).await.list(&ListParams::default()).await;
            for object in list.map_err(|error| error.to_string())?.items {
                let mut object = serde_json::to_value(object).map_err(|error| error.to_string())?;
                for field in ["apiVersion", "kind"] {
                    object[field] = like[field].clone();
                }
                read(&object)?.into_iter().for_each(|object| index.apply(object));
            }
        }
        let lines = |snapshot: &Snapshot| format!("{:#?}", snapshot.iter().collect::<Vec<_>>());
        let (own, listed) = (lines(&self.index.snapshot()), lines(&index.snapshot()));
        (own == listed).then_some(()).ok_or_else(|| format!("{own}\nbut listed\n{listed}"))
    }

    /// Server-side apply: what the object no longer says is gone.
    async fn apply(&self, object: &Value) -> Result<Value, String> {
        let name = text(&object["metadata"]["name"]);
        let params = PatchParams::apply("tests").force();
        let applied = self.api(object).await.patch(name, &params, &Patch::Apply(object)).await;
        let applied = applied.map_err(|error| format!("cannot apply {object}: {error}"))?;
        serde_json::to_value(applied).map_err(|error| error.to_string())
    }

    async fn api(&self, object: &Value) -> kube::Api<kube::core::DynamicObject> {
        let namespace = text(&object["metadata"]["namespace"]);
        self.cluster.api(namespace, text(&object["apiVersion"]), text(&object["kind"])).await
    }

    fn keep(&self, push: Option<&Push>) {
        let objects: Vec<_> = self.objects.values().collect();
        let objects = serde_json::to_string_pretty(&objects).unwrap_or_default();
        let _ = fs::write(self.folder.join("objects.json"), objects);
        if let Some(push) = push {
            let config = serde_json::to_string_pretty(&push.config).unwrap_or_default();
            let _ = fs::write(self.folder.join("config.json"), config);
        }
    }
}

fn has_service(config: &Value, name: &str) -> bool {
    entries(&config["services"]).iter().any(|service| service["name"] == name)
}

fn describe(change: &Change) -> String {
    match change {
        Change::Apply(object) => object.to_string(),
        Change::Delete(Key { kind, namespace, name }) => {
            format!("delete {} {namespace}/{name}", kind.as_str())
        }
    }
}

/// Whether it is one of the objects that a mapping is made of.
fn is_read(object: &Value) -> bool {
    object["kind"] != "Service"
}

/// The object as the API server returned it, as our own types read it.
fn read(object: &Value) -> Result<Vec<Object>, String> {
    let mut manifests = Manifests::default();
    manifests.read(&object.to_string(), Defaults::Keep).map_err(|error| error.to_string())?;
    Ok(manifests.objects)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The controller pushes what has changed five times a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// It has to start and to take up the Gateway first.
const START: Duration = Duration::from_secs(90);
