//! The same installation by kustomize and by Helm: overlays and values in, objects out, and the real
//! API server takes them all. The one decision: the two are compared object by object, so a value's
//! default cannot drift away from the manifest that it stands for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::harness::{Cluster, Test, moved, read, tests};
use crate::install::{define_what_is_shipped, strictly};

pub(crate) fn tests() -> Vec<Test> {
    tests![Shared:
        every_kustomization_builds_and_is_accepted,
        the_chart_makes_what_the_overlays_make,
        the_chart_does_what_its_values_say,
    ]
}

async fn every_kustomization_builds_and_is_accepted(cluster: Cluster) {
    let Some(tools) = Tools::find(&cluster) else { return };
    let namespace = cluster.namespace("kustomize").await;
    define_what_is_shipped(&cluster).await;
    let folders = kustomizations(&deploy());
    assert!(folders.len() > 10, "{folders:?}");
    for folder in folders {
        for object in moved(tools.kustomized(&folder), &namespace) {
            strictly(&cluster, object, true).await;
        }
    }
}

async fn the_chart_makes_what_the_overlays_make(cluster: Cluster) {
    let Some(tools) = Tools::find(&cluster) else { return };
    let namespace = cluster.namespace("chart").await;
    define_what_is_shipped(&cluster).await;
    tools.helm(&["lint", "--strict"]).unwrap();
    for (values, overlays) in [
        (vec![], vec!["watch"]),
        (vec!["mapping=published"], vec!["published"]),
        (vec!["controller.enabled=true"], vec!["watch", "controller"]),
    ] {
        let made = tools.template(&values).unwrap();
        let overlays = overlays.iter().map(|name| deploy().join("overlays").join(name));
        let expected: Vec<_> = overlays.flat_map(|folder| tools.kustomized(&folder)).collect();
        let (made_by_name, expected) = (by_name(&made), by_name(&expected));
        let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&made_by_name), names(&expected), "{values:?}");
        for (name, object) in &expected {
            assert_eq!(&made_by_name[name], object, "{values:?}: {name}");
        }
        for object in moved(made, &namespace) {
            strictly(&cluster, object, true).await;
        }
    }
}

async fn the_chart_does_what_its_values_say(cluster: Cluster) {
    let Some(tools) = Tools::find(&cluster) else { return };
    let values = [
        "mapping=published",
        "image.repository=registry.example/exporter",
        "image.tag=1.2.3",
        "image.pullSecrets[0].name=pull",
        "clusterSuffix=-second",
        "publisher.replicas=3",
        "publisher.arguments[0]=--flavor=kic",
        "publisher.resources.limits.memory=1Gi",
        "publisher.nodeSelector.zone=a",
        "publisher.tolerations[0].operator=Exists",
        "monitoring.kind=ServiceMonitor",
        "monitoring.labels.release=mine",
        "monitoring.interval=30s",
        "networkPolicy.prometheusNamespace=prometheus",
        "networkPolicy.kongPorts={8000,9000}",
    ];
    let made = by_name(&tools.template(&values).unwrap());
    let publisher = &made["Deployment kong-metrics-exporter-publisher"]["spec"];
    assert_eq!(publisher["replicas"], 3);
    let pod = &publisher["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/exporter:1.2.3");
    assert_eq!(container["args"], json!(["publish", "--flavor=kic"]));
    assert_eq!(container["resources"], json!({"limits": {"memory": "1Gi"}}));
    assert_eq!(pod["nodeSelector"], json!({"zone": "a"}));
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    let binding = &made["ClusterRoleBinding kong-metrics-exporter-publisher-second"];
    assert_eq!(binding["roleRef"]["name"], "kong-metrics-exporter-publisher-second");
    assert!(made.contains_key("ClusterRole kong-metrics-exporter-publisher-second"));
    let monitor = &made["ServiceMonitor kong-metrics-exporter"];
    assert_eq!(monitor["metadata"]["labels"]["release"], "mine");
    assert_eq!(monitor["spec"]["endpoints"][0]["interval"], "30s");
    assert!(made.contains_key("Service kong-metrics-exporter"));
    assert!(!made.contains_key("PodMonitor kong-metrics-exporter"));
    let policy = &made["NetworkPolicy kong-metrics-exporter"]["spec"]["ingress"];
    let ports = [8000, 9000].map(|port| json!({"protocol": "TCP", "port": port}));
    assert_eq!(policy[0]["ports"], json!(ports));
    let namespace = &policy[1]["from"][0]["namespaceSelector"]["matchLabels"];
    assert_eq!(namespace["kubernetes.io/metadata.name"], "prometheus");

    let bare = ["monitoring.kind=none", "monitoring.rules=false", "networkPolicy.enabled=false"];
    let bare = by_name(&tools.template(&bare).unwrap());
    let kinds: Vec<_> = bare.keys().map(|name| name.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["ClusterRole", "ClusterRoleBinding", "ServiceAccount"]);
    for wrong in ["mapping=watched", "publisher.replica=1", "monitoring.interval=15"] {
        let (_, key) = wrong.split('=').next().map(|key| (wrong, key)).unwrap();
        let told = tools.template(&[wrong]).unwrap_err();
        assert!(told.contains(key.rsplit('.').next().unwrap()), "{wrong}: {told}");
    }
}

/// Helm and kustomize.
struct Tools {
    helm: PathBuf,
    kustomize: PathBuf,
}

impl Tools {
    fn find(cluster: &Cluster) -> Option<Self> {
        let binaries = &cluster.plane.binaries;
        let found = binaries.helm.clone().zip(binaries.kustomize.clone());
        if found.is_none() {
            let missing = "not built: tests/cluster/build helm kustomize builds what is missing";
            let required = std::env::var("KONG_EXPORTER_CLUSTER").is_ok_and(|is| is == "required");
            assert!(!required, "{missing}");
            println!("not run: the chart: {missing}");
        }
        found.map(|(helm, kustomize)| Self { helm, kustomize })
    }

    fn kustomized(&self, folder: &Path) -> Vec<DynamicObject> {
        let output = Command::new(&self.kustomize).arg("build").arg(folder).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", folder.display());
        read(&String::from_utf8(output.stdout).unwrap())
    }

    fn template(&self, values: &[&str]) -> Result<Vec<DynamicObject>, String> {
        let mut arguments = vec!["template", "kong-metrics-exporter", "--namespace=kong"];
        for value in values {
            arguments.extend(["--set", value]);
        }
        let printed = self.helm(&arguments)?;
        Ok(read(&printed))
    }

    /// What Helm prints about the chart; where it refuses, what it says.
    fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.helm)
            .args(arguments)
            .arg("--kube-version=1.36.3")
            .arg(deploy().join("chart"))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stdout) + &text(output.stderr)),
        }
    }
}

fn by_name(objects: &[DynamicObject]) -> BTreeMap<String, Value> {
    let named = objects.iter().map(|object| {
        let kind = &object.types.as_ref().unwrap().kind;
        let name = object.metadata.name.as_deref().unwrap();
        (format!("{kind} {name}"), serde_json::to_value(object).unwrap())
    });
    named.collect()
}

fn kustomizations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("chart") {
            found.extend(kustomizations(&path));
        } else if path.ends_with("kustomization.yaml") {
            found.push(folder.to_owned());
        }
    }
    found
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}
