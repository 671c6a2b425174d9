//! The blocks of shell in README.md and docs/, run as they stand there: bash, kubectl, Helm and the
//! exporter in, an exit code and what was printed out. Where something that a block takes cannot be
//! had here, a script of `bin` stands in for it and says why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::process::Command;
use tokio::time::sleep;

use crate::blocks::{Block, blocks};
use crate::harness::{APISERVER_ADDRESS, Cluster, Test, tests};
use crate::http;
use crate::install::define_what_is_shipped;
use crate::kong::{Kong, good};
use crate::processes::{self, until};

pub(crate) fn tests() -> Vec<Test> {
    tests![Alone: commands_that_are_shown_do_what_they_should]
}

/// By a user who has Kong's tutorial in front of them, in one cluster: the pages one after the
/// other, with what the commands before have made.
async fn commands_that_are_shown_do_what_they_should(cluster: Cluster) {
    let Some(desk) = Desk::new(&cluster) else { return };
    cluster.define(&["gatewayconfigurations.gateway-operator.konghq.com"]).await;
    if !cluster.serves("gateway-operator.konghq.com/v2beta1").await {
        println!("not run: commands that are shown: set KONG_CRDS_DIR");
        return;
    }
    prepare(&cluster, &desk).await;
    let kong = Kong::start(good(KONG)).await;
    let mapping = desk.folder.join("mapping.yaml");
    fs::write(&mapping, MAPPING).unwrap();
    let mapping = format!("--mapping=file:{}", mapping.display());
    let flags = [mapping.as_str(), "--web.listen-address=127.0.0.1:9542"];
    let mut ran = Vec::new();
    for block in in_order() {
        // Where `kubectl port-forward` would lead to.
        let is_reader = block.text.contains("127.0.0.1:9542");
        let mut sidecar = None;
        if is_reader {
            let serving = processes::exporter(&kong.url(), &flags).await;
            // As Prometheus has done before somebody looks.
            http::get(serving.address, "/metrics", &[]).await;
            sidecar = Some(serving);
        }
        let start = Instant::now();
        let printed = desk.run(&block).await;
        drop(sidecar);
        println!("{}: {:.1?}\n{}", block.page, start.elapsed(), block.text.trim_end());
        for (command, expected) in PRINTED {
            if block.text.contains(command) {
                assert!(printed.contains(expected), "{command} printed no {expected}:\n{printed}");
                ran.push(*command);
            }
        }
    }
    for (command, _) in PRINTED {
        assert!(ran.contains(command), "no block has {command}");
    }
    desk.clear().await;
}

/// What the request for this metric prints that a page shows; for `chain`, which has an adapter.
/// `None` without kubectl.
pub(crate) async fn asked_for(cluster: &Cluster, metric: &str) -> Option<String> {
    let kubectl = cluster.plane.binaries.kubectl()?;
    let all = blocks("sh").into_iter().map(|block| block.text).collect::<String>();
    let is_meant = |line: &&str| line.starts_with("kubectl get --raw ") && line.ends_with(metric);
    let line = all.lines().find(is_meant).unwrap_or_else(|| panic!("no page asks for {metric}"));
    let output = Command::new("bash")
        .args(["-c", &line.replacen("kubectl", &kubectl, 1)])
        .env("KUBECONFIG", cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS))
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What some commands print when they do what they should.
const PRINTED: &[(&str, &str)] = &[
    ("kubectl apply -k deploy/overlays/watch", "clusterrole.rbac.authorization.k8s.io/"),
    ("kubectl apply -k deploy/overlays/published", "deployment.apps/"),
    ("kubectl apply -k deploy/overlays/controller", "deployment.apps/"),
    ("helm upgrade --install kong-metrics-exporter", "STATUS: deployed"),
    ("kubectl apply -f with-sidecar.yaml", "gatewayconfiguration.gateway-operator.konghq.com/kong"),
    ("kubectl apply --server-side -f gatewayconfiguration.yaml", "serverside-applied"),
    ("kong-metrics-exporter plan --objects cluster.yaml", "command"),
    ("grep 'exported_service=\"command\"'", "exported_namespace=\"kong\""),
    ("curl -s http://127.0.0.1:9542/mapping", "httproute.kong.command.0"),
    ("cargo run --release -- demo", "The sidecar in front of it:"),
    ("kubectl get service -n kong command -o yaml", "name: command"),
    ("hpa-tutorial.yaml", "horizontalpodautoscaler.autoscaling/"),
];

/// What the pages take for granted, each as one of them says.
async fn prepare(cluster: &Cluster, desk: &Desk) {
    make_room(cluster).await;
    define_what_is_shipped(cluster).await;
    cluster.apply("", &SHOP.replace("NAMESPACE", "kong")).await;
    cluster.apply("", NAMESPACES).await;
    let attached = |block: &Block| block.text.contains("DataPlaneMetricsExtension");
    for block in blocks("yaml").into_iter().filter(attached) {
        fs::write(desk.folder.join("shown.yaml"), &block.text).unwrap();
        let output = desk.bash("kubectl apply --namespace=kong -f shown.yaml").await;
        assert!(output.status.success(), "{}\n{}\n{output:?}", block.page, block.text);
    }
}

/// The chain has a namespace of the same name, which is on its way out when it ends. Its controller
/// has ended before it, and there is no kubelet: nobody takes our finalizer off, and pods stay.
async fn make_room(cluster: &Cluster) {
    let version = "gateway-operator.konghq.com/v1alpha1";
    let extensions = cluster.api("kong", version, "DataPlaneMetricsExtension").await;
    for extension in extensions.list(&ListParams::default()).await.unwrap() {
        let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        // It may be gone meanwhile.
        let _ = extensions.patch(&extension.name_any(), &PatchParams::default(), &released).await;
    }
    let pods = cluster.api("kong", "v1", "Pod").await;
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        let _ = pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
    }
    let namespaces: Api<DynamicObject> = cluster.api("", "v1", "Namespace").await;
    for _ in 0..80 {
        if namespaces.get_opt("kong").await.unwrap().is_none() {
            return;
        }
        sleep(Duration::from_millis(250)).await;
    }
    // What is left in it is none of what the pages make.
    if let Some(mut kong) = namespaces.get_opt("kong").await.unwrap() {
        println!("namespace kong is ended by hand: {}", kong.data["status"]);
        kong.data["spec"] = json!({"finalizers": []});
        let _ =
            namespaces.replace_subresource("finalize", "kong", &PostParams::default(), &kong).await;
    }
    until("there is no namespace kong", async || {
        namespaces.get_opt("kong").await.unwrap().is_none().then_some(())
    })
    .await;
}

/// Helm first: it does not take over what others have made.
fn in_order() -> Vec<Block> {
    let mut blocks = blocks("sh");
    blocks.retain(|block| block.page != "CONTRIBUTING.md"); // `.ci/run` does what stands there
    blocks.sort_by_key(|block| !block.text.contains(HELM));
    assert!(blocks.len() > 15, "{} blocks", blocks.len());
    blocks
}

/// Where a user sits: a folder with this repository in it, and programs.
struct Desk {
    folder: PathBuf,
    kubeconfig: PathBuf,
    kubectl: String,
    helm: PathBuf,
}

impl Desk {
    /// `None`, with a line on standard output, where programs have not been built.
    fn new(cluster: &Cluster) -> Option<Self> {
        let binaries = &cluster.plane.binaries;
        let (Some(kubectl), Some(helm)) = (binaries.kubectl(), binaries.helm.clone()) else {
            println!("not run: commands that are shown: tests/cluster/build kubes helm");
            return None;
        };
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = cluster.plane.folder().join("desk");
        fs::create_dir_all(folder.join("bin")).unwrap();
        symlink(repository.join("deploy"), folder.join("deploy")).unwrap();
        let stand_in = |to: &str, text: &str| {
            let to = folder.join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(&to, text).unwrap();
            fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
        };
        for (name, text) in STAND_INS {
            stand_in(name, text);
        }
        // Somebody's own, into which a sidecar is put.
        let is_theirs = |block: &Block| block.text.contains("kind: GatewayConfiguration");
        let theirs = blocks("yaml").into_iter().find(is_theirs).unwrap();
        fs::write(folder.join("gatewayconfiguration.yaml"), theirs.text).unwrap();
        let kubeconfig = cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
        Some(Self { folder, kubeconfig, kubectl, helm })
    }

    /// What a block prints. It has to end well, and without a warning.
    async fn run(&self, block: &Block) -> String {
        let output = self.bash(&block.text).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr);
        let of = format!("{}\n{}\n{printed}{told}", block.page, block.text);
        assert!(output.status.success(), "{}: {of}", output.status);
        assert!(!told.contains("arning"), "{of}");
        if block.text.contains(HELM) {
            let gone = self.bash("helm uninstall kong-metrics-exporter --namespace=kong").await;
            assert!(gone.status.success(), "{gone:?}");
        }
        printed
    }

    async fn bash(&self, script: &str) -> std::process::Output {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.folder.join("bin").display());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("HOME", &self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("REAL_KUBECTL", &self.kubectl)
            .env("REAL_HELM", &self.helm)
            .env("REAL_EXPORTER", env!("CARGO_BIN_EXE_kong-metrics-exporter"))
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap()
    }

    /// What has no namespace, and what others would find in one.
    async fn clear(&self) {
        for overlay in ["watch", "published", "controller"] {
            let script = format!(
                "kubectl delete --ignore-not-found --wait=false -k deploy/overlays/{overlay}"
            );
            let output = self.bash(&script).await;
            assert!(output.status.success(), "{output:?}");
        }
    }
}

const STAND_INS: [(&str, &str); 5] = [
    ("bin/kubectl", include_str!("bin/kubectl")),
    ("bin/helm", include_str!("bin/helm")),
    ("bin/kong-metrics-exporter", include_str!("bin/kong-metrics-exporter")),
    ("bin/cargo", include_str!("bin/cargo")),
    ("docker/build", include_str!("bin/build")),
];

const HELM: &str = "helm upgrade --install kong-metrics-exporter";
const SHOP: &str = include_str!("../chain/shop.yaml");
const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: monitoring}
---
apiVersion: v1
kind: Namespace
metadata: {name: prometheus}
";
const KONG: &str = "\
# TYPE kong_http_requests_total counter
kong_http_requests_total{service=\"httproute.kong.command.0\",route=\"httproute.kong.command.0.0\",code=\"200\",source=\"service\"} 7
";
const MAPPING: &str = "
services:
  httproute.kong.command.0: {backends: [{namespace: kong, service: command, port: 80}]}
";
