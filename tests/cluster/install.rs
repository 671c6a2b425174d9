//! What is printed and shipped for an installation, as a real API server sees it: nothing unknown,
//! nothing refused, and nothing left to fill in where that matters.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kong_metrics_exporter::render::{Form, Settings, Target, Tls, render};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::blocks::blocks;
use crate::harness::{Cluster, Test, moved, read, tests};
use crate::processes::until;

pub(crate) fn tests() -> Vec<Test> {
    tests![Shared:
        a_rendered_pod_template_is_stored_as_it_was_printed,
        every_manifest_that_is_shipped_is_accepted,
        objects_that_are_shown_are_accepted,
        the_datadog_annotation_leaves_the_rest_of_a_gateway_configuration,
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
            let stored = strictly(&cluster, object, false).await;
            let stored = stored.data.pointer(template).unwrap();
            let difference = difference(template, &sent, stored);
            assert_eq!(difference, Vec::<String>::new(), "{target:?} {settings:?}\n{printed}");
        }
    }
}

/// As `kubectl apply --dry-run=server` with strict validation would say.
async fn every_manifest_that_is_shipped_is_accepted(cluster: Cluster) {
    let namespace = cluster.namespace("shipped").await;
    define_what_is_shipped(&cluster).await;
    let mut kinds = BTreeSet::new();
    for file in yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        // Not objects: a kustomization, values of a chart, a patch.
        if name == "kustomization.yaml" || NOT_OBJECTS.contains(&name) {
            continue;
        }
        let objects = read(&fs::read_to_string(&file).unwrap());
        assert!(!objects.is_empty(), "{}", file.display());
        for object in moved(objects, &namespace) {
            kinds.insert(object.types.clone().unwrap().kind);
            strictly(&cluster, object, true).await;
        }
    }
    // None has been left out by accident.
    for kind in [
        "ClusterRole",
        "Deployment",
        "PodMonitor",
        "PrometheusRule",
        "ScaledObject",
        "DatadogMetric",
    ] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }
}

/// What is to be copied out of the documentation, as it stands there.
async fn objects_that_are_shown_are_accepted(cluster: Cluster) {
    let namespace = cluster.namespace("shown").await;
    define_what_is_shipped(&cluster).await;
    cluster.define(&["gatewayconfigurations.gateway-operator.konghq.com"]).await;
    let is_new = cluster.serves(V2BETA1).await;
    let mut kinds = BTreeSet::new();
    for block in blocks("yaml").into_iter().filter(|block| block.text.contains("apiVersion: ")) {
        for object in moved(read(&block.text), &namespace) {
            let types = object.types.clone().unwrap();
            if types.api_version == V2BETA1 && !is_new {
                println!("not run: {} shows a {V2BETA1}: set KONG_CRDS_DIR", block.page);
                continue;
            }
            strictly(&cluster, object, true).await;
            kinds.insert(types.kind);
        }
    }
    for kind in ["DataPlaneMetricsExtension", "HorizontalPodAutoscaler"] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }
}

/// The kinds of other operators that there are manifests of.
pub(crate) async fn define_what_is_shipped(cluster: &Cluster) {
    cluster.define(&MONITORING_AND_SCALING).await;
    cluster.apply("", DATADOG_METRIC).await;
    until("DatadogMetrics are served", async || {
        cluster.serves("datadoghq.com/v1alpha1").await.then_some(())
    })
    .await;
}

/// A merge patch replaces lists, so this one must have none.
async fn the_datadog_annotation_leaves_the_rest_of_a_gateway_configuration(cluster: Cluster) {
    let namespace = cluster.namespace("datadog").await;
    cluster.define(&["gatewayconfigurations.gateway-operator.konghq.com"]).await;
    let settings = every_setting(&namespace).remove(0);
    let printed = render(Target::GatewayConfigurationV1beta1, &settings).unwrap();
    let before = strictly(&cluster, read(&printed).remove(0), false).await;
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/autoscaling/datadog/annotations.yaml");
    let patch: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let version = "gateway-operator.konghq.com/v1beta1";
    let api = cluster.api(&namespace, version, "GatewayConfiguration").await;
    let params = PatchParams::default().validation_strict();
    let after = api.patch("kong", &params, &Patch::Merge(&patch)).await.unwrap();
    let annotations = "/spec/dataPlaneOptions/deployment/podTemplateSpec/metadata/annotations";
    let mut expected = before.data["spec"].clone();
    let template = expected.pointer_mut("/dataPlaneOptions/deployment/podTemplateSpec").unwrap();
    template["metadata"]["annotations"] = patch.pointer(annotations).unwrap().clone();
    assert_eq!(difference("spec", &expected, &after.data["spec"]), Vec::<String>::new());
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The chart's are templates, and links to these.
        if path.ends_with("chart") {
            continue;
        }
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files
}

/// Not objects: what goes into prometheus-adapter, and a patch.
const NOT_OBJECTS: [&str; 3] = ["annotations.yaml", "adapter.yaml", "adapter-tutorial.yaml"];

const MONITORING_AND_SCALING: [&str; 4] = [
    "podmonitors.monitoring.coreos.com",
    "prometheusrules.monitoring.coreos.com",
    "scaledobjects.keda.sh",
    "servicemonitors.monitoring.coreos.com",
];

/// Datadog's own definition is not to be had as a Go module; these are the fields of it that its
/// documentation names.
const DATADOG_METRIC: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: datadogmetrics.datadoghq.com}
spec:
  group: datadoghq.com
  names: {kind: DatadogMetric, plural: datadogmetrics, singular: datadogmetric}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              query: {type: string}
              externalMetricName: {type: string}
              maxAge: {type: string}
              timeWindow: {type: string}
";

/// Newer than the Go module with Kong's definitions.
const V2BETA1: &str = "gateway-operator.konghq.com/v2beta1";

fn every_setting(namespace: &str) -> Vec<Settings> {
    let mut all = Vec::new();
    for form in [Form::Native, Form::Container] {
        for mapping in ["none", "watch", "published", "dir:/mapping", "file:/mapping/mapping.yaml"]
        {
            for kong_series in [0, 100_000] {
                // One that has the other extreme of everything else, too.
                let tls = kong_series > 0;
                let tls = tls.then(|| Tls {
                    secret: "sidecar-tls".to_owned(),
                    clients: form == Form::Native,
                });
                all.push(Settings {
                    tls,
                    form,
                    name: "kong".to_owned(),
                    namespace: namespace.to_owned(),
                    image: "kong-metrics-exporter:test".to_owned(),
                    container: "proxy".to_owned(),
                    kong_image: "kong:3.9".to_owned(),
                    mapping: mapping.parse().unwrap(),
                    shards: 2,
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
pub(crate) async fn strictly(
    cluster: &Cluster,
    object: DynamicObject,
    dry_run: bool,
) -> DynamicObject {
    let types = object.types.clone().unwrap();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
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
