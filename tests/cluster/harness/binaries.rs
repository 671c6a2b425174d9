//! Which programs the control plane is made of: environment and cache in, paths out. Nothing is
//! built here; `tests/cluster/build` is the one place that knows what belongs into the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, and the definitions of the kinds that Kubernetes does not have by itself.
pub(crate) struct Binaries {
    etcd: Program,
    apiserver: Program,
    /// `KUBEBUILDER_ASSETS` often has none.
    controllers: Option<Program>,
    kubectl: Option<Program>,
    /// Kong Ingress Controller.
    pub(crate) kic: Option<PathBuf>,
    /// prometheus-adapter.
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) helm: Option<PathBuf>,
    pub(crate) kustomize: Option<PathBuf>,
    /// A folder with KEDA's programs and their rights.
    pub(crate) keda: Option<PathBuf>,
    /// A Prometheus 3 that finds its targets in a cluster.
    pub(crate) prometheus: Option<PathBuf>,
    /// `gateway-api/*.yaml`, `kong/*.yaml` and those of other operators.
    pub(crate) crds: PathBuf,
}

/// A program and the word that it wants before its flags.
struct Program {
    path: PathBuf,
    role: Option<&'static str>,
}

impl Binaries {
    /// All that is needed, or what is missing and how to come by it.
    pub(crate) fn find() -> Result<Self, String> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let asset = |name: &str| {
            let path = assets.as_ref()?.join(name);
            path.is_file().then_some(Program { path, role: None })
        };
        let built = built()?;
        let part = |name: &str| built.iter().find(|(part, _)| part == name).map(|(_, path)| path);
        let program = |role: &'static str| {
            let kubes = || Some(Program { path: part("kubes")?.clone(), role: Some(role) });
            asset(role).or_else(kubes).ok_or_else(|| absent(role, assets.as_deref()))
        };
        Ok(Self {
            etcd: program(ETCD)?,
            apiserver: program(APISERVER)?,
            controllers: program(CONTROLLERS).ok(),
            kubectl: program("kubectl").ok(),
            kic: part("kic").cloned(),
            adapter: part("adapter").cloned(),
            prometheus: part("prometheus").cloned(),
            helm: part("helm").cloned(),
            kustomize: part("kustomize").cloned(),
            keda: part("keda").cloned(),
            crds: part("crds").cloned().ok_or_else(|| absent("crds", None))?,
        })
    }

    /// Whether namespaces are deleted, and orphans, and Deployments get their pods.
    pub(crate) fn have_controllers(&self) -> bool {
        self.controllers.is_some()
    }

    /// What a shell takes to run kubectl.
    pub(crate) fn kubectl(&self) -> Option<String> {
        let Program { path, role } = self.kubectl.as_ref()?;
        Some(format!("{} {}", path.display(), role.unwrap_or_default()))
    }

    /// How to start one of the three.
    pub(crate) fn command(&self, component: &str) -> Command {
        let program = match component {
            ETCD => &self.etcd,
            APISERVER => &self.apiserver,
            _ => self.controllers.as_ref().expect("a kube-controller-manager"),
        };
        let mut command = Command::new(&program.path);
        command.args(program.role);
        command
    }
}

pub(crate) const ETCD: &str = "etcd";
pub(crate) const APISERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLERS: &str = "kube-controller-manager";

fn absent(what: &str, assets: Option<&Path>) -> String {
    let place = match assets {
        Some(folder) => format!("neither in KUBEBUILDER_ASSETS={} nor built", folder.display()),
        None => "not built".to_owned(),
    };
    format!("{what} is {place}; tests/cluster/build kubes crds builds it from Go modules")
}

/// What the cache holds of just these versions.
fn built() -> Result<Vec<(String, PathBuf)>, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build");
    let output = Command::new(&script)
        .arg("--find")
        .args(["kubes", "kic", "adapter", "prometheus", "helm", "kustomize", "keda", "crds"])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", script.display()))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed: {told}", script.display()));
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts = lines.lines().filter_map(|line| line.split_once('='));
    Ok(parts.map(|(part, path)| (part.to_owned(), OsString::from(path).into())).collect())
}
