//! Clocks that are a year off: what other machines write into the Lease as the time makes neither two
//! leaders nor none.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::sleep;

use super::{Scene, sample, until_mapped};
use crate::harness::Cluster;
use crate::kong::{self, Kong};
use crate::processes::{Process, until};

pub(super) async fn a_clock_that_is_a_year_off_makes_neither_two_leaders_nor_none(
    cluster: Cluster,
) {
    let scene = Scene::new(cluster).await;
    let leases: Api<Lease> = Api::namespaced(scene.cluster.client.clone(), &scene.namespace);
    scene.write(10, 80);
    let kong = Kong::start(kong::good("kong_http_requests_total{service=\"\"} 7\n")).await;
    let sidecar = scene.sidecar(&kong).await;

    // Who leads is alive, and its clock is a year behind.
    let lease = |time: &str| {
        let spec = json!({
            "holderIdentity": "somebody-else", "leaseDurationSeconds": 10, "leaseTransitions": 1,
            "acquireTime": time, "renewTime": time,
        });
        json!({"metadata": {"name": LEASE}, "spec": spec})
    };
    let first = serde_json::from_value(lease("2025-01-01T00:00:00.000000Z")).unwrap();
    leases.create(&PostParams::default(), &first).await.unwrap();
    let publisher = scene.publish().await;
    let start = Instant::now();
    for second in 1.. {
        let time = format!("2025-01-01T00:00:{second:02}.000000Z");
        let renewed = Patch::Merge(json!({"spec": {"renewTime": time}}));
        leases.patch(LEASE, &PatchParams::default(), &renewed).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(leads(&publisher).await, 0.0, "two lead after {:?}", start.elapsed());
        if start.elapsed() > 2 * DURATION {
            break;
        }
    }
    assert_eq!(scene.writes(), 0);

    // It dies, having said that the time is ten years from now.
    let ahead = Patch::Merge(lease("2036-01-01T00:00:00.000000Z"));
    leases.patch(LEASE, &PatchParams::default(), &ahead).await.unwrap();
    let start = Instant::now();
    until_leading(&publisher).await;
    let took = start.elapsed();
    println!("published: led {took:.1?} after the last sign of a holder whose clock was years off");
    assert!(took >= DURATION && took < LATEST, "{took:?}");
    until_mapped(&sidecar, 10).await;

    // One that starts when such a holder is dead already.
    drop(publisher);
    leases.patch(LEASE, &PatchParams::default(), &ahead).await.unwrap();
    scene.write(11, 80);
    let start = Instant::now();
    let publisher = scene.publish().await;
    until_leading(&publisher).await;
    assert!(start.elapsed() < LATEST, "{:?}", start.elapsed());
    until_mapped(&sidecar, 11).await;
    scene.was_never_denied();
}

async fn until_leading(publisher: &Process) {
    until("it leads", async || (leads(publisher).await == 1.0).then_some(())).await;
}

async fn leads(publisher: &Process) -> f64 {
    sample(publisher, "kong_exporter_publish_leader").await
}

const LEASE: &str = "kong-metrics-exporter-publish";

/// For so long a holder promised to be alive.
const DURATION: Duration = Duration::from_secs(10);

/// With the time until it is looked at, on a busy machine.
const LATEST: Duration = Duration::from_secs(20);
