//! Ingresses, facades, TCP- and UDPIngresses, routes below HTTP, and KongServices, case by case
//! from the rules of Kong's controllers.

#[path = "common/cluster.rs"]
mod cluster;

use cluster::{index, kic, manifest, mapping, operator, route, rule, service};
use kong_metrics_exporter::mapping::{Label, resolve};
use kong_metrics_exporter::resolve::Settings;

fn ingress(name: &str, annotations: &str, spec: &str) -> String {
    manifest("networking.k8s.io/v1", "Ingress", name, annotations, spec)
}

/// Paths in flow style to these backends.
fn paths(backends: &[&str]) -> String {
    let path = |backend: &&str| format!("{{path: /, backend: {backend}}}");
    let paths: Vec<_> = backends.iter().map(path).collect();
    format!("rules: [{{http: {{paths: [{}]}}}}]", paths.join(", "))
}

fn to(service: &str, port: &str) -> String {
    format!("{{service: {{name: {service}, port: {port}}}}}")
}

fn to_facade(name: &str) -> String {
    format!(
        "{{resource: {{apiGroup: incubator.ingress-controller.konghq.com, \
         kind: KongServiceFacade, name: {name}}}}}"
    )
}

fn facade(name: &str, class: &str, service: &str) -> String {
    let spec = format!("{{backendRef: {{name: {service}, port: 80}}}}");
    let annotations = format!("{{kubernetes.io/ingress.class: {class}}}");
    let version = "incubator.ingress-controller.konghq.com/v1alpha1";
    manifest(version, "KongServiceFacade", name, &annotations, &spec)
}

#[test]
fn a_port_shows_in_the_name_as_the_ingress_spells_it() {
    let backends = [
        to("echo", "{number: 80}"),
        to("echo", "{name: http}"),
        to("echo", "{}"),
        to("ghost", "{number: 80}"),
    ];
    let backends: Vec<_> = backends.iter().map(String::as_str).collect();
    let spec = format!("{{ingressClassName: kong, {}}}", paths(&backends));
    let objects = [service("web/echo"), ingress("web/i", "{}", &spec)];
    assert_eq!(
        mapping(&operator(), &objects),
        [
            "web.echo.80 -> web/echo:80 < Ingress web/i",
            "web.echo.http -> web/echo:http < Ingress web/i",
            "web.echo.implicitPort -> web/echo < Ingress web/i",
            "web.ghost.80 -> < Ingress web/i",
        ]
    );
}

#[test]
fn the_annotation_is_the_class_before_the_field_and_the_default_class_is_for_none() {
    let backend = to("echo", "{number: 80}");
    let paths = paths(&[&backend]);
    let class = |name: &str, controller: &str, annotations: &str| {
        let spec = format!("{{controller: {controller}}}");
        manifest("networking.k8s.io/v1", "IngressClass", name, annotations, &spec)
    };
    let kongs = "ingress-controllers.konghq.com/kong";
    let default = "{ingressclass.kubernetes.io/is-default-class: 'true'}";
    let of = |settings: &Settings, annotations: &str, field: &str, class: &[String]| {
        let one = ingress("web/i", annotations, &format!("{{{field} {paths}}}"));
        let objects = [&[one], class].concat();
        index(settings, &objects).snapshot().len() == 1
    };
    let auto = operator();
    let annotated = "{kubernetes.io/ingress.class: kong}";
    assert!(of(&auto, "{}", "ingressClassName: kong,", &[]));
    assert!(of(&auto, annotated, "", &[]));
    assert!(of(&auto, annotated, "ingressClassName: nginx,", &[]));
    assert!(!of(&auto, "{kubernetes.io/ingress.class: nginx}", "ingressClassName: kong,", &[]));
    assert!(!of(&auto, "{}", "ingressClassName: nginx,", &[]));
    assert!(!of(&auto, "{}", "", &[]));
    assert!(!of(&auto, "{}", "", &[class("kong", kongs, "{}")]));
    assert!(of(&auto, "{}", "", &[class("kong", kongs, default)]));
    assert!(!of(&auto, "{}", "", &[class("nginx", "k8s.io/nginx", default)]));
    let internal = "ingressClassName: internal,";
    assert!(!of(&auto, "{}", internal, &[]));
    assert!(of(&auto, "{}", internal, &[class("internal", kongs, "{}")]));
    let only = Settings { ingress_class: Some("internal".to_owned()), ..operator() };
    assert!(of(&only, "{}", internal, &[]));
    assert!(!of(&only, "{}", "ingressClassName: kong,", &[]));
    let control_plane = manifest(
        "gateway-operator.konghq.com/v2beta1",
        "ControlPlane",
        "kong/a",
        "{}",
        "{ingressClass: internal}",
    );
    assert!(of(&auto, "{}", internal, &[control_plane]));
}

#[test]
fn only_the_oldest_default_backend_counts() {
    let with_default = |name: &str, created: &str, class: &str, service: &str| {
        let backend = to(service, "{number: 80}");
        let spec = format!("{{ingressClassName: {class}, defaultBackend: {backend}}}");
        let time = format!("creationTimestamp: {created}, annotations");
        ingress(name, "{}", &spec).replace("annotations", &time)
    };
    let a = with_default("web/a", "2024-02-01T00:00:00Z", "kong", "one");
    let b = with_default("web/b", "2024-01-01T00:00:00Z", "kong", "two");
    let foreign = with_default("web/c", "2023-01-01T00:00:00Z", "nginx", "three");
    let services = ["web/one", "web/two", "web/three"].map(service);
    let objects = [&services[..], &[a, b.clone(), foreign]].concat();
    let mut index = index(&kic(), &objects);
    let lines = |index: &kong_metrics_exporter::resolve::Index| cluster::lines(&index.snapshot());
    assert_eq!(lines(&index), ["web.two.80 -> web/two:80 < Ingress web/b"]);
    index.delete(&cluster::objects(std::slice::from_ref(&b))[0].key());
    assert_eq!(lines(&index), ["web.one.80 -> web/one:80 < Ingress web/a"]);
    cluster::objects(&[b]).into_iter().for_each(|object| index.apply(object));
    assert_eq!(lines(&index), ["web.two.80 -> web/two:80 < Ingress web/b"]);
    // Without a time is oldest.
    let same = with_default("web/a", "null", "kong", "three");
    cluster::objects(&[same]).into_iter().for_each(|object| index.apply(object));
    assert_eq!(lines(&index), ["web.three.80 -> web/three:80 < Ingress web/a"]);
}

#[test]
fn a_default_backend_of_an_unknown_kind_counts_as_the_oldest_all_the_same() {
    let unknown = "{ingressClassName: kong, defaultBackend: {resource: {kind: Bucket, name: b}}}";
    let backend = to("echo", "{number: 80}");
    let known = format!("{{ingressClassName: kong, defaultBackend: {backend}}}");
    let objects =
        [service("web/echo"), ingress("web/a", "{}", unknown), ingress("web/b", "{}", &known)];
    assert_eq!(mapping(&kic(), &objects), [""; 0]);
}

#[test]
fn a_facade_counts_where_it_exists_and_is_of_kongs_class() {
    let backends = [to_facade("a.b"), to_facade("foreign"), to_facade("ghost")];
    let backends: Vec<_> = backends.iter().map(String::as_str).collect();
    let spec = format!("{{ingressClassName: kong, {}}}", paths(&backends));
    let objects = [
        service("web/echo"),
        facade("web/a.b", "kong", "echo"),
        facade("web/foreign", "nginx", "echo"),
        ingress("web/i", "{}", &spec),
    ];
    assert_eq!(
        mapping(&kic(), &objects),
        ["web.a.b.svc.facade -> web/echo:80 < Ingress web/i KongServiceFacade web/a.b"]
    );
    assert_eq!(mapping(&Settings { facade: false, ..kic() }, &objects), [""; 0]);
}

#[test]
fn tcp_and_udp_ingresses_are_kong_ingress_controllers() {
    let l4 = |kind: &str, name: &str| {
        let class = "{kubernetes.io/ingress.class: kong}";
        let spec = "{rules: [{port: 9000, backend: {serviceName: db, servicePort: 5432}}]}";
        manifest("configuration.konghq.com/v1beta1", kind, name, class, spec)
    };
    let backend = to("db", "{number: 5432}");
    let spec = format!("{{ingressClassName: kong, {}}}", paths(&[&backend]));
    let objects = [
        service("web/db"),
        l4("TCPIngress", "web/t.dotted"),
        l4("UDPIngress", "web/u"),
        ingress("web/i", "{}", &spec),
    ];
    let kics = index(&kic(), &objects).snapshot();
    let expected = [
        "web.db.5432 -> web/db:5432 < Ingress web/i TCPIngress web/t.dotted",
        "web.db.5432.udp -> web/db:5432 < UDPIngress web/u",
    ];
    assert_eq!(cluster::lines(&kics), expected);
    assert_eq!(mapping(&operator(), &objects), ["web.db.5432 -> web/db:5432 < Ingress web/i"]);
    // Of a Service that is not there they are all that is left to tell: translate_kong_l4.go makes
    // the Kong service all the same.
    let without = [
        "web.db.5432 -> < Ingress web/i TCPIngress web/t.dotted",
        "web.db.5432.udp -> < UDPIngress web/u",
    ];
    assert_eq!(mapping(&kic(), &objects[1..]), without);
    let upstream = resolve(&kics, Label::Upstream, "db.web.5432.svc");
    assert_eq!(upstream, resolve(&kics, Label::Service, "web.db.5432"));
}

#[test]
fn every_rule_of_a_route_below_http_is_a_kong_service() {
    let echo = rule(&["{name: echo, port: 80}"]);
    let two = rule(&["{name: echo, port: 80, weight: 3}", "{name: other, port: 80}"]);
    let mut objects = vec![service("web/echo"), service("web/other")];
    for kind in ["TCPRoute", "TLSRoute", "UDPRoute"] {
        objects.push(route(kind, "web/a.b", &[&echo, &two]));
    }
    let mut expected = Vec::new();
    for kind in ["TCPRoute", "TLSRoute", "UDPRoute"] {
        let lower = kind.to_lowercase();
        expected.push(format!("{lower}.web.a.b.0 -> web/echo:80*1 < {kind} web/a.b:0"));
        expected
            .push(format!("{lower}.web.a.b.1 -> web/echo:80*3 web/other:80*1 < {kind} web/a.b:1"));
    }
    assert_eq!(mapping(&operator(), &objects), expected);
}

fn kong_service(name: &str, routes: &str, spec: &str) -> String {
    manifest("configuration.konghq.com/v1alpha1", "KongService", name, routes, spec)
}

/// One that Kong Operator made of routes: its names in Kong and Kubernetes are the same.
fn hybrid(name: &str, routes: &str) -> String {
    kong_service(&format!("web/{name}"), routes, &format!("{{name: {name}, host: {name}}}"))
}

#[test]
fn a_hybrid_kong_service_stands_for_the_rule_that_its_name_shows() {
    let echo = rule(&["{name: echo, port: 80}"]);
    let two = rule(&["{name: other, port: 80, weight: 9}", "{name: echo, port: 80}"]);
    let name = "http.web-echo-80.1.cp1a2b3c4d.5e6f7a8b";
    let both = "http.web-echo-80.2.cp1a2b3c4d.11111111";
    let grpc = "grpc.web-echo-80.1.cp1a2b3c4d.22222222";
    let annotation = "{gateway-operator.konghq.com/hybrid-routes: 'web/a,web/b'}";
    let objects = [
        service("web/echo"),
        service("web/other"),
        route("HTTPRoute", "web/a", &[&two, &echo]),
        route("HTTPRoute", "web/b", &[&echo]),
        route("GRPCRoute", "web/g", &[&echo]),
        hybrid(name, annotation),
        hybrid(both, "{gateway-operator.konghq.com/hybrid-routes: web/a}"),
        hybrid(grpc, "{gateway-operator.konghq.com/hybrid-routes-GRPCRoute: web/g}"),
    ];
    let lines = mapping(&operator(), &objects);
    let line = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap().as_str();
    assert_eq!(
        line(name),
        format!("{name} -> web/echo:80*1 < HTTPRoute web/a:1 HTTPRoute web/b:0")
    );
    assert_eq!(line(both), format!("{both} -> web/other:80*9 web/echo:80*1 < HTTPRoute web/a:0"));
    assert_eq!(line(grpc), format!("{grpc} -> web/echo:80*1 < GRPCRoute web/g:0"));
}

#[test]
fn rules_that_fit_a_hybrid_name_equally_well_all_count_unless_a_route_has_only_one() {
    let light = rule(&["{name: echo, port: 80}", "{name: one, port: 80}"]);
    let heavy = rule(&["{name: echo, port: 80}", "{name: two, port: 80}"]);
    let name = "http.web-echo-80.2.cp1.2";
    let of = |annotation: &str| {
        let objects = [
            service("web/echo"),
            service("web/one"),
            service("web/two"),
            route("HTTPRoute", "web/a", &[&light, &heavy]),
            route("HTTPRoute", "web/b", &[&heavy]),
            hybrid(name, &format!("{{gateway-operator.konghq.com/hybrid-routes: '{annotation}'}}")),
        ];
        let lines = mapping(&operator(), &objects);
        lines.into_iter().find(|line| line.starts_with(name)).unwrap()
    };
    assert_eq!(
        of("web/a"),
        format!(
            "{name} -> web/echo:80*1 web/one:80*1 web/two:80*1 \
             < HTTPRoute web/a:0 HTTPRoute web/a:1"
        )
    );
    assert_eq!(
        of("web/a, web/b"),
        format!("{name} -> web/echo:80*1 web/two:80*1 < HTTPRoute web/a:1 HTTPRoute web/b:0")
    );
}

#[test]
fn a_hybrid_name_that_is_cut_or_a_hash_is_told_by_its_routes() {
    let long = "x".repeat(63);
    let backend = format!("{{name: {long}, namespace: {long}, port: 80}}");
    let display = format!("http.{long}-{long}-80.1");
    assert!(display.len() < 253);
    let service_name = format!("{long}/{long}");
    let grant = "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}], \
                 to: [{group: '', kind: Service}]}";
    let annotation = "{gateway-operator.konghq.com/hybrid-routes: web/a}";
    // As long as a cut name is, though this one need not have been.
    let cut = format!("http.{long}-{long}.cp1a2b3c4d.bnf{}.5e6f7a8b", "0".repeat(90));
    assert!(cut.len() > 240);
    for (name, services) in [("ngn0123456789abcdef", 1), (cut.as_str(), 0)] {
        let objects = [
            service(&service_name),
            cluster::gateway_api("ReferenceGrant", &format!("{long}/g"), grant),
            route("HTTPRoute", "web/a", &[&rule(&[&backend])]),
            kong_service("web/k", annotation, &format!("{{name: {name}}}")),
        ];
        let snapshot = index(&operator(), &objects).snapshot();
        let (entry, _) = snapshot.find(Label::Service, name).unwrap();
        assert_eq!(entry.backends.len(), services, "{name}");
        assert_eq!(cluster::spell(&entry).split(" < ").nth(1).unwrap(), "HTTPRoute web/a:0");
    }
}

#[test]
fn a_kong_service_of_a_user_stands_for_the_service_that_its_host_names() {
    let of = |spec: &str| {
        mapping(&operator(), &[service("shop/cart"), kong_service("web/k", "{}", spec)])
    };
    for host in ["cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local"] {
        let spec = format!("{{name: my-cart, host: {host}, port: 8080}}");
        assert_eq!(of(&spec), ["my-cart -> shop/cart:8080 < KongService web/k"]);
    }
    for host in ["cart.web.svc", "cart.shop.example.com", "cart", "10.0.0.1"] {
        let spec = format!("{{name: my-cart, host: {host}}}");
        assert_eq!(of(&spec), ["my-cart -> < KongService web/k"], "{host}");
    }
    assert_eq!(of("{host: cart.shop.svc}"), ["cart.shop.svc -> shop/cart < KongService web/k"]);
    assert_eq!(of("{}"), [""; 0]);
}
