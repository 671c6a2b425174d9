//! The text exposition format (0.0.4, and OpenMetrics where asked for): bytes to lines, and what is where in a line.
//!
//! [`frame`] finds where a line ends when chunks cut it anywhere and quotes may hold raw newlines;
//! [`grammar`] is the one definition of what a line may be; [`quick`] recognises Kong's usual shape
//! without it and is held to the same answers by property tests. Nothing here knows about Kong's
//! labels or Kubernetes.

pub mod frame;
pub mod grammar;
pub mod number;
pub mod quick;

#[cfg(test)]
pub(crate) mod arbitrary;

use std::ops::Range;

/// The longest line that is understood, its line end included. Kong's longest have a few hundred
/// bytes; 64 KiB is what one label of 511 bytes in each of 128 labels would need.
pub const MAX_LINE: usize = 64 * 1024;

/// The most labels one sample may have.
pub const MAX_LABELS: usize = 256;

/// A range of bytes, counted from the first byte of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// As a range to index the line with.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes it covers in `line`; empty if it does not fit.
    pub fn of(self, line: &[u8]) -> &[u8] {
        line.get(self.range()).unwrap_or_default()
    }
}

/// One label of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelSpan {
    /// The name, with its quotes if it has any.
    pub name: Span,
    /// The value as printed: between the quotes, escapes and all.
    pub value: Span,
}

/// Where things are in a sample's line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The metric name, with its quotes if it has any.
    pub name: Span,
    /// The labels in the order they are printed; the metric name is not among them.
    pub labels: Vec<LabelSpan>,
    /// The value, as printed.
    pub value: Span,
    /// The length of the line, its line end included.
    pub end: u32,
    /// Raw newlines inside quotes. Kong prints them so; only Prometheus' own parser reads that.
    pub raw_newlines: u32,
    /// There is a backslash somewhere: values mean something else than they show.
    pub escaped: bool,
}

/// What a name or label means without its quotes: `"my.label"` and `my_label` alike.
pub fn unquoted(name: &[u8]) -> &[u8] {
    match name {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    }
}

/// Undoes the escapes of a label value into `into`: `\\`, `\"`, `\n`; an unknown escape stays as it
/// is, as Prometheus reads it.
pub fn unescape(value: &[u8], into: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        into.extend_from_slice(&rest[..at]);
        match rest.get(at + 1) {
            Some(b'n') => into.push(b'\n'),
            Some(&byte @ (b'\\' | b'"')) => into.push(byte),
            Some(&byte) => into.extend_from_slice(&[b'\\', byte]),
            None => into.push(b'\\'),
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    into.extend_from_slice(rest);
}

/// Writes a label value with the escapes that every parser understands.
pub fn escape(value: &[u8], into: &mut Vec<u8>) {
    for &byte in value {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'"' => into.extend_from_slice(b"\\\""),
            b'\n' => into.extend_from_slice(b"\\n"),
            _ => into.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaping_and_unescaping_is_the_identity(value: Vec<u8>) {
            let (mut printed, mut read) = (Vec::new(), Vec::new());
            escape(&value, &mut printed);
            unescape(&printed, &mut read);
            prop_assert_eq!(&read, &value);
            prop_assert!(!printed.contains(&b'\n'));
        }
    }
}
