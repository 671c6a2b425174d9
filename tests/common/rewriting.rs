//! Running the rewriter over whole texts.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

use std::sync::Arc;

use kong_metrics_exporter::exposition::grammar::Dialect;
use kong_metrics_exporter::mapping::Snapshot;
use kong_metrics_exporter::rewrite::{FamilyFilter, LabelNames, Memo, Rewriter, Selection, Stats};

/// How a text is rewritten; the default is the exporter's, without a mapping.
#[derive(Default, Clone)]
pub(crate) struct Setup {
    pub(crate) labels: LabelNames,
    pub(crate) filter: FamilyFilter,
    pub(crate) selection: Selection,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) dialect: Dialect,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) text: Vec<u8>,
    pub(crate) stats: Stats,
    /// What `finish` said.
    pub(crate) whole: bool,
}

impl Setup {
    /// With what `resolve` would print for these services: (name, backends as `namespace/service`).
    pub(crate) fn mapping(services: &[(&str, &[&str])]) -> Self {
        let entry = |backends: &[&str]| {
            let backend = |b: &&str| {
                let (namespace, service) = b.split_once('/').unwrap();
                serde_json::json!({ "namespace": namespace, "service": service })
            };
            serde_json::json!({ "backends": backends.iter().map(backend).collect::<Vec<_>>() })
        };
        let services: serde_json::Map<_, _> =
            services.iter().map(|(name, b)| ((*name).to_owned(), entry(b))).collect();
        Self::mapping_file(&serde_json::json!({ "services": services }).to_string())
    }

    /// With this mapping file.
    pub(crate) fn mapping_file(text: &str) -> Self {
        let snapshot = kong_metrics_exporter::mapping::file::parse(text.as_bytes()).unwrap();
        Self { snapshot: Arc::new(snapshot), ..Self::default() }
    }

    /// Rewrites `text` in one chunk.
    pub(crate) fn rewrite(&self, text: impl AsRef<[u8]>) -> Outcome {
        self.rewrite_chunks([text.as_ref()])
    }

    /// Rewrites a text that comes in chunks.
    pub(crate) fn rewrite_chunks<'a>(&self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut rewriter = self.rewriter();
        let mut text = Vec::new();
        for chunk in chunks {
            rewriter.push(chunk, &mut text);
        }
        let whole = rewriter.finish(&mut text);
        Outcome { text, stats: rewriter.into_parts().1, whole }
    }

    /// A rewriter with nothing in it.
    pub(crate) fn rewriter(&self) -> Rewriter {
        Rewriter::new(
            Arc::new(self.labels.clone()),
            Arc::new(self.filter.clone()),
            self.selection.clone(),
            Arc::clone(&self.snapshot),
            Memo::default(),
        )
        .with_dialect(self.dialect)
    }
}

impl Outcome {
    /// The text, which must be UTF-8.
    pub(crate) fn utf8(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap()
    }
}
