//! The mapping from a make-believe API server: what is mapped, and that nothing which happens to the
//! server takes away what is known. A real one is in tests/cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;
#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/processes.rs"]
mod processes;
#[path = "common/sidecar.rs"]
mod sidecar;
#[path = "common/watching.rs"]
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::Api;
use kong::Kong;
use kong_metrics_exporter::cluster::board::Status;
use kong_metrics_exporter::cluster::trouble::Reason;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kong_metrics_exporter::source::watch::Config;
use serde_json::json;
use sidecar::{Sidecar, config, eventually};
use watching::{Watching, cluster, quick, route, service, spec};

const PATH: &str = "/apis/gateway.networking.k8s.io/v1/httproutes";

#[tokio::test]
async fn a_mapping_is_made_of_what_is_listed_and_follows_what_changes() {
    let api = cluster(&["a", "b", "c", "d", "e"]).await;
    let watching = Watching::start(&api);
    watching.until("httproute.web.e.0", "web/e").await;
    assert_eq!(watching.current.load().len(), 5);
    route(&api, "a", &["b", "c"]);
    watching.until("httproute.web.a.0", "web/b web/c").await;
    api.delete(ObjectKind::Service, "web", "c");
    watching.until("httproute.web.a.0", "web/b").await;
    api.delete(ObjectKind::HTTPRoute, "web", "a");
    watching.until("httproute.web.a.0", "~web/b").await;
    assert_eq!(watching.board.kinds()[&ObjectKind::HTTPRoute].objects, 5);
    assert_eq!(watching.status(ObjectKind::HTTPRoute).changes, 2);
}

#[tokio::test]
async fn nothing_is_mapped_before_everything_is_listed() {
    let api = cluster(&["a"]).await;
    api.refuse("/api/v1/services", 403);
    let watching = Watching::start(&api);
    watching.until_open(ObjectKind::HTTPRoute).await;
    watching.until_trouble(ObjectKind::Service, Reason::Forbidden).await;
    assert!(!watching.current.is_ready());
    api.allow("/api/v1/services");
    watching.until("httproute.web.a.0", "web/a").await;
    assert!(watching.current.is_ready());
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_keeps_no_other_from_being_mapped() {
    let api = cluster(&["a"]).await;
    api.refuse(PATH, 403);
    let tcp = ObjectKind::TCPRoute;
    api.put(tcp, "web", "t", spec(&["a"]));
    let watching = Watching::start(&api);
    watching.until("tcproute.web.t.0", "web/a").await;
    let status = watching.status(ObjectKind::HTTPRoute);
    assert_eq!((status.is_open, status.trouble), (false, Some(Reason::Forbidden)));
    assert!(watching.board.failures()[&Reason::Forbidden] >= 1);
    api.allow(PATH);
    watching.until("httproute.web.a.0", "web/a").await;
    watching.until_open(ObjectKind::HTTPRoute).await;
    assert_eq!(watching.status(ObjectKind::HTTPRoute).trouble, None);
}

#[tokio::test]
async fn a_right_that_is_taken_away_takes_nothing_that_is_known() {
    let api = cluster(&["a"]).await;
    let watching = Watching::start(&api);
    watching.until("httproute.web.a.0", "web/a").await;
    api.refuse(PATH, 403);
    watching.until_trouble(ObjectKind::HTTPRoute, Reason::Forbidden).await;
    service(&api, "b");
    route(&api, "b", &["b"]);
    assert_eq!(watching.find("httproute.web.a.0").as_deref(), Some("web/a"));
    api.allow(PATH);
    watching.until("httproute.web.b.0", "web/b").await;
}

#[tokio::test]
async fn a_new_list_takes_away_what_is_gone_and_nothing_else_for_no_moment() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let api = cluster(&names).await;
    let watching = Watching::start(&api);
    watching.until("httproute.web.h.0", "web/h").await;
    let lists = watching.status(ObjectKind::HTTPRoute).lists;
    api.delete_and_forget(ObjectKind::HTTPRoute, "web", "c");
    eventually("c is gone", async || {
        for name in names.iter().filter(|name| **name != "c") {
            let found = watching.find(&format!("httproute.web.{name}.0"));
            assert_eq!(found, Some(format!("web/{name}")));
        }
        watching.find("httproute.web.c.0").as_deref() == Some("~web/c")
    })
    .await;
    assert!(watching.status(ObjectKind::HTTPRoute).lists > lists);
    assert!(watching.board.failures()[&Reason::Expired] >= 1);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_left_out_and_told() {
    let api = cluster(&["a", "b"]).await;
    api.put(ObjectKind::HTTPRoute, "web", "odd", json!({"spec": {"rules": "none"}}));
    let watching = Watching::start(&api);
    watching.until("httproute.web.b.0", "web/b").await;
    assert_eq!(watching.status(ObjectKind::HTTPRoute).unreadable, 1);
    // One that was read once keeps its meaning.
    api.put(ObjectKind::HTTPRoute, "web", "a", json!({"spec": {"rules": 7}}));
    eventually("two", async || watching.status(ObjectKind::HTTPRoute).unreadable == 2).await;
    api.forget();
    route(&api, "b", &["a"]);
    watching.until("httproute.web.b.0", "web/a").await;
    assert_eq!(watching.find("httproute.web.a.0").as_deref(), Some("web/a"));
    assert_eq!(watching.status(ObjectKind::HTTPRoute).unreadable, 2);
    route(&api, "odd", &["b"]);
    watching.until("httproute.web.odd.0", "web/b").await;
    api.delete(ObjectKind::HTTPRoute, "web", "a");
    watching.until("httproute.web.a.0", "~web/a").await;
    assert_eq!(watching.status(ObjectKind::HTTPRoute).unreadable, 0);
}

#[tokio::test]
async fn a_kind_that_appears_is_followed_and_one_that_vanishes_is_not() {
    let api = Api::start(&[ObjectKind::Service]).await;
    service(&api, "a");
    let watching = Watching::start(&api);
    eventually("ready", async || watching.current.is_ready()).await;
    assert!(watching.current.load().is_empty());
    api.serve(ObjectKind::HTTPRoute);
    route(&api, "a", &["a"]);
    watching.until("httproute.web.a.0", "web/a").await;
    api.remove(ObjectKind::HTTPRoute);
    watching.until("httproute.web.a.0", "~web/a").await;
    assert_eq!(watching.status(ObjectKind::HTTPRoute), Status::default());
    api.serve(ObjectKind::HTTPRoute);
    route(&api, "a", &["a"]);
    watching.until("httproute.web.a.0", "web/a").await;
}

#[tokio::test]
async fn without_a_server_at_the_start_names_are_decoded_until_there_is_one() {
    let mut api = cluster(&["a"]).await;
    api.stop().await;
    let watching = Watching::start(&api);
    eventually("told", async || watching.board.discovery_trouble() == Some(Reason::Connect)).await;
    assert!(!watching.current.is_ready());
    api.listen().await;
    watching.until("httproute.web.a.0", "web/a").await;
    assert_eq!(watching.board.discovery_trouble(), None);
}

#[tokio::test]
async fn the_sidecar_starts_without_a_server_and_is_ready_when_everything_is_listed() {
    let mut api = cluster(&["a"]).await;
    let kubeconfig = api.kubeconfig();
    api.stop().await;
    let kong = Kong::start(kong::good("kong_x{service=\"httproute.web.a.0\"} 1\n")).await;
    let flag = format!("--kubernetes.kubeconfig={}", kubeconfig.0.display());
    let flags = ["--mapping=watch", "--flavor=kic", &flag];
    let exporter = processes::exporter(&kong.url(), &flags).await;
    let readyz = async || http::get(exporter.address, "/readyz", &[]).await.status();
    assert_eq!(readyz().await, 503);
    let decoded = http::get(exporter.address, "/metrics", &[]).await;
    assert!(decoded.text().contains("kubernetes_kind=\"httproute\""), "{decoded:?}");
    eventually("the log", async || exporter.log().contains("no API server")).await;
    assert!(exporter.log().contains("nothing answers at the API server's address"));
    api.listen().await;
    eventually("ready", async || readyz().await == 200).await;
    let mapped = http::get(exporter.address, "/metrics", &[]).await;
    assert!(mapped.text().contains("exported_service=\"a\""), "{mapped:?}");
    assert_eq!(mapped.sample("kong_exporter_watch_up{resource=\"httproutes\"}"), 1.0);
    assert_eq!(mapped.sample("kong_exporter_watch_objects{resource=\"services\"}"), 1.0);
    assert!(mapped.sample("kong_exporter_watch_failures_total{reason=\"connect\"}") >= 1.0);
}

#[tokio::test]
async fn a_server_that_is_killed_takes_nothing_with_it() {
    let mut api = cluster(&["a"]).await;
    let watching = Watching::start(&api);
    watching.until("httproute.web.a.0", "web/a").await;
    let snapshot = watching.current.load();
    api.stop().await;
    watching.until_trouble(ObjectKind::HTTPRoute, Reason::Connect).await;
    assert!(Arc::ptr_eq(&snapshot, &watching.current.load()));
    service(&api, "b");
    route(&api, "b", &["b"]);
    api.listen().await;
    watching.until("httproute.web.b.0", "web/b").await;
    watching.until_open(ObjectKind::HTTPRoute).await;
    assert_eq!(watching.status(ObjectKind::HTTPRoute).lists, 1);
}

#[tokio::test]
async fn a_connection_that_swallows_everything_is_replaced() {
    let api = cluster(&["a"]).await;
    let mut config = quick();
    config.options.following.silence = Duration::from_millis(200);
    config.options.following.answer = Duration::from_millis(200);
    let watching = Watching::start_with(&api, config);
    watching.until("httproute.web.a.0", "web/a").await;
    api.swallow(true);
    watching.until_trouble(ObjectKind::HTTPRoute, Reason::Silent).await;
    route(&api, "b", &["a"]);
    assert_eq!(watching.find("httproute.web.a.0").as_deref(), Some("web/a"));
    api.swallow(false);
    watching.until("httproute.web.b.0", "web/a").await;
}

#[tokio::test]
async fn only_the_named_namespaces_are_watched() {
    let api = cluster(&["a"]).await;
    api.put(ObjectKind::Service, "other", "x", json!({}));
    api.put(ObjectKind::HTTPRoute, "other", "x", spec(&["x"]));
    api.put(ObjectKind::Service, "more", "y", json!({}));
    api.put(ObjectKind::HTTPRoute, "more", "y", spec(&["y"]));
    let namespaces = BTreeSet::from(["web".to_owned(), "more".to_owned()]);
    let watching = Watching::start_with(&api, Config { namespaces, ..quick() });
    watching.until("httproute.web.a.0", "web/a").await;
    watching.until("httproute.more.y.0", "more/y").await;
    assert_eq!(watching.current.load().len(), 2);
    let everywhere = api.requests().iter().any(|request| request.starts_with(PATH));
    assert!(!everywhere, "{:?}", api.requests());
    // A new list of one namespace says nothing of another.
    api.delete_and_forget(ObjectKind::HTTPRoute, "web", "a");
    watching.until("httproute.web.a.0", "~web/a").await;
    assert_eq!(watching.find("httproute.more.y.0").as_deref(), Some("more/y"));
}

#[tokio::test]
async fn only_routes_of_the_named_gateways_are_kept() {
    let api = cluster(&["a"]).await;
    let mut mine = spec(&["a"]);
    mine["spec"]["parentRefs"] = json!([{"name": "x"}, {"namespace": "kong", "name": "mine"}]);
    api.put(ObjectKind::HTTPRoute, "web", "b", mine);
    let mut config = quick();
    config.settings.gateways = BTreeSet::from([("kong".to_owned(), "mine".to_owned())]);
    let watching = Watching::start_with(&api, config);
    watching.until("httproute.web.b.0", "web/a").await;
    assert_eq!(watching.find("httproute.web.a.0"), None);
    assert_eq!(watching.board.kinds()[&ObjectKind::HTTPRoute].objects, 1);
    // One that is attached elsewhere from now on.
    api.put(ObjectKind::HTTPRoute, "web", "b", spec(&["a"]));
    watching.until("httproute.web.b.0", "~web/a").await;
}

#[tokio::test]
async fn scrapes_go_on_while_ten_thousand_routes_come_and_go() {
    const ROUTES: usize = 10_000;
    let api = cluster(&["a"]).await;
    let kong = Kong::start(kong::good(&kong::exposition(10))).await;
    let mut settings = quick();
    settings.options.following.page_size = 500;
    let watching = Watching::start_with(&api, settings);
    watching.until("httproute.web.a.0", "web/a").await;
    let sidecar = Sidecar::start_at("127.0.0.1:0", config(&kong), watching.current.clone());
    for number in 0..ROUTES {
        route(&api, &format!("r-{number}"), &["a"]);
    }
    let mut scrapes = 0;
    eventually("all are there", async || {
        assert!(sidecar.scrape().await.is_whole);
        scrapes += 1;
        watching.current.load().len() == ROUTES + 1
    })
    .await;
    for number in 0..ROUTES {
        api.delete(ObjectKind::HTTPRoute, "web", &format!("r-{number}"));
    }
    eventually("all are gone", async || {
        assert!(sidecar.scrape().await.is_whole);
        scrapes += 1;
        watching.current.load().len() == 1
    })
    .await;
    assert_eq!(watching.find("httproute.web.r-0.0").as_deref(), Some("~web/a"));
    assert!(scrapes > 2, "{scrapes}");
}
