//! The mapping file: both formats, and what is said about each mistake.

// Clippy's exception for tests does not see the functions beside them.
#![allow(clippy::unwrap_used)]

use kong_metrics_exporter::mapping::file::{parse, to_json};
use kong_metrics_exporter::mapping::{Backend, Entry, Kind, Owner, Port, Snapshot};

/// What is wrong with a file whose one entry, `a.b.80`, is `entry`; line 1 is the line before.
fn mistake(entry: &str) -> String {
    mistake_in(&format!("{{\"services\": {{\"a.b.80\":\n{entry}}}}}"))
}

fn mistake_in(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

fn two_services() -> Snapshot {
    let backend = |service: &str, port, weight| Backend {
        namespace: "web".to_owned(),
        service: service.to_owned(),
        port,
        weight,
    };
    let owner = Owner {
        kind: Kind::HTTPRoute,
        namespace: "web".to_owned(),
        name: "echo.v1".to_owned(),
        rule: Some(0),
    };
    let weighted = Entry {
        backends: vec![
            backend("blue", Some(Port::Number(80)), Some(90)),
            backend("green", Some(Port::Name("http".to_owned())), None),
        ],
        owners: vec![owner],
    };
    let bare = Entry { backends: vec![backend("echo", None, None)], owners: Vec::new() };
    let named = [("httproute.web.echo.v1.0", weighted), ("a \"b\"", bare)];
    named.into_iter().map(|(name, entry)| (name.to_owned(), entry)).collect()
}

#[test]
fn json_and_yaml_say_the_same() {
    let json = br#"{"services": {
            "httproute.web.echo.v1.0": {
                "backends": [
                    {"namespace": "web", "service": "blue", "port": 80, "weight": 90},
                    {"namespace": "web", "service": "green", "port": "http"}],
                "owners": [{"kind": "HTTPRoute", "namespace": "web", "name": "echo.v1", "rule": 0}]},
            "a \"b\"": {"backends": [{"namespace": "web", "service": "echo"}]}}}"#;
    let yaml = br#"
services:
  httproute.web.echo.v1.0:
    backends:
    - {namespace: web, service: blue, port: 80, weight: 90}
    - namespace: web
      service: green
      port: http
    owners:
    - {kind: HTTPRoute, namespace: web, name: echo.v1, rule: 0}
  'a "b"':
    backends: [{namespace: web, service: echo}]
"#;
    let expected = to_json(&two_services()).unwrap();
    assert_eq!(to_json(&parse(json).unwrap()).unwrap(), expected);
    assert_eq!(to_json(&parse(yaml).unwrap()).unwrap(), expected);
}

#[test]
fn what_is_printed_is_read_back() {
    let printed = to_json(&two_services()).unwrap();
    assert_eq!(to_json(&parse(printed.as_bytes()).unwrap()).unwrap(), printed);
    assert_eq!(parse(printed.as_bytes()).unwrap().len(), 2);
}

#[test]
fn a_mistake_in_json_is_told_with_its_place() {
    let all = [
        (
            r#"[]"#,
            "2 column 2: service \"a.b.80\": invalid type: sequence, expected an entry: backends, owners or both",
        ),
        (
            r#"{"backend": []}"#,
            "2 column 10: service \"a.b.80\": unknown field `backend`, expected `backends` or `owners`",
        ),
        (
            r#"{"backends": {}}"#,
            "2 column 15: service \"a.b.80\": invalid type: map, expected a list of backends, each an object with namespace and service",
        ),
        (
            r#"{"backends": [{"namespace": "a"}]}"#,
            "2 column 32: service \"a.b.80\": missing field `service`",
        ),
        (
            r#"{"backends": [{"namespace": "A"}]}"#,
            "2 column 31: service \"a.b.80\": invalid value: string \"A\", expected a name as Kubernetes allows it here: up to 63 of a-z, 0-9 and -",
        ),
        (
            r#"{"backends": [{"port": 0}]}"#,
            "2 column 24: service \"a.b.80\": invalid value: integer `0`, expected a port: a number from 1 to 65535, or a name such as \"http\"",
        ),
        (
            r#"{"backends": [{"port": 65536}]}"#,
            "2 column 28: service \"a.b.80\": invalid value: integer `65536`, expected a port: a number from 1 to 65535, or a name such as \"http\"",
        ),
        (
            r#"{"backends": [{"port": "80"}]}"#,
            "2 column 27: service \"a.b.80\": invalid value: string \"80\", expected a port: a number from 1 to 65535, or a name such as \"http\"",
        ),
        (
            r#"{"backends": [{"weight": -1}]}"#,
            "2 column 27: service \"a.b.80\": invalid type: integer `-1`, expected a whole number of 0 or more",
        ),
        (
            r#"{"owners": [{"kind": "Route"}]}"#,
            "2 column 28: service \"a.b.80\": unknown variant `Route`, expected one of `Ingress`, `HTTPRoute`, `GRPCRoute`, `TCPRoute`, `TLSRoute`, `UDPRoute`, `TCPIngress`, `UDPIngress`, `KongServiceFacade`, `KongService`",
        ),
        (r#"{}, "a.b.80": {}"#, "2 column 12: key \"a.b.80\" is there twice"),
        (r#"{} x"#, "2 column 4: expected `,` or `}`"),
    ];
    for (entry, expected) in all {
        assert_eq!(mistake(entry), format!("JSON line {expected}"));
    }
    assert_eq!(mistake_in("{}"), "JSON line 1 column 2: missing field `services`");
    assert_eq!(mistake_in("{\"services\": {}} x"), "JSON line 1 column 18: trailing characters");
    assert_eq!(
        parse(b"{\"services\": {\n \"\xff").unwrap_err().to_string(),
        "JSON line 2 column 3: not UTF-8 text"
    );
}

#[test]
fn a_mistake_in_yaml_is_told_with_its_place() {
    let all = [
        ("", "YAML line 1 column 1: unexpected end of input"),
        (
            "- a",
            "YAML: invalid type: sequence, expected a mapping file: an object with the key \"services\"",
        ),
        (
            "services:\n\ta: {}",
            "YAML line 2 column 2: tabs disallowed within this context (block indentation)",
        ),
        ("services:\n  a: {}\n  a: {}", "YAML line 3 column 3: key \"a\" is there twice"),
        (
            "services:\n  a:\n    backends:\n    - namespace: b\n      prt: 80",
            "YAML line 5 column 7: service \"a\": unknown field `prt`, expected one of namespace, service, port, weight",
        ),
        (
            "services:\n  a:\n    backends:\n    - namespace: b\n      service: c\n      port: 0",
            "YAML line 6 column 7: service \"a\": invalid value: integer `0`, expected a port: a number from 1 to 65535, or a name such as \"http\"",
        ),
    ];
    for (text, expected) in all {
        assert_eq!(mistake_in(text), expected);
    }
}
