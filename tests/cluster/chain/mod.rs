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
pub(crate) mod stage;
mod traffic;

use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::readers::Readers;
pub(crate) use self::readers::{Reading, thousandths};
use self::stage::{Place, Stage, built, deployed, eventually};
pub(crate) use self::traffic::Lot;
use self::traffic::{BUSY, SLOW, TUTORIAL};
use crate::harness::{Cluster, Test, tests};
use crate::http;
use crate::shown;

pub(crate) fn tests() -> Vec<Test> {
    tests![Controlled: the_tutorial_and_the_recommended_rule_scale_workloads]
}

/// The tutorial's extension, rule and autoscaler scale `command` as it foretells; meanwhile the
/// rules and the autoscaler that are recommended scale `checkout`, and a gateway dies.
async fn the_tutorial_and_the_recommended_rule_scale_workloads(cluster: Cluster) {
    let binaries = &cluster.plane.binaries;
    let parts = [("adapter", &binaries.adapter), ("prometheus", &binaries.prometheus)];
    let Some(kic) = built(&cluster, "the chain", &parts) else { return };
    // The tutorial's namespace, for its objects are taken as they are.
    let place = Place { namespace: "kong", network: 0 };
    let stage = Stage::set(&cluster, place, &kic).await;
    let Stage { traffic, controller, .. } = &stage;
    let say = |what: &str| stage.say(what);
    let story = async {
        let readers = Readers::start(&cluster, place, &rules()).await;
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

        stage.attach(EXTENSIONS, &["kong", "checkout"]).await;
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
            (stage.wanted("command").await == Some(10)).then_some(())
        })
        .await;
        say(&format!("command: {:?}", stage.rescaled("command").await));
        let went_up = ["2", "4", "8", "10"].map(|size| {
            format!("New size: {size}; reason: Service metric {TUTORIALS_METRIC} above target")
        });
        assert_eq!(stage.rescaled("command").await, went_up);
        traffic.stop("/command");

        a_gateway_dies(&stage, &readers).await;
        say("a gateway died and was replaced: no gap, nothing stale");

        eventually("one replica", async || {
            (stage.wanted("command").await == Some(1)).then_some(())
        })
        .await;
        let all = stage.rescaled("command").await;
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
        // As the pages have somebody ask for it, by hand.
        if let Some(printed) = shown::asked_for(&cluster, TUTORIALS_METRIC).await {
            assert!(printed.contains(r#""value":"102312m""#), "{printed}");
            let printed = shown::asked_for(&cluster, "kong_upstream_concurrency").await.unwrap();
            assert!(printed.contains(r#""metricName":"kong_upstream_concurrency""#), "{printed}");
        }

        let in_flight = eventually("64 requests under way", async || {
            let value = readers.thousandths("checkout", "kong_upstream_concurrency").await;
            value.filter(|value| (62_000..66_000).contains(value))
        })
        .await;
        let rate = readers.thousandths("checkout", "kong_http_requests_per_second").await.unwrap();
        say(&format!("checkout: {in_flight}m under way, {rate}m requests a second"));
        assert!((310_000..330_000).contains(&rate), "{rate}");
        eventually("eight replicas", async || {
            (stage.wanted("checkout").await == Some(8)).then_some(())
        })
        .await;
        say(&format!("checkout: {:?}", stage.rescaled("checkout").await));
        let told = http::get(controller.process.address, "/metrics", &[]).await;
        let annotated = r#"kong_exporter_controller_services{state="Annotated"}"#;
        assert_eq!(told.sample(annotated), 2.0);
        let quiet = readers
            .prometheus
            .query(r#"{kong_service=~".*quiet.*",__name__=~"kong_[^e].*"}"#)
            .await;
        assert_eq!(quiet, [], "nobody asked to measure it");
    };
    Box::pin(stage.play(story)).await;
}

/// One of two gateways is gone at once. What `checkout` has to do goes on through the other, and
/// nothing is said any more about the one that is gone; another takes its place.
async fn a_gateway_dies(Stage { cluster, kubelet, .. }: &Stage, readers: &Readers) {
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

const TUTORIALS_METRIC: &str = "kong_upstream_latency_ms_60s_average";
const EXTENSIONS: &str = include_str!("extensions.yaml");
