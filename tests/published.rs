//! Published and read, against a make-believe API server. In: a mapping that changes, publishers
//! and readers that come and go, ConfigMaps that are damaged. Asserted: readers have what is
//! published and never less, and nothing is written that need not be.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use api::Api;
use backon::ExponentialBuilder;
use kong_metrics_exporter::cluster::follow;
use kong_metrics_exporter::cluster::lease::{Candidate, Leadership, Timing};
use kong_metrics_exporter::cluster::publish::{self, Options};
use kong_metrics_exporter::mapping::{Backend, Current, Entry, Label, Snapshot, Tier, resolve};
use kong_metrics_exporter::metrics::{Publishing, Reloads, Shards};
use kong_metrics_exporter::source::published;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const CONFIG_MAPS: &str = "/api/v1/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";

const TIMING: Timing = Timing {
    duration: Duration::from_secs(1),
    deadline: Duration::from_millis(600),
    interval: Duration::from_millis(50),
    request: Duration::from_millis(500),
};

/// A publisher in a process of its own.
struct Publisher {
    metrics: Publishing,
    mapping: Current,
    leadership: Leadership,
    end: Option<oneshot::Sender<()>>,
    working: JoinHandle<()>,
}

impl Publisher {
    fn start(api: &Api, name: &str, namespaces: &[&str], mapping: &Current) -> Self {
        let namespaces: Vec<_> = namespaces.iter().map(|one| (*one).to_owned()).collect();
        let metrics = Publishing::new(&namespaces, &Reloads::default(), None);
        let options = Options {
            name: "kong-mapping".to_owned(),
            namespaces,
            find: Some(Duration::from_millis(100)),
            interval: Duration::from_millis(300),
            check: Duration::from_millis(600),
            answer: Duration::from_millis(500),
        };
        let candidate = Candidate::with_timing(api.client(), "kong", "publish", name, TIMING);
        let leadership = candidate.leadership();
        let publishing = publish::run(
            api.client(),
            options,
            mapping.clone(),
            leadership.clone(),
            metrics.clone(),
        );
        let (end, ended) = oneshot::channel();
        let working = tokio::spawn(candidate.run(async {
            tokio::select! {
                never = publishing => match never {},
                _ = ended => {}
            }
        }));
        Self { metrics, mapping: mapping.clone(), leadership, end: Some(end), working }
    }

    fn sample(&self, series: &str) -> f64 {
        let mut text = Vec::new();
        self.metrics.append(&self.mapping, &mut text);
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }

    async fn end(mut self) {
        self.end.take().unwrap().send(()).unwrap();
        timeout(PATIENCE, self.working).await.unwrap().unwrap();
    }
}

/// A sidecar's mapping.
struct Reader {
    current: Current,
    shards: Shards,
    following: JoinHandle<()>,
}

impl Reader {
    fn start(api: &Api, namespace: &'static str) -> Self {
        let (current, shards) = (Current::awaiting(), Shards::default());
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_millis(100))
            .without_max_times();
        let options = follow::Options { backoff, ..follow::Options::default() };
        let (client, to, told) = (api.client(), current.clone(), shards.clone());
        let following = tokio::spawn(async move {
            let name = "kong-mapping";
            match published::follow(client, namespace, name, options, to, told, |_| {}).await {}
        });
        Self { current, shards, following }
    }

    fn has(&self, number: usize) -> Option<Tier> {
        resolve(&self.current.load(), Label::Service, &name(number)).tier
    }

    async fn has_all_of(&self, snapshot: &Snapshot) {
        until(|| names(&self.current.load()) == names(snapshot)).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let asking = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
}

fn names(snapshot: &Snapshot) -> Vec<(String, String)> {
    snapshot.iter().map(|(name, entry)| (name.to_owned(), format!("{entry:?}"))).collect()
}

fn name(number: usize) -> String {
    format!("name-{number}-{}", "x".repeat(80))
}

fn snapshot(numbers: impl IntoIterator<Item = usize>, service: &str) -> Snapshot {
    let entry = |number: usize| {
        let service = service.to_owned();
        let backend = Backend { namespace: "web".into(), service, port: None, weight: None };
        (name(number), Entry { backends: vec![backend], owners: Vec::new() })
    };
    numbers.into_iter().map(entry).collect()
}

fn store(current: &Current, snapshot: Snapshot) {
    current.store(snapshot.succeed(&current.load(), Instant::now()), SystemTime::now());
}

async fn api() -> Api {
    let api = Api::start(&[]).await;
    api.serve_path(CONFIG_MAPS);
    api.serve_path(LEASES);
    api
}

fn config_maps(api: &Api) -> BTreeMap<(String, String), Value> {
    api.objects_at(CONFIG_MAPS)
}

/// The writes of ConfigMaps.
fn writes(api: &Api) -> Vec<String> {
    api.writes().into_iter().filter(|write| write.contains("/configmaps/")).collect()
}

fn holding(snapshot: Snapshot) -> Current {
    let current = Current::awaiting();
    store(&current, snapshot);
    current
}

#[tokio::test]
async fn what_is_published_is_read_in_every_namespace() {
    let api = api().await;
    let mapping = holding(snapshot(0..1_500, "echo"));
    let reader = Reader::start(&api, "kong");
    let publisher = Publisher::start(&api, "one", &["kong", "other"], &mapping);
    reader.has_all_of(&mapping.load()).await;
    let other = Reader::start(&api, "other");
    other.has_all_of(&mapping.load()).await;
    let maps = config_maps(&api);
    let shards = publisher.sample("kong_exporter_publish_shards");
    assert!(shards > 2.0 && maps.len() as f64 == 2.0 * shards, "{shards}, {}", maps.len());
    let one = &maps[&("kong".to_owned(), "kong-mapping-0".to_owned())];
    assert_eq!(one["metadata"]["labels"]["kong-metrics-exporter.io/mapping"], "kong-mapping");
    assert!(one["binaryData"]["kong-mapping-0.gz"].is_string(), "{one}");

    store(&mapping, snapshot(1..1_501, "echo"));
    reader.has_all_of(&mapping.load()).await;
    other.has_all_of(&mapping.load()).await;
    assert_eq!((reader.has(0), reader.has(1_500)), (Some(Tier::Retained), Some(Tier::Exact)));
    assert_eq!(publisher.sample("kong_exporter_publish_leader"), 1.0);
    publisher.end().await;
}

#[tokio::test]
async fn what_is_there_is_not_written_again_and_one_change_is_one_write() {
    let api = api().await;
    let mapping = holding(snapshot(0..1_500, "echo"));
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    let success = "kong_exporter_publications_total{namespace=\"kong\",result=\"success\"}";
    until(|| publisher.sample(success) >= 1.0).await;
    let first = writes(&api).len();
    // The same mapping, made anew: as after a write that changed a status alone.
    store(&mapping, snapshot(0..1_500, "echo"));
    let before = publisher.sample(success);
    until(|| publisher.sample(success) >= before + 2.0).await;
    assert_eq!(writes(&api).len(), first);
    let after = mapping.load().updated([(name(7), Some(Entry::default()))], Instant::now());
    mapping.store(after, SystemTime::now());
    until(|| writes(&api).len() > first).await;
    let before = publisher.sample(success);
    until(|| publisher.sample(success) >= before + 2.0).await;
    assert_eq!(writes(&api).len(), first + 1);
    publisher.end().await;

    // Nor does another publisher write what the one before wrote.
    let publisher = Publisher::start(&api, "two", &["kong"], &mapping);
    until(|| publisher.sample(success) >= 2.0).await;
    assert_eq!(writes(&api).len(), first + 1);
    publisher.end().await;
}

#[tokio::test]
async fn many_changes_are_few_publications() {
    let api = api().await;
    let mapping = holding(snapshot(0..10, "echo"));
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    until(|| writes(&api).len() == 1).await;
    let start = Instant::now();
    for round in 0..60 {
        store(&mapping, snapshot(0..11 + round, "echo"));
        sleep(Duration::from_millis(20)).await;
    }
    let intervals = start.elapsed().as_millis() / 300 + 2;
    assert!(writes(&api).len() as u128 <= 1 + intervals, "{}", writes(&api).len());
    publisher.end().await;
}

#[tokio::test]
async fn namespaces_that_have_data_planes_are_published_to() {
    const DATA_PLANES: &str = "/apis/gateway-operator.konghq.com/v1beta1/dataplanes";
    let api = api().await;
    let mapping = holding(snapshot(0..20, "echo"));
    // There are none in this cluster at first.
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    let namespaces = || {
        let maps = config_maps(&api).into_keys();
        maps.map(|(namespace, _)| namespace).collect::<std::collections::BTreeSet<_>>()
    };
    until(|| !namespaces().is_empty()).await;
    let data_plane = |namespace: &str, name: &str| {
        let object = json!({
            "apiVersion": "gateway-operator.konghq.com/v1beta1", "kind": "DataPlane",
            "metadata": {"namespace": namespace, "name": name},
        });
        api.put_at(DATA_PLANES, namespace, name, object);
    };
    api.serve_path(DATA_PLANES);
    for (namespace, name) in [("a", "one"), ("a", "other"), ("b", "one"), ("kong", "one")] {
        data_plane(namespace, name);
    }
    until(|| namespaces().into_iter().eq(["a", "b", "kong"])).await;
    let reader = Reader::start(&api, "b");
    reader.has_all_of(&mapping.load()).await;

    // Nothing that is known is left out because the server refuses.
    api.refuse(DATA_PLANES, 403);
    store(&mapping, snapshot(0..20, "other"));
    reader.has_all_of(&mapping.load()).await;
    api.allow(DATA_PLANES);

    // Where there are none any more, what was published stays, and no more is.
    api.delete_at(DATA_PLANES, "b", "one");
    data_plane("c", "one");
    until(|| namespaces().contains("c")).await;
    store(&mapping, snapshot(0..20, "third"));
    let late = Reader::start(&api, "c");
    late.has_all_of(&mapping.load()).await;
    assert!(names(&reader.current.load()) != names(&mapping.load()));
    publisher.end().await;
}

#[tokio::test]
async fn leftovers_of_a_larger_mapping_are_removed() {
    let api = api().await;
    let mapping = holding(snapshot(0..3_000, "echo"));
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    // Not ours, whatever its name is.
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    api.put_at(CONFIG_MAPS, "kong", "kong-mapping-99", foreign.clone());
    store(&mapping, snapshot(0..20, "echo"));
    until(|| config_maps(&api).len() == 2).await;
    reader.has_all_of(&mapping.load()).await;
    assert_eq!(reader.current.load().retained_len(), 2_980);
    publisher.end().await;
}

#[tokio::test]
async fn what_somebody_else_changes_or_deletes_is_written_anew() {
    let api = api().await;
    let mapping = holding(snapshot(0..1_500, "echo"));
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    let good = config_maps(&api);
    let key = |number| ("kong".to_owned(), format!("kong-mapping-{number}"));
    let mut bad = good[&key(0)].clone();
    bad["binaryData"]["kong-mapping-0.gz"] = "H4sIEAAA".into();
    api.put_at(CONFIG_MAPS, "kong", "kong-mapping-0", bad);
    api.delete_at(CONFIG_MAPS, "kong", "kong-mapping-1");
    let data = |map: Option<&Value>| map.map(|one| one["binaryData"].to_string());
    let is_mended = || {
        let now = config_maps(&api);
        (0..2).all(|number| now.contains_key(&key(number)))
            && data(now.get(&key(0))).is_some_and(|data| data.len() > 1_000)
    };
    until(is_mended).await;
    reader.has_all_of(&mapping.load()).await;
    publisher.end().await;
}

#[tokio::test]
async fn a_damaged_configmap_takes_nothing_from_a_reader_and_one_that_starts_has_the_rest() {
    let api = api().await;
    let mapping = holding(snapshot(0..1_500, "echo"));
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    publisher.end().await;
    let all = config_maps(&api).len();
    let mut bad = config_maps(&api)[&("kong".to_owned(), "kong-mapping-0".to_owned())].clone();
    bad["binaryData"] = json!({"kong-mapping-0.gz": "H4sIEAAA"});
    api.put_at(CONFIG_MAPS, "kong", "kong-mapping-0", bad);
    let unreadable = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "binaryData": 7,
        "metadata": {"labels": {"kong-metrics-exporter.io/mapping": "kong-mapping"}},
    });
    api.put_at(CONFIG_MAPS, "kong", "unreadable", unreadable);
    until(|| reader.shards.count("refused") == 2).await;
    assert_eq!(names(&reader.current.load()), names(&mapping.load()));
    assert_eq!((reader.shards.count("accepted"), reader.shards.count("missing")), (all, 0));

    let late = Reader::start(&api, "kong");
    until(|| late.current.is_ready()).await;
    assert!(late.current.load().len() > 500 && late.current.load().len() < 1_500);
    assert_eq!((late.shards.count("refused"), late.shards.count("missing")), (2, 1));
}

#[tokio::test]
async fn an_api_server_that_is_gone_or_lists_anew_takes_nothing() {
    let mut api = api().await;
    let mapping = holding(snapshot(0..1_500, "echo"));
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    let before = reader.current.load();
    api.stop().await;
    sleep(Duration::from_millis(200)).await;
    assert!(Arc::ptr_eq(&before, &reader.current.load()));
    api.listen().await;
    api.forget();
    store(&mapping, snapshot(0..1_501, "echo"));
    reader.has_all_of(&mapping.load()).await;
    assert_eq!(reader.current.load().retained_len(), 0);
    publisher.end().await;
}

#[tokio::test]
async fn the_next_publisher_goes_on_where_one_was_killed() {
    let api = api().await;
    let mapping = holding(snapshot(0..1_500, "echo"));
    let one = Publisher::start(&api, "one", &["kong"], &mapping);
    let mut leadership = one.leadership.clone();
    leadership.gained().await;
    let two = Publisher::start(&api, "two", &["kong"], &mapping);
    // In the middle of its first publication, or right before or after.
    until(|| !writes(&api).is_empty()).await;
    one.working.abort();
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    until(|| two.sample("kong_exporter_publish_leader") == 1.0).await;
    store(&mapping, snapshot(1..1_501, "echo"));
    reader.has_all_of(&mapping.load()).await;
    two.end().await;
}

#[tokio::test]
async fn a_namespace_that_cannot_be_written_is_tried_on_and_holds_up_no_other() {
    let api = api().await;
    api.refuse("/api/v1/namespaces/forbidden/", 403);
    let mapping = holding(snapshot(0..10, "echo"));
    let publisher = Publisher::start(&api, "one", &["forbidden", "kong"], &mapping);
    let failures = "kong_exporter_publications_total{namespace=\"forbidden\",result=\"failure\"}";
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    until(|| publisher.sample(failures) >= 1.0).await;
    assert_eq!(
        publisher.sample(
            "kong_exporter_publish_last_success_timestamp_seconds{namespace=\"forbidden\"}"
        ),
        0.0
    );
    publisher.end().await;
}

#[tokio::test]
async fn a_request_that_is_never_answered_holds_up_no_other_namespace() {
    let api = api().await;
    api.ignore("/api/v1/namespaces/mute/");
    let mapping = holding(snapshot(0..10, "echo"));
    let publisher = Publisher::start(&api, "one", &["mute", "kong"], &mapping);
    let failures = "kong_exporter_publications_total{namespace=\"mute\",result=\"failure\"}";
    let reader = Reader::start(&api, "kong");
    reader.has_all_of(&mapping.load()).await;
    assert!(publisher.sample(failures) >= 1.0);
    // Once it answers, it gets all.
    api.allow("/api/v1/namespaces/mute/");
    let late = Reader::start(&api, "mute");
    late.has_all_of(&mapping.load()).await;
    publisher.end().await;
}

#[tokio::test]
async fn what_is_not_known_yet_is_not_published_as_empty() {
    let api = api().await;
    let mapping = Current::awaiting();
    let publisher = Publisher::start(&api, "one", &["kong"], &mapping);
    until(|| publisher.leadership.holds()).await;
    sleep(Duration::from_millis(700)).await;
    assert_eq!(writes(&api), [""; 0]);
    let reader = Reader::start(&api, "kong");
    sleep(Duration::from_millis(100)).await;
    assert!(!reader.current.is_ready());
    mapping.store(Snapshot::default(), SystemTime::now());
    until(|| reader.current.is_ready()).await;
    publisher.end().await;
}

/// A bound, not a claim.
const PATIENCE: Duration = Duration::from_secs(60);
