//! One body, chunk by chunk. In: bytes of an exposition, cut anywhere. Out: the same bytes with the
//! labels of Kubernetes Services, less what is not an exposition; and counts of all that happened.
//!
//! Bytes that do not change are copied in runs that end only where something does change: in Kong's
//! usual output one run goes from behind the label name `service` of one line to the one of the next.
//! What to change is decided once for a run of lines that agree in what the decision rests on.

use std::sync::Arc;

use memchr::{memchr_iter, memchr2};

use super::dictionary::Dictionaries;
use super::families::{Families, Verdict as Metadata};
use super::memo::Memo;
use super::sample::{Action, Decider, Metric};
use super::stats::Drop;
use super::{FamilyFilter, LabelNames, Reason, Selection, Stats};
use crate::exposition::frame::{Frame, Next};
use crate::exposition::grammar::{self, Dialect, Line};
use crate::exposition::quick::{Kept, Quick};
use crate::exposition::{Layout, MAX_LINE};
use crate::mapping::Snapshot;

/// Rewrites one body, chunk by chunk.
#[derive(Debug)]
pub struct Rewriter {
    decider: Decider,
    dictionaries: Dictionaries,
    stats: Stats,
    dialect: Dialect,
    frame: Frame,
    quick: Quick,
    /// The layout of a line that went through the grammar.
    layout: Layout,
    /// The last line that [`Quick`] read, if it is not in the current chunk.
    previous: Vec<u8>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    verdict: Verdict,
    /// OpenMetrics: `# EOF` has been read.
    ended: bool,
}

/// What the first record of a body says about the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing but blank lines so far.
    Undecided,
    /// The first record is a line of an exposition.
    Exposition,
    /// It is not: HTML, JSON, a byte order mark.
    SomethingElse,
}

impl Rewriter {
    /// Starts a body. `memo` may come from any earlier scrape.
    pub fn new(
        labels: Arc<LabelNames>,
        filter: Arc<FamilyFilter>,
        selection: Selection,
        snapshot: Arc<Snapshot>,
        mut memo: Memo,
    ) -> Self {
        memo.begin(&snapshot, &labels);
        Self {
            decider: Decider::new(labels, memo, Families::new(filter, selection)),
            dictionaries: Dictionaries::default(),
            stats: Stats::default(),
            dialect: Dialect::Text,
            frame: Frame::new(Dialect::Text),
            quick: Quick::default(),
            layout: Layout::default(),
            previous: Vec::new(),
            partial: Vec::new(),
            verdict: Verdict::Undecided,
            ended: false,
        }
    }

    /// Reads another dialect than Kong's.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self.frame = Frame::new(dialect);
        self
    }

    /// Takes the next chunk, of any size, and appends to `out` what can be said by now.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.stats.bytes_in += chunk.len() as u64;
        let before = out.len();
        let mut chunk = chunk;
        while !self.partial.is_empty() && !chunk.is_empty() {
            chunk = self.push_partial(chunk, out);
        }
        if !chunk.is_empty() {
            let done = self.records(chunk, false, out);
            self.partial.extend_from_slice(&chunk[done..]);
        }
        self.stats.bytes_out += (out.len() - before) as u64;
    }

    /// Ends the body: appends what was held back. Returns whether the body ended as a whole one
    /// does: with a line end (in OpenMetrics with `# EOF`). Where it did not, the last line is
    /// complete only if the transport says so: `12` may be the beginning of `123`.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let mut whole = true;
        let before = out.len();
        if !self.partial.is_empty() {
            let mut partial = std::mem::take(&mut self.partial);
            if !partial.ends_with(b"\n") {
                whole = false;
                partial.push(b'\n');
            }
            let done = self.records(&partial, true, out);
            debug_assert_eq!(done, partial.len());
        }
        self.stats.bytes_out += (out.len() - before) as u64;
        self.stats.dictionary = self.dictionaries.fullest();
        whole && (self.dialect == Dialect::Text || self.ended)
    }

    /// What the first record said.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Counts so far. The dictionary is known when the body has ended.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Gives back the memo for the next scrape, and the counts.
    pub fn into_parts(self) -> (Memo, Stats) {
        (self.decider.memo, self.stats)
    }

    /// Completes a line that began in an earlier chunk; returns what is left of this one.
    fn push_partial<'a>(&mut self, chunk: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        // Only a newline or a quote can end a line or open the question anew.
        let room = MAX_LINE.saturating_sub(self.partial.len());
        let take = match memchr2(b'\n', b'"', &chunk[..room.min(chunk.len())]) {
            Some(at) if !self.partial.contains(&b'\n') => line_end(chunk, at, room),
            _ => room.min(chunk.len()),
        };
        let (head, rest) = chunk.split_at(take);
        self.partial.extend_from_slice(head);
        let partial = std::mem::take(&mut self.partial);
        let done = self.records(&partial, false, out);
        self.partial = partial;
        self.partial.drain(..done);
        rest
    }

    /// Rewrites the whole lines of `bytes`; returns how many bytes they are.
    fn records(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        let stored = std::mem::take(&mut self.previous);
        let mut previous: Option<&[u8]> = None;
        let (mut at, mut copied) = (0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let clear = self.frame.is_clear();
            if clear && let Some(kept) = self.quick.scan(previous.unwrap_or(&stored), rest) {
                let length = self.quick.layout().end as usize;
                let line = &rest[..length];
                if !self.decider.decision().holds(kept) {
                    self.note_first(Verdict::Exposition);
                    self.decider.decide(line, self.quick.layout(), kept, &mut self.stats);
                }
                self.stats.samples_in += 1;
                match self.decider.decision().action {
                    Action::Keep => {}
                    Action::Splice { name, text } => {
                        out.extend_from_slice(&bytes[copied..at + name.start as usize]);
                        out.extend_from_slice(self.decider.memo.text(text));
                        copied = at + name.end as usize;
                        self.stats.samples_rewritten += 1;
                    }
                    Action::Omit => {
                        self.stats.samples_unselected += 1;
                        out.extend_from_slice(&bytes[copied..at]);
                        copied = at + length;
                    }
                }
                if self.decider.decision().metric == Metric::Dictionary {
                    self.dictionaries.observe(line, self.quick.layout());
                }
                previous = Some(line);
                at += length;
                continue;
            }
            if clear {
                self.quick.forget();
            }
            let mut layout = std::mem::take(&mut self.layout);
            let next = self.frame.next(rest, last, &mut layout);
            let length = match next {
                Next::Line(_, length) | Next::Malformed { length, .. } => length,
                Next::TooLong(length) | Next::Skip(length) => length,
                Next::More => {
                    self.layout = layout;
                    break;
                }
            };
            let line = &rest[..length];
            match self.by_grammar(next, line, &layout) {
                Passed::AsItIs => {}
                Passed::Not => {
                    out.extend_from_slice(&bytes[copied..at]);
                    copied = at + length;
                }
                Passed::Changed => {
                    out.extend_from_slice(&bytes[copied..at]);
                    self.write_changed(line, &layout, out);
                    copied = at + length;
                }
            }
            self.layout = layout;
            at += length;
        }
        out.extend_from_slice(&bytes[copied..at]);
        self.previous = stored;
        if let Some(line) = previous {
            self.previous.clear();
            self.previous.extend_from_slice(line);
        }
        at
    }

    /// Only the first record has a say: good lines behind a bad first one change nothing.
    fn note_first(&mut self, verdict: Verdict) {
        if self.verdict == Verdict::Undecided {
            self.verdict = verdict;
        }
    }

    /// A line that is not of Kong's usual shape, or not a sample.
    fn by_grammar(&mut self, next: Next<'_>, line: &[u8], layout: &Layout) -> Passed {
        self.note_first(match next {
            Next::Line(Line::Blank, _) => Verdict::Undecided,
            Next::Line(..) => Verdict::Exposition,
            _ => Verdict::SomethingElse,
        });
        match next {
            _ if self.ended => self.drop(Reason::Malformed, line, 0, "nothing after # EOF"),
            Next::Line(Line::Blank | Line::Comment, _) | Next::More => Passed::AsItIs,
            Next::Line(Line::Eof, _) => {
                self.ended = true;
                Passed::AsItIs
            }
            Next::Line(Line::Help(family), _) => {
                let verdict = self.decider.families.help(family);
                self.metadata(verdict, line)
            }
            Next::Line(Line::Type(family, kind), _) => {
                let verdict = self.decider.families.kind(family, kind);
                self.metadata(verdict, line)
            }
            Next::Line(Line::Sample, _) => self.sample(line, layout),
            Next::Malformed { at, expected, .. } => {
                self.drop(Reason::Malformed, line, at, expected)
            }
            Next::TooLong(_) => self.drop(Reason::TooLong, line, 0, "at most 64 KiB in one line"),
            Next::Skip(_) => Passed::Not,
        }
    }

    fn metadata(&mut self, verdict: Metadata, line: &[u8]) -> Passed {
        // The next sample belongs to another family, even if its name is the one before.
        self.quick.forget();
        match verdict {
            Metadata::Pass => Passed::AsItIs,
            Metadata::Unselected => Passed::Not,
            Metadata::Drop(reason) => {
                self.drop(reason, line, 0, "each family's HELP and TYPE once, before its samples")
            }
        }
    }

    fn sample(&mut self, line: &[u8], layout: &Layout) -> Passed {
        if grammar::has_duplicate_label(line, &layout.labels) {
            return self.drop(
                Reason::DuplicateLabel,
                line,
                layout.name.end as usize,
                "each label name once",
            );
        }
        self.stats.samples_in += 1;
        let nothing = Kept { name: false, labels: 0, label_names: false };
        self.decider.decide(line, layout, nothing, &mut self.stats);
        if self.decider.decision().metric == Metric::Dictionary {
            self.dictionaries.observe(line, layout);
        }
        match self.decider.decision().action {
            Action::Omit => {
                self.stats.samples_unselected += 1;
                Passed::Not
            }
            // Prometheus takes leading blanks as part of the metric's name.
            Action::Keep if layout.raw_newlines == 0 && !is_blank(line[0]) => Passed::AsItIs,
            Action::Keep => Passed::Changed,
            Action::Splice { .. } => {
                self.stats.samples_rewritten += 1;
                Passed::Changed
            }
        }
    }

    /// Writes a sample that the grammar read. Newlines inside quotes become `\n`, which every parser
    /// reads; leading blanks go.
    fn write_changed(&mut self, line: &[u8], layout: &Layout, out: &mut Vec<u8>) {
        let mut plain = |bytes: &[u8], out: &mut Vec<u8>| {
            let mut from = 0;
            for newline in memchr_iter(b'\n', bytes) {
                out.extend_from_slice(&bytes[from..newline]);
                out.extend_from_slice(b"\\n");
                self.stats.newlines_escaped += 1;
                from = newline + 1;
            }
            out.extend_from_slice(&bytes[from..]);
        };
        let lead = line.iter().take_while(|b| is_blank(**b)).count();
        let end = layout.end as usize - 1;
        match self.decider.decision().action {
            Action::Splice { name, text } => {
                plain(&line[lead..name.start as usize], out);
                let text = self.decider.memo.text(text);
                let (others, own) = text.split_at(
                    text.len() - self.decider.labels.kong_service().len().min(text.len()),
                );
                // A quoted label name stays quoted.
                if name.of(line).starts_with(b"\"") {
                    out.extend_from_slice(others);
                    out.push(b'"');
                    out.extend_from_slice(own);
                    out.push(b'"');
                } else {
                    out.extend_from_slice(text);
                }
                plain(&line[name.end as usize..end], out);
            }
            _ => plain(&line[lead..end], out),
        }
        out.push(b'\n');
    }

    fn drop(&mut self, reason: Reason, line: &[u8], at: usize, expected: &'static str) -> Passed {
        self.stats.drop_line(reason, || Drop::new(reason, line, at, expected));
        Passed::Not
    }
}

/// What became of a line.
enum Passed {
    AsItIs,
    Not,
    Changed,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Up to and with the first newline from `at` on, at most `room`.
fn line_end(chunk: &[u8], at: usize, room: usize) -> usize {
    let most = room.min(chunk.len());
    memchr::memchr(b'\n', &chunk[at..most]).map_or(most, |newline| at + newline + 1)
}
