//! Kong's usual line, recognised without the grammar.
//!
//! In: the previous line with its layout, and the bytes that follow. Out: the new layout, and how
//! much of the old one still holds. Kong prints its lines sorted, so most of a line equals the one
//! before; whatever was proved about an equal prefix needs no second look. Only the plain shape is
//! taken (`name{a="b",c="d"} 123`, ASCII, no escapes, single blanks); anything else is `None`, and
//! the grammar decides. Property tests hold the two to the same layouts.

use memchr::memchr3;

use super::{LabelSpan, Layout, MAX_LABELS, MAX_LINE, Span};

/// The layout of the last line, to be built upon.
#[derive(Debug, Default)]
pub struct Quick {
    layout: Layout,
    /// Whether `layout` is that of the previous line, and that line was of the plain shape.
    usable: bool,
}

/// What a line has in common with the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The metric name is the same.
    pub name: bool,
    /// This many first labels have the same names and values.
    pub labels: usize,
    /// The label names are all the same, in the same order.
    pub label_names: bool,
}

impl Quick {
    /// Reads the line that `bytes` begins with. `previous` is the line that the last successful
    /// call read. `None`: not of the plain shape, or not complete in `bytes`; the next call then
    /// starts from nothing.
    #[inline]
    pub fn scan(&mut self, previous: &[u8], bytes: &[u8]) -> Option<Kept> {
        let equal = if self.usable { common_prefix(previous, bytes) } else { 0 };
        self.usable = false;
        let kept = self.resume(equal, bytes)?;
        self.usable = self.layout.end as usize <= MAX_LINE;
        self.usable.then_some(kept)
    }

    /// Makes the next call start from nothing: the line before it was read by somebody else.
    pub fn forget(&mut self) {
        self.usable = false;
    }

    /// Where things are in the line that the last successful call read.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Finds what holds after `equal` bytes that are the previous line's, and reads on from there.
    #[inline]
    fn resume(&mut self, equal: usize, bytes: &[u8]) -> Option<Kept> {
        let layout = &mut self.layout;
        let name_end = layout.name.end as usize;
        if equal <= name_end {
            return self.from_name(bytes);
        }
        // Labels whose closing quote is among the equal bytes are as they were. Mostly all but the last.
        let mut same = layout.labels.len();
        while same > 0 && layout.labels[same - 1].value.end as usize >= equal {
            same -= 1;
        }
        let label_names = layout.labels.len();
        let Some(next) = layout.labels.get(same).copied() else {
            // The label set may go on differently only after its last label; the value begins after "} ".
            let value = layout.value.start as usize;
            if equal < value {
                return if same == 0 {
                    self.from_name(bytes)
                } else {
                    self.after_value(same, label_names, bytes)
                };
            }
            let kept = Kept { name: true, labels: same, label_names: true };
            return self.number(value, bytes).map(|()| kept);
        };
        if equal < next.value.start as usize {
            return if same == 0 {
                self.from_name(bytes)
            } else {
                self.after_value(same, label_names, bytes)
            };
        }
        // Inside the value of label `same`. The bytes up to here were checked with the line before.
        let at = equal;
        let is_last = same + 1 == label_names;
        let end = value_end(bytes, at, is_last)?;
        layout.labels[same].value.end = end as u32;
        if is_last && bytes.get(end + 1..end + 3)? == b"} " {
            self.check(at, end, bytes)?;
            let kept = Kept { name: true, labels: same, label_names: true };
            return self.number(end + 3, bytes).map(|()| kept);
        }
        self.check(at, end, bytes)?;
        layout_truncate(&mut self.layout, same + 1);
        self.labels(end + 1, bytes).map(|()| Kept { name: true, labels: same, label_names: false })
    }

    /// Reads the whole line.
    #[cold]
    fn from_name(&mut self, bytes: &[u8]) -> Option<Kept> {
        let length = bytes.iter().position(|b| !is_name_byte(*b))?;
        if !bytes.first().is_some_and(|b| is_name_byte(*b) && !b.is_ascii_digit()) {
            return None;
        }
        self.layout.name = Span { start: 0, end: length as u32 };
        self.layout.labels.clear();
        self.layout.raw_newlines = 0;
        match bytes.get(length)? {
            b'{' => self.label(length + 1, bytes)?,
            b' ' => self.number(length + 1, bytes)?,
            _ => return None,
        }
        Some(Kept { name: false, labels: 0, label_names: false })
    }

    /// Reads on behind the closing quote of label `same - 1`, which is as it was.
    fn after_value(&mut self, same: usize, _had: usize, bytes: &[u8]) -> Option<Kept> {
        layout_truncate(&mut self.layout, same);
        let at = self.layout.labels.last()?.value.end as usize + 1;
        self.labels(at, bytes).map(|()| Kept { name: true, labels: same, label_names: false })
    }

    /// Reads `,label…` or `} number`, from behind a closing quote.
    fn labels(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        match bytes.get(at)? {
            b',' => self.label(at + 1, bytes),
            b'}' if bytes.get(at + 1) == Some(&b' ') => self.number(at + 2, bytes),
            _ => None,
        }
    }

    /// Reads `label="value"` and all that follows, the number included.
    fn label(&mut self, mut at: usize, bytes: &[u8]) -> Option<()> {
        loop {
            let length = bytes.get(at..)?.iter().position(|b| !is_name_byte(*b))?;
            let name = bytes.get(at..at + length)?;
            let plain = name.first().is_some_and(|b| !b.is_ascii_digit()) && !name.contains(&b':');
            if !plain || bytes.get(at + length..at + length + 2)? != b"=\"" {
                return None;
            }
            let start = at + length + 2;
            let end = value_end(bytes, start, false)?;
            self.check(start, end, bytes)?;
            if self.layout.labels.len() == MAX_LABELS || self.has_label(name, bytes) {
                return None;
            }
            self.layout.labels.push(LabelSpan {
                name: Span { start: at as u32, end: (at + length) as u32 },
                value: Span { start: start as u32, end: end as u32 },
            });
            match bytes.get(end + 1)? {
                b',' => at = end + 2,
                b'}' if bytes.get(end + 2) == Some(&b' ') => return self.number(end + 3, bytes),
                _ => return None,
            }
        }
    }

    /// Reads `123` or `1.5` or `-2` and the newline.
    #[inline]
    fn number(&mut self, start: usize, bytes: &[u8]) -> Option<()> {
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        let whole = digits(bytes, at);
        at += whole;
        let mut fraction = 0;
        if bytes.get(at) == Some(&b'.') {
            fraction = digits(bytes, at + 1);
            at += 1 + fraction;
        }
        // 300 digits are never out of a float's range.
        if bytes.get(at) != Some(&b'\n') || whole + fraction == 0 || whole > 300 {
            return None;
        }
        self.layout.value = Span { start: start as u32, end: at as u32 };
        self.layout.end = at as u32 + 1;
        Some(())
    }

    /// Only ASCII is taken: the rest needs a look at its encoding.
    #[inline]
    fn check(&self, start: usize, end: usize, bytes: &[u8]) -> Option<()> {
        bytes.get(start..end)?.is_ascii().then_some(())
    }

    fn has_label(&self, name: &[u8], bytes: &[u8]) -> bool {
        self.layout.labels.iter().any(|label| label.name.of(bytes) == name)
    }
}

fn layout_truncate(layout: &mut Layout, labels: usize) {
    layout.labels.truncate(labels);
}

/// Where the value ends that goes on at `at`: its closing quote. `None` for escapes and newlines.
#[inline]
fn value_end(bytes: &[u8], at: usize, short: bool) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let look = if short { 8 } else { 0 };
    for (i, byte) in rest.iter().take(look).enumerate() {
        match byte {
            b'"' => return Some(at + i),
            b'\\' | b'\n' => return None,
            _ => {}
        }
    }
    let end = at + look + memchr3(b'"', b'\\', b'\n', rest.get(look..)?)?;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

#[inline]
fn digits(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// How many first bytes are equal. The line's newline is never passed: both end with their own.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut equal = 0;
    let ((a32, _), (b32, _)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (x, y) in a32.iter().zip(b32) {
        if x != y {
            break;
        }
        equal += 32;
    }
    let (a, b) = (a.get(equal..).unwrap_or_default(), b.get(equal..).unwrap_or_default());
    let ((a8, _), (b8, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (i, (x, y)) in a8.iter().zip(b8).enumerate() {
        let different = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if different != 0 {
            return equal + 8 * i + different.trailing_zeros() as usize / 8;
        }
    }
    let seen = 8 * a8.len().min(b8.len());
    let (a, b) = (&a[seen..], &b[seen..]);
    equal + seen + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::super::grammar::{self, Dialect, Line};
    use super::*;
    use proptest::prelude::*;

    /// Reads every line both ways; returns how many the quick way took.
    fn both_ways(text: &[u8]) -> usize {
        let (mut quick, mut taken) = (Quick::default(), 0);
        let (mut previous, mut previous_layout): (&[u8], Layout) = (b"", Layout::default());
        let mut rest = text;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let mut layout = Layout::default();
            let said = grammar::line(Dialect::Text, rest, &mut layout);
            let end = said.as_ref().map_or(newline + 1, |(_, end)| *end);
            let line = &rest[..end];
            if let Some(kept) = quick.scan(previous, rest) {
                taken += 1;
                assert_eq!(said, Ok((Line::Sample, end)), "{}", line.escape_ascii());
                assert_eq!(quick.layout(), &layout, "{}", line.escape_ascii());
                assert!(!grammar::has_duplicate_label(line, &layout.labels));
                assert_kept(kept, (previous, &previous_layout), (line, &layout));
                (previous, previous_layout) = (line, layout);
            }
            rest = &rest[end..];
        }
        taken
    }

    fn assert_kept(kept: Kept, (a, at): (&[u8], &Layout), (b, bt): (&[u8], &Layout)) {
        if kept.name {
            assert_eq!(at.name.of(a), bt.name.of(b));
        }
        assert!(kept.labels <= bt.labels.len());
        for (x, y) in at.labels.iter().zip(&bt.labels).take(kept.labels) {
            assert_eq!((x, x.name.of(a), x.value.of(a)), (y, y.name.of(b), y.value.of(b)));
        }
        if kept.label_names {
            let names = |l: &Layout, line| {
                l.labels.iter().map(|l| l.name.of(line).to_vec()).collect::<Vec<_>>()
            };
            assert_eq!(names(at, a), names(bt, b));
        }
    }

    #[test]
    fn kongs_shapes_are_taken() {
        let text = b"kong_x_bucket{service=\"a.b.80\",route=\"r\",le=\"25\"} 1\n\
            kong_x_bucket{service=\"a.b.80\",route=\"r\",le=\"250\"} 12\n\
            kong_x_bucket{service=\"a.b.80\",route=\"r\",le=\"+Inf\"} 12\n\
            kong_x_count{service=\"a.b.80\",route=\"r\"} 12\n\
            kong_x_count{service=\"a.c.80\",route=\"r\"} 12\n\
            kong_x_sum{service=\"a.b.80\",route=\"r\"} 12.5\n\
            kong_x_sum{service=\"a.b.80\"} -3\n\
            kong_x_sum 7\nkong_x_sum 8\n";
        assert_eq!(both_ways(text), 9);
    }

    #[test]
    fn other_shapes_are_left_to_the_grammar() {
        for line in [
            "x{a=\"b\\\\\"} 1\n",
            "x{a=\"\u{e9}\"} 1\n",
            "x{a=\"\n\"} 1\n",
            "x{a=\"b\",} 1\n",
            "x{} 1\n",
            "x  1\n",
            "x 1e+14\n",
            "x nan\n",
            "x 1 17\n",
            "x{a=\"b\"}1\n",
            "x{a=\"b\",a=\"c\"} 1\n",
            "1x 1\n",
            "x{1a=\"b\"} 1\n",
            "x{a:b=\"b\"} 1\n",
            "x .\n",
            "x -\n",
            "# HELP x y\n",
            "\n",
            "{\"x\"} 1\n",
        ] {
            assert_eq!(Quick::default().scan(b"", line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn an_unfinished_line_is_not_taken() {
        let line = b"kong_x{service=\"a\",le=\"1\"} 12\n";
        for cut in 0..line.len() {
            assert_eq!(Quick::default().scan(b"", &line[..cut]), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn quick_and_grammar_agree(lines in proptest::collection::vec(crate::exposition::arbitrary::line(), 0..12)) {
            both_ways(&lines.concat());
        }

        #[test]
        fn the_common_prefix_is_common(a: Vec<u8>, b: Vec<u8>, shared: Vec<u8>) {
            let (a, b) = ([shared.clone(), a].concat(), [shared, b].concat());
            let plain = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(common_prefix(&a, &b), plain);
        }
    }
}
