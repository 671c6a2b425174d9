//! Who the process under test is: manifests in, a kubeconfig out that has a ServiceAccount's token
//! and nothing else, so that RBAC decides as it would in a pod.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::cluster::Cluster;

/// A ServiceAccount with a token in a file, as the kubelet would keep one for a pod.
pub(crate) struct Account {
    cluster: Cluster,
    namespace: String,
    name: String,
    token: PathBuf,
    /// The Secret that the token is good for as long as it exists.
    bound_to: Mutex<String>,
}

impl Account {
    /// The ServiceAccount of `manifests`, moved into `namespace` with its roles and bindings.
    pub(crate) async fn of(cluster: &Cluster, namespace: &str, manifests: &str) -> Self {
        let applied = cluster.apply_moved(namespace, manifests).await;
        let is_account = |kind: &str| kind == "ServiceAccount";
        let account = applied
            .into_iter()
            .find(|object| object.types.as_ref().is_some_and(|types| is_account(&types.kind)))
            .unwrap_or_else(|| panic!("no ServiceAccount in:\n{manifests}"));
        let name = account.metadata.name.unwrap();
        let token = cluster.plane.folder().join(format!("token-{namespace}-{name}"));
        let account = Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name,
            token,
            bound_to: Mutex::default(),
        };
        account.renew().await;
        account
    }

    /// What the server calls it.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// A kubeconfig for this account at `server`: the API server, or a proxy in front of it.
    pub(crate) fn kubeconfig(&self, server: SocketAddr) -> PathBuf {
        let port = server.port();
        let path = self.token.with_extension(format!("{port}.kubeconfig"));
        let pki = &self.cluster.plane.pki;
        pki.write_kubeconfig(&path, server, &json!({"tokenFile": self.token}));
        path
    }

    /// Puts a new token into the file; the old one stays good.
    pub(crate) async fn renew(&self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let secret = format!("token-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let content = serde_json::from_value(json!({"metadata": {"name": secret}})).unwrap();
        let created = self.secrets().create(&PostParams::default(), &content).await.unwrap();
        let request: TokenRequest = serde_json::from_value(json!({"spec": {
            "audiences": [],
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": secret,
                "uid": created.metadata.uid,
            },
        }}))
        .unwrap();
        let client = self.cluster.client.clone();
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &self.namespace);
        let params = PostParams::default();
        let answer = accounts.create_token_request(&self.name, &params, &request).await.unwrap();
        let new = self.token.with_extension("new");
        fs::write(&new, answer.status.unwrap().token).unwrap();
        fs::rename(&new, &self.token).unwrap();
        *self.bound_to.lock().unwrap() = secret;
    }

    /// Puts a new token into the file and makes the old one invalid.
    pub(crate) async fn replace(&self) {
        let old = self.bound_to.lock().unwrap().clone();
        self.renew().await;
        self.secrets().delete(&old, &DeleteParams::default()).await.unwrap();
    }

    /// Makes the token in the file invalid; the server notices within some ten seconds.
    pub(crate) async fn revoke(&self) {
        let secret = self.bound_to.lock().unwrap().clone();
        self.secrets().delete(&secret, &DeleteParams::default()).await.unwrap();
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }
}
