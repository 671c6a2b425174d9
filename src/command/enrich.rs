//! `enrich`: one exposition from a file or standard input to standard output, through the same
//! rewriter and in the same steps as a scrape. For looking, testing and measuring.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::{self, Enrich};
use crate::mapping::Snapshot;
use crate::metrics::Metrics;
use crate::rewrite::stats::Drop;
use crate::rewrite::{FamilyFilter, LabelNames, Memo, Reason, Rewriter, Selection, Stats, Verdict};
use crate::source::{self, Source};
use crate::telemetry::Chain;

/// Why there is no output, or not all of it.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Mapping(#[from] source::Error),
    #[error("cannot open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read the input")]
    Read(#[source] io::Error),
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    #[error("the input is no exposition{}", place(": ", .0.as_ref()))]
    NotMetrics(Option<Drop>),
}

/// 0, or 1 if input or output failed or, with `--strict`, if a line was lost.
pub(super) fn run(arguments: &Enrich) -> ExitCode {
    let (labels, families) = match arguments.rules() {
        Ok(rules) => rules,
        Err(error) => return args::refuse(&error),
    };
    match enrich(arguments, labels, families) {
        Ok(stats) => {
            tell(&stats);
            let has_lost =
                Reason::ALL.iter().any(|r| r.loses_a_line() && stats.dropped_for(*r) > 0);
            if arguments.strict && has_lost { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        // Whoever read the output has seen enough, as in `enrich | head`.
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kong-metrics-exporter: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn enrich(
    arguments: &Enrich,
    labels: Arc<LabelNames>,
    families: Arc<FamilyFilter>,
) -> Result<Stats, Error> {
    let started = Instant::now();
    let snapshot = match &arguments.mapping.source {
        Source::None => Snapshot::default(),
        Source::File(path) => source::file::read(path)?,
        Source::Dir(path) => source::dir::read(path)?,
        followed @ (Source::Published(_) | Source::Watch) => {
            return Err(source::Error::Followed(followed.clone()).into());
        }
    };
    let rewriter = Rewriter::new(
        Arc::clone(&labels),
        families,
        Selection::default(),
        Arc::new(snapshot),
        Memo::default(),
    );
    let mut output = io::stdout().lock();
    let stats = stream(input(arguments.file.as_deref())?, rewriter, &mut output)?;
    if arguments.self_metrics {
        let metrics = Metrics::new(labels, &[]);
        metrics.kong_answered(&stats, Duration::ZERO, started.elapsed());
        let mut own = Vec::new();
        metrics.append(&Selection::default(), &mut own);
        output.write_all(&own).map_err(Error::Write)?;
    }
    output.flush().map_err(Error::Write)?;
    Ok(stats)
}

fn input(path: Option<&Path>) -> Result<Box<dyn Read>, Error> {
    match path {
        None => Ok(Box::new(io::stdin().lock())),
        Some(path) => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(source) => Err(Error::Open { path: path.to_owned(), source }),
        },
    }
}

/// All of `input` through `rewriter` to `output`. A last line without an end is taken as whole:
/// files are often written so.
fn stream(
    mut input: impl Read,
    mut rewriter: Rewriter,
    output: &mut impl Write,
) -> Result<Stats, Error> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut out = Vec::new();
    loop {
        let read = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Read(error)),
        };
        rewriter.push(chunk.get(..read).unwrap_or_default(), &mut out);
        if rewriter.verdict() == Verdict::SomethingElse {
            return Err(Error::NotMetrics(rewriter.into_parts().1.first_drop));
        }
        output.write_all(&out).map_err(Error::Write)?;
        out.clear();
    }
    rewriter.finish(&mut out);
    if rewriter.verdict() == Verdict::SomethingElse {
        return Err(Error::NotMetrics(rewriter.into_parts().1.first_drop));
    }
    output.write_all(&out).map_err(Error::Write)?;
    Ok(rewriter.into_parts().1)
}

/// On stderr, how many lines were dropped for each reason, and the first that was lost.
fn tell(stats: &Stats) {
    for reason in Reason::ALL {
        let lines = match stats.dropped_for(reason) {
            0 => continue,
            1 => "1 line".to_owned(),
            lines => format!("{lines} lines"),
        };
        let drop = stats.first_drop.as_ref().filter(|drop| drop.reason == reason);
        eprintln!(
            "kong-metrics-exporter: {lines} dropped: {}{}",
            reason.as_str(),
            place(", the first where ", drop)
        );
    }
}

fn place(before: &str, drop: Option<&Drop>) -> String {
    drop.map_or_else(String::new, |Drop { at, expected, excerpt, .. }| {
        format!("{before}{expected} was expected at byte {at} of: {excerpt}")
    })
}

/// As a sidecar reads.
const CHUNK_BYTES: usize = 64 * 1024;
