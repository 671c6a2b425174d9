//! What becomes of a sample. In: where things are in its line. Out: keep it, leave it out, or put
//! label text in the place of a label's name; and on how much of the line that rests, so that the
//! next lines need not ask again.

use std::sync::Arc;

use super::families::Families;
use super::memo::{Memo, Text};
use super::{LabelNames, Stats};
use crate::exposition::quick::Kept;
use crate::exposition::{Layout, Span, unescape, unquoted};
use crate::mapping::Label;

/// Decides, and holds the last decision.
#[derive(Debug)]
pub(super) struct Decider {
    pub(super) labels: Arc<LabelNames>,
    pub(super) memo: Memo,
    pub(super) families: Families,
    decision: Decision,
    scratch: Vec<u8>,
    route_scratch: Vec<u8>,
}

/// What to do with a sample, and with those after it that are alike.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decision {
    pub(super) action: Action,
    /// It holds as long as the metric name, all label names, and so many first labels stay the same.
    labels: usize,
    /// The family passes the filters.
    passes: bool,
    /// The metric has a part of its own in what is decided.
    pub(super) metric: Metric,
    shape: Shape,
}

/// Which labels have a say. The same for all lines with the same label names.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    /// The label whose value is a Kong name.
    subject: Option<(Label, usize)>,
    route: Option<usize>,
    /// The sample already carries a label that the exporter would write.
    clash: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Action {
    /// Pass it on as it is.
    #[default]
    Keep,
    /// Leave it out.
    Omit,
    /// Replace the bytes at `name`, the label's name (or insert there, if it is empty).
    Splice { name: Span, text: Text },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Metric {
    #[default]
    Plain,
    /// Carries no `service` but an `upstream`.
    TargetHealth,
    /// Kong's own shared dictionaries: read on the way.
    Dictionary,
}

impl Decider {
    pub(super) fn new(labels: Arc<LabelNames>, memo: Memo, families: Families) -> Self {
        let decision = Decision::default();
        Self { labels, memo, families, decision, scratch: Vec::new(), route_scratch: Vec::new() }
    }

    /// The last decision.
    #[inline]
    pub(super) fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Decides what becomes of a sample. `kept` says what it shares with the one decided before.
    pub(super) fn decide(&mut self, line: &[u8], layout: &Layout, kept: Kept, stats: &mut Stats) {
        let metric = self.decision.metric;
        if !kept.name {
            let name = layout.name.of(line);
            self.decision.passes = self.families.sample(name);
            self.decision.metric = match unquoted(name) {
                b"kong_upstream_target_health" => Metric::TargetHealth,
                b"kong_memory_lua_shared_dict_bytes"
                | b"kong_memory_lua_shared_dict_total_bytes" => Metric::Dictionary,
                _ => Metric::Plain,
            };
        }
        if !kept.label_names || metric != self.decision.metric {
            self.decision.shape = self.shape(line, layout);
        }
        (self.decision.action, self.decision.labels) =
            if self.decision.passes { self.edit(line, layout, stats) } else { (Action::Omit, 0) };
    }

    #[cold]
    fn shape(&self, line: &[u8], layout: &Layout) -> Shape {
        let mut shape = Shape::default();
        let is_health = self.decision.metric == Metric::TargetHealth;
        for (i, label) in layout.labels.iter().enumerate() {
            match unquoted(label.name.of(line)) {
                b"service" => shape.subject = Some((Label::Service, i)),
                b"upstream" if is_health && shape.subject.is_none() => {
                    shape.subject = Some((Label::Upstream, i));
                }
                b"route" => shape.route = Some(i),
                name => shape.clash |= self.labels.written().iter().any(|l| l.as_bytes() == name),
            }
        }
        shape
    }

    /// What a sample's labels ask for, and how many of its first labels the answer rests on.
    #[inline]
    fn edit(&mut self, line: &[u8], layout: &Layout, stats: &mut Stats) -> (Action, usize) {
        let Shape { subject, route, clash } = self.decision.shape;
        let Some((kind, at)) = subject else { return (Action::Keep, 0) };
        let Some(label) = layout.labels.get(at) else { return (Action::Keep, 0) };
        if label.value.start == label.value.end {
            return (Action::Keep, at + 1);
        }
        if clash {
            stats.samples_clashing += 1;
            return (Action::Keep, usize::MAX);
        }
        let name = plain_value(layout, label.value.of(line), &mut self.scratch);
        let known = self.memo.get(kind, name);
        if let (Label::Service, Some(mapped)) = (kind, known.first) {
            *if mapped { &mut stats.mapped } else { &mut stats.unmapped } += 1;
        }
        let (mut text, mut rests_on) = (known.text, at + 1);
        if known.by_route
            && let Some(route) = route
        {
            let value = layout.labels.get(route).map_or_else(Span::default, |route| route.value);
            let value = plain_value(layout, value.of(line), &mut self.route_scratch);
            text = self.memo.with_route(name, value);
            rests_on = rests_on.max(route + 1);
        }
        let name = match kind {
            Label::Service => label.name,
            Label::Upstream => Span { start: label.name.start, end: label.name.start },
        };
        (Action::Splice { name, text }, rests_on)
    }
}

impl Decision {
    /// Whether it holds for a line that shares this much with the one it was made for.
    #[inline]
    pub(super) fn holds(&self, kept: Kept) -> bool {
        kept.name && kept.label_names && kept.labels >= self.labels
    }
}

/// A label value without its escapes; copies only where there are any.
#[inline]
fn plain_value<'a>(layout: &Layout, value: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !layout.escaped {
        return value;
    }
    scratch.clear();
    unescape(value, scratch);
    scratch
}
