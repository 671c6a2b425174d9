//! What maps to what, by which rule, and why not.
//!
//! In: the [`Index`], the mapping made of it, and what somebody asks about: a name that Kong prints,
//! an object that makes Kong services, or a Service. Out: an [`Explanation`], for text and JSON. The
//! one decision: nothing is worked out here that the resolver does not use itself. An explanation
//! asks the same claims and the same judgement of backends, so it cannot tell another story than
//! the mapping.

mod judge;
mod maker;
mod name;
mod service;
mod subject;
mod text;

use serde::Serialize;

use crate::mapping::{Known, Label, Shown, Snapshot};
use crate::resolve::index::Index;

pub use judge::{Judged, Reason, Verdict};
pub use maker::{Made, OfMaker, OfRule};
pub use name::{Disagreement, Maker, OfName};
pub use service::{Behind, NotBehind, OfService};
pub use subject::Subject;

/// The answer to one question.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "subject", rename_all = "snake_case")]
pub enum Explanation<'a> {
    /// About a name that Kong prints.
    Name(Box<OfName<'a>>),
    /// About an object that Kong services are made from.
    Object(OfMaker),
    /// About a Kubernetes Service.
    Service(OfService),
}

impl Explanation<'_> {
    /// Whether there is what was asked about: a name that stands for something, or an object that
    /// is known.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Name(name) => name.shown.target.is_some(),
            Self::Object(object) => object.object.known,
            Self::Service(service) => service.object.known,
        }
    }
}

/// An object, and whether it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Object {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is there, and not only asked about or referred to.
    pub known: bool,
}

/// What the index and the mapping made of it tell about `subject`.
pub fn explain<'a>(index: &Index, snapshot: &'a Snapshot, subject: &'a Subject) -> Explanation<'a> {
    match subject {
        Subject::Name(name) => Explanation::Name(Box::new(name::explain(index, snapshot, name))),
        Subject::Service(key) => Explanation::Service(service::explain(index, snapshot, key)),
        Subject::Maker(key) => Explanation::Object(maker::explain(index, snapshot, key)),
    }
}

/// Why a name of a Kong service stands for no Service, in sentences; none where it stands for one.
pub fn reasons(index: &Index, snapshot: &Snapshot, name: &str) -> Vec<String> {
    let OfName { shown, made_by, disagreement, mut notes } = name::explain(index, snapshot, name);
    if let Some(Known::Service { .. }) = shown.target {
        return Vec::new();
    }
    let values = disagreement.into_iter().flat_map(|disagreement| disagreement.values);
    notes.extend(values.map(|(key, service, value)| match value {
        Some(value) => format!("{service} has {key}: {value:?}"),
        None => format!("{service} has no {key}"),
    }));
    for Maker { object, rule, backends, .. } in made_by {
        if backends.is_empty() {
            notes.push(format!("{object} {rule}: has no backends"));
        }
        notes.extend(backends.iter().map(|backend| format!("{object} {rule}: {backend}")));
    }
    notes
}

/// What a name stands for, in a few words.
fn stands_for(snapshot: &Snapshot, name: &str) -> String {
    let shown = Shown::new(snapshot, Label::Service, name);
    match shown.target {
        Some(target) => text::target(&target),
        None => format!("nothing: {}", shown.why),
    }
}
