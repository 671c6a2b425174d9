//! What the mapping of a large cluster costs. In: how many HTTPRoutes. Out: CPU time of making it
//! from scratch and of one change.
//!
//! ```text
//! cargo bench --bench resolve -- [--routes N] [--rounds N]
//! ```
//! The cluster: N HTTPRoutes of one rule each in N/100 namespaces, half of the rules with two
//! backends, as many Services as routes, Kong's controllers set up as named in each row.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use kong_metrics_exporter::kubernetes::types::{BackendRef, ParentRef, RouteRule, RouteSpec};
use kong_metrics_exporter::kubernetes::{Metadata, Object, Spec};
use kong_metrics_exporter::resolve::{Flavor, Index, Settings, Switch};

#[allow(dead_code)] // the other bench uses the rest
#[path = "support/measure.rs"]
mod measure;

/// Measures the resolver.
#[derive(Parser)]
struct Arguments {
    /// How many HTTPRoutes there are.
    #[arg(long, default_value_t = 50_000)]
    routes: usize,
    /// How often each row is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Cargo says this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { routes, rounds, .. } = Arguments::parse();
    println!("{}, {}", measure::machine(), measure::pin_to_one_core());
    println!("{routes} HTTPRoutes, median of {rounds}; changes of {CHANGES} routes; CPU time\n");
    println!(
        "| controller | names | apply all | snapshot | one change: apply, changes | slowest |"
    );
    println!("|---|---|---|---|---|---|");
    let operator = Settings { flavor: Flavor::KongOperator, ..Settings::default() };
    for (name, settings) in [
        ("Kong Operator", Settings { combined: Switch::On, ..operator }),
        (
            "Kong Ingress Controller",
            Settings { flavor: Flavor::Kic, combined: Switch::Off, ..Settings::default() },
        ),
        ("auto", Settings::default()),
    ] {
        let mut costs = [const { Vec::new() }; 4];
        let mut names = 0;
        for _ in 0..rounds.max(1) {
            let objects: Vec<_> = (0..routes).flat_map(objects).collect();
            let mut index = Index::new(settings.clone());
            let (apply, ()) = measure::cpu(|| objects.into_iter().for_each(|one| index.apply(one)));
            let (build, snapshot) = measure::cpu(|| index.snapshot());
            names = snapshot.len();
            index.changes();
            let mut changes = Vec::new();
            for number in 0..CHANGES.min(routes) {
                let changed = changed_route(number * 7919 % routes);
                let (cost, told) = measure::cpu(|| {
                    index.apply(changed);
                    index.changes()
                });
                if told.is_empty() {
                    println!("the change changed nothing");
                    return ExitCode::FAILURE;
                }
                changes.push(cost);
            }
            let slowest = changes.iter().max().copied().unwrap_or_default();
            for (all, one) in costs.iter_mut().zip([apply, build, median(changes), slowest]) {
                all.push(one);
            }
        }
        let [apply, build, change, slowest] = costs.map(median);
        println!("| {name} | {names} | {apply:.1?} | {build:.1?} | {change:.1?} | {slowest:.1?} |");
    }
    ExitCode::SUCCESS
}

/// The route with its backends in another order and one more rule.
fn changed_route(number: usize) -> Object {
    let mut changed = route(number);
    if let Spec::HTTPRoute(spec) = &mut changed.spec {
        spec.rules.iter_mut().for_each(|rule| rule.backend_refs.reverse());
        spec.rules.push(RouteRule::default());
    }
    changed
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

/// A route and the Service that is its first backend.
fn objects(number: usize) -> [Object; 2] {
    let metadata = metadata(number, format!("service-{number}"));
    [route(number), Object { metadata, spec: Spec::Service }]
}

fn route(number: usize) -> Object {
    let backend = |number: usize| BackendRef {
        group: Some(String::new()),
        kind: Some("Service".to_owned()),
        name: format!("service-{number}"),
        port: Some(80),
        weight: Some(1),
        ..BackendRef::default()
    };
    // The Service before it is in the same namespace but for one in a hundred.
    let backends = (number.saturating_sub(number % 2)..=number).map(backend).collect();
    let spec = RouteSpec {
        parent_refs: vec![ParentRef { name: "kong".to_owned(), ..ParentRef::default() }],
        hostnames: vec![format!("{number}.example.com")],
        rules: vec![RouteRule { backend_refs: backends, ..RouteRule::default() }],
    };
    Object { metadata: metadata(number, format!("route-{number}")), spec: Spec::HTTPRoute(spec) }
}

fn metadata(number: usize, name: String) -> Metadata {
    let namespace = format!("namespace-{}", number / 100);
    Metadata {
        name,
        namespace,
        creation_timestamp: Some("2026-01-01T00:00:00Z".to_owned()),
        ..Metadata::default()
    }
}

/// How many routes change, one at a time.
const CHANGES: usize = 100;
