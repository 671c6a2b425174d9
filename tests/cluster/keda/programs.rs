//! KEDA as it is installed, but for containers: its operator, its metrics server behind the
//! aggregated API and its validating webhooks, as processes with the ServiceAccount and the roles
//! that KEDA ships. They end by their ids with the value; their logs stay if a test failed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::chain::stage::eventually;
use crate::harness::{APISERVER_ADDRESS, Account, Cluster, read};
use crate::http;

/// A KEDA that runs.
pub(crate) struct Keda {
    children: Vec<(&'static str, Child)>,
    account: Account,
}

impl Keda {
    /// Its webhooks have a say in ScaledObjects in `namespace`, and must be asked.
    pub(crate) async fn start(cluster: &Cluster, namespace: &str) -> Self {
        cluster.define(&KINDS).await;
        cluster
            .apply("", r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}}"#)
            .await;
        let config = cluster.plane.binaries.crds.join("keda-config");
        let shipped = |file: &str| fs::read_to_string(config.join(file)).unwrap();
        let account =
            Account::of(cluster, "keda", &shipped("service_account-service_account.yaml")).await;
        for file in RIGHTS {
            cluster.apply("keda", &shipped(file)).await;
        }
        let pki = &cluster.plane.pki;
        let names = ["operator", "metrics-apiserver", "admission-webhooks"];
        let names = names.map(|name| format!("keda-{name}.keda.svc"));
        pki.serving("keda", &names.each_ref().map(String::as_str));
        // What the Secret of KEDA's own certificates would be mounted as.
        let certificates = cluster.plane.folder().join("keda-certificates");
        fs::create_dir_all(&certificates).unwrap();
        for (file, name) in [("ca.crt", "ca.crt"), ("keda.crt", "tls.crt"), ("keda.key", "tls.key")]
        {
            fs::copy(pki.file(file), certificates.join(name)).unwrap();
        }
        let mut keda = Self { children: Vec::new(), account };
        keda.spawn(cluster, "operator", &operator(&certificates));
        healthy("operator", 8081).await;
        keda.spawn(cluster, "adapter", &adapter(&certificates, &keda.kubeconfig()));
        keda.spawn(cluster, "webhooks", &webhooks(&certificates));
        healthy("webhooks", 8084).await;
        let authority = json!(ByteString(fs::read(pki.file("ca.crt")).unwrap()));
        let aggregation = AGGREGATION.replace("AUTHORITY", authority.as_str().unwrap());
        cluster.apply("", &aggregation).await;
        for object in read(&shipped("webhooks-validation_webhooks.yaml")) {
            let object = reached_here(json!(object), namespace, &authority);
            cluster.apply_object("", serde_json::from_value(object).unwrap()).await;
        }
        eventually("external metrics are part of the API", async || {
            cluster.serves("external.metrics.k8s.io/v1beta1").await.then_some(())
        })
        .await;
        keda
    }

    fn kubeconfig(&self) -> String {
        self.account.kubeconfig(APISERVER_ADDRESS).display().to_string()
    }

    fn spawn(&mut self, cluster: &Cluster, name: &'static str, flags: &[String]) {
        let folder = cluster.plane.binaries.keda.as_deref().expect("keda");
        let log = File::create(cluster.plane.folder().join(format!("logs/keda-{name}.log")));
        let log = log.unwrap();
        let mut command = Command::new(folder.join(name));
        command
            .args(flags)
            .env_clear()
            .envs([("POD_NAMESPACE", "keda"), ("KEDA_CLUSTER_OBJECT_NAMESPACE", "keda")])
            .envs([("WATCH_NAMESPACE", ""), ("KUBECONFIG", &self.kubeconfig())])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.children.push((name, command.spawn().unwrap()));
    }
}

impl Drop for Keda {
    fn drop(&mut self) {
        for (name, child) in &mut self.children {
            let ended = child.try_wait();
            if let Ok(Some(status)) = ended {
                println!("KEDA's {name} has ended: {status}");
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn operator(certificates: &Path) -> Vec<String> {
    let flags = [
        "--zap-log-level=info",
        "--zap-encoder=console",
        "--enable-cert-rotation=false",
        "--enable-webhook-patching=false",
        "--enable-apiservice-patching=false",
        "--metrics-service-bind-address=127.0.0.1:9666",
        "--metrics-bind-address=127.0.0.1:8080",
        "--health-probe-bind-address=127.0.0.1:8081",
    ];
    with_file(&flags, "cert-dir", certificates)
}

fn adapter(certificates: &Path, kubeconfig: &str) -> Vec<String> {
    let flags = [
        "--secure-port=6445",
        "--bind-address=127.0.0.1",
        "--port=8082",
        "--metrics-service-address=127.0.0.1:9666",
        "--metrics-service-grpc-authority=keda-operator.keda.svc",
    ];
    let mut flags = with_file(&flags, "cert-dir", certificates);
    for (flag, file) in [
        ("client-ca-file", "ca.crt"),
        ("tls-cert-file", "tls.crt"),
        ("tls-private-key-file", "tls.key"),
    ] {
        flags.push(format!("--{flag}={}", certificates.join(file).display()));
    }
    let who = ["lister", "authentication", "authorization"];
    flags.extend(who.map(|who| format!("--{who}-kubeconfig={kubeconfig}")));
    flags
}

fn webhooks(certificates: &Path) -> Vec<String> {
    let flags = [
        "--zap-log-level=info",
        "--zap-encoder=console",
        "--port=9444",
        "--metrics-bind-address=127.0.0.1:8083",
        "--health-probe-bind-address=127.0.0.1:8084",
    ];
    with_file(&flags, "cert-dir", certificates)
}

fn with_file(flags: &[&str], flag: &str, file: &Path) -> Vec<String> {
    let file = format!("--{flag}={}", file.display());
    flags.iter().map(|flag| (*flag).to_owned()).chain([file]).collect()
}

/// The webhooks for ScaledObjects, asked on loopback, for one namespace; without them nothing goes.
fn reached_here(mut configuration: Value, namespace: &str, authority: &Value) -> Value {
    let webhooks = configuration["webhooks"].as_array_mut().unwrap();
    webhooks.retain(|webhook| webhook["rules"][0]["resources"][0] == "scaledobjects");
    assert_eq!(webhooks.len(), 1);
    for webhook in webhooks {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let url = format!("https://127.0.0.1:9444{path}");
        webhook["clientConfig"] = json!({"url": url, "caBundle": authority});
        webhook["failurePolicy"] = json!("Fail");
        webhook["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    }
    configuration
}

async fn healthy(name: &str, port: u16) {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    eventually(&format!("KEDA's {name} is ready"), async || {
        tokio::net::TcpStream::connect(address).await.ok()?;
        (http::get(address, "/readyz", &[]).await.status() == 200).then_some(())
    })
    .await;
}

const RIGHTS: [&str; 4] = [
    "rbac-role.yaml",
    "rbac-role_binding.yaml",
    "metrics-server-role.yaml",
    "metrics-server-role_binding.yaml",
];

const KINDS: [&str; 6] = [
    "scaledobjects.keda.sh",
    "scaledjobs.keda.sh",
    "triggerauthentications.keda.sh",
    "clustertriggerauthentications.keda.sh",
    "cloudeventsources.eventing.keda.sh",
    "clustercloudeventsources.eventing.keda.sh",
];

const AGGREGATION: &str = include_str!("aggregation.yaml");
