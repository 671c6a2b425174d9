//! `controller`, with the token of its ServiceAccount and the roles of `deploy/rbac/controller`,
//! against a real API server with Kong's real definitions.

mod attach;
mod faults;
mod gateway;
mod life;
mod replicas;
mod rest;
mod scale;

use std::fs;
use std::path::Path;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Gate, Sent, Test};
use crate::http;
use crate::processes::{self, Process, until};

pub(crate) fn tests() -> Vec<Test> {
    let modules = [
        life::tests(),
        attach::tests(),
        faults::tests(),
        replicas::tests(),
        rest::tests(),
        scale::tests(),
        gateway::tests(),
    ];
    modules.into_iter().flatten().collect()
}

/// A namespace with a controller's rights and a gate for what it writes.
struct Scene {
    cluster: Cluster,
    namespace: String,
    account: Account,
    gate: Gate,
}

impl Scene {
    async fn new(cluster: Cluster) -> Self {
        let namespace = cluster.namespace("controlled").await;
        let account = Account::of(&cluster, &namespace, &manifest()).await;
        let gate = Gate::of(&cluster, &account).await;
        Self { cluster, namespace, account, gate }
    }

    /// A controller that sees this namespace and no other, since other tests have theirs.
    async fn controller(&self, arguments: &[&str]) -> Process {
        let usual = [
            "controller",
            "--web.listen-address=127.0.0.1:0",
            "--operator.wait=0s",
            &format!("--namespaces={}", self.namespace),
            &format!("--lease.namespace={}", self.namespace),
            &format!("--kubernetes.kubeconfig={}", self.gate.kubeconfig()),
        ];
        processes::command(&[&usual, arguments].concat()).await
    }

    /// Takes the Lease away, so that the next controller need not wait for it to run out.
    async fn forget_lease(&self) {
        let leases = self.cluster.api(&self.namespace, "coordination.k8s.io/v1", "Lease").await;
        match leases.delete(LEASE, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("cannot delete Lease {LEASE}: {error}"),
            Ok(_) => {}
        }
    }

    async fn apply(&self, yaml: &str) {
        self.cluster.apply(&self.namespace, yaml).await;
    }

    async fn find(&self, kind: &str, name: &str) -> Option<Value> {
        let api = self.cluster.api(&self.namespace, api_version(kind), kind).await;
        let found: Option<DynamicObject> = api.get_opt(name).await.unwrap();
        found.map(|found| serde_json::to_value(found).unwrap())
    }

    async fn patch(&self, kind: &str, name: &str, patch: Value) {
        let api = self.cluster.api(&self.namespace, api_version(kind), kind).await;
        let params = PatchParams::default();
        let patched: Result<DynamicObject, _> =
            api.patch(name, &params, &Patch::Merge(&patch)).await;
        patched.unwrap_or_else(|error| panic!("cannot patch {kind} {name}: {error}"));
    }

    async fn annotate(&self, kind: &str, name: &str, key: &str, value: Option<&str>) {
        self.patch(kind, name, json!({"metadata": {"annotations": {key: value}}})).await;
    }

    async fn delete(&self, kind: &str, name: &str) {
        let api = self.cluster.api(&self.namespace, api_version(kind), kind).await;
        let params = DeleteParams::default();
        let deleted: Result<_, kube::Error> = api.delete(name, &params).await;
        deleted.unwrap_or_else(|error| panic!("cannot delete {kind} {name}: {error}"));
    }

    /// The same, where somebody else may have been faster.
    async fn try_delete(&self, kind: &str, name: &str) {
        let api = self.cluster.api(&self.namespace, api_version(kind), kind).await;
        let _ = api.delete(name, &DeleteParams::default()).await;
    }

    async fn annotation(&self, kind: &str, name: &str, key: &str) -> Option<String> {
        let object = self.find(kind, name).await?;
        object["metadata"]["annotations"][key].as_str().map(str::to_owned)
    }

    /// Waits until `konghq.com/plugins` of an object is so.
    async fn until_listed(&self, kind: &str, name: &str, list: Option<&str>) {
        until(&format!("{kind} {name} lists {list:?}"), async || {
            let now = self.annotation(kind, name, PLUGINS).await;
            (now.as_deref() == list).then_some(())
        })
        .await;
    }

    /// Waits until all is as it was.
    async fn until_as(&self, before: &[Value]) {
        until("all is as before", async || (self.content().await == before).then_some(())).await;
    }

    /// Waits until there is no such object.
    async fn until_gone(&self, kind: &str, name: &str) {
        until(&format!("{kind} {name} is gone"), async || {
            self.find(kind, name).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits for what the annotation of status says of a Service.
    async fn until_told(&self, extension: &str, service: &str, state: &str) -> Value {
        let kind = "DataPlaneMetricsExtension";
        until(&format!("{service} is {state} for {extension}"), async || {
            let told = self.annotation(kind, extension, STATUS).await?;
            let told: Value = serde_json::from_str(&told).unwrap();
            (told["services"][service]["state"] == state).then_some(told)
        })
        .await
    }

    /// Waits until a controller that leads has nothing left to do.
    async fn until_settled(&self, controller: &Process) {
        until("nothing is left to be done", async || {
            let metrics = http::get(controller.address, "/metrics", &[]).await;
            let is = |series: &str| metrics.sample(series);
            (is("kong_exporter_controller_leader") == 1.0
                && is("kong_exporter_controller_pending_writes") == 0.0
                && is("kong_exporter_controller_last_success_timestamp_seconds") > 0.0)
                .then_some(())
        })
        .await;
    }

    /// What there is in the namespace that a controller may have changed, but for versions and for
    /// what is told in annotations of status.
    async fn content(&self) -> Vec<Value> {
        let mut content = Vec::new();
        for kind in ["Service", "HTTPRoute", "KongPlugin", "DataPlaneMetricsExtension"] {
            let api = self.cluster.api(&self.namespace, api_version(kind), kind).await;
            let listed = api.list(&kube::api::ListParams::default()).await.unwrap();
            for object in listed.items {
                let mut value = serde_json::to_value(object).unwrap();
                let metadata = &value["metadata"];
                let mut annotations = metadata["annotations"].clone();
                if let Some(annotations) = annotations.as_object_mut() {
                    annotations.remove(STATUS);
                }
                let is_empty = annotations.as_object().is_none_or(serde_json::Map::is_empty);
                value["metadata"] = json!({
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "labels": metadata["labels"],
                    "finalizers": metadata["finalizers"],
                    "annotations": if is_empty { Value::Null } else { annotations },
                });
                value.as_object_mut().unwrap().remove("status");
                content.push(value);
            }
        }
        content
    }

    /// Asserts that the roles of `deploy/rbac` gave all the rights that were needed.
    fn was_never_denied(&self) {
        let requests = self.cluster.requests(&self.account);
        let denied = requests.iter().find(|request| request.response_status.code == 403);
        assert!(denied.is_none(), "{denied:?}");
        assert!(!requests.is_empty());
    }
}

/// `PATCH services/echo` for each write that came through.
fn spelled(writes: &[Sent]) -> Vec<String> {
    let through = writes.iter().filter(|sent| (200..300).contains(&sent.status));
    through
        .map(|sent| {
            let (_, rest) = sent.path.split_once("/namespaces/").unwrap();
            let (_, rest) = rest.split_once('/').unwrap();
            format!("{} {rest}", sent.method)
        })
        .collect()
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Service" => "v1",
        "HTTPRoute" => "gateway.networking.k8s.io/v1",
        "Ingress" => "networking.k8s.io/v1",
        "KongPlugin" => "configuration.konghq.com/v1",
        "DataPlaneMetricsExtension" => "gateway-operator.konghq.com/v1alpha1",
        "ControlPlane" | "GatewayConfiguration" => "gateway-operator.konghq.com/v2beta1",
        _ => panic!("{kind}?"),
    }
}

fn manifest() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rbac/controller/rbac.yaml");
    fs::read_to_string(path).unwrap()
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{ports: [{{port: 80}}], selector: {{app: {name}}}}}\n---\n"
    )
}

/// An HTTPRoute of one rule with these Services.
fn route(name: &str, services: &[&str]) -> String {
    let backends = services.iter().map(|service| format!("{{name: {service}, port: 80}}"));
    let backends = backends.collect::<Vec<_>>().join(", ");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec: {{parentRefs: [{{name: kong}}], rules: [{{backendRefs: [{backends}]}}]}}\n---\n"
    )
}

/// An extension that counts by itself.
fn marked(name: &str, services: &[&str]) -> String {
    let label = "labels: {kong-metrics-exporter.io/managed: \"true\"}";
    extension(name, services).replace("metadata: {", &format!("metadata: {{{label}, "))
}

fn extension(name: &str, services: &[&str]) -> String {
    let services = services.iter().map(|service| format!("{{name: {service}}}"));
    let services = services.collect::<Vec<_>>().join(", ");
    format!(
        "apiVersion: gateway-operator.konghq.com/v1alpha1\nkind: DataPlaneMetricsExtension\n\
         metadata: {{name: {name}}}\n\
         spec: {{serviceSelector: {{matchNames: [{services}]}}, config: {{latency: true}}}}\n---\n"
    )
}

const PLUGINS: &str = "konghq.com/plugins";
const STATUS: &str = "kong-metrics-exporter.io/status";
const LEASE: &str = "kong-metrics-exporter-controller";
