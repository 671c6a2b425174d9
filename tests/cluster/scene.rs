//! What a fault is played in: a namespace with two Services and a route, a make-believe Kong that
//! prints the names Kong gives to them, and the sidecar between Kong and the test, with the token
//! of the ServiceAccount that `deploy/rbac` ships and the API server behind a proxy.

use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{APISERVER_ADDRESS, Account, Cluster, Proxy};
use crate::http::{self, Answer};
use crate::kong::{Kong, good};
use crate::processes::{Process, exporter, until};

/// A sidecar in a cluster.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) account: Account,
    pub(crate) proxy: Proxy,
    pub(crate) kong: Kong,
    pub(crate) sidecar: Process,
}

impl Scene {
    /// With `--mapping=watch`, and the mapping has come.
    pub(crate) async fn watching(cluster: Cluster) -> Self {
        let scene = Self::starting(cluster, &[]).await;
        scene.until_mapped("shop", "cart").await;
        scene
    }

    /// With `--mapping=watch` and more arguments; the mapping may not be there yet.
    pub(crate) async fn starting(cluster: Cluster, arguments: &[&str]) -> Self {
        let namespace = cluster.namespace("faults").await;
        cluster.apply(&namespace, SERVICES).await;
        cluster.apply(&namespace, &route("shop", "cart")).await;
        let account = Account::of(&cluster, &namespace, RBAC).await;
        let proxy = Proxy::to(APISERVER_ADDRESS).await;
        let kong = Kong::start(good(&exposition(&namespace))).await;
        let sidecar = sidecar(&kong, &account, &proxy, &namespace, arguments).await;
        Self { cluster, namespace, account, proxy, kong, sidecar }
    }

    /// Another sidecar, as one that has just been started.
    pub(crate) async fn another(&self) -> Process {
        sidecar(&self.kong, &self.account, &self.proxy, &self.namespace, &[]).await
    }

    /// The route `name` leads to `service` from now on.
    pub(crate) async fn lead(&self, name: &str, service: &str) {
        self.cluster.apply(&self.namespace, &route(name, service)).await;
    }

    pub(crate) async fn delete_route(&self, name: &str) {
        let routes = self.cluster.api(&self.namespace, GATEWAY_API, "HTTPRoute").await;
        routes.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Takes verbs and kinds away from the sidecar, or gives them back.
    pub(crate) async fn grant(&self, rules: serde_json::Value) {
        let role = format!("kong-metrics-exporter-watch-{}", self.namespace);
        let roles = self.cluster.api("", "rbac.authorization.k8s.io/v1", "ClusterRole").await;
        let patch = Patch::Merge(json!({"rules": rules}));
        roles.patch(&role, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The rules that it has as shipped.
    pub(crate) fn rules() -> serde_json::Value {
        let role = crate::harness::read(RBAC).into_iter();
        let mut rules = role.filter_map(|object| object.data.get("rules").cloned());
        rules.next().unwrap()
    }

    pub(crate) async fn scrape(&self) -> Answer {
        scrape(&self.sidecar).await
    }

    /// What the sample of route `name` says about its Service now.
    pub(crate) async fn service_of(&self, name: &str) -> Option<String> {
        service_of(&self.scrape().await, &self.namespace, name)
    }

    /// Waits until the sidecar knows that the route `name` leads to `service`; says how long.
    pub(crate) async fn until_mapped(&self, name: &str, service: &str) -> Duration {
        let start = Instant::now();
        let what = format!("{name} -> {service}");
        until(&what, async || {
            (self.service_of(name).await.as_deref() == Some(service)).then_some(())
        })
        .await;
        start.elapsed()
    }

    /// Waits until the log has a line with all of `parts`.
    pub(crate) async fn until_logged(&self, parts: &[&str]) -> String {
        until(&format!("a line of the log with {parts:?}"), async || {
            let log = self.sidecar.log();
            let mut lines = log.lines();
            lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
        .await
    }
}

/// What the sample of route `name` in `namespace` says about its Service.
pub(crate) fn service_of(answer: &Answer, namespace: &str, name: &str) -> Option<String> {
    let text = answer.text();
    let kong_service = format!("kong_service=\"httproute.{namespace}.{name}.0\"");
    let line = text.lines().find(|line| line.contains(&kong_service));
    let line = line.unwrap_or_else(|| panic!("no {kong_service} in:\n{text}"));
    let (_, rest) = line.split_once("exported_service=\"")?;
    Some(rest.split_once('"').unwrap().0.to_owned())
}

pub(crate) async fn scrape(sidecar: &Process) -> Answer {
    let answer = http::get(sidecar.address, "/metrics", &[]).await;
    assert!(answer.status() == 200 && answer.is_whole, "{answer:?}");
    answer
}

async fn sidecar(
    kong: &Kong,
    account: &Account,
    proxy: &Proxy,
    namespace: &str,
    arguments: &[&str],
) -> Process {
    let kubeconfig = account.kubeconfig(proxy.address);
    let kubeconfig = format!("--kubernetes.kubeconfig={}", kubeconfig.display());
    let mut all = vec!["--mapping=watch", &kubeconfig];
    all.extend(arguments);
    let _ = namespace;
    exporter(&kong.url(), &all).await
}

/// An HTTPRoute of one rule with one Service.
pub(crate) fn route(name: &str, service: &str) -> String {
    format!(
        "apiVersion: {GATEWAY_API}\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  \
         parentRefs: [{{name: kong, kind: Gateway, group: gateway.networking.k8s.io}}]\n  \
         rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]\n"
    )
}

/// What Kong prints for the routes of these tests.
fn exposition(namespace: &str) -> String {
    let mut text = String::from(
        "# HELP kong_http_requests_total HTTP status codes per consumer/service/route in Kong\n\
         # TYPE kong_http_requests_total counter\n",
    );
    for name in ["copy-0", "copy-9999", "late", "odd", "shop"] {
        let service = format!("httproute.{namespace}.{name}.0");
        text += &format!(
            "kong_http_requests_total{{service=\"{service}\",route=\"{service}.0\",code=\"200\",\
             source=\"service\",workspace=\"default\",consumer=\"\"}} 7\n"
        );
    }
    text
}

pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

const RBAC: &str = include_str!("../../deploy/rbac/watch/rbac.yaml");

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay}
spec: {ports: [{port: 80}]}
";
