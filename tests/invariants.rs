//! What holds for any bytes, with generated bodies: mostly Kong's shape, some of every odd shape the
//! format allows, some that it does not.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

#[path = "../src/exposition/arbitrary.rs"]
mod arbitrary;
#[allow(dead_code)] // each test takes what it needs
#[path = "common/reader.rs"]
mod reader;
#[allow(dead_code)] // each test takes what it needs
#[path = "common/rewriting.rs"]
mod rewriting;

use kong_metrics_exporter::exposition::grammar::{self, Dialect, Line};
use kong_metrics_exporter::exposition::{Layout, MAX_LINE, escape};
use kong_metrics_exporter::mapping::Snapshot;
use kong_metrics_exporter::rewrite::{FamilyFilter, LabelNames, Memo, Reason, Rewriter, Selection};
use proptest::prelude::*;
use rewriting::Setup;
use std::sync::Arc;

/// With a mapping that gives two names one Service, so that only Kong's name tells them apart.
fn setup() -> Setup {
    Setup::mapping(&[("httproute.a.b.0", &["default/echo"]), ("service", &["a/x", "b/y"])])
}

/// Several lines.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(arbitrary::line(), 0..25).prop_map(|lines| lines.concat())
}

/// Every line, cut as the grammar cuts it; `None` where a line is malformed.
fn lines(text: &[u8]) -> Option<Vec<(&[u8], Option<Layout>)>> {
    let (mut rest, mut lines) = (text, Vec::new());
    while !rest.is_empty() {
        let mut layout = Layout::default();
        let (said, length) = grammar::line(Dialect::Text, rest, &mut layout).ok()?;
        lines.push((&rest[..length], (said == Line::Sample).then_some(layout)));
        rest = &rest[length..];
    }
    Some(lines)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Invariant 7: cuts make no difference, to the bytes or to the counts.
    #[test]
    fn chunks_make_no_difference(body in body(), cuts in prop::collection::vec(1usize..90, 1..40)) {
        let whole = setup().rewrite(&body);
        let (mut rest, mut chunks, mut sizes) = (&body[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            chunks.push(head);
            rest = tail;
        }
        let cut = setup().rewrite_chunks(chunks);
        prop_assert_eq!(String::from_utf8_lossy(&cut.text), String::from_utf8_lossy(&whole.text));
        prop_assert_eq!(cut.stats, whole.stats);
        prop_assert_eq!(cut.whole, whole.whole);
        let bytes = setup().rewrite_chunks(body.chunks(1));
        prop_assert_eq!(bytes.text, whole.text);
    }

    /// Invariants 5 and 12: whatever comes in, what goes out is an exposition that every parser
    /// reads, without raw newlines in quotes, repeated metadata or labels said twice.
    #[test]
    fn the_output_is_always_an_exposition(body in body()) {
        let outcome = setup().rewrite(&body);
        let lines = lines(&outcome.text);
        prop_assert!(lines.is_some(), "{}", String::from_utf8_lossy(&outcome.text));
        for (line, layout) in lines.unwrap() {
            if let Some(layout) = layout {
                prop_assert_eq!(layout.raw_newlines, 0);
                prop_assert!(!grammar::has_duplicate_label(line, &layout.labels), "{}", line.escape_ascii());
            }
        }
        // The tests' own reader agrees; it panics on what it cannot read.
        reader::samples(&outcome.text);
    }

    /// Invariant 2: samples out = samples in, in their order, with their values; only labels differ.
    #[test]
    fn samples_keep_their_order_and_values(body in body()) {
        let outcome = setup().rewrite(&body);
        let samples = reader::samples(&outcome.text);
        prop_assert_eq!(samples.len() as u64, outcome.stats.samples_in);
        prop_assert_eq!(outcome.stats.samples_out(), outcome.stats.samples_in);
        if outcome.stats.first_drop.is_none() && outcome.whole {
            let before = reader::kong_samples(&body);
            prop_assert_eq!(before.len(), samples.len());
            for (before, after) in before.iter().zip(&samples) {
                prop_assert_eq!((&before.value, &before.rest), (&after.value, &after.rest));
                prop_assert_eq!(&before.labels["__name__"], &after.labels["__name__"]);
                for (name, value) in &before.labels {
                    if name != "service" {
                        prop_assert_eq!(after.labels.get(name), Some(value), "{}", name);
                    }
                }
            }
        }
    }

    /// Invariant 11: the output goes through unchanged.
    #[test]
    fn a_second_pass_changes_nothing(body in body()) {
        let first = setup().rewrite(&body);
        let second = setup().rewrite(&first.text);
        prop_assert_eq!(String::from_utf8_lossy(&second.text), String::from_utf8_lossy(&first.text));
    }

    /// Invariant 8: lines do not depend on the lines around them. Quoted newlines aside, a body put
    /// in another order gives its lines in that order. (Metadata is left out: the first one counts.)
    #[test]
    fn lines_do_not_depend_on_their_neighbours(
        mut lines in prop::collection::vec(arbitrary::line(), 0..20), seed: u64,
    ) {
        lines.retain(|line| {
            let mut layout = Layout::default();
            let said = grammar::line(Dialect::Text, line, &mut layout);
            matches!(said, Ok((Line::Sample, length)) if length == line.len())
        });
        let alone: Vec<Vec<u8>> = lines.iter().map(|line| setup().rewrite(line).text).collect();
        let mut order: Vec<usize> = (0..lines.len()).collect();
        order.sort_by_key(|i| (*i as u64).wrapping_mul(seed | 1).rotate_left(17));
        let body: Vec<u8> = order.iter().flat_map(|i| lines[*i].clone()).collect();
        let expected: Vec<u8> = order.iter().flat_map(|i| alone[*i].clone()).collect();
        let got = setup().rewrite(&body).text;
        prop_assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected));
    }

    /// A memo of earlier scrapes changes nothing.
    #[test]
    fn a_memo_changes_nothing(first in body(), second in body()) {
        let snapshot = setup().snapshot;
        let labels = Arc::new(LabelNames::default());
        let run = |memo: Memo, body: &[u8]| {
            let (filter, everything) = (Arc::new(FamilyFilter::default()), Selection::default());
            let mut rewriter = Rewriter::new(Arc::clone(&labels), filter, everything, Arc::clone(&snapshot), memo);
            let mut out = Vec::new();
            rewriter.push(body, &mut out);
            rewriter.finish(&mut out);
            let (memo, stats) = rewriter.into_parts();
            (out, memo, stats)
        };
        let (_, memo, _) = run(Memo::default(), &first);
        let (fresh, fresh_memo, fresh_stats) = run(Memo::default(), &second);
        let (kept, kept_memo, kept_stats) = run(memo, &second);
        prop_assert_eq!(kept, fresh);
        prop_assert_eq!(kept_stats, fresh_stats);
        let names = |memo: &Memo| {
            let mut names: Vec<_> = memo.names().map(|(label, name)| (format!("{label:?}"), name.to_owned())).collect();
            names.sort();
            names
        };
        prop_assert_eq!(names(&kept_memo), names(&fresh_memo));
    }

    /// Invariant 10: no bytes whatever make it panic, and it holds back no more than a line.
    #[test]
    fn nothing_panics(body: Vec<u8>, size in 1usize..50) {
        setup().rewrite_chunks(body.chunks(size));
    }

    /// Any label value comes through printing and rewriting as it was.
    #[test]
    fn any_name_comes_through(name in "\\PC{1,30}|[a\"\\\\\n]{1,12}") {
        let mut printed = Vec::new();
        escape(name.as_bytes(), &mut printed);
        let line = format!("x{{service=\"{}\"}} 1\n", String::from_utf8(printed).unwrap());
        let setup = Setup { snapshot: Arc::new(Snapshot::default()), ..Setup::default() };
        let samples = reader::samples(&setup.rewrite(line).text);
        prop_assert_eq!(&samples[0].labels["kong_service"], &name);
    }
}

#[test]
fn numbers_are_copied_byte_for_byte() {
    let long = "9".repeat(300);
    for number in ["nan", "-0", "1e+14", "+5", ".5", "5.", "1E-05", "Infinity", &long] {
        let line = format!("x{{a=\"b\"}} {number}\n");
        assert_eq!(Setup::default().rewrite(&line).utf8(), line);
    }
}

#[test]
fn incomplete_histograms_pass_as_they_are() {
    let text = "# TYPE h histogram\nh_bucket{le=\"25\"} 9\nh_bucket{le=\"50\"} 3\nh_count 17\n# TYPE g histogram\ng_sum 1\n";
    assert_eq!(Setup::default().rewrite(text).utf8(), text);
}

#[test]
fn a_line_may_have_64_kib_and_no_more() {
    let line = |length: usize| {
        let frame = "x{a=\"\"} 1\n".len();
        format!("x{{a=\"{}\"}} 1\n", "v".repeat(length - frame))
    };
    for size in [1 << 20, 1000] {
        let text = [line(MAX_LINE), line(MAX_LINE + 1), line(50)].concat();
        let outcome = Setup::default().rewrite_chunks(text.as_bytes().chunks(size));
        assert!(outcome.utf8() == [line(MAX_LINE), line(50)].concat(), "in chunks of {size}");
        assert_eq!(outcome.stats.dropped_for(Reason::TooLong), 1);
    }
}

/// Bodies made to be slow. There is no clock here: quadratic time would take hours.
#[test]
fn time_is_linear_in_hostile_bodies() {
    let million = 1_000_000;
    for body in ["\"", ",", "{", "\\", "\n", "x{a=\"\n", "x{a=\"\\\"\n", "\"\\\"\n", "#", " "] {
        let body = body.repeat(million / body.len());
        for size in [65_536, 999] {
            setup().rewrite_chunks(body.as_bytes().chunks(size));
        }
    }
    let long = "v".repeat(100 * million);
    let outcome =
        setup().rewrite_chunks(format!("x{{a=\"{long}\"}} 1\ny 2\n").as_bytes().chunks(65_536));
    assert_eq!(outcome.text.len(), 4);
}
