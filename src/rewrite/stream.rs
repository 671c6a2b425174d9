//! Chunks in, chunks out.

use std::sync::Arc;

use crate::mapping::{Label, Snapshot};
use crate::rewrite::{FamilyFilter, LabelNames, Selection, Stats};

/// Rewrites one body, chunk by chunk.
#[derive(Debug)]
pub struct Rewriter {
    stats: Stats,
    memo: Memo,
}

/// What the first record of a body says about the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing but blank lines so far.
    Undecided,
    /// The first record is a line of an exposition.
    Exposition,
    /// It is not: HTML, JSON, a byte order mark. Nothing has been put out yet.
    SomethingElse,
}

/// What a scrape learnt about names, kept for the next one: ready-made label text for each name.
/// Good for one snapshot; forgets by itself when given another.
#[derive(Debug, Default)]
pub struct Memo {
    _private: (),
}

impl Memo {
    /// The distinct names of the last body, in order of first sight.
    pub fn names(&self) -> impl Iterator<Item = (Label, &str)> {
        std::iter::empty()
    }
}

impl Rewriter {
    /// Starts a body. `memo` may come from any earlier scrape.
    pub fn new(
        _labels: Arc<LabelNames>,
        _filter: Arc<FamilyFilter>,
        _selection: Selection,
        _snapshot: Arc<Snapshot>,
        memo: Memo,
    ) -> Self {
        Self { stats: Stats::default(), memo }
    }

    /// Takes the next chunk, of any size, and appends to `out` what can be said by now.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.stats.bytes_in += chunk.len() as u64;
        out.extend_from_slice(chunk);
        self.stats.bytes_out += chunk.len() as u64;
    }

    /// Ends the body: appends what was held back. Returns whether the body ended with a line end;
    /// where it did not, the last line is complete only if the transport says so.
    pub fn finish(&mut self, _out: &mut Vec<u8>) -> bool {
        true
    }

    /// What the first record said.
    pub fn verdict(&self) -> Verdict {
        Verdict::Undecided
    }

    /// Whether bytes are held back as an unfinished line.
    pub fn has_partial_line(&self) -> bool {
        false
    }

    /// Counts so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Gives back the memo for the next scrape, and the counts.
    pub fn into_parts(self) -> (Memo, Stats) {
        (self.memo, self.stats)
    }
}
