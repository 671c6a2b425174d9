//! The ScaledObject that is shipped, with a real KEDA: from nothing to one replica, to as many as
//! are needed, and to nothing, by the whole chain; and what becomes of it when the metrics fail.
//!
//! ```text
//!  extension ──> controller ──> Kong Ingress Controller ──> Kong (2 pods) ──> sidecars
//!                                                                               │
//!  Deployment <──┬── HPA <── API server <── KEDA's metrics server        Prometheus
//!                └──────────────────────────── KEDA's operator <────────────────┘
//! ```

mod observed;
mod programs;
mod shipped;

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::Value;
use tokio::time::sleep;

use self::observed::Observed;
use self::programs::Keda;
use self::shipped::{as_shipped, in_seconds, is_earnest, pace, silence};
use crate::chain::stage::{Place, Stage, built, deployed, eventually};
use crate::chain::{Lot, Reading};
use crate::harness::{Cluster, Test, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![Controlled: the_scaled_object_scales_from_zero_and_an_outage_is_not_idleness]
}

async fn the_scaled_object_scales_from_zero_and_an_outage_is_not_idleness(cluster: Cluster) {
    let binaries = &cluster.plane.binaries;
    let parts = [("keda", &binaries.keda), ("prometheus", &binaries.prometheus)];
    let Some(kic) = built(&cluster, "KEDA", &parts) else { return };
    let place = Place { namespace: "awake", network: 1 };
    let stage = Stage::set(&cluster, place, &kic).await;
    let observed = Observed::of(&stage);
    let story = async {
        let prometheus = Reading::start(&cluster, place, pace().0).await;
        let _keda = Keda::start(&cluster, place.namespace).await;
        eventually("both gateways are scraped", async || {
            (prometheus.value("sum(up)").await == Some(2.0)).then_some(())
        })
        .await;
        stage.say("all runs");
        only_one_autoscaler(&cluster, place).await;
        stage.say("KEDA's webhook accepts what is shipped, and refuses a second autoscaler");

        new_to_a_busy_workload(&stage, &observed, &prometheus).await;
        idle(&stage, &observed).await;
        woken(&stage, &observed, &prometheus).await;
        busy(&stage, &observed).await;
        a_second_autoscaler_stops_both(&stage).await;
        sidecars_end_while_busy(&stage, &observed).await;
        idle(&stage, &observed).await;
        kong_cannot_be_read_while_idle(&stage, &observed).await;
        let mut events = stage.events("ScaledObject", "command").await;
        events.retain(|(reason, _)| reason != "KEDAScalersStarted");
        events.dedup();
        for (reason, message) in events {
            println!("ScaledObject: {reason}: {message}");
        }
    };
    let story = async {
        tokio::select! {
            () = story => {}
            () = observed.note() => {}
        }
    };
    Box::pin(stage.play(story)).await;
}

/// KEDA's own validation: the ScaledObject as it is shipped passes, unless something else scales
/// the Deployment already.
async fn only_one_autoscaler(cluster: &Cluster, place: Place) {
    let shipped = as_shipped(place.namespace);
    let objects = cluster.api(place.namespace, "keda.sh/v1alpha1", "ScaledObject").await;
    let dry_run = PatchParams { dry_run: true, ..PatchParams::apply("tests").force() };
    let autoscaler = deployed("autoscaling/hpa/hpa.yaml");
    cluster.apply_moved(place.namespace, &autoscaler).await;
    let told = eventually("a second autoscaler is refused", async || {
        // It knows the autoscalers a moment later than they are there.
        objects.patch("command", &dry_run, &Patch::Apply(&shipped)).await.err()
    })
    .await;
    let told = told.to_string();
    assert!(told.contains("is already managed by the hpa 'command'"), "{told}");
    let autoscalers =
        cluster.api(place.namespace, "autoscaling/v2", "HorizontalPodAutoscaler").await;
    autoscalers.delete("command", &DeleteParams::default()).await.unwrap();
    eventually("it is accepted", async || {
        objects.patch("command", &dry_run, &Patch::Apply(&shipped)).await.ok()
    })
    .await;
}

/// The ScaledObject comes with the extension, to a workload that works: nothing has been measured
/// yet, and it must not be taken for idle.
async fn new_to_a_busy_workload(stage: &Stage, observed: &Observed<'_>, prometheus: &Reading) {
    let namespace = stage.place.namespace;
    stage.traffic.start("/command", LIGHT);
    let object: Value = in_seconds(namespace, &format!("http://{}", prometheus.address()));
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    stage.cluster.apply_object(namespace, object).await;
    stage.say("the ScaledObject is there");
    observed.is("Ready", "True").await;
    observed.says([0.0, 0.0]).await;
    stage.attach(EXTENSION, &["command"]).await;
    stage.say("the extension is attached");
    let values = observed.says(LIGHT_SAYS).await;
    stage.say(&format!("triggers: {values:?}"));
    observed.is("Active", "True").await;
    assert_eq!(observed.replicas(), [1]);
}

/// Nobody asks any more, and all replicas end; it stays so.
async fn idle(stage: &Stage, observed: &Observed<'_>) {
    stage.traffic.stop("/command");
    stage.say("nobody asks");
    observed.becomes(0).await;
    let values = observed.says([0.0, 0.0]).await;
    stage.say(&format!("triggers: {values:?}"));
    observed.is("Active", "False").await;
    observed.is("Fallback", "False").await;
    sleep(Duration::from_secs(5)).await;
    let replicas = observed.replicas();
    assert!(replicas.is_sorted_by(|one, next| one >= next), "{replicas:?}");
    assert_eq!(replicas.last(), Some(&0));
    let told = observed.told("KEDAScaleTargetDeactivated").await;
    let message = format!("Deactivated apps/v1.Deployment {}/command from", stage.place.namespace);
    assert!(told.last().is_some_and(|told| told.starts_with(&message)), "{told:?}");
}

/// Requests that nobody answers wake one replica. That one answers, and it is enough.
async fn woken(stage: &Stage, observed: &Observed<'_>, prometheus: &Reading) {
    let unavailable = r#"sum(kong_http_requests_total{exported_service="command",code="503"})"#;
    assert_eq!(prometheus.value(unavailable).await, None, "nobody was turned away so far");
    let latencies = r#"sum(kong_upstream_latency_ms_count{exported_service="command"})"#;
    let before = prometheus.value(latencies).await.unwrap();
    stage.traffic.start("/command", LIGHT);
    stage.say("somebody asks");
    observed.becomes(1).await;
    let lost = prometheus.value(unavailable).await.unwrap();
    let [by] = <[String; 1]>::try_from(observed.told("KEDAScaleTargetActivated").await).unwrap();
    stage.say(&format!("{lost} requests were answered 503; {by}"));
    let message = format!(
        "Scaled apps/v1.Deployment {}/command from 0 to 1, triggered by s1-prometheus",
        stage.place.namespace
    );
    assert_eq!(by, message, "requests wake it, and not latency");
    eventually("it answers", async || {
        (prometheus.value(latencies).await.unwrap() > before).then_some(())
    })
    .await;
    let values = observed.says(LIGHT_SAYS).await;
    stage.say(&format!("triggers: {values:?}"));
    assert_eq!(observed.replicas(), [0, 1]);
}

/// As many replicas as are needed for what is under way.
async fn busy(stage: &Stage, observed: &Observed<'_>) {
    stage.traffic.start("/command", BUSY);
    stage.say("much is asked");
    observed.becomes(4).await;
    let values = observed.says(BUSY_SAYS).await;
    stage.say(&format!("triggers: {values:?}"));
    let replicas = observed.replicas();
    assert!(replicas.is_sorted(), "{replicas:?}");
    let events = stage.rescaled("keda-hpa-command").await;
    stage.say(&format!("HorizontalPodAutoscaler: {events:?}"));
    let last = events.last().unwrap();
    assert!(last.starts_with("New size: 4; reason: external metric s0-prometheus("), "{last}");
    assert!(last.ends_with(" above target"), "{last}");
}

/// Nobody refuses an autoscaler that comes after the ScaledObject; then neither has a say.
async fn a_second_autoscaler_stops_both(stage: &Stage) {
    let Stage { cluster, place, .. } = stage;
    cluster.apply_moved(place.namespace, &deployed("autoscaling/hpa/hpa.yaml")).await;
    for name in ["keda-hpa-command", "command"] {
        eventually("it says so", async || {
            let events = stage.events("HorizontalPodAutoscaler", name).await;
            events.into_iter().find(|(reason, _)| reason == "AmbiguousSelector")
        })
        .await;
    }
    stage.say("two autoscalers stand still");
    let autoscalers =
        cluster.api(place.namespace, "autoscaling/v2", "HorizontalPodAutoscaler").await;
    autoscalers.delete("command", &DeleteParams::default()).await.unwrap();
}

/// Nothing is known any more of a busy workload: it goes on as it is, for longer than it would take
/// to shrink, and when all is known again, too.
async fn sidecars_end_while_busy(stage: &Stage, observed: &Observed<'_>) {
    stage.kubelet.end_sidecars();
    stage.say("the sidecars end");
    observed.is("Fallback", "True").await;
    let values = observed.says([4.0 * 8.0, 4.0 * 50.0]).await;
    stage.say(&format!("triggers, by the fallback: {values:?}"));
    let failures = observed.told("KEDAScalerFailed").await;
    // The autoscaler here asks every 3 s, and KEDA tells only of its own polls.
    let is_told = failures.iter().any(|told| told.contains("the result is empty"));
    assert!(is_told || is_earnest(), "{failures:?}");
    sleep(silence()).await;
    stage.kubelet.replace_sidecars().await;
    stage.say("the sidecars are back");
    observed.is("Fallback", "False").await;
    let values = observed.says(BUSY_SAYS).await;
    stage.say(&format!("triggers: {values:?}"));
    assert_eq!(observed.replicas(), [4], "nothing was known, nothing was changed");
}

/// Nothing is known any more of an idle workload, though the sidecars answer: somebody may ask, so
/// there are as many replicas as the fallback says. They go when it is known again that nobody does.
async fn kong_cannot_be_read_while_idle(stage: &Stage, observed: &Observed<'_>) {
    stage.kubelet.are_broken(true);
    stage.say("no Kong can be read");
    observed.is("Fallback", "True").await;
    observed.becomes(2).await;
    let values = observed.says([2.0 * 8.0, 2.0 * 50.0]).await;
    stage.say(&format!("triggers, by the fallback: {values:?}"));
    stage.kubelet.are_broken(false);
    stage.say("Kong can be read again");
    observed.is("Fallback", "False").await;
    observed.becomes(0).await;
    assert_eq!(observed.replicas(), [0, 1, 2, 0]);
}

/// At two gateways 8 requests a second of 80 ms: 0.64 under way.
const LIGHT: Lot = &[(2, 80)];
const LIGHT_SAYS: [f64; 2] = [0.64, 8.0];

/// At two gateways 144 requests a second of 200 ms: 28.8 under way, 8 for each of four replicas at
/// most; 50 a second and replica would be three. An autoscaler lets a tenth pass, so three would do
/// for 26.4.
const BUSY: Lot = &[(36, 200)];
const BUSY_SAYS: [f64; 2] = [28.8, 144.0];

const EXTENSION: &str = include_str!("keda/extension.yaml");
