//! Two controllers, of which one writes.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Scene, marked, service, spelled};
use crate::harness::{Cluster, Test, tests};
use crate::http;
use crate::processes::{Process, until};

pub(super) fn tests() -> Vec<Test> {
    tests![Shared: one_of_two_controllers_writes]
}

async fn one_of_two_controllers_writes(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.apply(&(service("a") + &service("b") + &service("c"))).await;
    let [one, other] = [scene.controller(&[]).await, scene.controller(&[]).await];
    until("one leads", async || (leads(&one).await + leads(&other).await == 1.0).then_some(()))
        .await;
    let is_first = leads(&one).await == 1.0;
    let (leader, other) = if is_first { (one, other) } else { (other, one) };
    scene.apply(&marked("a", &["a"])).await;
    scene.until_told("a", "a", "Annotated").await;
    wrote_once(&scene, "a").await;

    // The leader stands still, as a process does whose node is out of memory, and goes on later.
    signal(&leader, "STOP");
    let start = Instant::now();
    until("the other one leads", async || (leads(&other).await == 1.0).then_some(())).await;
    println!("controlled: the other one led {:.1?} after a SIGSTOP", start.elapsed());
    assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
    scene.gate.reset();
    scene.apply(&marked("b", &["b"])).await;
    scene.until_told("b", "b", "Annotated").await;
    signal(&leader, "CONT");
    until("the first one knows", async || (leads(&leader).await == 0.0).then_some(())).await;
    wrote_once(&scene, "b").await;

    // The one that leads now is killed.
    let start = Instant::now();
    drop(other);
    until("the first one leads again", async || (leads(&leader).await == 1.0).then_some(())).await;
    println!("controlled: the other one led {:.1?} after a SIGKILL", start.elapsed());
    assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
    scene.gate.reset();
    scene.apply(&marked("c", &["c"])).await;
    scene.until_told("c", "c", "Annotated").await;
    wrote_once(&scene, "c").await;

    // One that is told to end gives the Lease back, and nobody waits.
    let next = scene.controller(&[]).await;
    signal(&leader, "TERM");
    let start = Instant::now();
    until("the next one leads", async || (leads(&next).await == 1.0).then_some(())).await;
    println!("controlled: the next one led {:.1?} after a SIGTERM", start.elapsed());
    assert!(start.elapsed() <= Duration::from_secs(8), "{:?}", start.elapsed());
    scene.was_never_denied();
}

/// Each write once, by whomever.
async fn wrote_once(scene: &Scene, name: &str) {
    let wanted = writes_for(name);
    assert_eq!(spelled(&scene.gate.writes_from(wanted.len()).await), wanted);
}

fn writes_for(name: &str) -> [String; 4] {
    [
        format!("PATCH dataplanemetricsextensions/{name}"),
        "POST kongplugins".to_owned(),
        format!("PATCH services/{name}"),
        format!("PATCH dataplanemetricsextensions/{name}"),
    ]
}

async fn leads(process: &Process) -> f64 {
    let metrics = http::get(process.address, "/metrics", &[]).await;
    metrics.sample("kong_exporter_controller_leader")
}

fn signal(process: &Process, signal: &str) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
}
