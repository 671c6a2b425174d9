//! `render`: what is printed has only fields that Kubernetes has, and arguments that cannot be are
//! refused. What a real API server says to it is in tests/cluster.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kong_metrics_exporter::sidecar::{Tls, TlsError};
use serde_json::{Value, json};

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

/// The file that the sidecar is pointed to comes out of an annotation; it has to understand it.
#[test]
fn tls_comes_with_all_that_it_takes() {
    for (clients, probe, files) in [
        (
            None,
            json!({"path": "/livez", "port": 9542, "scheme": "HTTPS"}),
            vec!["tls.crt", "tls.key"],
        ),
        (Some("--tls.clients"), json!({"port": 9542}), vec!["tls.crt", "tls.key", "ca.crt"]),
    ] {
        let arguments = ["--for=deployment", "--mapping=none", "--tls=sidecar-tls"];
        let printed = rendered(&[&arguments[..], clients.as_slice()].concat());
        let pod = printed.pointer("/spec/template/spec").unwrap();
        let container = &pod["initContainers"][0];
        let live = container["livenessProbe"].as_object().unwrap();
        assert_eq!(live.get("httpGet").or_else(|| live.get("tcpSocket")), Some(&probe));
        let volume = &pod["volumes"][0];
        assert_eq!(container["volumeMounts"][0]["name"], volume["name"]);
        let folder = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
        let [secret, annotation] = &volume["projected"]["sources"].as_array().unwrap()[..] else {
            panic!("{volume}")
        };
        let items = secret["secret"]["items"].as_array().unwrap().iter();
        assert!(items.map(|item| &item["path"]).eq(&files));
        let item = &annotation["downwardAPI"]["items"][0];
        let file = format!("{folder}/{}", item["path"].as_str().unwrap());
        let arguments = container["args"].as_array().unwrap();
        assert!(arguments.contains(&format!("--web.config.file={file}").into()), "{arguments:?}");
        let key = "kong-metrics-exporter.io/web-config";
        assert_eq!(item["fieldRef"]["fieldPath"], format!("metadata.annotations['{key}']"));
        let content = &printed.pointer("/spec/template/metadata/annotations").unwrap()[key];
        let web = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rendered-web.yaml");
        fs::write(&web, content.as_str().unwrap()).unwrap();
        // All that is missing here are the certificates.
        let error = Tls::read(&web).unwrap_err();
        assert!(matches!(error, TlsError::Pem { .. }), "{error}: {content}");
        let values = rendered(&["--for=helm-kong", "--mapping=none", "--tls=sidecar-tls"]);
        assert!(values["podAnnotations"][key].is_string());
    }
    let both = ["--for=deployment", "--tls=a", "--", "--web.config.file=/web.yaml"];
    let told = String::from_utf8(run(&both).stderr).unwrap();
    assert!(told.contains("give one of them"), "{told}");
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
