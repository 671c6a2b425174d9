//! From measurements to a table in Markdown.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::contestants::{FLOOR, Input, OURS};
use crate::generator::Load;
use crate::peers::EXPFMT;

/// What one contestant cost.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// CPU seconds of each round: of its best pass, and of the one in the middle.
    rounds: Vec<(f64, f64)>,
    pub(crate) once: Option<Once>,
}

/// What one pass of one contestant, alone in a process, took besides time.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub(crate) struct Once {
    /// In one pass that is not the first.
    pub(crate) allocations: u64,
    /// Resident at the most, over what the input takes.
    pub(crate) rss_over_kib: u64,
}

impl Row {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new(), once: None }
    }

    /// Adds the passes of one round, in CPU seconds.
    pub(crate) fn add_round(&mut self, mut passes: Vec<f64>) {
        passes.sort_by(f64::total_cmp);
        if let (Some(&best), Some(&middle)) = (passes.first(), passes.get(passes.len() / 2)) {
            self.rounds.push((best, middle));
        }
    }

    fn best(&self) -> f64 {
        self.rounds.iter().map(|(best, _)| *best).fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        let mut sorted: Vec<f64> = self.rounds.iter().map(|(_, middle)| *middle).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::INFINITY)
    }
}

/// The table, best first, and what it says about the rewriter.
pub(crate) fn table(rows: &[Row], input: &Input, load: &Load) -> String {
    let find = |name| rows.iter().find(|row| row.name == name);
    let gigabytes = input.body.len() as f64 / 1e9;
    let mut text = String::new();
    let lines = memchr::memchr_iter(b'\n', &input.body).count();
    let _ = writeln!(
        text,
        "Body: {:.1} MB, {lines} lines, {} services x {} routes; mapping of 5,000 services; written: {:.1} MB. CPU time.\n",
        gigabytes * 1e3,
        load.services.end - load.services.start,
        load.routes.end(),
        input.output_bytes as f64 / 1e6,
    );
    text.push_str("| contestant | GB/s of input, best | median | x go-expfmt-rewrite | of the memcpy | allocations a scrape | RSS over the input, MiB |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    let none = || "-".to_owned();
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| a.best().total_cmp(&b.best()));
    for row in sorted {
        let ratio = |to: Option<&Row>| to.map(|to| to.best() / row.best());
        let _ = writeln!(
            text,
            "| {} | {:.3} | {:.3} | {} | {} | {} | {} |",
            if row.name == OURS { format!("**{OURS}**") } else { row.name.to_owned() },
            gigabytes / row.best(),
            gigabytes / row.median(),
            ratio(find(EXPFMT)).map_or_else(none, |x| format!("{x:.1}")),
            ratio(find(FLOOR)).map_or_else(none, |x| format!("{:.1} %", 100.0 * x)),
            row.once.map_or_else(none, |once| once.allocations.to_string()),
            row.once.map_or_else(none, |once| format!("{:.1}", once.rss_over_kib as f64 / 1024.0)),
        );
    }
    text
}
