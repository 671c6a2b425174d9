//! A namespace with a real Kong Ingress Controller that sees it and nothing else. In: objects. Out:
//! every configuration that is pushed, with its time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::admin::{Admin, Push, entries};
use crate::harness::{APISERVER_ADDRESS, Cluster};
use crate::processes::until;
use crate::translator::controller::Controller;
use crate::translator::fixtures::{CONTROLLER, KINDS, Setup, kong, marker_object, setup_objects};

/// One of two that are given the same objects.
pub(super) struct Twin {
    cluster: Cluster,
    pub(super) setup: Setup,
    _admin: Admin,
    kic: Controller,
    seen: Arc<Mutex<Vec<Seen>>>,
    listening: JoinHandle<()>,
}

/// A configuration that was pushed.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) at: Instant,
    /// The names of its routes, with `NS` for the namespace.
    pub(super) routes: BTreeSet<String>,
    pub(super) push: Arc<Push>,
}

impl Twin {
    pub(super) async fn start(cluster: &Cluster, kic: &Path, name: &str) -> Self {
        let system = cluster.namespace(&format!("{name}-kong")).await;
        let namespace = cluster.namespace(name).await;
        let namespaces = [namespace.clone(), namespace.clone()];
        let setup = Setup { namespaces, class: system.clone(), system };
        let folder = cluster.plane.folder().join("logs").join(&setup.system);
        fs::create_dir_all(&folder).unwrap();
        cluster.define(&KINDS).await;
        for object in setup_objects(&setup) {
            cluster.apply_object("", serde_json::from_value(object).unwrap()).await;
        }
        let flags = [
            format!("--watch-namespace={namespace},{}", setup.system),
            format!("--publish-service={}/kong-proxy", setup.system),
            format!("--ingress-class={}", setup.class),
            format!("--gateway-api-controller-name={CONTROLLER}"),
            "--feature-gates=GatewayAlpha=true".to_owned(),
        ];
        let admin = Admin::start(kong(false)).await;
        let kubeconfig = cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
        let kic = Controller::start(kic, &kubeconfig, &admin, &folder, &flags);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut pushed = admin.pushed();
        let (all, own) = (Arc::clone(&seen), namespace);
        let listening = tokio::spawn(async move {
            while pushed.changed().await.is_ok() {
                let Some(push) = pushed.borrow_and_update().clone() else { continue };
                let routes = routes_of(&push.config, &own);
                all.lock().unwrap().push(Seen { at: Instant::now(), routes, push });
            }
        });
        Self { cluster: cluster.clone(), setup, _admin: admin, kic, seen, listening }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.setup.namespaces[0]
    }

    pub(super) async fn apply(&self, object: &Value) {
        let mut object = object.clone();
        if let Some(parents) = object.pointer_mut("/spec/parentRefs") {
            *parents = json!([{"name": "kong", "namespace": self.setup.system}]);
        }
        if let Some(class) = object.pointer_mut("/spec/ingressClassName") {
            *class = json!(self.setup.class);
        }
        let object = serde_json::from_value(object).unwrap();
        self.cluster.apply_object(self.namespace(), object).await;
    }

    pub(super) async fn delete(&self, kind: &str, name: &str) {
        let _ = self.api(kind).await.delete(name, &DeleteParams::default()).await;
    }

    /// The same, until it is gone.
    pub(super) async fn delete_for_good(&self, kind: &str, name: &str) {
        self.delete(kind, name).await;
        let api = self.api(kind).await;
        until(&format!("{kind} {name} is gone"), async || {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Puts the annotation there, whatever was there before, or behind it.
    pub(super) async fn annotate(&self, kind: &str, name: &str, key: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let params = PatchParams::default();
        let api = self.api(kind).await;
        let patched: Result<DynamicObject, _> =
            api.patch(name, &params, &Patch::Merge(&patch)).await;
        patched.unwrap_or_else(|error| panic!("cannot annotate {kind} {name}: {error}"));
    }

    pub(super) async fn annotation(&self, kind: &str, name: &str, key: &str) -> Option<String> {
        let object: Option<DynamicObject> = self.api(kind).await.get_opt(name).await.unwrap();
        object?.metadata.annotations?.remove(key)
    }

    pub(super) async fn mark(&self, step: usize) {
        let marker = marker_object(&self.setup, &format!("step-{step}"));
        self.cluster.apply_object("", serde_json::from_value(marker).unwrap()).await;
    }

    /// The configuration that was pushed last, if it is of this step.
    pub(super) fn last(&self, step: usize) -> Option<Seen> {
        let last = self.seen.lock().unwrap().last().cloned()?;
        let marker = format!("{}.step-{step}.80", self.setup.system);
        let services = entries(&last.push.config["services"]);
        services.iter().any(|service| service["name"] == marker).then_some(last)
    }

    /// What was pushed since then.
    pub(super) fn since(&self, then: Instant) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.at >= then).cloned().collect()
    }

    /// Drops what need not be known any more.
    pub(super) fn forget(&self) {
        let mut seen = self.seen.lock().unwrap();
        let all_but_last = seen.len().saturating_sub(1);
        seen.drain(..all_but_last);
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.kic.has_ended()
    }

    async fn api(&self, kind: &str) -> Api<DynamicObject> {
        self.cluster.api(self.namespace(), super::api_version(kind), kind).await
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The object that a route was made from.
pub(super) fn object_of(route: &str) -> &str {
    let mut parts = route.split('.');
    let is_http = parts.next() == Some("httproute");
    parts.nth(usize::from(is_http)).unwrap_or_default()
}

fn routes_of(config: &Value, namespace: &str) -> BTreeSet<String> {
    let services = entries(&config["services"]).iter();
    let routes = services.flat_map(|service| entries(&service["routes"]));
    let names = routes.filter_map(|route| route["name"].as_str());
    let (own, marked) = (format!("{namespace}."), "NS.");
    names.filter(|name| name.contains(&own)).map(|name| name.replace(&own, marked)).collect()
}
