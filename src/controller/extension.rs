//! Which extensions count, what they select and what they ask for.
//!
//! In: the view. Out: the extensions that count, oldest first. The one decision: an extension acts
//! on its own namespace and nowhere else, and who attaches it has to be there, too, unless the
//! extension itself says that it counts.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::SelectorExt;

use crate::controller::keys;
use crate::controller::plugin::{self, Flags};
use crate::controller::selector;
use crate::controller::view::{Version, View};
use crate::kubernetes::{Key, Metadata, ObjectKind};
use crate::resolve::service_key;

/// An extension that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Which one.
    pub key: Key,
    /// Which version of it.
    pub version: Version,
    /// Which version of its spec.
    pub generation: Option<i64>,
    /// The ControlPlanes and GatewayConfigurations of its namespace that name it.
    pub attached_to: BTreeSet<Key>,
    /// The Services it selects; those it names need not exist.
    pub services: BTreeSet<Key>,
    /// What it wants to have measured.
    pub flags: Flags,
    /// Whether routes are to be used even where the Service could be.
    pub on_routes: bool,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// The extensions that count, oldest first. Of those in `unsettled` only the ones for which
/// something has been written before.
pub fn active(view: &View, unsettled: &BTreeSet<Key>) -> Vec<Active> {
    let mut active = BTreeMap::new();
    for (key, metadata, extension) in view.extensions() {
        let (attached_to, is_marked) = attachment(view, key, metadata);
        let is_settled = is_marked
            || metadata.finalizers.iter().any(|own| own == keys::FINALIZER)
            || !unsettled.contains(key);
        let counts = (is_marked || !attached_to.is_empty()) && is_settled;
        if !counts || metadata.deletion_timestamp.is_some() {
            continue;
        }
        let mut problems = Vec::new();
        let names = &extension.spec.service_selector.match_names;
        let mut services: BTreeSet<_> =
            names.iter().map(|one| service_key(&key.namespace, &one.name)).collect();
        match metadata.annotation(keys::SELECTOR).map(selector::parse) {
            None => {}
            Some(Err(error)) => problems.push(format!(
                "{}: {error}; only the Services that it names are selected",
                keys::SELECTOR
            )),
            Some(Ok(selector)) => {
                let all = view.services_of(&key.namespace);
                let selected = all.filter(|(_, service)| selector.matches(&service.labels));
                services.extend(selected.map(|(key, _)| key.clone()));
            }
        }
        let on_routes = match metadata.annotation(keys::ATTACH_TO) {
            None | Some("services") => false,
            Some("routes") => true,
            Some(other) => {
                problems.push(format!(
                    "{}: expected services or routes, found \"{other}\"; taken as services",
                    keys::ATTACH_TO
                ));
                false
            }
        };
        let flags = plugin::flags_of(extension.spec.config);
        if flags.is_empty() {
            problems.push("config enables no metrics, so the plugin measures nothing".to_owned());
        }
        let version = Version::of(metadata);
        let generation = metadata.generation;
        let key = key.clone();
        // Without a time is older than any time, as it is for Go.
        let age = (metadata.creation_timestamp.clone(), key.clone());
        let one =
            Active { key, version, generation, attached_to, services, flags, on_routes, problems };
        active.insert(age, one);
    }
    active.into_values().collect()
}

/// Who attaches an extension, and whether it says itself that it counts.
fn attachment(view: &View, key: &Key, metadata: &Metadata) -> (BTreeSet<Key>, bool) {
    let by = view.attached_to(key).filter(|by| by.namespace == key.namespace);
    let is_marked = metadata.labels.get(keys::MANAGED).is_some_and(|value| value == "true");
    (by.cloned().collect(), is_marked)
}

impl Active {
    /// The ControlPlane to be named in the status: the first one.
    pub fn control_plane(&self) -> Option<&Key> {
        self.attached_to.iter().find(|by| by.kind == ObjectKind::ControlPlane)
    }
}
