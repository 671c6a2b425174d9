//! KongServices, the objects of Kong Operator for Konnect: those it makes of routes
//! (controller/hybridgateway) and those that users make.
//!
//! The name of one made of a route ends in a hash that cannot be had outside Go, and shows only the
//! first backend and the number of all. Its annotations name the routes; a rule of theirs is meant
//! if its first backend and its number of backends are those in the name. Where rules that differ
//! fit equally well, all their backends are taken: nobody is guessed.

use std::collections::BTreeSet;

use crate::kubernetes::ObjectKind;
use crate::resolve::backend::{self, Found};
use crate::resolve::claim::{Claim, Claims, Way};
use crate::resolve::gateway;
use crate::resolve::graph::Id;
use crate::resolve::httproute::is_derived_from_combined;
use crate::resolve::store::{KongService, Ref, Stored};
use crate::resolve::world::World;

/// The name that the KongService claims.
pub(crate) fn claims(object: Id, service: &KongService, claims: &mut Claims) {
    if !service.label.is_empty() && !is_derived_from_combined(&service.label) {
        claims.push(service.label.to_string(), Claim { object, rule: 0, way: Way::Own });
    }
}

/// What the KongService may stand for: one list of Services where that is certain.
pub(crate) fn backends(world: &World, service: &KongService) -> Vec<Vec<Found>> {
    let Some(id) = service.service.filter(|_| service.routes.is_empty()) else {
        let is_without = is_without_backends(service);
        let of_rule = |(route, _, refs): (Id, u16, &[Ref])| {
            let (kind, namespace, _) = world.graph.key(route);
            if is_without { Vec::new() } else { backend::of_refs(world, kind, namespace, refs) }
        };
        let found: Vec<_> = rules(world, service).into_iter().map(of_rule).collect();
        return if found.is_empty() { vec![Vec::new()] } else { found };
    };
    vec![backend::of_service(world, id, service.port.and_then(backend::number))]
}

/// Whether it was made of a rule whose backends were all invalid then.
pub(crate) fn is_without_backends(service: &KongService) -> bool {
    service.label.contains(".bnf")
}

/// The rules, of which routes, that the KongService was made of.
pub(crate) fn owners(world: &World, service: &KongService) -> Vec<(Id, u16)> {
    rules(world, service).into_iter().map(|(route, rule, _)| (route, rule)).collect()
}

/// The Services that it may send to, whether they exist and are granted or not.
pub(crate) fn named(world: &World, service: &KongService) -> BTreeSet<Id> {
    let refs = rules(world, service).into_iter().flat_map(|(.., refs)| refs);
    let of_rules = refs.filter(|one| one.is_service).map(|one| one.service);
    of_rules.chain(service.service).collect()
}

fn rules<'w>(world: &'w World, service: &KongService) -> Vec<(Id, u16, &'w [Ref])> {
    let mut rules: Vec<(Id, u16, &[Ref])> = Vec::new();
    let mut known = 0;
    for id in &service.routes {
        let Some(Stored::Route(route)) = world.graph.object(*id) else { continue };
        if !gateway::is_attached(world, route) {
            continue;
        }
        known += 1;
        let of_route = route.rules.iter().zip(0..);
        let fitting = of_route.filter(|(rule, _)| fits(world, *id, &rule.refs, &service.label));
        rules.extend(fitting.map(|(rule, number)| (*id, number, &*rule.refs)));
    }
    // Routes share a KongService only where their backends are equal to the letter.
    let is_in_all = |refs: &[Ref]| {
        let mut routes: Vec<_> =
            rules.iter().filter(|(_, _, own)| *own == refs).map(|(id, ..)| *id).collect();
        routes.dedup();
        routes.len() == known
    };
    let shared: Vec<_> = rules.iter().filter(|(_, _, refs)| is_in_all(refs)).copied().collect();
    if shared.is_empty() { rules } else { shared }
}

/// Whether the name may be that of a rule with these backends (namegen/name.go).
fn fits(world: &World, route: Id, refs: &[Ref], name: &str) -> bool {
    let (kind, ..) = world.graph.key(route);
    let readable = match (protocol(kind), refs.iter().map(|one| display_name(world, one)).min()) {
        (protocol, None) => protocol.to_owned(),
        (protocol, Some(first)) => format!("{protocol}.{first}.{}", refs.len()),
    };
    if name.strip_prefix(&readable).is_some_and(|rest| rest.starts_with(".cp")) {
        return true;
    }
    let is_cut = name.len() >= CUT_BYTES;
    let begins = |at: usize| name.get(..at).is_some_and(|begin| readable.starts_with(begin));
    name.starts_with("ngn") || is_cut && name.rfind(".cp").is_some_and(begins)
}

/// `<namespace>-<service>[-<port>]`.
fn display_name(world: &World, one: &Ref) -> String {
    let (_, namespace, service) = world.graph.key(one.service);
    match one.port {
        Some(port) => format!("{namespace}-{service}-{port}"),
        None => format!("{namespace}-{service}"),
    }
}

fn protocol(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::GRPCRoute => "grpc",
        ObjectKind::TLSRoute => "tls",
        ObjectKind::TCPRoute => "tcp",
        ObjectKind::UDPRoute => "udp",
        _ => "http",
    }
}

/// Names are cut to 253 bytes, and then lose dots and dashes at the cut.
const CUT_BYTES: usize = 240;
