//! How Kong comes to measure the Services that extensions select: by our controller, as a process
//! with the token of its ServiceAccount and the roles that are shipped.

use crate::harness::{APISERVER_ADDRESS, Account, Cluster};
use crate::processes::{self, Process};

/// A controller for one namespace; other tests have theirs.
pub(crate) struct Controller {
    pub(crate) process: Process,
    _account: Account,
}

impl Controller {
    pub(crate) async fn start(cluster: &Cluster, namespace: &str) -> Self {
        let account = Account::of(cluster, namespace, RBAC).await;
        let kubeconfig = account.kubeconfig(APISERVER_ADDRESS);
        let kubeconfig = format!("--kubernetes.kubeconfig={}", kubeconfig.display());
        let namespaces = format!("--namespaces={namespace}");
        let lease = format!("--lease.namespace={namespace}");
        let usual = ["controller", "--web.listen-address=127.0.0.1:0", &kubeconfig];
        let process = processes::command(&[&usual[..], &[&namespaces, &lease]].concat()).await;
        Self { process, _account: account }
    }
}

const RBAC: &str = include_str!("../../../deploy/rbac/controller/rbac.yaml");
