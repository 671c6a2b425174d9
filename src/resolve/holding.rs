//! Which Services are in a Kong service together, and which objects make it.
//!
//! In: the [`Index`] and a Service, or an object that makes Kong services. Out: what is on the other
//! side. The one decision: what a rule names counts, whether it exists and is granted or not, and
//! under every set-up that the index allows for. Whoever asks wants to know what could become wrong
//! by a change to the Service, also once the missing one appears.
//!
//! Nothing is kept: the index knows who refers to whom, so an answer costs the objects that refer
//! to the Service, and is as new as the index.

use std::collections::BTreeSet;

use crate::kubernetes::{Key, ObjectKind};
use crate::resolve::claim::Claim;
use crate::resolve::graph::Id;
use crate::resolve::index::Index;
use crate::resolve::store::{IngressTarget, Stored};
use crate::resolve::world::World;
use crate::resolve::{ingress, kongservice};

/// A Kong service and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Its name, without what Kong's controllers append for timeouts, and however long.
    pub name: String,
    /// The Services that are named as its backends; they need not exist.
    pub services: BTreeSet<Key>,
    /// The routes, Ingresses and KongServices that make it.
    pub owners: BTreeSet<Key>,
}

impl Held {
    /// Whether several Services are in it.
    pub fn is_shared(&self) -> bool {
        self.services.len() > 1
    }
}

impl Index {
    /// The Kong services that a Service is in, sorted by name.
    pub fn kong_services_of(&self, service: &Key) -> Vec<Held> {
        let world = self.world();
        let Some(service) = world.graph.find(service) else { return Vec::new() };
        let (mut waiting, mut seen) = (vec![service], BTreeSet::from([service]));
        let mut names = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            names.extend(self.claimed_by(id));
            waiting.extend(world.graph.dependents(id).filter(|dependent| seen.insert(*dependent)));
        }
        let held = names.into_iter().filter(|name| {
            self.claims_on(name).iter().any(|claim| named(world, *claim).contains(&service))
        });
        held.map(|name| self.held(&name)).collect()
    }

    /// The Kong services that a route, Ingress or KongService makes, sorted by name.
    pub fn kong_services_by(&self, owner: &Key) -> Vec<Held> {
        let id = self.world().graph.find(owner);
        let names = id.map(|id| self.claimed_by(id)).unwrap_or_default();
        names.into_iter().map(|name| self.held(&name)).collect()
    }

    fn held(&self, name: &str) -> Held {
        let world = self.world();
        let mut held =
            Held { name: name.to_owned(), services: BTreeSet::new(), owners: BTreeSet::new() };
        for claim in self.claims_on(name) {
            held.services.extend(named(world, claim).into_iter().map(|id| key(world, id)));
            held.owners.insert(key(world, claim.object));
            if let Some(Stored::KongService(service)) = world.graph.object(claim.object) {
                let routes = kongservice::owners(world, service);
                held.owners.extend(routes.into_iter().map(|(route, _)| key(world, route)));
            }
        }
        held
    }
}

/// The Services that a claim names.
fn named(world: &World, claim: Claim) -> BTreeSet<Id> {
    match world.graph.object(claim.object) {
        Some(Stored::Route(route)) => {
            let rule = route.rules.get(usize::from(claim.rule));
            let refs = rule.into_iter().flat_map(|rule| &rule.refs);
            refs.filter(|one| one.is_service).map(|one| one.service).collect()
        }
        Some(Stored::Ingress(ingress)) => match ingress::target(ingress, claim.rule) {
            Some(IngressTarget::Service { service, .. }) => BTreeSet::from([*service]),
            Some(IngressTarget::Facade(id)) => match world.graph.object(*id) {
                Some(Stored::Facade(facade)) => BTreeSet::from([facade.service]),
                _ => BTreeSet::new(),
            },
            None => BTreeSet::new(),
        },
        Some(Stored::L4Ingress(ingress)) => {
            let backend = ingress.backends.get(usize::from(claim.rule));
            backend.into_iter().map(|(service, _)| *service).collect()
        }
        Some(Stored::KongService(service)) => kongservice::named(world, service),
        _ => BTreeSet::new(),
    }
}

fn key(world: &World, id: Id) -> Key {
    let (kind, namespace, name) = world.graph.key(id);
    Key::new(kind, namespace, name)
}

/// The key of a Service.
pub fn service_key(namespace: &str, name: &str) -> Key {
    Key::new(ObjectKind::Service, namespace, name)
}
