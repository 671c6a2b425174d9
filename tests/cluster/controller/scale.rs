//! A large cluster: many Services and routes, and fifty extensions that select a thousand of them.
//! Each object is written once, at rest nothing is, and what changes nothing that matters costs no
//! plan.
//!
//! Small by default, so that the claims are held in every run. `benches/controller.sh` makes it large
//! and measures the program that ships; what is printed here goes to `benches/results`.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{PLUGINS, Scene, api_version, marked, route, service};
use crate::fleet::{peak, resident};
use crate::harness::{APISERVER_ADDRESS, Cluster, Test, read, tests};
use crate::http;
use crate::processes::{self, Process, until};

pub(super) fn tests() -> Vec<Test> {
    tests![Alone: a_large_cluster_is_measured_by_one_write_for_each_object]
}

/// How large it is. The Services that are selected come first. All but a tenth of them have a route
/// to themselves; each of that tenth shares one with a Service that is not selected.
struct Size {
    services: usize,
    selected: usize,
    extensions: usize,
    routes: usize,
}

async fn a_large_cluster_is_measured_by_one_write_for_each_object(cluster: Cluster) {
    let number = |name: &str, usual: usize| {
        let told = env::var(format!("KONG_EXPORTER_SCALE_{name}")).ok();
        told.map_or(usual, |told| told.parse().unwrap())
    };
    let size = Size {
        services: number("SERVICES", 1_500),
        selected: number("SELECTED", 1_000),
        extensions: number("EXTENSIONS", 50),
        routes: number("ROUTES", 1_500),
    };
    let scene = Scene::new(cluster).await;
    size.make(&scene).await;

    let start = Instant::now();
    let controller = scene.unwatched().await;
    let seen = until("all has been read", async || {
        (metric(&controller, "kong_exporter_controller_synced").await == 1.0).then(Instant::now)
    })
    .await;
    let (on_services, on_routes) = (size.selected - size.shared(), size.shared());
    until_measured(&controller, &size).await;
    let took = start.elapsed();
    let writes = scene.written();
    println!(
        "controller: {} Services, {} of them selected by {} extensions, {} routes: all read after \
         {:.1?}, converged {took:.1?} after the start, by {} writes; {}",
        size.services,
        size.selected,
        size.extensions,
        size.routes,
        seen - start,
        writes.values().sum::<usize>(),
        cost(&controller).await,
    );
    let of = |resource: &str| {
        let writes = writes.iter().filter(|((own, _), _)| own == resource);
        (writes.clone().count(), writes.map(|(_, times)| *times).max().unwrap_or_default())
    };
    assert_eq!(of("services"), (on_services, 1));
    assert_eq!(of("httproutes"), (on_routes, 1));
    assert_eq!(of("kongplugins"), (size.extensions, 1));
    // The finalizer, and the status.
    assert_eq!(of("dataplanemetricsextensions"), (size.extensions, 2));
    scene.was_never_denied();

    scene.changes(&controller, &size).await;
    scene.nothing_of_interest(&controller, &size).await;

    let before = (versions(&scene).await, scene.written());
    drop(controller);
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        scene.forget_lease().await;
        let start = Instant::now();
        let controller = scene.unwatched().await;
        scene.until_settled(&controller).await;
        longest = longest.max(start.elapsed());
    }
    let writes = scene.written().values().sum::<usize>() - before.1.values().sum::<usize>();
    println!("controller: ten restarts, settled after {longest:.1?} at most: {writes} writes");
    assert_eq!((versions(&scene).await, scene.written()), before);
}

impl Size {
    fn shared(&self) -> usize {
        self.selected / 10
    }

    async fn make(&self, scene: &Scene) {
        let start = Instant::now();
        let block = self.selected / self.extensions;
        // Without a selector, so that nobody makes EndpointSlices of it.
        scene
            .apply(
                &service("service-0").replace(", selector: {app: service-0}", ", clusterIP: None"),
            )
            .await;
        let one = scene.find("Service", "service-0").await.unwrap();
        scene
            .copies(
                "services",
                "specs",
                &one,
                (1..self.services).map(|at| {
                    let mut one = one.clone();
                    one["metadata"]["name"] = json!(format!("service-{at}"));
                    one["metadata"]["labels"] = json!({"block": (at / block).to_string()});
                    one
                }),
            )
            .await;
        scene.apply(&route("route-0", &["service-0"])).await;
        let one = scene.find("HTTPRoute", "route-0").await.unwrap();
        let backend = |at: usize| {
            let mut backend = one["spec"]["rules"][0]["backendRefs"][0].clone();
            backend["name"] = json!(format!("service-{at}"));
            backend
        };
        let alone = self.selected - self.shared();
        scene
            .copies(
                "gateway.networking.k8s.io",
                "httproutes",
                &one,
                (1..self.routes).map(|at| {
                    let mut one = one.clone();
                    one["metadata"]["name"] = json!(format!("route-{at}"));
                    one["spec"]["rules"][0]["backendRefs"] = if at < alone {
                        json!([backend(at)])
                    } else if at < self.selected {
                        json!([backend(at), backend(at + self.shared())])
                    } else {
                        json!([backend(at % (self.services - self.selected) + self.selected)])
                    };
                    one
                }),
            )
            .await;
        let extensions: String =
            (0..self.extensions).map(|number| self.extension(number, &[])).collect();
        scene.cluster.apply_all(&scene.namespace, read(&extensions)).await;
        println!("controller: stored within {:.1?}", start.elapsed());
    }

    /// Every fifth one selects by labels. Each names two that the next one selects, too.
    fn extension(&self, number: usize, besides: &[&str]) -> String {
        let block = self.selected / self.extensions;
        let (begin, end) = (number * block, (number + 1) * block);
        let names = if number % 5 == 4 { end..end + 2 } else { begin..end + 2 };
        let names: Vec<_> =
            names.filter(|at| *at < self.selected).map(|at| format!("service-{at}")).collect();
        let names: Vec<_> =
            names.iter().map(String::as_str).chain(besides.iter().copied()).collect();
        let extension = marked(&format!("e-{number:02}"), &names);
        if number % 5 != 4 {
            return extension;
        }
        let selector = format!(
            "annotations: {{kong-metrics-exporter.io/service-label-selector: block={number}}}"
        );
        extension.replace("metadata: {", &format!("metadata: {{{selector}, "))
    }
}

impl Scene {
    /// A controller that asks the API server itself, so that nothing in between costs time.
    async fn unwatched(&self) -> Process {
        let kubeconfig = self.account.kubeconfig(APISERVER_ADDRESS);
        processes::command(&[
            "controller",
            "--web.listen-address=127.0.0.1:0",
            "--operator.wait=0s",
            &format!("--namespaces={}", self.namespace),
            &format!("--lease.namespace={}", self.namespace),
            &format!("--kubernetes.kubeconfig={}", kubeconfig.display()),
        ])
        .await
    }

    /// Copies of an object, each with a uid of its own.
    async fn copies(
        &self,
        group: &str,
        plural: &str,
        original: &Value,
        copies: impl Iterator<Item = Value>,
    ) {
        let salt = original["metadata"]["uid"].as_str().unwrap()[..23].to_owned();
        let copies = copies.enumerate().map(|(at, mut copy)| {
            let metadata = copy["metadata"].as_object_mut().unwrap();
            metadata.remove("resourceVersion");
            metadata.insert("uid".to_owned(), json!(format!("{salt}-{at:012x}")));
            (format!("{}/{}", self.namespace, metadata["name"].as_str().unwrap()), copy)
        });
        self.cluster.plane.store(plural, group, copies).await;
    }

    /// How often each object has been written by controllers, as the API server has it.
    fn written(&self) -> BTreeMap<(String, String), usize> {
        let mut written = BTreeMap::new();
        for request in self.cluster.requests(&self.account) {
            let is_write = ["create", "patch", "update", "delete"].contains(&&*request.verb)
                && !["leases", "events"].contains(&&*request.object_ref.resource);
            if is_write {
                assert_eq!(request.response_status.code / 100, 2, "{request:?}");
                let name = match request.verb.as_str() {
                    "create" => request.request_object["metadata"]["name"].as_str().unwrap(),
                    _ => &request.object_ref.name,
                };
                *written.entry((request.object_ref.resource, name.to_owned())).or_default() += 1;
            }
        }
        written
    }

    /// From a user's change to what comes of it.
    async fn changes(&self, controller: &Process, size: &Size) {
        let before = cpu(controller).await;
        let mut taken = BTreeMap::<_, Vec<_>>::new();
        let mut took = |what, start: Instant| taken.entry(what).or_default().push(start.elapsed());
        self.apply(&size.extension(0, &["late"])).await;
        self.until_told("e-00", "late", "NotFound").await;
        let ours = "e-00-metrics-prometheus";
        for round in 0..5 {
            let (alone, weighted) =
                (format!("service-{}", 2 + round), format!("service-{}", 10 + round));
            let start = Instant::now();
            self.annotate("Service", &alone, PLUGINS, None).await;
            self.until_listed_at_once("Service", &alone, Some(ours)).await;
            took("an item that was taken away is back", start);

            let start = Instant::now();
            self.apply(&service("late")).await;
            self.until_listed_at_once("Service", "late", Some(ours)).await;
            took("a Service that is new is annotated", start);
            self.delete("Service", "late").await;
            self.until_told("e-00", "late", "NotFound").await;

            let route_name = format!("route-{}", 10 + round);
            let start = Instant::now();
            self.apply(&route(&route_name, &[&weighted, "service-0"])).await;
            self.until_listed_at_once("Service", &weighted, None).await;
            took("the item is off the Service of a rule that has two", start);
            self.until_listed_at_once("HTTPRoute", &route_name, Some(ours)).await;
            took("the item is on its route instead", start);
            self.apply(&route(&route_name, &[&weighted])).await;
            self.until_listed_at_once("Service", &weighted, Some(ours)).await;

            let last = size.extension(size.extensions - 1, &[]);
            let name = format!("e-{:02}", size.extensions - 1);
            let start = Instant::now();
            self.delete("DataPlaneMetricsExtension", &name).await;
            self.until_gone("DataPlaneMetricsExtension", &name).await;
            took("an extension that is deleted is gone", start);
            self.apply(&last).await;
            until_measured(controller, size).await;
        }
        self.apply(&size.extension(0, &[])).await;
        self.until_settled(controller).await;
        until_measured(controller, size).await;
        for (what, mut taken) in taken {
            taken.sort();
            println!(
                "controller: {what} after {:.0?}, {:.0?} at most",
                taken[taken.len() / 2],
                taken[taken.len() - 1]
            );
            assert!(taken[0] < Duration::from_secs(5), "{what}: {taken:?}");
        }
        println!(
            "controller: all these changes cost {:.2} s of CPU; {}",
            cpu(controller).await - before,
            cost(controller).await
        );
    }

    /// What others write that is of no interest.
    async fn nothing_of_interest(&self, controller: &Process, size: &Size) {
        let idle = async || {
            let before = cpu(controller).await;
            sleep(Duration::from_secs(5)).await;
            cpu(controller).await - before
        };
        until_told(controller).await;
        let at_rest = idle().await;
        let before_plans = plans(controller).await;
        let routes: Vec<_> = (0..size.routes.min(500)).map(|at| format!("route-{at}")).collect();
        let before = cpu(controller).await;
        let start = Instant::now();
        self.cluster.accept_routes(&self.namespace, &routes).await;
        for at in 0..200 {
            self.annotate("Service", &format!("service-{at}"), "example.com/note", Some("new"))
                .await;
        }
        sleep(Duration::from_secs(1)).await;
        let (cost, took) = (cpu(controller).await - before, start.elapsed());
        let planned = plans(controller).await - before_plans;
        println!(
            "controller: at rest {:.1} ms of CPU a second; {} statuses and 200 annotations of others \
             within {took:.1?}: {:.2} ms of CPU each, {planned} plans",
            at_rest * 200.0,
            routes.len(),
            (cost - at_rest / 5.0 * took.as_secs_f64()) * 1e3 / (routes.len() + 200) as f64,
        );
        assert_eq!(planned, 0.0);
    }

    async fn until_listed_at_once(&self, kind: &str, name: &str, list: Option<&str>) {
        let start = Instant::now();
        while self.annotation(kind, name, PLUGINS).await.as_deref() != list {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{kind} {name} never lists {list:?}"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Until all that is selected is measured, and nothing is left to be done.
async fn until_measured(controller: &Process, size: &Size) {
    let (on_routes, start) = (size.shared(), Instant::now());
    loop {
        let metrics = http::get(controller.address, "/metrics", &[]).await;
        let services = |state: &str| {
            metrics.sample(&format!("kong_exporter_controller_services{{state=\"{state}\"}}"))
        };
        if services("Annotated") == (size.selected - on_routes) as f64
            && services("RouteAnnotated") == on_routes as f64
            && metrics.sample("kong_exporter_controller_pending_writes") == 0.0
            && metrics.sample("kong_exporter_controller_last_success_timestamp_seconds") > 0.0
        {
            return;
        }
        let is_late = start.elapsed() > Duration::from_secs(240);
        assert!(!is_late, "not converged:\n{}", metrics.text());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Until the last event has been sent.
async fn until_told(controller: &Process) {
    let sent = "kong_exporter_controller_events_total{result=\"sent\"}";
    let (mut before, start) = (-1.0, Instant::now());
    while start.elapsed() < Duration::from_secs(120) {
        let now = metric(controller, sent).await;
        if now == before {
            return;
        }
        before = now;
        sleep(Duration::from_secs(2)).await;
    }
}

/// Plans that were made.
async fn plans(controller: &Process) -> f64 {
    let metrics = http::get(controller.address, "/metrics", &[]).await;
    let of = |result: &str| {
        metrics.sample(&format!("kong_exporter_controller_reconciles_total{{result=\"{result}\"}}"))
    };
    of("success") + of("superseded") + of("failure")
}

/// In seconds, so far.
async fn cpu(controller: &Process) -> f64 {
    metric(controller, "process_cpu_seconds_total").await
}

async fn cost(controller: &Process) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let (resident, peak) = (mib(resident(controller)), mib(peak(controller)));
    format!(
        "{:.2} s of CPU so far, {resident:.1} MiB resident, {peak:.1} MiB at most",
        cpu(controller).await
    )
}

async fn metric(controller: &Process, series: &str) -> f64 {
    http::get(controller.address, "/metrics", &[]).await.sample(series)
}

/// The versions of all that may be written.
async fn versions(scene: &Scene) -> Vec<(String, Option<String>)> {
    let mut versions = Vec::new();
    for kind in ["Service", "HTTPRoute", "KongPlugin", "DataPlaneMetricsExtension"] {
        let api = scene.cluster.api(&scene.namespace, api_version(kind), kind).await;
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let version = |one: &DynamicObject| (one.name_any(), one.resource_version());
        versions.extend(all.iter().map(version));
    }
    versions
}
