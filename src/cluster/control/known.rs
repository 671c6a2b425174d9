//! What is known of the cluster, and what of it is our own doing.
//!
//! In: updates of the watches, and what the API server made of our writes. Out: the view that a plan
//! is made from. The one decision: what a write has made of an object is known from its answer, so
//! the next plan need not wait for the watch to tell; and what the watch tells of it later, older or
//! the same, is neither news nor believed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::watches::Update;
use crate::controller::View;
use crate::kubernetes::{Key, Object};

/// A view, kept.
#[derive(Debug)]
pub(super) struct Known {
    view: View,
    /// The versions that our writes have made, until the watch tells of them.
    written: HashMap<Key, u64>,
    /// Since when each extension is seen to be attached to something.
    attached: BTreeMap<Key, Instant>,
}

/// What updates brought.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The objects that somebody else has written.
    pub(super) objects: BTreeSet<Key>,
    /// Whether a plan may be another one than before.
    pub(super) is_any: bool,
}

impl Known {
    pub(super) fn new(view: View) -> Self {
        Self { view, written: HashMap::new(), attached: BTreeMap::new() }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn into_view(self) -> View {
        self.view
    }

    /// Takes up what the watches tell.
    pub(super) fn take(&mut self, updates: Vec<Update>, now: Instant) -> News {
        let mut news = News::default();
        for update in updates {
            match update {
                Update::Apply(object) => {
                    let key = object.key();
                    if self.is_own(&key, version(&object)) {
                        continue;
                    }
                    news.objects.insert(key);
                    news.is_any |= self.view.apply(object);
                }
                Update::Delete(key) => {
                    self.written.remove(&key);
                    news.is_any |= self.view.delete(&key);
                    news.objects.insert(key);
                }
                Update::Only(id, there) => {
                    // What was created while the list was made is not in it.
                    let is_there =
                        |key: &Key| there.contains(key) || self.written.contains_key(key);
                    news.is_any |= self.view.retain(id.kind, id.namespace.as_deref(), is_there);
                }
            }
        }
        self.note_attached(now);
        news
    }

    /// Takes up what the API server made of a write of ours; `None` where the object is gone.
    pub(super) fn wrote(&mut self, key: &Key, object: Option<Object>) {
        match object {
            None => {
                self.written.remove(key);
                self.view.delete(key);
            }
            Some(object) => {
                if let Some(version) = version(&object) {
                    self.written.insert(key.clone(), version);
                }
                self.view.apply(object);
            }
        }
    }

    /// The extensions that were attached less than `wait` ago.
    pub(super) fn unsettled(&self, wait: Duration, now: Instant) -> BTreeSet<Key> {
        let attached = self.attached.iter().filter(|(_, since)| now < **since + wait);
        attached.map(|(key, _)| key.clone()).collect()
    }

    /// When the next of them is settled.
    pub(super) fn settles_at(&self, wait: Duration, now: Instant) -> Option<Instant> {
        self.attached.values().map(|since| *since + wait).filter(|at| now < *at).min()
    }

    fn note_attached(&mut self, now: Instant) {
        let view = &self.view;
        let is_attached = |key: &Key| view.attached_to(key).next().is_some();
        self.attached.retain(|key, _| view.extension(key).is_some() && is_attached(key));
        for (key, ..) in view.extensions().filter(|(key, ..)| is_attached(key)) {
            self.attached.entry(key.clone()).or_insert(now);
        }
    }

    /// Whether the watch tells of a version that our own write has made, or of one before it.
    fn is_own(&mut self, key: &Key, version: Option<u64>) -> bool {
        let Some(own) = self.written.get(key).copied() else { return false };
        if version.is_some_and(|version| version < own) {
            return true;
        }
        self.written.remove(key);
        version == Some(own)
    }
}

/// Versions of one kind can be compared as numbers (by promise from Kubernetes 1.35 on, and in fact
/// ever since there is etcd). Where one is no number, what the watch tells counts.
fn version(object: &Object) -> Option<u64> {
    object.metadata.resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cluster::board::Id;
    use crate::kubernetes::ObjectKind;
    use crate::kubernetes::manifest::Manifests;
    use crate::resolve::Settings;

    fn known() -> Known {
        Known::new(View::new(Settings::default()))
    }

    fn object(kind: ObjectKind, name: &str, version: u64, rest: &str) -> Object {
        let json = format!(
            r#"{{"metadata": {{"namespace": "web", "name": "{name}", "resourceVersion":
            "{version}"{rest}}}"#
        );
        Manifests::one(kind, "v1", &json).unwrap()
    }

    fn service(version: u64, plugins: &str) -> Object {
        let rest = format!(r#", "annotations": {{"konghq.com/plugins": "{plugins}"}}}}"#);
        object(ObjectKind::Service, "echo", version, &rest)
    }

    fn list(known: &Known) -> Option<&str> {
        known.view().target(&service(0, "").key())?.plugins.list.as_deref()
    }

    #[test]
    fn what_the_watch_tells_of_our_own_write_is_no_news() {
        let (mut known, now) = (known(), Instant::now());
        assert!(known.take(vec![Update::Apply(service(5, "a"))], now).is_any);
        known.wrote(&service(0, "").key(), Some(service(7, "a,ours")));
        // Late, and from before.
        assert!(!known.take(vec![Update::Apply(service(6, "b"))], now).is_any);
        assert_eq!(list(&known), Some("a,ours"));
        assert!(!known.take(vec![Update::Apply(service(7, "a,ours"))], now).is_any);
        let news = known.take(vec![Update::Apply(service(8, "a"))], now);
        assert!(news.is_any && news.objects.contains(&service(0, "").key()));
        assert_eq!(list(&known), Some("a"));
    }

    #[test]
    fn what_no_plan_reads_is_no_news_but_the_version() {
        let (mut known, now) = (known(), Instant::now());
        let route = |version, weight: i32, status: &str| {
            let backend = format!(r#"{{"name": "echo", "port": 80, "weight": {weight}}}"#);
            let spec = format!(r#"}}, "spec": {{"rules": [{{"backendRefs": [{backend}]}}]}}"#);
            object(ObjectKind::HTTPRoute, "shop", version, &format!("{spec}, {status}"))
        };
        let gateway = |version, status: &str| {
            let rest = format!(r#"}}, "spec": {{"gatewayClassName": "kong"}}, {status}"#);
            object(ObjectKind::Gateway, "kong", version, &rest)
        };
        let control_plane = |version, name: &str, status: &str| {
            let named = format!(r#"{{"kind": "DataPlaneMetricsExtension", "name": "{name}"}}"#);
            let rest = format!(r#"}}, "spec": {{"extensions": [{named}]}}, {status}"#);
            object(ObjectKind::ControlPlane, "kong", version, &rest)
        };
        let extension = |version, generation, is_latency: bool| {
            let config = format!(r#"{{"config": {{"latency": {is_latency}}}}}"#);
            let rest = format!(r#", "generation": {generation}}}, "spec": {config}"#);
            object(ObjectKind::DataPlaneMetricsExtension, "kong", version, &rest)
        };
        let plugin = |version, generation, limit, flag: &str| {
            let config = format!(r#"{{"minute": {limit}, "{flag}": true}}"#);
            let rest =
                format!(r#", "generation": {generation}}}, "plugin": "x", "config": {config}"#);
            object(ObjectKind::KongPlugin, "limit", version, &rest)
        };
        let noted = |version, note: &str, labels: &str| {
            let rest = format!(
                r#", "annotations": {{"example.com/note": "{note}"}}, "labels": {{{labels}}}}}"#
            );
            object(ObjectKind::Service, "echo", version, &rest)
        };
        let (old, new) = (r#""status": {}"#, r#""status": {"observedGeneration": 2}"#);
        for [first, second, third] in [
            [route(1, 1, old), route(2, 1, new), route(3, 2, new)],
            [gateway(1, old), gateway(2, new), gateway(3, r#""x": 1"#)],
            [control_plane(1, "a", old), control_plane(2, "a", new), control_plane(3, "b", new)],
            [extension(1, 1, true), extension(2, 1, true), extension(3, 2, false)],
            [plugin(1, 1, 5, "x"), plugin(2, 2, 6, "x"), plugin(3, 3, 6, "latency_metrics")],
            [noted(1, "a", ""), noted(2, "b", ""), noted(3, "b", r#""app": "shop""#)],
        ] {
            let (key, kind) = (first.key(), first.key().kind);
            assert!(known.take(vec![Update::Apply(first)], now).is_any, "{kind:?}");
            let news = known.take(vec![Update::Apply(second)], now);
            assert!(!news.is_any && news.objects.contains(&key), "{kind:?}");
            if let Some(target) = known.view().target(&key) {
                assert_eq!(target.version.resource.as_deref(), Some("2"));
            }
            let is_any = known.take(vec![Update::Apply(third)], now).is_any;
            assert_eq!(is_any, kind != ObjectKind::Gateway, "{kind:?}");
            // A list without it, and then one that has nothing to be forgotten.
            let only = || Update::Only(Id { kind, namespace: None }, HashSet::new());
            assert!(known.take(vec![only()], now).is_any, "{kind:?}");
            assert!(!known.take(vec![only(), Update::Delete(key)], now).is_any, "{kind:?}");
        }
    }

    #[test]
    fn what_was_written_while_a_list_was_made_stays() {
        let (mut known, now) = (known(), Instant::now());
        let key = service(0, "").key();
        known.wrote(&key, Some(service(7, "ours")));
        let id = || Id { kind: ObjectKind::Service, namespace: None };
        known.take(vec![Update::Only(id(), HashSet::new())], now);
        assert_eq!(list(&known), Some("ours"));
        // It went while no watch was open, as the next write shows.
        known.wrote(&key, None);
        assert_eq!(list(&known), None);
        known.wrote(&key, Some(service(7, "ours")));
        known.take(vec![Update::Apply(service(7, "ours"))], now);
        known.take(vec![Update::Only(id(), HashSet::new())], now);
        assert_eq!(list(&known), None);
    }

    #[test]
    fn an_extension_is_unsettled_for_a_while_after_it_is_attached() {
        let (mut known, now) = (known(), Instant::now());
        let wait = Duration::from_secs(10);
        let extension = |version| {
            let kind = ObjectKind::DataPlaneMetricsExtension;
            object(kind, "kong", version, r#"}, "spec": {}"#)
        };
        known.take(vec![Update::Apply(extension(1))], now);
        assert_eq!(known.unsettled(wait, now), BTreeSet::new());
        let extensions = r#"{"kind": "DataPlaneMetricsExtension", "name": "kong"}"#;
        let attach = |version, extensions: &str| {
            let rest = format!(r#"}}, "spec": {{"extensions": [{extensions}]}}"#);
            Update::Apply(object(ObjectKind::ControlPlane, "cp", version, &rest))
        };
        known.take(vec![attach(2, extensions)], now);
        let later = now + Duration::from_secs(9);
        known.take(vec![attach(3, extensions)], later);
        assert_eq!(known.unsettled(wait, later), BTreeSet::from([extension(0).key()]));
        assert_eq!(known.settles_at(wait, later), Some(now + wait));
        assert_eq!(known.unsettled(wait, now + wait), BTreeSet::new());
        // Attached anew is attached just now.
        known.take(vec![attach(4, "")], now + wait);
        known.take(vec![attach(5, extensions)], now + wait);
        assert_eq!(known.settles_at(wait, now + wait), Some(now + wait + wait));
    }
}
