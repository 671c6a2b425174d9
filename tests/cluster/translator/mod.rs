//! Against the real translator: a random stream of objects goes through the API server to a real
//! Kong Ingress Controller, and after each step every Kong service that it has pushed must resolve,
//! through our resolver, our watch and our published mapping, to what its targets and tags show. README.md says how to run more.

mod book;
pub(crate) mod controller;
mod excuses;
pub(crate) mod fixtures;
mod judge;
mod mappings;
mod others;
pub(crate) mod random;
mod routes;
mod run;
mod stream;

use std::str::FromStr;

use crate::harness::{Cluster, Test, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![Shared:
        separate_services_under_the_traditional_router,
        separate_services_under_the_expressions_router,
        combined_services_under_the_traditional_router,
        combined_services_under_the_expressions_router,
    ]
}

async fn separate_services_under_the_traditional_router(cluster: Cluster) {
    agree(&cluster, Flavor { is_combined: false, has_expressions: false }).await;
}

async fn separate_services_under_the_expressions_router(cluster: Cluster) {
    agree(&cluster, Flavor { is_combined: false, has_expressions: true }).await;
}

async fn combined_services_under_the_traditional_router(cluster: Cluster) {
    agree(&cluster, Flavor { is_combined: true, has_expressions: false }).await;
}

async fn combined_services_under_the_expressions_router(cluster: Cluster) {
    agree(&cluster, Flavor { is_combined: true, has_expressions: true }).await;
}

/// How Kong and its controller are set up.
#[derive(Debug, Clone, Copy)]
struct Flavor {
    /// The feature gate CombinedServicesFromDifferentHTTPRoutes.
    is_combined: bool,
    /// Whether Kong's router is `expressions`.
    has_expressions: bool,
}

async fn agree(cluster: &Cluster, flavor: Flavor) {
    let Some(kic) = &cluster.plane.binaries.kic else {
        let is_required = std::env::var("KONG_EXPORTER_CLUSTER").is_ok_and(|is| is == "required");
        assert!(!is_required, "kic is not built; tests/cluster/build kic builds it");
        println!("not run: {flavor:?}: kic is not built; tests/cluster/build kic builds it");
        return;
    };
    let steps = from_environment("KONG_EXPORTER_TRANSLATOR_STEPS", 100);
    let seed: u64 = from_environment("KONG_EXPORTER_TRANSLATOR_SEED", 1);
    let seed = 4 * seed + 2 * u64::from(flavor.is_combined) + u64::from(flavor.has_expressions);
    println!("{flavor:?}: seed {seed}, {steps} steps");
    let run = run::run(cluster, kic, flavor, seed, steps).await;
    let tally = run.unwrap_or_else(|error| panic!("{flavor:?}, seed {seed}, {error}"));
    println!("{flavor:?}: seed {seed}: {tally:#?}");
}

pub(crate) fn from_environment<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}
