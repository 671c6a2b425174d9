//! All claims on one name in, what the name stands for out.
//!
//! The one decision: where claims disagree, nobody is guessed. Of combined rules the first in
//! Kong's order decides, as it does for Kong; between others the union of their Services counts, so
//! the name never stands for a Service that may not be meant.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use crate::kubernetes::ObjectKind;
use crate::mapping::{Entry, Kind, Owner};
use crate::resolve::backend::{self, Found};
use crate::resolve::claim::{Claim, Way};
use crate::resolve::graph::Id;
use crate::resolve::store::{Ref, Rule, Stored};
use crate::resolve::timeout::DEFAULT_TIMEOUT_MS;
use crate::resolve::world::World;
use crate::resolve::{httproute, ingress, kongservice, l4ingress};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    Entry(Entry),
    /// Kong has no such service: the Services behind it disagree on these annotations.
    Disagreement {
        annotations: Vec<String>,
        owners: Vec<Owner>,
    },
}

/// What the names are that the claims on `base` make, and what each stands for. Kong's names differ
/// from `base` where timeouts split the rules, and where it is too long.
pub(crate) fn resolve(world: &World, base: &str, claims: &[Claim]) -> Vec<(String, Meaning)> {
    let names = names(world, base, claims).into_iter();
    names.filter_map(|(name, claims)| Some((name, meaning(world, &claims)?))).collect()
}

/// What the names are that the claims on `base` make, each with those that make it.
pub(crate) fn names(world: &World, base: &str, claims: &[Claim]) -> Vec<(String, Vec<Claim>)> {
    let (combined, own): (Vec<_>, Vec<_>) =
        claims.iter().copied().partition(|claim| claim.way == Way::Combined);
    let Some(refs) = combined.first().and_then(|claim| rule(world, *claim)).map(|rule| &*rule.refs)
    else {
        return vec![(base.to_owned(), own)];
    };
    let mut by_timeout = BTreeMap::<u64, Vec<Claim>>::new();
    for claim in &combined {
        let timeout = rule(world, *claim).map_or(DEFAULT_TIMEOUT_MS, |rule| rule.timeout);
        by_timeout.entry(timeout).or_default().push(*claim);
    }
    // httproute.go of Kong Operator 2.3: rules that agree keep the name, whatever their timeout.
    let is_split = world.forms.operator && by_timeout.len() > 1;
    let of_base = if is_split && !world.forms.kic {
        by_timeout.get(&DEFAULT_TIMEOUT_MS).cloned().unwrap_or_default()
    } else {
        combined
    };
    let name = httproute::shortened(world, base, refs).into_owned();
    let mut names = vec![(name, [of_base, own].concat())];
    by_timeout.remove(&DEFAULT_TIMEOUT_MS);
    let split = by_timeout.into_iter().filter(|_| is_split);
    names
        .extend(split.map(|(timeout, claims)| {
            (httproute::with_timeout(world, base, refs, timeout), claims)
        }));
    names
}

/// What a name stands for that these claims make.
pub(crate) fn meaning(world: &World, claims: &[Claim]) -> Option<Meaning> {
    let mut candidates: Vec<Vec<Found>> = Vec::new();
    let mut annotations = BTreeSet::new();
    for leader in leaders(world, claims) {
        for found in backends(world, leader) {
            let disagreement = disagreement(world, leader, &found);
            if disagreement.is_empty() {
                candidates.push(found);
            }
            annotations.extend(disagreement);
        }
    }
    if !candidates.is_empty() {
        let backends = union(candidates).iter().map(|found| found.backend(world)).collect();
        return Some(Meaning::Entry(Entry { backends, owners: owners(world, claims) }));
    }
    let annotations: Vec<_> = annotations.into_iter().map(str::to_owned).collect();
    let disagreement = || Meaning::Disagreement {
        annotations: annotations.clone(),
        owners: owners(world, claims),
    };
    (!annotations.is_empty()).then(disagreement)
}

/// The claims that decide: the first of the combined ones, and the first of each object. In the
/// order of the objects' names: their numbers tell only which came first.
pub(crate) fn leaders(world: &World, claims: &[Claim]) -> Vec<Claim> {
    let mut leaders = BTreeMap::<Option<(ObjectKind, &str, &str)>, Claim>::new();
    for claim in claims {
        let of = (claim.way == Way::Own).then(|| world.graph.key(claim.object));
        let leader = leaders.entry(of).or_insert(*claim);
        if rule_key(world, *claim).lt(rule_key(world, *leader)) {
            *leader = *claim;
        }
    }
    leaders.into_values().collect()
}

/// `<name>.<rule>`, by which Kong's controllers sort rules of one namespace: as text, `.10` before
/// `.2`.
fn rule_key(world: &World, claim: Claim) -> impl Iterator<Item = u8> + use<'_> {
    let (.., name) = world.graph.key(claim.object);
    let digits = [10_000, 1_000, 100, 10, 1].into_iter().filter_map(move |place| {
        let is_shown = place == 1 || claim.rule >= place;
        // A digit is less than 10.
        is_shown.then(|| b'0' + (claim.rule / place % 10) as u8)
    });
    name.bytes().chain(iter::once(b'.')).chain(digits)
}

/// What a claim may stand for. None where Kong's controllers refuse it, several where only the
/// controller can tell which.
fn backends(world: &World, claim: Claim) -> Vec<Vec<Found>> {
    let found = match world.graph.object(claim.object) {
        Some(Stored::Route(_)) => rule(world, claim).map(|rule| of_route(world, claim, &rule.refs)),
        Some(Stored::Ingress(ingress)) => ingress::backends(world, ingress, claim.rule),
        Some(Stored::L4Ingress(ingress)) => l4ingress::backends(world, ingress, claim.rule),
        Some(Stored::KongService(service)) => return kongservice::backends(world, service),
        _ => None,
    };
    found.into_iter().collect()
}

fn of_route(world: &World, claim: Claim, refs: &[Ref]) -> Vec<Found> {
    let (kind, namespace, _) = world.graph.key(claim.object);
    backend::of_refs(world, kind, namespace, refs)
}

fn rule(world: &World, claim: Claim) -> Option<&Rule> {
    match world.graph.object(claim.object) {
        Some(Stored::Route(route)) => route.rules.get(usize::from(claim.rule)),
        _ => None,
    }
}

/// The annotations starting with `konghq.com` that not all of the Services have with the same value
/// (translator/ingressrules.go): Kong's controllers leave the Kong service out then.
fn disagreement<'w>(world: &'w World, claim: Claim, found: &[Found]) -> BTreeSet<&'w str> {
    // Kong Operator for Konnect has no such rule.
    let (kind, ..) = world.graph.key(claim.object);
    if found.len() < 2 || kind == ObjectKind::KongService {
        return BTreeSet::new();
    }
    let annotations = |found: &Found| match world.graph.object(found.service) {
        Some(Stored::Service(service)) => &*service.annotations,
        _ => &[],
    };
    let all = || found.iter().flat_map(annotations);
    all()
        .filter(|one| found.iter().any(|other| !annotations(other).contains(one)))
        .map(|(key, _)| &**key)
        .collect()
}

/// Every Service and port of the candidates; as it is where there is one candidate only.
fn union(candidates: Vec<Vec<Found>>) -> Vec<Found> {
    let mut candidates = candidates.into_iter();
    let mut all = candidates.next().unwrap_or_default();
    let first = all.clone();
    for candidate in candidates.filter(|other| *other != first) {
        for found in candidate {
            let is_same = |own: &Found| own.service == found.service && own.port == found.port;
            if !all.iter().any(is_same) {
                all.push(found);
            }
        }
    }
    all
}

/// What made the Kong service, sorted by kind, namespace, name and rule.
fn owners(world: &World, claims: &[Claim]) -> Vec<Owner> {
    let mut owners = BTreeSet::new();
    for claim in claims {
        match world.graph.object(claim.object) {
            Some(Stored::Route(_)) => {
                owners.extend(owner(world, claim.object, Some(claim.rule)));
            }
            Some(Stored::Ingress(ingress)) => {
                owners.extend(owner(world, claim.object, None));
                let facade = ingress::facade_of(ingress, claim.rule);
                owners.extend(facade.and_then(|facade| owner(world, facade, None)));
            }
            Some(Stored::KongService(service)) => {
                let rules = kongservice::owners(world, service);
                if rules.is_empty() {
                    owners.extend(owner(world, claim.object, None));
                }
                owners.extend(
                    rules.into_iter().filter_map(|(id, rule)| owner(world, id, Some(rule))),
                );
            }
            Some(Stored::L4Ingress(_)) => owners.extend(owner(world, claim.object, None)),
            _ => {}
        }
    }
    let owner = |(kind, namespace, name, rule): (Kind, &str, &str, Option<u32>)| Owner {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        rule,
    };
    owners.into_iter().map(owner).collect()
}

fn owner(world: &World, id: Id, rule: Option<u16>) -> Option<(Kind, &str, &str, Option<u32>)> {
    let (kind, namespace, name) = world.graph.key(id);
    let kind = match kind {
        ObjectKind::HTTPRoute => Kind::HTTPRoute,
        ObjectKind::GRPCRoute => Kind::GRPCRoute,
        ObjectKind::TCPRoute => Kind::TCPRoute,
        ObjectKind::TLSRoute => Kind::TLSRoute,
        ObjectKind::UDPRoute => Kind::UDPRoute,
        ObjectKind::Ingress => Kind::Ingress,
        ObjectKind::TCPIngress => Kind::TCPIngress,
        ObjectKind::UDPIngress => Kind::UDPIngress,
        ObjectKind::KongServiceFacade => Kind::KongServiceFacade,
        ObjectKind::KongService => Kind::KongService,
        _ => return None,
    };
    Some((kind, namespace, name, rule.map(u32::from)))
}
