//! The objects there are, and who refers to whom.
//!
//! In: objects by key. Out: objects by a small number ([`Id`]), and for each the objects that refer
//! to it. The one decision: what is referred to has a number whether it exists or not, so that a
//! Service that appears later finds the routes that wait for it.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::kubernetes::{Key, ObjectKind};
use crate::resolve::store::{Place, Stored};

/// The number of an object, known or only referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u32);

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// By the hash of the key, which is in the node.
    ids: HashTable<Id>,
    keyed: RandomState,
    nodes: Vec<Node>,
    free: Vec<Id>,
    /// (what is referred to, who refers to it).
    references: BTreeSet<(Id, Id)>,
    places: HashSet<Arc<Place>>,
}

#[derive(Debug)]
struct Node {
    /// Namespace and name, one behind the other.
    text: Box<str>,
    namespace_len: u32,
    kind: ObjectKind,
    object: Option<Stored>,
}

/// Kind, namespace and name.
type Names<'a> = (ObjectKind, &'a str, &'a str);

impl Id {
    pub(crate) const FIRST: Self = Self(0);
    pub(crate) const LAST: Self = Self(u32::MAX);
}

impl Graph {
    /// The number of an object, which need not exist.
    pub(crate) fn id(&mut self, kind: ObjectKind, namespace: &str, name: &str) -> Id {
        let names = (kind, namespace, name);
        if let Some(id) = self.find_names(names) {
            return id;
        }
        let mut text = String::with_capacity(namespace.len() + name.len());
        text.push_str(namespace);
        text.push_str(name);
        // No text that an API server takes is as long.
        let namespace_len = u32::try_from(namespace.len()).unwrap_or_default();
        let node = Node { text: text.into(), namespace_len, kind, object: None };
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
        let Self { ids, keyed, nodes, .. } = self;
        let hash = |id: &Id| keyed.hash_one(nodes.get(id.0 as usize).map(Node::names));
        ids.insert_unique(hash(&id), id, hash);
        id
    }

    /// The number of an object, if it exists or is referred to.
    pub(crate) fn find(&self, key: &Key) -> Option<Id> {
        self.find_names((key.kind, &key.namespace, &key.name))
    }

    /// The object, if it exists.
    pub(crate) fn object(&self, id: Id) -> Option<&Stored> {
        self.nodes.get(id.0 as usize)?.object.as_ref()
    }

    /// Kind, namespace and name of an object.
    pub(crate) fn key(&self, id: Id) -> Names<'_> {
        // No number is handed out without a node.
        self.nodes.get(id.0 as usize).map_or((ObjectKind::Service, "", ""), Node::names)
    }

    /// Who refers to it.
    pub(crate) fn dependents(&self, id: Id) -> impl Iterator<Item = Id> + use<'_> {
        self.references.range((id, Id::FIRST)..=(id, Id::LAST)).map(|(_, dependent)| *dependent)
    }

    /// Every object there is.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Id> + use<'_> {
        let numbered = (0..).map(Id).zip(&self.nodes);
        numbered.filter(|(_, node)| node.object.is_some()).map(|(id, _)| id)
    }

    /// Every object of this kind and namespace that exists or is referred to.
    pub(crate) fn known<'g>(
        &'g self,
        kind: ObjectKind,
        namespace: &'g str,
    ) -> impl Iterator<Item = Id> + use<'g> {
        let is_in = move |id: &Id| {
            let (own_kind, own_namespace, _) = self.key(*id);
            (own_kind, own_namespace) == (kind, namespace)
        };
        self.ids.iter().copied().filter(is_in)
    }

    /// The place where a route is attached, one for all routes that have the same.
    pub(crate) fn shared(&mut self, place: Place) -> Arc<Place> {
        if let Some(known) = self.places.get(&place) {
            return Arc::clone(known);
        }
        let place = Arc::new(place);
        self.places.insert(Arc::clone(&place));
        place
    }

    /// Notes that an object of this number is to refer to what `object` refers to, besides what it
    /// refers to already.
    pub(crate) fn refer(&mut self, id: Id, object: &Stored) {
        self.references.extend(object.references().into_iter().map(|to| (to, id)));
    }

    /// Puts an object in the place of another, and this one out. Who refers to what stays as it is.
    pub(crate) fn swap(&mut self, id: Id, object: &mut Option<Stored>) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            mem::swap(&mut node.object, object);
        }
    }

    /// Forgets what only `gone`, the object that was in the place of what is there now, referred
    /// to; and the number itself, where nothing is there and nobody refers to it.
    pub(crate) fn forget(&mut self, id: Id, gone: Option<Stored>) {
        let before = gone.as_ref().map(Stored::references).unwrap_or_default();
        let after = self.object(id).map(Stored::references).unwrap_or_default();
        for to in before.difference(&after) {
            self.references.remove(&(*to, id));
            self.free_unless_used(*to);
        }
        self.free_unless_used(id);
        if let Some(Stored::Route(route)) = gone {
            // One is the set's, one is this.
            if Arc::strong_count(&route.place) == 2 {
                self.places.remove(&route.place);
            }
        }
    }

    fn find_names(&self, names: Names<'_>) -> Option<Id> {
        let is_it = |id: &Id| self.key(*id) == names;
        self.ids.find(self.keyed.hash_one(Some(names)), is_it).copied()
    }

    fn free_unless_used(&mut self, id: Id) {
        if self.object(id).is_some() || self.dependents(id).next().is_some() {
            return;
        }
        // A number that was freed before is in nobody's hands any more.
        let hash = self.keyed.hash_one(Some(self.key(id)));
        if let Ok(found) = self.ids.find_entry(hash, |own| *own == id) {
            found.remove();
            self.free.push(id);
        }
    }
}

impl Node {
    fn names(&self) -> Names<'_> {
        let (namespace, name) = self.text.split_at(self.namespace_len as usize);
        (self.kind, namespace, name)
    }
}
