//! The grammar: bytes in, what the line at their beginning says out. Zero-copy; written with nom.
//!
//! Where a line ends is the grammar's to say: newlines inside quotes do not end it, as Kong prints
//! newlines of label values raw.
//!
//! Prometheus' own parser decides what is a line (`model/textparse/promlex.l` and `promparse.go`),
//! because it refuses a whole scrape for a single line it does not like. Where it is lenient to no
//! one's use (a NUL ends the body silently, invalid UTF-8 in comments), the grammar is not.
//! Recorded verdicts of three real parsers hold it to that (tests/verdicts.rs).

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_till, take_while, take_while_m_n, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize, rest, verify};
use nom::error::{ErrorKind, ParseError};
use nom::multi::many0_count;
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Offset, Parser};

use super::number::is_float;
use super::{LabelSpan, Layout, MAX_LABELS, Span, unquoted};

/// Which of the two text formats. Kong prints [`Dialect::Text`] whatever is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `text/plain; version=0.0.4`.
    #[default]
    Text,
    /// `application/openmetrics-text; version=1.0.0`: exemplars, float timestamps, `# EOF`; no blank lines, no free comments.
    OpenMetrics,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing, or blanks.
    Blank,
    /// A comment that is neither HELP nor TYPE.
    Comment,
    /// HELP of a family (its name, with quotes if it has any).
    Help(&'a [u8]),
    /// TYPE of a family.
    Type(&'a [u8], Kind),
    /// `# EOF` of OpenMetrics.
    Eof,
    /// A sample; the layout says what is where.
    Sample,
}

/// A family's type, as far as it matters: whether its samples carry suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `_bucket`, `_sum`, `_count` belong to the family.
    Histogram,
    /// `_sum`, `_count` belong to the family.
    Summary,
    /// Counters, gauges and the rest.
    Other,
}

/// Why bytes are not a line, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They are not, whatever may follow.
    Malformed {
        /// Where, in bytes from the line's first.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// They end before the line does.
    Incomplete,
}

/// Reads the line that `bytes` begins with; returns its length, newline included. For a sample the
/// layout is filled; otherwise it is left as it was or in no particular state.
pub fn line<'a>(
    dialect: Dialect,
    bytes: &'a [u8],
    layout: &mut Layout,
) -> Result<(Line<'a>, usize), Fault> {
    let Some(newline) = memchr::memchr(b'\n', bytes) else { return Err(Fault::Incomplete) };
    let fault = |e: nom::Err<Expected<'a>>| match e {
        nom::Err::Error(e) | nom::Err::Failure(e) if !e.at.is_empty() => {
            Fault::Malformed { at: bytes.offset(e.at), expected: e.what }
        }
        _ => Fault::Incomplete,
    };
    // A comment has no quotes: it ends with the first newline.
    let physical = &bytes[..=newline];
    let (body, _) = blank(physical).map_err(fault)?;
    match body {
        b"\n" if dialect == Dialect::Text => Ok((Line::Blank, physical.len())),
        b"\n" => Err(Fault::Malformed { at: 0, expected: "no blank line" }),
        [b'#', ..] => {
            let (_, said) = comment(dialect, body).map_err(fault)?;
            Ok((said, physical.len()))
        }
        _ => {
            layout.labels.clear();
            let body = &bytes[bytes.offset(body)..];
            let (rest, ()) = sample(dialect, bytes, body, layout).map_err(fault)?;
            let length = bytes.offset(rest);
            layout.end = length as u32;
            let newlines = memchr::memchr_iter(b'\n', &bytes[newline..length]).count();
            layout.raw_newlines = newlines as u32 - 1;
            layout.escaped = memchr::memchr(b'\\', &bytes[..length]).is_some();
            Ok((Line::Sample, length))
        }
    }
}

/// Whether two labels have one name. Prometheus 2 refuses the scrape for it, 3 does not notice.
pub fn has_duplicate_label(line: &[u8], labels: &[LabelSpan]) -> bool {
    let name = |label: &LabelSpan| unquoted(label.name.of(line));
    labels.iter().enumerate().any(|(i, a)| labels[..i].iter().any(|b| name(a) == name(b)))
}

/// nom's error: what was expected, and the input left at that place.
#[derive(Debug)]
struct Expected<'a> {
    at: &'a [u8],
    what: &'static str,
}

impl<'a> ParseError<&'a [u8]> for Expected<'a> {
    fn from_error_kind(at: &'a [u8], _: ErrorKind) -> Self {
        Self { at, what: "something else" }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

type Parsed<'a, T> = IResult<&'a [u8], T, Expected<'a>>;

/// Names what `parser` looks for, for the error.
fn expect<'a, T>(
    what: &'static str,
    mut parser: impl Parser<&'a [u8], Output = T, Error = Expected<'a>>,
) -> impl FnMut(&'a [u8]) -> Parsed<'a, T> {
    move |i| parser.parse(i).map_err(|e| e.map(|e| Expected { at: e.at, what }))
}

// comment = "#" [ ws+ ( "HELP" | "TYPE" ) ws+ name [ ws text ] ] ; anything else after "#" is free text
fn comment(dialect: Dialect, i: &[u8]) -> Parsed<'_, Line<'_>> {
    if dialect == Dialect::OpenMetrics && matches!(i, b"# EOF\n") {
        return Ok((&[], Line::Eof));
    }
    let text = verify(rest, |text: &[u8]| !text.contains(&0) && std::str::from_utf8(text).is_ok());
    expect("a comment in UTF-8 without NUL", text).parse(i)?;
    let keyword = |word| (char('#'), blank1, tag(word), blank1);
    if let Ok((i, _)) = keyword("HELP").parse(i) {
        let (i, family) = meta_name(i)?;
        expect("a blank or the line's end after the family's name", meta_end).parse(i)?;
        return Ok((i, Line::Help(family)));
    }
    if let Ok((i, _)) = keyword("TYPE").parse(i) {
        let (i, family) = meta_name(i)?;
        // Exactly one blank: Prometheus takes a second one as part of the type's name.
        let (i, _) = expect("one blank", blank_byte).parse(i)?;
        let (i, kind) = match dialect {
            Dialect::Text => expect(TEXT_TYPES, text_kind).parse(i)?,
            Dialect::OpenMetrics => expect(OPENMETRICS_TYPES, openmetrics_kind).parse(i)?,
        };
        return Ok((i, Line::Type(family, kind)));
    }
    if dialect == Dialect::OpenMetrics {
        let mut unit = (keyword("UNIT"), metric_name, char(' '), is_not("\n"));
        expect("HELP, TYPE, UNIT or EOF", |i| unit.parse(i).map(|(i, _)| (i, ()))).parse(i)?;
    }
    Ok((i, Line::Comment))
}

fn meta_name(i: &[u8]) -> Parsed<'_, &[u8]> {
    expect("a family name", alt((metric_name, recognize(quoted)))).parse(i)
}

fn meta_end(i: &[u8]) -> Parsed<'_, ()> {
    alt((char('\n').map(drop), blank_byte)).parse(i)
}

fn text_kind(i: &[u8]) -> Parsed<'_, Kind> {
    let word = alt((
        tag("counter").map(|_| Kind::Other),
        tag("gauge").map(|_| Kind::Other),
        tag("histogram").map(|_| Kind::Histogram),
        tag("summary").map(|_| Kind::Summary),
        tag("untyped").map(|_| Kind::Other),
    ));
    pair(word, char('\n')).map(|(kind, _)| kind).parse(i)
}

fn openmetrics_kind(i: &[u8]) -> Parsed<'_, Kind> {
    let word = alt((
        tag("counter").map(|_| Kind::Other),
        tag("gaugehistogram").map(|_| Kind::Histogram),
        tag("gauge").map(|_| Kind::Other),
        tag("histogram").map(|_| Kind::Histogram),
        tag("summary").map(|_| Kind::Summary),
        tag("info").map(|_| Kind::Other),
        tag("stateset").map(|_| Kind::Other),
        tag("unknown").map(|_| Kind::Other),
    ));
    pair(word, char('\n')).map(|(kind, _)| kind).parse(i)
}

// sample = ( name ws [ labels ] | labels-with-name ) ws value [ ws timestamp ] [ exemplar ] ws LF
fn sample<'a>(
    dialect: Dialect,
    line: &'a [u8],
    i: &'a [u8],
    layout: &mut Layout,
) -> Parsed<'a, ()> {
    let (i, name) = opt(metric_name).parse(i)?;
    let (i, _) = blank(i)?;
    let (i, quoted_name) = match i.first() {
        Some(b'{') => labels(line, i, layout)?,
        _ => (i, None),
    };
    layout.name = match (name, quoted_name) {
        (Some(name), None) | (None, Some(name)) => span(line, name),
        (None, None) => return fail(line, "a metric name"),
        (Some(_), Some(second)) => return fail(second, "one metric name, not two"),
    };
    let (i, _) = blank(i)?;
    let (i, number) = expect("a number", number).parse(i)?;
    layout.value = span(line, number);
    let (i, _) = match dialect {
        Dialect::Text => opt(preceded(blank1, integer_timestamp)).parse(i)?,
        Dialect::OpenMetrics => opt(preceded(blank1, float_timestamp)).parse(i)?,
    };
    let (i, _) = blank(i)?;
    let (i, _) = match dialect {
        Dialect::OpenMetrics => opt(exemplar).parse(i)?,
        Dialect::Text => (i, None),
    };
    expect("the line's end", char('\n')).parse(i).map(|(i, _)| (i, ()))
}

// labels = "{" ws [ item *( ws "," ws item ) [ ws "," ] ] ws "}" ; item = label | quoted metric name
fn labels<'a>(line: &'a [u8], i: &'a [u8], layout: &mut Layout) -> Parsed<'a, Option<&'a [u8]>> {
    let mut metric = None;
    let (mut i, _) = pair(char('{'), blank).parse(i)?;
    loop {
        if let Ok((i, _)) = brace_close(i) {
            return Ok((i, metric));
        }
        let (after, name) =
            expect("a label name or }", alt((label_name, recognize(quoted)))).parse(i)?;
        let (after, equals) = delimited(blank, opt(char('=')), blank).parse(after)?;
        let after = if equals.is_some() {
            let (after, value) = expect("a quoted label value", quoted).parse(after)?;
            if layout.labels.len() == MAX_LABELS || unquoted(name).is_empty() {
                return fail(name, "a label name, and at most 256 of them");
            }
            layout.labels.push(LabelSpan { name: span(line, name), value: span(line, value) });
            after
        } else if name.starts_with(b"\"") && name.len() > 2 && metric.is_none() {
            metric = Some(name);
            after
        } else {
            return fail(after, "= and a quoted label value");
        };
        (i, _) = blank(after)?;
        match char::<_, Expected<'_>>(',').parse(i) {
            Ok((after, _)) => (i, _) = blank(after)?,
            Err(_) => return expect(", or }", brace_close).parse(i).map(|(i, _)| (i, metric)),
        }
    }
}

// exemplar = "#" ws labels ws number [ ws timestamp ] ; copied, never looked into
fn exemplar(i: &[u8]) -> Parsed<'_, ()> {
    let mut ignored = Layout::default();
    let (i, _) = expect("an exemplar", (char('#'), blank1)).parse(i)?;
    let (i, _) = labels(i, i, &mut ignored)?;
    let (i, _) = (blank1, expect("a number", number)).parse(i)?;
    let (i, _) = opt(preceded(blank1, float_timestamp)).parse(i)?;
    blank(i).map(|(i, _)| (i, ()))
}

fn brace_close(i: &[u8]) -> Parsed<'_, char> {
    char('}').parse(i)
}

fn metric_name(i: &[u8]) -> Parsed<'_, &[u8]> {
    let start = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
    verify(take_while1(move |b: u8| start(b) || b.is_ascii_digit()), move |n: &[u8]| {
        n.first().is_some_and(|b| start(*b))
    })
    .parse(i)
}

fn label_name(i: &[u8]) -> Parsed<'_, &[u8]> {
    verify(metric_name, |name: &[u8]| !name.contains(&b':')).parse(i)
}

// quoted = DQUOTE *( "\" not-LF | not( DQUOTE | "\" ) ) DQUOTE ; valid UTF-8, raw LF allowed
fn quoted(i: &[u8]) -> Parsed<'_, &[u8]> {
    let escape = pair(char('\\'), take_while_m_n(1, 1, |b| b != b'\n'));
    let inside = recognize(many0_count(alt((is_not("\\\""), recognize(escape)))));
    let (end, value) = preceded(char('"'), inside).parse(i)?;
    if matches!(end, b"" | b"\\") {
        return Err(nom::Err::Incomplete(nom::Needed::Unknown));
    }
    let (end, _) = char('"').parse(end)?;
    let (_, value) =
        verify(rest, |value: &[u8]| std::str::from_utf8(value).is_ok()).parse(value)?;
    Ok((end, value))
}

fn number(i: &[u8]) -> Parsed<'_, &[u8]> {
    let (end, text) = is_not("{ \t\n").parse(i)?;
    if end.is_empty() {
        return Err(nom::Err::Incomplete(nom::Needed::Unknown));
    }
    if is_float(text) { Ok((end, text)) } else { fail(i, "a number") }
}

fn integer_timestamp(i: &[u8]) -> Parsed<'_, &[u8]> {
    let digits = take_while1(|b: u8| b.is_ascii_digit());
    expect(
        "a timestamp in milliseconds",
        verify(digits, |d: &[u8]| std::str::from_utf8(d).is_ok_and(|d| d.parse::<i64>().is_ok())),
    )
    .parse(i)
}

fn float_timestamp(i: &[u8]) -> Parsed<'_, &[u8]> {
    let number = verify(take_till(|b: u8| matches!(b, b' ' | b'\n' | b'#')), |text: &[u8]| {
        text.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-') && is_float(text)
    });
    expect("a timestamp in seconds", number).parse(i)
}

fn blank(i: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(|b: u8| b == b' ' || b == b'\t').parse(i)
}

fn blank1(i: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|b: u8| b == b' ' || b == b'\t').parse(i)
}

fn blank_byte(i: &[u8]) -> Parsed<'_, ()> {
    alt((char(' '), char('\t'))).map(drop).parse(i)
}

fn fail<'a, T>(at: &'a [u8], what: &'static str) -> Parsed<'a, T> {
    Err(nom::Err::Failure(Expected { at, what }))
}

fn span(line: &[u8], part: &[u8]) -> Span {
    let start = line.offset(part) as u32;
    Span { start, end: start + part.len() as u32 }
}

const TEXT_TYPES: &str = "counter, gauge, histogram, summary or untyped, and the line's end";
const OPENMETRICS_TYPES: &str = "counter, gauge, histogram, gaugehistogram, summary, info, stateset or unknown, and the line's end";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Line<'_>, Layout), Fault> {
        let mut layout = Layout::default();
        line(Dialect::Text, text.as_bytes(), &mut layout).map(|(said, length)| {
            assert_eq!(length, text.len());
            (said, layout)
        })
    }

    fn parts(text: &str) -> (String, Vec<(String, String)>, String) {
        let (said, layout) = read(text).unwrap();
        assert_eq!(said, Line::Sample);
        let of = |span: Span| text[span.range()].to_owned();
        let labels = layout.labels.iter().map(|l| (of(l.name), of(l.value))).collect();
        (of(layout.name), labels, of(layout.value))
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_sample_comes_apart() {
        assert_eq!(parts("kong_x 1\n"), ("kong_x".into(), vec![], "1".into()));
        assert_eq!(
            parts(" kong:x { service = \"a\\\"}b\" ,\tle=\"+Inf\" , } nan 17\n"),
            ("kong:x".into(), vec![pair("service", "a\\\"}b"), pair("le", "+Inf")], "nan".into())
        );
        assert_eq!(
            parts("{service=\"s\",\"kong.x\",\"my.label\"=\"v\"}6\n"),
            (
                "\"kong.x\"".into(),
                vec![pair("service", "s"), pair("\"my.label\"", "v")],
                "6".into()
            )
        );
    }

    #[test]
    fn metadata_is_told_from_comments() {
        assert_eq!(read("# HELP kong_x a \"b\n").unwrap().0, Line::Help(b"kong_x"));
        assert_eq!(read("# HELP kong_x\n").unwrap().0, Line::Help(b"kong_x"));
        assert_eq!(
            read("#  TYPE\tkong_x histogram\n").unwrap().0,
            Line::Type(b"kong_x", Kind::Histogram)
        );
        assert_eq!(
            read("# TYPE \"kong.x\" gauge\n").unwrap().0,
            Line::Type(b"\"kong.x\"", Kind::Other)
        );
        for comment in
            ["#\n", "# \n", "#HELP kong_x y\n", "# HELP\n", "# UNIT kong_x s\n", "# EOF\n"]
        {
            assert_eq!(read(comment).unwrap().0, Line::Comment, "{comment:?}");
        }
        assert_eq!(read(" \t\n").unwrap().0, Line::Blank);
    }

    #[test]
    fn a_fault_says_where_and_what_was_expected() {
        let fault = |text: &str| match read(text) {
            Err(Fault::Malformed { at, expected }) => (at, expected),
            other => panic!("{other:?}"),
        };
        assert_eq!(fault("kong_x{,} 1\n"), (7, "a label name or }"));
        assert_eq!(fault("kong_x 1 -5\n"), (9, "the line's end"));
        assert_eq!(fault("kong_x 0x1p4\n"), (7, "a number"));
        assert_eq!(fault("# TYPE x foo\n"), (9, TEXT_TYPES));
        assert_eq!(fault("kong_x{\"kong_y\"} 1\n"), (7, "one metric name, not two"));
        assert_eq!(fault("{a=\"b\"} 1\n"), (0, "a metric name"));
        assert_eq!(fault("x{a=\"b\\\n\"} 1\n"), (6, "a quoted label value"));
    }

    #[test]
    fn a_newline_ends_a_line_outside_quotes_only() {
        let mut layout = Layout::default();
        let length = |bytes: &[u8], layout: &mut Layout| {
            line(Dialect::Text, bytes, layout).map(|(_, length)| length)
        };
        assert_eq!(length(b"a 1\nb 2\n", &mut layout), Ok(4));
        assert_eq!(length(b"a{b=\"x\ny\n\"} 1\nb 2\n", &mut layout), Ok(14));
        assert_eq!(layout.raw_newlines, 2);
        assert_eq!(length(b"# HELP a \"\nb 2\n", &mut layout), Ok(11));
    }

    #[test]
    fn what_may_still_become_a_line_is_incomplete() {
        let whole = "kong_x{a=\"b\nc\\\"\",le=\"1\"} 1e5 17\n";
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]).map(|_| ()), Err(Fault::Incomplete), "{cut}");
        }
    }
}
