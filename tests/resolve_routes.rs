//! Routes: names, groups, grants and what is left out, case by case from the rules of Kong's
//! controllers.

#[path = "common/cluster.rs"]
mod cluster;

use std::slice;

use cluster::{
    annotated_service, gateway_api, httproute, index, kic, manifest, mapping, operator, route,
    rule, service,
};
use kong_metrics_exporter::mapping::{Label, resolve};
use kong_metrics_exporter::resolve::{Settings, Switch};
use sha2::{Digest, Sha256};

const ECHO: &str = "{backendRefs: [{name: echo, port: 80}]}";

fn echo_within(timeout: &str) -> String {
    format!("{{backendRefs: [{{name: echo, port: 80}}], timeouts: {{backendRequest: {timeout}}}}}")
}

fn hash(name: &str) -> String {
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn rules_that_agree_on_a_timeout_keep_the_name_whatever_it_is() {
    let routes = [
        service("web/echo"),
        httproute("web/a", &[&echo_within("500ms")]),
        httproute("web/b", &[&echo_within("0.5s")]),
    ];
    assert_eq!(
        mapping(&operator(), &routes),
        ["httproute.web.svc.web.echo.80.1 -> web/echo:80*1 < HTTPRoute web/a:0 HTTPRoute web/b:0"]
    );
}

#[test]
fn kong_operator_splits_rules_by_timeout_and_kong_ingress_controller_does_not() {
    let routes = [
        service("web/echo"),
        httproute("web/a", &[&echo_within("5s"), ECHO, &echo_within("1m")]),
        httproute("web/b", &[&echo_within("0s")]),
    ];
    let base = "httproute.web.svc.web.echo.80.1";
    assert_eq!(
        mapping(&operator(), &routes),
        [
            format!("{base} -> web/echo:80*1 < HTTPRoute web/a:1 HTTPRoute web/a:2"),
            format!("{base}.timeout.2147483646 -> web/echo:80*1 < HTTPRoute web/b:0"),
            format!("{base}.timeout.5000 -> web/echo:80*1 < HTTPRoute web/a:0"),
        ]
    );
    let separate = Settings { combined: Switch::Off, ..operator() };
    assert_eq!(
        mapping(&separate, &routes),
        [
            "httproute.web.a.0 -> web/echo:80*1 < HTTPRoute web/a:0",
            "httproute.web.a.1 -> web/echo:80*1 < HTTPRoute web/a:1 HTTPRoute web/a:2",
            "httproute.web.b.0 -> web/echo:80*1 < HTTPRoute web/b:0",
        ]
    );
    let all = "HTTPRoute web/a:0 HTTPRoute web/a:1 HTTPRoute web/a:2";
    assert_eq!(
        mapping(&Settings { combined: Switch::On, ..kic() }, &routes),
        [format!("{base} -> web/echo:80*1 < {all} HTTPRoute web/b:0")]
    );
    assert_eq!(
        mapping(&kic(), &routes),
        [
            format!("httproute.web.a.0 -> web/echo:80*1 < {all}"),
            "httproute.web.b.0 -> web/echo:80*1 < HTTPRoute web/b:0".to_owned(),
        ]
    );
}

#[test]
fn a_name_of_more_than_511_bytes_ends_in_the_hash_of_the_whole() {
    let long = |n: usize| format!("{n}{}", "x".repeat(60));
    let services: Vec<_> = (0..8).map(|n| service(&format!("web/s{}", long(n)))).collect();
    let backends: Vec<_> = (0..8).map(|n| format!("{{name: s{}, port: 80}}", long(n))).collect();
    let backends: Vec<_> = backends.iter().rev().map(String::as_str).collect();
    let of_rule = rule(&backends);
    let slow = of_rule.replace("{backendRefs", "{timeouts: {backendRequest: 5s}, backendRefs");
    let mut objects = vec![httproute("web/long", &[&of_rule, &slow])];
    objects.extend(services);
    let names: Vec<_> = (0..8).map(|n| format!("web.s{}.80.1", long(n))).collect();
    let whole = format!("httproute.web.svc.{}", names.join("_"));
    let shown = format!("httproute.web.svc.{}_combined.", names[0]);
    let mut expected = [
        format!("{shown}{}", hash(&whole)),
        format!("{shown}{}", hash(&format!("{whole}.timeout.5000"))),
    ];
    expected.sort();
    let snapshot = index(&operator(), &objects).snapshot();
    let made: Vec<_> = snapshot.iter().map(|(name, _)| name).collect();
    assert_eq!(made, expected);
    assert!(snapshot.iter().all(|(_, entry)| entry.backends.len() == 8));
}

#[test]
fn an_upstream_without_valid_backends_is_found_under_its_invalid_name() {
    let index = index(&operator(), &[httproute("web/a", &[ECHO])]);
    let snapshot = index.snapshot();
    let name = "httproute.web.svc.web.echo.80.1";
    assert_eq!(cluster::lines(&snapshot), [format!("{name} -> < HTTPRoute web/a:0")]);
    let upstream = format!("{name}.invalid");
    assert_eq!(
        resolve(&snapshot, Label::Upstream, &upstream),
        resolve(&snapshot, Label::Service, name)
    );
}

#[test]
fn the_first_rule_in_order_of_text_decides_which_backends_count() {
    // The same name from a Service and from another kind: `web/b.10` is before `web/b.9`.
    let other = "{backendRefs: [{kind: Bucket, name: echo, port: 80}]}";
    let first_is_other: Vec<&str> = (0..11).map(|at| if at == 10 { other } else { ECHO }).collect();
    let routes = [service("web/echo"), httproute("web/b", &first_is_other)];
    let [line] = &mapping(&operator(), &routes)[..] else { panic!() };
    assert!(line.starts_with("httproute.web.svc.web.echo.80.1 -> web/echo:80*1 <"), "{line}");
    let first_is_other: Vec<&str> = (1..12).map(|at| if at == 1 { other } else { ECHO }).collect();
    let routes = [service("web/echo"), httproute("web/b", &first_is_other)];
    let [line] = &mapping(&operator(), &routes)[..] else { panic!() };
    assert!(line.starts_with("httproute.web.svc.web.echo.80.1 -> <"), "{line}");
}

#[test]
fn backends_of_other_namespaces_need_a_grant_for_the_kind_and_the_name() {
    let foreign = "{backendRefs: [{name: echo, namespace: prod, port: 80}]}";
    let routes = |grant: &str| {
        let spec = format!(
            "{{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}}], \
             to: [{grant}]}}"
        );
        let grant = gateway_api("ReferenceGrant", "prod/g", &spec);
        let routes = [service("prod/echo"), httproute("web/a", &[foreign]), grant];
        let grpc = [route("GRPCRoute", "web/g", &[foreign])];
        mapping(&kic(), &[&routes[..], &grpc].concat())
    };
    let granted = "httproute.web.a.0 -> prod/echo:80*1 < HTTPRoute web/a:0";
    let denied = "httproute.web.a.0 -> < HTTPRoute web/a:0";
    let grpc = "grpcroute.web.g.0 -> < GRPCRoute web/g:0";
    assert_eq!(routes("{group: '', kind: Service}"), [grpc, granted]);
    assert_eq!(routes("{group: '', kind: Service, name: echo}"), [grpc, granted]);
    assert_eq!(routes("{group: '', kind: Service, name: other}"), [grpc, denied]);
    assert_eq!(routes("{group: '', kind: Secret}"), [grpc, denied]);
}

/// gatewayapi/references.go and subtranslator/httproute.go: `isRefAllowedByGrant` compares groups by
/// the letter, and so does the key that groups rules, which is the references as JSON.
#[test]
fn the_group_core_is_a_services_but_not_the_empty_one() {
    let core = |namespace: &str| {
        rule(&[&format!(
            "{{group: core, kind: Service, name: echo, namespace: {namespace}, port: 80}}"
        )])
    };
    let empty =
        |namespace: &str| rule(&[&format!("{{name: echo, namespace: {namespace}, port: 80}}")]);
    let of = |group: &str| {
        let spec = format!(
            "{{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}}], \
             to: [{{group: '{group}', kind: Service}}]}}"
        );
        let grant = gateway_api("ReferenceGrant", "prod/g", &spec);
        let rules = [&*core("prod"), &empty("prod"), &core("web")];
        let routes = [service("prod/echo"), service("web/echo"), httproute("web/a", &rules), grant];
        mapping(&kic(), &routes)
    };
    let line = |rule: u8, backend: &str| {
        format!("httproute.web.a.{rule} ->{backend} < HTTPRoute web/a:{rule}")
    };
    let own = line(2, " web/echo:80*1");
    assert_eq!(of(""), [line(0, ""), line(1, " prod/echo:80*1"), own.clone()]);
    assert_eq!(of("core"), [line(0, " prod/echo:80*1"), line(1, ""), own]);
    let same = [service("web/echo"), httproute("web/a", &[&core("web"), &empty("web")])];
    let apart = [line(0, " web/echo:80*1"), line(1, " web/echo:80*1")];
    assert_eq!(mapping(&kic(), &same), apart);
    // A combined name does not show the group, so there they are one.
    let combined = Settings { combined: Switch::On, ..kic() };
    assert_eq!(mapping(&combined, &same).len(), 1);
}

#[test]
fn a_service_that_is_named_twice_is_one_with_the_weights_added() {
    let twice = rule(&["{name: echo, port: 80}", "{name: echo, port: 80, weight: 2}"]);
    let routes = [service("web/echo"), httproute("web/a", &[&twice])];
    assert_eq!(
        mapping(&kic(), &routes),
        ["httproute.web.a.0 -> web/echo:80*3 < HTTPRoute web/a:0"]
    );
}

#[test]
fn a_kong_service_whose_services_disagree_on_an_annotation_is_left_out() {
    let both = rule(&["{name: blue, port: 80}", "{name: green, port: 80}"]);
    let cluster = |blue: &str, green: &str| {
        index(
            &kic(),
            &[
                annotated_service("web/blue", blue),
                annotated_service("web/green", green),
                httproute("web/canary", &[&both]),
                httproute("web/blue", &["{backendRefs: [{name: blue, port: 80}]}"]),
            ],
        )
    };
    let alone = "httproute.web.blue.0 -> web/blue:80*1 < HTTPRoute web/blue:0";
    for (blue, green, annotations) in [
        ("{konghq.com/plugins: a}", "{}", &["konghq.com/plugins"][..]),
        ("{konghq.com/plugins: a}", "{konghq.com/plugins: b}", &["konghq.com/plugins"]),
        ("{konghq.community/x: a}", "{konghq.com/y: b}", &["konghq.com/y", "konghq.community/x"]),
    ] {
        let index = cluster(blue, green);
        assert_eq!(cluster::lines(&index.snapshot()), [alone]);
        let [dropped] = &index.dropped()[..] else { panic!() };
        assert_eq!(dropped.name, "httproute.web.canary.0");
        assert_eq!(dropped.annotations, annotations);
        assert_eq!(dropped.owners, ["HTTPRoute web/canary rule 0"]);
    }
    for (blue, green) in [
        ("{konghq.com/plugins: a}", "{konghq.com/plugins: a}"),
        ("{gateway-operator.konghq.com/x: a}", "{example.com/konghq.com: b}"),
    ] {
        let index = cluster(blue, green);
        assert_eq!(index.snapshot().len(), 2);
        assert_eq!(index.dropped(), []);
    }
}

#[test]
fn a_route_without_host_names_inherits_those_of_its_gateways_listeners() {
    let gateway = gateway_api(
        "Gateway",
        "web/kong",
        "{gatewayClassName: kong, listeners: [{name: a, hostname: '*.example.com'}, {name: b}, \
         {name: c, hostname: x.io}]}",
    );
    let sectioned = gateway_api(
        "GRPCRoute",
        "web/one",
        &format!("{{parentRefs: [{{name: kong, sectionName: c}}], rules: [{ECHO}]}}"),
    );
    let bare = gateway_api(
        "GRPCRoute",
        "web/own",
        &format!("{{parentRefs: [{{name: kong}}], hostnames: [own.io], rules: [{ECHO}]}}"),
    );
    let objects =
        [service("web/echo"), gateway, route("GRPCRoute", "web/all", &[ECHO]), sectioned, bare];
    let expressions = Settings { expressions: Switch::On, ..operator() };
    let line = |name: &str, route: &str| {
        format!("grpcroute.web.{name}.0 -> web/echo:80*1 < GRPCRoute web/{route}:0")
    };
    assert_eq!(
        mapping(&expressions, &objects),
        [
            line("all._.example.com", "all"),
            line("all.x.io", "all"),
            line("one.x.io", "one"),
            line("own.own.io", "own"),
        ]
    );
    let kic = Settings { expressions: Switch::On, ..kic() };
    assert_eq!(
        mapping(&kic, &objects),
        [line("all._", "all"), line("one._", "one"), line("own.own.io", "own")]
    );
}

#[test]
fn a_name_that_two_grpcroutes_claim_stands_for_the_services_of_both() {
    let grpc = |name: &str, hostname: &str, service: &str| {
        let backend = format!("{{backendRefs: [{{name: {service}, port: 80}}]}}");
        let spec = "{parentRefs: [{name: kong}], hostnames: [HOST], rules: [RULE]}";
        gateway_api("GRPCRoute", name, &spec.replace("HOST", hostname).replace("RULE", &backend))
    };
    let objects = [
        service("web/one"),
        service("web/two"),
        grpc("web/a", "b.c", "one"),
        grpc("web/a.b", "c", "two"),
    ];
    assert_eq!(
        mapping(&Settings { expressions: Switch::On, ..kic() }, &objects),
        [
            "grpcroute.web.a.b.c.0 -> web/one:80*1 web/two:80*1 < GRPCRoute web/a:0 GRPCRoute web/a.b:0"
        ]
    );
}

#[test]
fn auto_guesses_nobody_where_a_route_is_named_like_a_combined_name() {
    let other = "{backendRefs: [{name: other, port: 80}]}";
    let objects = [
        service("web/echo"),
        service("web/other"),
        httproute("web/svc.web.echo.80", &[ECHO, other]),
    ];
    let name = "httproute.web.svc.web.echo.80.1 ->";
    let of = |combined| {
        let lines = mapping(&Settings { combined, ..kic() }, &objects);
        lines.into_iter().find(|line| line.starts_with(name)).unwrap()
    };
    let owner = "HTTPRoute web/svc.web.echo.80";
    assert_eq!(of(Switch::Off), format!("{name} web/other:80*1 < {owner}:1"));
    assert_eq!(of(Switch::On), format!("{name} web/echo:80*1 < {owner}:0"));
    assert_eq!(
        of(Switch::Auto),
        format!("{name} web/echo:80*1 web/other:80*1 < {owner}:0 {owner}:1")
    );
}

#[test]
fn control_planes_tell_whether_rules_are_combined() {
    let control_plane = |name: &str, spec: &str| {
        manifest("gateway-operator.konghq.com/v2beta1", "ControlPlane", name, "{}", spec)
    };
    let translation = |value: &str| {
        format!("{{translation: {{combinedServicesFromDifferentHTTPRoutes: {value}}}}}")
    };
    let combined = "httproute.web.svc.web.echo.80.1";
    let separate = "httproute.web.a.0";
    let names = |settings: &Settings, more: &[String]| {
        let objects = [&[service("web/echo"), httproute("web/a", &[ECHO])], more].concat();
        let snapshot = index(settings, &objects).snapshot();
        snapshot.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let auto = Settings { combined: Switch::Auto, ..operator() };
    let on = control_plane("kong/a", &translation("enabled"));
    let off = control_plane("kong/b", &translation("disabled"));
    let old = control_plane("kong/c", "{}").replace("v2beta1", "v1beta1");
    assert_eq!(names(&auto, &[]), [separate, combined]);
    assert_eq!(names(&auto, slice::from_ref(&on)), [combined]);
    // The default of the API.
    assert_eq!(names(&auto, &[control_plane("kong/a", "{}")]), [combined]);
    assert_eq!(names(&auto, slice::from_ref(&off)), [separate]);
    assert_eq!(names(&auto, &[on.clone(), off]), [separate, combined]);
    assert_eq!(names(&auto, &[on.clone(), old]), [separate, combined]);
    // Kong Ingress Controller has no ControlPlane.
    assert_eq!(names(&Settings { combined: Switch::Auto, ..kic() }, &[on]), [separate, combined]);
}

#[test]
fn routes_of_another_vendors_gateways_are_left_out() {
    let class = |controller: &str| {
        manifest(
            "gateway.networking.k8s.io/v1",
            "GatewayClass",
            "theirs",
            "{}",
            &format!("{{controllerName: {controller}}}"),
        )
    };
    let gateway = gateway_api("Gateway", "web/kong", "{gatewayClassName: theirs}");
    let of = |controller: &str| {
        let objects = [
            class(controller),
            gateway.clone(),
            service("web/echo"),
            httproute("web/a", &[ECHO]),
            route("TCPRoute", "prod/a", &[ECHO]),
        ];
        index(&kic(), &objects).snapshot().len()
    };
    assert_eq!(of("konghq.com/kic-gateway-controller"), 2);
    assert_eq!(of("konghq.com/gateway-operator"), 2);
    // The Gateway of prod is not known.
    assert_eq!(of("example.com/controller"), 1);
    let gateways = [("prod".to_owned(), "kong".to_owned())].into();
    let objects = [httproute("web/a", &[ECHO]), httproute("prod/a", &[ECHO])];
    assert_eq!(
        mapping(&Settings { gateways, ..kic() }, &objects),
        ["httproute.prod.a.0 -> < HTTPRoute prod/a:0"]
    );
}

#[test]
fn routes_that_are_attached_to_no_gateway_are_left_out() {
    let mesh = format!("{{parentRefs: [{{kind: Service, name: echo}}], rules: [{ECHO}]}}");
    let none = format!("{{rules: [{ECHO}]}}");
    let objects =
        [gateway_api("HTTPRoute", "web/mesh", &mesh), gateway_api("HTTPRoute", "web/none", &none)];
    assert_eq!(mapping(&kic(), &objects), [""; 0]);
}

#[test]
fn query_parameters_need_the_expressions_router() {
    let query = "{matches: [{path: {value: /}}, {queryParams: [{name: a, value: b}]}]}";
    let objects = [httproute("web/a", &[ECHO, query])];
    let len = |expressions| index(&Settings { expressions, ..kic() }, &objects).snapshot().len();
    assert_eq!([Switch::Off, Switch::On, Switch::Auto].map(len), [0, 2, 2]);
}

#[test]
fn filters_and_a_written_namespace_keep_rules_of_one_route_apart() {
    let filtered = "{backendRefs: [{name: echo, port: 80, filters: [{type: X, x: {b: 1, a: 2}}]}]}";
    let reordered =
        "{backendRefs: [{name: echo, port: 80, filters: [{x: {a: 2, b: 1}, type: X}]}]}";
    let written = "{backendRefs: [{name: echo, namespace: web, port: 80, filters: []}]}";
    let rules = [ECHO, filtered, written, reordered, "{backendRefs: [{name: echo, port: 80}]}"];
    let objects = [service("web/echo"), httproute("web/a", &rules)];
    let owner = "HTTPRoute web/a";
    assert_eq!(
        mapping(&kic(), &objects),
        [
            format!("httproute.web.a.0 -> web/echo:80*1 < {owner}:0 {owner}:4"),
            format!("httproute.web.a.1 -> web/echo:80*1 < {owner}:1 {owner}:3"),
            format!("httproute.web.a.2 -> web/echo:80*1 < {owner}:2"),
        ]
    );
    assert_eq!(index(&operator(), &objects).snapshot().len(), 1);
}
