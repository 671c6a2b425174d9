//! The objects that are known, and the mapping they make.
//!
//! In: objects as they appear, change and vanish, in any order. Out: the whole [`Snapshot`], or what
//! changed in it. The one decision: no name is kept. Which objects claim a name is kept under the
//! name's hash; the names themselves are worked out of the objects when somebody asks, and then only
//! those that a change can have touched. Ten thousand changes on one name are worked out once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use crate::kubernetes::keys::IS_DEFAULT_CLASS;
use crate::kubernetes::{Key, Object, ObjectKind, Spec};
use crate::mapping::snapshot::place;
use crate::resolve::claim::{Claim, Claims};
use crate::resolve::gateway;
use crate::resolve::graph::Id;
use crate::resolve::ingress::Defaults;
use crate::resolve::settings::Settings;
use crate::resolve::store::Stored;
use crate::resolve::world::World;
use crate::resolve::{grpcroute, httproute, ingress, kongservice, l4ingress, l4route};

/// The objects that are known, and the names they claim.
#[derive(Debug)]
pub struct Index {
    pub(super) world: World,
    defaults: Defaults,
    /// The place of each claimed name, and the claim. In the order of a snapshot's buckets.
    pub(super) claims: BTreeSet<(u64, Claim)>,
    /// The names that [`Index::changes`] told and did not take back, where they are not simply the
    /// claimed name; by the place of that.
    pub(super) told: HashMap<u64, Vec<String>>,
    /// `None` before somebody asked for the first time: then all names are.
    pub(super) touched: Option<Touched>,
    revision: u64,
}

/// What may have changed since it was asked for.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// The places of claimed names.
    pub(super) places: BTreeSet<u64>,
    /// Names that somebody claimed and does not any more.
    pub(super) left: BTreeSet<String>,
}

impl Index {
    /// An index of no objects.
    pub fn new(settings: Settings) -> Self {
        let world = World::of_nothing(settings);
        let defaults = Defaults::default();
        let (claims, told) = (BTreeSet::new(), HashMap::new());
        Self { world, defaults, claims, told, touched: None, revision: 0 }
    }

    /// A number that grows whenever something changes that matters here.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes up an object that is new or has changed. One that is as before, as far as it matters
    /// here, costs nothing.
    pub fn apply(&mut self, object: Object) {
        let Key { kind, namespace, name } = object.key();
        if !kind.is_of_mapping() {
            return;
        }
        match object.spec {
            Spec::ReferenceGrant(grant) => {
                let grants = self.world.grants.entry(namespace.clone()).or_default();
                if grants.get(&name) != Some(&grant) {
                    grants.insert(name, grant);
                    self.touch_services_of(&namespace);
                }
            }
            Spec::IngressClass(class) => {
                let is_default = object.metadata.annotation(IS_DEFAULT_CLASS) == Some("true");
                self.world.ingress_classes.insert(name, (class, is_default));
                self.adjust();
            }
            Spec::ControlPlane(control_plane) => {
                self.world.control_planes.insert((namespace, name), control_plane);
                self.adjust();
            }
            _ => {
                let id = self.world.graph.id(kind, &namespace, &name);
                let stored = Stored::of(object, &mut self.world.graph);
                if self.world.graph.object(id) != stored.as_ref() {
                    self.replace(id, stored);
                }
            }
        }
    }

    /// Forgets an object.
    pub fn delete(&mut self, key: &Key) {
        match key.kind {
            ObjectKind::ReferenceGrant => {
                if let Some(grants) = self.world.grants.get_mut(&key.namespace) {
                    grants.remove(&key.name);
                    self.touch_services_of(&key.namespace);
                }
            }
            ObjectKind::IngressClass => {
                self.world.ingress_classes.remove(&key.name);
                self.adjust();
            }
            ObjectKind::ControlPlane => {
                let name = (key.namespace.clone(), key.name.clone());
                self.world.control_planes.remove(&name);
                self.adjust();
            }
            _ => {
                if let Some(id) = self.world.graph.find(key) {
                    self.replace(id, None);
                }
            }
        }
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The names that an object claims.
    pub(crate) fn claimed_by(&self, id: Id) -> BTreeSet<String> {
        self.claims_of(id).into_iter().map(|(base, _)| base).collect()
    }

    /// What an object claims: names and how it comes to them.
    pub(crate) fn claims_of(&self, id: Id) -> Vec<(String, Claim)> {
        claims(&self.world, id, Claims::default())
    }

    /// All claims on a name.
    pub(crate) fn claims_on(&self, base: &str) -> Vec<Claim> {
        self.claimed_at(place(base)).remove(base).unwrap_or_default()
    }

    /// The claimed names of this place, which is one but for a great coincidence, with the claims.
    pub(super) fn claimed_at(&self, at: u64) -> BTreeMap<String, Vec<Claim>> {
        let mut names = BTreeMap::<_, Vec<_>>::new();
        for (_, claim) in self.claims.range((at, Claim::FIRST)..=(at, Claim::LAST)) {
            for (base, own) in claims(&self.world, claim.object, Claims::of_rule(claim.rule)) {
                if own == *claim && place(&base) == at {
                    names.entry(base).or_default().push(own);
                }
            }
        }
        names
    }

    fn replace(&mut self, id: Id, object: Option<Stored>) {
        if let Some(object) = &object {
            self.world.graph.refer(id, object);
        }
        // Whoever refers to it does so before and after.
        let mut other = object;
        let kind = self.world.graph.key(id).0;
        if kind == ObjectKind::Service {
            self.world.graph.swap(id, &mut other);
            self.touch([id]);
        } else {
            self.change([id], |world| world.graph.swap(id, &mut other));
        }
        if kind == ObjectKind::Ingress {
            self.defaults.note(&self.world, id);
            self.choose_default();
        }
        self.world.graph.forget(id, other);
    }

    /// A grant of this namespace has changed: those who refer to its Services are touched.
    fn touch_services_of(&mut self, namespace: &str) {
        let graph = &self.world.graph;
        let services = graph.known(ObjectKind::Service, namespace);
        let ids: Vec<_> = services.flat_map(|id| graph.dependents(id)).collect();
        self.touch(ids);
    }

    /// What the names look like or which classes count may have changed.
    fn adjust(&mut self) {
        let control_planes = || self.world.control_planes.values();
        let mut forms = self.world.settings.forms(control_planes());
        let mut classes =
            self.world.settings.classes(&self.world.ingress_classes, control_planes());
        if (forms, &classes) == (self.world.forms, &self.world.classes) {
            return;
        }
        let all: Vec<_> = self.world.graph.objects().collect();
        self.change(all.iter().copied(), |world| {
            mem::swap(&mut world.forms, &mut forms);
            mem::swap(&mut world.classes, &mut classes);
        });
        for id in all {
            self.defaults.note(&self.world, id);
        }
        self.choose_default();
    }

    /// The oldest Ingress with a default backend may be another one.
    fn choose_default(&mut self) {
        let mut other = self.defaults.oldest();
        let before = self.world.default_ingress;
        if before != other {
            let both = [before, other].into_iter().flatten();
            self.change(both, |world| mem::swap(&mut world.default_ingress, &mut other));
        }
    }

    /// Turns the world into another one. `turn` does so and, called again, turns it back; the two
    /// differ in what these objects claim, and those that refer to them.
    fn change(&mut self, ids: impl IntoIterator<Item = Id>, mut turn: impl FnMut(&mut World)) {
        self.revision += 1;
        // One object at a time: what all of them claim would be the memory of the whole mapping.
        for id in self.affected(ids) {
            let before = claims(&self.world, id, Claims::default());
            turn(&mut self.world);
            let after = claims(&self.world, id, Claims::default());
            turn(&mut self.world);
            self.claim(before, after);
        }
        turn(&mut self.world);
    }

    /// What these objects, and those that refer to them, claim may mean something else.
    fn touch(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.revision += 1;
        let affected = self.affected(ids);
        let Some(Touched { places, .. }) = &mut self.touched else { return };
        for id in affected {
            let claims = claims(&self.world, id, Claims::default());
            places.extend(claims.iter().map(|(base, _)| place(base)));
        }
    }

    /// These objects and those that refer to them, and those that refer to those.
    pub(crate) fn affected(&self, ids: impl IntoIterator<Item = Id>) -> BTreeSet<Id> {
        let mut waiting: Vec<_> = ids.into_iter().collect();
        let mut affected: BTreeSet<_> = waiting.iter().copied().collect();
        while let Some(id) = waiting.pop() {
            let dependents = self.world.graph.dependents(id);
            waiting.extend(dependents.filter(|dependent| affected.insert(*dependent)));
        }
        affected
    }

    /// Notes that an object claims something else, or that what it claims may mean something else.
    fn claim(&mut self, before: Vec<(String, Claim)>, after: Vec<(String, Claim)>) {
        let is_same = before == after;
        if !is_same {
            for (base, claim) in &before {
                self.claims.remove(&(place(base), *claim));
            }
            self.claims.extend(after.iter().map(|(base, claim)| (place(base), *claim)));
        }
        if let Some(Touched { places, left }) = &mut self.touched {
            places.extend(after.iter().map(|(base, _)| place(base)));
            if !is_same {
                places.extend(before.iter().map(|(base, _)| place(base)));
                left.extend(before.into_iter().map(|(base, _)| base));
            }
        }
    }
}

/// The names that an object claims.
fn claims(world: &World, id: Id, mut claims: Claims) -> Vec<(String, Claim)> {
    match world.graph.object(id) {
        Some(Stored::Route(route)) if gateway::is_attached(world, route) => {
            match world.graph.key(id).0 {
                ObjectKind::HTTPRoute => httproute::claims(world, id, route, &mut claims),
                ObjectKind::GRPCRoute => grpcroute::claims(world, id, route, &mut claims),
                _ => l4route::claims(world, id, route, &mut claims),
            }
        }
        Some(Stored::Ingress(one)) => ingress::claims(world, id, one, &mut claims),
        Some(Stored::L4Ingress(one)) => l4ingress::claims(world, id, one, &mut claims),
        Some(Stored::KongService(one)) => kongservice::claims(id, one, &mut claims),
        _ => {}
    }
    claims.sorted()
}
