//! Who reads the sidecar's metrics: a real Prometheus that finds the sidecars in the cluster's
//! EndpointSlices, and a real prometheus-adapter that makes them part of the Kubernetes API. In:
//! the rules of the adapter. Out: answers to the two kinds of question.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::stage::Place;
use crate::harness::{APISERVER_ADDRESS, Account, Cluster};
use crate::processes::{Element, Prometheus, until};

/// Prometheus and the adapter.
pub(crate) struct Readers {
    cluster: Cluster,
    place: Place,
    pub(crate) prometheus: Reading,
    _account: Account,
    adapter: Child,
    log: PathBuf,
}

/// A Prometheus that finds and scrapes the sidecars of a place.
pub(crate) struct Reading {
    server: Prometheus,
    _account: Account,
}

impl Reading {
    /// `every` is how often, as Prometheus writes it.
    pub(crate) async fn start(cluster: &Cluster, place: Place, every: &str) -> Self {
        let namespace = cluster.namespace("prometheus").await;
        let account = Account::of(cluster, &namespace, &reader("prometheus")).await;
        let job = job(place, every, &account.kubeconfig(APISERVER_ADDRESS));
        let program = cluster.plane.binaries.prometheus.as_deref().expect("prometheus");
        Self { server: Prometheus::start(program, vec![job]).await, _account: account }
    }
}

impl Deref for Reading {
    type Target = Prometheus;

    fn deref(&self) -> &Prometheus {
        &self.server
    }
}

impl Readers {
    /// `rules` are those that the adapter goes by, as `rules.custom` of its chart's values.
    pub(crate) async fn start(cluster: &Cluster, place: Place, rules: &[Value]) -> Self {
        let prometheus = Reading::start(cluster, place, "1s").await;
        let namespace = cluster.namespace("adapter").await;
        let account = Account::of(cluster, &namespace, &reader("adapter")).await;
        let folder = cluster.plane.folder().join(&namespace);
        fs::create_dir_all(&folder).unwrap();
        let config = folder.join("adapter.json");
        fs::write(&config, json!({"rules": rules}).to_string()).unwrap();
        let name = format!("adapter.{namespace}.svc");
        cluster.plane.pki.serving("adapter", &[&name]);
        let log = cluster.plane.folder().join("logs/adapter.log");
        let file = File::create(&log).unwrap();
        let pki = &cluster.plane.pki;
        let kubeconfig = account.kubeconfig(APISERVER_ADDRESS);
        let program = cluster.plane.binaries.adapter.as_deref().expect("adapter");
        let mut command = Command::new(program);
        let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        command
            .args(["--secure-port=6444", "--bind-address=127.0.0.1"])
            .arg(path("tls-cert-file", &pki.file("adapter.crt")))
            .arg(path("tls-private-key-file", &pki.file("adapter.key")))
            .arg(path("lister-kubeconfig", &kubeconfig))
            .arg(path("authentication-kubeconfig", &kubeconfig))
            .arg(path("authorization-kubeconfig", &kubeconfig))
            .arg(path("config", &config))
            .arg(format!("--prometheus-url=http://{}", prometheus.address()))
            // A minute would be usual.
            .args(["--metrics-relist-interval=2s", "--metrics-max-age=1m"])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let adapter = command.spawn().unwrap();
        let authority = json!(ByteString(fs::read(pki.file("ca.crt")).unwrap()));
        let manifests = AGGREGATION
            .replace("NAMESPACE", &namespace)
            .replace("AUTHORITY", authority.as_str().unwrap());
        cluster.apply(&namespace, &manifests).await;
        Self { cluster: cluster.clone(), place, prometheus, _account: account, adapter, log }
    }

    /// What `kubectl get --raw` says about a metric of a Service; `None` while there is none.
    pub(crate) async fn metric(&self, service: &str, metric: &str) -> Option<Value> {
        let path = format!(
            "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{}/services/{service}/{metric}",
            self.place.namespace
        );
        let request = hyper::Request::get(path).body(Vec::new()).unwrap();
        let answer = self.cluster.client.request::<Value>(request).await.ok()?;
        Some(answer["items"][0].clone())
    }

    /// Its value, in thousandths.
    pub(crate) async fn thousandths(&self, service: &str, metric: &str) -> Option<u64> {
        thousandths(&self.metric(service, metric).await?["value"])
    }

    /// Waits until a query of Prometheus has a result, and hands it back.
    pub(crate) async fn result(&self, query: &str) -> Vec<Element> {
        until(query, async || {
            let result = self.prometheus.query(query).await;
            (!result.is_empty()).then_some(result)
        })
        .await
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let _ = self.adapter.kill();
        let _ = self.adapter.wait();
        if std::thread::panicking() {
            println!("log of prometheus-adapter: {}", self.log.display());
        }
    }
}

/// A quantity as the metrics APIs print it.
pub(crate) fn thousandths(quantity: &Value) -> Option<u64> {
    let quantity = quantity.as_str()?;
    match quantity.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        // KEDA prints 28.8 as 28.800.
        None => {
            let (whole, part) = quantity.split_once('.').unwrap_or((quantity, ""));
            format!("{whole}{:0<3}", part.get(..3).unwrap_or(part)).parse().ok()
        }
    }
}

fn reader(name: &str) -> String {
    READERS.replace("READER", name)
}

/// What Prometheus Operator makes of `deploy/monitoring/servicemonitor`, in short; every second, to
/// save time.
fn job(place: Place, every: &str, kubeconfig: &Path) -> Value {
    let keep = |label: &str, value: &str| json!({"source_labels": [label], "regex": value, "action": "keep"});
    let copy = |label: &str, to: &str| json!({"source_labels": [label], "target_label": to});
    json!({
        "job_name": "kong-metrics-exporter",
        "scrape_interval": every,
        "kubernetes_sd_configs": [{
            "role": "endpointslice",
            "kubeconfig_file": kubeconfig,
            "namespaces": {"names": [place.namespace]},
        }],
        "relabel_configs": [
            keep("__meta_kubernetes_service_label_app_kubernetes_io_name", "kong-metrics-exporter"),
            keep("__meta_kubernetes_endpointslice_port_name", "enriched"),
            copy("__meta_kubernetes_namespace", "namespace"),
            copy("__meta_kubernetes_service_name", "service"),
            copy("__meta_kubernetes_pod_name", "pod"),
            copy("__meta_kubernetes_pod_container_name", "container"),
            copy("__meta_kubernetes_endpointslice_port_name", "endpoint"),
        ],
    })
}

const READERS: &str = include_str!("readers.yaml");
const AGGREGATION: &str = include_str!("aggregation.yaml");
