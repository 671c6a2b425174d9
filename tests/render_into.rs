//! `render --into`: the sidecar in files as people write them. Asserted: what was in them still is,
//! to the letter where it can be; the sidecar is there; a second time nothing changes.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use kong_metrics_exporter::render::{Form, Settings, Target, merge, render};
use serde_json::{Value, json};

const V2: Target = Target::GatewayConfigurationV2beta1;
const TEMPLATE: &str = "/spec/dataPlaneOptions/deployment/podTemplateSpec";

/// What people have: comments, odd indentation, a string that looks like a number, an old octal.
const USUAL: &str = r#"# Our gateway.
apiVersion: gateway-operator.konghq.com/v2beta1
kind: GatewayConfiguration
metadata:
    name: edge      # one for all teams
    namespace: kong
spec:
    dataPlaneOptions:
        deployment:
            replicas: 2
            podTemplateSpec:
                metadata:
                    annotations: {"build": "1.10", example.org/on: 'on'}
                spec:
                    # Ours first.
                    containers:
                    -   name: proxy
                        image: kong/kong-gateway:3.11
                        env:
                          - name: KONG_LOG_LEVEL   # loud
                            value: debug
                    -   {name: waiter, image: "waiter:1"}
                    volumes:
                      - name: scripts
                        configMap: {name: scripts, defaultMode: 0444}
    # Nothing more here.
"#;

#[test]
fn a_file_keeps_all_that_it_has() {
    let merged = into(USUAL, V2, &settings());
    let mut rest = merged.as_str();
    for line in USUAL.lines() {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is gone from\n{merged}"));
        rest = &rest[at + line.len()..];
    }
    let value = parsed(&merged);
    let spec = value.pointer(TEMPLATE).unwrap()["spec"].clone();
    let containers = names(&spec["containers"]);
    assert_eq!(containers, ["proxy", "waiter"]);
    assert_eq!(names(&spec["initContainers"]), ["metrics-exporter"]);
    assert_eq!(names(&spec["volumes"]), ["scripts", "metrics-exporter-mapping"]);
    let env = names(&spec["containers"][0]["env"]);
    assert_eq!(env, ["KONG_LOG_LEVEL", "KONG_NGINX_HTTP_LUA_SHARED_DICT"]);
    // Its own lines are at the depth of their neighbours.
    assert!(merged.contains(
        "\n                    initContainers:\n                    - name: metrics-exporter\n"
    ));
    assert!(merged.contains("\n                          - name: KONG_NGINX_HTTP_LUA_SHARED_DICT\n                            value: prometheus_metrics 64m\n"));
}

#[test]
fn notations_of_all_kinds_are_edited_in_their_own() {
    let json = serde_json::to_string_pretty(&parsed(USUAL)).unwrap();
    let start = "apiVersion: gateway-operator.konghq.com/v2beta1\nkind: GatewayConfiguration\nmetadata: {name: edge}\n";
    let template = "spec:\n  dataPlaneOptions:\n    deployment:\n      podTemplateSpec:";
    let files = [
        USUAL.to_owned(),
        USUAL.replace('\n', "\r\n"),
        json,
        format!("{start}spec: {{}}\n"),
        format!("{start}spec:\n"),
        format!("{start}spec: ~ # later\n"),
        format!("{start}spec: {{dataPlaneOptions: {{}}, }}"),
        format!("{start}{template}"),
        format!("{start}{template} # nothing yet\n  listenersOptions: []\n"),
        format!("{start}{template}\n        spec:\n          containers: []\n"),
        format!("{start}{template}\n        spec: {{containers: [{{name: proxy}}]}}\n"),
        // Ends in a text of many lines, once without a newline at its end.
        format!(
            "{start}{template}\n        spec:\n          containers:\n          - name: proxy\n            args:\n            - |\n              a\n              b\n\n# end\n"
        ),
        format!(
            "{start}{template}\n        spec:\n          containers:\n          - name: proxy\n            args:\n            - |\n              a\n              b"
        ),
        format!(
            "{start}{template}\n        spec:\n          containers:\n            -\n              name: proxy\n              args: [a]\n"
        ),
        format!(
            "# another\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n---\n{start}spec: {{}}\n---\nkind: List\n"
        ),
    ];
    for file in files {
        let merged = into(&file, V2, &settings());
        let (before, after) = (all(&file), all(&merged));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert_contains(after, before, &format!("{file}\nbecame\n{merged}"));
        }
        let rendered = parsed(&render(V2, &settings()).unwrap())["spec"].clone();
        let spec = after.iter().find(|d| d["kind"] == "GatewayConfiguration").unwrap();
        assert_contains(&spec["spec"], &rendered, &format!("{file}\nbecame\n{merged}"));
        assert_eq!(
            file.matches("\r\n").count() > 0,
            !merged.replace("\r\n", "").contains('\n') && file.contains("\r\n"),
            "{merged:?}"
        );
    }
}

#[test]
fn what_was_rendered_before_is_replaced() {
    let native = into(USUAL, V2, &settings());
    let beside = Settings { form: Form::Container, ..settings() };
    let moved = into(&native, V2, &beside);
    let spec = parsed(&moved).pointer(TEMPLATE).unwrap()["spec"].clone();
    assert_eq!(spec["initContainers"], Value::Null, "{moved}");
    assert_eq!(names(&spec["containers"]), ["proxy", "waiter", "metrics-exporter"]);
    // And back again, with another image and without a mapping file.
    let other = Settings {
        image: "kong-metrics-exporter:other".to_owned(),
        mapping: "none".parse().unwrap(),
        ..settings()
    };
    let back = into(&moved, V2, &other);
    assert_eq!(parsed(&back), parsed(&into(USUAL, V2, &other)), "{back}");
    let spec = parsed(&back).pointer(TEMPLATE).unwrap()["spec"].clone();
    assert_eq!(names(&spec["volumes"]), ["scripts"]);
    assert_eq!(spec["initContainers"][0]["image"], "kong-metrics-exporter:other");
}

#[test]
fn values_of_kongs_chart_are_edited_too() {
    let values = "image:\n  tag: \"3.9\"\nenv:\n  database: \"off\"\n\ndeployment:\n  kong:\n    enabled: true\n";
    let merged = into(values, Target::HelmKong, &settings());
    assert!(merged.starts_with("image:\n  tag: \"3.9\"\nenv:\n  database: \"off\"\n  nginx_http_lua_shared_dict: prometheus_metrics 64m\n\ndeployment:\n  kong:\n    enabled: true\n  initContainers:\n  - name: metrics-exporter\n"), "{merged}");
    assert_eq!(
        into("", Target::HelmKong, &settings()),
        render(Target::HelmKong, &settings()).unwrap()
    );
}

#[test]
fn what_is_theirs_stays_and_is_told() {
    let file = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: kong}\nspec:\n  template:\n    spec:\n      containers:\n      - name: proxy\n        image: mine\n        env:\n        - {name: KONG_NGINX_HTTP_LUA_SHARED_DICT, value: prometheus_metrics 8m}\n";
    let merged = merge(file, Target::Deployment, &settings()).unwrap();
    assert_eq!(
        merged.notes,
        ["spec.template.spec.containers[proxy].env[KONG_NGINX_HTTP_LUA_SHARED_DICT].value stays \
          prometheus_metrics 8m; the sidecar asks for prometheus_metrics 64m"]
    );
    assert!(merged.text.contains("value: prometheus_metrics 8m}"));
    assert!(!merged.text.contains("replicas"));
}

#[test]
fn a_file_that_cannot_be_edited_is_refused_with_the_place() {
    let start = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: kong}\n";
    let spec = |containers: &str| {
        format!("{start}spec: {{template: {{spec: {{containers: {containers}}}}}}}\n")
    };
    for (file, told) in [
        ("a: [".to_owned(), "unclosed bracket '[' at char 3 line 1 column 4"),
        ("kind: Service\n".to_owned(), "there is no Deployment apps/v1 in it"),
        (
            format!("{start}---\n{start}"),
            "there are several of Deployment apps/v1 in it; --name says which: kong, kong",
        ),
        (format!("{start}spec: 7\n"), "line 4: spec is a scalar, and has to be a mapping"),
        (
            format!("{start}x: &a {{}}\nspec: *a\n"),
            "line 5: spec is an alias, and has to be written out",
        ),
        (
            format!("{start}x: &a {{}}\nspec:\n  <<: *a\n"),
            "line 6: spec is merged with another (<<), and has to be written out",
        ),
        (
            spec("[{name: kong}]"),
            "line 4: spec.template.spec.containers has no container proxy; --kong.container says which is Kong's",
        ),
        (
            spec("{}"),
            "line 4: spec.template.spec.containers is a mapping, and has to be something else",
        ),
    ] {
        let error = merge(&file, Target::Deployment, &settings()).unwrap_err().to_string();
        assert!(error.contains(told), "{error:?} does not tell {told:?}");
    }
}

/// Merged, and merged once more without a change.
fn into(file: &str, target: Target, settings: &Settings) -> String {
    let merged = merge(file, target, settings).unwrap_or_else(|error| panic!("{error} in\n{file}"));
    assert_eq!(merged.notes, Vec::<String>::new());
    assert_eq!(merge(&merged.text, target, settings).unwrap().text, merged.text);
    merged.text
}

fn settings() -> Settings {
    Settings {
        form: Form::Native,
        name: "edge".to_owned(),
        namespace: "kong".to_owned(),
        image: "kong-metrics-exporter:test".to_owned(),
        container: "proxy".to_owned(),
        kong_image: "kong:3.9".to_owned(),
        mapping: "file:/etc/kong-metrics-exporter/mapping.yaml".parse().unwrap(),
        shards: 2,
        arguments: vec!["--label.kong-service=service".to_owned()],
        port: 9542,
        kong_series: 100_000,
        tls: None,
    }
}

/// All of `inner` is in `outer`: members of mappings, and members of lists by name or value.
fn assert_contains(outer: &Value, inner: &Value, context: &str) {
    match (outer, inner) {
        (Value::Object(outer), Value::Object(inner)) => {
            for (key, value) in inner {
                let found = outer.get(key).unwrap_or_else(|| panic!("{key} is gone:\n{context}"));
                assert_contains(found, value, context);
            }
        }
        (Value::Array(outer), Value::Array(inner)) => {
            for item in inner {
                let name = item.get("name");
                let same = |other: &&Value| {
                    if name.is_some() { other.get("name") == name } else { *other == item }
                };
                let found = outer.iter().find(same);
                assert_contains(
                    found.unwrap_or_else(|| panic!("{item} is gone:\n{context}")),
                    item,
                    context,
                );
            }
        }
        // Filled.
        (_, Value::Null) => {}
        (outer, inner) => assert_eq!(outer, inner, "{context}"),
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

fn parsed(text: &str) -> Value {
    all(text).remove(0)
}

fn all(text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    documents.into_iter().filter(|document| *document != json!(null)).collect()
}
