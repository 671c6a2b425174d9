//! `publish` and the sidecars that it publishes for, each with the token of its ServiceAccount and
//! the roles of `deploy/rbac`, against a real API server.
//!
//! A few thousand names by default; `KONG_EXPORTER_PUBLISHED` says how many. What is measured is
//! printed.

mod clocks;
mod fleet;
mod namespaces;
mod rights;
mod routes;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use clocks::a_clock_that_is_a_year_off_makes_neither_two_leaders_nor_none;
use namespaces::namespaces_with_data_planes_are_found_and_a_missing_right_there_is_told;
use rights::a_missing_right_is_told_as_the_rule_to_add;
use routes::what_routes_say_is_published_and_what_is_said_of_them_is_not;

use crate::harness::{APISERVER_ADDRESS, Account, Cluster, Proxy, Request, Test, tests};
use crate::http;
use crate::kong::{self, Kong};
use crate::processes::{self, Process, until};

pub(crate) fn tests() -> Vec<Test> {
    let shared = tests![Shared:
        one_of_two_publishers_writes_and_sidecars_have_it,
        what_somebody_does_to_configmaps_is_undone_and_takes_nothing,
        a_missing_right_is_told_as_the_rule_to_add,
        a_clock_that_is_a_year_off_makes_neither_two_leaders_nor_none,
        namespaces_with_data_planes_are_found_and_a_missing_right_there_is_told,
    ];
    // Routes of other tests would be published, too.
    let alone = tests![Alone:
        what_routes_say_is_published_and_what_is_said_of_them_is_not,
    ];
    shared.into_iter().chain(alone).chain(fleet::tests()).collect()
}

/// Two publishers, and what they publish.
struct Scene {
    cluster: Cluster,
    namespace: String,
    publisher: Account,
    reader: Account,
    proxy: Proxy,
    file: PathBuf,
}

impl Scene {
    async fn new(cluster: Cluster) -> Self {
        Self::with(cluster, &manifest("publisher"), &manifest("published")).await
    }

    /// One in which the two have these rights.
    async fn with(cluster: Cluster, publisher: &str, reader: &str) -> Self {
        let namespace = cluster.namespace("published").await;
        let publisher = Account::of(&cluster, &namespace, publisher).await;
        let reader = Account::of(&cluster, &namespace, reader).await;
        let proxy = Proxy::to(APISERVER_ADDRESS).await;
        let file = cluster.plane.folder().join(format!("{namespace}.json"));
        Self { cluster, namespace, publisher, reader, proxy, file }
    }

    /// As a mapping file: names that do not say themselves.
    fn write(&self, count: usize, port: u16) {
        let entry = |number: usize| {
            let (namespace, route) =
                (format!("namespace-{}", number / 100), format!("route-{number}"));
            let port = if number == 7 { port } else { 80 };
            let backend = json!({"namespace": namespace, "service": format!("service-{number}"), "port": port, "weight": 1});
            let owner =
                json!({"kind": "HTTPRoute", "namespace": namespace, "name": route, "rule": 0});
            let name = format!("httproute.{namespace}.{route}.0");
            (name, json!({"backends": [backend], "owners": [owner]}))
        };
        let services: Map<String, Value> = (0..count).map(entry).collect();
        let new = self.file.with_extension("new");
        fs::write(&new, json!({"services": services}).to_string()).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// A publisher of what [`Self::write`] has written.
    async fn publish(&self) -> Process {
        self.publish_from(&[&format!("--mapping=file:{}", self.file.display())]).await
    }

    async fn publish_from(&self, mapping: &[&str]) -> Process {
        let kubeconfig = self.publisher.kubeconfig(APISERVER_ADDRESS);
        let usual = [
            "publish",
            "--web.listen-address=127.0.0.1:0",
            &format!("--publish.namespaces={}", self.namespace),
            &format!("--lease.namespace={}", self.namespace),
            "--publish.check-interval=5s",
            &format!("--kubernetes.kubeconfig={}", kubeconfig.display()),
        ];
        processes::command(&[&usual, mapping].concat()).await
    }

    async fn sidecar(&self, kong: &Kong) -> Process {
        let kubeconfig = self.reader.kubeconfig(self.proxy.address);
        let arguments = [
            "--mapping=published".to_owned(),
            format!("--mapping.namespace={}", self.namespace),
            format!("--kubernetes.kubeconfig={}", kubeconfig.display()),
        ];
        processes::exporter(&kong.url(), &arguments.each_ref().map(String::as_str)).await
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// The shards, by name, each with its version.
    async fn shards(&self) -> Vec<(String, String)> {
        let label = ListParams::default().labels("kong-metrics-exporter.io/mapping=kong-mapping");
        let listed = self.config_maps().list(&label).await.unwrap();
        let mut shards: Vec<_> = listed
            .items
            .iter()
            .map(|one| (one.name_any(), one.resource_version().unwrap()))
            .collect();
        shards.sort_unstable();
        shards
    }

    /// How often the publisher has written or removed a ConfigMap, as the API server says.
    fn writes(&self) -> usize {
        let requests = self.cluster.requests(&self.publisher);
        let is_write = |request: &&Request| {
            request.object_ref.resource == "configmaps"
                && ["create", "update", "patch", "delete"].contains(&request.verb.as_str())
        };
        requests.iter().filter(is_write).count()
    }

    /// Waits until nothing has been written for longer than the time between two publications.
    async fn settle(&self) {
        until("nothing is written any more", async || {
            let before = self.writes();
            sleep(QUIET).await;
            (self.writes() == before).then_some(())
        })
        .await;
    }

    /// Asserts that the roles of `deploy/rbac` gave all the rights that were needed.
    fn was_never_denied(&self) {
        for account in [&self.publisher, &self.reader] {
            let requests = self.cluster.requests(account);
            let denied = requests.iter().find(|request| request.response_status.code == 403);
            assert!(denied.is_none(), "{denied:?}");
            assert!(!requests.is_empty());
        }
    }
}

async fn sample(process: &Process, series: &str) -> f64 {
    http::get(process.address, "/metrics", &[]).await.sample(series)
}

async fn until_mapped(sidecar: &Process, count: usize) {
    until("all names are mapped", async || {
        (sample(sidecar, "kong_exporter_mapping_services").await == count as f64).then_some(())
    })
    .await;
}

async fn one_of_two_publishers_writes_and_sidecars_have_it(cluster: Cluster) {
    let count = env::var("KONG_EXPORTER_PUBLISHED").map_or(5_000, |count| count.parse().unwrap());
    let scene = Scene::new(cluster).await;
    scene.write(count, 80);
    let kong = Kong::start(kong::good(
        "kong_http_requests_total{service=\"httproute.namespace-0.route-7.0\"} 7\n",
    ))
    .await;
    let publishers = [scene.publish().await, scene.publish().await];
    let leads = async |process: &Process| sample(process, "kong_exporter_publish_leader").await;
    let sidecar = scene.sidecar(&kong).await;
    until_mapped(&sidecar, count).await;
    let answer = http::get(sidecar.address, "/metrics", &[]).await.text();
    assert!(answer.contains("exported_service=\"service-7\""), "{answer}");

    // What it costs to start.
    let before = scene.proxy.bytes_to_client();
    let another = scene.sidecar(&kong).await;
    until_mapped(&another, count).await;
    let start_bytes = scene.proxy.bytes_to_client() - before;
    let shards = scene.shards().await;
    println!("published: {count} names, {} shards, {start_bytes} bytes at the start", shards.len());
    assert!(start_bytes < 1_000_000, "{start_bytes}");

    // The same content in another file: nothing is written, and nothing is sent.
    let before = scene.proxy.bytes_to_client();
    scene.write(count, 80);
    sleep(Duration::from_secs(8)).await;
    assert_eq!(scene.shards().await, shards);
    let sent = scene.proxy.bytes_to_client() - before;
    assert!(sent < 2_000, "{sent} bytes: a bookmark at most");

    // One change is one shard, for each of the two sidecars.
    let (before, start) = (scene.proxy.bytes_to_client(), Instant::now());
    scene.write(count, 81);
    let revision = sample(&sidecar, "kong_exporter_mapping_revision").await;
    for sidecar in [&sidecar, &another] {
        until("the change has come", async || {
            let now = sample(sidecar, "kong_exporter_mapping_revision").await;
            (now > revision).then_some(())
        })
        .await;
    }
    let (took, sent) = (start.elapsed(), (scene.proxy.bytes_to_client() - before) / 2);
    println!("published: a change came after {took:.1?} and cost {sent} bytes a sidecar");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let changed = scene.shards().await.iter().filter(|one| !shards.contains(one)).count();
    assert_eq!(changed, 1);

    // The leader is killed, and the other one takes over.
    let [one, other] = publishers;
    let is_first = leads(&one).await == 1.0;
    assert_ne!(leads(&one).await, leads(&other).await);
    let (leader, other) = if is_first { (one, other) } else { (other, one) };
    let killed = Instant::now();
    drop(leader);
    until("the other one leads", async || (leads(&other).await == 1.0).then_some(())).await;
    println!("published: the other publisher led {:.1?} after a SIGKILL", killed.elapsed());
    assert!(killed.elapsed() <= Duration::from_secs(15), "{:?}", killed.elapsed());
    scene.write(count + 1, 81);
    until_mapped(&sidecar, count + 1).await;

    scene.was_never_denied();
}

async fn what_somebody_does_to_configmaps_is_undone_and_takes_nothing(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.write(2_000, 80);
    let kong = Kong::start(kong::good("kong_http_requests_total{service=\"\"} 7\n")).await;
    let publisher = scene.publish().await;
    let sidecar = scene.sidecar(&kong).await;
    until_mapped(&sidecar, 2_000).await;
    let maps = scene.config_maps();
    let cut = json!({"binaryData": {"kong-mapping-0.gz": "H4sIEAAA"}});
    let params = PatchParams::default();
    maps.patch("kong-mapping-0", &params, &Patch::Merge(&cut)).await.unwrap();
    until("the sidecar refuses it", async || {
        let refused = "kong_exporter_mapping_shards{state=\"refused\"}";
        (sample(&sidecar, refused).await == 1.0).then_some(())
    })
    .await;
    maps.delete("kong-mapping-1", &DeleteParams::default()).await.unwrap();
    assert_eq!(sample(&sidecar, "kong_exporter_mapping_services").await, 2_000.0);
    until("all is as it was", async || {
        let state = async |state: &str| {
            let series = format!("kong_exporter_mapping_shards{{state=\"{state}\"}}");
            sample(&sidecar, &series).await
        };
        let shards = sample(&publisher, "kong_exporter_publish_shards").await;
        let now = (state("accepted").await, state("refused").await, state("missing").await);
        (now == (shards, 0.0, 0.0)).then_some(())
    })
    .await;
    assert_eq!(sample(&sidecar, "kong_exporter_mapping_services").await, 2_000.0);

    // Fewer names are fewer ConfigMaps.
    let before = scene.shards().await.len();
    scene.write(10, 80);
    until_mapped(&sidecar, 10).await;
    until("the leftovers are gone", async || (scene.shards().await.len() == 1).then_some(())).await;
    assert!(before > 1);
}

fn manifest(mode: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/rbac/{mode}/rbac.yaml"));
    fs::read_to_string(path).unwrap()
}

/// The time between two publications and the time to notice that something is to be published.
const QUIET: Duration = Duration::from_secs(7);
