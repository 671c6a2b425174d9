//! The real Kong Ingress Controller in the loop. Two namespaces are given the same objects, each has
//! its own Kong Ingress Controller, and one has extensions and our controller besides. In the end
//! both have to push the same routes; on the way none may be lost and none refused, save for what the
//! user brings about over an item of ours; and what is selected has to be measured where that does no
//! harm.
//!
//! `KONG_EXPORTER_CHURN_STEPS` and `KONG_EXPORTER_CHURN_SEED` make it more, or another one.

mod twin;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{PLUGINS, STATUS, api_version, manifest};
use crate::admin::{duplicates, entries};
use crate::harness::{APISERVER_ADDRESS, Account, Cluster, Test, tests};
use crate::processes::{self, Process};
use crate::translator::from_environment;
use crate::translator::random::Random;

use twin::{Seen, Twin, object_of};
use user::{Deed, SERVICES, User};

pub(super) fn tests() -> Vec<Test> {
    tests![Shared:
        a_gateway_loses_nothing_in_the_scenes_of_the_naive_way,
        a_gateway_loses_nothing_whatever_users_do,
    ]
}

struct Rig {
    measured: Twin,
    plain: Twin,
    _controller: Process,
    user: User,
    step: usize,
    /// The routes without us, at the end of the last step, and whether they were refused.
    before: (BTreeSet<String>, bool),
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    pushes: usize,
    /// Pushes that lack a route that the user has just changed.
    lacking: usize,
    /// For how long such a route was missing at most.
    longest: Duration,
    /// Pushes that were refused because the user listed a second prometheus plugin beside ours, or sent
    /// to two Services with ours by one rule, until ours was off.
    refused: usize,
    longest_refused: Duration,
    /// Services that were found measured.
    measured: usize,
    /// Steps after which Kong refuses what the user wants, with us and without.
    refused_anyway: usize,
}

impl Rig {
    async fn start(cluster: &Cluster) -> Option<Self> {
        let Some(kic) = &cluster.plane.binaries.kic else {
            let is_required =
                std::env::var("KONG_EXPORTER_CLUSTER").is_ok_and(|is| is == "required");
            assert!(!is_required, "kic is not built; tests/cluster/build kic builds it");
            println!("not run: kic is not built; tests/cluster/build kic builds it");
            return None;
        };
        let measured = Twin::start(cluster, kic, "measured").await;
        let plain = Twin::start(cluster, kic, "plain").await;
        let namespace = measured.namespace().to_owned();
        let account = Account::of(cluster, &namespace, &manifest()).await;
        let kubeconfig = account.kubeconfig(APISERVER_ADDRESS);
        let controller = processes::command(&[
            "controller",
            "--web.listen-address=127.0.0.1:0",
            "--operator.wait=0s",
            "--flavor=kic",
            &format!("--ingress-class={}", measured.setup.class),
            &format!("--namespaces={namespace},{}", measured.setup.system),
            &format!("--lease.namespace={namespace}"),
            &format!("--kubernetes.kubeconfig={}", kubeconfig.display()),
        ])
        .await;
        for twin in [&measured, &plain] {
            for object in user::start() {
                twin.apply(&object).await;
            }
        }
        let before = (BTreeSet::new(), false);
        let mut rig = Self {
            measured,
            plain,
            _controller: controller,
            user: User::default(),
            step: 0,
            before,
            tally: Tally::default(),
        };
        let services = (0..SERVICES).map(|at| Deed::Service(format!("s{at}")));
        rig.step(&services.collect::<Vec<_>>()).await;
        Some(rig)
    }

    async fn step(&mut self, deeds: &[Deed]) {
        let start = Instant::now();
        self.step += 1;
        self.measured.forget();
        let mut excused = Excused::default();
        for (at, deed) in deeds.iter().enumerate() {
            let mut carrying = self.carrying().await;
            if at > 0 {
                // The controller is at work for the deed before.
                carrying.extend(self.user.may_get_ours());
            }
            excused.missing.extend(self.user.endangered(deed, &carrying));
            excused.doubled.extend(self.user.colliding(deed, &carrying));
            self.user.does(deed, &self.measured, &self.plain).await;
        }
        self.measured.mark(self.step).await;
        self.plain.mark(self.step).await;
        let after = self.settle(deeds).await;
        self.judge(deeds, &excused, &after, start);
        self.before = after;
    }

    /// The objects that carry our item now.
    async fn carrying(&self) -> BTreeSet<String> {
        let mut carrying = BTreeSet::new();
        for name in self.user.services.keys().chain(self.user.routes.keys()) {
            let list = self.measured.annotation(user::kind_of(name), name, PLUGINS).await;
            if list.is_some_and(|list| list.contains(OURS)) {
                carrying.insert(name.clone());
            }
        }
        carrying
    }

    /// Waits until both push the same routes and all is measured; gives what is pushed without us.
    async fn settle(&mut self, deeds: &[Deed]) -> (BTreeSet<String>, bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let (measured, plain) = (self.measured.last(self.step), self.plain.last(self.step));
            let missing = match (&measured, &plain) {
                (Some(measured), Some(plain)) => self.differences(measured, plain).await,
                _ => vec!["not both have pushed yet".to_owned()],
            };
            if let (Some(plain), true) = (plain, missing.is_empty()) {
                let is_refused = !plain.push.refusals.is_empty();
                self.tally.refused_anyway += usize::from(is_refused);
                return (plain.routes, is_refused);
            }
            let ended = self.measured.has_ended() || self.plain.has_ended();
            let step = self.step;
            assert!(Instant::now() < deadline && !ended, "step {step} {deeds:#?}: {missing:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn differences(&mut self, measured: &Seen, plain: &Seen) -> Vec<String> {
        let mut differences = Vec::new();
        let refusals = (&measured.push.refusals, &plain.push.refusals);
        if refusals.0.is_empty() != refusals.1.is_empty() {
            differences.push(format!("refused: {refusals:?}"));
        }
        if measured.routes != plain.routes {
            differences.push(format!("{:?} instead of {:?}", measured.routes, plain.routes));
        }
        if !differences.is_empty() {
            return differences;
        }
        let mut told = BTreeMap::new();
        for extension in self.user.extensions.keys() {
            let kind = "DataPlaneMetricsExtension";
            let status = self.measured.annotation(kind, extension, STATUS).await;
            let status: Value =
                serde_json::from_str(&status.unwrap_or_default()).unwrap_or_default();
            for (service, outcome) in status["services"].as_object().into_iter().flatten() {
                let (state, reason) = (outcome["state"].clone(), outcome["reason"].clone());
                if state == "Annotated" || state == "RouteAnnotated" {
                    let is_whole = reason.as_str().is_none_or(str::is_empty);
                    told.insert(service.clone(), (state, is_whole));
                }
            }
        }
        let mut measured_services = 0;
        for service in (0..SERVICES).map(|at| format!("s{at}")) {
            match told.get(&service) {
                None if self.user.must_be_measured(&service) => {
                    differences.push(format!("{service} is not measured, and could be"));
                }
                Some((state, is_whole)) if state == "RouteAnnotated" => {
                    let routes = self.user.routes_to(&service);
                    if *is_whole && !has_plugin_on_routes(&measured.push.config, &routes) {
                        differences.push(format!("{service}: not on all of {routes:?}"));
                    }
                    measured_services += 1;
                }
                Some(_) => {
                    if !has_plugin_on(&measured.push.config, &service) {
                        let plugins = &measured.push.config["plugins"];
                        differences
                            .push(format!("{service}: not on all of its services: {plugins}"));
                    }
                    measured_services += 1;
                }
                None => {}
            }
        }
        if differences.is_empty() {
            self.tally.measured += measured_services;
        }
        differences
    }

    /// What was pushed on the way.
    fn judge(
        &mut self,
        deeds: &[Deed],
        excused: &Excused,
        after: &(BTreeSet<String>, bool),
        start: Instant,
    ) {
        let (before, was_refused) = &self.before;
        let kept: BTreeSet<_> = before.intersection(&after.0).collect();
        let (mut lacking_since, mut refused_since) = (None, None);
        let tally = &mut self.tally;
        for seen in self.measured.since(start) {
            tally.pushes += 1;
            let lacks: Vec<_> =
                kept.iter().filter(|route| !seen.routes.contains(**route)).collect();
            let lost = lacks.iter().find(|route| !excused.missing.contains(object_of(route)));
            let step = self.step;
            assert!(lost.is_none(), "step {step} {deeds:#?}: {lost:?} was lost");
            let is_lacking = !lacks.is_empty();
            tally.lacking += usize::from(is_lacking);
            span(&mut lacking_since, is_lacking, seen.at, &mut tally.longest);
            // Not where what the user wants is refused, if only for a moment within this step.
            let is_refused = !seen.push.refusals.is_empty()
                && !*was_refused
                && !after.1
                && duplicates(&without_ours(&seen.push.config)).is_empty();
            let doubled = doubled(&seen.push.config);
            let unexcused = doubled.iter().find(|names| names.is_disjoint(&excused.doubled));
            assert!(
                !is_refused || !doubled.is_empty() && unexcused.is_none(),
                "step {step} {deeds:#?}: refused: {:?}, {unexcused:?} of {doubled:?}",
                seen.push.refusals
            );
            tally.refused += usize::from(is_refused);
            span(&mut refused_since, is_refused, seen.at, &mut tally.longest_refused);
        }
    }
}

/// What a step of the user may bring about for a moment, by the names of objects.
#[derive(Default)]
struct Excused {
    missing: BTreeSet<String>,
    doubled: BTreeSet<String>,
}

/// The Kong services and routes with two prometheus plugins: of each the names of the objects that
/// it was made from.
fn doubled(config: &Value) -> Vec<BTreeSet<String>> {
    let mut counts = BTreeMap::<_, usize>::new();
    for plugin in entries(&config["plugins"]).iter().filter(|one| one["name"] == "prometheus") {
        *counts.entry([&plugin["service"], &plugin["route"]].map(Value::as_str)).or_default() += 1;
    }
    let names = counts.into_iter().filter(|(_, count)| *count > 1).flat_map(|(on, _)| on);
    names
        .flatten()
        .map(|name| {
            let of_service = entries(&config["services"]).iter().find(|one| one["name"] == name);
            let tags =
                of_service.iter().flat_map(|one| entries(&one["tags"])).filter_map(Value::as_str);
            let names = tags.filter_map(|tag| tag.strip_prefix("k8s-name:"));
            names.chain([object_of(name)]).map(str::to_owned).collect()
        })
        .collect()
}

/// A configuration without the plugins of ours.
fn without_ours(config: &Value) -> Value {
    let mut config = config.clone();
    let is_ours = |plugin: &Value| {
        let mut tags = entries(&plugin["tags"]).iter().filter_map(Value::as_str);
        tags.any(|tag| tag.starts_with("k8s-name:") && tag.ends_with(OURS))
    };
    if let Some(plugins) = config["plugins"].as_array_mut() {
        plugins.retain(|plugin| !is_ours(plugin));
    }
    config
}

/// Notes how long something lasts at most.
fn span(since: &mut Option<Instant>, is: bool, now: Instant, longest: &mut Duration) {
    match (&since, is) {
        (None, true) => *since = Some(now),
        (Some(begin), false) => {
            *longest = (*longest).max(now - *begin);
            *since = None;
        }
        _ => {}
    }
}

/// Whether every Kong service that is of this Service alone has a prometheus plugin.
fn has_plugin_on(config: &Value, service: &str) -> bool {
    let tags = [format!("k8s-name:{service}"), "k8s-kind:Service".to_owned()];
    let is_of =
        |one: &&Value| tags.iter().all(|tag| entries(&one["tags"]).iter().any(|t| t == tag));
    entries(&config["services"])
        .iter()
        .filter(is_of)
        .all(|one| has_prometheus(config, "service", one))
}

fn has_plugin_on_routes(config: &Value, objects: &BTreeSet<String>) -> bool {
    let routes = entries(&config["services"]).iter().flat_map(|one| entries(&one["routes"]));
    let is_of = |route: &&Value| {
        let tags = entries(&route["tags"]).iter().filter_map(Value::as_str);
        let mut names = tags.filter_map(|tag| tag.strip_prefix("k8s-name:"));
        names.any(|name| objects.contains(name))
    };
    routes.filter(is_of).all(|route| has_prometheus(config, "route", route))
}

/// Whether there is a prometheus plugin on an entity of this kind: Kong Ingress Controller lists
/// plugins beside the entities, and names what they are on.
fn has_prometheus(config: &Value, kind: &str, entity: &Value) -> bool {
    let mut plugins = entries(&config["plugins"]).iter();
    plugins.any(|plugin| plugin["name"] == "prometheus" && plugin[kind] == entity["name"])
}

async fn a_gateway_loses_nothing_in_the_scenes_of_the_naive_way(cluster: Cluster) {
    let Some(mut rig) = Rig::start(&cluster).await else { return };
    let route = |name: &str, services: &[&str]| Deed::Route {
        name: name.to_owned(),
        rules: vec![services.iter().map(|service| ((*service).to_owned(), 1)).collect()],
    };
    let extension = |services: &[&str]| Deed::Extension {
        name: "e0".to_owned(),
        services: services.iter().map(|service| (*service).to_owned()).collect(),
        on_routes: false,
    };
    let list = |name: &str, list: Option<&str>| Deed::List {
        name: name.to_owned(),
        list: list.map(str::to_owned),
        is_appended: true,
    };
    // A plugin on the only backend.
    rig.step(&[route("r0", &["s0"]), extension(&["s0"])]).await;
    // On one of two backends, and on both.
    rig.step(&[route("r1", &["s1", "s2"])]).await;
    rig.step(&[extension(&["s0", "s1"])]).await;
    rig.step(&[extension(&["s0", "s1", "s2"])]).await;
    // A weighted route takes up a Service that is annotated.
    rig.step(&[route("r2", &["s0", "s3"])]).await;
    rig.step(&[Deed::NoRoute("r2".to_owned())]).await;
    rig.step(&[route("r0", &["s0", "s3"])]).await;
    rig.step(&[route("r0", &["s0"])]).await;
    // A second prometheus plugin.
    rig.step(&[list("s0", Some("prom"))]).await;
    rig.step(&[list("s0", None)]).await;
    rig.step(&[list("r1", Some("rate,prom"))]).await;
    rig.step(&[list("r1", None)]).await;
    println!("controlled: scenes: {:#?}", rig.tally);
    assert!(rig.tally.measured > 10);
}

async fn a_gateway_loses_nothing_whatever_users_do(cluster: Cluster) {
    let Some(mut rig) = Rig::start(&cluster).await else { return };
    let steps = from_environment("KONG_EXPORTER_CHURN_STEPS", 40);
    let seed = from_environment("KONG_EXPORTER_CHURN_SEED", 1);
    let mut random = Random::new(seed);
    let start = Instant::now();
    for _ in 0..steps {
        let count = 1 + random.below(2);
        let mut deeds = Vec::new();
        for _ in 0..count {
            deeds.push(rig.user.deed(&mut random));
        }
        rig.step(&deeds).await;
    }
    let took = start.elapsed();
    println!("controlled: churn, seed {seed}, {steps} steps in {took:.0?}: {:#?}", rig.tally);
    let longest = rig.tally.longest.max(rig.tally.longest_refused);
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    assert!(rig.tally.measured > 0);
}

/// How the names of our plugins end.
const OURS: &str = "-metrics-prometheus";
