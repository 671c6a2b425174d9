//! `/mapping`: for each Kong name in the last scrape, what it stands for and why, as JSON.
//!
//! Names are resolved when asked, against the mapping that counts now: the page also answers "what
//! would the next scrape say".

use std::time::{Duration, SystemTime};

use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::mapping::{BackendRef, Label, OwnerRef, PortRef, Snapshot, Target, resolve};
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

fn names<'a>(snapshot: &'a Snapshot, last: Option<&'a Last>) -> Vec<Name<'a>> {
    let names = last.into_iter().flat_map(|last| last.names.iter());
    names.map(|(label, name)| Name::new(snapshot, label, name)).collect()
}

#[derive(Serialize)]
struct Page<'a> {
    mapping: Mapping<'a>,
    /// The last scrape that ended well; `null` before there was one.
    scrape: Option<Moment>,
    names: Vec<Name<'a>>,
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

#[derive(Debug, PartialEq, Serialize)]
struct Name<'a> {
    label: &'static str,
    name: &'a str,
    /// `null` where it is not known.
    target: Option<Known<'a>>,
    tier: Option<&'static str>,
    why: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Known<'a> {
    Service { namespace: &'a str, service: &'a str, backends: Vec<Backend<'a>> },
    Route { owners: Vec<Owner<'a>>, backends: Vec<Backend<'a>>, complete: bool },
}

#[derive(Debug, PartialEq, Serialize)]
struct Backend<'a> {
    namespace: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Port<'a> {
    Number(u16),
    Name(&'a str),
}

#[derive(Debug, PartialEq, Serialize)]
struct Owner<'a> {
    kind: &'static str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u32>,
}

impl<'a> Name<'a> {
    fn new(snapshot: &'a Snapshot, label: Label, name: &'a str) -> Self {
        let resolution = resolve(snapshot, label, name);
        let tier = resolution.tier;
        let mut why = tier.map(|tier| tier.to_string()).unwrap_or_default();
        let target = match resolution.target {
            Target::Service { namespace, service, backends } => {
                Some(Known::Service { namespace, service, backends: backends_of(&backends) })
            }
            Target::Route { owners, backends, complete } => Some(Known::Route {
                owners: owners.into_iter().map(Owner::from).collect(),
                backends: backends_of(&backends),
                complete,
            }),
            Target::Unknown(reason) => {
                why = reason.to_string();
                None
            }
        };
        let label = match label {
            Label::Service => "service",
            Label::Upstream => "upstream",
        };
        Self { label, name, target, tier: tier.map(|tier| tier.as_str()), why }
    }
}

fn backends_of<'a>(backends: &[BackendRef<'a>]) -> Vec<Backend<'a>> {
    let backend = |backend: &BackendRef<'a>| Backend {
        namespace: backend.namespace,
        service: backend.service,
        port: backend.port.map(|port| match port {
            PortRef::Number(number) => Port::Number(number),
            PortRef::Name(name) => Port::Name(name),
        }),
        weight: backend.weight,
    };
    backends.iter().map(backend).collect()
}

impl<'a> From<OwnerRef<'a>> for Owner<'a> {
    fn from(owner: OwnerRef<'a>) -> Self {
        let OwnerRef { kind, namespace, name, rule } = owner;
        Self { kind: kind.as_str(), namespace, name, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(name: &str) -> String {
        let snapshot = Snapshot::default();
        serde_json::to_string(&Name::new(&snapshot, Label::Service, name)).unwrap()
    }

    #[test]
    fn a_known_name_tells_its_service_and_why() {
        assert_eq!(
            json("shop.checkout.8080"),
            "{\"label\":\"service\",\"name\":\"shop.checkout.8080\",\"target\":{\"kind\":\"service\",\
             \"namespace\":\"shop\",\"service\":\"checkout\",\"backends\":[{\"namespace\":\"shop\",\
             \"service\":\"checkout\",\"port\":8080}]},\"tier\":\"decoded\",\"why\":\"the mapping has no \
             entry for this name; the name itself says it\"}"
        );
    }

    #[test]
    fn a_name_that_tells_its_route_says_so() {
        assert_eq!(
            json("httproute.web.front.2"),
            "{\"label\":\"service\",\"name\":\"httproute.web.front.2\",\"target\":{\"kind\":\"route\",\
             \"owners\":[{\"kind\":\"HTTPRoute\",\"namespace\":\"web\",\"name\":\"front\",\"rule\":2}],\
             \"backends\":[],\"complete\":false},\"tier\":\"decoded\",\"why\":\"the mapping has no entry \
             for this name; the name itself says it\"}"
        );
    }

    #[test]
    fn an_unknown_name_tells_what_would_help() {
        assert_eq!(
            json("by-hand"),
            "{\"label\":\"service\",\"name\":\"by-hand\",\"target\":null,\"tier\":null,\"why\":\"the \
             mapping has no entry for this name, and the name is of no form that tells a Service or \
             a route; add an entry for it\"}"
        );
    }
}
