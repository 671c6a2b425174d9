//! Any bytes: framing, grammar and the quick way never panic, always get on, and never contradict
//! each other.
#![no_main]

use kong_metrics_exporter::exposition::frame::{Frame, Next};
use kong_metrics_exporter::exposition::grammar::{self, Dialect, Line};
use kong_metrics_exporter::exposition::quick::Quick;
use kong_metrics_exporter::exposition::{Layout, Span};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut body = body.to_vec();
    body.push(b'\n');
    read(Dialect::Text, &body);
    read(Dialect::OpenMetrics, &body);
});

fn read(dialect: Dialect, body: &[u8]) {
    let (mut frame, mut layout) = (Frame::new(dialect), Layout::default());
    let (mut quick, mut previous): (Quick, &[u8]) = (Quick::default(), b"");
    let mut rest = body;
    while !rest.is_empty() {
        let taken = if frame.is_clear() { quick.scan(previous, rest) } else { None };
        let next = frame.next(rest, true, &mut layout);
        let length = match next {
            Next::Line(_, length) | Next::Malformed { length, .. } => length,
            // What follows is `Skip`, which gets on.
            Next::TooLong(length) => length,
            Next::Skip(length) => length,
            Next::More => panic!("more wanted after the last byte"),
        };
        let line = &rest[..length];
        assert!(length > 0 || matches!(next, Next::TooLong(_)));
        if let Next::Line(said, _) = next {
            assert!(line.ends_with(b"\n"), "{}", line.escape_ascii());
            let mut alone = Layout::default();
            assert_eq!(grammar::line(dialect, line, &mut alone), Ok((said, length)));
            if said == Line::Sample {
                assert_eq!(alone, layout, "{}", line.escape_ascii());
                check(&layout, line);
            }
        }
        if taken.is_some() {
            assert_eq!(next, Next::Line(Line::Sample, length), "{}", line.escape_ascii());
            assert_eq!(quick.layout(), &layout, "{}", line.escape_ascii());
            assert!(!grammar::has_duplicate_label(line, &layout.labels));
            previous = line;
        }
        rest = &rest[length..];
    }
}

/// What a sample is made of comes in order and does not overlap. (A quoted metric name stands
/// somewhere among the labels.)
fn check(layout: &Layout, line: &[u8]) {
    assert_eq!(layout.end as usize, line.len());
    let mut at = 0;
    let mut follows = |span: Span| {
        assert!(at <= span.start && span.start <= span.end, "{}", line.escape_ascii());
        at = span.end;
    };
    if !layout.name.of(line).starts_with(b"\"") {
        follows(layout.name);
    }
    for label in &layout.labels {
        follows(label.name);
        follows(label.value);
    }
    follows(layout.value);
    assert!(layout.value.end <= layout.end && !layout.value.of(line).is_empty());
}
