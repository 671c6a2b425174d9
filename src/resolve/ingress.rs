//! Ingresses: `<namespace>.<service>.<port>` (subtranslator/ingress.go), and of the oldest default
//! backend (translate_ingress.go).
//!
//! The name tells the Service by itself; it is claimed for the Services that do not exist.

use std::collections::{BTreeSet, HashMap};

use crate::resolve::backend::{self, Found};
use crate::resolve::claim::{Claim, Claims, Way};
use crate::resolve::facade;
use crate::resolve::graph::Id;
use crate::resolve::store::{DefaultBackend, Ingress, IngressTarget, ServicePort, Stored};
use crate::resolve::world::World;

/// The names that the Ingress claims.
pub(crate) fn claims(world: &World, object: Id, ingress: &Ingress, claims: &mut Claims) {
    if !world.classes.accept(ingress.class.as_deref()) {
        return;
    }
    let default = match &ingress.default {
        DefaultBackend::To(target) if world.default_ingress == Some(object) => Some(target),
        _ => None,
    };
    let targets = ingress.backends.iter().zip(0..).chain(default.map(|target| (target, DEFAULT)));
    for (target, rule) in targets {
        if !claims.wants(rule) {
            continue;
        }
        let claim = Claim { object, rule, way: Way::Own };
        match target {
            IngressTarget::Service { service, port } => {
                let (_, namespace, name) = world.graph.key(*service);
                let base = match port {
                    ServicePort::Number(port) => format!("{namespace}.{name}.{port}"),
                    ServicePort::Name(port) => format!("{namespace}.{name}.{port}"),
                    ServicePort::Implicit => format!("{namespace}.{name}.implicitPort"),
                };
                claims.push(base, claim);
            }
            IngressTarget::Facade(id) if world.forms.facade => {
                claims.push(facade::name(world, *id), claim);
            }
            IngressTarget::Facade(_) => {}
        }
    }
}

/// What the claim of this number stands for; `None` where Kong's controllers refuse it.
pub(crate) fn backends(world: &World, ingress: &Ingress, rule: u16) -> Option<Vec<Found>> {
    match target(ingress, rule)? {
        IngressTarget::Service { service, port } => {
            let port = match port {
                ServicePort::Number(port) => backend::number(*port),
                ServicePort::Name(name) => Some(crate::mapping::Port::Name(name.to_string())),
                ServicePort::Implicit => None,
            };
            Some(backend::of_service(world, *service, port))
        }
        IngressTarget::Facade(id) => facade::backends(world, *id),
    }
}

/// The facade that the claim of this number is for.
pub(crate) fn facade_of(ingress: &Ingress, rule: u16) -> Option<Id> {
    match target(ingress, rule)? {
        IngressTarget::Facade(id) => Some(*id),
        IngressTarget::Service { .. } => None,
    }
}

/// What the claim of this number is for.
pub(crate) fn target(ingress: &Ingress, rule: u16) -> Option<&IngressTarget> {
    match &ingress.default {
        DefaultBackend::To(target) if rule == DEFAULT => Some(target),
        _ => ingress.backends.get(usize::from(rule)),
    }
}

/// The Ingresses that have a default backend, by age: only the oldest one's counts.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    by_age: BTreeSet<(Age, Id)>,
    ages: HashMap<Id, Age>,
}

/// When it was created, and `namespace/name` where that is the same. Without a time is older than
/// any time, as it is for Go.
type Age = (Option<Box<str>>, Box<str>);

impl Defaults {
    /// The one that counts.
    pub(crate) fn oldest(&self) -> Option<Id> {
        self.by_age.first().map(|(_, id)| *id)
    }

    /// Notes whether an Ingress, as it is now, has a default backend, and how old it is.
    pub(crate) fn note(&mut self, world: &World, id: Id) {
        if let Some(age) = self.ages.remove(&id) {
            self.by_age.remove(&(age, id));
        }
        let Some(Stored::Ingress(ingress)) = world.graph.object(id) else { return };
        let is_in = ingress.default != DefaultBackend::None
            && world.classes.accept(ingress.class.as_deref());
        if is_in {
            let (_, namespace, name) = world.graph.key(id);
            let age: Age = (ingress.created.clone(), format!("{namespace}/{name}").into());
            self.ages.insert(id, age.clone());
            self.by_age.insert((age, id));
        }
    }
}

/// The number of the claim of the default backend; paths have those before.
pub(crate) const DEFAULT: u16 = u16::MAX;
