//! What is held against Kong's configuration besides the resolver itself: the mapping as a sidecar
//! has it with `--mapping=watch`, and as one has it with `--mapping=published` that a `publish`
//! process fills. In: how a run is set up. Out: the snapshots that count now. The one decision: both
//! are the sources that the sidecar runs, on the same API server, but here their whole snapshots can
//! be looked at; what a scrape shows of them is little.

use std::sync::Arc;

use kong_metrics_exporter::cluster::board::Board;
use kong_metrics_exporter::cluster::follow::Options;
use kong_metrics_exporter::mapping::shards::DEFAULT_NAME;
use kong_metrics_exporter::mapping::{Current, Snapshot};
use kong_metrics_exporter::metrics::Shards;
use kong_metrics_exporter::resolve::Settings;
use kong_metrics_exporter::source::asking::asking;
use kong_metrics_exporter::source::{published, watch};
use tokio::task::JoinHandle;

use super::Flavor;
use super::fixtures::Setup;
use crate::harness::{APISERVER_ADDRESS, Cluster};
use crate::processes::{self, Process};

/// The two mappings, kept up for as long as the value is there.
pub(crate) struct Mappings {
    watched: Current,
    published: Current,
    following: [JoinHandle<()>; 2],
    _publisher: Process,
}

impl Mappings {
    pub(crate) async fn start(
        cluster: &Cluster,
        setup: &Setup,
        flavor: Flavor,
        settings: &Settings,
    ) -> Self {
        let (watched, published) = (Current::awaiting(), Current::awaiting());
        let namespaces = setup.namespaces.iter().chain([&setup.system]).cloned();
        let config = watch::Config {
            settings: settings.clone(),
            namespaces: namespaces.collect(),
            ..watch::Config::default()
        };
        let (client, current) = (cluster.client.clone(), watched.clone());
        // Nobody asks.
        let (_, questions) = asking(config.kinds, &config.settings);
        let watching = watch::follow(client, config, current, Board::default(), questions);
        let (client, namespace) = (cluster.client.clone(), setup.system.clone());
        let current = published.clone();
        let reading = async move {
            let (options, shards) = (Options::default(), Shards::default());
            published::follow(client, &namespace, DEFAULT_NAME, options, current, shards, drop)
                .await;
        };
        let following = [tokio::spawn(watching), tokio::spawn(reading)];
        let _publisher = publisher(cluster, setup, flavor).await;
        Self { watched, published, following, _publisher }
    }

    /// With `--mapping=watch`.
    pub(crate) fn watched(&self) -> Arc<Snapshot> {
        self.watched.load()
    }

    /// With `--mapping=published`.
    pub(crate) fn published(&self) -> Arc<Snapshot> {
        self.published.load()
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        self.following.iter().for_each(JoinHandle::abort);
    }
}

/// As in a pod, but that it does not wait five seconds between two publications.
async fn publisher(cluster: &Cluster, setup: &Setup, flavor: Flavor) -> Process {
    let kubeconfig = cluster.plane.pki.kubeconfig("admin", APISERVER_ADDRESS);
    let Setup { namespaces: [a, b], system, class } = setup;
    let on_or_off = |is_on| if is_on { "on" } else { "off" };
    let arguments = [
        "publish".to_owned(),
        "--web.listen-address=127.0.0.1:0".to_owned(),
        "--publish.interval=10ms".to_owned(),
        format!("--publish.namespaces={system}"),
        format!("--lease.namespace={system}"),
        format!("--namespaces={a},{b},{system}"),
        "--flavor=kic".to_owned(),
        format!("--combined={}", on_or_off(flavor.is_combined)),
        format!("--expressions={}", on_or_off(flavor.has_expressions)),
        format!("--ingress-class={class}"),
        format!("--kubernetes.kubeconfig={}", kubeconfig.display()),
    ];
    processes::command(&arguments.each_ref().map(String::as_str)).await
}
