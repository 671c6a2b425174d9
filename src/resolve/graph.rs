//! The objects there are, and who refers to whom.
//!
//! In: objects by key. Out: objects by a small number ([`Id`]), and for each the objects that refer
//! to it. The one decision: what is referred to has a number whether it exists or not, so that a
//! Service that appears later finds the routes that wait for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::kubernetes::{Key, ObjectKind};
use crate::resolve::group::Claim;
use crate::resolve::store::Stored;

/// The number of an object, known or only referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u32);

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    ids: HashMap<Arc<Key>, Id>,
    nodes: Vec<Node>,
    free: Vec<Id>,
    /// (what is referred to, who refers to it).
    references: BTreeSet<(Id, Id)>,
}

#[derive(Debug)]
struct Node {
    key: Arc<Key>,
    object: Option<Stored>,
    /// What the object claims.
    claimed: Claimed,
}

/// Names with what is claimed on them.
type Claimed = Box<[(Arc<str>, Claim)]>;

impl Graph {
    /// The number of an object, which need not exist.
    pub(crate) fn id(&mut self, kind: ObjectKind, namespace: &str, name: &str) -> Id {
        let key = Key::new(kind, namespace, name);
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let key = Arc::new(key);
        let node = Node { key: Arc::clone(&key), object: None, claimed: Box::default() };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(free) = self.nodes.get_mut(id.0 as usize) {
                    *free = node;
                }
                id
            }
            None => {
                // 4 billion objects are more than an API server holds.
                let id = Id(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
                self.nodes.push(node);
                id
            }
        };
        self.ids.insert(key, id);
        id
    }

    /// The number of an object, if it exists or is referred to.
    pub(crate) fn find(&self, key: &Key) -> Option<Id> {
        self.ids.get(key).copied()
    }

    /// The object, if it exists.
    pub(crate) fn object(&self, id: Id) -> Option<&Stored> {
        self.nodes.get(id.0 as usize)?.object.as_ref()
    }

    /// Kind, namespace and name of an object.
    pub(crate) fn key(&self, id: Id) -> (ObjectKind, &str, &str) {
        match self.nodes.get(id.0 as usize) {
            Some(Node { key, .. }) => (key.kind, &key.namespace, &key.name),
            // No number is handed out without a node.
            None => (ObjectKind::Service, "", ""),
        }
    }

    /// Who refers to it.
    pub(crate) fn dependents(&self, id: Id) -> impl Iterator<Item = Id> + use<'_> {
        self.references.range((id, Id(0))..=(id, Id(u32::MAX))).map(|(_, dependent)| *dependent)
    }

    /// Every object there is.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Id> + use<'_> {
        let numbered = (0..).map(Id).zip(&self.nodes);
        numbered.filter(|(_, node)| node.object.is_some()).map(|(id, _)| id)
    }

    /// Puts an object in the place of what was there; `None` takes it away.
    pub(crate) fn replace(&mut self, id: Id, object: Option<Stored>) {
        let Some(node) = self.nodes.get_mut(id.0 as usize) else { return };
        let after = object.as_ref().map(Stored::references).unwrap_or_default();
        let before = std::mem::replace(&mut node.object, object);
        let before = before.as_ref().map(Stored::references).unwrap_or_default();
        for to in after.difference(&before) {
            self.references.insert((*to, id));
        }
        for to in before.difference(&after) {
            self.references.remove(&(*to, id));
            self.free_unless_used(*to);
        }
        self.free_unless_used(id);
    }

    /// What an object claims, as it was set last.
    pub(crate) fn claimed(&self, id: Id) -> &[(Arc<str>, Claim)] {
        self.nodes.get(id.0 as usize).map(|node| &*node.claimed).unwrap_or_default()
    }

    /// Remembers what an object claims; what it claimed before. An object that is gone, claims
    /// nothing and is referred to by nobody is forgotten.
    pub(crate) fn set_claimed(&mut self, id: Id, claimed: Claimed) -> Claimed {
        let Some(node) = self.nodes.get_mut(id.0 as usize) else { return Box::default() };
        let before = std::mem::replace(&mut node.claimed, claimed);
        self.free_unless_used(id);
        before
    }

    /// Every object of this kind and namespace that exists or is referred to.
    pub(crate) fn known<'g>(
        &'g self,
        kind: ObjectKind,
        namespace: &'g str,
    ) -> impl Iterator<Item = Id> + use<'g> {
        let is_in = move |key: &Key| key.kind == kind && *key.namespace == *namespace;
        self.ids.iter().filter(move |(key, _)| is_in(key)).map(|(_, id)| *id)
    }

    fn free_unless_used(&mut self, id: Id) {
        let is_used = |node: &&mut Node| node.object.is_some() || !node.claimed.is_empty();
        let is_referred_to = self.dependents(id).next().is_some();
        let node = self.nodes.get_mut(id.0 as usize);
        let Some(node) = node.filter(|node| !is_used(node) && !is_referred_to) else { return };
        // A number that was freed before is in nobody's hands any more.
        if self.ids.remove(&node.key).is_some() {
            self.free.push(id);
        }
    }
}
