//! The control plane: programs in, a running etcd, kube-apiserver and kube-controller-manager out.
//! Each can be killed and started again with what it had. They end by SIGKILL and no other signal:
//! at SIGTERM an API server waits minutes for an etcd that has gone.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::binaries::{APISERVER, Binaries, CONTROLLERS, ETCD};
use super::pki::Pki;
use crate::http;

/// A control plane.
pub(crate) struct Plane {
    pub(crate) binaries: Binaries,
    pub(crate) pki: Pki,
    folder: PathBuf,
    running: Mutex<BTreeMap<&'static str, Child>>,
}

impl Plane {
    /// Nothing runs yet.
    pub(crate) fn new(binaries: Binaries) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{}", now.as_nanos()));
        fs::create_dir_all(folder.join("logs")).unwrap();
        let pki = Pki::make(folder.join("pki"));
        fs::write(folder.join("audit.json"), audit_policy()).unwrap();
        Self { binaries, pki, folder, running: Mutex::default() }
    }

    /// Starts all that there is of it.
    pub(crate) async fn start(&self) {
        self.start_etcd().await;
        self.start_apiserver().await;
        if self.binaries.have_controllers() {
            self.start_controllers().await;
        }
    }

    pub(crate) async fn start_etcd(&self) {
        let mut command = self.binaries.command(ETCD);
        command.args([
            "--name=tests",
            "--unsafe-no-fsync",
            "--log-level=warn",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=tests=http://127.0.0.1:2380",
        ]);
        command.arg(format!("--data-dir={}", self.folder.join("etcd").display()));
        self.spawn(ETCD, command);
        self.until(ETCD, "etcd is healthy", async || {
            connects(ETCD_ADDRESS).await
                && http::get(ETCD_ADDRESS, "/health", &[]).await.status() == 200
        })
        .await;
    }

    pub(crate) async fn start_apiserver(&self) {
        let mut command = self.binaries.command(APISERVER);
        command.args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=127.0.0.1",
            "--secure-port=6443",
            "--advertise-address=127.0.0.1",
            // Loopback is no address that Endpoints may have.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--allow-privileged=true",
            "--profiling=false",
        ]);
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        for (flag, name) in [
            ("client-ca-file", "ca.crt"),
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("service-account-key-file", "tokens.pub"),
            ("service-account-signing-key-file", "tokens.key"),
            ("requestheader-client-ca-file", "front-proxy-ca.crt"),
            ("proxy-client-cert-file", "front-proxy.crt"),
            ("proxy-client-key-file", "front-proxy.key"),
        ] {
            command.arg(file(flag, &self.pki.file(name)));
        }
        command.arg(file("audit-policy-file", &self.folder.join("audit.json")));
        command.arg(file("audit-log-path", &self.audit_log()));
        self.spawn(APISERVER, command);
        let client = self.client().await;
        self.until(APISERVER, "kube-apiserver is ready", async || {
            let ready = http_request("/readyz");
            matches!(client.request_text(ready).await.as_deref(), Ok("ok"))
        })
        .await;
    }

    pub(crate) async fn start_controllers(&self) {
        let mut command = self.binaries.command(CONTROLLERS);
        let kubeconfig = self.pki.kubeconfig("controllers", APISERVER_ADDRESS);
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(format!("--{flag}={}", kubeconfig.display()));
        }
        let key = self.pki.file("tokens.key");
        command.arg(format!("--service-account-private-key-file={}", key.display()));
        command.arg(format!("--root-ca-file={}", self.pki.file("ca.crt").display()));
        command.arg(format!("--controllers={}", CONTROLLER_NAMES.join(",")));
        command.args([
            "--bind-address=127.0.0.1",
            "--secure-port=10257",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            // A Deployment is to be scaled within seconds. Three, not one: with the usual policies
            // of an autoscaler, "at most four more every two seconds", it then doubles.
            "--horizontal-pod-autoscaler-sync-period=3s",
            "--horizontal-pod-autoscaler-downscale-stabilization=1s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
        ]);
        self.spawn(CONTROLLERS, command);
        let client = self.client().await;
        self.until(CONTROLLERS, "the default ServiceAccount is there", async || {
            let account = http_request("/api/v1/namespaces/default/serviceaccounts/default");
            client.request_text(account).await.is_ok()
        })
        .await;
    }

    /// Ends one of them now.
    pub(crate) fn kill(&self, component: &str) {
        if let Some(mut child) = self.running.lock().unwrap().remove(component) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends them all, and takes away their folder; if it `failed`, what they logged stays.
    pub(crate) fn end(&self, failed: bool) {
        for component in [CONTROLLERS, APISERVER, ETCD] {
            self.kill(component);
        }
        if failed {
            println!("logs of the control plane: {}", self.folder.join("logs").display());
            let _ = fs::remove_dir_all(self.folder.join("etcd"));
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// As one who may do everything; for the runtime that it is made in.
    pub(crate) async fn client(&self) -> Client {
        let path = self.pki.kubeconfig("admin", APISERVER_ADDRESS);
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        Client::try_from(config).unwrap()
    }

    /// For files of the tests' own.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder.join("logs/audit.log")
    }

    fn log(&self, component: &str) -> PathBuf {
        self.folder.join(format!("logs/{component}.log"))
    }

    fn spawn(&self, component: &'static str, mut command: Command) {
        let log = self.log(component);
        let log: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{component}: {error}"));
        let before = self.running.lock().unwrap().insert(component, child);
        assert!(before.is_none(), "{component} was running already");
    }

    fn ended(&self, component: &str) -> Option<ExitStatus> {
        let mut running = self.running.lock().unwrap();
        let child = running.get_mut(component).unwrap_or_else(|| panic!("{component} was killed"));
        child.try_wait().unwrap()
    }

    /// Waits for a component, as long as it lives.
    async fn until(&self, component: &str, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        loop {
            if timeout(Duration::from_secs(5), is_so()).await == Ok(true) {
                return;
            }
            let log = self.log(component);
            let ended = self.ended(component);
            assert!(ended.is_none(), "{component} ended ({ended:?}), see {}", log.display());
            let is_late = start.elapsed() > START;
            assert!(!is_late, "never came: {what}; see {}", log.display());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Where the API server listens.
pub(crate) const APISERVER_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// Where etcd listens, without TLS.
pub(super) const ETCD_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);

/// Some four seconds on an idle machine.
const START: Duration = Duration::from_secs(120);

/// Of the some forty that there are.
const CONTROLLER_NAMES: [&str; 9] = [
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "endpoints-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
];

/// What failed or killed runs have left, a day later.
fn remove_old(folders: &Path) {
    for entry in fs::read_dir(folders).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with("cluster-");
        let age = entry.metadata().and_then(|data| data.modified()).ok();
        let age = age.and_then(|changed| changed.elapsed().ok());
        if is_ours && age > Some(Duration::from_secs(24 * 60 * 60)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// What ServiceAccounts of the tests do, not those of the controllers; writes with their content.
fn audit_policy() -> String {
    let tests = ["system:serviceaccounts"];
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Request", "userGroups": tests, "verbs": ["create", "update", "patch"]},
            {"level": "Metadata", "userGroups": tests},
            {"level": "None"},
        ],
    })
    .to_string()
}

fn http_request(path: &str) -> hyper::Request<Vec<u8>> {
    hyper::Request::get(path).body(Vec::new()).unwrap()
}

async fn connects(address: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}
