//! What names stand for: exact, retained, decoded, unknown; and the golden set of Kong's own
//! translator.

mod spelling;

use kong_metrics_exporter::mapping::{
    Backend, Entry, Label, Snapshot, Target, Tier, file, resolve,
};

#[test]
fn a_name_that_is_not_in_the_mapping_stands_for_what_it_says_and_no_more() {
    let hash = "0123456789abcdef".repeat(4);
    let cut = format!("httproute.web.svc.web.echo.80.1_combined.{hash}");
    let long = "x".repeat(600);
    let vectors = [
        ("default.echo.80", "default/echo by default/echo:80"),
        ("httproute.web.svc.web.echo.80.1", "web/echo by web/echo:80*1"),
        (
            "httproute.web.svc.web.echo.80.1_web.echo.8080.2",
            "web/echo by web/echo:80*1 web/echo:8080*2",
        ),
        ("httproute.web.svc.web.echo.80.1_web.echo.80.2", "web/echo by web/echo:80*3"),
        ("httproute.web.svc.web.echo.80_web.echo.80", "web/echo by web/echo:80*2"),
        (
            "httproute.web.svc.web.blue.80.9_prod.blue.80.1",
            "[HTTPRoute web/?] to web/blue:80*9 prod/blue:80*1",
        ),
        (&cut, "[HTTPRoute web/?] to web/echo:80*1 …"),
        ("httproute.default.svc._", "no_backends"),
        ("httproute.default.a.b.c.10", "[HTTPRoute default/a.b.c 10] to  …"),
        ("grpcroute.default.echo.0", "[GRPCRoute default/echo 0] to  …"),
        ("grpcroute.default.a.b._.0", "[GRPCRoute default/a.b 0] to  …"),
        ("grpcroute.default.a.b.0", "ambiguous"),
        ("tcproute.default.a.b.0", "[TCPRoute default/a.b 0] to  …"),
        ("default.a.b.svc.facade", "facade"),
        ("http.default-echo-80.1.cp1a2b3c4d.5e6f7a8b", "hybrid"),
        ("foo", "no_entry"),
        (&long, "too_long"),
    ];
    let nothing = Snapshot::default();
    for (name, expected) in vectors {
        let resolution = resolve(&nothing, Label::Service, name);
        assert_eq!(spelling::of_target(&resolution.target), expected, "{name}");
        let is_unknown = matches!(resolution.target, Target::Unknown(_));
        assert_eq!(resolution.tier, (!is_unknown).then_some(Tier::Decoded), "{name}");
    }
}

#[test]
fn an_entry_says_more_than_the_name_and_the_name_fills_in_the_owner() {
    let file = r#"
services:
  httproute.default.svc.default.echo.80.1:
    backends: [{namespace: web, service: other}]
    owners: [{kind: HTTPRoute, namespace: default, name: svc.default.echo.80, rule: 1}]
  httproute.default.both.3:
    backends: [{namespace: a, service: b}, {namespace: a, service: c, weight: 2}]
  httproute.default.svc.a.b.80.1_a.c.80.1:
    backends: [{namespace: a, service: b}, {namespace: a, service: c}]
  grpcroute.default.a.b.0:
    backends: [{namespace: a, service: b}, {namespace: a, service: c}]
  plain:
    backends: [{namespace: a, service: b}, {namespace: c, service: b}]
  shared:
    backends: [{namespace: a, service: b}, {namespace: a, service: c}]
    owners:
    - {kind: TCPRoute, namespace: a, name: a}
    - {kind: HTTPRoute, namespace: a, name: b, rule: 1}
    - {kind: HTTPRoute, namespace: a, name: a, rule: 10}
    - {kind: HTTPRoute, namespace: a, name: a, rule: 2}
    - {kind: HTTPRoute, namespace: a, name: a, rule: 2}
  denied:
    owners: [{kind: HTTPRoute, namespace: a, name: denied, rule: 0}]
  twice:
    backends: [{namespace: a, service: b, port: 80}, {namespace: a, service: b, port: 80, weight: 4}]
  www.example.com: {}
"#;
    let snapshot = file::parse(file.as_bytes()).unwrap();
    let vectors = [
        ("httproute.default.svc.default.echo.80.1", "web/other by web/other"),
        ("httproute.default.both.3", "[HTTPRoute default/both 3] to a/b a/c*2"),
        ("httproute.default.svc.a.b.80.1_a.c.80.1", "[HTTPRoute default/?] to a/b a/c"),
        ("grpcroute.default.a.b.0", "[] to a/b a/c"),
        ("plain", "[] to a/b c/b"),
        ("shared", "[HTTPRoute a/a 2, HTTPRoute a/a 10, HTTPRoute a/b 1, TCPRoute a/a] to a/b a/c"),
        ("denied", "[HTTPRoute a/denied 0] to "),
        ("twice", "a/b by a/b:80*5"),
        ("www.example.com", "empty_entry"),
    ];
    for (name, expected) in vectors {
        let resolution = resolve(&snapshot, Label::Service, name);
        assert_eq!(spelling::of_target(&resolution.target), expected, "{name}");
        let is_unknown = matches!(resolution.target, Target::Unknown(_));
        assert_eq!(resolution.tier, (!is_unknown).then_some(Tier::Exact), "{name}");
    }
}

#[test]
fn an_upstream_is_found_by_the_name_of_its_service() {
    let file = r#"
services:
  default.echo.80: {backends: [{namespace: real, service: one}]}
  default.dns.53.udp: {backends: [{namespace: real, service: two}]}
  grpcroute.a.b.0: {backends: [{namespace: real, service: three}]}
  default.f.svc.facade: {backends: [{namespace: real, service: four}]}
"#;
    let snapshot = file::parse(file.as_bytes()).unwrap();
    let vectors = [
        ("echo.default.80.svc", "real/one by real/one"),
        ("echo.default.80.svc.invalid", "real/one by real/one"),
        ("dns.default.53.svc", "real/two by real/two"),
        ("grpcroute.a.b.0", "real/three by real/three"),
        ("grpcroute.a.b.0.invalid", "real/three by real/three"),
        ("default.f.svc.facade", "real/four by real/four"),
        ("default.echo.80", "no_entry"),
        ("echo.default.81.svc", "default/echo by default/echo:81"),
    ];
    for (name, expected) in vectors {
        let resolution = resolve(&snapshot, Label::Upstream, name);
        assert_eq!(spelling::of_target(&resolution.target), expected, "{name}");
    }
}

#[test]
fn each_of_many_names_is_found_and_no_other() {
    let entry = |number: usize| Entry {
        backends: vec![Backend {
            namespace: format!("team-{}", number % 300),
            service: format!("service-{number}"),
            port: None,
            weight: None,
        }],
        owners: Vec::new(),
    };
    let entries = (0..10_000).map(|number| (format!("name-{number}"), entry(number)));
    let snapshot = entries.collect::<Snapshot>();
    assert_eq!(snapshot.len(), 10_000);
    for number in 0..20_000 {
        let name = format!("name-{number}");
        let resolution = resolve(&snapshot, Label::Service, &name);
        let expected = if number < 10_000 {
            format!("team-{0}/service-{number} by team-{0}/service-{number}", number % 300)
        } else {
            "no_entry".to_owned()
        };
        assert_eq!(spelling::of_target(&resolution.target), expected);
    }
}
