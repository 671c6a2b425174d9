//! Which Services are in a Kong service together, and which objects make it: asked of the index from
//! both sides, after changes as well.
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

#[path = "common/cluster.rs"]
mod cluster;

use cluster::{
    gateway_api, httproute, index, kic, manifest, objects, operator, route, rule, service,
};
use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use kong_metrics_exporter::resolve::{Held, Index, Settings, service_key};

/// `name: services < owners`, a line each.
fn of_service(index: &Index, name: &str) -> Vec<String> {
    let (namespace, name) = name.split_once('/').unwrap();
    lines(&index.kong_services_of(&service_key(namespace, name)))
}

fn lines(held: &[Held]) -> Vec<String> {
    let line = |held: &Held| {
        let services = held.services.iter().map(|key| format!("{}/{}", key.namespace, key.name));
        let owners = held
            .owners
            .iter()
            .map(|key| format!("{} {}/{}", key.kind.as_str(), key.namespace, key.name));
        let (services, owners): (Vec<_>, Vec<_>) = (services.collect(), owners.collect());
        format!("{}: {} < {}", held.name, services.join(" "), owners.join(", "))
    };
    held.iter().map(line).collect()
}

#[test]
fn a_service_is_in_every_kong_service_whose_rule_names_it() {
    let objects = [
        service("web/blue"),
        service("web/green"),
        httproute(
            "web/canary",
            &[&rule(&["{name: blue, port: 80, weight: 9}", "{name: green, port: 80, weight: 1}"])],
        ),
        httproute("web/plain", &[&rule(&["{name: blue, port: 80}"])]),
    ];
    let index = index(&kic(), &objects);
    let shared = "httproute.web.canary.0: web/blue web/green < HTTPRoute web/canary";
    assert_eq!(
        of_service(&index, "web/blue"),
        [shared, "httproute.web.plain.0: web/blue < HTTPRoute web/plain"]
    );
    assert_eq!(of_service(&index, "web/green"), [shared]);
    let canary = Key::new(ObjectKind::HTTPRoute, "web", "canary");
    assert_eq!(lines(&index.kong_services_by(&canary)), [shared]);
    assert!(index.kong_services_of(&service_key("web", "blue"))[0].is_shared());
}

#[test]
fn whoever_is_named_counts_whether_there_or_granted_or_of_equal_annotations() {
    let objects = [
        service("web/blue"),
        service("other/red"),
        cluster::annotated_service("web/green", "{konghq.com/retries: '3'}"),
        httproute(
            "web/r",
            &[
                &rule(&["{name: blue, port: 80}", "{name: missing, port: 80}"]),
                &rule(&["{name: blue, port: 80}", "{name: red, namespace: other, port: 80}"]),
                &rule(&["{name: blue, port: 80}", "{name: green, port: 80}"]),
                &rule(&["{name: blue, port: 80}", "{name: x, kind: Bucket, group: s3}"]),
                &rule(&["{name: blue, port: 80}", "{name: blue, port: 81}"]),
            ],
        ),
    ];
    assert_eq!(
        of_service(&index(&kic(), &objects), "web/blue"),
        [
            "httproute.web.r.0: web/blue web/missing < HTTPRoute web/r",
            "httproute.web.r.1: other/red web/blue < HTTPRoute web/r",
            "httproute.web.r.2: web/blue web/green < HTTPRoute web/r",
            "httproute.web.r.3: web/blue < HTTPRoute web/r",
            "httproute.web.r.4: web/blue < HTTPRoute web/r",
        ]
    );
}

#[test]
fn every_kind_that_makes_kong_services_is_an_owner() {
    let facade = manifest(
        "incubator.ingress-controller.konghq.com/v1alpha1",
        "KongServiceFacade",
        "web/f",
        "{kubernetes.io/ingress.class: kong}",
        "{backendRef: {name: echo, port: 80}}",
    );
    let paths = "{ingressClassName: kong, rules: [{http: {paths: [{backend: {resource: {apiGroup: \
                 incubator.ingress-controller.konghq.com, kind: KongServiceFacade, name: f}}}]}}], \
                 defaultBackend: {service: {name: echo, port: {number: 80}}}}";
    let tcp = manifest(
        "configuration.konghq.com/v1beta1",
        "TCPIngress",
        "web/t",
        "{kubernetes.io/ingress.class: kong}",
        "{rules: [{backend: {serviceName: echo, servicePort: 9}}]}",
    );
    let hybrid = manifest(
        "configuration.konghq.com/v1alpha1",
        "KongService",
        "web/k",
        "{gateway-operator.konghq.com/hybrid-routes: web/h}",
        "{name: http.web-echo-80.1.cp1.2, host: h}",
    );
    let objects = [
        service("web/echo"),
        facade,
        manifest("networking.k8s.io/v1", "Ingress", "web/i", "{}", paths),
        tcp,
        hybrid,
        route("TLSRoute", "web/l4", &[&rule(&["{name: echo, port: 80}"])]),
        httproute("web/h", &[&rule(&["{name: echo, port: 80}"])]),
    ];
    assert_eq!(
        of_service(&index(&kic(), &objects), "web/echo"),
        [
            "http.web-echo-80.1.cp1.2: web/echo < HTTPRoute web/h, KongService web/k",
            "httproute.web.h.0: web/echo < HTTPRoute web/h",
            "tlsroute.web.l4.0: web/echo < TLSRoute web/l4",
            "web.echo.80: web/echo < Ingress web/i",
            "web.echo.9: web/echo < TCPIngress web/t",
            "web.f.svc.facade: web/echo < Ingress web/i",
        ]
    );
}

#[test]
fn rules_that_are_combined_are_one_kong_service_of_several_routes() {
    let both = rule(&["{name: a, port: 80}", "{name: b, port: 80}"]);
    let objects = [httproute("web/x", &[&both]), httproute("web/y", &[&both])];
    let name = "httproute.web.svc.web.a.80.1_web.b.80.1";
    let expected = format!("{name}: web/a web/b < HTTPRoute web/x, HTTPRoute web/y");
    assert_eq!(of_service(&index(&operator(), &objects), "web/a"), [expected]);
}

#[test]
fn grpcroutes_that_claim_one_name_share_what_they_name() {
    let grpc = |name: &str, host: &str, backend: &str| {
        let rule = rule(&[&format!("{{name: {backend}, port: 80}}")]);
        let spec =
            format!("{{parentRefs: [{{name: kong}}], hostnames: [{host}], rules: [{rule}]}}");
        gateway_api("GRPCRoute", name, &spec)
    };
    let settings = Settings { expressions: kong_metrics_exporter::resolve::Switch::On, ..kic() };
    let objects = [grpc("web/a", "b.c", "one"), grpc("web/a.b", "c", "two")];
    assert_eq!(
        of_service(&index(&settings, &objects), "web/one"),
        ["grpcroute.web.a.b.c.0: web/one web/two < GRPCRoute web/a, GRPCRoute web/a.b"]
    );
}

#[test]
fn the_answer_follows_every_change() {
    let mut index = index(&kic(), &[service("web/blue")]);
    assert!(of_service(&index, "web/blue").is_empty());
    let weighted = rule(&["{name: blue, port: 80}", "{name: green, port: 80}"]);
    for object in objects(&[httproute("web/r", &[&weighted])]) {
        index.apply(object);
    }
    assert_eq!(
        of_service(&index, "web/green"),
        ["httproute.web.r.0: web/blue web/green < HTTPRoute web/r"]
    );
    for object in objects(&[httproute("web/r", &[&rule(&["{name: blue, port: 80}"])])]) {
        index.apply(object);
    }
    assert_eq!(of_service(&index, "web/blue"), ["httproute.web.r.0: web/blue < HTTPRoute web/r"]);
    assert!(of_service(&index, "web/green").is_empty());
    index.delete(&Key::new(ObjectKind::HTTPRoute, "web", "r"));
    assert!(of_service(&index, "web/blue").is_empty());
}
