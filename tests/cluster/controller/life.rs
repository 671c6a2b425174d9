//! What users do to extensions, and what comes of it.

use std::time::Instant;

use kube::api::{DynamicObject, ListParams};
use tokio::process::Command;

use super::{Scene, extension, marked, route, service, spelled};
use crate::harness::{APISERVER_ADDRESS, Cluster, Test, tests};
use crate::processes::until;

pub(super) fn tests() -> Vec<Test> {
    tests![Shared:
        a_service_is_measured_from_attaching_to_detaching,
        an_extension_may_go_in_any_order,
        a_route_that_is_weighted_later_is_not_lost,
        a_plan_of_the_cluster_is_what_the_controller_writes,
    ]
}

async fn a_service_is_measured_from_attaching_to_detaching(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.apply(&(service("echo") + &service("other") + &extension("kong", &["echo"]))).await;
    scene.annotate("Service", "echo", "konghq.com/plugins", Some("a, b ")).await;
    let before = scene.content().await;
    let controller = scene.controller(&[]).await;
    scene.until_settled(&controller).await;
    assert_eq!(scene.content().await, before);

    for version in ["v1beta1", "v2beta1"] {
        if !scene.cluster.serves(&format!("gateway-operator.konghq.com/{version}")).await {
            println!("not run: ControlPlanes in {version}: the definitions at hand have none");
            continue;
        }
        scene.gate.reset();
        let name = format!("cp-{version}");
        scene.apply(&control_plane(version, &name, &["kong"])).await;
        scene.until_listed("Service", "echo", Some("a, b ,kong-metrics-prometheus")).await;
        scene.until_told("kong", "echo", "Annotated").await;
        let reference = async || {
            let extension = scene.find("DataPlaneMetricsExtension", "kong").await?;
            (extension["status"]["controlPlaneRef"]["name"] == *name).then_some(())
        };
        until("the status names the ControlPlane", reference).await;
        assert_eq!(
            spelled(&scene.gate.writes_from(5).await),
            [
                "PATCH dataplanemetricsextensions/kong",
                "POST kongplugins",
                "PATCH services/echo",
                "PATCH dataplanemetricsextensions/kong",
                "PATCH dataplanemetricsextensions/kong/status",
            ],
            "{version}"
        );
        let plugin = scene.find("KongPlugin", "kong-metrics-prometheus").await.unwrap();
        assert_eq!(plugin["config"]["latency_metrics"], true);

        // Selected now, and then no more.
        scene.apply(&extension("kong", &["echo", "other"])).await;
        scene.until_listed("Service", "other", Some("kong-metrics-prometheus")).await;
        scene.apply(&extension("kong", &["echo"])).await;
        scene.until_listed("Service", "other", None).await;

        scene.apply(&control_plane(version, &name, &[])).await;
        scene.until_gone("KongPlugin", "kong-metrics-prometheus").await;
        scene.until_settled(&controller).await;
        until("all is as before", async || (scene.content().await == before).then_some(())).await;
    }
    let events = scene.cluster.api(&scene.namespace, "events.k8s.io/v1", "Event").await;
    let told = until("events have come", async || {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let told: Vec<_> = all.iter().map(spelled_event).collect();
        (told.len() >= 4).then_some(told)
    })
    .await;
    let namespace = &scene.namespace;
    for expected in [
        format!("DataPlaneMetricsExtension kong Annotated: Service {namespace}/echo is Annotated"),
        format!(
            "Service echo Annotated: for DataPlaneMetricsExtension {namespace}/kong: Annotated"
        ),
    ] {
        assert!(told.contains(&expected), "{expected} is not in {told:#?}");
    }
    scene.was_never_denied();
}

/// Whatever goes first, in the end nothing is left.
async fn an_extension_may_go_in_any_order(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    let controller = scene.controller(&[]).await;
    let parts = ["Service echo", "DataPlaneMetricsExtension kong", "KongPlugin ours"];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        scene.apply(&(service("echo") + &service("other"))).await;
        scene.apply(&marked("kong", &["echo", "other"])).await;
        for name in ["echo", "other"] {
            scene.until_listed("Service", name, Some("kong-metrics-prometheus")).await;
        }
        scene.until_told("kong", "other", "Annotated").await;
        for at in order {
            match parts[at] {
                "Service echo" => scene.delete("Service", "echo").await,
                "KongPlugin ours" => {
                    // Gone with the extension, or made anew.
                    if scene.find("KongPlugin", "kong-metrics-prometheus").await.is_some() {
                        scene.try_delete("KongPlugin", "kong-metrics-prometheus").await;
                    }
                }
                _ => scene.delete("DataPlaneMetricsExtension", "kong").await,
            }
        }
        scene.until_gone("DataPlaneMetricsExtension", "kong").await;
        scene.until_gone("KongPlugin", "kong-metrics-prometheus").await;
        scene.until_listed("Service", "other", None).await;
        assert_eq!(scene.annotation("Service", "other", MARK).await, None, "{order:?}");
    }

    // A rename is another extension, and the old one's undoing.
    scene.apply(&(service("echo") + &marked("kong", &["echo"]))).await;
    scene.until_listed("Service", "echo", Some("kong-metrics-prometheus")).await;
    scene.apply(&marked("renamed", &["echo"])).await;
    scene.delete("DataPlaneMetricsExtension", "kong").await;
    scene.until_listed("Service", "echo", Some("renamed-metrics-prometheus")).await;
    scene.until_gone("KongPlugin", "kong-metrics-prometheus").await;
    scene.until_settled(&controller).await;
    scene.was_never_denied();
}

async fn a_route_that_is_weighted_later_is_not_lost(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    let _controller = scene.controller(&[]).await;
    scene.apply(&(service("blue") + &service("green") + &route("shop", &["blue"]))).await;
    scene.apply(&marked("kong", &["blue"])).await;
    scene.until_listed("Service", "blue", Some("kong-metrics-prometheus")).await;
    scene.until_told("kong", "blue", "Annotated").await;
    scene.gate.reset();
    let start = Instant::now();
    scene.apply(&route("shop", &["blue", "green"])).await;
    scene.until_listed("Service", "blue", None).await;
    println!("controlled: an item of ours was off {:.0?} after the route", start.elapsed());
    scene.until_listed("HTTPRoute", "shop", Some("kong-metrics-prometheus")).await;
    let writes = spelled(&scene.gate.writes_from(2).await);
    assert_eq!(writes[..2], ["PATCH services/blue", "PATCH httproutes/shop"]);
    scene.until_told("kong", "blue", "RouteAnnotated").await;
    // And back again.
    scene.apply(&route("shop", &["blue"])).await;
    scene.until_listed("HTTPRoute", "shop", None).await;
    scene.until_listed("Service", "blue", Some("kong-metrics-prometheus")).await;
    scene.was_never_denied();
}

async fn a_plan_of_the_cluster_is_what_the_controller_writes(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.apply(&(service("echo") + &marked("kong", &["echo"]))).await;
    let plan = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
        // A person's rights: the controller itself may not get single objects.
        let kubeconfig = scene.cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
        let kubeconfig = format!("--kubernetes.kubeconfig={}", kubeconfig.display());
        let namespaces = format!("--namespaces={}", scene.namespace);
        command.args(["plan", &kubeconfig, &namespaces]).env_clear();
        let planned = command.output().await.unwrap();
        assert!(planned.status.success(), "{planned:?}");
        String::from_utf8(planned.stdout).unwrap()
    };
    let planned = plan().await;
    let headings = planned.lines().filter_map(|line| line.strip_prefix("# "));
    let objects: Vec<_> = headings.map(|line| line.split(':').next().unwrap()).collect();
    let namespace = &scene.namespace;
    assert_eq!(
        objects,
        [
            format!("change DataPlaneMetricsExtension {namespace}/kong"),
            format!("create KongPlugin {namespace}/kong-metrics-prometheus"),
            format!("change Service {namespace}/echo"),
            format!("change DataPlaneMetricsExtension {namespace}/kong"),
        ]
    );
    assert!(
        planned.contains("+ metadata.annotations[konghq.com/plugins]: \"kong-metrics-prometheus\""),
        "{planned}"
    );
    let controller = scene.controller(&[]).await;
    scene.until_told("kong", "echo", "Annotated").await;
    scene.until_settled(&controller).await;
    assert_eq!(plan().await, "");
}

fn spelled_event(event: &DynamicObject) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let data = &event.data;
    let (kind, name) = (text(&data["regarding"]["kind"]), text(&data["regarding"]["name"]));
    assert!(data["regarding"]["uid"].is_string(), "{data}");
    format!("{kind} {name} {}: {}", text(&data["reason"]), text(&data["note"]))
}

fn control_plane(version: &str, name: &str, extensions: &[&str]) -> String {
    let group = "gateway-operator.konghq.com";
    let extensions: Vec<_> = extensions
        .iter()
        .map(|name| format!("{{group: {group}, kind: DataPlaneMetricsExtension, name: {name}}}"))
        .collect();
    let extensions = extensions.join(", ");
    let rest = match version {
        "v1beta1" => {
            "dataplane: kong, deployment: {podTemplateSpec: {spec: {containers: [{name: controller, \
             image: kong}]}}}"
        }
        _ => "dataplane: {type: ref, ref: {name: kong}}, ingressClass: kong",
    };
    format!(
        "apiVersion: {group}/{version}\nkind: ControlPlane\nmetadata: {{name: {name}}}\n\
         spec: {{{rest}, extensions: [{extensions}]}}\n---\n"
    )
}

const MARK: &str = "kong-metrics-exporter.io/plugin";
