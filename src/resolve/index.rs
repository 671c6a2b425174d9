//! The objects that are known, and the mapping they make.
//!
//! In: objects as they appear, change and vanish, in any order. Out: the whole [`Snapshot`], or what
//! changed in it. The one decision: nothing is worked out before it is asked for, and then only what
//! a change can have touched; ten thousand changes on one name are worked out once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use crate::kubernetes::object::IS_DEFAULT_CLASS;
use crate::kubernetes::types::{ControlPlaneSpec, IngressClassSpec, ReferenceGrantSpec};
use crate::kubernetes::{Key, Object, ObjectKind, Spec};
use crate::mapping::Snapshot;
use crate::mapping::snapshot::{Builder, Entry, Owner};
use crate::resolve::gateway;
use crate::resolve::graph::{Graph, Id};
use crate::resolve::group::{self, Claim, Meaning};
use crate::resolve::ingress::Defaults;
use crate::resolve::settings::{Classes, Forms, Settings};
use crate::resolve::store::Stored;
use crate::resolve::{grpcroute, httproute, ingress, kongservice, l4ingress, l4route};

/// The objects that are known, and the names they claim.
#[derive(Debug)]
pub struct Index {
    world: World,
    defaults: Defaults,
    /// The claims on each name.
    groups: HashMap<Arc<str>, Group>,
    /// The groups whose meaning may have changed since it was asked for.
    touched: HashSet<Arc<str>>,
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
    ingress_classes: BTreeMap<Box<str>, (IngressClassSpec, bool)>,
    control_planes: BTreeMap<(Box<str>, Box<str>), ControlPlaneSpec>,
}

#[derive(Debug, Default)]
struct Group {
    /// Sorted.
    claims: Vec<Claim>,
    /// The names that were told in [`Index::changes`] and not taken back.
    told: Box<[Box<str>]>,
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
        Self { world, defaults, groups: HashMap::new(), touched: HashSet::new() }
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
    /// names. Those that are left over or come back the same may be among them.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        for base in mem::take(&mut self.touched) {
            let Some(group) = self.groups.get_mut(&base) else { continue };
            let mut told = Vec::new();
            for (name, meaning) in group::resolve(&self.world, &base, &group.claims) {
                if let Meaning::Entry(entry) = meaning {
                    told.push(Box::from(name.as_str()));
                    changes.insert(name, Some(entry));
                }
            }
            for gone in mem::replace(&mut group.told, told.into()) {
                changes.entry(gone.into()).or_insert(None);
            }
            if group.claims.is_empty() {
                self.groups.remove(&base);
            }
        }
        changes.into_iter().map(|(name, entry)| Change { name, entry }).collect()
    }

    /// The whole mapping.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Builder::default();
        for (base, group) in &self.groups {
            for (name, meaning) in group::resolve(&self.world, base, &group.claims) {
                if let Meaning::Entry(entry) = meaning {
                    snapshot.insert(&name, &entry);
                }
            }
        }
        snapshot.build()
    }

    /// The names that Kong's controllers leave out, sorted.
    pub fn dropped(&self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        for (base, group) in &self.groups {
            for (name, meaning) in group::resolve(&self.world, base, &group.claims) {
                if let Meaning::Disagreement { annotations, owners } = meaning {
                    let owners = owners.iter().map(describe).collect();
                    dropped.push(Dropped { name, annotations, owners });
                }
            }
        }
        dropped.sort_unstable();
        dropped
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// All claims on a name.
    pub(crate) fn claims_on(&self, base: &str) -> &[Claim] {
        self.groups.get(base).map(|group| &*group.claims).unwrap_or_default()
    }

    fn replace(&mut self, id: Id, object: Option<Stored>) {
        // Whoever refers to it does so before and after.
        self.world.graph.replace(id, object);
        self.touch([id]);
    }

    /// Works out anew what these objects and those that refer to them claim, and notes that what
    /// they claim may mean something else.
    fn touch(&mut self, ids: impl IntoIterator<Item = Id>) {
        let mut waiting: Vec<_> = ids.into_iter().collect();
        let mut seen: BTreeSet<_> = waiting.iter().copied().collect();
        while let Some(id) = waiting.pop() {
            self.claim_with_default(id);
            waiting.extend(
                self.world.graph.dependents(id).filter(|dependent| seen.insert(*dependent)),
            );
        }
    }

    /// A grant of this namespace has changed: those who refer to its Services are touched.
    fn touch_services_of(&mut self, namespace: &str) {
        let graph = &self.world.graph;
        let services = graph.known(ObjectKind::Service, namespace);
        let ids: BTreeSet<_> = services.flat_map(|id| graph.dependents(id)).collect();
        self.touch(ids);
    }

    /// What the names look like or which classes count may have changed.
    fn adjust(&mut self) {
        let control_planes = || self.world.control_planes.values();
        let forms = self.world.settings.forms(control_planes());
        let classes = self.world.settings.classes(&self.world.ingress_classes, control_planes());
        if (forms, &classes) != (self.world.forms, &self.world.classes) {
            (self.world.forms, self.world.classes) = (forms, classes);
            let all: Vec<_> = self.world.graph.objects().collect();
            self.touch(all);
        }
    }

    fn claim_with_default(&mut self, id: Id) {
        if self.world.graph.key(id).0 == ObjectKind::Ingress {
            self.defaults.note(&self.world, id);
            let oldest = self.defaults.oldest();
            let before = mem::replace(&mut self.world.default_ingress, oldest);
            if before != oldest {
                for other in [before, oldest].into_iter().flatten().filter(|other| *other != id) {
                    self.claim(other);
                }
            }
        }
        self.claim(id);
    }

    fn claim(&mut self, id: Id) {
        let mut claims = claims(&self.world, id);
        claims.sort_unstable();
        claims.dedup();
        let before = self.world.graph.claimed(id);
        let is_same = before.len() == claims.len()
            && before.iter().zip(&claims).all(|((a, x), (b, y))| (&**a, x) == (b.as_str(), y));
        if is_same {
            self.touched.extend(before.iter().map(|(base, _)| Arc::clone(base)));
            return;
        }
        let mut claimed = Vec::with_capacity(claims.len());
        for (base, claim) in claims {
            let base = match self.groups.get_key_value(base.as_str()) {
                Some((base, _)) => Arc::clone(base),
                None => Arc::from(base),
            };
            claimed.push((base, claim));
        }
        let before = self.world.graph.set_claimed(id, claimed.clone().into());
        for (base, claim) in &before {
            let Some(group) = self.groups.get_mut(base) else { continue };
            if let Ok(at) = group.claims.binary_search(claim) {
                group.claims.remove(at);
            }
        }
        for (base, claim) in &claimed {
            let group = self.groups.entry(Arc::clone(base)).or_default();
            if let Err(at) = group.claims.binary_search(claim) {
                group.claims.insert(at, *claim);
            }
        }
        self.touched.extend(before.into_iter().chain(claimed).map(|(base, _)| base));
    }
}

/// The names that an object claims.
fn claims(world: &World, id: Id) -> Vec<(String, Claim)> {
    let mut claims = Vec::new();
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
    claims
}

fn describe(owner: &Owner) -> String {
    let Owner { kind, namespace, name, rule } = owner;
    let rule = rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    format!("{} {namespace}/{name}{rule}", kind.as_str())
}
