//! How fast the rewriter is, beside what it is measured against. In: a size and an order. Out: a
//! table in Markdown, every row from the same run on the same core, taken in turns.
//!
//! ```text
//! cargo bench --bench rewrite -- [--size 1m|30m|137m] [--order oss|grouped] [--rounds N]
//!                                [--peers PATH] [--record] [--self-check] [--smoke]
//! ```
//! `--peers` (or PEERS_GO) names the program of the contestants in Go; without it their rows are
//! missing and the table says so. `--record` adds the table to `benches/results`. `--smoke` only
//! checks, in a second, that what is measured is right; `--self-check` checks the big body too.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use contestants::{Contestant, Input};
use files::Files;
use generator::{Load, Order};
use peers::Peers;
use report::{Once, Row};

#[path = "support/check.rs"]
mod check;
#[path = "support/contestants.rs"]
mod contestants;
#[path = "support/files.rs"]
mod files;
#[allow(dead_code)] // the tests use the rest
#[path = "support/generator.rs"]
mod generator;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/peers.rs"]
mod peers;
#[path = "support/report.rs"]
mod report;

/// Counts allocations. It slows what allocates for every line by a few percent, and nothing else.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

type Error = Box<dyn std::error::Error>;

/// Measures the rewriter beside its peers.
#[derive(Parser)]
struct Arguments {
    /// How big a body.
    #[arg(long, value_enum, default_value = "30m")]
    size: Size,
    /// In which order its lines come.
    #[arg(long, value_enum, default_value = "oss")]
    order: LineOrder,
    /// How often each contestant is run, in turns.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The contestants in Go, built.
    #[arg(long, env = "PEERS_GO")]
    peers: Option<PathBuf>,
    /// Adds the table to benches/results.
    #[arg(long)]
    record: bool,
    /// Checks the generator's 137 MB against their known hash, then as --smoke.
    #[arg(long)]
    self_check: bool,
    /// Checks that outputs are equal, on a small body; measures nothing.
    #[arg(long)]
    smoke: bool,
    /// Writes the files and prints, for scripts, where they are and on which machine.
    #[arg(long)]
    files: bool,
    /// Runs one contestant alone and prints its allocations and memory. This program calls itself so.
    #[arg(long, hide = true)]
    once: Option<usize>,
    /// How many passes --once makes.
    #[arg(long, hide = true, default_value_t = 2)]
    passes: usize,
    /// Cargo says this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Size {
    #[value(name = "1m")]
    OneMegabyte,
    #[value(name = "30m")]
    ThirtyMegabytes,
    #[value(name = "137m")]
    Huge,
}

#[derive(Clone, Copy, ValueEnum)]
enum LineOrder {
    Oss,
    Grouped,
}

impl Size {
    fn load(self) -> Load {
        match self {
            Self::OneMegabyte => Load::one_route_each(111),
            Self::ThirtyMegabytes => Load::one_route_each(3_300),
            Self::Huge => Load::huge(),
        }
    }
}

/// As it is written on the command line.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Where this machine's tables of today are kept.
fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("benches/results/{}.md", measure::file_stem()))
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
    if arguments.self_check {
        check::generator()?;
    }
    if arguments.self_check || arguments.smoke {
        for order in [Order::Oss, Order::Grouped] {
            check::rewriter(&Load::one_route_each(60), order, arguments.peers.as_deref())?;
        }
        println!("outputs are equal for every chunk size, in both orders");
        return Ok(());
    }
    let load = arguments.size.load();
    let order = match arguments.order {
        LineOrder::Oss => Order::Oss,
        LineOrder::Grouped => Order::Grouped,
    };
    let (name, order_name) = (word(arguments.size), word(arguments.order));
    let stem = format!("{name}-{order_name}");
    if let Some(index) = arguments.once {
        return run_once(index, arguments.passes, &Files::named(&stem));
    }
    let files = Files::write(&stem, &load, order)?;
    if arguments.files {
        println!("{files}machine='{}'\nresults={}", measure::machine(), results().display());
        return Ok(());
    }
    let pinned = measure::pin_to_one_core();
    let input = files.read()?;
    let peers = arguments.peers.as_ref().map(|program| files.peers(program));
    let rows = measure_all(&input, peers.as_ref(), arguments)?;

    let mut text = format!(
        "## In process, {name}, {order_name} order\n\n{}; {pinned}.\n`cargo bench --bench rewrite -- --size {name} --order {order_name} --rounds {}{}`\n\n",
        measure::machine(),
        arguments.rounds,
        if peers.is_some() { " --peers PATH" } else { "" },
    );
    text.push_str(&report::table(&rows, &input, &load));
    if peers.is_none() {
        text.push_str("\nThe contestants in Go were absent (`--peers`): no ratios to them.\n");
    }
    println!("{text}");
    if arguments.record {
        fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results"))?;
        let mut file = File::options().create(true).append(true).open(results())?;
        writeln!(file, "{text}")?;
    }
    Ok(())
}

/// Everybody once a round, so that a noisy minute hits all alike.
fn measure_all(
    input: &Input,
    peers: Option<&Peers>,
    arguments: &Arguments,
) -> Result<Vec<Row>, Error> {
    let mut contestants = contestants::all();
    let mut rows: Vec<Row> = contestants.iter().map(|c| Row::new(c.name)).collect();
    let mut peer_rows: Vec<Row> = peers::NAMES.iter().map(|name| Row::new(name)).collect();
    for (Contestant { run, .. }, row) in contestants.iter_mut().zip(&mut rows) {
        run(input); // warms the caches, and the memos that are kept
        row.once = Some(once_alone(arguments, row.name)?);
    }
    // A small body is done before the clock and the caches have settled: do it several times.
    let passes = (30_000_000 / input.body.len()).max(1);
    for _ in 0..arguments.rounds {
        for (Contestant { run, .. }, row) in contestants.iter_mut().zip(&mut rows) {
            let times = (0..passes).map(|_| measure::cpu(|| run(input)).0.as_secs_f64());
            row.add_round(times.collect());
        }
        for row in &mut peer_rows {
            let Some(peers) = peers else { continue };
            let pass = peers.bench(row.name, passes)?;
            row.add_round(vec![pass.min, pass.med]);
            row.once = Some(Once {
                allocations: pass.allocs,
                rss_over_kib: u64::try_from(pass.rss_over_kb).unwrap_or(0),
            });
        }
    }
    if peers.is_some() {
        rows.extend(peer_rows);
    }
    Ok(rows)
}

/// A process of its own for each, so that no contestant's memory shows up in another's row.
fn once_alone(arguments: &Arguments, name: &str) -> Result<Once, Error> {
    let index = contestants::all().iter().position(|c| c.name == name).unwrap_or(0);
    let output = Command::new(std::env::current_exe()?)
        .args(["--size", &word(arguments.size)])
        .args(["--order", &word(arguments.order)])
        .args(["--once", &index.to_string()])
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The first pass fills what is kept between scrapes; the second is what a scrape costs.
fn run_once(index: usize, passes: usize, files: &Files) -> Result<(), Error> {
    let input = files.read()?;
    let mut contestants = contestants::all();
    let contestant = contestants.get_mut(index).ok_or("no such contestant")?;
    measure::forget_peak_rss();
    let before = measure::rss_kib();
    (contestant.run)(&input);
    let rss_over_kib = measure::peak_rss_kib().saturating_sub(before);
    let region = Region::new(ALLOCATOR);
    for _ in 1..passes {
        (contestant.run)(&input);
    }
    let change = region.change();
    let allocations = change.allocations + change.reallocations;
    let once = Once { allocations: (allocations / (passes - 1).max(1)) as u64, rss_over_kib };
    println!("{}", serde_json::to_string(&once)?);
    Ok(())
}
