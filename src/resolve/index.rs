//! The objects that are known, and the mapping they make.
//!
//! In: objects as they appear, change and vanish, in any order. Out: the whole [`Snapshot`], or what
//! changed in it. The one decision: no name is kept. Which objects claim a name is kept under the
//! name's hash; the names themselves are worked out of the objects when somebody asks, and then only
//! those that a change can have touched. Ten thousand changes on one name are worked out once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::ops::Bound;
use std::time::Instant;

use crate::kubernetes::object::IS_DEFAULT_CLASS;
use crate::kubernetes::types::{ControlPlaneSpec, IngressClassSpec, ReferenceGrantSpec};
use crate::kubernetes::{Key, Object, ObjectKind, Spec};
use crate::mapping::Snapshot;
use crate::mapping::snapshot::{Builder, Entry, Owner, place};
use crate::resolve::gateway;
use crate::resolve::graph::{Graph, Id};
use crate::resolve::group::{self, Claim, Claims, Meaning};
use crate::resolve::ingress::Defaults;
use crate::resolve::settings::{Classes, Forms, Settings};
use crate::resolve::store::Stored;
use crate::resolve::{grpcroute, httproute, ingress, kongservice, l4ingress, l4route};

/// The objects that are known, and the names they claim.
#[derive(Debug)]
pub struct Index {
    world: World,
    defaults: Defaults,
    /// The place of each claimed name, and the claim. In the order of a snapshot's buckets.
    claims: BTreeSet<(u64, Claim)>,
    /// The names that [`Index::changes`] told and did not take back, where they are not simply the
    /// claimed name; by the place of that.
    told: HashMap<u64, Vec<String>>,
    /// `None` before somebody asked for the first time: then all names are.
    touched: Option<Touched>,
}

/// What may have changed since it was asked for.
#[derive(Debug, Default)]
struct Touched {
    /// The places of claimed names.
    places: BTreeSet<u64>,
    /// Names that somebody claimed and does not any more.
    left: BTreeSet<String>,
}

/// A name whose meaning may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name of the Kong service.
    pub name: String,
    /// What it stands for now; `None` where it is gone.
    pub entry: Option<Entry>,
}

/// A name that Kong's controllers leave out of Kong's configuration, with its routes: the
/// annotations of the Services behind it contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// The name of the Kong service that there is not.
    pub name: String,
    /// The annotations that every one of the Services would have to have, with the same value.
    pub annotations: Vec<String>,
    /// The rules that lose their traffic, as `HTTPRoute web/shop rule 0`.
    pub owners: Vec<String>,
}

/// All that the meaning of a name depends on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) forms: Forms,
    pub(crate) classes: Classes,
    pub(crate) graph: Graph,
    /// By the namespace they are in and allow to refer to.
    pub(crate) grants: HashMap<Box<str>, BTreeMap<Box<str>, ReferenceGrantSpec>>,
    /// The Ingress whose default backend counts.
    pub(crate) default_ingress: Option<Id>,
    pub(crate) ingress_classes: BTreeMap<Box<str>, (IngressClassSpec, bool)>,
    pub(crate) control_planes: BTreeMap<(Box<str>, Box<str>), ControlPlaneSpec>,
}

impl Index {
    /// An index of no objects.
    pub fn new(settings: Settings) -> Self {
        let (forms, classes) = (settings.forms([]), settings.classes(&BTreeMap::new(), []));
        let world = World {
            settings,
            forms,
            classes,
            graph: Graph::default(),
            grants: HashMap::new(),
            default_ingress: None,
            ingress_classes: BTreeMap::new(),
            control_planes: BTreeMap::new(),
        };
        let defaults = Defaults::default();
        Self { world, defaults, claims: BTreeSet::new(), told: HashMap::new(), touched: None }
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

    /// The names whose meaning may have changed since the last call, sorted; at the first call all
    /// names. Those that come back the same or were never there may be among them.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        match self.touched.replace(Touched::default()) {
            None => {
                let places: BTreeSet<_> = self.claims.iter().map(|(place, _)| *place).collect();
                self.tell(places, &mut changes);
                // What was never told need not be taken back.
                changes.retain(|_, entry| entry.is_some());
            }
            Some(Touched { places, left }) => {
                self.tell(places, &mut changes);
                left.into_iter().for_each(|name| {
                    changes.entry(name).or_insert(None);
                });
            }
        }
        changes.into_iter().map(|(name, entry)| Change { name, entry }).collect()
    }

    /// The mapping that follows `before` at the time `now`, where `before` is what this told last:
    /// as `before` with the [`Self::changes`], but with no list of them in between, however many
    /// they are.
    #[must_use]
    pub fn update(&mut self, before: &Snapshot, now: Instant) -> Snapshot {
        let Some(Touched { places, left }) = self.touched.replace(Touched::default()) else {
            let (mut all, mut told) = (Builder::for_names(self.claims.len()), HashMap::new());
            self.each(|place, base, name, meaning| {
                if let Meaning::Entry(entry) = meaning {
                    all.insert(&name, &entry);
                    if name != base {
                        told.entry(place).or_insert_with(Vec::new).push(name);
                    }
                }
            });
            self.told = told;
            return all.build().succeed(before, now);
        };
        let mut after = before.clone();
        let places: Vec<_> = places.into_iter().collect();
        // A name that is left over may be told as something else below.
        let left = left.into_iter().filter(|name| !self.is_claimed(place(name)));
        let left: Vec<_> = left.map(|name| (name, None)).collect();
        if !left.is_empty() {
            after = after.updated(left, now);
        }
        // In the order of places: one after the other, what is changed together is together.
        for some in places.chunks(AT_ONCE) {
            let mut changes = BTreeMap::new();
            self.tell(some.iter().copied(), &mut changes);
            after = after.updated(changes, now);
        }
        after
    }

    /// Whether there may be anything to tell.
    pub fn is_touched(&self) -> bool {
        let is_touched = |touched: &Touched| !touched.places.is_empty() || !touched.left.is_empty();
        self.touched.as_ref().is_none_or(is_touched)
    }

    /// The whole mapping.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Builder::for_names(self.claims.len());
        self.each(|_, _, name, meaning| {
            if let Meaning::Entry(entry) = meaning {
                snapshot.insert(&name, &entry);
            }
        });
        snapshot.build()
    }

    /// The names that Kong's controllers leave out, sorted.
    pub fn dropped(&self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        self.each(|_, _, name, meaning| {
            if let Meaning::Disagreement { annotations, owners } = meaning {
                let owners = owners.iter().map(describe).collect();
                dropped.push(Dropped { name, annotations, owners });
            }
        });
        dropped.sort_unstable();
        dropped
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The names that an object claims.
    pub(crate) fn claimed_by(&self, id: Id) -> BTreeSet<String> {
        claims(&self.world, id, Claims::default()).into_iter().map(|(base, _)| base).collect()
    }

    /// All claims on a name.
    pub(crate) fn claims_on(&self, base: &str) -> Vec<Claim> {
        self.claimed_at(place(base)).remove(base).unwrap_or_default()
    }

    /// Every claimed name with its place, in the order of places, and what it or a name that is made
    /// of it means.
    fn each(&self, mut take: impl FnMut(u64, &str, String, Meaning)) {
        let mut next = self.claims.first();
        while let Some((place, _)) = next {
            for (base, claims) in self.claimed_at(*place) {
                for (name, meaning) in group::resolve(&self.world, &base, &claims) {
                    take(*place, &base, name, meaning);
                }
            }
            let after = (Bound::Excluded((*place, Claim::LAST)), Bound::Unbounded);
            next = self.claims.range(after).next();
        }
    }

    /// What the names at these places stand for now.
    fn tell(
        &mut self,
        places: impl IntoIterator<Item = u64>,
        changes: &mut BTreeMap<String, Option<Entry>>,
    ) {
        for place in places {
            let mut others = Vec::new();
            for (base, claims) in self.claimed_at(place) {
                for (name, meaning) in group::resolve(&self.world, &base, &claims) {
                    let Meaning::Entry(entry) = meaning else { continue };
                    if name != base {
                        others.push(name.clone());
                    }
                    changes.insert(name, Some(entry));
                }
                changes.entry(base).or_insert(None);
            }
            let told = match others.is_empty() {
                true => self.told.remove(&place),
                false => self.told.insert(place, others),
            };
            for gone in told.into_iter().flatten() {
                changes.entry(gone).or_insert(None);
            }
        }
    }

    /// The claimed names of this place, which is one but for a great coincidence, with the claims.
    fn claimed_at(&self, at: u64) -> BTreeMap<String, Vec<Claim>> {
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

    fn is_claimed(&self, place: u64) -> bool {
        self.claims.range((place, Claim::FIRST)..=(place, Claim::LAST)).next().is_some()
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
        let affected = self.affected(ids);
        let Some(Touched { places, .. }) = &mut self.touched else { return };
        for id in affected {
            let claims = claims(&self.world, id, Claims::default());
            places.extend(claims.iter().map(|(base, _)| place(base)));
        }
    }

    /// These objects and those that refer to them, and those that refer to those.
    fn affected(&self, ids: impl IntoIterator<Item = Id>) -> BTreeSet<Id> {
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

fn describe(owner: &Owner) -> String {
    let Owner { kind, namespace, name, rule } = owner;
    let rule = rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    format!("{} {namespace}/{name}{rule}", kind.as_str())
}

/// So many names are worked out at once, to be taken over into a snapshot.
const AT_ONCE: usize = 4096;
