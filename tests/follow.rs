//! One kind of objects followed, against a make-believe API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;

use std::time::Duration;

use api::Api;
use kong_metrics_exporter::cluster::follow::{Event, Failure, Follower, ListBy, Options, Target};
use kong_metrics_exporter::kubernetes::ObjectKind;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

const KIND: ObjectKind = ObjectKind::Service;

#[derive(Debug, Deserialize)]
struct Thing {
    metadata: Metadata,
    #[serde(default)]
    size: u8,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

type Read = fn(&str) -> serde_json::Result<Thing>;
type Things = Follower<Thing, Read>;

/// Pauses and limits for tests.
fn options() -> Options {
    let backoff = Options::default().backoff;
    Options {
        page_size: 2,
        answer: Duration::from_secs(2),
        silence: Duration::from_secs(2),
        backoff: backoff
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(40)),
        ..Options::default()
    }
}

fn follow(api: &Api, options: Options) -> Things {
    let target = Target::new(api::path(KIND));
    Follower::new(api.client(), target, options, |json| serde_json::from_str(json))
}

fn put(api: &Api, name: &str, size: u8) {
    api.put(KIND, "web", name, json!({ "size": size }));
}

/// The event as a short text.
fn told(event: &Event<Thing>) -> String {
    let thing = |thing: &Thing| format!("{} {}", thing.metadata.name, thing.size);
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(one) => format!("there {}", thing(one)),
        Event::InitDone => "done".to_owned(),
        Event::Apply(one) => format!("now {}", thing(one)),
        Event::Delete(name) => format!("gone {name}"),
        Event::Alive => "alive".to_owned(),
        Event::Unreadable { name, .. } => format!("unreadable {name}"),
        Event::Failed(failure) => match failure.status() {
            Some(status) => format!("failed {}", status.code),
            None => "failed".to_owned(),
        },
    }
}

/// The next events, as many as are expected.
async fn expect(things: &mut Things, events: &[&str]) {
    let mut seen = Vec::new();
    for _ in events {
        let event = timeout(Duration::from_secs(20), things.next()).await.expect("an event");
        seen.push(told(&event));
    }
    assert_eq!(seen, events);
}

/// Waits for an event; how many failures came before it. A watch may open in between, and fail.
async fn until(things: &mut Things, expected: &str) -> usize {
    for failures in 0.. {
        let mut event = timeout(Duration::from_secs(20), things.next()).await.expect("an event");
        if matches!(event, Event::Alive) && expected != "alive" {
            event = timeout(Duration::from_secs(20), things.next()).await.expect("an event");
        }
        if !matches!(event, Event::Failed(_)) {
            assert_eq!(told(&event), expected);
            return failures;
        }
    }
    unreachable!()
}

const LIST: [&str; 5] = ["init", "there a 1", "there b 2", "done", "alive"];

/// A server with two things, and a follower that knows them.
async fn two(options: Options) -> (Api, Things) {
    let api = Api::start(&[KIND]).await;
    put(&api, "a", 1);
    put(&api, "b", 2);
    let mut things = follow(&api, options);
    expect(&mut things, &LIST).await;
    (api, things)
}

#[tokio::test]
async fn a_list_in_pages_and_what_comes_later() {
    let api = Api::start(&[KIND]).await;
    for (name, size) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)] {
        put(&api, name, size);
    }
    let mut things = follow(&api, options());
    let list =
        ["init", "there a 1", "there b 2", "there c 3", "there d 4", "there e 5", "done", "alive"];
    expect(&mut things, &list).await;
    assert_eq!(api.requests().len(), 4, "{:?}", api.requests());
    put(&api, "b", 9);
    api.delete(KIND, "web", "a");
    put(&api, "f", 6);
    expect(&mut things, &["now b 9", "gone web/a", "now f 6"]).await;
    api.bookmark();
    expect(&mut things, &["alive"]).await;
}

#[tokio::test]
async fn a_list_in_the_watch() {
    let options = Options { list: ListBy::Stream, ..options() };
    let (api, mut things) = two(options).await;
    assert_eq!(api.requests().len(), 1, "{:?}", api.requests());
    put(&api, "c", 3);
    expect(&mut things, &["now c 3"]).await;
    api.forget();
    until(&mut things, "init").await;
    expect(&mut things, &["there a 1", "there b 2", "there c 3", "done", "alive"]).await;
}

#[tokio::test]
async fn a_server_that_streams_no_lists_is_asked_for_pages() {
    let api = Api::start(&[KIND]).await;
    api.knows_no_streams();
    put(&api, "a", 1);
    put(&api, "b", 2);
    let mut things = follow(&api, Options { list: ListBy::Stream, ..options() });
    expect(&mut things, &LIST).await;
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let (api, mut things) = two(options()).await;
    put(&api, "c", 3);
    expect(&mut things, &["now c 3"]).await;
    api.cut();
    put(&api, "d", 4);
    api.delete(KIND, "web", "a");
    until(&mut things, "alive").await;
    expect(&mut things, &["now d 4", "gone web/a"]).await;
    let lists = api.requests().iter().filter(|request| request.contains("limit=")).count();
    assert_eq!(lists, 1, "{:?}", api.requests());
}

#[tokio::test]
async fn a_version_that_is_forgotten_costs_a_new_list() {
    let (api, mut things) = two(options()).await;
    api.delete_and_forget(KIND, "web", "a");
    assert!(until(&mut things, "init").await >= 1);
    expect(&mut things, &["there b 2", "done", "alive"]).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_costs_nothing_but_itself() {
    let api = Api::start(&[KIND]).await;
    put(&api, "a", 1);
    api.put(KIND, "web", "b", json!({"size": "large"}));
    put(&api, "c", 3);
    let mut things = follow(&api, options());
    expect(&mut things, &["init", "there a 1", "unreadable web/b", "there c 3", "done", "alive"])
        .await;
    api.put(KIND, "web", "a", json!({"size": 300}));
    put(&api, "c", 4);
    expect(&mut things, &["unreadable web/a", "now c 4"]).await;
    put(&api, "b", 2);
    expect(&mut things, &["now b 2"]).await;
}

#[tokio::test]
async fn a_refusal_is_told_each_time_and_ends() {
    let api = Api::start(&[KIND]).await;
    put(&api, "a", 1);
    put(&api, "b", 2);
    api.refuse("/api/v1/services", 403);
    let mut things = follow(&api, options());
    expect(&mut things, &["failed 403", "failed 403", "failed 403"]).await;
    api.allow("/api/v1/services");
    until(&mut things, "init").await;
    expect(&mut things, &LIST[1..]).await;
}

#[tokio::test]
async fn a_server_that_comes_back_is_not_listed_again() {
    let (mut api, mut things) = two(options()).await;
    api.stop().await;
    expect(&mut things, &["failed", "failed", "failed"]).await;
    let down = timeout(Duration::from_secs(20), things.next()).await.unwrap();
    assert!(matches!(&down, Event::Failed(Failure::Watch(_))), "{down:?}");
    put(&api, "c", 3);
    api.listen().await;
    until(&mut things, "alive").await;
    expect(&mut things, &["now c 3"]).await;
}

#[tokio::test]
async fn a_server_that_comes_back_and_has_forgotten_is_listed_without_another_long_pause() {
    let pauses = Options::default().backoff.with_min_delay(Duration::from_millis(5));
    // 5 ms, half a second, 50 seconds, and up to twice that each.
    let backoff = pauses.with_factor(100.0).with_max_delay(Duration::from_secs(50));
    let (mut api, mut things) = two(Options { backoff, ..options() }).await;
    api.stop().await;
    expect(&mut things, &["failed", "failed"]).await;
    api.delete_and_forget(KIND, "web", "a");
    api.listen().await;
    assert!(until(&mut things, "init").await >= 1);
    expect(&mut things, &["there b 2", "done", "alive"]).await;
}

#[tokio::test]
async fn a_watch_on_which_nothing_comes_is_opened_again_and_that_is_no_failure() {
    let (api, mut things) = two(Options { silence: Duration::from_millis(50), ..options() }).await;
    expect(&mut things, &["alive", "alive"]).await;
    put(&api, "c", 3);
    until(&mut things, "now c 3").await;
    let lists = api.requests().iter().filter(|request| request.contains("limit=")).count();
    assert_eq!(lists, 1, "{:?}", api.requests());
}

#[tokio::test]
async fn a_connection_that_swallows_everything_is_noticed() {
    let silence = Duration::from_millis(300);
    let (api, mut things) = two(Options { silence, answer: silence, ..options() }).await;
    api.swallow(true);
    put(&api, "c", 3);
    let dead = timeout(Duration::from_secs(20), things.next()).await.unwrap();
    assert!(matches!(&dead, Event::Failed(Failure::Silent(_))), "{dead:?}");
    // A new connection is swallowed as well.
    let dead = timeout(Duration::from_secs(20), things.next()).await.unwrap();
    assert!(matches!(&dead, Event::Failed(Failure::Silent(_))), "{dead:?}");
    api.swallow(false);
    until(&mut things, "alive").await;
    expect(&mut things, &["now c 3"]).await;
}
