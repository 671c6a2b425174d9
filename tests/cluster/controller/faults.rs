//! Whatever a write meets with, what comes of it in the end is the same.

use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::json;
use tokio::time::{Duration, sleep};

use super::{PLUGINS, Scene, marked, service};
use crate::harness::{Cluster, Fate, Test, tests};
use crate::http;
use crate::processes::until;

pub(super) fn tests() -> Vec<Test> {
    tests![Shared:
        what_a_controller_leaves_that_dies_at_a_write_is_repaired,
        whatever_a_write_is_answered_the_end_is_the_same,
        an_editor_that_never_rests_loses_nothing,
    ]
}

async fn what_a_controller_leaves_that_dies_at_a_write_is_repaired(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.apply(&service("echo")).await;
    scene.annotate("Service", "echo", PLUGINS, Some(" a,b ")).await;
    let before = scene.content().await;
    let mut deaths = 0;
    for fate in [Fate::Hang, Fate::HangAfter] {
        for number in 1.. {
            scene.gate.reset();
            scene.gate.at(number, fate);
            scene.apply(&marked("kong", &["echo"])).await;
            let controller = scene.controller(&[]).await;
            let told = async { drop(scene.until_told("kong", "echo", "Annotated").await) };
            let died_attaching = scene.gate.hangs(told).await;
            drop(controller);
            scene.names_what_is_there().await;

            scene.forget_lease().await;
            scene.gate.reset();
            let controller = scene.controller(&[]).await;
            scene.until_listed("Service", "echo", Some(" a,b ,kong-metrics-prometheus")).await;
            scene.until_told("kong", "echo", "Annotated").await;

            scene.gate.reset();
            scene.gate.at(number, fate);
            scene.delete("DataPlaneMetricsExtension", "kong").await;
            let gone = scene.until_gone("DataPlaneMetricsExtension", "kong");
            let died_detaching = scene.gate.hangs(gone).await;
            drop(controller);
            scene.names_what_is_there().await;

            scene.forget_lease().await;
            scene.gate.reset();
            let controller = scene.controller(&[]).await;
            scene.until_as(&before).await;
            drop(controller);
            scene.forget_lease().await;
            deaths += usize::from(died_attaching) + usize::from(died_detaching);
            if !died_attaching && !died_detaching {
                break;
            }
        }
    }
    // To attach: finalizer, plugin, Service, status. To detach: Service, plugin, finalizer.
    assert_eq!(deaths, 2 * (4 + 3));
}

async fn whatever_a_write_is_answered_the_end_is_the_same(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.apply(&service("echo")).await;
    let before = scene.content().await;
    let controller = scene.controller(&[]).await;
    for fate in [
        Fate::Answer(403),
        Fate::Answer(404),
        Fate::Answer(409),
        Fate::AnswerAfter(409),
        Fate::Answer(422),
        Fate::Answer(429),
        Fate::Answer(500),
        Fate::AnswerAfter(500),
        Fate::AnswerAfter(504),
        Fate::Lose,
        Fate::LoseAfter,
    ] {
        scene.gate.reset();
        // Every other one; what was done unheard need not be done again.
        (1..100).step_by(2).for_each(|number| scene.gate.at(number, fate));
        scene.apply(&marked("kong", &["echo"])).await;
        scene.until_listed("Service", "echo", Some("kong-metrics-prometheus")).await;
        scene.until_told("kong", "echo", "Annotated").await;
        scene.names_what_is_there().await;
        scene.delete("DataPlaneMetricsExtension", "kong").await;
        scene.until_gone("DataPlaneMetricsExtension", "kong").await;
        scene.until_as(&before).await;
        let writes = scene.gate.writes().len();
        println!("controlled: {fate:?}: {writes} writes for seven");
        assert!((7..40).contains(&writes), "{fate:?}: {writes}");
    }
    let metrics = http::get(controller.address, "/metrics", &[]).await;
    for reason in ["forbidden", "not_found", "conflict", "refused", "busy", "broken"] {
        let series = format!("kong_exporter_controller_errors_total{{reason=\"{reason}\"}}");
        assert!(metrics.sample(&series) > 0.0, "{reason}");
    }
}

async fn an_editor_that_never_rests_loses_nothing(cluster: Cluster) {
    let scene = Scene::new(cluster).await;
    scene.apply(&service("echo")).await;
    scene.annotate("Service", "echo", PLUGINS, Some("edit-0, mine")).await;
    let _controller = scene.controller(&[]).await;
    let services = scene.cluster.api(&scene.namespace, "v1", "Service").await;
    let editing = async {
        let mut number = 0;
        loop {
            let service = services.get("echo").await.unwrap();
            let annotations = service.metadata.annotations.unwrap();
            let list = &annotations[PLUGINS];
            let (old, new) = (format!("edit-{number},"), format!("edit-{},", number + 1));
            assert!(list.contains(&old), "{list} lacks {old}");
            let patch = json!({"metadata": {
                "resourceVersion": service.metadata.resource_version,
                "annotations": {PLUGINS: list.replace(&old, &new)},
            }});
            let params = PatchParams::default();
            let patched: Result<DynamicObject, _> =
                services.patch("echo", &params, &Patch::Merge(&patch)).await;
            match patched {
                Ok(_) => number += 1,
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let scenes = async {
        let lists_ours = async || {
            let list = scene.annotation("Service", "echo", PLUGINS).await.unwrap();
            list.matches("kong-metrics-prometheus").count()
        };
        for _ in 0..5 {
            scene.apply(&marked("kong", &["echo"])).await;
            until("ours is listed", async || (lists_ours().await == 1).then_some(())).await;
            scene.delete("DataPlaneMetricsExtension", "kong").await;
            scene.until_gone("DataPlaneMetricsExtension", "kong").await;
            assert_eq!(lists_ours().await, 0);
        }
    };
    tokio::select! {
        never = editing => match never {},
        () = scenes => {}
    }
    let list = scene.annotation("Service", "echo", PLUGINS).await.unwrap();
    assert!(list.starts_with("edit-") && list.ends_with(", mine"), "{list}");
    assert_eq!(list.matches(',').count(), 1, "{list}");
}

impl Scene {
    /// Asserts that a plugin of ours is there wherever it is named.
    async fn names_what_is_there(&self) {
        let list = self.annotation("Service", "echo", PLUGINS).await.unwrap_or_default();
        if list.contains("kong-metrics-prometheus") {
            let plugin = self.find("KongPlugin", "kong-metrics-prometheus").await;
            assert!(plugin.is_some(), "{list} names what is not there");
        }
    }
}
