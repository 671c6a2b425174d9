//! The cluster is a cluster: RBAC denies, controllers collect, the audit log tells, the proxy counts.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ListParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

use crate::harness::{APISERVER, APISERVER_ADDRESS, Account, Cluster, ETCD, Proxy, Test, tests};
use crate::processes::until;

pub(crate) fn tests() -> Vec<Test> {
    let shared = tests![Shared:
        a_service_account_may_do_what_its_role_says_and_no_more,
        a_revoked_token_is_refused_and_a_new_one_is_not,
        a_proxy_counts_cuts_and_swallows,
        kinds_of_kong_and_of_the_gateway_api_are_served,
    ];
    let controlled = tests![Controlled:
        a_deleted_namespace_goes_with_all_that_is_in_it,
        what_an_owner_leaves_behind_is_collected,
    ];
    let alone = tests![Alone:
        objects_outlive_the_servers,
    ];
    shared.into_iter().chain(controlled).chain(alone).collect()
}

async fn a_service_account_may_do_what_its_role_says_and_no_more(cluster: Cluster) {
    let namespace = cluster.namespace("rbac").await;
    let account = Account::of(&cluster, &namespace, READS_CONFIG_MAPS).await;
    let client = client(&account, APISERVER_ADDRESS).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    maps.list(&ListParams::default()).await.unwrap();
    let denied = Api::<Namespace>::all(client).list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&denied, kube::Error::Api(status) if status.is_forbidden()), "{denied}");
    until("the audit log has both", async || {
        let requests = cluster.requests(&account);
        let asked = requests.iter().map(|request| {
            let resource = request.object_ref.resource.as_str();
            (request.verb.as_str(), resource, request.response_status.code)
        });
        let expected = [("list", "configmaps", 200), ("list", "namespaces", 403)];
        asked.eq(expected).then_some(())
    })
    .await;
}

async fn a_revoked_token_is_refused_and_a_new_one_is_not(cluster: Cluster) {
    let namespace = cluster.namespace("token").await;
    let account = Account::of(&cluster, &namespace, READS_CONFIG_MAPS).await;
    let old = client(&account, APISERVER_ADDRESS).await;
    let maps = |client: &Client| Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    maps(&old).list(&ListParams::default()).await.unwrap();
    account.revoke().await;
    until("the old token is refused", async || {
        let answer = maps(&old).list(&ListParams::default()).await;
        matches!(answer, Err(kube::Error::Api(status)) if status.code == 401).then_some(())
    })
    .await;
    account.renew().await;
    let new = client(&account, APISERVER_ADDRESS).await;
    maps(&new).list(&ListParams::default()).await.unwrap();
}

async fn a_deleted_namespace_goes_with_all_that_is_in_it(cluster: Cluster) {
    let namespace = cluster.namespace("gone").await;
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
                 metadata: {name: echo}\nspec: {rules: [{backendRefs: [{name: echo, port: 80}]}]}\n";
    cluster.apply(&namespace, route).await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    until("the namespace is gone", async || {
        namespaces.get_opt(&namespace).await.unwrap().is_none().then_some(())
    })
    .await;
}

async fn what_an_owner_leaves_behind_is_collected(cluster: Cluster) {
    let namespace = cluster.namespace("owned").await;
    let map = |name: &str, owners: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, ownerReferences: {owners}}}\n"
        )
    };
    let owner = cluster.apply(&namespace, &map("owner", "[]")).await.remove(0);
    let uid = owner.metadata.uid.unwrap();
    let reference = format!("[{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]");
    cluster.apply(&namespace, &map("owned", &reference)).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    until("the owned one is gone", async || {
        maps.get_opt("owned").await.unwrap().is_none().then_some(())
    })
    .await;
}

async fn a_proxy_counts_cuts_and_swallows(cluster: Cluster) {
    let namespace = cluster.namespace("proxy").await;
    let account = Account::of(&cluster, &namespace, READS_CONFIG_MAPS).await;
    let proxy = Proxy::to(APISERVER_ADDRESS).await;
    let list = async |client: &Client| {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let listing = async { maps.list(&ListParams::default()).await.map(|_| ()) };
        tokio::time::timeout(Duration::from_secs(1), listing).await
    };
    let through = client(&account, proxy.address).await;
    let lists = async || matches!(list(&through).await, Ok(Ok(())));
    until("a list through the proxy", async || lists().await.then_some(())).await;
    let (up, down) = (proxy.bytes_to_server(), proxy.bytes_to_client());
    assert!(up > 500 && down > 1000, "{up} up, {down} down");
    proxy.swallow();
    assert!(list(&through).await.is_err());
    assert_eq!((proxy.bytes_to_server(), proxy.bytes_to_client()), (up, down));
    proxy.serve();
    proxy.cut();
    until("a list on a new connection", async || lists().await.then_some(())).await;
    assert!(proxy.bytes_to_client() > down);
    proxy.refuse();
    let refused = client(&account, proxy.address).await;
    assert!(!matches!(list(&refused).await, Ok(Ok(()))));
}

async fn kinds_of_kong_and_of_the_gateway_api_are_served(cluster: Cluster) {
    for (api_version, kind) in [
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("gateway.networking.k8s.io/v1", "GRPCRoute"),
        ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
        ("gateway.networking.k8s.io/v1alpha2", "TLSRoute"),
        ("gateway.networking.k8s.io/v1alpha2", "UDPRoute"),
        ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"),
        ("configuration.konghq.com/v1", "KongPlugin"),
        ("configuration.konghq.com/v1alpha1", "KongService"),
        ("configuration.konghq.com/v1beta1", "TCPIngress"),
        ("incubator.ingress-controller.konghq.com/v1alpha1", "KongServiceFacade"),
        ("gateway-operator.konghq.com/v1alpha1", "DataPlaneMetricsExtension"),
    ] {
        let kind = cluster.api("", api_version, kind).await;
        kind.list(&ListParams::default().limit(1)).await.unwrap();
    }
}

async fn objects_outlive_the_servers(cluster: Cluster) {
    let namespace = cluster.namespace("alone").await;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\ndata: {key: value}\n";
    cluster.apply(&namespace, map).await;
    cluster.plane.compact().await;
    cluster.plane.kill(APISERVER);
    cluster.plane.kill(ETCD);
    cluster.plane.start_etcd().await;
    cluster.plane.start_apiserver().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
    let kept = maps.get("kept").await.unwrap();
    assert_eq!(kept.data.unwrap()["key"], "value");
}

/// A client that has nothing but the account's token.
pub(crate) async fn client(account: &Account, server: std::net::SocketAddr) -> Client {
    let kubeconfig = Kubeconfig::read_from(account.kubeconfig(server)).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

pub(crate) const READS_CONFIG_MAPS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
";
