//! What those who serve ask of the watch: why a name stands for no Service, and kinds to be watched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;
#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/sidecar.rs"]
mod sidecar;
#[path = "common/watching.rs"]
mod watching;

use std::time::Duration;

use kong::Kong;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kong_metrics_exporter::resolve::{Flavor, Switch};
use kong_metrics_exporter::sidecar::Mapping;
use kong_metrics_exporter::source::needs::Kinds;
use serde_json::{Value, json};
use sidecar::{Sidecar, config, eventually};
use tokio::time::sleep;
use watching::{ALL, Watching, cluster, quick, route, spec};

use api::Api;

#[tokio::test]
async fn the_page_of_the_mapping_tells_why_a_name_stands_for_no_service() {
    let api = cluster(&["a"]).await;
    api.put(ObjectKind::Service, "other", "far", json!({}));
    route(&api, "b", &["gone", "other/far"]);
    let kong = Kong::start(kong::good(
        "kong_x{service=\"httproute.web.a.0\"} 1\nkong_x{service=\"httproute.web.b.0\"} 1\n\
         kong_x{service=\"httproute.web.c.0\"} 1\nkong_x{service=\"httproute.web.a.7\"} 1\n",
    ))
    .await;
    api.refuse("/api/v1/services", 403);
    let watching = Watching::start(&api);
    let (current, asking) = (watching.current.clone(), Some(watching.asking.clone()));
    let mapping = Mapping { current, asking, ..Mapping::default() };
    let sidecar = Sidecar::start_mapped("127.0.0.1:0", config(&kong), mapping);
    assert!(sidecar.scrape().await.is_whole);
    let reasons = async || {
        let page = http::get(sidecar.address, "/mapping", &[]).await;
        let page: Value = serde_json::from_slice(&page.body).unwrap();
        let names = page["names"].as_array().unwrap().iter();
        names.map(|name| name["reasons"].clone()).collect::<Vec<_>>()
    };
    watching.until_open(ObjectKind::HTTPRoute).await;
    assert_eq!(reasons().await, vec![Value::Null; 4], "nothing is known before all is listed");
    api.allow("/api/v1/services");
    watching.until("httproute.web.a.0", "web/a").await;
    let expected = vec![
        Value::Null,
        json!([
            "HTTPRoute web/b rule 0: web/gone port 80 weight 1: left out: there is no such Service",
            "HTTPRoute web/b rule 0: other/far port 80 weight 1: left out: no ReferenceGrant in \
             namespace other lets HTTPRoutes of namespace web refer to it",
        ]),
        json!(["there is no HTTPRoute web/c here"]),
        json!(["HTTPRoute web/a is known, but has no rule 7"]),
    ];
    assert_eq!(reasons().await, expected);
}

#[tokio::test]
async fn only_what_the_scraped_names_need_is_watched_from_then_on() {
    let api = cluster(&["a"]).await;
    api.put(ObjectKind::TCPRoute, "web", "t", spec(&["a"]));
    let mut settings = quick();
    settings.kinds = Kinds::Needed;
    settings.settings.combined = Switch::On;
    let watching = Watching::start_with(&api, settings);
    let printing = |names: &[&str]| {
        let line = |name: &&str| format!("kong_x{{service=\"{name}\"}} 1\n");
        kong::good(&names.iter().map(line).collect::<String>())
    };
    let kong = Kong::start(printing(&["", "web.a.80", "httproute.web.svc.web.a.80.1"])).await;
    let (current, asking) = (watching.current.clone(), Some(watching.asking.clone()));
    let mapping = Mapping { current, asking, ..Mapping::default() };
    let sidecar = Sidecar::start_mapped("127.0.0.1:0", config(&kong), mapping);
    eventually("ready", async || watching.current.is_ready()).await;
    let lists = || {
        let requests = api.requests().into_iter();
        requests.filter(|request| request.contains("limit=")).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert!(sidecar.scrape().await.is_whole);
        sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(lists(), Vec::<String>::new(), "these say themselves");

    // A split, of which only one half exists.
    let split = "httproute.web.svc.web.a.80.1_web.gone.80.1";
    route(&api, "b", &["a", "gone"]);
    kong.answers(printing(&["web.a.80", split]));
    assert!(sidecar.scrape().await.is_whole);
    watching.until(split, "web/a").await;
    assert!(!lists().iter().any(|request| request.contains("tcproutes")), "{:?}", lists());

    // Once there, it stays.
    kong.answers(printing(&["web.a.80", "tcproute.web.t.0"]));
    assert!(sidecar.scrape().await.is_whole);
    watching.until("tcproute.web.t.0", "web/a").await;
    assert!(watching.status(ObjectKind::HTTPRoute).is_open);
    assert_eq!(watching.find("httproute.web.svc.web.a.80.1").as_deref(), Some("web/a"));
}

#[tokio::test]
async fn with_the_first_kongservice_everything_is_watched() {
    let api = Api::start(&[&ALL[..], &[ObjectKind::KongService]].concat()).await;
    let mut settings = quick();
    settings.kinds = Kinds::Needed;
    settings.settings.flavor = Flavor::KongOperator;
    let watching = Watching::start_with(&api, settings);
    watching.until_open(ObjectKind::KongService).await;
    assert_eq!(watching.board.watches().len(), 1);
    api.put(ObjectKind::KongService, "web", "any", json!({"spec": {"host": "a.web.svc"}}));
    for kind in ALL {
        watching.until_open(kind).await;
    }
}
