//! A publisher and a sidecar without rights say which rule is missing, and for whom.

use super::{Scene, manifest, until_mapped};
use crate::harness::Cluster;
use crate::kong::{self, Kong};
use crate::processes::{Process, until};

pub(super) async fn a_missing_right_is_told_as_the_rule_to_add(cluster: Cluster) {
    let [publisher, reader] = ["kong-metrics-exporter-publisher", "kong-metrics-exporter"];
    let scene = Scene::with(cluster, &account(publisher), &account(reader)).await;
    let namespace = &scene.namespace;
    let told = async |process: &Process, account: &str, rule: &str| {
        let whom = format!("give ServiceAccount {namespace}/{account}, by a Role of namespace");
        until("the missing rule is told", async || {
            let log = process.log();
            let is_it = |line: &str| line.contains(&whom) && line.contains(rule);
            log.lines().any(is_it).then_some(())
        })
        .await;
    };
    scene.write(10, 80);
    let kong = Kong::start(kong::good("kong_http_requests_total{service=\"\"} 7\n")).await;
    let publishing = scene.publish().await;
    let sidecar = scene.sidecar(&kong).await;
    told(&publishing, publisher, "resources: [leases], verbs: [get, create, update]").await;
    told(&sidecar, reader, "resources: [configmaps], verbs: [list, watch]").await;

    // May lead, and do nothing with that.
    scene.cluster.apply(namespace, LEASES).await;
    let rule = "resources: [configmaps], verbs: [get, list, create, patch, delete]";
    told(&publishing, publisher, rule).await;

    for mode in ["publisher", "published"] {
        scene.cluster.apply_moved(namespace, &manifest(mode)).await;
    }
    until_mapped(&sidecar, 10).await;
}

fn account(name: &str) -> String {
    format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}\n")
}

const LEASES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leases}
rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leases}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leases}
subjects: [{kind: ServiceAccount, name: kong-metrics-exporter-publisher}]
";
