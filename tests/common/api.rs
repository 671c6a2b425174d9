//! A make-believe API server on raw sockets: lists, watches and discovery, and every way to fail.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "connections.rs"]
mod connections;
#[path = "writes.rs"]
mod writes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use kong_metrics_exporter::cluster::resource;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use connections::accept;

/// Holds objects and tells of them. Ends with its last handle.
pub struct Api {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Told of whatever a watch may wait for.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The newest resourceVersion.
    version: u64,
    /// By the path of all objects.
    collections: BTreeMap<String, Collection>,
    /// What is answered on paths that start so, instead of what should be.
    refusals: Vec<(String, u16)>,
    /// Connections are accepted and read, and nothing is ever said.
    is_swallowing: bool,
    /// The connections with a smaller number have been cut.
    cut: u64,
    connections: u64,
    requests: Vec<String>,
    /// Method and path of what was to be written.
    writes: Vec<String>,
    knows_streams: bool,
}

#[derive(Default)]
struct Collection {
    objects: BTreeMap<(String, String), Value>,
    /// (version, type, object), the oldest first.
    log: Vec<(u64, &'static str, Value)>,
    /// What came before is forgotten.
    oldest: u64,
}

impl Api {
    /// One that serves these kinds in the versions that are preferred.
    pub async fn start(kinds: &[ObjectKind]) -> Self {
        let (changed, _) = watch::channel(0);
        let state = State { version: 100, knows_streams: true, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed });
        let mut api = Self { address: ([127, 0, 0, 1], 0).into(), shared, accepting: None };
        for kind in kinds {
            api.serve(*kind);
        }
        api.listen().await;
        api
    }

    /// Listens, again where it has stopped.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
    }

    /// As when the server is killed.
    pub async fn stop(&mut self) {
        if let Some(task) = self.accepting.take() {
            task.abort();
            let _ = task.await;
        }
        self.cut();
    }

    pub fn client(&self) -> Client {
        let url = format!("http://{}", self.address).parse().unwrap();
        Client::try_from(Config::new(url)).unwrap()
    }

    /// A kubeconfig for another process, removed when dropped.
    pub fn kubeconfig(&self) -> Kubeconfig {
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: \
             {{cluster: c, user: u}}}}], clusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}], \
             users: [{{name: u, user: {{token: t}}}}]}}",
            self.address
        );
        let name = format!("kubeconfig-{}-{}", std::process::id(), self.address.port());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Kubeconfig(path)
    }

    /// As when the CRD is created.
    pub fn serve(&self, kind: ObjectKind) {
        self.lock().collections.entry(path(kind)).or_default();
    }

    /// As when the CRD is deleted.
    pub fn remove(&self, kind: ObjectKind) {
        self.lock().collections.remove(&path(kind));
        self.cut();
    }

    /// Creates an object or puts it in the place of what was there. What it lacks of metadata is
    /// filled in.
    pub fn put(&self, kind: ObjectKind, namespace: &str, name: &str, content: Value) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        let best = resource::versions(kind)[0];
        let api_version = format!("{}/{best}", kind.group());
        let api_version = api_version.trim_start_matches('/');
        let mut object = json!({"apiVersion": api_version, "kind": kind.as_str(), "metadata": {}});
        object.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("name".to_owned(), name.into());
        metadata.insert("resourceVersion".to_owned(), version.to_string().into());
        if kind.is_namespaced() {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        let key = (namespace.to_owned(), name.to_owned());
        let collection = state.collections.get_mut(&path(kind)).unwrap();
        let before = collection.objects.insert(key, object.clone());
        let what = if before.is_some() { "MODIFIED" } else { "ADDED" };
        collection.log.push((version, what, object));
        drop(state);
        self.tell();
    }

    pub fn delete(&self, kind: ObjectKind, namespace: &str, name: &str) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        let collection = state.collections.get_mut(&path(kind)).unwrap();
        let key = (namespace.to_owned(), name.to_owned());
        let mut object = collection.objects.remove(&key).unwrap();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        collection.log.push((version, "DELETED", object));
        drop(state);
        self.tell();
    }

    /// Deletes without a word to anybody, and forgets what was: whoever watches has to list anew.
    pub fn delete_and_forget(&self, kind: ObjectKind, namespace: &str, name: &str) {
        let mut state = self.lock();
        let collection = state.collections.get_mut(&path(kind)).unwrap();
        collection.objects.remove(&(namespace.to_owned(), name.to_owned())).unwrap();
        drop(state);
        self.forget();
    }

    /// As when etcd is compacted and the watches are cut.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.version += 10;
        let version = state.version;
        for collection in state.collections.values_mut() {
            collection.log.clear();
            collection.oldest = version;
        }
        drop(state);
        self.cut();
    }

    /// Sends every watch a bookmark.
    pub fn bookmark(&self) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        for collection in state.collections.values_mut() {
            let metadata = json!({"resourceVersion": version.to_string()});
            let bookmark = json!({"apiVersion": "x/v1", "kind": "X", "metadata": metadata});
            collection.log.push((version, "BOOKMARK", bookmark));
        }
        drop(state);
        self.tell();
    }

    /// Answers requests on paths that start so with this status.
    pub fn refuse(&self, path: &str, status: u16) {
        self.lock().refusals.push((path.to_owned(), status));
        self.cut();
    }

    /// Never answers requests on paths that start so.
    pub fn ignore(&self, path: &str) {
        self.refuse(path, NEVER);
    }

    /// Answers them as they should be again.
    pub fn allow(&self, path: &str) {
        self.lock().refusals.retain(|(refused, _)| refused != path);
    }

    /// From now on nothing is said any more, on any connection, and none is closed; or it is again,
    /// on new ones.
    pub fn swallow(&self, is_swallowing: bool) {
        self.lock().is_swallowing = is_swallowing;
    }

    /// As a server that is too old for lists in watches, or has them off.
    pub fn knows_no_streams(&self) {
        self.lock().knows_streams = false;
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let mut state = self.lock();
        state.cut = state.connections;
        drop(state);
        self.tell();
    }

    /// The request lines so far, such as `/api/v1/services?limit=500`.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|count| *count += 1);
    }
}

/// The path of a kubeconfig.
pub struct Kubeconfig(pub PathBuf);

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(task) = self.accepting.take() {
            task.abort();
        }
        self.cut();
    }
}

/// The path of all objects of this kind.
pub fn path(kind: ObjectKind) -> String {
    resource::path(kind, resource::versions(kind)[0], None)
}

fn is_in(object: &Value, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|own| object["metadata"]["namespace"] == own)
}

/// The path without a namespace, and the namespace.
fn all_namespaces(path: &str) -> (String, Option<&str>) {
    match path.split_once("/namespaces/") {
        None => (path.to_owned(), None),
        Some((api, rest)) => {
            let (namespace, plural) = rest.split_once('/').unwrap();
            (format!("{api}/{plural}"), Some(namespace))
        }
    }
}

fn refusal(code: u16) -> Value {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("make-believe {reason}"), "reason": reason, "code": code,
    })
}

impl State {
    fn refusal(&self, path: &str) -> Option<u16> {
        let refusal = self.refusals.iter().find(|(start, _)| path.starts_with(start.as_str()));
        refusal.map(|(_, status)| *status)
    }

    fn collection<'p>(&self, path: &'p str) -> Option<(&Collection, Option<&'p str>)> {
        let (path, namespace) = all_namespaces(path);
        self.collections.get(&path).map(|collection| (collection, namespace))
    }

    /// As the server tells it to those who accept `APIGroupDiscoveryList`.
    fn discovery(&self) -> Value {
        let mut groups = BTreeMap::<&str, BTreeMap<&str, Vec<Value>>>::new();
        for path in self.collections.keys() {
            let Some(path) = path.strip_prefix("/apis/") else { continue };
            let mut parts = path.split('/');
            let (group, version) = (parts.next().unwrap(), parts.next().unwrap());
            let resource =
                json!({"resource": parts.next().unwrap(), "verbs": ["get", "list", "watch"]});
            groups.entry(group).or_default().entry(version).or_default().push(resource);
        }
        let items = groups.into_iter().map(|(group, versions)| {
            let versions = versions.into_iter();
            let versions = versions
                .map(|(version, resources)| json!({"version": version, "resources": resources}));
            json!({"metadata": {"name": group}, "versions": versions.collect::<Vec<_>>()})
        });
        json!({
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {}, "items": items.collect::<Vec<_>>(),
        })
    }
}

impl Collection {
    fn in_namespace(&self, namespace: Option<&str>) -> impl Iterator<Item = &Value> {
        self.objects.values().filter(move |object| is_in(object, namespace))
    }
}

/// The status of no answer.
const NEVER: u16 = 0;
