//! `explain` of a cluster, read once from a make-believe API server.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;

use api::Api;
use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::json;
use tokio::process::Command;

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
