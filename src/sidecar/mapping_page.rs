//! `/mapping`: for each Kong name in the last scrape, what it stands for and why, as JSON.
//!
//! Names are resolved when asked, against the mapping that counts now: the page also answers "what
//! would the next scrape say".

use std::time::{Duration, SystemTime};

use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::mapping::{Shown, Snapshot};
use crate::sidecar::Shared;
use crate::sidecar::pages::{self, Answer};
use crate::sidecar::record::Last;

/// Answers `GET /mapping`.
pub(crate) fn answer(shared: &Shared) -> Response<Answer> {
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
        names: names(&snapshot, last.as_ref()),
    };
    match serde_json::to_vec_pretty(&page) {
        Ok(mut json) => {
            json.push(b'\n');
            pages::page(StatusCode::OK, "application/json", Answer::Left(json.into()))
        }
        Err(error) => pages::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn names<'a>(snapshot: &'a Snapshot, last: Option<&'a Last>) -> Vec<Shown<'a>> {
    let names = last.into_iter().flat_map(|last| last.names.iter());
    names.map(|(label, name)| Shown::new(snapshot, label, name)).collect()
}

#[derive(Serialize)]
struct Page<'a> {
    mapping: Mapping<'a>,
    /// The last scrape that ended well; `null` before there was one.
    scrape: Option<Moment>,
    names: Vec<Shown<'a>>,
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
