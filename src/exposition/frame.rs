//! Where a line ends. In: bytes, in pieces cut anywhere. Out: the length of the line they begin with.
//!
//! A newline ends a line unless it stands inside quotes: Kong prints newlines of label values raw.
//! Comments have no quotes. This is lexing only; whether the line means anything is for the grammar.

use memchr::{memchr, memchr2};

/// The state between two pieces of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before the first byte that is not blank.
    #[default]
    Start,
    /// In a comment: everything up to the newline.
    Comment,
    /// In a sample, outside quotes.
    Plain,
    /// Inside quotes.
    Quoted,
    /// Inside quotes, right after a backslash.
    Escaped,
}

impl Frame {
    /// Scans the next piece. `Some(n)`: the line ends with the piece's byte `n - 1`, a newline.
    /// `None`: it goes on in the next piece.
    pub fn end(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            match self.place {
                Place::Start => match rest[0] {
                    b' ' | b'\t' => at += 1,
                    b'#' => self.place = Place::Comment,
                    _ => self.place = Place::Plain,
                },
                Place::Comment => return memchr(b'\n', rest).map(|i| at + i + 1),
                Place::Plain => {
                    let i = memchr2(b'"', b'\n', rest)?;
                    if rest[i] == b'\n' {
                        return Some(at + i + 1);
                    }
                    self.place = Place::Quoted;
                    at += i + 1;
                }
                Place::Quoted => {
                    let i = memchr2(b'"', b'\\', rest)?;
                    self.place = if rest[i] == b'"' { Place::Plain } else { Place::Escaped };
                    at += i + 1;
                }
                Place::Escaped => {
                    self.place = Place::Quoted;
                    at += 1;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(bytes: &[u8]) -> Option<usize> {
        Frame::default().end(bytes)
    }

    #[test]
    fn a_newline_ends_a_line_outside_quotes_only() {
        assert_eq!(end(b"a 1\nb 2\n"), Some(4));
        assert_eq!(end(b"a{b=\"x\ny\"} 1\nb 2\n"), Some(13));
        assert_eq!(end(b"a{b=\"x\\\"\ny\"} 1\n"), Some(15));
        assert_eq!(end(b"a{b=\"x\\\\\"}\n"), Some(11));
    }

    #[test]
    fn quotes_mean_nothing_in_comments() {
        assert_eq!(end(b"  # HELP a \"\nb 2\n"), Some(13));
        assert_eq!(end(b"#\"\n"), Some(3));
    }

    #[test]
    fn an_open_line_has_no_end() {
        assert_eq!(end(b""), None);
        assert_eq!(end(b"a 1"), None);
        assert_eq!(end(b"a{b=\"\n\n\n"), None);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in proptest::collection::vec(prop::sample::select(b"a#\"\\\n ".to_vec()), 0..40),
            cut in 0usize..40,
        ) {
            let cut = cut.min(bytes.len());
            let mut frame = Frame::default();
            let in_two = frame.end(&bytes[..cut]).or_else(|| frame.end(&bytes[cut..]).map(|n| n + cut));
            prop_assert_eq!(in_two, end(&bytes));
        }
    }
}
