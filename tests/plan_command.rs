//! `plan`, as a command: the manifests of a tutorial in, the writes out, in both versions of the API.
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

#[path = "common/tutorial.rs"]
mod tutorial;

use std::path::PathBuf;
use std::process::{Command, Output};

use tutorial::{EXTENSION, V1BETA1, V2BETA1};

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: command, namespace: kong, annotations: {konghq.com/plugins: \"mine\"}}
spec: {ports: [{port: 80}]}
";

const DIFF: &str = r#"# change DataPlaneMetricsExtension kong/kong: hold the extension until all is undone
+ metadata.finalizers: ["kong-metrics-exporter.io/controller"]
# create KongPlugin kong/kong-metrics-prometheus: measure
+ apiVersion: "configuration.konghq.com/v1"
+ config.bandwidth_metrics: false
+ config.latency_metrics: true
+ config.status_code_metrics: false
+ config.upstream_health_metrics: false
+ kind: "KongPlugin"
+ metadata.labels[kong-metrics-exporter.io/extension]: "kong"
+ metadata.labels[kong-metrics-exporter.io/managed-by]: "controller"
+ metadata.name: "kong-metrics-prometheus"
+ metadata.namespace: "kong"
+ plugin: "prometheus"
+ protocols: ["http","https","grpc","grpcs","tcp","tls","udp"]
# change Service kong/command: put the plugin on
+ metadata.annotations[kong-metrics-exporter.io/plugin]: "kong-metrics-prometheus"
- metadata.annotations[konghq.com/plugins]: "mine"
+ metadata.annotations[konghq.com/plugins]: "mine,kong-metrics-prometheus"
# change DataPlaneMetricsExtension kong/kong: tell what came of it
+ metadata.annotations[kong-metrics-exporter.io/status]: "{\"observedGeneration\":null,\"plugin\":\"kong-metrics-prometheus\",\"summary\":{\"Annotated\":1},\"services\":{\"command\":{\"state\":\"Annotated\"}}}"
"#;

fn plan(name: &str, manifests: &str, arguments: &[&str]) -> Output {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, manifests).unwrap();
    Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"))
        .args(["plan", "--objects"])
        .arg(path)
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_tutorials_manifests_work_in_both_versions() {
    for (name, configuration) in [("plan-v1.yaml", V1BETA1), ("plan-v2.yaml", V2BETA1)] {
        let manifests = [SERVICE, EXTENSION, configuration].join("---\n");
        let output = plan(name, &manifests, &[]);
        assert_eq!(text(&output.stdout), DIFF, "{name}");
        assert_eq!(
            text(&output.stderr),
            "kong-metrics-exporter: DataPlaneMetricsExtension kong/kong: Service kong/command is \
             Annotated\n"
        );
        assert!(output.status.success());
    }
}

#[test]
fn what_is_as_planned_needs_no_plan() {
    let manifests = [SERVICE, EXTENSION, V2BETA1].join("---\n");
    let output = plan("plan-before.yaml", &manifests, &["--output=objects"]);
    let objects = text(&output.stdout);
    assert_eq!(objects.matches("---\n").count(), 3, "{objects}");
    let after = format!("{objects}---\n{V2BETA1}");
    let output = plan("plan-after.yaml", &after, &[]);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn an_extension_that_nothing_names_is_told_of() {
    let output = plan("plan-alone.yaml", &format!("{SERVICE}---\n{EXTENSION}"), &[]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b""[..]));
    assert_eq!(
        text(&output.stderr),
        "kong-metrics-exporter: DataPlaneMetricsExtension kong/kong does not count: no ControlPlane \
         or GatewayConfiguration of its namespace names it in extensions, and it has no label \
         kong-metrics-exporter.io/managed: \"true\"\n\
         kong-metrics-exporter: nothing to write\n"
    );
    let told = text(&plan("plan-none.yaml", SERVICE, &[]).stderr);
    let expected =
        "there is no DataPlaneMetricsExtension\nkong-metrics-exporter: nothing to write\n";
    assert_eq!(told, format!("kong-metrics-exporter: {expected}"));
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let output =
        plan("plan-mistake.yaml", "kind: Service\napiVersion: v1\nmetadata: {name: A}\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("plan-mistake.yaml: document 1"), "{message}");
}
