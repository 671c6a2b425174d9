//! Line after line out of bytes that may end anywhere. In: what has arrived. Out: the next line, or
//! how much to drop and why, or that more bytes are needed.
//!
//! The grammar says where a good line ends. After a bad one reading goes on behind the next newline
//! that follows the fault, quoted or not: whatever stands before the fault was understood, so a
//! newline that it quotes is no line end, while a quote behind it proves nothing. A quote that is not
//! closed within 64 KiB was never one: its line is dropped, and in what was read in vain no quote
//! may span lines (which also keeps the time linear).

use memchr::memchr;

use super::grammar::{self, Dialect, Fault, Line};
use super::{Layout, MAX_LINE};

/// The state between lines.
#[derive(Debug, Default)]
pub struct Frame {
    dialect: Dialect,
    /// So many of the next bytes hold no quotes that span lines.
    alone: usize,
    /// In a line that is too long and already counted.
    skipping: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// A line of this length.
    Line(Line<'a>, usize),
    /// Bytes that are no line.
    Malformed {
        /// How many bytes to drop.
        length: usize,
        /// Where the fault is, from the first of them.
        at: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// A line of more than 64 KiB; so many bytes of it are here.
    TooLong(usize),
    /// The rest of a line that was too long.
    Skip(usize),
    /// The line is not all here.
    More,
}

impl Frame {
    /// Starts between two lines.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, ..Self::default() }
    }

    /// Whether the next line may be read by [`super::quick`] without asking here.
    #[inline]
    pub fn is_clear(&self) -> bool {
        self.alone == 0 && !self.skipping && self.dialect == Dialect::Text
    }

    /// Reads on. `last`: nothing will follow `bytes` (which then end with a newline).
    pub fn next<'a>(&mut self, bytes: &'a [u8], last: bool, layout: &mut Layout) -> Next<'a> {
        if self.skipping {
            let end = memchr(b'\n', bytes);
            self.skipping = end.is_none();
            return Next::Skip(end.map_or(bytes.len(), |end| end + 1));
        }
        let window = &bytes[..bytes.len().min(MAX_LINE)];
        let full = last || window.len() == MAX_LINE;
        let Some(newline) = memchr(b'\n', window) else {
            if !full {
                return Next::More;
            }
            self.skipping = true;
            return Next::TooLong(0);
        };
        let physical = newline + 1;
        const OPEN: &str = "a closing quote";
        if self.alone > 0 {
            self.alone = self.alone.saturating_sub(physical);
            return match grammar::line(self.dialect, &window[..physical], layout) {
                Ok((line, length)) => Next::Line(line, length),
                Err(Fault::Malformed { at, expected }) => {
                    Next::Malformed { length: physical, at, expected }
                }
                Err(Fault::Incomplete) => {
                    Next::Malformed { length: physical, at: newline, expected: OPEN }
                }
            };
        }
        match grammar::line(self.dialect, window, layout) {
            Ok((line, length)) => Next::Line(line, length),
            Err(Fault::Malformed { at, expected }) => match memchr(b'\n', &window[at..]) {
                Some(end) => Next::Malformed { length: at + end + 1, at, expected },
                None if full => Next::Malformed { length: physical, at, expected },
                None => Next::More,
            },
            Err(Fault::Incomplete) if full => {
                self.alone = window.len() - physical;
                Next::Malformed { length: physical, at: newline, expected: OPEN }
            }
            Err(Fault::Incomplete) => Next::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts a whole text; gives each line's text, dropped ones with a `!` in front.
    fn cut(text: &str) -> Vec<String> {
        let (mut frame, mut layout) = (Frame::default(), Layout::default());
        let (mut rest, mut lines) = (text.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let (mark, length) = match frame.next(rest, true, &mut layout) {
                Next::Line(_, length) => ("", length),
                Next::Malformed { length, .. } => ("!", length),
                Next::TooLong(length) => ("long", length),
                Next::Skip(length) => ("...", length),
                Next::More => panic!("more after the last byte"),
            };
            let line = String::from_utf8_lossy(&rest[..length.min(20)]).into_owned();
            lines.push(format!("{mark}{line}"));
            rest = &rest[length..];
        }
        lines
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        assert_eq!(cut("a 1\nb\nc 3\n"), ["a 1\n", "!b\n", "c 3\n"]);
        assert_eq!(cut("a{b=c\"} 1\nc 3\n"), ["!a{b=c\"} 1\n", "c 3\n"]);
    }

    #[test]
    fn a_quote_closed_by_the_next_lines_quote_costs_that_line_too() {
        assert_eq!(cut("a{b=\"c} 1\nd{e=\"f\"} 3\ng 1\n"), ["!a{b=\"c} 1\nd{e=\"f\"} 3", "g 1\n"]);
    }

    #[test]
    fn a_newline_quoted_before_the_fault_is_no_line_end() {
        assert_eq!(cut("a{b=\"\nfake 1\n\"} 1 x\nc 3\n"), ["!a{b=\"\nfake 1\n\"} 1 x\n", "c 3\n"]);
    }

    #[test]
    fn a_quote_never_closed_costs_one_line() {
        assert_eq!(cut("a{b=\"c\nd 1\ne 2\n"), ["!a{b=\"c\n", "d 1\n", "e 2\n"]);
        let open_again = "a{b=\"c\n".repeat(2);
        assert_eq!(cut(&format!("{open_again}e 2\n")), ["!a{b=\"c\na{b=\"c\n", "e 2\n"]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_whole() {
        let long = format!("a{{b=\"{}\"}} 1\nc 3\n", "x".repeat(MAX_LINE));
        let cut = cut(&long);
        assert_eq!(cut.len(), 3, "{cut:?}");
        assert_eq!((&cut[0][..], &cut[2][..]), ("long", "c 3\n"));
    }

    #[test]
    fn time_stays_linear_in_quotes_that_never_close() {
        // Every line leaves its quote open, whichever line one starts from.
        let text = "\"\\\"\n".repeat(200_000);
        let lines = cut(&format!("x{{a={text}"));
        assert!(lines.len() > 100_000 && lines.iter().all(|line| line.starts_with('!')));
    }
}
