//! Any bytes: framing, grammar and the quick way never panic, and never contradict each other.
#![no_main]

use kong_metrics_exporter::exposition::frame::Frame;
use kong_metrics_exporter::exposition::grammar::{self, Dialect, Line};
use kong_metrics_exporter::exposition::quick::Quick;
use kong_metrics_exporter::exposition::{Layout, Span};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut quick = Quick::default();
    let mut previous: &[u8] = b"";
    let mut rest = body;
    while let Some(end) = Frame::default().end(rest) {
        let line = &rest[..end];
        assert_eq!(end_in_pieces(line, 1 + body.len() % 13), Some(end));
        let mut layout = Layout::default();
        let said = grammar::line(Dialect::Text, line, &mut layout);
        if said == Ok(Line::Sample) {
            check_layout(&layout, line);
        }
        if quick.scan(previous, rest).is_some() {
            assert_eq!(said, Ok(Line::Sample), "{}", line.escape_ascii());
            assert_eq!(quick.layout(), &layout, "{}", line.escape_ascii());
            assert!(!grammar::has_duplicate_label(line, &layout.labels));
            previous = line;
        }
        let _ = grammar::line(Dialect::OpenMetrics, line, &mut layout);
        rest = &rest[end..];
    }
    let _ = grammar::line(Dialect::Text, rest, &mut Layout::default());
});

/// What a sample is made of comes in order and does not overlap.
fn check_layout(layout: &Layout, line: &[u8]) {
    assert_eq!(layout.end as usize, line.len());
    let mut at = 0;
    let mut follows = |span: Span| {
        assert!(at <= span.start && span.start <= span.end, "{}", line.escape_ascii());
        at = span.end;
    };
    let name_is_first = layout.labels.first().is_none_or(|l| layout.name.start < l.name.start);
    if name_is_first && !layout.name.of(line).starts_with(b"\"") {
        follows(layout.name);
    }
    for label in &layout.labels {
        follows(label.name);
        follows(label.value);
    }
    follows(layout.value);
    assert!(layout.value.end <= layout.end);
    assert!(!layout.value.of(line).is_empty());
}

fn end_in_pieces(line: &[u8], length: usize) -> Option<usize> {
    let mut frame = Frame::default();
    let mut before = 0;
    for piece in line.chunks(length) {
        if let Some(end) = frame.end(piece) {
            return Some(before + end);
        }
        before += piece.len();
    }
    None
}
