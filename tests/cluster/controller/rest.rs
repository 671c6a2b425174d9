//! A thousand Services, measured by one extension, and then nothing to do.
//!
//! `KONG_EXPORTER_CONTROLLED` says how many Services.

use std::collections::BTreeMap;
use std::env;
use std::time::Instant;

use kube::ResourceExt;
use kube::api::ListParams;

use super::{Scene, marked, service};
use crate::harness::{Cluster, Test, read, tests};
use crate::http;
use crate::processes::until;

pub(super) fn tests() -> Vec<Test> {
    tests![Shared: each_service_is_written_once_and_at_rest_nothing_is]
}

async fn each_service_is_written_once_and_at_rest_nothing_is(cluster: Cluster) {
    let count = env::var("KONG_EXPORTER_CONTROLLED").map_or(1_000, |count| count.parse().unwrap());
    let scene = Scene::new(cluster).await;
    let services: String = (0..count).map(|number| service(&format!("service-{number}"))).collect();
    let services = services.replace("metadata: {", "metadata: {labels: {measured: \"yes\"}, ");
    scene.cluster.apply_all(&scene.namespace, read(&services)).await;
    let extension = marked("kong", &[]).replace(
        "metadata: {",
        "metadata: {annotations: {kong-metrics-exporter.io/service-label-selector: measured=yes}, ",
    );
    scene.apply(&extension).await;
    let start = Instant::now();
    let controller = scene.controller(&[]).await;
    let measured = "kong_exporter_controller_services{state=\"Annotated\"}";
    until("all are measured", async || {
        let metrics = http::get(controller.address, "/metrics", &[]).await;
        let is_done = metrics.sample(measured) == f64::from(count)
            && metrics.sample("kong_exporter_controller_pending_writes") == 0.0
            && metrics.sample("kong_exporter_controller_last_success_timestamp_seconds") > 0.0;
        is_done.then_some(())
    })
    .await;
    let took = start.elapsed();
    let mut writes = BTreeMap::<_, usize>::new();
    for sent in scene.gate.writes() {
        assert_eq!(sent.status / 100, 2, "{sent:?}");
        *writes.entry(sent.path).or_default() += 1;
    }
    println!("controlled: {count} Services in {took:.1?}, by {} writes", writes.len() + 1);
    let of_services: Vec<_> =
        writes.iter().filter(|(path, _)| path.contains("/services/")).collect();
    assert_eq!(of_services.len(), usize::try_from(count).unwrap());
    assert!(of_services.iter().all(|(_, times)| **times == 1));
    // The plugin, and the extension's finalizer and status.
    assert_eq!(writes.values().sum::<usize>(), of_services.len() + 3);

    let before = versions(&scene).await;
    drop(controller);
    scene.gate.reset();
    for _ in 0..10 {
        scene.forget_lease().await;
        let controller = scene.controller(&[]).await;
        scene.until_settled(&controller).await;
    }
    assert_eq!(scene.gate.writes(), []);
    assert_eq!(versions(&scene).await, before);
}

async fn versions(scene: &Scene) -> Vec<(String, Option<String>)> {
    let mut versions = Vec::new();
    for kind in ["Service", "KongPlugin", "DataPlaneMetricsExtension"] {
        let api = scene.cluster.api(&scene.namespace, super::api_version(kind), kind).await;
        let all = api.list(&ListParams::default()).await.unwrap().items;
        versions.extend(all.iter().map(|one| (one.name_any(), one.resource_version())));
    }
    versions
}
