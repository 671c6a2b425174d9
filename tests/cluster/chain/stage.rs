//! What a story is played on: Kong Ingress Controller, our controller, two pods with a make-believe
//! Kong and a real sidecar, and workloads behind routes, in a namespace of their own. In: a place
//! that no other story has. Out: hands to play with, and what the API server says of autoscalers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kong_metrics_exporter::render::{Form, Settings, Target, render};
use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::kubelet::Kubelet;
use super::measured;
use super::traffic::Traffic;
use crate::admin::Admin;
use crate::harness::{APISERVER_ADDRESS, Account, Cluster};
use crate::translator::controller::Controller as Kic;
use crate::translator::fixtures::{CONTROLLER, KINDS, Setup, kong, setup_objects};

/// Where a story is played.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The node and the classes are called so, too.
    pub(crate) namespace: &'static str,
    /// Pods have addresses in 10.244.NETWORK.0/24.
    pub(crate) network: u8,
}

/// A place with all that a story needs.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) place: Place,
    pub(crate) traffic: Traffic,
    pub(crate) kubelet: Kubelet,
    pub(crate) controller: measured::Controller,
    admin: Admin,
    /// Of GatewayConfigurations.
    version: &'static str,
    start: Instant,
    _kic: Kic,
    _account: Account,
}

impl Stage {
    /// `kic` is Kong Ingress Controller.
    pub(crate) async fn set(cluster: &Cluster, place: Place, kic: &Path) -> Self {
        let start = Instant::now();
        let Place { namespace, .. } = place;
        let version = define(cluster).await;
        cluster.apply("", &SHOP.replace("NAMESPACE", namespace)).await;
        for object in setup_objects(&setup(place)) {
            cluster.apply_object("", serde_json::from_value(object).unwrap()).await;
        }
        let account = Account::of(cluster, namespace, RBAC).await;
        let admin = Admin::start(kong(false)).await;
        let folder = cluster.plane.folder().join("logs").join(namespace);
        fs::create_dir_all(&folder).unwrap();
        let kubeconfig = cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
        let kic = Kic::start(kic, &kubeconfig, &admin, &folder, &flags(place));
        let traffic = Traffic::default();
        let kubeconfig = account.kubeconfig(APISERVER_ADDRESS);
        let kubelet = Kubelet::new(cluster, place, kubeconfig, traffic.clone());
        let controller = measured::Controller::start(cluster, namespace).await;
        cluster.apply(namespace, &dataplane(place)).await;
        cluster.apply_moved(namespace, &deployed("monitoring/servicemonitor/service.yaml")).await;
        Self {
            cluster: cluster.clone(),
            place,
            traffic,
            kubelet,
            controller,
            admin,
            version,
            start,
            _kic: kic,
            _account: account,
        }
    }

    /// Kubelet does its work and clients ask until `story` ends.
    pub(crate) async fn play(&self, story: impl Future<Output = ()>) {
        tokio::select! {
            () = story => {}
            () = self.kubelet.run() => {}
            () = self.kubelet.send(&self.admin) => {}
        }
    }

    /// A line of what happens when.
    pub(crate) fn say(&self, what: &str) {
        let seconds = self.start.elapsed().as_secs_f32();
        println!("{:5} {seconds:6.1} s  {what}", self.place.namespace);
    }

    /// Makes extensions and attaches them to the gateways by their names.
    pub(crate) async fn attach(&self, extensions: &str, names: &[&str]) {
        let names = names.iter().map(|name| {
            json!({"kind": "DataPlaneMetricsExtension", "group": "gateway-operator.konghq.com", "name": name})
        });
        let names: Vec<_> = names.collect();
        let spec = match self.version {
            "v1beta1" => json!({"controlPlaneOptions": {"extensions": names}}),
            _ => json!({"extensions": names}),
        };
        let configuration = json!({
            "kind": "GatewayConfiguration",
            "apiVersion": format!("gateway-operator.konghq.com/{}", self.version),
            "metadata": {"name": "kong", "namespace": self.place.namespace},
            "spec": spec,
        });
        self.cluster.apply_moved(self.place.namespace, extensions).await;
        let configuration = serde_json::from_value(configuration).unwrap();
        self.cluster.apply_object("", configuration).await;
    }

    /// What events about an object say, oldest first, with their reasons before them.
    pub(crate) async fn events(&self, kind: &str, name: &str) -> Vec<(String, String)> {
        let events = self.cluster.api(self.place.namespace, "v1", "Event").await;
        let mut events = events.list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| {
            let about = &event.data["involvedObject"];
            about["kind"] == kind && about["name"] == name
        });
        let time = |event: &DynamicObject| {
            let times = [&event.data["firstTimestamp"], &event.data["eventTime"]];
            times.iter().find_map(|time| time.as_str().map(str::to_owned))
        };
        events.sort_by_key(time);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told =
            |event: &DynamicObject| (text(&event.data["reason"]), text(&event.data["message"]));
        events.iter().map(told).collect()
    }

    /// The rescalings of an autoscaler, oldest first.
    pub(crate) async fn rescaled(&self, autoscaler: &str) -> Vec<String> {
        let mut events = self.events("HorizontalPodAutoscaler", autoscaler).await;
        events.retain(|(reason, _)| reason == "SuccessfulRescale");
        events.into_iter().map(|(_, message)| message).collect()
    }

    /// How many replicas an autoscaler wants.
    pub(crate) async fn wanted(&self, autoscaler: &str) -> Option<i32> {
        let all: Api<HorizontalPodAutoscaler> =
            Api::namespaced(self.cluster.client.clone(), self.place.namespace);
        Some(all.get(autoscaler).await.unwrap().status?.desired_replicas)
    }
}

/// Kong Ingress Controller, if it and all others that a story takes have been built.
pub(crate) fn built(
    cluster: &Cluster,
    story: &str,
    others: &[(&str, &Option<PathBuf>)],
) -> Option<PathBuf> {
    let kic = &cluster.plane.binaries.kic;
    let parts = [&[("kic", kic)], others].concat();
    if parts.iter().any(|(_, part)| part.is_none()) {
        let is_required = std::env::var("KONG_EXPORTER_CLUSTER").is_ok_and(|is| is == "required");
        let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
        let parts = names.join(" ");
        let missing = format!("not built: tests/cluster/build {parts} builds what is missing");
        assert!(!is_required, "{missing}");
        println!("not run: {story}: {missing}");
        return None;
    }
    kic.clone()
}

/// A file that is shipped.
pub(crate) fn deployed(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    fs::read_to_string(folder.join(path)).unwrap()
}

/// As `until`, for what takes as long as a window of the tutorial's rule.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(150), what, ask).await
}

/// The same, with another limit.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < limit, "never came: {what}");
        sleep(Duration::from_millis(250)).await;
    }
}

/// Defines the kinds that are not there from the start; says which version of GatewayConfiguration
/// there is.
async fn define(cluster: &Cluster) -> &'static str {
    cluster.define(&KINDS).await;
    cluster.define(&["gatewayconfigurations.gateway-operator.konghq.com"]).await;
    match cluster.serves("gateway-operator.konghq.com/v2beta1").await {
        true => "v2beta1",
        false => "v1beta1",
    }
}

fn setup(Place { namespace, .. }: Place) -> Setup {
    let own = || namespace.to_owned();
    Setup { namespaces: [own(), own()], system: own(), class: own() }
}

fn flags(Place { namespace, .. }: Place) -> [String; 4] {
    [
        format!("--watch-namespace={namespace}"),
        format!("--publish-service={namespace}/kong-proxy"),
        format!("--ingress-class={namespace}"),
        format!("--gateway-api-controller-name={CONTROLLER}"),
    ]
}

/// A Deployment with a sidecar, as `render` prints it, of two pods.
fn dataplane(place: Place) -> String {
    let settings = Settings {
        form: Form::Native,
        name: "dataplane".to_owned(),
        namespace: place.namespace.to_owned(),
        image: "kong-metrics-exporter:test".to_owned(),
        container: "proxy".to_owned(),
        kong_image: "kong:3.9".to_owned(),
        mapping: "watch".parse().unwrap(),
        shards: 2,
        arguments: Vec::new(),
        port: 9542,
        kong_series: 0,
        tls: None,
    };
    let printed = render(Target::Deployment, &settings).unwrap();
    assert!(printed.contains("\n  replicas: 1\n"), "{printed}");
    printed.replace("\n  replicas: 1\n", "\n  replicas: 2\n")
}

const SHOP: &str = include_str!("shop.yaml");
const RBAC: &str = include_str!("../../../deploy/rbac/watch/rbac.yaml");
