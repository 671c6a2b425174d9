//! A make-believe cluster that takes writes: whole objects, as an API server has them. In: manifests
//! and writes. Out: objects, each with the version it has come to.
#![allow(dead_code)] // not every test uses all of it
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::collections::BTreeMap;

use kong_metrics_exporter::controller::{Options, Plan, Request, View, Write, plan};
use kong_metrics_exporter::kubernetes::manifest::{Defaults, Manifests};
use kong_metrics_exporter::kubernetes::{Key, Object, ObjectKind};
use kong_metrics_exporter::resolve::Settings;
use serde_json::{Value, json};

#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<Key, Value>,
    pub(crate) settings: Settings,
    version: u64,
}

/// Why a write was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict;

impl World {
    pub(crate) fn new(settings: &Settings, manifests: &[&str]) -> Self {
        let mut world = Self { settings: settings.clone(), ..Self::default() };
        manifests.iter().for_each(|manifest| world.put(manifest));
        world
    }

    /// What a user applies: YAML, whole.
    pub(crate) fn put(&mut self, manifest: &str) {
        for document in manifest.split("---\n") {
            let value: Value = serde_saphyr::from_str(document).unwrap();
            self.store(value);
        }
    }

    pub(crate) fn store(&mut self, mut value: Value) {
        let key = object(&value).key();
        if key.kind.is_namespaced() {
            value["metadata"]["namespace"] = (*key.namespace).into();
        }
        self.version += 1;
        let old = self.objects.get(&key).map(|old| old["metadata"]["uid"].clone());
        value["metadata"]["uid"] = old.unwrap_or_else(|| format!("u{}", self.version).into());
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(key, value);
    }

    /// As a user deletes it: what has finalizers stays for them.
    pub(crate) fn delete(&mut self, key: &Key) {
        let Some(value) = self.objects.get(key) else { return };
        if value["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty()) {
            let mut value = value.clone();
            value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            self.store(value);
        } else {
            let gone = self.objects.remove(key).unwrap();
            self.collect(&gone["metadata"]["uid"]);
        }
    }

    /// The garbage collector: what is owned by nobody any more goes.
    fn collect(&mut self, uid: &Value) {
        let owned = |value: &Value| {
            let owners = value["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
        };
        let owned: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, value)| owned(value))
            .map(|(key, _)| key.clone())
            .collect();
        owned.iter().for_each(|key| self.delete(key));
    }

    /// As an API server takes a write.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), Conflict> {
        let there = self.objects.get(&write.object);
        if let Some(version) = &write.version {
            let metadata = &there.ok_or(Conflict)?["metadata"];
            let is = |own: &Option<String>, key: &str| {
                own.as_ref().is_none_or(|own| metadata[key] == **own)
            };
            if !is(&version.uid, "uid") || !is(&version.resource, "resourceVersion") {
                return Err(Conflict);
            }
        } else if there.is_some() {
            return Err(Conflict);
        }
        match write.after(there) {
            None => self.delete(&write.object),
            Some(after) => {
                self.store(after);
                let metadata = &self.objects[&write.object]["metadata"];
                if metadata["deletionTimestamp"].is_string()
                    && metadata["finalizers"].as_array().is_none_or(Vec::is_empty)
                {
                    self.delete(&write.object);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn view(&self) -> View {
        let mut view = View::new(self.settings.clone());
        for value in self.objects.values() {
            view.apply(object(value));
        }
        view
    }

    pub(crate) fn plan(&self, options: &Options) -> Plan {
        plan(&self.view(), options)
    }

    /// Plans and writes until nothing is left to be done; how many writes that were.
    pub(crate) fn settle(&mut self, options: &Options) -> usize {
        let mut count = 0;
        for _ in 0..5 {
            let writes = self.plan(options).writes;
            if writes.is_empty() {
                return count;
            }
            for write in &writes {
                self.write(write).unwrap_or_else(|_| panic!("refused: {write:?}"));
                count += 1;
            }
        }
        panic!("no end: {:?}", self.plan(options).writes);
    }

    pub(crate) fn annotation(
        &self,
        kind: ObjectKind,
        name: &str,
        annotation: &str,
    ) -> Option<&str> {
        self.objects.get(&key(kind, name))?["metadata"]["annotations"][annotation].as_str()
    }

    /// `konghq.com/plugins` of an object `namespace/name`.
    pub(crate) fn plugins(&self, kind: ObjectKind, name: &str) -> Option<&str> {
        self.annotation(kind, name, "konghq.com/plugins")
    }

    /// What all objects are but for their versions and what is told in annotations of status.
    pub(crate) fn content(&self) -> BTreeMap<Key, Value> {
        let mut objects = self.objects.clone();
        for value in objects.values_mut() {
            json_patch::merge(value, &json!({"metadata": {"resourceVersion": null, "uid": null}}));
            // Whether there are no annotations, or nothing to tell, or none left is the same.
            if value.get("status").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
            {
                value.as_object_mut().unwrap().remove("status");
            }
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.retain(|_, value| !value.as_object().is_some_and(|map| map.is_empty()));
            }
        }
        objects
    }
}

/// `Kind namespace/name`: what is done, a line each.
pub(crate) fn lines(writes: &[Write]) -> Vec<String> {
    let line = |write: &Write| {
        let Key { kind, namespace, name } = &write.object;
        let status = if matches!(write.request, Request::PatchStatus(_)) { " status" } else { "" };
        format!("{} {} {namespace}/{name}{status}", write.verb(), kind.as_str())
    };
    writes.iter().map(line).collect()
}

pub(crate) fn key(kind: ObjectKind, name: &str) -> Key {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    Key::new(kind, namespace, name)
}

/// As the controller reads it.
pub(crate) fn object(value: &Value) -> Object {
    let mut manifests = Manifests::default();
    manifests.read(&value.to_string(), Defaults::Fill).unwrap();
    manifests.objects.remove(0)
}
