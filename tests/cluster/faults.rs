//! The sidecar with `--mapping=watch` while the cluster is in trouble: `/metrics` never stops, what
//! was known stays known, and what changed meanwhile is there when the trouble is over.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::harness::{APISERVER, Cluster, ETCD, Scraping, Test, tests};
use crate::processes::until;
use crate::scene::{GATEWAY_API, Scene, scrape, service_of};

pub(crate) fn tests() -> Vec<Test> {
    let shared = tests![Shared:
        a_changed_route_is_seen_at_once,
        a_swallowed_watch_is_noticed_and_made_anew,
        a_new_token_is_taken_up_when_the_old_one_is_refused,
        rights_taken_away_are_reported_and_taken_up_when_they_are_back,
        a_verb_that_is_missing_from_the_start_is_named,
        an_object_that_cannot_be_read_costs_no_other,
    ];
    let controlled = tests![Controlled:
        a_namespace_that_is_deleted_takes_no_scrape_with_it,
    ];
    let alone = tests![Alone:
        an_api_server_that_is_killed_costs_nothing_that_was_known,
        an_api_server_killed_in_the_first_list_is_asked_again,
        a_compacted_etcd_leads_to_a_new_list_without_a_gap,
        definitions_that_appear_later_are_picked_up,
        ten_thousand_routes_can_go_at_once,
    ];
    shared.into_iter().chain(controlled).chain(alone).collect()
}

async fn a_changed_route_is_seen_at_once(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let mut longest = Duration::ZERO;
    for service in ["pay", "cart", "pay", "cart", "pay"] {
        scene.lead("shop", service).await;
        longest = longest.max(scene.until_mapped("shop", service).await);
    }
    println!("a change of a route was in /metrics after {longest:?} at most");
    scene.lead("late", "cart").await;
    scene.until_mapped("late", "cart").await;
}

async fn a_swallowed_watch_is_noticed_and_made_anew(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let scraping = Scraping::of(scene.sidecar.address);
    scene.proxy.swallow();
    scene.lead("shop", "pay").await;
    let start = Instant::now();
    // An API server sends a bookmark about once a minute; a watch that is mute for longer is dead.
    // Whoever asks anew, as for the kinds every half minute, notices earlier.
    within(Duration::from_secs(150), &scene, async || {
        scene.sidecar.log().contains("reason=\"silent\"").then_some(())
    })
    .await;
    println!("a server that swallows was noticed after {:?}", start.elapsed());
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"), "the last meaning");
    scene.proxy.serve();
    within(Duration::from_secs(150), &scene, async || {
        (scene.service_of("shop").await.as_deref() == Some("pay")).then_some(())
    })
    .await;
    println!("and what was swallowed was known after {:?}", start.elapsed());
    scraping.end().await;
}

async fn a_new_token_is_taken_up_when_the_old_one_is_refused(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let scraping = Scraping::of(scene.sidecar.address);
    scene.account.revoke().await;
    // A watch that is open stays open; the next request is refused.
    within(Duration::from_secs(60), &scene, async || {
        scene.proxy.cut();
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.sidecar.log().contains("Unauthorized").then_some(())
    })
    .await;
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
    scene.lead("shop", "pay").await;
    scene.account.renew().await;
    // kube reads the token again once a minute.
    within(Duration::from_secs(150), &scene, async || {
        (scene.service_of("shop").await.as_deref() == Some("pay")).then_some(())
    })
    .await;
    scraping.end().await;
}

async fn rights_taken_away_are_reported_and_taken_up_when_they_are_back(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let scraping = Scraping::of(scene.sidecar.address);
    scene.grant(json!([])).await;
    scene.proxy.cut();
    scene.until_logged(&["WARN", "httproutes", "list"]).await;
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
    scene.lead("shop", "pay").await;
    scene.grant(Scene::rules()).await;
    scene.until_mapped("shop", "pay").await;
    scraping.end().await;
}

async fn a_verb_that_is_missing_from_the_start_is_named(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    for verb in ["list", "watch"] {
        let mut rules = Scene::rules();
        for rule in rules.as_array_mut().unwrap() {
            let resources = rule["resources"].as_array().unwrap();
            if resources.iter().any(|resource| resource == "httproutes") {
                let verbs = rule["verbs"].as_array_mut().unwrap();
                verbs.retain(|has| has != verb);
            }
        }
        scene.grant(rules).await;
        let sidecar = scene.another().await;
        // The message of the API server has the verb, the kind, the group and who asked.
        let user = scene.account.user();
        until(&format!("{verb} is reported as missing"), async || {
            let log = sidecar.log();
            let lines = log.lines().filter(|line| line.contains("WARN"));
            let mut of_it =
                lines.filter(|line| line.contains(&user) && line.contains("httproutes"));
            of_it.any(|line| line.contains(verb)).then_some(())
        })
        .await;
        // What has been listed counts; a watch is for what comes later.
        let listed = (verb == "watch").then_some("cart");
        until("what can be read is mapped", async || {
            let answer = scrape(&sidecar).await;
            (service_of(&answer, &scene.namespace, "shop").as_deref() == listed).then_some(())
        })
        .await;
        scene.grant(Scene::rules()).await;
        until("mapped with all verbs", async || {
            let answer = scrape(&sidecar).await;
            (service_of(&answer, &scene.namespace, "shop").as_deref() == Some("cart")).then_some(())
        })
        .await;
    }
}

async fn an_object_that_cannot_be_read_costs_no_other(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    // Stored behind the server's back: it would refuse a number where a name has to be.
    let name = format!("{}/shop", scene.namespace);
    let plane = scene.cluster.plane;
    let group = "gateway.networking.k8s.io";
    let mut odd = plane.stored("httproutes", group, &name).await;
    odd["metadata"]["name"] = json!("odd");
    odd["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
    odd["spec"]["rules"] = json!("none");
    let odd_name = format!("{}/odd", scene.namespace);
    plane.store("httproutes", group, [(odd_name.clone(), odd.clone())].into_iter()).await;
    scene.until_logged(&["WARN", "odd"]).await;
    scene.lead("shop", "pay").await;
    scene.until_mapped("shop", "pay").await;
    // It is in the first list of another, too.
    let another = scene.another().await;
    until("the other one maps", async || {
        let answer = scrape(&another).await;
        (service_of(&answer, &scene.namespace, "shop").as_deref() == Some("pay")).then_some(())
    })
    .await;
    // Once it can be read it counts.
    odd["spec"]["rules"] = json!([{"backendRefs": [
        {"group": "", "kind": "Service", "name": "cart", "port": 80, "weight": 1},
    ]}]);
    plane.store("httproutes", group, [(odd_name, odd)].into_iter()).await;
    scene.until_mapped("odd", "cart").await;
}

async fn a_namespace_that_is_deleted_takes_no_scrape_with_it(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let scraping = Scraping::of(scene.sidecar.address);
    let namespaces: Api<Namespace> = Api::all(scene.cluster.client.clone());
    namespaces.delete(&scene.namespace, &DeleteParams::default()).await.unwrap();
    until("the namespace is gone", async || {
        namespaces.get_opt(&scene.namespace).await.unwrap().is_none().then_some(())
    })
    .await;
    // Kong's counters outlive the route. What the name stands for to the end depends on which of
    // the two the namespace's controller deleted first, the route or the Service.
    let last = scene.service_of("shop").await;
    assert!(last.is_none() || last.as_deref() == Some("cart"), "{last:?}");
    let text = scene.scrape().await.text();
    let line = text.lines().find(|line| line.contains(".shop.0\"")).unwrap();
    let named =
        if last.is_some() { "kubernetes_kind=\"service\"" } else { "kubernetes_name=\"shop\"" };
    assert!(line.contains(named), "{line}");
    scraping.end().await;
}

async fn an_api_server_that_is_killed_costs_nothing_that_was_known(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let scraping = Scraping::of(scene.sidecar.address);
    let plane = scene.cluster.plane;
    for round in 1..=2 {
        plane.kill(APISERVER);
        until("the log tells", async || {
            let told = scene.sidecar.log().matches("no API server, the last mapping stays").count();
            (told >= round).then_some(())
        })
        .await;
        assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
        // One that starts now knows nothing, says so, and serves.
        let fresh = scene.another().await;
        assert_eq!(service_of(&scrape(&fresh).await, &scene.namespace, "shop"), None);
        plane.start_apiserver().await;
        scene.lead("shop", "pay").await;
        scene.until_mapped("shop", "pay").await;
        until("the fresh one maps", async || {
            let answer = scrape(&fresh).await;
            (service_of(&answer, &scene.namespace, "shop").as_deref() == Some("pay")).then_some(())
        })
        .await;
        scene.lead("shop", "cart").await;
        scene.until_mapped("shop", "cart").await;
    }
    // etcd, too: then the server is there and answers with errors.
    plane.kill(ETCD);
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.proxy.cut();
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
    plane.kill(APISERVER);
    plane.start_etcd().await;
    plane.start_apiserver().await;
    scene.lead("shop", "pay").await;
    scene.until_mapped("shop", "pay").await;
    scraping.end().await;
}

async fn an_api_server_killed_in_the_first_list_is_asked_again(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    scene.cluster.copy_route(&scene.namespace, "shop", 10_000).await;
    let plane = scene.cluster.plane;
    // Slow enough to be met in the middle.
    scene.proxy.delay(Duration::from_millis(20));
    let before = scene.proxy.bytes_to_client();
    let fresh = scene.another().await;
    until("a part of the list", async || {
        (scene.proxy.bytes_to_client() > before + 2_000_000).then_some(())
    })
    .await;
    plane.kill(APISERVER);
    assert_eq!(service_of(&scrape(&fresh).await, &scene.namespace, "copy-9999"), None);
    scene.proxy.delay(Duration::ZERO);
    plane.start_apiserver().await;
    until("the last copy is mapped", async || {
        let answer = scrape(&fresh).await;
        (service_of(&answer, &scene.namespace, "copy-9999").as_deref() == Some("cart"))
            .then_some(())
    })
    .await;
    delete_copies(&scene).await;
}

async fn a_compacted_etcd_leads_to_a_new_list_without_a_gap(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    let scraping = Scraping::of(scene.sidecar.address);
    // Nothing comes through while the world goes on, so the versions that are known get old.
    scene.proxy.refuse();
    scene.lead("shop", "pay").await;
    scene.lead("late", "cart").await;
    scene.delete_route("late").await;
    let plane = scene.cluster.plane;
    plane.compact().await;
    // The server's own cache of watches has them still, unless it starts anew.
    plane.kill(APISERVER);
    plane.start_apiserver().await;
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
    scene.proxy.serve();
    scene.until_mapped("shop", "pay").await;
    assert_eq!(scene.service_of("late").await, None, "it came and went unseen");
    scraping.end().await;
}

async fn ten_thousand_routes_can_go_at_once(cluster: Cluster) {
    let scene = Scene::watching(cluster).await;
    scene.cluster.copy_route(&scene.namespace, "shop", 10_000).await;
    scene.until_mapped("copy-9999", "cart").await;
    within(Duration::from_secs(90), &scene, async || {
        let mapped = scene.scrape().await.sample("kong_exporter_mapping_services");
        (mapped >= 10_000.0).then_some(())
    })
    .await;
    let scraping = Scraping::of(scene.sidecar.address);
    delete_copies(&scene).await;
    until("the sidecar knows", async || {
        let left = scene.scrape().await.sample("kong_exporter_mapping_services");
        (left < 100.0).then_some(())
    })
    .await;
    // They are gone, but Kong may still count for them.
    assert_eq!(scene.service_of("copy-9999").await.as_deref(), Some("cart"));
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
    println!("{} whole scrapes meanwhile", scraping.end().await);
}

async fn definitions_that_appear_later_are_picked_up(cluster: Cluster) {
    let kinds = cluster.api("", "apiextensions.k8s.io/v1", "CustomResourceDefinition").await;
    let name = "httproutes.gateway.networking.k8s.io";
    let mut definition = serde_json::to_value(kinds.get(name).await.unwrap()).unwrap();
    let scene = Scene::watching(cluster.clone()).await;
    let scraping = Scraping::of(scene.sidecar.address);
    kinds.delete(name, &DeleteParams::default()).await.unwrap();
    until("the kind is gone", async || kinds.get_opt(name).await.unwrap().is_none().then_some(()))
        .await;
    // A sidecar that starts without the kind, and one that saw it go.
    let fresh = scene.another().await;
    assert_eq!(service_of(&scrape(&fresh).await, &scene.namespace, "shop"), None);
    assert_eq!(scene.service_of("shop").await.as_deref(), Some("cart"));
    for made_by_server in
        ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"]
    {
        definition["metadata"].as_object_mut().unwrap().remove(made_by_server);
    }
    definition.as_object_mut().unwrap().remove("status");
    let definition: kube::core::DynamicObject = serde_json::from_value(definition).unwrap();
    cluster.apply_object("", definition).await;
    until("the kind is back", async || {
        let routes = scene.cluster.api(&scene.namespace, GATEWAY_API, "HTTPRoute").await;
        routes.list(&ListParams::default()).await.ok()
    })
    .await;
    scene.lead("shop", "pay").await;
    let start = Instant::now();
    within(Duration::from_secs(120), &scene, async || {
        for sidecar in [&fresh, &scene.sidecar] {
            let answer = scrape(sidecar).await;
            if service_of(&answer, &scene.namespace, "shop").as_deref() != Some("pay") {
                return None;
            }
        }
        Some(())
    })
    .await;
    println!("a kind that appeared was picked up after {:?}", start.elapsed());
    scraping.end().await;
}

/// As [`until`], for what takes longer than the usual patience.
async fn within(limit: Duration, scene: &Scene, mut ask: impl AsyncFnMut() -> Option<()>) {
    let start = Instant::now();
    while ask().await.is_none() {
        assert!(start.elapsed() < limit, "not within {limit:?}:\n{}", scene.sidecar.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// As `kubectl delete httproutes -l copy=yes` does.
async fn delete_copies(scene: &Scene) {
    let routes = scene.cluster.api(&scene.namespace, GATEWAY_API, "HTTPRoute").await;
    let copies = ListParams::default().labels("copy=yes");
    routes.delete_collection(&DeleteParams::default(), &copies).await.unwrap();
    until("the copies are gone", async || {
        let left = routes.list_metadata(&copies.clone().limit(1)).await.unwrap();
        left.items.is_empty().then_some(())
    })
    .await;
}
