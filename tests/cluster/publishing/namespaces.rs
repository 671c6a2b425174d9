//! A publisher that is told no namespaces: those of DataPlanes, with the roles of `deploy/rbac`.

use std::fs;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;

use super::{Scene, manifest, until_mapped};
use crate::harness::{APISERVER_ADDRESS, Cluster};
use crate::kong::{self, Kong};
use crate::processes::{self, until};

pub(super) async fn namespaces_with_data_planes_are_found_and_a_missing_right_there_is_told(
    cluster: Cluster,
) {
    cluster.define(&["dataplanes.gateway-operator.konghq.com"]).await;
    let scene = Scene::new(cluster).await;
    let gateways = scene.cluster.namespace("gateways").await;
    scene.cluster.apply(&gateways, DATA_PLANE).await;
    scene.write(10, 80);
    let kubeconfig = scene.publisher.kubeconfig(APISERVER_ADDRESS);
    // As in a pod, which has a namespace of its own.
    let own = fs::read_to_string(&kubeconfig).unwrap();
    let mut own: serde_json::Value = serde_json::from_str(&own).unwrap();
    own["contexts"][0]["context"]["namespace"] = scene.namespace.as_str().into();
    fs::write(&kubeconfig, own.to_string()).unwrap();
    let publisher = processes::command(&[
        "publish",
        "--web.listen-address=127.0.0.1:0",
        &format!("--mapping=file:{}", scene.file.display()),
        &format!("--kubernetes.kubeconfig={}", kubeconfig.display()),
    ])
    .await;

    // Its own namespace has all of it; in the other one it may not write yet, and says so.
    let kong = Kong::start(kong::good("kong_http_requests_total{service=\"\"} 7\n")).await;
    let sidecar = scene.sidecar(&kong).await;
    until_mapped(&sidecar, 10).await;
    let rule = "resources: [configmaps], verbs: [get, list, create, patch, delete]";
    until("the missing rule is told", async || {
        let log = publisher.log();
        let is_it = |line: &str| line.contains(rule) && line.contains(gateways.as_str());
        log.lines().any(is_it).then_some(())
    })
    .await;

    // The role that is shipped for this, whose subject stays where it is.
    let role = manifest("publisher-namespace")
        .replace("namespace: gateways", &format!("namespace: {gateways}"))
        .replace("namespace: kong\n", &format!("namespace: {}\n", scene.namespace));
    scene.cluster.apply(&gateways, &role).await;
    let maps: Api<ConfigMap> = Api::namespaced(scene.cluster.client.clone(), &gateways);
    let label = ListParams::default().labels("kong-metrics-exporter.io/mapping=kong-mapping");
    until("the other namespace has it, too", async || {
        (!maps.list(&label).await.unwrap().items.is_empty()).then_some(())
    })
    .await;
}

const DATA_PLANE: &str = "
apiVersion: gateway-operator.konghq.com/v1beta1
kind: DataPlane
metadata: {name: gateway}
spec:
  deployment:
    podTemplateSpec:
      spec:
        containers: [{name: proxy, image: kong:3.9}]
";
