//! A client of the API server.
//!
//! In: which kubeconfig, if any, and the surroundings of this process. Out: a [`Client`], made
//! without a word to the server, so a server that is not there yet is no error here. The one
//! decision: in a pod the pod's ServiceAccount counts unless a kubeconfig is named; kube reads its
//! token and the cluster's certificates again every minute, so their rotation needs nothing here.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Which API server, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// A kubeconfig, instead of what the surroundings tell.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, instead of its current one.
    pub context: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This is no pod, and there is no kubeconfig either.
    #[error(
        "no API server to be found: this is no pod (KUBERNETES_SERVICE_HOST is not set), KUBECONFIG \
         is not set and there is no ~/.kube/config; --kubernetes.kubeconfig names a kubeconfig"
    )]
    Nowhere,
    /// This is a pod without the token of its ServiceAccount.
    #[error(
        "cannot read the ServiceAccount's token {}: the pod needs automountServiceAccountToken or a \
         projected volume that is mounted into this container",
        path.display()
    )]
    Token {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: io::Error,
    },
    /// The rest of a pod's surroundings is not as it should be.
    #[error(
        "this pod's surroundings (KUBERNETES_SERVICE_*, {SERVICE_ACCOUNT}) do not tell the API server"
    )]
    Pod(#[source] InClusterError),
    /// The kubeconfig cannot be used.
    #[error("cannot use kubeconfig {named}")]
    Kubeconfig {
        /// Its path, or how it was found.
        named: String,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// What has been read makes no client: a bad certificate or key, a proxy that is not supported.
    #[error("cannot set up a client of {server}")]
    Setup {
        /// The API server.
        server: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A client of the API server that `access` and the surroundings name. Has to be called in a tokio
/// runtime.
///
/// # Errors
/// Where a file or variable is missing or not understood; never because of the server.
pub async fn connect(access: &Access) -> Result<Client, Error> {
    let config = config(access).await?;
    let server = config.cluster_url.to_string();
    let client = make(config)?;
    tracing::info!(%server, "using this API server");
    Ok(client)
}

/// The same, but a request that a busy server puts off is not sent again: for those who have to look
/// anew before they do.
///
/// # Errors
/// As [`connect`].
pub async fn connect_for_once(access: &Access) -> Result<Client, Error> {
    let mut config = config(access).await?;
    config.default_retry = false;
    make(config)
}

fn make(mut config: Config) -> Result<Client, Error> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string();
    let source = |source| Error::Setup { server: server.clone(), source: Box::new(source) };
    Client::try_from(config).map_err(source)
}

/// Whether this process is in a pod that can talk to its API server.
pub fn is_in_cluster() -> bool {
    env::var_os(SERVICE_HOST).is_some() && token().is_file()
}

async fn config(access: &Access) -> Result<Config, Error> {
    let Access { kubeconfig, context } = access;
    let (named, read) = match kubeconfig {
        Some(path) => (path.display().to_string(), Kubeconfig::read_from(path)),
        // A context is one of a kubeconfig.
        None if context.is_none() && env::var_os(SERVICE_HOST).is_some() => return in_cluster(),
        None => match env::var_os(KUBECONFIG).filter(|paths| !paths.is_empty()) {
            Some(paths) => (format!("{} (KUBECONFIG)", paths.display()), Kubeconfig::read()),
            None => {
                let path = env::home_dir().map(|home| home.join(".kube/config"));
                let path = path.filter(|path| path.is_file()).ok_or(Error::Nowhere)?;
                (path.display().to_string(), Kubeconfig::read_from(path))
            }
        },
    };
    let failed = |source| Error::Kubeconfig { named: named.clone(), source: Box::new(source) };
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(read.map_err(failed)?, &options).await.map_err(failed)
}

fn in_cluster() -> Result<Config, Error> {
    let path = token();
    if let Err(source) = std::fs::metadata(&path) {
        return Err(Error::Token { path, source });
    }
    Config::incluster_env().map_err(Error::Pod)
}

fn token() -> PathBuf {
    Path::new(SERVICE_ACCOUNT).join("token")
}

const KUBECONFIG: &str = "KUBECONFIG";
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// kube waits 30 s; a server that is there answers a SYN at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::telemetry::Chain;

    /// A kubeconfig in a file of its own, removed at the end.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, content: &str) -> Self {
            let name = format!("kong-metrics-exporter-{}-{name}", std::process::id());
            let path = env::temp_dir().join(name);
            fs::write(&path, content).unwrap();
            Self(path)
        }

        async fn connect(&self, context: Option<&str>) -> Result<Client, String> {
            let kubeconfig = Some(self.0.clone());
            let access = Access { kubeconfig, context: context.map(str::to_owned) };
            let told = |error: Error| {
                Chain(&error).to_string().replace(&self.0.display().to_string(), "FILE")
            };
            connect(&access).await.map_err(told)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    const TWO_CONTEXTS: &str = r#"
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: web}}
- {name: two, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:1"}}
users:
- {name: u, user: {token: abc}}
"#;

    #[tokio::test]
    async fn no_server_is_asked() {
        let file = File::new("asked", TWO_CONTEXTS);
        assert_eq!(file.connect(None).await.unwrap().default_namespace(), "web");
        assert_eq!(file.connect(Some("two")).await.unwrap().default_namespace(), "default");
    }

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_used_is_named_with_what_is_wrong() {
        let file = File::new("context", TWO_CONTEXTS);
        let told = file.connect(Some("three")).await.err().unwrap();
        assert_eq!(told, "cannot use kubeconfig FILE: failed to load current context: three");

        let file = File::new("yaml", "clusters: {");
        let told = file.connect(None).await.err().unwrap();
        let start = "cannot use kubeconfig FILE: failed to parse kubeconfig YAML: ";
        assert!(told.starts_with(start), "{told}");

        let path = PathBuf::from("/nowhere/config");
        let access = Access { kubeconfig: Some(path), context: None };
        let told = Chain(&connect(&access).await.err().unwrap()).to_string();
        assert_eq!(
            told,
            "cannot use kubeconfig /nowhere/config: failed to read kubeconfig from \
             '\"/nowhere/config\"': No such file or directory (os error 2)"
        );
    }

    #[tokio::test]
    async fn a_bad_certificate_is_no_client() {
        let bad = TWO_CONTEXTS.replace(
            "server: \"http://127.0.0.1:1\"",
            "server: \"https://127.0.0.1:1\", certificate-authority: /nowhere/ca.crt",
        );
        let told = File::new("ca", &bad).connect(None).await.err().unwrap();
        assert_eq!(
            told,
            "cannot use kubeconfig FILE: failed to load certificate authority: failed to read file \
             '\"/nowhere/ca.crt\"': No such file or directory (os error 2)"
        );
    }
}
