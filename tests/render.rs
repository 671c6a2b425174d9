//! `render`: what is printed has only fields that Kubernetes has, and arguments that cannot be are
//! refused. What a real API server says to it is in tests/cluster.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::process::{Command, Output};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

const TARGETS: [(&str, &str); 4] = [
    ("gatewayconfiguration-v2beta1", "/spec/dataPlaneOptions/deployment/podTemplateSpec"),
    ("gatewayconfiguration-v1beta1", "/spec/dataPlaneOptions/deployment/podTemplateSpec"),
    ("dataplane", "/spec/deployment/podTemplateSpec"),
    ("deployment", "/spec/template"),
];

#[test]
fn pod_templates_have_only_fields_that_kubernetes_has() {
    for (target, path) in TARGETS {
        for form in ["native", "container"] {
            let printed = rendered(&[&format!("--for={target}"), &format!("--sidecar={form}")]);
            let template = printed.pointer(path).unwrap();
            let read: PodTemplateSpec = serde_json::from_value(template.clone()).unwrap();
            assert_eq!(&serde_json::to_value(&read).unwrap(), template, "{target}");
            let spec = read.spec.unwrap();
            let first = &spec.containers[0];
            assert_eq!(first.name, "proxy", "{target} {form}");
            let sidecar = match form {
                "native" => &spec.init_containers.as_ref().unwrap()[0],
                _ => &spec.containers[1],
            };
            assert_eq!(sidecar.name, "metrics-exporter");
            assert!(sidecar.readiness_probe.is_none());
            if target == "deployment" {
                let read: Deployment = serde_json::from_value(printed.clone()).unwrap();
                assert_eq!(serde_json::to_value(&read).unwrap(), printed);
            }
        }
    }
}

#[test]
fn a_charts_values_hold_the_same_container() {
    for (form, key) in [("native", "initContainers"), ("container", "sidecarContainers")] {
        let form = format!("--sidecar={form}");
        let values = rendered(&["--for=helm-kong", &form]);
        let deployment = rendered(&["--for=deployment", &form]);
        let spec = deployment.pointer("/spec/template/spec").unwrap();
        let container = [&spec["initContainers"][0], &spec["containers"][1]];
        let container = container.into_iter().find(|container| !container.is_null()).unwrap();
        assert_eq!(&values["deployment"][key][0], container);
        assert_eq!(values["env"]["nginx_http_lua_shared_dict"], "prometheus_metrics 64m");
    }
}

#[test]
fn the_sidecars_arguments_are_those_that_it_takes() {
    let printed =
        rendered(&["--for=deployment", "--", "--web.listen-address=:9600", "--shutdown-delay=5s"]);
    let sidecar = printed.pointer("/spec/template/spec/initContainers/0").unwrap();
    let arguments =
        ["sidecar", "--mapping=watch", "--web.listen-address=:9600", "--shutdown-delay=5s"];
    assert_eq!(sidecar["args"], serde_json::json!(arguments));
    assert_eq!(sidecar["ports"][0]["containerPort"], 9600);
    assert_eq!(sidecar["livenessProbe"]["httpGet"]["port"], 9600);

    for (wrong, told) in [
        ("--web.listen-address=:8100", "--web.listen-address: port 8100 cannot be the sidecar's"),
        ("--label.service=pod", "--label.service"),
        ("--mapping=none", "--mapping belongs before the --"),
        ("--unheard-of", "--unheard-of"),
    ] {
        let output = run(&["--for=deployment", "--", wrong]);
        assert_eq!(output.status.code(), Some(64), "{wrong}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(told), "{wrong}");
        assert!(output.stdout.is_empty());
    }
    for wrong in ["file:mapping.yaml", "file:/mapping.yaml", "dir:/", "dir:mapping"] {
        let output = run(&["--for=deployment", &format!("--mapping={wrong}")]);
        assert_eq!(output.status.code(), Some(64), "{wrong}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("--mapping: the path"));
    }
}

/// A token in the sidecar and nowhere else, and only where it is needed.
#[test]
fn who_needs_no_token_gets_none() {
    for (mapping, has_token, volumes) in [
        ("none", false, 0),
        ("file:/etc/mapping/mapping.json", false, 1),
        ("dir:/mapping", false, 1),
        ("watch", true, 1),
        ("published", true, 1),
        ("published:other", true, 1),
    ] {
        let printed = rendered(&["--for=deployment", &format!("--mapping={mapping}")]);
        let template = printed.pointer("/spec/template").unwrap().clone();
        let spec = serde_json::from_value::<PodTemplateSpec>(template).unwrap().spec.unwrap();
        let account = has_token.then_some("kong-metrics-exporter");
        assert_eq!(spec.service_account_name.as_deref(), account, "{mapping}");
        assert_eq!(spec.automount_service_account_token, has_token.then_some(false));
        assert_eq!(spec.containers[0].volume_mounts, None);
        assert_eq!(spec.volumes.unwrap_or_default().len(), volumes, "{mapping}");
        let sidecar = &spec.init_containers.unwrap()[0];
        let mounts = sidecar.volume_mounts.clone().unwrap_or_default();
        assert_eq!(mounts.len(), volumes);
        let is_token = |path: &str| path == "/var/run/secrets/kubernetes.io/serviceaccount";
        assert_eq!(mounts.iter().any(|mount| is_token(&mount.mount_path)), has_token);
    }
}

fn rendered(arguments: &[&str]) -> Value {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_slice(&output.stdout).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
    command.arg("render").args(arguments).env_clear().output().unwrap()
}
