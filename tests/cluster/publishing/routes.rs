//! Routes in an API server, published by a publisher that watches them all.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{QUIET, Scene, sample};
use crate::harness::Cluster;
use crate::http;
use crate::kong::{self, Kong};
use crate::processes::until;

/// The publisher with `--mapping` left out, as in a pod: it watches all of the cluster.
pub(super) async fn what_routes_say_is_published_and_what_is_said_of_them_is_not(cluster: Cluster) {
    const COPIES: usize = 500;
    let scene = Scene::new(cluster).await;
    let namespace = scene.namespace.as_str();
    scene.cluster.apply(namespace, &route_to("echo")).await;
    scene.cluster.copy_route(namespace, "echo", COPIES).await;
    let name = format!("httproute.{namespace}.echo.0");
    let kong =
        Kong::start(kong::good(&format!("kong_http_requests_total{{service=\"{name}\"}} 7\n")))
            .await;
    let publisher = scene.publish_from(&[]).await;
    let sidecar = scene.sidecar(&kong).await;
    let until_shown = async |service: &str| {
        let label = format!("exported_service=\"{service}\"");
        until("the sidecar knows the Service behind the route", async || {
            let answer = http::get(sidecar.address, "/metrics", &[]).await.kongs();
            answer.contains(&label).then_some(())
        })
        .await;
    };
    until_shown("echo").await;
    scene.settle().await;
    let names = sample(&sidecar, "kong_exporter_mapping_services").await;
    assert!(names > COPIES as f64, "{names}");

    // The route leads elsewhere.
    let (writes, before, start) = (scene.writes(), scene.proxy.bytes_to_client(), Instant::now());
    scene.cluster.apply(namespace, &route_to("other")).await;
    until_shown("other").await;
    let took = start.elapsed();
    scene.settle().await;
    let (writes, sent) = (scene.writes() - writes, scene.proxy.bytes_to_client() - before);
    println!(
        "published: {names} names from routes; a change came after {took:.1?}, in {writes} \
         ConfigMaps and {sent} bytes to the sidecar"
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!((1..=2).contains(&writes), "{writes}");

    // A controller reports on its routes.
    let (writes, before) = (scene.writes(), scene.proxy.bytes_to_client());
    let changes = "kong_exporter_watch_changes_total{resource=\"httproutes\"}";
    let seen = sample(&publisher, changes).await;
    let names: Vec<_> = (0..REPORTS).map(|number| format!("copy-{number}")).collect();
    scene.cluster.accept_routes(namespace, &names).await;
    until("the publisher has seen all of it", async || {
        (sample(&publisher, changes).await >= seen + REPORTS as f64).then_some(())
    })
    .await;
    sleep(QUIET).await;
    let (writes, sent) = (scene.writes() - writes, scene.proxy.bytes_to_client() - before);
    println!(
        "published: {REPORTS} reports on routes are {writes} writes, {sent} bytes to the sidecar"
    );
    assert_eq!(writes, 0);
    assert!(sent < 2_000, "{sent} bytes: a bookmark at most");
    scene.was_never_denied();
}

pub(super) fn route_to(service: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {service}}}\n\
         spec: {{ports: [{{port: 80}}]}}\n---\n\
         apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: echo}}\n\
         spec:\n  parentRefs: [{{name: kong}}]\n  \
         rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]\n"
    )
}

const REPORTS: usize = 50;
