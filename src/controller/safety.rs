//! Which objects a prometheus plugin applies to already, or will as soon as ours is there.
//!
//! In: the view, and the names that our plugins have or are to have. Out: the second prometheus
//! plugin that an object would get. The one decision: what users list is read as if everything listed
//! were there and granted. A list may name a plugin of ours before it exists, and must not become
//! wrong by our making it.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::annotation::{Item, items};
use crate::controller::plugin::is_prometheus;
use crate::controller::view::{Target, View};
use crate::kubernetes::{Key, ObjectKind};
use crate::resolve::Held;

/// What objects list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing<'v> {
    pub(super) view: &'v View,
    /// The plugins of the extensions that count, there or not.
    pub(super) own: &'v BTreeSet<Key>,
}

impl<'v> Listing<'v> {
    /// The prometheus plugin other than `name` that applies to an object, by whatever name or kind it
    /// is listed. What we put there, and what is to be taken off, does not count.
    pub(super) fn second(
        self,
        key: &Key,
        target: &Target,
        name: &str,
        taken_off: Option<&BTreeSet<String>>,
    ) -> Option<String> {
        let is_taken_off = |item: &Item<'_>| {
            item.namespace.is_none() && taken_off.is_some_and(|names| names.contains(item.name))
        };
        let mut is_first = true;
        let others = users_items(target).filter(|item| {
            // The user lists ours; once is as good as if we did.
            let is_it = item.namespace.is_none() && item.name == name && is_first;
            is_first &= !is_it;
            !is_it && !is_taken_off(item)
        });
        let by_filters = target.by_filters.iter().flat_map(|name| items(name));
        let mut others = others.chain(by_filters);
        others.find_map(|item| self.prometheus(&key.namespace, item)).map(|key| key.to_string())
    }

    /// Those of our plugins that users list so that they must not be there, each with an object that
    /// does: beside another prometheus plugin, twice, or on a Service that shares a Kong service.
    pub(super) fn unsafely(self) -> BTreeMap<Key, &'v Key> {
        let mut found = BTreeMap::new();
        for (key, target) in self.view.targets() {
            let by_filters = target.by_filters.iter().flat_map(|name| items(name));
            let listed = users_items(target).chain(by_filters);
            let listed = listed.filter_map(|item| self.prometheus(&key.namespace, item));
            let listed: Vec<_> = listed.collect();
            for plugin in listed.iter().filter(|plugin| self.own.contains(*plugin)) {
                if listed.len() > 1 || self.shares(key) {
                    found.entry(plugin.clone()).or_insert(key);
                }
            }
        }
        found
    }

    /// Whether it is a Service that is in a Kong service with others.
    fn shares(self, key: &Key) -> bool {
        key.kind == ObjectKind::Service
            && self.view.index().kong_services_of(key).iter().any(Held::is_shared)
    }

    /// The prometheus plugin that an item means, or will mean.
    fn prometheus(self, namespace: &str, item: Item<'_>) -> Option<Key> {
        let namespace_of_plugin = item.namespace.unwrap_or(namespace);
        let own = Key::new(ObjectKind::KongPlugin, namespace_of_plugin, item.name);
        match self.view.plugin_of(namespace, item) {
            Some((key, plugin)) => is_prometheus(plugin).then(|| key.clone()),
            None => self.own.contains(&own).then_some(own),
        }
    }
}

/// What a user lists: everything but what we put there.
fn users_items(target: &Target) -> impl Iterator<Item = Item<'_>> {
    let list = target.plugins.list.as_deref().unwrap_or_default();
    let mark = target.plugins.mark.as_ref().map(|mark| mark.name.as_str());
    items(list).filter(move |item| item.namespace.is_some() || Some(item.name) != mark)
}
