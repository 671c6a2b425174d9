//! `--mapping` put to work: its source read for the first time, then followed.

use std::error::Error;
use std::future::{Future, pending};
use std::process::ExitCode;

use crate::cluster::board::Board;
use crate::cluster::client;
use crate::cluster::follow::Options;
use crate::mapping::Current;
use crate::sidecar::Mapping;
use crate::source::asking::{Questions, asking};
use crate::source::{Cluster, Source, dir, file, published, watch};

/// What is to be followed.
enum Follower {
    None,
    File(file::Follower),
    Dir(dir::Follower),
    Published { client: kube::Client, namespace: String, name: String },
    Watch(kube::Client, Box<watch::Config>, Board, Questions),
}

/// The mapping after its first reading, and what keeps it fresh for as long as it is polled.
///
/// What is in a cluster is no error where it is not there yet: the mapping waits for it.
pub(super) async fn follow(
    source: &Source,
    cluster: &Cluster,
) -> Result<(Mapping, impl Future<Output = ExitCode> + use<>), Box<dyn Error>> {
    let mut mapping = Mapping { source: source.to_string(), ..Mapping::default() };
    if *source != Source::None {
        mapping.current = Current::awaiting();
    }
    let (current, shards) = (mapping.current.clone(), mapping.shards.clone());
    let follower = match source {
        Source::None => Follower::None,
        Source::File(path) => {
            Follower::File(file::Follower::open(path.clone(), current.clone()).await?)
        }
        Source::Dir(path) => {
            Follower::Dir(dir::Follower::open(path.clone(), current.clone(), shards.clone()).await?)
        }
        Source::Watch => {
            let board = mapping.watches.insert(Board::default()).clone();
            let (asking, questions) = asking(cluster.watch.kinds, &cluster.watch.settings);
            mapping.asking = Some(asking);
            let client = client::connect(&cluster.access).await?;
            Follower::Watch(client, Box::new(cluster.watch.clone()), board, questions)
        }
        Source::Published(name) => {
            let client = client::connect(&cluster.access).await?;
            let namespace = cluster.namespace.as_deref();
            let namespace = namespace.unwrap_or_else(|| client.default_namespace());
            Follower::Published { namespace: namespace.to_owned(), client, name: name.clone() }
        }
    };
    let reloads = mapping.reloads.clone();
    let following = async move {
        let count = move |reload| reloads.count(reload);
        match follower {
            Follower::None => {}
            Follower::File(follower) => follower.follow(count).await,
            Follower::Dir(follower) => follower.follow(count).await,
            Follower::Published { client, namespace, name } => {
                let options = Options::default();
                let following =
                    published::follow(client, &namespace, &name, options, current, shards, count);
                match following.await {}
            }
            Follower::Watch(client, config, board, questions) => {
                watch::follow(client, *config, current, board, questions).await;
            }
        }
        pending().await
    };
    Ok((mapping, following))
}
