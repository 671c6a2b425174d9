//! What changes about the objects that name plugins.
//!
//! In: the view and where everything goes. Out: for each object that is not as it is to be one patch
//! of what is ours on it, and of Kong Operator's where it is taken over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::controller::annotation::items;
use crate::controller::placement::{Placed, Placement};
use crate::controller::view::{Target, View};
use crate::controller::write::{Request, WITHDRAW, Write};
use crate::controller::{keys, plugin};
use crate::kubernetes::Key;
use crate::kubernetes::keys::OPERATORS_PLUGINS;

/// What is and what is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'p> {
    pub(super) view: &'p View,
    pub(super) placement: &'p Placement,
}

/// A change to the plugins that an object names.
#[derive(Debug)]
pub(super) struct Edit<'p> {
    pub(super) target: &'p Key,
    state: &'p Target,
    patch: Value,
    /// Whether nothing is put on.
    pub(super) is_withdrawal: bool,
    /// The plugins that are taken off.
    pub(super) off: BTreeSet<String>,
}

impl<'p> Scene<'p> {
    /// The changes to objects, in the order of their keys.
    pub(super) fn edits(self) -> Vec<Edit<'p>> {
        let Placement { targets, operators, .. } = self.placement;
        let marked = self.view.marked().map(|(key, _)| key);
        let concerned: BTreeSet<_> = marked.chain(targets.keys()).chain(operators.keys()).collect();
        concerned.into_iter().filter_map(|key| self.edit(key)).collect()
    }

    fn edit(self, key: &'p Key) -> Option<Edit<'p>> {
        let target = self.view.target(key)?;
        let wanted = self.plugin_of(key).filter(|plugin| !self.is_listed_ahead(target, plugin));
        let wanted = wanted.as_ref().map(|plugin| &*plugin.name);
        let operators = self.placement.operators.get(key);
        let off: Vec<_> = operators.into_iter().flatten().map(String::as_str).collect();
        let before = &target.plugins;
        let after = before.with(wanted, &off);
        let mut annotations = Map::new();
        if after.list != before.list {
            annotations.insert(keys::PLUGINS.to_owned(), json!(after.list));
        }
        if after.mark != before.mark {
            let mark = after.mark.as_ref().map(|mark| mark.write());
            annotations.insert(keys::MARK.to_owned(), json!(mark));
        }
        let mut metadata = Map::new();
        if operators.is_some() {
            if target.operators.is_some() {
                annotations.insert(OPERATORS_PLUGINS.to_owned(), Value::Null);
            }
            let labels = keys::OPERATOR_ON_SERVICES.iter();
            let labels = labels.filter(|label| target.labels.contains_key(**label));
            let labels: Map<_, _> =
                labels.map(|label| ((*label).to_owned(), Value::Null)).collect();
            if !labels.is_empty() {
                metadata.insert("labels".to_owned(), labels.into());
            }
        }
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), annotations.into());
        }
        if metadata.is_empty() {
            return None;
        }
        let mark = before.mark.as_ref().map(|mark| mark.name.clone());
        let is_kept = wanted.is_some() && mark.as_deref() == wanted;
        let is_shorter = after.list.as_ref().map_or(0, String::len)
            <= before.list.as_ref().map_or(0, String::len);
        let off = off.into_iter().map(str::to_owned).chain(mark.filter(|_| !is_kept)).collect();
        let is_withdrawal = wanted.is_none() || is_kept && is_shorter;
        let patch = json!({"metadata": metadata});
        Some(Edit { target: key, state: target, patch, is_withdrawal, off })
    }

    /// Whether a user lists a plugin of ours that is still to be made, beside another of ours that is
    /// there. It would be on from the moment it is made, so the other one goes first, and what is to
    /// be put on is left to the next plan.
    fn is_listed_ahead(self, target: &Target, plugin: &Key) -> bool {
        let Some(mark) = &target.plugins.mark else { return false };
        let list = target.plugins.list.as_deref().unwrap_or_default();
        *mark.name != *plugin.name
            && self.view.plugin(plugin).is_none()
            && items(list).any(|item| item.namespace.is_none() && item.name == &*plugin.name)
    }

    /// The plugin that goes onto an object.
    pub(super) fn plugin_of(self, target: &Key) -> Option<Key> {
        let at = self.placement.targets.get(target)?;
        Some(plugin::key_for(&self.placement.extensions.get(*at)?.extension.key))
    }

    /// The extensions whose plugin is on something.
    pub(super) fn used(self) -> BTreeMap<&'p Key, &'p Placed> {
        let used: BTreeSet<_> = self.placement.targets.values().collect();
        let used = used.into_iter().filter_map(|at| self.placement.extensions.get(*at));
        used.map(|placed| (&placed.extension.key, placed)).collect()
    }
}

impl Edit<'_> {
    /// As a write.
    pub(super) fn write(&self, needs: Vec<usize>) -> Write {
        Write {
            object: self.target.clone(),
            request: Request::Patch(self.patch.clone()),
            version: Some(self.state.version.clone()),
            needs,
            reason: if self.is_withdrawal { WITHDRAW } else { "put the plugin on" },
        }
    }
}
