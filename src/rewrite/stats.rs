//! What happened to one body on its way through: counted, never silent.

use std::fmt;

/// Why a line was dropped. The `reason` label of `kong_exporter_parse_errors_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not a sample, not a comment: Prometheus would refuse the whole scrape for it.
    Malformed,
    /// Longer than 64 KiB.
    TooLong,
    /// A second HELP of a family (Kong's stream subsystem repeats them).
    RepeatedHelp,
    /// A second TYPE of a family.
    RepeatedType,
    /// A TYPE that comes after the family's first sample.
    LateType,
    /// One label name twice in a sample.
    DuplicateLabel,
    /// More families than are remembered; their HELP and TYPE are left out, their samples pass.
    TooManyFamilies,
}

impl Reason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::TooLong,
        Self::RepeatedHelp,
        Self::RepeatedType,
        Self::LateType,
        Self::DuplicateLabel,
        Self::TooManyFamilies,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::RepeatedHelp => "repeated_help",
            Self::RepeatedType => "repeated_type",
            Self::LateType => "late_type",
            Self::DuplicateLabel => "duplicate_label",
            Self::TooManyFamilies => "too_many_families",
        }
    }

    /// Whether a sample was lost, or a line that may have been one. The others only take away
    /// metadata that was said before.
    pub fn loses_a_line(self) -> bool {
        matches!(self, Self::Malformed | Self::TooLong | Self::DuplicateLabel)
    }
}

/// Counts over one body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Bytes taken in.
    pub bytes_in: u64,
    /// Bytes given out.
    pub bytes_out: u64,
    /// Samples understood (unselected ones included; a sample with a fault or a label twice is none).
    pub samples_in: u64,
    /// Samples whose labels were changed.
    pub samples_rewritten: u64,
    /// Samples left out by the family filter or `name[]`.
    pub samples_unselected: u64,
    /// Samples that already carry a label the exporter would write; passed on as they were.
    pub samples_clashing: u64,
    /// Raw newlines inside label values, written as `\n`.
    pub newlines_escaped: u64,
    /// Lines dropped, by `Reason::ALL`'s order.
    pub dropped: [u64; Reason::ALL.len()],
    /// Distinct Kong names that stand for one Kubernetes Service or for several known ones.
    pub mapped: u64,
    /// Distinct Kong names for which no Service is known.
    pub unmapped: u64,
    /// Kong's own metrics dictionary, the fullest subsystem of those seen.
    pub dictionary: Option<Dictionary>,
    /// The first line that was lost.
    pub first_drop: Option<Drop>,
}

/// A line that was dropped, for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// Why.
    pub reason: Reason,
    /// Where the fault is: bytes from the line's first.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
    /// The line's beginning, with escapes for what is not printable.
    pub excerpt: String,
}

impl Drop {
    pub(crate) fn new(reason: Reason, line: &[u8], at: usize, expected: &'static str) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let excerpt = line[..line.len().min(120)].escape_ascii().to_string();
        Self { reason, at, expected, excerpt }
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, at, expected, excerpt } = self;
        write!(f, "{}: expected {expected} at byte {at} of: {excerpt}", reason.as_str())
    }
}

impl Stats {
    /// Samples passed on.
    pub fn samples_out(&self) -> u64 {
        self.samples_in - self.samples_unselected
    }

    /// How many lines were dropped for this reason.
    pub fn dropped_for(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many lines were dropped for whatever reason.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(crate) fn drop_line(&mut self, reason: Reason, detail: impl FnOnce() -> Drop) {
        self.dropped[reason as usize] += 1;
        if reason.loses_a_line() {
            self.first_drop.get_or_insert_with(detail);
        }
    }
}

/// Fill level of `kong_memory_lua_shared_dict_*{shared_dict="prometheus_metrics"}`. A full one
/// loses series without an error (spec: counters are evicted least recently used first).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dictionary {
    /// Bytes in use.
    pub used_bytes: f64,
    /// Bytes there are.
    pub total_bytes: f64,
}

impl Dictionary {
    /// 0 to 1.
    pub fn used_ratio(&self) -> f64 {
        if self.total_bytes > 0.0 { self.used_bytes / self.total_bytes } else { 0.0 }
    }
}
