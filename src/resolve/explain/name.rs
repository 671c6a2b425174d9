//! A name that Kong prints: what it stands for, which objects make it, and what is known where none
//! does.

use serde::Serialize;

use super::judge::{self, Judged};
use super::{Object, maker};
use crate::kubernetes::{Key, ObjectKind};
use crate::mapping::name::{Form, decode};
use crate::mapping::{Kind, Label, Shown, Snapshot};
use crate::resolve::claim::Claim;
use crate::resolve::graph::Id;
use crate::resolve::group::{self, Meaning};
use crate::resolve::index::Index;
use crate::resolve::store::Stored;
use crate::resolve::world::World;

/// About a name that Kong prints.
#[derive(Debug, PartialEq, Serialize)]
pub struct OfName<'a> {
    /// What it stands for.
    #[serde(flatten)]
    pub shown: Shown<'a>,
    /// The rules that make it.
    pub made_by: Vec<Maker>,
    /// Why Kong's controllers leave it out, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<Disagreement>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// A rule that makes a Kong service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Maker {
    /// The object.
    #[serde(flatten)]
    pub object: Object,
    /// `rule 0`, `backend 1`, `default backend`.
    pub rule: String,
    /// How the name comes to be.
    pub how: String,
    /// Whether it decides which backends count. Where rules are combined, the first one does.
    pub decides: bool,
    /// Its backends.
    pub backends: Vec<Judged>,
}

/// The annotations that the Services of one Kong service must agree on, and do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// Their keys.
    pub annotations: Vec<String>,
    /// For each key and Service, the value, if it has one.
    pub values: Vec<(String, String, Option<String>)>,
}

pub(super) fn explain<'a>(index: &Index, snapshot: &'a Snapshot, name: &'a str) -> OfName<'a> {
    let world = index.world();
    let mut shown = Shown::new(snapshot, Label::Service, name);
    let mut notes = Vec::new();
    let (made_by, disagreement) = match claimed(index, name) {
        Some((base, claims)) => (makers(world, &base, name, &claims), left_out(world, &claims)),
        None => {
            let upstream = Shown::new(snapshot, Label::Upstream, name);
            if shown.target.is_none() && upstream.target.is_some() {
                notes.push("it is the name of an upstream, not of a Kong service".to_owned());
                shown = upstream;
            }
            notes.extend(hints(index, name));
            (Vec::new(), None)
        }
    };
    if let (Some(disagreement), None) = (&disagreement, shown.tier.filter(|tier| *tier == "exact"))
    {
        notes.push(maker::disagreement(&disagreement.annotations));
    }
    OfName { shown, made_by, disagreement, notes }
}

/// The claimed name that is or becomes this one, and the claims that make it.
fn claimed(index: &Index, name: &str) -> Option<(String, Vec<Claim>)> {
    let world = index.world();
    let of_base = |base: &str, claims: &[Claim]| {
        let mut names = group::names(world, base, claims).into_iter();
        names.find(|(own, claims)| own == name && !claims.is_empty())
    };
    let claims = index.claims_on(name);
    if let Some((_, claims)) = of_base(name, &claims) {
        return Some((name.to_owned(), claims));
    }
    let is_derived = matches!(
        decode(Label::Service, name),
        Ok(Form::Combined { complete, timeout_ms, .. }) if !complete || timeout_ms.is_some()
    );
    if !is_derived {
        return None;
    }
    index.find_claimed(|_, base, claims| Some((base.to_owned(), of_base(base, claims)?.1)))
}

fn makers(world: &World, base: &str, name: &str, claims: &[Claim]) -> Vec<Maker> {
    let leaders = group::leaders(world, claims);
    let maker = |claim: &Claim| Maker {
        object: judge::object(world, claim.object),
        rule: maker::rule_name(world, claim.object, claim.rule),
        how: maker::how(world, *claim, base, name),
        decides: leaders.contains(claim),
        backends: judge::backends(world, *claim),
    };
    let mut makers: Vec<_> = claims.iter().map(maker).collect();
    makers.sort_by(|one, other| {
        let key = |maker: &Maker| (!maker.decides, maker.object.clone(), maker.rule.clone());
        key(one).cmp(&key(other))
    });
    makers
}

fn left_out(world: &World, claims: &[Claim]) -> Option<Disagreement> {
    let Some(Meaning::Disagreement { annotations, .. }) = group::meaning(world, claims) else {
        return None;
    };
    let mut values = Vec::new();
    let judged = group::leaders(world, claims).into_iter();
    let services = judged.flat_map(|claim| judge::backends(world, claim));
    for one in services.filter(|one| one.verdict == judge::Verdict::Counts) {
        let Some(Stored::Service(service)) = world.graph.object(one.id) else { continue };
        for key in &annotations {
            let value = service.annotations.iter().find(|(own, _)| **own == **key);
            let value = value.map(|(_, value)| value.to_string());
            values.push((key.clone(), format!("{}/{}", one.namespace, one.service), value));
        }
    }
    values.sort();
    values.dedup();
    Some(Disagreement { annotations, values })
}

/// What is known of what a name seems to say, where no object makes it.
fn hints(index: &Index, name: &str) -> Vec<String> {
    let world = index.world();
    match decode(Label::Service, name) {
        Ok(form @ Form::Rule { kind, namespace, name, rule, .. }) => {
            let key = Key::new(object_kind(kind), namespace, name);
            if form.may_hold_hostname() && world.graph.find(&key).is_none() {
                let kind = kind.as_str();
                return vec![format!("no {kind} of namespace {namespace} makes this name")];
            }
            of_rule(index, &key, rule)
        }
        Ok(Form::Service(backend)) => {
            let key = Key::new(ObjectKind::Service, backend.namespace, backend.service);
            let exists = world.graph.find(&key).and_then(|id| world.graph.object(id)).is_some();
            let service = match exists {
                true => "the Service is known",
                false => "there is no such Service here",
            };
            vec![format!("no Ingress that counts has this backend; {service}")]
        }
        Ok(Form::Combined { .. }) if !world.forms.combined => {
            vec!["rules of different HTTPRoutes are not combined here (--combined)".to_owned()]
        }
        Ok(Form::Combined { route_namespace, .. }) => vec![format!(
            "no HTTPRoute of namespace {route_namespace} that counts has a rule with exactly these \
             backends"
        )],
        Ok(Form::Facade { namespace, facade }) => {
            let key = Key::new(ObjectKind::KongServiceFacade, namespace, facade);
            let mut notes = vec!["no Ingress that counts sends to it".to_owned()];
            notes.extend(why_not(world, world.graph.find(&key), &key));
            notes
        }
        Ok(Form::Hybrid) => vec!["no KongService has this name".to_owned()],
        Err(_) => Vec::new(),
    }
}

fn of_rule(index: &Index, key: &Key, rule: u32) -> Vec<String> {
    let world = index.world();
    let id = world.graph.find(key);
    let mut notes = why_not(world, id, key);
    let Some(id) = id.filter(|_| notes.is_empty()) else { return notes };
    let (kind, namespace, name) = (key.kind.as_str(), &key.namespace, &key.name);
    let claims = index.claims_of(id).into_iter();
    let made: Vec<_> =
        claims.filter(|(_, claim)| u32::from(claim.rule) == rule).map(|(base, _)| base).collect();
    let is_there = match world.graph.object(id) {
        Some(Stored::Route(route)) => (rule as usize) < route.rules.len(),
        _ => false,
    };
    notes.push(match (is_there, made.is_empty()) {
        (false, _) => format!("{kind} {namespace}/{name} is known, but has no rule {rule}"),
        (true, true) => {
            format!("{kind} {namespace}/{name} is known, but rule {rule} makes no name")
        }
        (true, false) => format!(
            "{kind} {namespace}/{name} is known, and its rule {rule} makes {}",
            made.join(", ")
        ),
    });
    notes
}

fn why_not(world: &World, id: Option<Id>, key: &Key) -> Vec<String> {
    let (kind, namespace, name) = (key.kind.as_str(), &key.namespace, &key.name);
    match id {
        None => vec![format!("there is no {kind} {namespace}/{name} here")],
        Some(id) => judge::reasons(world, id)
            .into_iter()
            .map(|reason| match reason.reason {
                "unknown" => format!("there is no {kind} {namespace}/{name} here"),
                _ => format!("{kind} {namespace}/{name} makes no Kong service: {}", reason.text),
            })
            .collect(),
    }
}

fn object_kind(kind: Kind) -> ObjectKind {
    match kind {
        Kind::Ingress => ObjectKind::Ingress,
        Kind::HTTPRoute => ObjectKind::HTTPRoute,
        Kind::GRPCRoute => ObjectKind::GRPCRoute,
        Kind::TCPRoute => ObjectKind::TCPRoute,
        Kind::TLSRoute => ObjectKind::TLSRoute,
        Kind::UDPRoute => ObjectKind::UDPRoute,
        Kind::TCPIngress => ObjectKind::TCPIngress,
        Kind::UDPIngress => ObjectKind::UDPIngress,
        Kind::KongServiceFacade => ObjectKind::KongServiceFacade,
        Kind::KongService => ObjectKind::KongService,
    }
}
