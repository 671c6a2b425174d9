//! What has changed in a cluster in, the next snapshot out.
//!
//! Pure, and all that takes long: [`super::watch`] has it run beside the thread that answers scrapes.
//! The one decision: what is outside the scope is as good as gone, and does not get into the index.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::cluster::watches::Update;
use crate::kubernetes::{Object, ObjectKind, Spec};
use crate::mapping::Snapshot;
use crate::resolve::{Index, Settings, explain};

/// The objects of a cluster, and what of them has been made a snapshot of.
#[derive(Debug)]
pub(crate) struct Gather {
    settings: Settings,
    index: Index,
}

impl Gather {
    pub(crate) fn new(settings: Settings) -> Self {
        let index = Index::new(settings.clone());
        Self { settings, index }
    }

    /// Takes up what has changed.
    pub(crate) fn take(&mut self, updates: Vec<Update>) {
        for update in updates {
            match update {
                Update::Apply(object) if is_meant(&object, &self.settings) => {
                    self.index.apply(object);
                }
                Update::Apply(object) => self.index.delete(&object.key()),
                Update::Delete(key) => self.index.delete(&key),
                Update::Only(id, there) => {
                    let namespace = id.namespace.as_deref();
                    self.index.retain(id.kind, namespace, |key| there.contains(key));
                }
            }
        }
    }

    /// The snapshot that follows `previous`, which is the last one that came from here or, at the
    /// first call, anything. `None` where it would be the same.
    pub(crate) fn next(&mut self, previous: &Snapshot, now: Instant) -> Option<Snapshot> {
        self.index.is_touched().then(|| self.index.update(previous, now))
    }

    /// Why a name stands for no Service, in sentences.
    pub(crate) fn reasons(&self, snapshot: &Snapshot, name: &str) -> Vec<String> {
        explain::reasons(&self.index, snapshot, name)
    }

    /// The objects.
    pub(crate) fn into_index(self) -> Index {
        self.index
    }

    /// How many objects of each kind are known.
    pub(crate) fn count(&self) -> BTreeMap<ObjectKind, usize> {
        self.index.count()
    }
}

/// Whether an object has to be known at all, where only some Gateways count.
fn is_meant(object: &Object, settings: &Settings) -> bool {
    let gateways = &settings.gateways;
    if gateways.is_empty() {
        return true;
    }
    let own = &object.metadata.namespace;
    let is_named =
        |namespace: &str, name: &str| gateways.contains(&(namespace.to_owned(), name.to_owned()));
    match &object.spec {
        Spec::HTTPRoute(route)
        | Spec::GRPCRoute(route)
        | Spec::TCPRoute(route)
        | Spec::TLSRoute(route)
        | Spec::UDPRoute(route) => route
            .parent_refs
            .iter()
            .any(|parent| is_named(parent.namespace.as_deref().unwrap_or(own), &parent.name)),
        Spec::Gateway(_) => is_named(own, &object.metadata.name),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cluster::board::Id;
    use crate::kubernetes::manifest::Manifests;
    use crate::mapping::{Entry, Label, Tier};

    fn route(name: &str, rest: &str) -> Update {
        let json = format!(
            r#"{{"metadata": {{"namespace": "web", "name": "{name}"}}, "spec": {{"parentRefs":
            [{{"name": "kong"}}], "rules": [{{"backendRefs": []}}]}}{rest}}}"#
        );
        Update::Apply(Manifests::one(ObjectKind::HTTPRoute, "v1", &json).unwrap())
    }

    fn tier(snapshot: &Snapshot, name: &str) -> Option<Tier> {
        snapshot.find(Label::Service, name).map(|(_, tier)| tier)
    }

    #[test]
    fn what_makes_no_difference_makes_no_snapshot() {
        let (mut gather, now) = (Gather::new(Settings::default()), Instant::now());
        gather.take(vec![route("a", "")]);
        let first = gather.next(&Snapshot::default(), now).unwrap();
        gather.take(vec![route("a", r#", "status": {"parents": [{"controllerName": "x"}]}"#)]);
        assert!(gather.next(&first, now).is_none());
        gather.take(vec![route("b", "")]);
        let second = gather.next(&first, now).unwrap();
        assert_eq!(tier(&second, "httproute.web.b.0"), Some(Tier::Exact));
    }

    #[test]
    fn the_first_snapshot_is_of_what_is_there_and_retains_what_was() {
        let (mut gather, now) = (Gather::new(Settings::default()), Instant::now());
        let before = [("old".to_owned(), Entry::default())].into_iter().collect();
        gather.take(vec![route("a", "")]);
        let first = gather.next(&before, now).unwrap();
        assert_eq!(tier(&first, "old"), Some(Tier::Retained));
        assert_eq!(tier(&first, "httproute.web.a.0"), Some(Tier::Exact));
        // Even of an empty cluster there is one.
        assert!(Gather::new(Settings::default()).next(&Snapshot::default(), now).is_some());
    }

    #[test]
    fn a_new_list_takes_away_what_it_lacks() {
        let (mut gather, now) = (Gather::new(Settings::default()), Instant::now());
        gather.take(vec![route("a", ""), route("b", "")]);
        let first = gather.next(&Snapshot::default(), now).unwrap();
        let there = HashSet::from([crate::kubernetes::Key::new(ObjectKind::HTTPRoute, "web", "b")]);
        let id =
            |namespace: &str| Id { kind: ObjectKind::HTTPRoute, namespace: Some(namespace.into()) };
        gather.take(vec![Update::Only(id("other"), HashSet::new())]);
        assert!(gather.next(&first, now).is_none());
        gather.take(vec![Update::Only(id("web"), there)]);
        let second = gather.next(&first, now).unwrap();
        assert_eq!(tier(&second, "httproute.web.a.0"), Some(Tier::Retained));
        assert_eq!(tier(&second, "httproute.web.b.0"), Some(Tier::Exact));
        assert_eq!(gather.count()[&ObjectKind::HTTPRoute], 1);
    }
}
