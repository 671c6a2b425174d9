//! What an extension is attached by, and what is there already: Kong Operator's traces, users'
//! plugins of the whole cluster, definitions of either make.

use std::fs;
use std::path::Path;

use hyper::Request;
use hyper::header::ACCEPT;
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};

use super::{PLUGINS, STATUS, Scene, marked, service, spelled};
use crate::harness::{Cluster, Test, read, tests};
use crate::processes::until;
use crate::tutorial::{EXTENSION, V1BETA1, V2BETA1};

pub(super) fn tests() -> Vec<Test> {
    let shared = tests![Shared: what_kong_operator_has_left_is_taken_over];
    // Those that define kinds anew, and one whose plugins are everybody's.
    let alone = tests![Alone:
        the_tutorials_objects_attach_in_both_versions,
        plugins_of_the_whole_cluster_count,
        where_conditions_are_kept_kubectl_shows_them,
    ];
    shared.into_iter().chain(alone).collect()
}

/// The objects of Kong's tutorial, as they stand there.
async fn the_tutorials_objects_attach_in_both_versions(cluster: Cluster) {
    for (version, configuration) in [("v1beta1", V1BETA1), ("v2beta1", V2BETA1)] {
        let scene = Scene::new(cluster.clone()).await;
        if !scene.define_configurations(version).await {
            println!(
                "not run: GatewayConfigurations in {version}: the definitions at hand have none"
            );
            continue;
        }
        let move_here = |yaml: &str| {
            yaml.replace("namespace: kong", &format!("namespace: {}", scene.namespace))
        };
        scene.apply(&service("command")).await;
        scene.apply(&move_here(EXTENSION)).await;
        let before = scene.content().await;
        let controller = scene.controller(&[]).await;
        scene.until_settled(&controller).await;
        assert_eq!(scene.content().await, before, "{version}: attached to nothing");
        scene.apply(&move_here(configuration)).await;
        scene.until_listed("Service", "command", Some("kong-metrics-prometheus")).await;
        scene.until_told("kong", "command", "Annotated").await;
        let plugin = scene.find("KongPlugin", "kong-metrics-prometheus").await.unwrap();
        assert_eq!(
            plugin["config"],
            json!({
                "latency_metrics": true,
                "bandwidth_metrics": false,
                "upstream_health_metrics": false,
                "status_code_metrics": false,
            })
        );
        let group = format!("gateway-operator.konghq.com/{version}");
        let configurations =
            scene.cluster.api(&scene.namespace, &group, "GatewayConfiguration").await;
        let _ = configurations.delete("kong", &DeleteParams::default()).await.unwrap();
        scene.until_as(&before).await;
        scene.was_never_denied();
    }
    Scene::new(cluster).await.define_configurations("").await;
}

async fn what_kong_operator_has_left_is_taken_over(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    let (namespace, version) = (&scene.namespace, "gateway-operator.konghq.com/v2beta1");
    if !scene.cluster.serves(version).await {
        println!("not run: ControlPlanes in {version}: the definitions at hand have none");
        return;
    }
    let control_plane = format!(
        "apiVersion: {version}\nkind: ControlPlane\nmetadata: {{name: cp}}\n\
         spec: {{dataplane: {{type: ref, ref: {{name: kong}}}}, ingressClass: kong, extensions: [{{\
         group: gateway-operator.konghq.com, kind: DataPlaneMetricsExtension, name: kong}}]}}\n"
    );
    scene.apply(&control_plane).await;
    let uid = scene.find("ControlPlane", "cp").await.unwrap()["metadata"]["uid"].clone();
    scene.apply(&super::extension("kong", &["echo", "other"])).await;
    for (name, list, is_selected) in [
        ("echo", "a, echo-metrics-prometheus ,b", true),
        ("other", ",other-metrics-prometheus", true),
        ("third", "third-metrics-prometheus", false),
    ] {
        let mark = "gateway-operator.konghq.com/control-plane-manag";
        let operators = format!(
            "labels: {{team: shop, {mark}ing-plugins-name: cp, {mark}ing-plugins-namespace: {namespace}}}, \
             annotations: {{konghq.com/plugins: \"{list}\", {mark}ed-plugins: {name}-metrics-prometheus}}"
        );
        let named = format!("metadata: {{name: {name}");
        scene.apply(&service(name).replace(&named, &format!("{named}, {operators}"))).await;
        let label = "gateway-operator.konghq.com";
        let plugin = format!(
            "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\n\
             metadata:\n  name: {name}-metrics-prometheus\n  labels: {{{label}/managed-by: controlplane, \
             {label}/managed-by-name: {}, {label}/managed-by-namespace: {namespace}, \
             {label}/kong-plugin-type: prometheus}}\n  ownerReferences: [{{apiVersion: {version}, \
             kind: ControlPlane, name: cp, uid: {uid}, controller: true}}]\n\
             plugin: prometheus\nconfig: {{latency_metrics: true}}\n",
            if is_selected { "cp" } else { "another" },
        );
        scene.apply(&plugin).await;
    }
    let before = scene.content().await;
    let controller = scene.controller(&[]).await;
    scene.until_told("kong", "echo", "ManagedByKongOperator").await;
    scene.until_settled(&controller).await;
    assert_eq!(scene.content().await, before, "hands off");
    drop(controller);

    scene.forget_lease().await;
    scene.gate.reset();
    let controller = scene.controller(&["--adopt"]).await;
    scene.until_gone("KongPlugin", "other-metrics-prometheus").await;
    scene.until_told("kong", "other", "Annotated").await;
    scene.until_settled(&controller).await;
    for (name, list) in
        [("echo", "a,b,kong-metrics-prometheus"), ("other", "kong-metrics-prometheus")]
    {
        let metadata = &scene.find("Service", name).await.unwrap()["metadata"];
        assert_eq!(metadata["labels"], json!({"team": "shop"}));
        assert_eq!(metadata["annotations"][PLUGINS], list);
        let theirs = metadata["annotations"].as_object().unwrap().keys();
        assert_eq!(theirs.filter(|key| key.starts_with("gateway-operator")).count(), 0);
    }
    let writes = spelled(&scene.gate.writes());
    let of_services = |line: &&String| line.contains("services/");
    assert_eq!(
        writes.iter().filter(of_services).collect::<Vec<_>>(),
        ["PATCH services/echo", "PATCH services/other"],
        "one write each: {writes:?}"
    );
    // It is another ControlPlane's, and selected by nothing.
    assert!(scene.find("KongPlugin", "third-metrics-prometheus").await.is_some());
    assert_eq!(
        scene.annotation("Service", "third", PLUGINS).await.as_deref(),
        Some("third-metrics-prometheus")
    );
    scene.was_never_denied();
}

async fn plugins_of_the_whole_cluster_count(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    let of_cluster = |name: &str, global: bool, config: &str| {
        format!(
            "apiVersion: configuration.konghq.com/v1\nkind: KongClusterPlugin\nmetadata:\n  name: {name}\n  \
             labels: {{global: \"{global}\"}}\n  annotations: {{kubernetes.io/ingress.class: kong}}\n\
             plugin: prometheus\nconfig: {{{config}}}\n"
        )
    };
    scene.apply(&of_cluster("users-prometheus", false, "latency_metrics: true")).await;
    scene.apply(&(service("echo") + &service("mine") + &marked("kong", &["echo", "mine"]))).await;
    scene.annotate("Service", "mine", PLUGINS, Some("users-prometheus")).await;
    let controller = scene.controller(&[]).await;
    scene.until_told("kong", "echo", "Annotated").await;
    let told = scene.until_told("kong", "mine", "UserManaged").await;
    let reason = told["services"]["mine"]["reason"].as_str().unwrap();
    assert!(reason.contains("KongClusterPlugin users-prometheus"), "{reason}");
    scene.until_listed("Service", "mine", Some("users-prometheus")).await;

    // What a global one measures is measured by ours, too; of two, Kong's controllers apply none.
    let until_measured = async |flags: [&str; 2]| {
        until(&format!("{flags:?} are measured"), async || {
            let plugin = scene.find("KongPlugin", "kong-metrics-prometheus").await?;
            let config = plugin["config"].as_object().unwrap().iter();
            let on: Vec<_> = config.filter(|(_, is)| **is == true).map(|(name, _)| name).collect();
            (on == flags.into_iter().filter(|flag| !flag.is_empty()).collect::<Vec<_>>())
                .then_some(())
        })
        .await;
    };
    until_measured(["latency_metrics", ""]).await;
    scene.apply(&of_cluster("global-a", true, "status_code_metrics: true")).await;
    until_measured(["latency_metrics", "status_code_metrics"]).await;
    scene.apply(&of_cluster("global-b", true, "bandwidth_metrics: true")).await;
    until_measured(["latency_metrics", ""]).await;

    // And when the user lists it beside ours, ours goes.
    scene
        .annotate("Service", "echo", PLUGINS, Some("kong-metrics-prometheus,users-prometheus"))
        .await;
    scene.until_listed("Service", "echo", Some("users-prometheus")).await;
    scene.until_gone("KongPlugin", "kong-metrics-prometheus").await;
    scene.until_settled(&controller).await;
    scene.was_never_denied();
}

/// With the definition that `crd` prints.
async fn where_conditions_are_kept_kubectl_shows_them(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crd/dataplanemetricsextensions.yaml");
    let definition = read(&fs::read_to_string(path).unwrap());
    scene.cluster.apply_all("", definition).await;
    until("conditions are kept", async || {
        scene.apply(&marked("probe", &["echo"])).await;
        let probe = scene.find("DataPlaneMetricsExtension", "probe").await?;
        scene.delete("DataPlaneMetricsExtension", "probe").await;
        probe["status"]["conditions"].is_array().then_some(())
    })
    .await;
    scene
        .apply(
            &(service("echo") + &marked("kong", &["echo"]) + &marked("half", &["other", "gone"])),
        )
        .await;
    scene.apply(&service("other")).await;
    let controller = scene.controller(&[]).await;
    let until_shown = async |expected: &[[&str; 3]]| {
        until(&format!("{expected:?} is shown"), async || {
            (scene.shown().await == expected).then_some(())
        })
        .await;
    };
    until_shown(&[["half", "False", "1 of 2 Services"], ["kong", "True", "1 of 1 Services"]]).await;
    scene.until_settled(&controller).await;
    scene.gate.reset();
    scene.apply(&service("gone")).await;
    until_shown(&[["half", "True", "2 of 2 Services"], ["kong", "True", "1 of 1 Services"]]).await;
    scene.until_settled(&controller).await;
    assert_eq!(
        spelled(&scene.gate.writes()),
        [
            "PATCH services/gone",
            "PATCH dataplanemetricsextensions/half",
            "PATCH dataplanemetricsextensions/half/status",
        ]
    );
    // Detached, it says nothing any more.
    scene.patch("DataPlaneMetricsExtension", "kong", json!({"metadata": {"labels": null}})).await;
    until("nothing is told", async || {
        let extension = scene.find("DataPlaneMetricsExtension", "kong").await.unwrap();
        let is_told = extension["metadata"]["annotations"][STATUS].is_string();
        (!is_told && extension["status"]["conditions"] == json!([])).then_some(())
    })
    .await;
    scene.was_never_denied();
    scene.cluster.define(&["dataplanemetricsextensions.gateway-operator.konghq.com"]).await;
}

impl Scene {
    /// Defines GatewayConfigurations anew: in this version alone, or all that there are. Whether there
    /// is such a version. (Without Kong Operator's conversion, what is written in one version is
    /// cut to what the other one has.)
    async fn define_configurations(&self, version: &str) -> bool {
        let name = "gatewayconfigurations.gateway-operator.konghq.com";
        let definitions =
            self.cluster.api("", "apiextensions.k8s.io/v1", "CustomResourceDefinition").await;
        self.cluster.define(&[name]).await;
        let whole: DynamicObject = definitions.get(name).await.unwrap();
        let _ = definitions.delete(name, &DeleteParams::default()).await.unwrap();
        until("the definition is gone", async || {
            definitions.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
        if version.is_empty() {
            self.cluster.define(&[name]).await;
            return true;
        }
        let mut spec = whole.data["spec"].clone();
        let versions = spec["versions"].as_array_mut().unwrap();
        versions.retain(|one| one["name"] == version);
        let Some(one) = versions.first_mut() else { return false };
        one["storage"] = json!(true);
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": spec,
        });
        self.cluster.apply_object("", serde_json::from_value(definition).unwrap()).await;
        until("the version is served", async || {
            let group = format!("gateway-operator.konghq.com/{version}");
            let kinds = self.cluster.client.list_api_group_resources(&group).await.ok()?;
            kinds.resources.iter().any(|kind| kind.kind == "GatewayConfiguration").then_some(())
        })
        .await;
        true
    }

    /// Name, `Ready` and `Message` of each extension, as `kubectl get` has them.
    async fn shown(&self) -> Vec<[String; 3]> {
        let path = format!(
            "/apis/gateway-operator.konghq.com/v1alpha1/namespaces/{}/dataplanemetricsextensions",
            self.namespace
        );
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let request = Request::get(path).header(ACCEPT, table).body(Vec::new()).unwrap();
        let table: Value = self.cluster.client.request(request).await.unwrap();
        let columns = table["columnDefinitions"].as_array().unwrap().iter();
        let columns: Vec<_> = columns.map(|column| column["name"].as_str().unwrap()).collect();
        let place = |name: &str| columns.iter().position(|own| *own == name).unwrap();
        let places = ["Name", "Ready", "Message"].map(place);
        let rows = table["rows"].as_array().unwrap().iter();
        let cell =
            |row: &Value, at: usize| row["cells"][at].as_str().unwrap_or_default().to_owned();
        rows.map(|row| places.map(|at| cell(row, at))).collect()
    }
}
