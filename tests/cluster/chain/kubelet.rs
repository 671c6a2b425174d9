//! What scheduler and kubelet do, as far as anybody looks: pods in, pods with a node, an address and
//! the condition Ready out. The one decision: of containers only Kong and its sidecar are real; in
//! a pod that has them both listen on the address of the pod, which is one of this machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::gateway::{Gateway, start_sidecar};
use super::stage::Place;
use super::traffic::{LOT, Traffic};
use crate::admin::Admin;
use crate::harness::Cluster;

/// The node of a namespace.
pub(crate) struct Kubelet {
    place: Place,
    pods: Api<Pod>,
    /// The sidecar's ServiceAccount, whose token kubelet would mount.
    kubeconfig: PathBuf,
    traffic: Traffic,
    gateways: RefCell<BTreeMap<String, Gateway>>,
    addresses: RefCell<BTreeMap<String, Ipv4Addr>>,
}

impl Kubelet {
    pub(crate) fn new(
        cluster: &Cluster,
        place: Place,
        kubeconfig: PathBuf,
        traffic: Traffic,
    ) -> Self {
        let pods = Api::namespaced(cluster.client.clone(), place.namespace);
        Self {
            place,
            pods,
            kubeconfig,
            traffic,
            gateways: RefCell::default(),
            addresses: RefCell::default(),
        }
    }

    /// Never ends.
    pub(crate) async fn run(&self) {
        loop {
            for pod in self.pods.list(&ListParams::default()).await.unwrap() {
                self.attend(&pod).await;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Sends the traffic through the gateways there are. Never ends.
    pub(crate) async fn send(&self, admin: &Admin) {
        let accepted = admin.accepted();
        let mut ticks = interval(LOT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            let Some(push) = accepted.borrow().clone() else { continue };
            let mut gateways = self.gateways.borrow_mut();
            let mut gateways: Vec<_> = gateways.values_mut().collect();
            let count = gateways.len();
            for (path, lot) in self.traffic.lots() {
                for i in 0..2 {
                    if count > 0 {
                        gateways[i % count].take(&push.config, path, lot);
                    }
                }
            }
        }
    }

    /// The pods whose Kong and sidecar run.
    pub(crate) fn gateways(&self) -> Vec<String> {
        self.gateways.borrow().keys().cloned().collect()
    }

    /// All that runs in a pod is gone at once, and nobody has been told.
    pub(crate) fn kill(&self, pod: &str) {
        self.gateways.borrow_mut().remove(pod).unwrap();
    }

    /// Of every pod only the sidecar ends; Kong goes on.
    pub(crate) fn end_sidecars(&self) {
        self.gateways.borrow_mut().values_mut().for_each(Gateway::end_sidecar);
    }

    /// The containers that have ended are started again.
    pub(crate) async fn replace_sidecars(&self) {
        for pod in self.gateways() {
            let Some(arguments) = self.gateways.borrow()[&pod].wants() else { continue };
            let sidecar = start_sidecar(&arguments).await;
            self.gateways.borrow_mut().get_mut(&pod).unwrap().replace_sidecar(sidecar);
        }
    }

    /// Whether every Kong says 500 instead of metrics.
    pub(crate) fn are_broken(&self, are_broken: bool) {
        self.gateways.borrow_mut().values_mut().for_each(|gateway| gateway.is_broken(are_broken));
    }

    async fn attend(&self, pod: &Pod) {
        let name = pod.name_any();
        let status = pod.status.as_ref();
        let is_bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        if pod.metadata.deletion_timestamp.is_some() {
            self.gateways.borrow_mut().remove(&name);
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            let _ = self.pods.delete(&name, &now).await;
        } else if !is_bound {
            let binding = json!({
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self.place.namespace},
            });
            let params = PostParams::default();
            // One that is deleted meanwhile is met again.
            let _: Result<Value, _> =
                self.pods.create_subresource("binding", &name, &params, &binding).await;
        } else if status.is_some_and(|status| status.phase.as_deref() == Some("Pending")) {
            let address = self.address_of(&name);
            if let Some(arguments) = sidecar(pod) {
                own(address);
                let who = format!("--kubernetes.kubeconfig={}", self.kubeconfig.display());
                let gateway = Gateway::start(IpAddr::V4(address), arguments, &[who]).await;
                self.gateways.borrow_mut().insert(name.clone(), gateway);
            }
            let running = Patch::Strategic(json!({"status": running(pod, address)}));
            let _ = self.pods.patch_status(&name, &PatchParams::default(), &running).await;
        }
    }

    fn address_of(&self, pod: &str) -> Ipv4Addr {
        let mut addresses = self.addresses.borrow_mut();
        let next = u8::try_from(addresses.len() + 1).unwrap();
        *addresses
            .entry(pod.to_owned())
            .or_insert_with(|| Ipv4Addr::new(10, 244, self.place.network, next))
    }
}

/// The arguments of the sidecar in a pod, if it has one.
fn sidecar(pod: &Pod) -> Option<Vec<String>> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    containers.find(|container| container.name == "metrics-exporter")?.args.clone()
}

fn running(pod: &Pod, address: Ipv4Addr) -> Value {
    let now = "2026-01-01T00:00:00Z";
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}));
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        json!({
            "name": container.name,
            "image": container.image,
            "imageID": "none",
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        })
    });
    json!({
        "phase": "Running",
        "startTime": now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "containerStatuses": containers.collect::<Vec<_>>(),
    })
}

/// Makes an address one of this machine.
fn own(address: Ipv4Addr) {
    let address = format!("{address}/32");
    let added = Command::new("ip").args(["addr", "add", &address, "dev", "lo"]).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
}
