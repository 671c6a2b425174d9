//! What the mapping of a large cluster costs. In: how many HTTPRoutes. Out: CPU time of making it
//! from scratch, of one change, of a name that is looked up; memory.
//!
//! ```text
//! cargo bench --bench resolve -- [--routes N] [--rounds N] [--record]
//! ```
//! The cluster: N HTTPRoutes of one rule each in N/100 namespaces, half of the rules with two
//! backends, as many Services as routes, Kong's controllers set up as named in each row. Memory is
//! that of a process of its own, which is given the objects in pages, as an API server lists them.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use kong_metrics_exporter::kubernetes::types::{BackendRef, ParentRef, RouteRule, RouteSpec};
use kong_metrics_exporter::kubernetes::{Metadata, Object, Spec};
use kong_metrics_exporter::mapping::name::{MAX_BYTES, decode};
use kong_metrics_exporter::mapping::{Label, Snapshot};
use kong_metrics_exporter::resolve::{Flavor, Index, Settings, Switch};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[allow(dead_code)] // the other bench uses the rest
#[path = "support/measure.rs"]
mod measure;

/// Counts what is allocated. It slows what allocates by a few percent.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

type Error = Box<dyn std::error::Error>;

/// Measures the resolver.
#[derive(Parser)]
struct Arguments {
    /// How many HTTPRoutes there are.
    #[arg(long, default_value_t = 50_000)]
    routes: usize,
    /// How often each row is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Add the tables to benches/results.
    #[arg(long)]
    record: bool,
    /// Do nothing but hold the mapping of this controller, and say how much memory that takes.
    #[arg(long, hide = true)]
    hold: Option<usize>,
    /// Do nothing but make the mapping of this controller, for callgrind.
    #[arg(long)]
    once: Option<usize>,
    /// Cargo says this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let Arguments { routes, rounds, record, hold, once, .. } = arguments;
    if let Some(controller) = hold {
        return hold_mapping(&settings_of(*controller)?, *routes);
    }
    if let Some(controller) = once {
        black_box(filled(&settings_of(*controller)?, *routes).snapshot());
        return Ok(());
    }
    let mut report = String::new();
    writeln!(report, "## The mapping of {routes} HTTPRoutes\n")?;
    writeln!(report, "{}; {}.", measure::machine(), measure::pin_to_one_core())?;
    writeln!(
        report,
        "`cargo bench --bench resolve -- --routes {routes} --rounds {rounds}`. CPU time, median of \
         {rounds}; changes of {CHANGES} routes, one at a time; deletions of {DELETIONS} routes at \
         once.\n"
    )?;
    writeln!(
        report,
        "| controller | names | apply all | snapshot | one change: apply, update | slowest | \
         deletions |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for (name, settings) in controllers() {
        let [names, rest @ ..] = times(&settings, *routes, *rounds)?;
        let rest: Vec<_> = rest.iter().map(|time| format!("{time:.1?}")).collect();
        writeln!(report, "| {name} | {} | {} |", names.as_nanos(), rest.join(" | "))?;
    }
    writeln!(
        report,
        "\n| controller | index, MiB | snapshot, MiB | allocations | resident in all, MiB | at most | \
         after {CHANGES} changes |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for (number, (name, _)) in controllers().into_iter().enumerate() {
        let own = std::env::current_exe()?;
        let arguments = ["--hold", &number.to_string(), "--routes", &routes.to_string()];
        let output = Command::new(own).args(arguments).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        writeln!(report, "| {name} | {} |", String::from_utf8_lossy(&output.stdout).trim())?;
    }
    writeln!(report, "\n| a name | bytes | time | allocations |\n| --- | ---: | ---: | ---: |")?;
    for (what, name, nanoseconds, allocations) in names(*routes)? {
        writeln!(report, "| {what} | {} | {nanoseconds:.0} ns | {allocations} |", name.len())?;
    }
    print!("{report}");
    if *record {
        let name = format!("{}.md", measure::file_stem());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results").join(name);
        let mut file = std::fs::File::options().create(true).append(true).open(path)?;
        writeln!(file, "{report}")?;
    }
    Ok(())
}

/// Kong's controllers as they come, and the names of all of them.
fn controllers() -> [(&'static str, Settings); 3] {
    let operator = Settings { flavor: Flavor::KongOperator, ..Settings::default() };
    let kic = Settings { flavor: Flavor::Kic, combined: Switch::Off, ..Settings::default() };
    [
        ("Kong Operator", Settings { combined: Switch::On, ..operator }),
        ("Kong Ingress Controller", kic),
        ("auto", Settings::default()),
    ]
}

fn settings_of(controller: usize) -> Result<Settings, Error> {
    let (_, settings) = controllers().into_iter().nth(controller).ok_or("no such controller")?;
    Ok(settings)
}

fn filled(settings: &Settings, routes: usize) -> Index {
    let mut index = Index::new(settings.clone());
    for number in 0..routes {
        objects(number).into_iter().for_each(|object| index.apply(object));
    }
    index
}

/// The number of names, and what each column costs.
fn times(settings: &Settings, routes: usize, rounds: usize) -> Result<[Duration; 6], Error> {
    let mut costs = [const { Vec::new() }; 5];
    let mut names = 0;
    for _ in 0..rounds.max(1) {
        let objects: Vec<_> = (0..routes).flat_map(objects).collect();
        let mut index = Index::new(settings.clone());
        let (apply, ()) = measure::cpu(|| objects.into_iter().for_each(|one| index.apply(one)));
        let (build, mut snapshot) =
            measure::cpu(|| index.update(&Snapshot::default(), Instant::now()));
        names = snapshot.len() as u64;
        let mut changes = Vec::new();
        for number in 0..CHANGES.min(routes) {
            let changed = changed_route(number * 7919 % routes);
            let (cost, after) = measure::cpu(|| {
                index.apply(changed);
                index.update(&snapshot, Instant::now())
            });
            if after.iter().eq(snapshot.iter()) {
                return Err("the change changed nothing".into());
            }
            snapshot = after;
            changes.push(cost);
        }
        let slowest = changes.iter().max().copied().unwrap_or_default();
        let keys: Vec<_> = (0..routes.min(DELETIONS)).map(|number| route(number).key()).collect();
        let (delete, after) = measure::cpu(|| {
            keys.iter().for_each(|key| index.delete(key));
            index.update(&snapshot, Instant::now())
        });
        if after.retained_len() == 0 {
            return Err("the deletions deleted nothing".into());
        }
        for (all, one) in costs.iter_mut().zip([apply, build, median(changes), slowest, delete]) {
            all.push(one);
        }
    }
    let [apply, build, change, slowest, delete] = costs.map(median);
    Ok([Duration::from_nanos(names), apply, build, change, slowest, delete])
}

/// Prints the columns of the table of memory.
fn hold_mapping(settings: &Settings, routes: usize) -> Result<(), Error> {
    const MIB: f64 = 1024.0 * 1024.0;
    let start = measure::rss_kib();
    let region = Region::new(ALLOCATOR);
    let mut index = Index::new(settings.clone());
    for first in (0..routes).step_by(PAGE) {
        let page = first..routes.min(first + PAGE);
        let page = black_box(page.flat_map(objects).collect::<Vec<_>>());
        page.into_iter().for_each(|object| index.apply(object));
    }
    let allocated = || region.change().bytes_allocated - region.change().bytes_deallocated;
    let of_index = allocated();
    let mut snapshot = index.update(&Snapshot::default(), Instant::now());
    let of_snapshot = allocated() - of_index;
    let blocks = region.change().allocations - region.change().deallocations;
    let (held, peak) = (measure::rss_kib() - start, measure::peak_rss_kib() - start);
    for number in 0..CHANGES.min(routes) {
        index.apply(changed_route(number * 7919 % routes));
        snapshot = index.update(&snapshot, Instant::now());
    }
    let after = measure::rss_kib() - start;
    black_box((&index, &snapshot));
    print!("{:.1} | {:.1} | {blocks}", of_index as f64 / MIB, of_snapshot as f64 / MIB);
    for kib in [held, peak, after] {
        print!(" | {:.1}", kib as f64 / 1024.0);
    }
    println!();
    Ok(())
}

/// What is done with which name, how many nanoseconds that takes and how many allocations.
fn names(routes: usize) -> Result<Vec<(&'static str, String, f64, usize)>, Error> {
    let snapshot = filled(&settings_of(0)?, routes).snapshot();
    let name = snapshot.iter().nth(routes / 3).map(|(name, _)| name.to_owned());
    let name = name.ok_or("no such name")?;
    let mut long = "httproute.web.svc.".to_owned();
    for number in 0.. {
        let separator = if number > 0 { "_" } else { "" };
        let backend = format!("{separator}web.checkout-{number}.8080.1");
        if long.len() + backend.len() > MAX_BYTES {
            break;
        }
        long.push_str(&backend);
    }
    let missing = MAX_BYTES - long.len();
    let long = long.replacen("checkout", &format!("checkout{}", "x".repeat(missing)), 1);
    decode(Label::Service, &long).map_err(|why| why.to_string())?;
    let (lookup, of_lookup) = each(|| {
        black_box(snapshot.find(Label::Service, black_box(&name)));
    });
    let (decoding, of_decoding) = each(|| {
        black_box(decode(Label::Service, black_box(&long)).is_ok());
    });
    Ok(vec![
        ("looked up in the snapshot", name, lookup, of_lookup),
        ("decoded", long, decoding, of_decoding),
    ])
}

/// Nanoseconds of CPU time and allocations of one call.
fn each(mut work: impl FnMut()) -> (f64, usize) {
    let region = Region::new(ALLOCATOR);
    work();
    let allocations = region.change().allocations;
    let best = (0..10).map(|_| measure::cpu(|| (0..CALLS).for_each(|_| work())).0).min();
    (best.unwrap_or_default().as_secs_f64() * 1e9 / f64::from(CALLS), allocations)
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

/// How many routes are deleted at once.
const DELETIONS: usize = 10_000;

/// How many objects an API server puts on a page.
const PAGE: usize = 500;

/// How often a name is looked up.
const CALLS: u32 = 100_000;
