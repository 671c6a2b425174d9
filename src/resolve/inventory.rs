//! Which objects an index knows, and the forgetting of those that a new list has not.
//!
//! In: an [`Index`]. Out: keys and counts, and the index without what is gone. The one decision: a
//! walk over all objects is good enough for what happens once a list.

use std::collections::BTreeMap;

use crate::kubernetes::{Key, ObjectKind};
use crate::resolve::index::Index;
use crate::resolve::world::World;

impl Index {
    /// Forgets the objects of a kind, in one namespace or everywhere, that are not there any more.
    pub fn retain(
        &mut self,
        kind: ObjectKind,
        namespace: Option<&str>,
        is_there: impl Fn(&Key) -> bool,
    ) {
        let is_meant = |key: &Key| namespace.is_none_or(|own| *own == *key.namespace);
        let gone = self.keys(kind).filter(|key| is_meant(key) && !is_there(key));
        for key in gone.collect::<Vec<_>>() {
            self.delete(&key);
        }
    }

    /// The objects of a kind, in no order.
    pub fn keys(&self, kind: ObjectKind) -> impl Iterator<Item = Key> {
        let World { graph, grants, ingress_classes, control_planes, .. } = self.world();
        let key = move |(namespace, name): (&str, &str)| Key::new(kind, namespace, name);
        let stored = graph.objects().map(|id| graph.key(id));
        let stored = stored.filter(move |(own, ..)| *own == kind).map(|(_, n, name)| (n, name));
        let grants = grants.iter().flat_map(|(n, grants)| grants.keys().map(move |g| (&**n, &**g)));
        let grants = grants.filter(move |_| kind == ObjectKind::ReferenceGrant);
        let classes = ingress_classes.keys().map(|name| ("", &**name));
        let classes = classes.filter(move |_| kind == ObjectKind::IngressClass);
        let planes = control_planes.keys().map(|(namespace, name)| (&**namespace, &**name));
        let planes = planes.filter(move |_| kind == ObjectKind::ControlPlane);
        stored.chain(grants).chain(classes).chain(planes).map(key)
    }

    /// How many objects of each kind there are.
    pub fn count(&self) -> BTreeMap<ObjectKind, usize> {
        let World { graph, grants, ingress_classes, control_planes, .. } = self.world();
        let mut count = BTreeMap::from([
            (ObjectKind::ReferenceGrant, grants.values().map(BTreeMap::len).sum()),
            (ObjectKind::IngressClass, ingress_classes.len()),
            (ObjectKind::ControlPlane, control_planes.len()),
        ]);
        for id in graph.objects() {
            *count.entry(graph.key(id).0).or_default() += 1;
        }
        count
    }
}
