//! What Kong Operator's own tests assert, Kong Operator itself beside us, and what comes of routes.

use kong_metrics_exporter::controller::{Options, Request};
use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::json;

use crate::late::refused_plugin;
use crate::translator::translate;
use crate::words::*;
use crate::world::{Conflict, World, key};

/// What the tests of Kong Operator's own controller assert, one after the other.
#[test]
fn what_kong_operators_own_tests_assert_holds() {
    let options = Options::default();
    let mut world = attached(&[&service("echo"), &extension("kong", &["echo"])]);
    // Created and listed.
    world.settle(&options);
    assert_eq!(plugins_there(&world), ["kong-metrics-prometheus"]);
    assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
    // No update when equal.
    assert_eq!(planned(&world), NOTHING);
    // Update when different.
    let other = unmarked(&extension("kong", &["echo"])).replace("latency: true", "bandwidth: true");
    world.put(&held(&other));
    assert_eq!(planned(&world)[0], "change KongPlugin web/kong-metrics-prometheus");
    world.settle(&options);
    assert_eq!(measured(&world, "kong"), ["bandwidth_metrics"]);
    // The reference is removed: deleted and cleared.
    world.put(&control_plane("cp", &[]));
    let writes = world.plan(&options).writes;
    world.settle(&options);
    assert!(plugins_there(&world).is_empty());
    assert_eq!(on_service(&world, "echo"), None);
    // What is gone already need not be deleted.
    let delete = writes.iter().find(|write| write.request == Request::Delete).unwrap();
    assert_eq!(world.write(delete), Err(Conflict));
    assert_eq!(planned(&world), NOTHING);
    // The reference comes back.
    world.put(&control_plane("cp", &["kong"]));
    world.settle(&options);
    assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
    // A refused plugin is not passed over in silence.
    refused_plugin();
}

/// As Kong Operator leaves it.
fn operators() -> World {
    let plugin = plugin("echo-metrics-prometheus", "prometheus").replace(
        "namespace: web",
        "namespace: web, labels: {gateway-operator.konghq.com/managed-by: controlplane, \
         gateway-operator.konghq.com/kong-plugin-type: prometheus, \
         gateway-operator.konghq.com/managed-by-name: cp, \
         gateway-operator.konghq.com/managed-by-namespace: web}",
    );
    let on = "{konghq.com/plugins: \"a, echo-metrics-prometheus\", \
              gateway-operator.konghq.com/control-plane-managed-plugins: echo-metrics-prometheus}";
    let service = service("echo").replace(
        "namespace: web",
        &format!(
            "namespace: web, annotations: {on}, labels: \
             {{gateway-operator.konghq.com/control-plane-managing-plugins-name: cp, \
             gateway-operator.konghq.com/control-plane-managing-plugins-namespace: web}}"
        ),
    );
    attached(&[&service, &plugin, &extension("kong", &["echo"])])
}

#[test]
fn where_kong_operator_acts_nothing_is_written_but_the_status() {
    let mut world = operators();
    let writes = world.plan(&Options::default()).writes;
    assert!(writes.iter().all(|write| write.is_to_extension()), "{writes:?}");
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "ManagedByKongOperator");
}

#[test]
fn what_kong_operator_left_is_taken_over_without_a_moment_of_two_plugins_or_of_none() {
    let options = Options { adopt: true, ..Options::default() };
    let mut world = operators();
    for write in world.plan(&options).writes {
        world.write(&write).unwrap();
        let config = translate(&world.objects);
        assert!(!config.is_refused(), "{write:?}");
        assert!(on_service(&world, "echo").unwrap().contains("-metrics-prometheus"));
    }
    assert_eq!(on_service(&world, "echo"), Some("a,kong-metrics-prometheus"));
    assert_eq!(plugins_there(&world), ["kong-metrics-prometheus"]);
    let service = world.objects[&key(ObjectKind::Service, "web/echo")].to_string();
    assert!(!service.contains("gateway-operator.konghq.com"), "{service}");
    assert_eq!(world.plan(&options).writes, []);
}

#[test]
fn an_extension_just_attached_is_left_until_it_is_seen_whether_kong_operator_acts() {
    let unmarked = unmarked(&extension("kong", &["echo"]));
    let mut world = attached(&[&service("echo"), &unmarked]);
    let just_now = [key(ObjectKind::DataPlaneMetricsExtension, "web/kong")].into();
    let options = Options { unsettled: just_now, ..Options::default() };
    assert_eq!(world.plan(&options).writes, []);
    world.settle(&Options::default());
    // After that a restart of ours makes no difference.
    assert_eq!(world.plan(&options).writes, []);
    assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
}

#[test]
fn a_route_elsewhere_cannot_be_used_and_the_user_is_told_what_can_be_done() {
    let elsewhere = route("r", &["blue", "green"]).replace("namespace: web", "namespace: other");
    let elsewhere = elsewhere.replace("name: blue", "namespace: web, name: blue");
    let objects = [&service("blue"), &extension("kong", &["blue"]), &elsewhere];
    let mut world = world(&objects.map(String::as_str));
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "blue"), "SharedBackend");
    assert_eq!(
        status(&world, "kong")["services"]["blue"]["reason"],
        "HTTPRoute other/r is in another namespace and also sends to Service other/green: attach an \
         extension or a KongPlugin there"
    );
}

#[test]
fn routes_are_used_where_the_extension_says_so_and_services_by_label() {
    let by_label = extension("kong", &[]).replace(
        "namespace: web",
        "namespace: web, annotations: {kong-metrics-exporter.io/attach-to: routes, \
         kong-metrics-exporter.io/service-label-selector: \"app in (shop,x)\"}",
    );
    let shop = service("echo").replace("namespace: web", "namespace: web, labels: {app: shop}");
    let mut world = world(&[&shop, &service("other"), &by_label]);
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "NoRoute");
    world.put(&route("r", &["echo"]));
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "RouteAnnotated");
    assert_eq!(world.plugins(ObjectKind::HTTPRoute, "web/r"), Some("kong-metrics-prometheus"));
    assert_eq!(status(&world, "kong")["summary"], json!({"RouteAnnotated": 1}));
}

#[test]
fn a_plugin_on_a_route_measures_what_the_plugins_of_its_services_did() {
    let objects = [
        &service("blue"),
        &service("green"),
        &listing("user", "p"),
        &extension("kong", &["blue"]),
        &plugin("p", "prometheus").replace("config: {}", "config: {bandwidth_metrics: true}"),
        &route("r", &["blue", "green"]).replace(
            "rules: [",
            "rules: [{backendRefs: [{kind: Service, name: user, port: 80, weight: 1}]}, ",
        ),
    ];
    let mut world = world(&objects.map(String::as_str));
    world.settle(&Options::default());
    assert_eq!(measured(&world, "kong"), ["bandwidth_metrics", "latency_metrics"]);
}

#[test]
fn a_plugin_is_not_deleted_while_it_could_not_be_taken_off() {
    let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
    world.settle(&Options::default());
    world.delete(&key(ObjectKind::DataPlaneMetricsExtension, "web/kong"));
    let writes = world.plan(&Options::default()).writes;
    let mut failed: Vec<usize> = Vec::new();
    for (at, write) in writes.iter().enumerate() {
        let is_refused = write.object.kind == ObjectKind::Service;
        if is_refused || write.needs.iter().any(|need| failed.contains(need)) {
            failed.push(at);
        } else {
            world.write(write).unwrap();
        }
    }
    assert_eq!(plugins_there(&world), ["kong-metrics-prometheus"]);
    assert_eq!(failed.len(), writes.len());
}

#[test]
fn what_has_to_go_goes_before_anything_else_is_done() {
    let mut world = world(&[&service("blue"), &service("green"), &extension("kong", &["blue"])]);
    world.settle(&Options::default());
    world.put(&(service("other") + "---\n" + &extension("another", &["other"])));
    world.put(&route("shop", &["blue", "green"]));
    let planned = planned(&world);
    assert_eq!(planned[0], "change Service web/blue");
    assert!(planned.len() > 3, "{planned:?}");
}
