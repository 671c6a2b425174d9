//! `/mapping`: for each Kong name in the last scrape, what it stands for and why, as JSON.
//!
//! Names are resolved when asked, against the mapping that counts now: the page also answers "what
//! would the next scrape say". Where the mapping is made of watched objects, those are asked, too, why
//! a name stands for no Service.

use std::time::{Duration, SystemTime};

use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::mapping::{Known, Label, Shown, Snapshot};
use crate::sidecar::Shared;
use crate::sidecar::answer::{self, Answer};
use crate::sidecar::record::Last;

/// Answers `GET /mapping`.
pub(crate) async fn answer<S>(shared: &Shared) -> Response<Answer<S>> {
    let mapping = &shared.mapping.current;
    let snapshot = mapping.load();
    let last = shared.record.last();
    let now = SystemTime::now();
    let page = Page {
        mapping: Mapping {
            source: &shared.mapping.source,
            is_ready: mapping.is_ready(),
            updated: mapping.updated().map(|at| Moment::new(at, now)),
            services: snapshot.len(),
            retained: snapshot.retained_len(),
        },
        scrape: last.as_ref().map(|last| Moment::new(last.at, now)),
        names: names(shared, &snapshot, last.as_ref()).await,
    };
    match serde_json::to_vec_pretty(&page) {
        Ok(mut json) => {
            json.push(b'\n');
            answer::page(StatusCode::OK, "application/json", Answer::Left(json.into()))
        }
        Err(error) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

async fn names<'a>(
    shared: &Shared,
    snapshot: &'a Snapshot,
    last: Option<&'a Last>,
) -> Vec<Named<'a>> {
    let names = last.into_iter().flat_map(|last| last.names.iter());
    let named = |(label, name)| {
        let shown = Shown::new(snapshot, label, name);
        let is_asked =
            label == Label::Service && !matches!(shown.target, Some(Known::Service { .. }));
        Named { shown, is_asked, reasons: Vec::new() }
    };
    let mut names: Vec<_> = names.map(named).collect();
    if let Some(asking) = &shared.mapping.asking {
        let asked = || names.iter().filter(|one| one.is_asked).take(MOST_ASKED);
        let asked = asked().map(|one| one.shown.name.to_owned()).collect();
        let reasons = asking.reasons(asked).await.unwrap_or_default();
        for (one, reasons) in names.iter_mut().filter(|one| one.is_asked).zip(reasons) {
            one.reasons = reasons;
        }
    }
    names
}

#[derive(Serialize)]
struct Page<'a> {
    mapping: Mapping<'a>,
    /// The last scrape that ended well; `null` before there was one.
    scrape: Option<Moment>,
    names: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
    /// Why it stands for no Service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// Whether there is something to ask.
    #[serde(skip)]
    is_asked: bool,
}

#[derive(Serialize)]
struct Mapping<'a> {
    source: &'a str,
    is_ready: bool,
    updated: Option<Moment>,
    services: usize,
    retained: usize,
}

#[derive(Serialize)]
struct Moment {
    at: String,
    age_seconds: u64,
}

impl Moment {
    fn new(at: SystemTime, now: SystemTime) -> Self {
        let age: Duration = now.duration_since(at).unwrap_or_default();
        Self { at: humantime::format_rfc3339_seconds(at).to_string(), age_seconds: age.as_secs() }
    }
}

/// Of so many names in a page it is asked why. Objects do not change meanwhile, and for a few forms of
/// names all of them have to be looked at.
const MOST_ASKED: usize = 200;
