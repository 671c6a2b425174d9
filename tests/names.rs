//! What Kong's names stand for: the vectors of the specification, and properties of any name.

use kong_metrics_exporter::mapping::name::{Form, decode};
use kong_metrics_exporter::mapping::{BackendRef, Label, PortRef, Why};

/// A form in one line of text, so that a table of them can be read.
fn spell(form: Result<Form<'_>, Why>) -> String {
    match form {
        Ok(Form::Service(backend)) => format!("service {}", spell_backend(&backend)),
        Ok(Form::Combined { route_namespace, backends, complete, timeout_ms }) => {
            let mut text = format!("combined {route_namespace}:");
            for backend in &backends {
                text += &format!(" {}", spell_backend(backend));
            }
            if let Some(timeout_ms) = timeout_ms {
                text += &format!(" timeout {timeout_ms}");
            }
            if complete { text } else { text + " …" }
        }
        Ok(ref form @ Form::Rule { kind, namespace, name, hostname, rule }) => {
            let host = hostname.map(|host| format!(" host {host}")).unwrap_or_default();
            let maybe = if form.may_hold_hostname() { " or shorter" } else { "" };
            format!("{} {namespace}/{name}{maybe}{host} rule {rule}", kind.as_str())
        }
        Ok(Form::Facade { namespace, facade }) => format!("facade {namespace}/{facade}"),
        Ok(Form::Hybrid) => "hybrid".to_owned(),
        Err(why) => why.as_str().to_owned(),
    }
}

fn spell_backend(backend: &BackendRef<'_>) -> String {
    let BackendRef { namespace, service, port, weight } = backend;
    let port = port.map(|port| match port {
        PortRef::Number(number) => format!(":{number}"),
        PortRef::Name(name) => format!(":{name:?}"),
    });
    let weight = weight.map(|weight| format!("*{weight}"));
    format!("{namespace}/{service}{}{}", port.unwrap_or_default(), weight.unwrap_or_default())
}

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
        assert_eq!(spell(decode(Label::Service, name)), expected, "{name}");
    }
}
