//! The whole way from an extension to more replicas, on real components: our controller, Kong Ingress
//! Controller, sidecars that watch, EndpointSlices, Prometheus, prometheus-adapter, the
//! aggregated API, the autoscaler, a Deployment. Kong is make-believe, and so is kubelet.
//!
//! ```text
//!  extension ──> controller ──> KongPlugin, annotation ──> Kong Ingress Controller ──> Admin
//!                                                                                        │
//!  Deployment <── HPA <── API server <── adapter <── Prometheus <── sidecar <── Kong (2 pods)
//! ```

mod gateway;
mod kubelet;
mod measured;
mod readers;
mod traffic;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kong_metrics_exporter::render::{Form, Settings, Target, render};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::kubelet::Kubelet;
use self::readers::Readers;
use self::traffic::{BUSY, SLOW, TUTORIAL, Traffic};
use crate::admin::Admin;
use crate::harness::{APISERVER_ADDRESS, Account, Cluster, Test, tests};
use crate::http;
use crate::translator::controller::Controller as Kic;
use crate::translator::fixtures::{CONTROLLER, KINDS, Setup, kong, setup_objects};

pub(crate) fn tests() -> Vec<Test> {
    tests![Controlled: the_tutorial_and_the_recommended_rule_scale_workloads]
}

/// The tutorial's extension, rule and autoscaler scale `command` as it foretells; meanwhile the
/// rules and the autoscaler that are recommended scale `checkout`, and a gateway dies.
async fn the_tutorial_and_the_recommended_rule_scale_workloads(cluster: Cluster) {
    let Some(kic) = all_parts(&cluster) else { return };
    let clock = Instant::now();
    let say = |what: &str| println!("chain {:6.1} s  {what}", clock.elapsed().as_secs_f32());
    let version = define(&cluster).await;
    cluster.apply("", SHOP).await;
    for object in setup_objects(&setup()) {
        cluster.apply_object("", serde_json::from_value(object).unwrap()).await;
    }
    let account = Account::of(&cluster, "kong", RBAC).await;
    let admin = Admin::start(kong(false)).await;
    let folder = cluster.plane.folder().join("logs");
    let kubeconfig = cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
    let _kic = Kic::start(&kic, &kubeconfig, &admin, &folder, &flags());
    let traffic = Traffic::default();
    let kubelet = Kubelet::new(&cluster, account.kubeconfig(APISERVER_ADDRESS), traffic.clone());
    let controller = measured::Controller::start(&cluster).await;
    let story = async {
        cluster.apply("kong", &dataplane()).await;
        cluster.apply("kong", &deployed("monitoring/servicemonitor/service.yaml")).await;
        let readers = Readers::start(&cluster, &rules()).await;
        say("all runs");
        eventually("both gateways are scraped", async || {
            (readers.prometheus.value("sum(up)").await == Some(2.0)).then_some(())
        })
        .await;
        traffic.start("/checkout", BUSY);
        traffic.start("/quiet", BUSY);
        traffic.start("/command", SLOW);
        sleep(Duration::from_secs(2)).await;
        let unmeasured = readers.prometheus.query(r#"{__name__=~"kong_(http|upstream).+"}"#).await;
        assert_eq!(unmeasured, [], "Kong prints nothing before it is told to measure");

        cluster.apply("kong", &extensions(&version)).await;
        say("the extensions are attached");
        let value = eventually("a latency of 80 ms", async || {
            let value = readers.thousandths("command", TUTORIALS_METRIC).await;
            value.filter(|value| *value == 80_000)
        })
        .await;
        say(&format!("{TUTORIALS_METRIC} of command is {value}m"));
        cluster.apply("kong", &deployed("autoscaling/hpa/hpa-tutorial.yaml")).await;
        let hpa = deployed("autoscaling/hpa/hpa.yaml").replace("name: command", "name: checkout");
        cluster.apply("kong", &hpa).await;
        eventually("ten replicas", async || {
            (readers.wanted("command").await == Some(10)).then_some(())
        })
        .await;
        say(&format!("command: {:?}", readers.rescaled("command").await));
        let went_up = ["2", "4", "8", "10"].map(|size| {
            format!("New size: {size}; reason: Service metric {TUTORIALS_METRIC} above target")
        });
        assert_eq!(readers.rescaled("command").await, went_up);
        traffic.stop("/command");

        a_gateway_dies(&cluster, &kubelet, &readers).await;
        say("a gateway died and was replaced: no gap, nothing stale");

        eventually("one replica", async || {
            (readers.wanted("command").await == Some(1)).then_some(())
        })
        .await;
        let all = readers.rescaled("command").await;
        say(&format!("command: {:?}", all.last()));
        assert_eq!(all[..4], went_up);
        assert_eq!(all[4..], ["New size: 1; reason: All metrics below target"]);
        let autoscalers = cluster.api("kong", "autoscaling/v2", "HorizontalPodAutoscaler").await;
        autoscalers.delete("command", &DeleteParams::default()).await.unwrap();

        traffic.start("/command", TUTORIAL);
        let item = eventually("the tutorial's value", async || {
            let item = readers.metric("command", TUTORIALS_METRIC).await?;
            (item["value"] == "102312m").then_some(item)
        })
        .await;
        say(&format!("{item}"));
        let about =
            json!({"kind": "Service", "namespace": "kong", "name": "command", "apiVersion": "/v1"});
        assert_eq!(item["describedObject"], about);
        assert_eq!(item["metricName"], TUTORIALS_METRIC);

        let in_flight = eventually("64 requests under way", async || {
            let value = readers.thousandths("checkout", "kong_upstream_concurrency").await;
            value.filter(|value| (62_000..66_000).contains(value))
        })
        .await;
        let rate = readers.thousandths("checkout", "kong_http_requests_per_second").await.unwrap();
        say(&format!("checkout: {in_flight}m under way, {rate}m requests a second"));
        assert!((310_000..330_000).contains(&rate), "{rate}");
        eventually("eight replicas", async || {
            (readers.wanted("checkout").await == Some(8)).then_some(())
        })
        .await;
        say(&format!("checkout: {:?}", readers.rescaled("checkout").await));
        let told = http::get(controller.process.address, "/metrics", &[]).await;
        let annotated = r#"kong_exporter_controller_services{state="Annotated"}"#;
        assert_eq!(told.sample(annotated), 2.0);
        let quiet = readers
            .prometheus
            .query(r#"{kong_service=~".*quiet.*",__name__=~"kong_[^e].*"}"#)
            .await;
        assert_eq!(quiet, [], "nobody asked to measure it");
    };
    tokio::select! {
        () = story => {}
        () = kubelet.run() => {}
        () = kubelet.send(&admin) => {}
    }
}

/// One of two gateways is gone at once. What `checkout` has to do goes on through the other, and
/// nothing is said any more about the one that is gone; another takes its place.
async fn a_gateway_dies(cluster: &Cluster, kubelet: &Kubelet, readers: &Readers) {
    let victim = kubelet.gateways().remove(0);
    let of_victim = format!(r#"kong_upstream_latency_ms_count{{pod="{victim}"}}"#);
    readers.result(&of_victim).await;
    kubelet.kill(&victim);
    let (died, mut lowest) = (Instant::now(), f64::MAX);
    let mut look = async || {
        // One scrape may be lost on each side of the moment.
        let rate = r#"sum(rate(kong_upstream_latency_ms_count{exported_service="checkout"}[10s]))"#;
        let rate = readers.prometheus.value(rate).await.expect("no gap");
        lowest = lowest.min(rate);
        assert!(rate > 200.0, "{rate} requests a second of 320");
    };
    eventually("nothing is known of the gateway that died", async || {
        look().await;
        readers.prometheus.query(&of_victim).await.is_empty().then_some(())
    })
    .await;
    let stale = died.elapsed();
    assert_eq!(readers.prometheus.value(&format!(r#"up{{pod="{victim}"}}"#)).await, Some(0.0));
    let pods = cluster.api("kong", "v1", "Pod").await;
    pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    eventually("another gateway has taken its place", async || {
        look().await;
        let all = readers.prometheus.query("count by (pod) (kong_upstream_latency_ms_count)").await;
        let up = readers.prometheus.query("up == 1").await;
        (all.len() == 2 && up.len() == 2).then_some(())
    })
    .await;
    eventually("not even that it is down is known of it", async || {
        look().await;
        readers.prometheus.query(&format!(r#"{{pod="{victim}"}}"#)).await.is_empty().then_some(())
    })
    .await;
    println!(
        "chain: {victim}: its series ended after {stale:.1?}; at least {lowest:.0} of 320 requests a second were seen"
    );
}

/// Kong Ingress Controller, if all that this takes has been built.
fn all_parts(cluster: &Cluster) -> Option<std::path::PathBuf> {
    let binaries = &cluster.plane.binaries;
    let parts = [&binaries.kic, &binaries.adapter, &binaries.prometheus];
    if parts.iter().any(|part| part.is_none()) {
        let is_required = std::env::var("KONG_EXPORTER_CLUSTER").is_ok_and(|is| is == "required");
        let missing =
            "not built: tests/cluster/build kic adapter prometheus builds what is missing";
        assert!(!is_required, "{missing}");
        println!("not run: the chain: {missing}");
        return None;
    }
    binaries.kic.clone()
}

/// Defines the kinds that are not there from the start; says which version of GatewayConfiguration
/// there is.
async fn define(cluster: &Cluster) -> String {
    cluster.define(&KINDS).await;
    cluster.define(&["gatewayconfigurations.gateway-operator.konghq.com"]).await;
    let is_new = cluster.serves("gateway-operator.konghq.com/v2beta1").await;
    let version = if is_new { "v2beta1" } else { "v1beta1" };
    format!("gateway-operator.konghq.com/{version}")
}

fn setup() -> Setup {
    let kong = || "kong".to_owned();
    Setup { namespaces: [kong(), kong()], system: kong(), class: kong() }
}

fn flags() -> [String; 4] {
    [
        "--watch-namespace=kong".to_owned(),
        "--publish-service=kong/kong-proxy".to_owned(),
        "--ingress-class=kong".to_owned(),
        format!("--gateway-api-controller-name={CONTROLLER}"),
    ]
}

/// A Deployment with a sidecar, as `render` prints it, of two pods.
fn dataplane() -> String {
    let settings = Settings {
        form: Form::Native,
        name: "dataplane".to_owned(),
        namespace: "kong".to_owned(),
        image: "kong-metrics-exporter:test".to_owned(),
        container: "proxy".to_owned(),
        kong_image: "kong:3.9".to_owned(),
        mapping: "watch".parse().unwrap(),
        shards: 2,
        arguments: Vec::new(),
        port: 9542,
        kong_series: 0,
        tls: None,
    };
    let printed = render(Target::Deployment, &settings).unwrap();
    assert!(printed.contains("\n  replicas: 1\n"), "{printed}");
    printed.replace("\n  replicas: 1\n", "\n  replicas: 2\n")
}

/// The tutorial's extension and a second one, attached.
fn extensions(version: &str) -> String {
    let names = ["kong", "checkout"].map(|name| {
        json!({"kind": "DataPlaneMetricsExtension", "group": "gateway-operator.konghq.com", "name": name})
    });
    let spec = match version.ends_with("v1beta1") {
        true => json!({"controlPlaneOptions": {"extensions": names}}),
        false => json!({"extensions": names}),
    };
    EXTENSIONS.replace("VERSION", version).replace("SPEC", &spec.to_string())
}

/// The rules of both files, as one adapter would have them.
fn rules() -> Vec<Value> {
    let files = ["adapter-tutorial.yaml", "adapter.yaml"];
    let rules = files.iter().flat_map(|file| {
        let values = deployed(&format!("autoscaling/prometheus-adapter/{file}"));
        let values: Value = serde_saphyr::from_str(&values).unwrap();
        values["rules"]["custom"].as_array().unwrap().clone()
    });
    rules.collect()
}

/// A file that is shipped.
fn deployed(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    fs::read_to_string(folder.join(path)).unwrap()
}

/// As `until`, for what takes as long as a window of the tutorial's rule.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(150), "never came: {what}");
        sleep(Duration::from_millis(250)).await;
    }
}

const TUTORIALS_METRIC: &str = "kong_upstream_latency_ms_60s_average";
const SHOP: &str = include_str!("shop.yaml");
const EXTENSIONS: &str = include_str!("extensions.yaml");
const RBAC: &str = include_str!("../../../deploy/rbac/watch/rbac.yaml");
