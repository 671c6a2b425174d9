//! From what there is to what is to be written.
//!
//! In: the view. Out: the writes, in the order in which they are safe: what must go off an object
//! first; an extension is held before anything is made for it; a plugin is there before it is named,
//! and named nowhere before it is deleted. The one decision: every write depends on what is in the
//! view alone, so a plan that was cut off anywhere is completed by the next one, and a plan of what
//! is as planned is empty.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::controller::edit::{Edit, Scene};
use crate::controller::placement::{self, Placed};
use crate::controller::status::{self, Event, Status};
use crate::controller::view::{Version, View};
use crate::controller::write::{Request, TELL, Write};
use crate::controller::{Options, keys, operator, plugin};
use crate::kubernetes::extension::Extension;
use crate::kubernetes::{Key, ObjectKind};

/// What is to be written, and why.
#[derive(Debug)]
pub struct Plan {
    /// The writes, in order.
    pub writes: Vec<Write>,
    /// What is to be told once they are done.
    pub events: Vec<Event>,
    /// What becomes of the extensions that count.
    pub extensions: Vec<Placed>,
}

/// Plans.
pub fn plan(view: &View, options: &Options) -> Plan {
    let placement = placement::place(view, options);
    let scene = Scene { view, placement: &placement };
    let mut draft = Draft { scene, options, writes: Vec::new() };
    let edits = scene.edits();
    for edit in edits.iter().filter(|edit| edit.is_withdrawal) {
        draft.writes.push(edit.write(Vec::new()));
    }
    draft.hold_extensions();
    draft.make_plugins();
    for edit in edits.iter().filter(|edit| !edit.is_withdrawal) {
        let plugin = scene.plugin_of(edit.target);
        let needs = draft.indices(|write| Some(&write.object) == plugin.as_ref());
        draft.writes.push(edit.write(needs));
    }
    draft.delete_plugins(&edits);
    draft.release_extensions(&edits);
    let events = draft.tell();
    Plan { writes: draft.writes, events, extensions: placement.extensions }
}

struct Draft<'p> {
    scene: Scene<'p>,
    options: &'p Options,
    writes: Vec<Write>,
}

impl Draft<'_> {
    fn hold_extensions(&mut self) {
        for (key, placed) in self.scene.used() {
            let Some((metadata, _)) = self.scene.view.extension(key) else { continue };
            if metadata.finalizers.iter().any(|own| own == keys::FINALIZER) {
                continue;
            }
            let finalizers = metadata.finalizers.iter().map(String::as_str);
            let finalizers: Vec<_> = finalizers.chain([keys::FINALIZER]).collect();
            self.writes.push(Write {
                object: key.clone(),
                request: Request::Patch(json!({"metadata": {"finalizers": finalizers}})),
                version: Some(placed.extension.version.clone()),
                needs: Vec::new(),
                reason: "hold the extension until all is undone",
            });
        }
    }

    fn make_plugins(&mut self) {
        for (extension, placed) in self.scene.used() {
            let key = plugin::key_for(extension);
            let uid = placed.extension.version.uid.as_deref();
            let (request, version, reason) = match self.scene.view.plugin(&key) {
                None => {
                    let wanted = plugin::wanted(extension, uid, &placed.flags);
                    (Request::Create(wanted), None, "measure")
                }
                Some((metadata, there)) => {
                    let there = (metadata, there);
                    match plugin::difference(there, extension, uid, &placed.flags) {
                        None => continue,
                        Some(patch) => {
                            let version = Version::of(metadata);
                            (Request::Patch(patch), Some(version), "measure what is asked for")
                        }
                    }
                }
            };
            // An object that still names it, and must not, would have it from the moment it is there.
            let mut needs = self.indices(|write| {
                &write.object == extension
                    || write.is_withdrawal() && write.object.namespace == key.namespace
            });
            if version.is_some() {
                needs.retain(|at| self.writes.get(*at).is_some_and(Write::is_to_extension));
            }
            self.writes.push(Write { object: key, request, version, needs, reason });
        }
    }

    /// Those that are ours or, where they are taken over, Kong Operator's, and on nothing any more.
    fn delete_plugins(&mut self, edits: &[Edit<'_>]) {
        let used: BTreeSet<_> = self.scene.used().into_keys().map(plugin::key_for).collect();
        let adopted = self
            .scene
            .placement
            .extensions
            .iter()
            .filter(|placed| self.options.adopt && placed.hands_off.is_none());
        let adopted: BTreeSet<_> = adopted
            .flat_map(|placed| operator::plugins(self.scene.view, &placed.extension))
            .collect();
        let gone = self.scene.view.plugins().filter(|(key, metadata, _)| {
            let is_ours = key.kind == ObjectKind::KongPlugin && plugin::is_ours(metadata);
            (is_ours || adopted.contains(key))
                && !used.contains(*key)
                && metadata.deletion_timestamp.is_none()
        });
        for (key, metadata, _) in gone {
            let needs = self.naming(edits, key);
            self.writes.push(Write {
                object: key.clone(),
                request: Request::Delete,
                version: Some(Version::of(metadata)),
                needs,
                reason: "nothing is measured by it any more",
            });
        }
    }

    /// Extensions for which nothing is left to be undone.
    fn release_extensions(&mut self, edits: &[Edit<'_>]) {
        let used: BTreeSet<_> = self.scene.used().into_keys().cloned().collect();
        let counting: BTreeSet<_> =
            self.scene.placement.extensions.iter().map(|placed| &placed.extension.key).collect();
        for (key, metadata, extension) in
            self.scene.view.extensions().filter(|(key, ..)| !used.contains(*key))
        {
            let mut change = Map::new();
            if metadata.finalizers.iter().any(|own| own == keys::FINALIZER) {
                let others = metadata.finalizers.iter().filter(|own| *own != keys::FINALIZER);
                let others: Vec<_> = others.collect();
                let others = if others.is_empty() { Value::Null } else { json!(others) };
                change.insert("finalizers".to_owned(), others);
            }
            if !counting.contains(key) && metadata.annotation(keys::STATUS).is_some() {
                change.insert("annotations".to_owned(), json!({keys::STATUS: null}));
            }
            if change.is_empty() {
                continue;
            }
            let plugin = plugin::key_for(key);
            let mut needs = self.naming(edits, &plugin);
            needs.extend(self.indices(|write| write.object == plugin));
            // What was told goes first: the rest says that there is something to be undone, and is
            // checked against a version that this changes. It is left to the next plan.
            let mut told = Map::new();
            if extension.status.control_plane_ref.is_some() {
                told.insert("controlPlaneRef".to_owned(), Value::Null);
            }
            if extension.status.conditions.as_ref().is_some_and(|told| !told.is_empty()) {
                told.insert("conditions".to_owned(), json!([]));
            }
            let is_told = !counting.contains(key) && !told.is_empty();
            let request = if is_told && metadata.deletion_timestamp.is_none() {
                Request::PatchStatus(json!({"status": told}))
            } else {
                Request::Patch(json!({"metadata": change}))
            };
            self.writes.push(Write {
                object: key.clone(),
                request,
                version: Some(Version::of(metadata)),
                needs,
                reason: "all is undone",
            });
        }
    }

    /// The status of those that count.
    fn tell(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for placed in &self.scene.placement.extensions {
            let key = &placed.extension.key;
            let Some((metadata, extension)) = self.scene.view.extension(key) else { continue };
            let before = metadata.annotation(keys::STATUS);
            let status = Status::of(placed);
            let (told, text) = (Status::read(before), status.write());
            events.extend(status::events(placed, &told, &status));
            // What the status says has to be so.
            let needs = self.indices(|write| self.concerns(write, placed));
            // The key is ours alone, so the version does not matter.
            let version = Version { resource: None, ..placed.extension.version.clone() };
            let write = |request, reason| {
                let (object, needs) = (key.clone(), needs.clone());
                Write { object, request, version: Some(version.clone()), needs, reason }
            };
            if before != Some(text.as_str()) {
                let patch = json!({"metadata": {"annotations": {keys::STATUS: text}}});
                self.writes.push(write(Request::Patch(patch), TELL));
            }
            let mut status = Map::new();
            if let Some(reference) = control_plane_ref(placed, extension) {
                status.insert("controlPlaneRef".to_owned(), reference);
            }
            let conditions = status::conditions(placed);
            if extension.status.conditions.as_ref().is_some_and(|there| *there != conditions) {
                status.insert("conditions".to_owned(), json!(conditions));
            }
            if !status.is_empty() {
                let patch = json!({"status": status});
                self.writes.push(write(Request::PatchStatus(patch), "tell it in the status, too"));
            }
        }
        events
    }

    fn concerns(&self, write: &Write, placed: &Placed) -> bool {
        let key = &placed.extension.key;
        let owner = |target| self.scene.placement.targets.get(target);
        let at = owner(&write.object).and_then(|at| self.scene.placement.extensions.get(*at));
        write.object == *key
            || write.object == plugin::key_for(key)
            || placed.services.contains_key(&write.object)
            || at.is_some_and(|at| at.extension.key == *key)
    }

    /// The writes so far that take this plugin off something.
    fn naming(&self, edits: &[Edit<'_>], plugin: &Key) -> Vec<usize> {
        let edits = edits.iter().filter(|edit| {
            edit.target.namespace == plugin.namespace && edit.off.contains(&*plugin.name)
        });
        let targets: BTreeSet<_> = edits.map(|edit| edit.target).collect();
        self.indices(|write| targets.contains(&write.object))
    }

    fn indices(&self, is_meant: impl Fn(&Write) -> bool) -> Vec<usize> {
        let writes = self.writes.iter().enumerate();
        writes.filter(|(_, write)| is_meant(write)).map(|(at, _)| at).collect()
    }
}

/// What `status.controlPlaneRef` is to become; `None` if it is so already.
fn control_plane_ref(placed: &Placed, extension: &Extension) -> Option<Value> {
    let wanted = placed.extension.control_plane();
    let own = &placed.extension.key.namespace;
    match (wanted, &extension.status.control_plane_ref) {
        (None, None) => None,
        (None, Some(_)) => Some(Value::Null),
        (Some(wanted), Some(there))
            if *there.name == *wanted.name
                && there.namespace.as_deref().is_none_or(|there| there == &**own) =>
        {
            None
        }
        (Some(wanted), _) => Some(json!({"name": &*wanted.name})),
    }
}
