//! Kong's usual line, recognised without the grammar.
//!
//! In: the previous line with its layout, and the bytes that follow. Out: the new layout, and how
//! much of the old one still holds. Kong prints its lines sorted, so most of a line equals the one
//! before; whatever was proved about an equal prefix needs no second look. Only the plain shape is
//! taken (`name{a="b",c="d"} 123`, ASCII, no escapes, single blanks); anything else is `None`, and
//! the grammar decides. Property tests hold the two to the same layouts.

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
        if self.usable
            && let Some(kept) = self.up_to_last_value(previous, bytes)
        {
            return Some(kept);
        }
        let previous = if self.usable { previous } else { b"" };
        self.usable = false;
        let kept = self.at_difference(previous, bytes)?;
        self.usable = true;
        Some(kept)
    }

    /// The next bucket of a histogram: nothing differs but the last label's value and the number.
    /// Four lines out of five in Kong's output.
    #[inline]
    fn up_to_last_value(&mut self, previous: &[u8], bytes: &[u8]) -> Option<Kept> {
        let last = self.layout.labels.last_mut()?;
        let start = last.value.start as usize;
        let head = previous.get(..start)?;
        if !bytes.starts_with(head) {
            return None;
        }
        let tail = bytes.get(start..bytes.len().min(MAX_LINE))?;
        let value = tail.iter().position(|b| !PLAIN[*b as usize])?;
        let [b'"', b'}', b' ', number @ ..] = tail.get(value..)? else { return None };
        let digits = number.iter().position(|b| !b.is_ascii_digit())?;
        if digits == 0 || digits > 300 || number[digits] != b'\n' {
            return None;
        }
        let end = (start + value) as u32;
        last.value.end = end;
        self.layout.value = Span { start: end + 3, end: end + 3 + digits as u32 };
        self.layout.end = end + 4 + digits as u32;
        Some(Kept { name: true, labels: self.layout.labels.len() - 1, label_names: true })
    }

    fn at_difference(&mut self, previous: &[u8], bytes: &[u8]) -> Option<Kept> {
        let equal = common_prefix(previous, bytes);
        let kept = if equal > self.layout.name.end as usize {
            self.resume(equal, previous, bytes)?
        } else {
            self.renamed(previous, bytes).or_else(|| self.whole_line(bytes))?
        };
        (self.layout.end as usize <= MAX_LINE).then_some(kept)
    }

    /// Another metric with the labels of the line before, as `_bucket`, `_count` and `_sum` follow
    /// each other where Kong prints a histogram in one piece: compares from the brace on.
    fn renamed(&mut self, previous: &[u8], bytes: &[u8]) -> Option<Kept> {
        let (old, new) = (self.layout.name.end as usize, name_length(bytes)?);
        let (previous, rest) = (previous.get(old..)?, bytes.get(new..)?);
        if !previous.starts_with(b"{") {
            return None;
        }
        // Counted from the brace, the layout is that of a line without a name.
        self.shift(0, old, 0);
        self.layout.name = Span::default();
        let kept = self.resume(common_prefix(previous, rest), previous, rest)?;
        self.shift(0, 0, new);
        self.layout.name.end = new as u32;
        self.layout.end += new as u32;
        Some(Kept { name: false, ..kept })
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

    /// Finds what still holds after `equal` bytes that are the previous line's; reads on from there.
    #[inline]
    fn resume(&mut self, equal: usize, previous: &[u8], bytes: &[u8]) -> Option<Kept> {
        // Labels whose closing quote is among the equal bytes are as they were.
        let labels = &mut self.layout.labels;
        let mut same = 0;
        while labels.get(same).is_some_and(|label| (label.value.end as usize) < equal) {
            same += 1;
        }
        let kept = |label_names| Some(Kept { name: true, labels: same, label_names });
        match labels.get_mut(same) {
            Some(label) if equal >= label.value.start as usize => {
                // In the middle of a value; its first bytes were looked at with the line before.
                kept(self.value(same, equal, previous, bytes)?)
            }
            None if equal >= self.layout.value.start as usize => {
                self.number(self.layout.value.start as usize, bytes)?;
                kept(true)
            }
            _ if same > 0 => {
                let at = labels[same - 1].value.end as usize + 1;
                kept(self.labels(same, at, previous, bytes)?)
            }
            _ => self.whole_line(bytes),
        }
    }

    /// Reads the whole line.
    #[cold]
    fn whole_line(&mut self, bytes: &[u8]) -> Option<Kept> {
        let length = name_length(bytes)?;
        self.layout.name = Span { start: 0, end: length as u32 };
        (self.layout.raw_newlines, self.layout.escaped) = (0, false);
        self.layout.labels.clear();
        match bytes.get(length)? {
            b'{' => {
                self.label(length + 1, bytes)?;
                let at = self.layout.labels.last()?.value.end as usize + 1;
                self.more_labels(1, at, bytes)?;
            }
            b' ' => self.number(length + 1, bytes)?,
            _ => return None,
        }
        Some(Kept { name: false, labels: 0, label_names: false })
    }

    /// Reads on in the value of label `index`, whose layout but for that is the previous line's.
    /// Returns whether all label names are the previous line's.
    #[inline]
    fn value(&mut self, index: usize, at: usize, previous: &[u8], bytes: &[u8]) -> Option<bool> {
        let end = value_end(bytes, at)?;
        let label = self.layout.labels.get_mut(index)?;
        let old_end = label.value.end as usize;
        label.value.end = end as u32;
        // Often all that follows is as it was, only moved: `",workspace="default"} `. Not behind the
        // first label: that is the service, and its route changes with it.
        let tail = previous.get(old_end..self.layout.value.start as usize)?;
        if index > 0 && bytes.get(end..)?.starts_with(tail) {
            self.shift(index + 1, old_end, end);
            self.number(end + tail.len(), bytes)?;
            return Some(true);
        }
        self.labels(index + 1, end + 1, previous, bytes)
    }

    /// Moves the labels from `index` on, and the value, by the distance from `from` to `to`.
    #[inline]
    fn shift(&mut self, index: usize, from: usize, to: usize) {
        let distance = (to as u32).wrapping_sub(from as u32);
        let moved = |span: Span| Span {
            start: span.start.wrapping_add(distance),
            end: span.end.wrapping_add(distance),
        };
        for label in self.layout.labels.iter_mut().skip(index) {
            *label = LabelSpan { name: moved(label.name), value: moved(label.value) };
        }
        self.layout.value = moved(self.layout.value);
    }

    /// Reads on behind the closing quote of label `count - 1`. The labels from `count` on are those
    /// of the previous line: their names are tried first. Returns whether all had the same names.
    #[inline]
    fn labels(&mut self, count: usize, at: usize, previous: &[u8], bytes: &[u8]) -> Option<bool> {
        let Some(label) = self.layout.labels.get_mut(count) else {
            return self.more_labels(count, at, bytes);
        };
        // The comma and the name with `="` behind it.
        let head = previous
            .get((label.name.start as usize).checked_sub(1)?..label.value.start as usize)?;
        if !bytes.get(at..)?.starts_with(head) {
            return self.more_labels(count, at, bytes);
        }
        let start = at + head.len();
        label.name = Span { start: at as u32 + 1, end: start as u32 - 2 };
        label.value.start = start as u32;
        self.value(count, start, previous, bytes)
    }

    /// As [`Self::labels`], from the first label on that has another name than before, or where
    /// there are more or fewer.
    fn more_labels(&mut self, mut count: usize, mut at: usize, bytes: &[u8]) -> Option<bool> {
        let fewer = count < self.layout.labels.len();
        self.layout.labels.truncate(count);
        let before = count;
        loop {
            match bytes.get(at)? {
                b',' => self.label(at + 1, bytes)?,
                b'}' if bytes.get(at + 1) == Some(&b' ') => {
                    self.number(at + 2, bytes)?;
                    return Some(!fewer && count == before);
                }
                _ => return None,
            }
            count += 1;
            at = self.layout.labels.last()?.value.end as usize + 1;
        }
    }

    /// Reads `name="value"` and adds it.
    fn label(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        let length = name_length(bytes.get(at..)?)?;
        let name = bytes.get(at..at + length)?;
        let start = at + length + 2;
        if name.contains(&b':') || bytes.get(at + length..start)? != b"=\"" {
            return None;
        }
        let labels = &mut self.layout.labels;
        if labels.len() == MAX_LABELS || labels.iter().any(|label| label.name.of(bytes) == name) {
            return None;
        }
        let end = value_end(bytes, start)?;
        labels.push(LabelSpan {
            name: Span { start: at as u32, end: (at + length) as u32 },
            value: Span { start: start as u32, end: end as u32 },
        });
        Some(())
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
}

/// The length of the metric or label name that `bytes` begins with.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let length =
        bytes.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b':')))?;
    bytes.first().filter(|b| length > 0 && !b.is_ascii_digit()).map(|_| length)
}

/// Where the value ends that goes on at `at`: its closing quote. `None` for values that need a
/// closer look: escapes, newlines and other control characters, what is not ASCII.
#[inline]
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    // Sixteen at a time, in a shape that compilers turn into vector instructions.
    while let Some(block) = bytes.get(end..)?.first_chunk::<16>() {
        let special = block.map(|b| {
            if (PLAIN_LOW..PLAIN_HIGH).contains(&b) && b != b'"' && b != b'\\' { 0 } else { 0xff }
        });
        let special = u128::from_le_bytes(special);
        if special != 0 {
            end += special.trailing_zeros() as usize / 8;
            return (bytes[end] == b'"').then_some(end);
        }
        end += 16;
    }
    end += bytes.get(end..)?.iter().position(|b| !PLAIN[*b as usize])?;
    (bytes[end] == b'"').then_some(end)
}

#[inline]
fn digits(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
}

/// Bytes of a label value that need no second look: printable ASCII without quote and backslash.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = PLAIN_LOW;
    while byte < PLAIN_HIGH {
        plain[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    plain
};
const PLAIN_LOW: u8 = 0x20;
const PLAIN_HIGH: u8 = 0x7f;

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
            assert_eq!((x.name.of(a), x.value.of(a)), (y.name.of(b), y.value.of(b)));
            assert!(!kept.name || x == y);
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
