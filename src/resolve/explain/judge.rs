//! What counts and what does not: objects, and the backends they name.
//!
//! In: the world of the index, and an object or a claim. Out: a [`Reason`] for each thing that keeps
//! the object from making names, a [`Verdict`] on each backend. The sentences are here, so that they
//! are the same wherever they are told.

use serde::Serialize;

use super::Object;
use crate::kubernetes::ObjectKind;
use crate::resolve::claim::Claim;
use crate::resolve::graph::Id;
use crate::resolve::store::{
    Facade, IngressTarget, KongService, Parent, Ref, Route, ServicePort, Stored,
};
use crate::resolve::world::World;
use crate::resolve::{backend, gateway, httproute, ingress, kongservice};

/// Why something does not count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reason {
    /// One word, for JSON.
    pub reason: &'static str,
    /// A sentence.
    pub text: String,
}

/// A backend, and whether it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Judged {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The port as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The weight, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Whether it counts.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub text: String,
    #[serde(skip)]
    pub(super) id: Id,
}

/// Whether a backend counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Counts,
    /// There is no such Service.
    Missing,
    /// It is in another namespace, and no ReferenceGrant there allows it.
    NotGranted,
    /// It is another kind of object.
    NotAService,
    /// The facade in front of it is missing or of a class that does not count.
    NoFacade,
    /// The Kong service was made without backends.
    Without,
}

/// What keeps an object from making Kong services. Empty where nothing does.
pub(super) fn reasons(world: &World, id: Id) -> Vec<Reason> {
    let (kind, ..) = world.graph.key(id);
    match world.graph.object(id) {
        None => vec![reason("unknown", format!("there is no such {} here", kind.as_str()))],
        Some(Stored::Route(route)) => of_route(world, kind, route),
        Some(Stored::Ingress(ingress)) => of_class(world, ingress.class.as_deref()),
        Some(Stored::L4Ingress(ingress)) => {
            let mut reasons = of_class(world, ingress.class.as_deref());
            if !world.forms.kic {
                let kind = kind.as_str();
                let text = format!("Kong Operator does not read {kind}es (--flavor=kong-operator)");
                reasons.push(reason("flavor", text));
            }
            reasons
        }
        Some(Stored::Facade(facade)) => {
            let mut reasons = of_class(world, facade.class.as_deref());
            if !world.forms.facade {
                reasons.push(facades_are_off());
            }
            reasons
        }
        Some(Stored::KongService(service)) => of_kong_service(service),
        Some(_) => Vec::new(),
    }
}

/// The backends that a claim names, in the order in which they are written.
pub(super) fn backends(world: &World, claim: Claim) -> Vec<Judged> {
    match world.graph.object(claim.object) {
        Some(Stored::Route(route)) => {
            let rule = route.rules.get(usize::from(claim.rule));
            let refs = rule.map(|rule| &*rule.refs).unwrap_or_default();
            refs.iter().map(|one| of_ref(world, claim.object, one)).collect()
        }
        Some(Stored::Ingress(ingress)) => {
            let target = ingress::target(ingress, claim.rule);
            target.map(|target| of_target(world, target)).into_iter().collect()
        }
        Some(Stored::L4Ingress(ingress)) => {
            let backend = ingress.backends.get(usize::from(claim.rule));
            let judged =
                |(service, port): &(Id, i32)| of_service(world, *service, Some(port.to_string()));
            backend.map(judged).into_iter().collect()
        }
        Some(Stored::KongService(service)) => of_kong_services(world, service),
        _ => Vec::new(),
    }
}

/// Why a target of an Ingress makes no Kong service, though the Ingress counts.
pub(super) fn of_facades(world: &World, target: &IngressTarget) -> Vec<Reason> {
    match target {
        IngressTarget::Facade(_) if !world.forms.facade => vec![facades_are_off()],
        _ => Vec::new(),
    }
}

pub(super) fn object(world: &World, id: Id) -> Object {
    let (kind, namespace, name) = world.graph.key(id);
    Object {
        kind: kind.as_str(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        known: world.graph.object(id).is_some(),
    }
}

pub(super) fn reason(reason: &'static str, text: impl Into<String>) -> Reason {
    Reason { reason, text: text.into() }
}

fn of_route(world: &World, kind: ObjectKind, route: &Route) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !gateway::is_attached(world, route) {
        let gateways: Vec<_> =
            route.place.parents.iter().filter_map(|parent| parent.gateway).collect();
        if route.place.parents.is_empty() {
            reasons.push(reason("no_parent", "it has no parentRefs"));
        } else if gateways.is_empty() {
            let text = "its parentRefs are Services, as those of a mesh's routes are";
            reasons.push(reason("no_gateway", text));
        }
        reasons.extend(gateways.into_iter().map(|id| foreign(world, id)));
    }
    let is_refused =
        kind == ObjectKind::HTTPRoute && route.matches_query_params && !world.forms.expressions;
    if is_refused {
        let text = "a rule matches query parameters, and Kong's traditional router cannot: the \
                    whole route is left out (--expressions=off)";
        reasons.push(reason("query_parameters", text));
    }
    reasons
}

/// Why a Gateway does not count.
fn foreign(world: &World, id: Id) -> Reason {
    let (_, namespace, name) = world.graph.key(id);
    let class = match world.graph.object(id) {
        Some(Stored::Gateway(gateway)) if world.settings.gateways.is_empty() => gateway.class,
        _ => {
            let text =
                format!("Gateway {namespace}/{name} is not one of those that count (--gateway)");
            return reason("other_gateway", text);
        }
    };
    let (.., class) = world.graph.key(class);
    let text =
        format!("Gateway {namespace}/{name} is of GatewayClass {class}, which is not Kong's");
    reason("other_gateway_class", text)
}

/// Listeners that a route names and its Gateway does not have. The resolver does not look at them.
pub(super) fn missing_listeners(world: &World, id: Id) -> Vec<String> {
    let Some(Stored::Route(route)) = world.graph.object(id) else { return Vec::new() };
    let missing = |parent: &Parent| {
        let (id, section) = (parent.gateway?, parent.section.as_ref()?);
        let Some(Stored::Gateway(gateway)) = world.graph.object(id) else { return None };
        let (_, namespace, name) = world.graph.key(id);
        let text = format!(
            "Gateway {namespace}/{name} has no listener {section}: Kong's controller does not take \
             the route there, though its names are made here all the same"
        );
        gateway.listeners.iter().all(|listener| listener.name != *section).then_some(text)
    };
    route.place.parents.iter().filter_map(missing).collect()
}

fn of_class(world: &World, class: Option<&str>) -> Vec<Reason> {
    if world.classes.accept(class) {
        return Vec::new();
    }
    let names = world.classes.names().collect::<Vec<_>>().join(", ");
    let text = match class {
        Some(class) => format!("its class is {class}; what counts is {names}"),
        None => format!("it has no class, and none of those that count ({names}) is the default"),
    };
    vec![reason("class", text)]
}

fn of_kong_service(service: &KongService) -> Vec<Reason> {
    if service.label.is_empty() {
        return vec![reason("no_name", "it has neither a name nor a host")];
    }
    if httproute::is_derived_from_combined(&service.label) {
        return vec![looks_combined()];
    }
    Vec::new()
}

/// What a KongService lacks that was made of routes.
pub(super) fn lost_routes(world: &World, service: &KongService) -> Option<String> {
    let is_lost = !service.routes.is_empty() && kongservice::owners(world, service).is_empty();
    let text = "none of the routes that its annotations name is known, counts and has a rule whose \
                backends fit its name";
    is_lost.then(|| text.to_owned())
}

/// A name that is left to be read as what it most likely is.
pub(super) fn looks_combined() -> Reason {
    let text = "the name looks like one that Kong makes of several HTTPRoutes' rules, and is left to \
                be read as that";
    reason("looks_combined", text)
}

fn facades_are_off() -> Reason {
    reason("facades_off", "KongServiceFacades do not count (--facade=off)")
}

fn of_ref(world: &World, route: Id, one: &Ref) -> Judged {
    let (kind, namespace, _) = world.graph.key(route);
    let mut judged = of_service(world, one.service, one.port.map(|port| port.to_string()));
    judged.weight = one.weight;
    if !one.is_service {
        judged.judge(Verdict::NotAService, "left out: it is no Service");
    } else if judged.verdict == Verdict::Counts && !backend::may_refer(world, kind, namespace, one)
    {
        let text = format!(
            "left out: no ReferenceGrant in namespace {} lets {}s of namespace {namespace} refer \
             to it",
            judged.namespace,
            kind.as_str()
        );
        judged.judge(Verdict::NotGranted, text);
    }
    judged
}

fn of_target(world: &World, target: &IngressTarget) -> Judged {
    match target {
        IngressTarget::Service { service, port } => {
            let port = match port {
                ServicePort::Number(port) => Some(port.to_string()),
                ServicePort::Name(port) => Some(port.to_string()),
                ServicePort::Implicit => None,
            };
            of_service(world, *service, port)
        }
        IngressTarget::Facade(id) => of_facade(world, *id),
    }
}

/// The Service behind a facade.
pub(super) fn of_facade(world: &World, id: Id) -> Judged {
    let (_, namespace, name) = world.graph.key(id);
    let Some(Stored::Facade(facade)) = world.graph.object(id) else {
        let mut judged = of_service(world, id, None);
        let text = format!(
            "left out: there is no KongServiceFacade {namespace}/{name}, so its Service is not known"
        );
        judged.judge(Verdict::NoFacade, text);
        return judged;
    };
    let Facade { class, service, port } = &**facade;
    let mut judged = of_service(world, *service, port.map(|port| port.to_string()));
    if let Some(Reason { text, .. }) = of_class(world, class.as_deref()).into_iter().next() {
        let text = format!("left out: of KongServiceFacade {namespace}/{name}, {text}");
        judged.judge(Verdict::NoFacade, text);
    }
    judged
}

fn of_kong_services(world: &World, service: &KongService) -> Vec<Judged> {
    if let Some(id) = service.service.filter(|_| service.routes.is_empty()) {
        return vec![of_service(world, id, service.port.map(|port| port.to_string()))];
    }
    let mut backends = Vec::new();
    for (route, rule) in kongservice::owners(world, service) {
        let Some(Stored::Route(stored)) = world.graph.object(route) else { continue };
        let rule = stored.rules.get(usize::from(rule));
        for one in rule.into_iter().flat_map(|rule| &rule.refs) {
            let mut judged = of_ref(world, route, one);
            if kongservice::is_without_backends(service) {
                let text = "left out: the name says that no backend was valid when it was made";
                judged.judge(Verdict::Without, text);
            }
            if !backends.contains(&judged) {
                backends.push(judged);
            }
        }
    }
    backends
}

fn of_service(world: &World, id: Id, port: Option<String>) -> Judged {
    let (_, namespace, service) = world.graph.key(id);
    let (verdict, text) = match backend::exists(world, id) {
        true => (Verdict::Counts, "counts"),
        false => (Verdict::Missing, "left out: there is no such Service"),
    };
    Judged {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        port,
        weight: None,
        verdict,
        text: text.to_owned(),
        id,
    }
}

impl Judged {
    fn judge(&mut self, verdict: Verdict, text: impl Into<String>) {
        self.verdict = verdict;
        self.text = text.into();
    }
}
