//! What a test has of the cluster: a client that may do everything, namespaces of its own, and
//! objects from YAML. What it has made goes when it ends, however it ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{ApiCapabilities, Scope, pinned_kind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::manifests;
use super::plane::Plane;

/// The cluster as one test sees it.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// The processes, for tests that have the cluster alone.
    pub(crate) plane: &'static Plane,
    /// Of one who may do everything.
    pub(crate) client: Client,
    mine: Arc<Mutex<Mine>>,
}

#[derive(Default)]
struct Mine {
    /// Namespaces, and objects that have none, in the order in which they were made.
    made: Vec<(ApiResource, String)>,
    kinds: HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)>,
}

impl Cluster {
    pub(crate) async fn new(plane: &'static Plane) -> Self {
        Self { plane, client: plane.client().await, mine: Arc::default() }
    }

    /// A new namespace whose name begins with `prefix`.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let metadata = json!({"metadata": {"name": name}});
        let namespace: Namespace = serde_json::from_value(metadata).unwrap();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let kind = ApiResource::erase::<Namespace>(&());
        self.mine.lock().unwrap().made.push((kind, name.clone()));
        name
    }

    /// Applies the documents of `yaml`; those that name no namespace go to `namespace`.
    pub(crate) async fn apply(&self, namespace: &str, yaml: &str) -> Vec<DynamicObject> {
        let mut applied = Vec::new();
        for object in manifests::read(yaml) {
            applied.push(self.apply_object(namespace, object).await);
        }
        applied
    }

    /// Applies the documents of manifests that were written for another namespace, moved into
    /// `namespace`.
    pub(crate) async fn apply_moved(&self, namespace: &str, yaml: &str) -> Vec<DynamicObject> {
        let mut applied = Vec::new();
        for object in manifests::moved(manifests::read(yaml), namespace) {
            applied.push(self.apply_object(namespace, object).await);
        }
        applied
    }

    /// Many objects, some at a time.
    pub(crate) async fn apply_all(&self, namespace: &str, objects: Vec<DynamicObject>) {
        let applying = objects.into_iter().map(|object| self.apply_object(namespace, object));
        futures_util::stream::iter(applying).buffer_unordered(16).for_each(async |_| ()).await;
    }

    /// Applies one object, as the only one who has a say in it.
    pub(crate) async fn apply_object(
        &self,
        namespace: &str,
        object: DynamicObject,
    ) -> DynamicObject {
        let types = object.types.clone().unwrap_or_default();
        let (kind, capabilities) = self.kind(&types.api_version, &types.kind).await;
        let name = object.name_any();
        let api = match capabilities.scope {
            Scope::Cluster => {
                let mut mine = self.mine.lock().unwrap();
                // Definitions are everybody's; to take them away would take their objects away.
                let entry = (kind.clone(), name.clone());
                if kind.kind != "CustomResourceDefinition" && !mine.made.contains(&entry) {
                    mine.made.push(entry);
                }
                Api::all_with(self.client.clone(), &kind)
            }
            Scope::Namespaced => {
                let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
                Api::namespaced_with(self.client.clone(), namespace, &kind)
            }
        };
        let params = PatchParams::apply("tests").force();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .unwrap_or_else(|error| panic!("cannot apply {} {name}: {error}", types.kind))
    }

    /// Stores copies `copy-0` … of an HTTPRoute, labelled `copy: yes`, at a thousand a second or more. They
    /// have all that an API server would have given them: time, managed fields, a uid of their own.
    pub(crate) async fn copy_route(&self, namespace: &str, name: &str, count: usize) {
        let group = "gateway.networking.k8s.io";
        let original = format!("{namespace}/{name}");
        let mut object = self.plane.stored("httproutes", group, &original).await;
        object["metadata"]["labels"] = json!({"copy": "yes"});
        let salt = object["metadata"]["uid"].as_str().unwrap()[..23].to_owned();
        let copies = (0..count).map(|i| {
            let name = format!("copy-{i}");
            object["metadata"]["name"] = json!(name);
            object["metadata"]["uid"] = json!(format!("{salt}-{i:012x}"));
            (format!("{namespace}/{name}"), object.clone())
        });
        self.plane.store("httproutes", group, copies).await;
    }

    /// Writes into the status of HTTPRoutes what Kong's controller does.
    pub(crate) async fn accept_routes(&self, namespace: &str, names: &[String]) {
        let routes = self.api(namespace, "gateway.networking.k8s.io/v1", "HTTPRoute").await;
        let status = json!({"status": {"parents": [{
            "controllerName": "konghq.com/kic-gateway-controller",
            "parentRef": {"name": "kong"},
            "conditions": [{
                "type": "Accepted",
                "status": "True",
                "reason": "Accepted",
                "message": "",
                "lastTransitionTime": "2026-11-26T00:00:00Z",
            }],
        }]}});
        for name in names {
            routes
                .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }

    /// All objects of a kind in a namespace, or all that have none if it is empty.
    pub(crate) async fn api(
        &self,
        namespace: &str,
        api_version: &str,
        kind: &str,
    ) -> Api<DynamicObject> {
        let (kind, _) = self.kind(api_version, kind).await;
        match namespace {
            "" => Api::all_with(self.client.clone(), &kind),
            _ => Api::namespaced_with(self.client.clone(), namespace, &kind),
        }
    }

    /// Whether there is such a version of a group.
    pub(crate) async fn serves(&self, api_version: &str) -> bool {
        self.client.list_api_group_resources(api_version).await.is_ok()
    }

    async fn kind(&self, api_version: &str, kind: &str) -> (ApiResource, ApiCapabilities) {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        if let Some(found) = self.mine.lock().unwrap().kinds.get(&kind) {
            return found.clone();
        }
        let found = pinned_kind(&self.client, &kind)
            .await
            .unwrap_or_else(|error| panic!("the server has no {kind:?}: {error}"));
        self.mine.lock().unwrap().kinds.insert(kind, found.clone());
        found
    }

    /// Takes away what this test has made, without waiting for the end of it.
    pub(crate) async fn clear(&self) {
        let made = std::mem::take(&mut self.mine.lock().unwrap().made);
        for (kind, name) in made.into_iter().rev() {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
            match api.delete(&name, &DeleteParams::background()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => println!("cannot delete {} {name}: {error}", kind.kind),
                Ok(_) => {}
            }
        }
    }
}
