//! What a watch rests on, at a real API server: bookmarks, lists in watches, and kinds that are told
//! once.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kong_metrics_exporter::cluster::follow::{Event, Follower, ListBy, Options, Target};
use kong_metrics_exporter::cluster::kinds::Kinds;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kube::api::{Api, DeleteParams};
use tokio::time::timeout;

use crate::harness::{APISERVER_ADDRESS, Account, Cluster, Proxy, Test, tests};
use crate::processes::until;
use crate::smoke::{READS_CONFIG_MAPS, client};

pub(crate) fn tests() -> Vec<Test> {
    tests![Shared:
        a_watch_on_which_nothing_happens_is_heard_well_before_it_counts_as_dead,
        a_list_comes_in_the_watch_where_that_is_wanted,
        which_kinds_there_are_costs_next_to_nothing_until_it_changes,
    ]
}

async fn a_watch_on_which_nothing_happens_is_heard_well_before_it_counts_as_dead(cluster: Cluster) {
    let namespace = cluster.namespace("quiet").await;
    let mut maps = follow(&cluster, &namespace, ListBy::Pages);
    expect(&mut maps, &["init", "done", "alive"]).await;
    let bookmark = timeout(Options::default().silence * 5 / 6, told(&mut maps)).await;
    assert_eq!(bookmark.as_deref(), Ok("alive"));
}

async fn a_list_comes_in_the_watch_where_that_is_wanted(cluster: Cluster) {
    let namespace = cluster.namespace("stream").await;
    let map = |name| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    cluster.apply(&namespace, &map("a")).await;
    cluster.apply(&namespace, &map("b")).await;
    let mut maps = follow(&cluster, &namespace, ListBy::Stream);
    expect(&mut maps, &["init", "there a", "there b", "done", "alive"]).await;
    cluster.apply(&namespace, &map("c")).await;
    expect(&mut maps, &["now c"]).await;
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    expect(&mut maps, &["gone a"]).await;
}

async fn which_kinds_there_are_costs_next_to_nothing_until_it_changes(cluster: Cluster) {
    let namespace = cluster.namespace("kinds").await;
    let account = Account::of(&cluster, &namespace, READS_CONFIG_MAPS).await;
    let proxy = Proxy::to(APISERVER_ADDRESS).await;
    let mut kinds = Kinds::new(client(&account, proxy.address).await);
    let first = kinds.look().await.unwrap();
    for kind in [ObjectKind::HTTPRoute, ObjectKind::TCPIngress, ObjectKind::KongService] {
        assert!(first.contains_key(&kind), "{kind:?} in {first:?}");
    }
    let whole = proxy.bytes_to_client();
    // Other tests make kinds and take them away.
    until("the same kinds are told in a few bytes", async || {
        let before = proxy.bytes_to_client();
        let same = kinds.look().await.unwrap();
        let bytes = proxy.bytes_to_client() - before;
        (same == first && bytes < 1_000 && bytes < whole / 10).then_some(())
    })
    .await;
}

type Read = fn(&str) -> serde_json::Result<ConfigMap>;

fn follow(cluster: &Cluster, namespace: &str, list: ListBy) -> Follower<ConfigMap, Read> {
    let target = Target::new(format!("/api/v1/namespaces/{namespace}/configmaps"));
    let options = Options { list, ..Options::default() };
    Follower::new(cluster.client.clone(), target, options, |json| serde_json::from_str(json))
}

async fn expect(maps: &mut Follower<ConfigMap, Read>, events: &[&str]) {
    let mut seen = Vec::new();
    while seen.len() < events.len() {
        seen.push(timeout(Duration::from_secs(30), told(maps)).await.expect("an event"));
    }
    assert_eq!(seen, events);
}

/// The next event in a word or two, those of the controller manager's map left out: it makes one in
/// every namespace, when it comes to it.
async fn told(maps: &mut Follower<ConfigMap, Read>) -> String {
    let name = |map: &ConfigMap| map.metadata.name.clone().unwrap_or_default();
    loop {
        let event = maps.next().await;
        return match &event {
            Event::Init => "init".to_owned(),
            Event::InitApply(map) | Event::Apply(map) if name(map) == "kube-root-ca.crt" => {
                continue;
            }
            Event::InitApply(map) => format!("there {}", name(map)),
            Event::InitDone => "done".to_owned(),
            Event::Apply(map) => format!("now {}", name(map)),
            Event::Delete(gone) => format!("gone {}", gone.name),
            Event::Alive => "alive".to_owned(),
            Event::Unreadable { .. } | Event::Failed(_) => panic!("{event:?}"),
        };
    }
}
