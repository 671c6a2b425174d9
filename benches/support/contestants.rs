//! What takes part in the comparison inside this process: the rewriter in several settings, the
//! floors no rewriter gets under, a line scan that checks nothing, and published parsers.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use kong_metrics_exporter::mapping::Snapshot;
use kong_metrics_exporter::rewrite::{FamilyFilter, LabelNames, Memo, Rewriter, Selection};

/// A body and the mapping that belongs to it.
pub(crate) struct Input {
    /// The exposition.
    pub(crate) body: Vec<u8>,
    /// For the rewriter.
    pub(crate) snapshot: Arc<Snapshot>,
    /// For the line scan: Kong's name to the labels that stand in its place.
    pub(crate) labels: HashMap<Vec<u8>, Vec<u8>>,
    /// How long the rewritten body is.
    pub(crate) output_bytes: usize,
}

/// Does the whole body once; returns the bytes written, 0 for what only reads.
pub(crate) type Run = Box<dyn FnMut(&Input) -> usize>;

/// One row of the table.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

/// The row that says what the product does: a sidecar keeps its memo from scrape to scrape.
pub(crate) const OURS: &str = "rewrite, 64 KiB chunks";
/// The row that no copying rewriter gets under.
pub(crate) const FLOOR: &str = "memcpy of the output's bytes";

/// All of them, in the table's order.
pub(crate) fn all() -> Vec<Contestant> {
    let contestant = |name, run: Run| Contestant { name, run };
    let mut kept = Memo::default();
    let mut kept_small = Memo::default();
    let mut kept_fresh_buffers = Memo::default();
    vec![
        contestant(
            OURS,
            Box::new(move |input| rewrite_keeping(&mut kept, input, 64 << 10, Buffers::Reused)),
        ),
        contestant(
            "rewrite, 64 KiB chunks, first scrape",
            Box::new(|input| {
                rewrite_keeping(&mut Memo::default(), input, 64 << 10, Buffers::Reused)
            }),
        ),
        contestant(
            "rewrite, 16 KiB chunks",
            Box::new(move |input| {
                rewrite_keeping(&mut kept_small, input, 16 << 10, Buffers::Reused)
            }),
        ),
        contestant(
            "rewrite, 64 KiB chunks, a buffer each",
            Box::new(move |input| {
                rewrite_keeping(&mut kept_fresh_buffers, input, 64 << 10, Buffers::OneEach)
            }),
        ),
        contestant("line scan, nothing checked", Box::new(scan)),
        contestant(FLOOR, Box::new(|input| copy(&input.body, input.output_bytes))),
        contestant("memcpy of the input", Box::new(|input| copy(&input.body, input.body.len()))),
        contestant(
            "memchr, newlines counted",
            Box::new(|input| {
                black_box(memchr::memchr_iter(b'\n', black_box(&input.body)).count());
                0
            }),
        ),
        contestant(
            "prom_text_format_parser 0.1.0, parse only",
            Box::new(|input| {
                black_box(prom_text_format_parser::parse_scrape(text(input)).0.len());
                0
            }),
        ),
        contestant(
            "prometheus-exposition-format-rs 0.1.2, parse only",
            Box::new(|input| {
                let parsed = prometheus_exposition_format_rs::parse_complete(text(input));
                black_box(parsed.is_ok_and(|metrics| !metrics.is_empty()));
                0
            }),
        ),
        contestant(
            "prometheus-parse 0.2.5, parse only",
            Box::new(|input| {
                let lines = text(input).lines().map(|line| Ok(line.to_owned()));
                black_box(
                    prometheus_parse::Scrape::parse(lines).is_ok_and(|s| !s.samples.is_empty()),
                );
                0
            }),
        ),
    ]
}

/// What becomes of the buffer the rewriter writes into.
#[derive(Clone, Copy)]
pub(crate) enum Buffers {
    /// Emptied and used again.
    Reused,
    /// Given away with each chunk, as to a socket that takes a while.
    OneEach,
}

fn rewrite_keeping(memo: &mut Memo, input: &Input, chunk: usize, buffers: Buffers) -> usize {
    let mut written = 0;
    *memo = rewrite(std::mem::take(memo), input, chunk, buffers, |bytes| {
        written += black_box(bytes).len();
    });
    written
}

/// The rewriter over the whole body in chunks of this size; `sink` sees every piece it puts out.
pub(crate) fn rewrite(
    memo: Memo,
    input: &Input,
    chunk: usize,
    buffers: Buffers,
    mut sink: impl FnMut(&[u8]),
) -> Memo {
    let mut rewriter = Rewriter::new(
        Arc::new(LabelNames::default()),
        Arc::new(FamilyFilter::default()),
        Selection::default(),
        Arc::clone(&input.snapshot),
        memo,
    );
    let mut out = Vec::new();
    for piece in input.body.chunks(chunk) {
        match buffers {
            Buffers::Reused => out.clear(),
            // Room for what seven labels make of a chunk; growing would copy.
            Buffers::OneEach => out = Vec::with_capacity(piece.len() * 5 / 2),
        }
        rewriter.push(piece, &mut out);
        sink(&out);
    }
    out.clear();
    rewriter.finish(&mut out);
    sink(&out);
    rewriter.into_parts().0
}

/// Copies `total` bytes in pieces of 64 KiB into one buffer, going round the body as often as needed.
fn copy(body: &[u8], total: usize) -> usize {
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    for piece in body.chunks(64 << 10).cycle() {
        let piece = &piece[..piece.len().min(total - copied)];
        buffer[..piece.len()].copy_from_slice(black_box(piece));
        black_box(&mut buffer);
        copied += piece.len();
        if copied == total {
            break;
        }
    }
    copied
}

/// What a careful sidecar would do without a grammar: split at newlines, walk the labels to
/// `service`, put the new ones in its place. The same algorithm as `go-scan-rewrite`.
fn scan(input: &Input) -> usize {
    let mut out: Vec<u8> = Vec::with_capacity(256 << 10);
    let mut written = 0;
    let mut rest = input.body.as_slice();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, tail) = rest.split_at(end + 1);
        rest = tail;
        let found = find_service(line).and_then(|(start, value, end)| {
            Some((&line[..start], input.labels.get(&line[value..end])?, &line[end + 1..]))
        });
        match found {
            Some((before, labels, after)) => {
                out.extend_from_slice(before);
                out.extend_from_slice(labels);
                out.extend_from_slice(after);
            }
            None => out.extend_from_slice(line),
        }
        if out.len() > 128 << 10 {
            written += black_box(&out).len();
            out.clear();
        }
    }
    written + black_box(&out).len()
}

/// Where the label starts, where its value starts, where it ends.
fn find_service(line: &[u8]) -> Option<(usize, usize, usize)> {
    if line.first() == Some(&b'#') {
        return None;
    }
    let mut at = memchr::memchr(b'{', line)? + 1;
    loop {
        while line.get(at) == Some(&b',') {
            at += 1;
        }
        let value = at + memchr::memchr(b'"', &line[at..])? + 1;
        let mut end = value;
        loop {
            end += memchr::memchr(b'"', &line[end..])?;
            let escapes = line[..end].iter().rev().take_while(|&&b| b == b'\\').count();
            if escapes % 2 == 0 {
                break;
            }
            end += 1;
        }
        if &line[at..value] == b"service=\"" {
            return Some((at, value, end));
        }
        at = end + 1;
    }
}

/// The generator prints ASCII.
fn text(input: &Input) -> &str {
    std::str::from_utf8(&input.body).unwrap_or_default()
}
