//! Arguments of every command that talks to the API server.

use std::path::PathBuf;

use clap::Args;

use crate::cluster::client;

/// How to reach the API server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct Kubernetes {
    /// The kubeconfig to use, instead of the pod's own ServiceAccount or, outside of a pod, what
    /// KUBECONFIG names or ~/.kube/config
    #[arg(
        long = "kubernetes.kubeconfig",
        env = "KONG_METRICS_EXPORTER_KUBERNETES_KUBECONFIG",
        value_name = "PATH"
    )]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig, instead of its current one
    #[arg(
        long = "kubernetes.context",
        env = "KONG_METRICS_EXPORTER_KUBERNETES_CONTEXT",
        value_name = "NAME"
    )]
    context: Option<String>,
}

impl Kubernetes {
    /// Which API server, and as whom.
    pub fn access(&self) -> client::Access {
        client::Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}
