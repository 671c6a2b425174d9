//! What is shown of a name to whoever asks.
//!
//! In: a name and the mapping. Out: what it stands for and why, as `/mapping` and `explain` print
//! it; the one decision is that both say it in the same words.

use serde::Serialize;

use crate::mapping::{Backends, Label, Owners, Snapshot, Target, resolve};

/// A name, what it stands for, and why.
#[derive(Debug, PartialEq, Serialize)]
pub struct Shown<'a> {
    /// `service` or `upstream`.
    pub label: &'static str,
    /// The name.
    pub name: &'a str,
    /// `None` where it is not known.
    pub target: Option<Known<'a>>,
    /// Where the answer comes from, in one word.
    pub tier: Option<&'static str>,
    /// Where the answer comes from, or why there is none.
    pub why: String,
}

/// What a name stands for.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(missing_docs)] // as in Target
pub enum Known<'a> {
    Service { namespace: &'a str, service: &'a str, backends: Backends<'a> },
    Route { owners: Owners<'a>, backends: Backends<'a>, complete: bool },
}

impl<'a> Shown<'a> {
    /// What this mapping says of a name.
    pub fn new(snapshot: &'a Snapshot, label: Label, name: &'a str) -> Self {
        let resolution = resolve(snapshot, label, name);
        let tier = resolution.tier;
        let mut why = tier.map(|tier| tier.to_string()).unwrap_or_default();
        let target = match resolution.target {
            Target::Service { namespace, service, backends } => {
                Some(Known::Service { namespace, service, backends })
            }
            Target::Route { owners, backends, complete } => {
                Some(Known::Route { owners, backends, complete })
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn json(name: &str) -> String {
        let snapshot = Snapshot::default();
        serde_json::to_string(&Shown::new(&snapshot, Label::Service, name)).unwrap()
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
