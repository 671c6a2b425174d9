//! Any bytes, cut anywhere: the output is that of one piece, holds nothing the grammar refuses, and
//! stays as it is when it is rewritten again.
#![no_main]

use std::sync::{Arc, LazyLock};

use kong_metrics_exporter::exposition::Layout;
use kong_metrics_exporter::exposition::grammar::{self, Dialect};
use kong_metrics_exporter::mapping::{self, Snapshot};
use kong_metrics_exporter::rewrite::{
    FamilyFilter, LabelNames, Memo, Rewriter, Selection, Stats, Verdict,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let whole = rewrite(std::iter::once(body), Memo::default());
    let cut = rewrite(pieces(body), Memo::default());
    assert_same(&cut.output, &whole.output);
    assert_eq!((cut.verdict, &cut.stats), (whole.verdict, &whole.stats));
    // What an earlier body left behind makes no difference.
    assert_same(&rewrite(pieces(body), whole.memo).output, &whole.output);

    if whole.verdict == Verdict::SomethingElse {
        return; // nobody gets to see it
    }
    assert_eq!(whole.stats.bytes_out, whole.output.len() as u64);
    let mut rest = whole.output.as_slice();
    while !rest.is_empty() {
        let said = grammar::line(Dialect::Text, rest, &mut Layout::default());
        let Ok((_, length)) = said else { panic!("{said:?}: {}", rest.escape_ascii()) };
        rest = &rest[length..];
    }
    let again = rewrite(std::iter::once(whole.output.as_slice()), Memo::default());
    assert_same(&again.output, &whole.output);
    assert_eq!(again.stats.samples_rewritten, 0);
});

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    Arc::new(mapping::file::parse(include_bytes!("../mapping.json")).expect("a mapping file"))
});

struct Rewritten {
    output: Vec<u8>,
    verdict: Verdict,
    stats: Stats,
    memo: Memo,
}

fn rewrite<'a>(pieces: impl Iterator<Item = &'a [u8]>, memo: Memo) -> Rewritten {
    let mut rewriter = Rewriter::new(
        Arc::new(LabelNames::default()),
        Arc::new(FamilyFilter::default()),
        Selection::default(),
        Arc::clone(&SNAPSHOT),
        memo,
    );
    let mut output = Vec::new();
    for piece in pieces {
        rewriter.push(piece, &mut output);
    }
    rewriter.finish(&mut output);
    let verdict = rewriter.verdict();
    let (memo, stats) = rewriter.into_parts();
    Rewritten { output, verdict, stats, memo }
}

/// Cuts the body into pieces of 0 to 63 bytes, drawn from the body itself: every mutation cuts
/// elsewhere, and a corpus stays readable.
fn pieces(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let length = ((state >> 40) % 64).min(rest.len() as u64) as usize;
        let (piece, tail) = rest.split_at(length);
        rest = tail;
        Some(piece)
    })
}

/// Like `assert_eq`, but for people to read.
fn assert_same(left: &[u8], right: &[u8]) {
    assert!(left == right, "\n{}\n{}", left.escape_ascii(), right.escape_ascii());
}
