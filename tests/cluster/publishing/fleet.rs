//! What sidecars cost with a published mapping: their memory, and what the API server has to send
//! them. As in `fleet`, with as many routes and sidecars.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::routes::route_to;
use super::{QUIET, Scene, sample};
use crate::fleet::{number, peak, resident};
use crate::harness::{Cluster, Test, tests};
use crate::http;
use crate::kong::{self, Kong};
use crate::processes::{Process, until};

pub(super) fn tests() -> Vec<Test> {
    tests![Alone: reading_what_is_published_costs_what_it_says]
}

async fn reading_what_is_published_costs_what_it_says(cluster: Cluster) {
    let (routes, sidecars) = (number("ROUTES", 1_000), number("SIDECARS", 3));
    let scene = Scene::new(cluster).await;
    let namespace = scene.namespace.as_str();
    scene.cluster.apply(namespace, &route_to("echo")).await;
    scene.cluster.copy_route(namespace, "echo", routes).await;
    let name = format!("httproute.{namespace}.echo.0");
    let kong =
        Kong::start(kong::good(&format!("kong_http_requests_total{{service=\"{name}\"}} 7\n")))
            .await;
    let start = Instant::now();
    let publisher = scene.publish_from(&[]).await;
    let first = scene.sidecar(&kong).await;
    until_mapped(&first, routes).await;
    println!(
        "fleet: published, {routes} routes published and read within {:.1} s; publisher {} KiB \
         resident, peak {} KiB",
        start.elapsed().as_secs_f64(),
        resident(&publisher),
        peak(&publisher),
    );
    scene.settle().await;

    let before = scene.proxy.bytes_to_client();
    let start = Instant::now();
    let mut fleet = Vec::new();
    for _ in 0..sidecars {
        fleet.push(scene.sidecar(&kong).await);
    }
    for sidecar in &fleet {
        until_mapped(sidecar, routes).await;
    }
    let bytes = (scene.proxy.bytes_to_client() - before) / sidecars as u64;
    let memory: Vec<_> = fleet.iter().map(|one| (resident(one), peak(one))).collect();
    println!(
        "fleet: published, {routes} routes read: {} KiB resident at most, peak {} KiB, {bytes} bytes \
         a sidecar, {sidecars} sidecars in {:.1} s",
        memory.iter().map(|one| one.0).max().unwrap(),
        memory.iter().map(|one| one.1).max().unwrap(),
        start.elapsed().as_secs_f64(),
    );
    assert!(bytes < 1_000_000, "{bytes} bytes a sidecar at its start");

    let (before, start) = (scene.proxy.bytes_to_client(), Instant::now());
    scene.cluster.apply(namespace, &route_to("other")).await;
    for sidecar in &fleet {
        until("the change is seen", async || {
            let answer = http::get(sidecar.address, "/metrics", &[]).await.kongs();
            answer.contains("exported_service=\"other\"").then_some(())
        })
        .await;
    }
    let took = start.elapsed();
    scene.settle().await;
    let all = sidecars as u64 + 1;
    let bytes = (scene.proxy.bytes_to_client() - before) / all;
    println!(
        "fleet: published, a change was seen by all within {took:.1?}, {bytes} bytes a sidecar"
    );

    let before = scene.proxy.bytes_to_client();
    let last = format!("copy-{}", routes - 1);
    scene.cluster.accept_routes(namespace, &[last]).await;
    sleep(QUIET).await;
    let bytes = (scene.proxy.bytes_to_client() - before) / all;
    println!("fleet: published, one status written: {bytes} bytes a sidecar");
    assert!(bytes < 1_000, "{bytes} bytes: a bookmark at most");
}

/// Until the sidecar knows so many names.
async fn until_mapped(sidecar: &Process, names: usize) {
    let start = Instant::now();
    while sample(sidecar, "kong_exporter_mapping_services").await < names as f64 {
        assert!(start.elapsed() < Duration::from_secs(600), "{names} names never came");
        sleep(Duration::from_millis(200)).await;
    }
}
