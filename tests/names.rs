//! What Kong's names say by themselves: every form, one name each, and properties of any name.

mod spelling;

use kong_metrics_exporter::mapping::name::{Form, MAX_BYTES, decode};
use kong_metrics_exporter::mapping::{
    BackendRef, Entry, Kind, Label, OwnerRef, Snapshot, Target, Why, owner_for_route, resolve,
};
use proptest::prelude::*;

#[test]
fn every_form_of_a_service_name_is_read() {
    let hash = "0123456789abcdef".repeat(4);
    let cut = format!("httproute.web.svc.web.echo.80.1_combined.{hash}");
    let cut_late = format!("httproute.web.svc.web.echo.80.1_combined.{hash}.timeout.5000");
    let long_hash = format!("{cut}0");
    let vectors = [
        // Ingress, TCPIngress, Knative
        ("default.echo.80", "service default/echo:80"),
        ("default.echo.http", "service default/echo:\"http\""),
        ("default.echo.implicitPort", "service default/echo"),
        ("default.echo.pnum-80", "service default/echo:80"),
        ("default.echo.pname-http", "service default/echo:\"http\""),
        ("default.echo.pnum-x", "service default/echo:\"pnum-x\""),
        ("httproute.a.80", "service httproute/a:80"),
        ("default.svc.facade", "service default/svc:\"facade\""),
        ("default.echo.65535", "service default/echo:65535"),
        ("default.echo.65536", "no_entry"),
        ("default.echo.0", "no_entry"),
        ("default.echo.080", "no_entry"),
        ("default.echo.Http", "no_entry"),
        // UDPIngress
        ("default.dns.53.udp", "service default/dns:53"),
        ("default.dns.domain.udp", "no_entry"),
        // KongServiceFacade
        ("default.a.b.svc.facade", "facade default/a.b"),
        ("default.svc.facade.svc.facade", "facade default/svc.facade"),
        ("httproute.default.svc.facade", "facade httproute/default"),
        // routes
        ("httproute.default.echo.0", "HTTPRoute default/echo rule 0"),
        ("httproute.default.a.b.c.10", "HTTPRoute default/a.b.c or shorter rule 10"),
        ("httproute.default.0.0", "HTTPRoute default/0 rule 0"),
        ("httproute.default.echo._.1", "HTTPRoute default/echo host _ rule 1"),
        ("httproute.default.echo.00", "no_entry"),
        ("httproute.default.echo.4294967296", "no_entry"),
        ("httproute.default.echo.x", "no_entry"),
        ("httproute.default._.0", "no_entry"),
        ("httproute.default.a_b.0", "no_entry"),
        ("httproute.default..0", "no_entry"),
        ("grpcroute.default.a.b.c.0", "GRPCRoute default/a.b.c or shorter rule 0"),
        ("grpcroute.default.m._.0", "GRPCRoute default/m host _ rule 0"),
        ("grpcroute.default.m._.example.org.0", "GRPCRoute default/m host _.example.org rule 0"),
        ("grpcroute.default.a.b._.0", "GRPCRoute default/a.b host _ rule 0"),
        ("grpcroute.default.m._._.0", "no_entry"),
        ("tcproute.default.t.one.0", "TCPRoute default/t.one rule 0"),
        ("tcproute.default.t._.0", "no_entry"),
        ("tlsroute.default.t.3", "TLSRoute default/t rule 3"),
        ("udproute.default.u.0", "UDPRoute default/u rule 0"),
        ("xroute.default.u.0", "no_entry"),
        // combined
        ("httproute.default.svc._", "combined default:"),
        ("httproute.default.svc._.timeout.7", "combined default: timeout 7"),
        ("httproute.default.svc.default.echo.80.1", "combined default: default/echo:80*1"),
        (
            "httproute.web.svc.default.echo.80.90_prod.api.8080.10",
            "combined web: default/echo:80*90 prod/api:8080*10",
        ),
        (
            "httproute.web.svc.default.echo.80.1_default.echo.8080.1",
            "combined web: default/echo:80*1 default/echo:8080*1",
        ),
        (
            "httproute.web.svc.web.echo.80.1.timeout.5000",
            "combined web: web/echo:80*1 timeout 5000",
        ),
        ("httproute.web.svc.web.echo.80.0", "combined web: web/echo:80*0"),
        ("httproute.web.svc.web.echo.80", "combined web: web/echo:80"),
        ("httproute.web.svc.web.echo", "combined web: web/echo"),
        ("httproute.web.svc.web.timeout.80", "combined web: web/timeout:80"),
        ("httproute.web.svc.web.timeout.80.timeout.9", "combined web: web/timeout:80 timeout 9"),
        ("httproute.default.svc.0", "HTTPRoute default/svc rule 0"),
        ("httproute.default.svc._.0", "HTTPRoute default/svc host _ rule 0"),
        (
            "httproute.default.svc.default.echo.99999.1",
            "HTTPRoute default/svc.default.echo.99999 or shorter rule 1",
        ),
        (&cut, "combined web: web/echo:80*1 …"),
        (&cut_late, "combined web: web/echo:80*1 timeout 5000 …"),
        (&long_hash, "no_entry"),
        // Konnect hybrid
        ("http.default-echo-80.1.cp1a2b3c4d.5e6f7a8b", "hybrid"),
        ("http.default-echo-80.2.cp1.5e6f7a8b.bnf12345678", "hybrid"),
        ("http.default-echo-80.1.cp1a2b3c4d5.5e6f7a8b", "no_entry"),
        ("http.default-echo-80.x.cp1a2b3c4d.5e6f7a8b", "no_entry"),
        ("ftp.default-echo-80.1.cp1a2b3c4d.5e6f7a8b", "no_entry"),
        // nothing
        ("foo", "no_entry"),
        ("a.b", "no_entry"),
        ("", "no_entry"),
        ("..", "no_entry"),
        ("default.ec\"ho.80", "no_entry"),
        ("default.echo.80.invalid", "no_entry"),
        ("echo.default.80.svc", "no_entry"),
    ];
    for (name, expected) in vectors {
        assert_eq!(spelling::of_form(decode(Label::Service, name)), expected, "{name}");
    }
}

#[test]
fn every_form_of_an_upstream_name_is_read() {
    let vectors = [
        ("echo.default.80.svc", "service default/echo:80"),
        ("echo.default.http.svc", "service default/echo:\"http\""),
        ("dns.default.53.svc.invalid", "service default/dns:53"),
        ("httproute.default.80.svc", "service default/httproute:80"),
        ("grpcroute.default.g.0.invalid", "GRPCRoute default/g rule 0"),
        ("grpcroute.default.g.0.invalid.invalid", "no_entry"),
        ("httproute.web.svc.web.echo.80.1", "combined web: web/echo:80*1"),
        ("httproute.web.svc._.invalid", "combined web:"),
        ("default.a.b.svc.facade", "facade default/a.b"),
        ("http.default-echo-80.1.cp1a2b3c4d.5e6f7a8b", "hybrid"),
        // the names of Ingresses' services, not of their upstreams
        ("default.echo.80", "no_entry"),
        ("default.dns.53.udp", "no_entry"),
        (".invalid", "no_entry"),
    ];
    for (name, expected) in vectors {
        assert_eq!(spelling::of_form(decode(Label::Upstream, name)), expected, "{name}");
    }
}

#[test]
fn a_name_longer_than_any_controller_writes_is_not_read() {
    let route = "a".repeat(MAX_BYTES - "httproute.default..0".len());
    let longest = format!("httproute.default.{}.0", &route);
    let cut = format!("httproute.default.{}.{}.0", &route[..240], &route[240..300]);
    assert_eq!(longest.len(), MAX_BYTES);
    assert_eq!(decode(Label::Service, &longest), Err(Why::NoEntry), "253 bytes at most a name");
    assert_eq!(decode(Label::Service, &cut), Err(Why::NoEntry), "63 bytes at most a label");
    assert_eq!(decode(Label::Service, &format!("{longest}0")), Err(Why::TooLong));
    assert_eq!(decode(Label::Upstream, &format!("{longest}.invalid")), Err(Why::NoEntry));
    assert_eq!(decode(Label::Upstream, &format!("{longest}0.invalid")), Err(Why::TooLong));
}

fn owner<'a>(kind: Kind, namespace: &'a str, name: &'a str, rule: u32) -> OwnerRef<'a> {
    OwnerRef { kind, namespace, name: Some(name), rule: Some(rule) }
}

#[test]
fn the_route_label_tells_which_owner_a_line_belongs_to() {
    let http = |name, rule| owner(Kind::HTTPRoute, "default", name, rule);
    let grpc = owner(Kind::GRPCRoute, "default", "a", 0);
    let nameless = OwnerRef { name: None, ..grpc };
    let ingress =
        OwnerRef { kind: Kind::Ingress, namespace: "default", name: Some("a"), rule: None };
    let tcp = owner(Kind::TCPRoute, "default", "t", 0);
    let owners = [
        nameless,
        ingress,
        grpc,
        tcp,
        http("a", 0),
        http("a", 2),
        http("a.b", 0),
        http("a.b.0", 0),
    ];
    let vectors = [
        ("httproute.default.a.0.0", Some(http("a", 0))),
        ("httproute.default.a.2.1", Some(http("a", 2))),
        ("httproute.default.a.7.0", Some(http("a", 0))),
        ("httproute.default.a._.2.0", Some(http("a", 2))),
        ("httproute.default.a.example.com.0.0", Some(http("a", 0))),
        ("httproute.default.a.b.0.0", Some(http("a.b", 0))),
        ("httproute.default.a.b.0.0.0", Some(http("a.b.0", 0))),
        ("httproute.default.a.b.example.com.0.0", Some(http("a.b", 0))),
        ("grpcroute.default.a._.0.0", Some(grpc)),
        ("tcproute.default.t.0.0", Some(tcp)),
        ("tcproute.default.t.u.0.0", None),
        ("httproute.default.ab.0.0", None),
        ("httproute.other.a.0.0", None),
        ("httproute.default.a.0", None),
        ("httproute.default.a.0.x", None),
        ("default.a.echo..80", None),
        ("", None),
    ];
    for (label, expected) in vectors {
        assert_eq!(owner_for_route(&owners, label), expected.as_ref(), "{label}");
    }
}

prop_compose! {
    fn any_backend()(
        namespace in "[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?",
        service in "[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?",
        port in proptest::option::of(1u16..),
        weight in proptest::option::of(any::<u32>()),
    ) -> String {
        match (port, weight) {
            (Some(port), Some(weight)) => format!("{namespace}.{service}.{port}.{weight}"),
            (Some(port), None) => format!("{namespace}.{service}.{port}"),
            (None, _) => format!("{namespace}.{service}"),
        }
    }
}

/// Pieces that mean something somewhere, so that random names come close to real ones.
fn piece() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 19] = [
        "httproute",
        "grpcroute",
        "tcproute",
        "svc",
        "facade",
        "udp",
        "timeout",
        "_",
        "_combined",
        "invalid",
        "implicitPort",
        "pnum-80",
        "80",
        "0",
        "default",
        "cp1",
        "http",
        "a_b",
        "",
    ];
    prop_oneof![proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned), "[a-z0-9-]{1,4}"]
}

proptest! {
    #[test]
    fn any_text_is_taken_and_read_the_same_twice(name in any::<String>(), long in ".{590,600}") {
        for name in [&name, &long] {
            for label in [Label::Service, Label::Upstream] {
                prop_assert_eq!(decode(label, name), decode(label, name));
            }
        }
    }

    #[test]
    fn what_is_read_is_made_of_pieces_of_the_name(
        name in proptest::collection::vec(piece(), 1..9).prop_map(|pieces| pieces.join(".")),
    ) {
        let snapshot = [(name.clone(), Entry::default())].into_iter().collect::<Snapshot>();
        for label in [Label::Service, Label::Upstream] {
            let nothing = Snapshot::default();
            let resolution = resolve(&nothing, label, &name);
            let (owners, backends) = match &resolution.target {
                Target::Service { backends, .. } => (&[][..], &backends[..]),
                Target::Route { owners, backends, .. } => (&owners[..], &backends[..]),
                Target::Unknown(_) => (&[][..], &[][..]),
            };
            for backend in backends {
                let forwards = format!("{}.{}", backend.namespace, backend.service);
                let backwards = format!("{}.{}", backend.service, backend.namespace);
                prop_assert!(name.contains(&forwards) || name.contains(&backwards));
            }
            for owner in owners {
                prop_assert!(name.starts_with(owner.kind.lower()));
                prop_assert!(owner.name.is_none_or(|object| name.contains(object)));
            }
        }
        let resolution = resolve(&snapshot, Label::Service, &name);
        prop_assert_eq!(resolution.target, Target::Unknown(Why::EmptyEntry));
    }

    #[test]
    fn a_combined_name_says_what_it_was_made_of(
        namespace in "[a-z]([a-z0-9-]{0,9}[a-z0-9])?",
        backends in proptest::collection::btree_set(any_backend(), 1..8),
        timeout in proptest::option::of(any::<u64>()),
        hash in proptest::option::of("[0-9a-f]{64}"),
    ) {
        let backends = backends.into_iter().collect::<Vec<_>>();
        let mut name = format!("httproute.{namespace}.svc.{}", backends.join("_"));
        if let Some(hash) = &hash {
            name += &format!("_combined.{hash}");
        }
        if let Some(timeout) = timeout {
            name += &format!(".timeout.{timeout}");
        }
        let Ok(Form::Combined { route_namespace, backends: read, complete, timeout_ms }) =
            decode(Label::Service, &name)
        else {
            return Err(TestCaseError::fail(format!("{name} is no combined name")));
        };
        let printed = read.iter().map(|backend| {
            let BackendRef { namespace, service, port, weight } = backend;
            let port = port.map(|port| format!(".{port}")).unwrap_or_default();
            let weight = weight.map(|weight| format!(".{weight}")).unwrap_or_default();
            format!("{namespace}.{service}{port}{weight}")
        });
        prop_assert_eq!(printed.collect::<Vec<_>>(), backends);
        prop_assert_eq!(route_namespace, namespace);
        prop_assert_eq!(complete, hash.is_none());
        prop_assert_eq!(timeout_ms, timeout);
    }
}
