//! What a sidecar that watches costs: its memory, and what the API server has to send it, counted at a proxy.
//!
//! A few routes and sidecars by default, so that the claims are held in every run: nothing is sent
//! for a status, and a route's change is seen. `benches/fleet.sh` measures with 50,000 routes, 20
//! sidecars and the program that ships; what is printed there goes to `benches/results`.

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Cluster, Test, tests};
use crate::processes::{Process, until};
use crate::scene::{Scene, scrape, service_of};

pub(crate) fn tests() -> Vec<Test> {
    tests![Alone: watching_costs_what_it_says]
}

async fn watching_costs_what_it_says(cluster: Cluster) {
    let (routes, sidecars) = (number("ROUTES", 1_000), number("SIDECARS", 3));
    let scene = Scene::watching(cluster).await;
    println!("fleet: watch, idle in a small cluster: {} KiB resident", resident(&scene.sidecar));
    let start = Instant::now();
    scene.cluster.copy_route(&scene.namespace, "shop", routes).await;
    println!("fleet: {routes} routes stored within {:.1} s", start.elapsed().as_secs_f64());
    let last = format!("copy-{}", routes - 1);
    until_mapped(&scene, &scene.sidecar, routes).await;
    println!(
        "fleet: watch, {routes} routes that came one by one: {} KiB",
        resident(&scene.sidecar)
    );

    let before = scene.proxy.bytes_to_client();
    let mut fleet = Vec::new();
    let start = Instant::now();
    for _ in 0..sidecars {
        fleet.push(scene.another().await);
    }
    for sidecar in &fleet {
        until_mapped(&scene, sidecar, routes).await;
    }
    let bytes = (scene.proxy.bytes_to_client() - before) / sidecars as u64;
    println!(
        "fleet: watch, {routes} routes listed: {} KiB resident, peak {} KiB, {bytes} bytes a sidecar, \
         {sidecars} sidecars in {:.1} s",
        resident(&fleet[0]),
        peak(&fleet[0]),
        start.elapsed().as_secs_f64(),
    );

    let start = Instant::now();
    scene.lead("shop", "pay").await;
    for sidecar in &fleet {
        until("the change is seen", async || {
            let answer = scrape(sidecar).await;
            (service_of(&answer, &scene.namespace, "shop").as_deref() == Some("pay")).then_some(())
        })
        .await;
    }
    println!("fleet: watch, a change was seen by all within {:?}", start.elapsed());

    // Kong writes a status into every route; watches are told.
    let before = scene.proxy.bytes_to_client();
    scene.cluster.accept_routes(&scene.namespace, &[last]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let bytes = (scene.proxy.bytes_to_client() - before) / (sidecars as u64 + 1);
    println!("fleet: watch, one status written: {bytes} bytes a sidecar");
}

/// Until the sidecar knows so many names.
async fn until_mapped(scene: &Scene, sidecar: &Process, names: usize) {
    let start = Instant::now();
    loop {
        let known = scrape(sidecar).await.sample("kong_exporter_mapping_services");
        if known >= names as f64 {
            return;
        }
        let late = start.elapsed() > Duration::from_secs(600);
        assert!(!late, "{known} names of {names} known in {}", scene.namespace);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) fn number(name: &str, usual: usize) -> usize {
    let told = env::var(format!("KONG_EXPORTER_FLEET_{name}")).ok();
    told.map_or(usual, |told| told.parse().unwrap())
}

/// In KiB.
pub(crate) fn resident(process: &Process) -> u64 {
    status(process, "VmRSS:")
}

/// In KiB.
pub(crate) fn peak(process: &Process) -> u64 {
    status(process, "VmHWM:")
}

fn status(process: &Process, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
