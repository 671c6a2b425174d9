//! Kinds that Kubernetes does not have by itself: files of definitions in, kinds served out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kube::api::ListParams;
use serde_json::Value;

use super::cluster::Cluster;
use super::manifests;
use crate::processes::until;

impl Cluster {
    /// What every test may count on: the Gateway API, and Kong's kinds that are read or written.
    pub(crate) async fn define_usual_kinds(&self) {
        let gateway_api = definitions(&self.plane.binaries.crds.join("gateway-api"));
        let gateway_api: Vec<String> = gateway_api.into_keys().collect();
        let names = gateway_api.iter().map(String::as_str).chain(KONG);
        self.define(&names.collect::<Vec<_>>()).await;
    }

    /// Defines kinds by the plural and group of their names, and waits until they are served.
    pub(crate) async fn define(&self, names: &[&str]) {
        let crds = &self.plane.binaries.crds;
        let mut files = BTreeMap::new();
        for folder in ["kong", "gateway-api", "monitoring", "keda"] {
            files.extend(definitions(&crds.join(folder)));
        }
        // Newer ones of the same kinds win.
        files.extend(kong_crds().map(|folder| definitions(&folder)).unwrap_or_default());
        let objects = names.iter().flat_map(|name| {
            let file = files.get(*name).unwrap_or_else(|| panic!("no definition of {name}"));
            manifests::read(&fs::read_to_string(file).unwrap())
        });
        self.apply_all("", objects.collect()).await;
        let kinds = self.api("", "apiextensions.k8s.io/v1", "CustomResourceDefinition").await;
        until("all kinds are served", async || {
            let listed = kinds.list(&ListParams::default()).await.unwrap();
            let is_served = |name: &&str| {
                let kind = listed.iter().find(|kind| kind.metadata.name.as_deref() == Some(name));
                let conditions = kind.map(|kind| kind.data["status"]["conditions"].clone());
                let conditions = conditions.as_ref().and_then(Value::as_array);
                conditions.into_iter().flatten().any(|condition| {
                    condition["type"] == "Established" && condition["status"] == "True"
                })
            };
            names.iter().all(is_served).then_some(())
        })
        .await;
    }
}

/// By the name of the definition, which is that of the file from behind.
fn definitions(folder: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter_map(|path| {
            let (group, plural) = path.file_stem()?.to_str()?.split_once('_')?;
            Some((format!("{plural}.{group}"), path.clone()))
        })
        .collect()
}

/// Kong's own newest files, where they are at hand; the build has those of the Go module.
fn kong_crds() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds/kong");
    let named = std::env::var_os("KONG_CRDS_DIR").map(PathBuf::from);
    named.or_else(|| beside.is_dir().then_some(beside))
}

/// Not DataPlane and GatewayConfiguration: they hold whole pod templates, twice, and are four fifths
/// of the bytes. Who wants them defines them.
const KONG: [&str; 9] = [
    "kongclusterplugins.configuration.konghq.com",
    "kongplugins.configuration.konghq.com",
    "kongroutes.configuration.konghq.com",
    "kongservices.configuration.konghq.com",
    "tcpingresses.configuration.konghq.com",
    "udpingresses.configuration.konghq.com",
    "controlplanes.gateway-operator.konghq.com",
    "dataplanemetricsextensions.gateway-operator.konghq.com",
    "kongservicefacades.incubator.ingress-controller.konghq.com",
];
