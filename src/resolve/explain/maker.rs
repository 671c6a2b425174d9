//! An object that Kong services are made from: which ones it makes, rule by rule, and why not.

use serde::Serialize;

use super::judge::{self, Judged, Reason};
use super::{Object, stands_for};
use crate::kubernetes::{Key, ObjectKind};
use crate::mapping::Snapshot;
use crate::resolve::claim::{Claim, Way};
use crate::resolve::graph::Id;
use crate::resolve::group;
use crate::resolve::index::Index;
use crate::resolve::ingress::{self, DEFAULT};
use crate::resolve::store::{DefaultBackend, IngressTarget, Stored};
use crate::resolve::world::World;
use crate::resolve::{facade, httproute};

/// About an object that Kong services are made from.
#[derive(Debug, PartialEq, Serialize)]
pub struct OfMaker {
    /// The object.
    #[serde(flatten)]
    pub object: Object,
    /// What keeps it from making any; empty where nothing does.
    pub left_out: Vec<Reason>,
    /// Its rules; of an Ingress its backends.
    pub rules: Vec<OfRule>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// One rule of an object, or one backend of an Ingress.
#[derive(Debug, PartialEq, Serialize)]
pub struct OfRule {
    /// `rule 0`, `backend 1`, `default backend`.
    pub rule: String,
    /// Its backends.
    pub backends: Vec<Judged>,
    /// The Kong services that are made of it.
    pub kong_services: Vec<Made>,
    /// Why there are none, or not all that there might be.
    pub left_out: Vec<Reason>,
}

/// A Kong service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// How the name comes to be.
    pub how: String,
    /// What the name stands for.
    pub stands_for: String,
}

pub(super) fn explain(index: &Index, snapshot: &Snapshot, key: &Key) -> OfMaker {
    let world = index.world();
    let Some(id) = world.graph.find(key) else {
        let (kind, namespace, name) = (key.kind.as_str(), &*key.namespace, &*key.name);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let object = Object { kind, namespace, name, known: false };
        let text = format!("there is no such {kind} here");
        let left_out = vec![judge::reason("unknown", text)];
        return OfMaker { object, left_out, rules: Vec::new(), notes: Vec::new() };
    };
    let left_out = judge::reasons(world, id);
    let rules = match left_out.is_empty() {
        true => rules(index, snapshot, id),
        false => Vec::new(),
    };
    let mut notes = judge::missing_listeners(world, id);
    match world.graph.object(id) {
        Some(Stored::Route(route)) if route.rules.is_empty() => {
            notes.push("it has no rules".to_owned());
        }
        Some(Stored::KongService(service)) => notes.extend(judge::lost_routes(world, service)),
        _ => {}
    }
    OfMaker { object: judge::object(world, id), left_out, rules, notes }
}

fn rules(index: &Index, snapshot: &Snapshot, id: Id) -> Vec<OfRule> {
    let world = index.world();
    let numbers: Vec<_> = match world.graph.object(id) {
        Some(Stored::Route(route)) => (0..).take(route.rules.len()).collect(),
        Some(Stored::Ingress(ingress)) => {
            let default = (ingress.default != DefaultBackend::None).then_some(DEFAULT);
            (0..).take(ingress.backends.len()).chain(default).collect()
        }
        Some(Stored::L4Ingress(ingress)) => (0..).take(ingress.backends.len()).collect(),
        Some(Stored::KongService(_) | Stored::Facade(_)) => vec![0],
        _ => Vec::new(),
    };
    numbers.into_iter().map(|number| rule(index, snapshot, id, number)).collect()
}

fn rule(index: &Index, snapshot: &Snapshot, id: Id, number: u16) -> OfRule {
    let world = index.world();
    if let Some(Stored::Facade(_)) = world.graph.object(id) {
        return of_facade(index, snapshot, id);
    }
    let claims: Vec<_> =
        index.claims_of(id).into_iter().filter(|(_, claim)| claim.rule == number).collect();
    let claim = Claim { object: id, rule: number, way: Way::Own };
    let mut kong_services = Vec::new();
    for (base, claim) in &claims {
        let all = index.claims_on(base);
        for (name, claims) in group::names(world, base, &all) {
            if claims.contains(claim) {
                let stands_for = match group::meaning(world, &claims) {
                    Some(group::Meaning::Disagreement { annotations, .. }) => {
                        format!("nothing: {}", disagreement(&annotations))
                    }
                    _ => stands_for(snapshot, &name),
                };
                let how = how(world, *claim, base, &name);
                kong_services.push(Made { name, how, stands_for });
            }
        }
    }
    let backends = judge::backends(world, claim);
    let left_out = left_out(world, id, number, kong_services.len());
    OfRule { rule: rule_name(world, id, number), backends, kong_services, left_out }
}

/// Why a rule makes no Kong service, or one less than it might.
fn left_out(world: &World, id: Id, number: u16, made: usize) -> Vec<Reason> {
    let (kind, namespace, name) = world.graph.key(id);
    match world.graph.object(id) {
        Some(Stored::Ingress(one)) => {
            let is_older = number == DEFAULT && world.default_ingress != Some(id);
            let older = world.default_ingress.filter(|_| is_older).map(|older| {
                let (_, namespace, name) = world.graph.key(older);
                let text = format!(
                    "only the oldest default backend counts, that of Ingress {namespace}/{name}"
                );
                judge::reason("not_the_oldest", text)
            });
            if number == DEFAULT && one.default == DefaultBackend::Unknown {
                let text = "it is neither a Service nor a KongServiceFacade";
                return older.into_iter().chain([judge::reason("not_a_service", text)]).collect();
            }
            let facades = ingress::target(one, number).map(|one| judge::of_facades(world, one));
            facades.into_iter().flatten().chain(older).collect()
        }
        Some(Stored::Route(_)) if kind == ObjectKind::HTTPRoute => {
            let base = format!("httproute.{namespace}.{name}.{number}");
            let forms = world.forms;
            let is_left = forms.combined
                && forms.separate
                && made < 2
                && httproute::is_derived_from_combined(&base);
            is_left.then(judge::looks_combined).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn of_facade(index: &Index, snapshot: &Snapshot, id: Id) -> OfRule {
    let world = index.world();
    let name = facade::name(world, id);
    let backends = vec![judge::of_facade(world, id)];
    let mut left_out = Vec::new();
    let mut kong_services = Vec::new();
    if index.claims_on(&name).is_empty() {
        left_out.push(judge::reason("unused", "no Ingress that counts sends to it"));
    } else {
        let stands_for = stands_for(snapshot, &name);
        let how = "named after the KongServiceFacade".to_owned();
        kong_services.push(Made { name, how, stands_for });
    }
    OfRule { rule: "backend".to_owned(), backends, kong_services, left_out }
}

/// What a rule is called.
pub(super) fn rule_name(world: &World, id: Id, number: u16) -> String {
    match world.graph.object(id) {
        Some(Stored::Ingress(_)) if number == DEFAULT => "default backend".to_owned(),
        Some(Stored::Ingress(_) | Stored::L4Ingress(_)) => format!("backend {number}"),
        Some(Stored::KongService(_) | Stored::Facade(_)) => "backend".to_owned(),
        _ => format!("rule {number}"),
    }
}

/// How a name comes to be.
pub(super) fn how(world: &World, claim: Claim, base: &str, name: &str) -> String {
    let (kind, namespace, own) = world.graph.key(claim.object);
    let how = match (kind, claim.way) {
        (_, Way::Combined) => format!(
            "combined: named after its backends, and one with every rule of HTTPRoutes in namespace \
             {namespace} that has the same"
        ),
        (ObjectKind::HTTPRoute, Way::Own) => {
            "separate: named after the route and the first of its rules with these backends"
                .to_owned()
        }
        (ObjectKind::GRPCRoute, _) => {
            let traditional = format!("grpcroute.{namespace}.{own}.{}", claim.rule);
            if base == traditional {
                "named after the route and the rule (traditional router)".to_owned()
            } else {
                "named after the route, the host name and the rule (expressions router)".to_owned()
            }
        }
        (ObjectKind::Ingress, _) => match world.graph.object(claim.object) {
            Some(Stored::Ingress(one))
                if matches!(ingress::target(one, claim.rule), Some(IngressTarget::Facade(_))) =>
            {
                "named after the KongServiceFacade".to_owned()
            }
            _ => "named after namespace, Service and port".to_owned(),
        },
        (ObjectKind::TCPIngress | ObjectKind::UDPIngress, _) => {
            "named after namespace, Service and port".to_owned()
        }
        (ObjectKind::KongService, _) => "the name of the KongService, or its host".to_owned(),
        _ => "named after the route and the rule".to_owned(),
    };
    let timeout = name.rsplit_once(".timeout.").filter(|_| name != base);
    let timeout = timeout.map(|_| "; with the timeout, in which these rules differ");
    let is_cut = name != base && name.contains("_combined.");
    let cut = format!(
        "; {} bytes would be too many for Kong's controllers, which then keep the first backend and \
         a hash of all",
        base.len()
    );
    format!("{how}{}{}", timeout.unwrap_or_default(), if is_cut { &*cut } else { "" })
}

pub(super) fn disagreement(annotations: &[String]) -> String {
    format!(
        "Kong's controllers leave it out with its routes, for its Services do not all have the same {}",
        annotations.join(", ")
    )
}
