//! `explain` as a process: its exit codes, the examples of the documentation, and a cluster that is
//! read once from a make-believe API server.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;
#[path = "common/cluster.rs"]
mod cluster;

use std::fs;
use std::path::Path;

use api::Api;
use cluster::{httproute, service};
use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::{Value, json};
use tokio::process::Command;

#[test]
fn the_command_exits_with_1_for_what_is_not_known_and_64_for_what_cannot_be_meant() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("explain");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("web.yaml");
    fs::write(
        &file,
        [service("web/echo"), httproute("web/a", &["{backendRefs: [{name: echo, port: 80}]}"])]
            .join("---\n"),
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
        let output = command.arg("explain").args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let objects = format!("--objects={}", file.display());
    let (code, out, err) = run(&[&objects, "--combined=on", "HTTPRoute", "web/a"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("HTTPRoute web/a\n  rule 0\n    web/echo port 80 weight 1: counts\n"));
    let (code, out, _) = run(&["service/web/gone", &objects]);
    let expected =
        "Service web/gone\n  there is no such Service here\n  is behind no Kong service\n";
    assert_eq!((code, out.as_str()), (1, expected));
    let (code, out, _) = run(&["service/web/echo", &objects, "--output=json"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["known"], true);
    let (code, out, err) = run(&["Gateway", "web/a", &objects]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("\"Gateway\" is no kind to ask about: expected a name that Kong prints"));
    let (code, _, err) = run(&["by-hand", "--objects=/no/such/file"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("kong-metrics-exporter: cannot read /no/such/file: "));
}

#[test]
fn the_examples_of_the_documentation_are_what_is_printed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mapping-page");
    fs::create_dir_all(&folder).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mapping.md");
    let page = fs::read_to_string(&path).unwrap();
    let (mut printed, mut examples) = (String::new(), 0);
    for (number, part) in page.split("```").enumerate() {
        let separator = if number > 0 { "```" } else { "" };
        if let Some(yaml) = part.strip_prefix("yaml\n# ") {
            let (file, manifests) = yaml.split_once('\n').unwrap();
            fs::write(folder.join(file), manifests).unwrap();
        }
        let example = part.strip_prefix("console\n$ kong-metrics-exporter ");
        printed += separator;
        match example {
            None => printed += part,
            Some(example) => {
                let line = example.lines().next().unwrap();
                let mut command =
                    std::process::Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
                let output = command.args(line.split(' ')).current_dir(&folder).output().unwrap();
                let output = String::from_utf8(output.stdout).unwrap();
                printed += &format!("console\n$ kong-metrics-exporter {line}\n{output}");
                examples += 1;
            }
        }
    }
    assert_eq!(examples, 3);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    assert_eq!(page, printed, "UPDATE=1 cargo test --test explain_command");
}

#[tokio::test]
async fn without_manifests_the_cluster_is_read() {
    let api = cluster().await;
    let (code, out, err) = explain(&api, &["HTTPRoute", "web/a", "--combined=off"]).await;
    let expected = "HTTPRoute web/a\n  rule 0\n    web/echo port 80 weight 1: counts\n    \
                    web/gone port 80 weight 1: left out: there is no such Service\n    \
                    makes httproute.web.a.0\n      separate: named after the route and the first \
                    of its rules with these backends\n      stands for Service web/echo\n";
    assert_eq!((code, out.as_str(), err.as_str()), (0, expected, ""));
}

#[tokio::test]
async fn an_empty_cluster_is_one_too() {
    let api = Api::start(&[ObjectKind::Service, ObjectKind::HTTPRoute]).await;
    let (code, out, _) = explain(&api, &["service/web/echo"]).await;
    let expected =
        "Service web/echo\n  there is no such Service here\n  is behind no Kong service\n";
    assert_eq!((code, out.as_str()), (1, expected));
}

#[tokio::test]
async fn what_the_server_refuses_or_does_not_answer_in_time_is_told() {
    let api = cluster().await;
    api.refuse("/api/v1/services", 403);
    let (code, out, err) = explain(&api, &["web.echo.80"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    let begins = "kong-metrics-exporter: the API server refuses what is needed: ";
    let last = err.lines().last().unwrap();
    let missing = last.strip_prefix(begins).unwrap_or_else(|| panic!("{err}"));
    assert!(missing.contains("Service (forbidden)"), "{err}");
    api.swallow(true);
    let (code, out, err) = explain(&api, &["web.echo.80", "--timeout=1s"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = "kong-metrics-exporter: the API server has not listed everything within 1s: \
                    which kinds there are (no answer yet)";
    assert_eq!(err.lines().last(), Some(expected));
}

/// A route to a Service that is there and to one that is not.
async fn cluster() -> Api {
    let kinds = [ObjectKind::Service, ObjectKind::HTTPRoute, ObjectKind::ReferenceGrant];
    let api = Api::start(&kinds).await;
    api.put(ObjectKind::Service, "web", "echo", json!({}));
    let backend =
        |name: &str| json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": 1});
    let rules = json!([{"backendRefs": [backend("echo"), backend("gone")]}]);
    let spec = json!({"spec": {"parentRefs": [{"name": "kong"}], "rules": rules}});
    api.put(ObjectKind::HTTPRoute, "web", "a", spec);
    api
}

/// Exit code, standard output and standard error.
async fn explain(api: &Api, arguments: &[&str]) -> (i32, String, String) {
    let kubeconfig = api.kubeconfig();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
    command.arg("explain").args(arguments).arg("--flavor=kic");
    command.arg(format!("--kubernetes.kubeconfig={}", kubeconfig.0.display()));
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
