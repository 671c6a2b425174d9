//! What is printed and shipped for an installation, as a real API server sees it: nothing unknown,
//! nothing refused, and nothing left to fill in where that matters.

use kong_metrics_exporter::render::{Form, Settings, Target, render};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::harness::{Cluster, Test, read, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![Shared:
        a_rendered_pod_template_is_stored_as_it_was_printed,
    ]
}

/// In every form: the server knows each field, and adds none to the pods. Kong Operator would take
/// what the server adds for a difference, and roll the pods out for ever.
async fn a_rendered_pod_template_is_stored_as_it_was_printed(cluster: Cluster) {
    let namespace = cluster.namespace("render").await;
    cluster
        .define(&[
            "dataplanes.gateway-operator.konghq.com",
            "gatewayconfigurations.gateway-operator.konghq.com",
        ])
        .await;
    const OPTIONS: &str = "/spec/dataPlaneOptions/deployment/podTemplateSpec";
    for (target, template) in [
        (Target::GatewayConfigurationV2beta1, OPTIONS),
        (Target::GatewayConfigurationV1beta1, OPTIONS),
        (Target::DataPlane, "/spec/deployment/podTemplateSpec"),
        (Target::Deployment, "/spec"),
    ] {
        if target == Target::GatewayConfigurationV2beta1 && !cluster.serves(V2BETA1).await {
            println!("not run: render into GatewayConfigurations v2beta1: set KONG_CRDS_DIR");
            continue;
        }
        for settings in every_setting(&namespace) {
            let printed = render(target, &settings).unwrap();
            let object = read(&printed).remove(0);
            let sent = object.data.pointer(template).unwrap().clone();
            let stored = strictly(&cluster, &namespace, object, false).await;
            let stored = stored.data.pointer(template).unwrap();
            let difference = difference(template, &sent, stored);
            assert_eq!(difference, Vec::<String>::new(), "{target:?} {settings:?}\n{printed}");
        }
    }
}

/// Newer than the Go module with Kong's definitions.
const V2BETA1: &str = "gateway-operator.konghq.com/v2beta1";

fn every_setting(namespace: &str) -> Vec<Settings> {
    let mut all = Vec::new();
    for form in [Form::Native, Form::Container] {
        for mapping in ["none", "file:/etc/kong-metrics-exporter/mapping.yaml"] {
            for kong_series in [0, 100_000] {
                all.push(Settings {
                    form,
                    name: "kong".to_owned(),
                    namespace: namespace.to_owned(),
                    image: "kong-metrics-exporter:test".to_owned(),
                    kong_image: "kong:3.9".to_owned(),
                    mapping: mapping.parse().unwrap(),
                    arguments: vec!["--label.kong-service=service".to_owned()],
                    port: 9542,
                    kong_series,
                });
            }
        }
    }
    all
}

/// Applies an object; a field that the server does not know is an error.
async fn strictly(
    cluster: &Cluster,
    namespace: &str,
    object: DynamicObject,
    dry_run: bool,
) -> DynamicObject {
    let types = object.types.clone().unwrap();
    let api: Api<DynamicObject> = cluster.api(namespace, &types.api_version, &types.kind).await;
    let name = object.metadata.name.clone().unwrap();
    let mut params = PatchParams::apply("tests").force().validation_strict();
    params.dry_run = dry_run;
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .unwrap_or_else(|error| panic!("{} {name}: {error}", types.kind))
}

/// Where two values differ, one line each.
fn difference(path: &str, printed: &Value, stored: &Value) -> Vec<String> {
    match (printed, stored) {
        (Value::Object(printed), Value::Object(stored)) => {
            let keys = printed.keys().chain(stored.keys().filter(|k| !printed.contains_key(*k)));
            let nothing = Value::Null;
            keys.flat_map(|key| {
                let of =
                    |map: &serde_json::Map<String, Value>| map.get(key).unwrap_or(&nothing).clone();
                difference(&format!("{path}.{key}"), &of(printed), &of(stored))
            })
            .collect()
        }
        (Value::Array(printed), Value::Array(stored)) if printed.len() == stored.len() => {
            let pairs = printed.iter().zip(stored).enumerate();
            pairs
                .flat_map(|(i, (printed, stored))| {
                    difference(&format!("{path}[{i}]"), printed, stored)
                })
                .collect()
        }
        _ if printed == stored => Vec::new(),
        _ => vec![format!("{path}: printed {printed}, stored {stored}")],
    }
}
