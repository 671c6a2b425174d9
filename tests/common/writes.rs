//! What the make-believe API server does with one object: get, create, replace, server-side apply,
//! delete, each with the versions that a write rests on.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{Api, Shared, State, all_namespaces, refusal};

impl Api {
    /// Serves what is at such a path, to be read and written.
    pub fn serve_path(&self, path: &str) {
        self.lock().collections.entry(path.to_owned()).or_default();
    }

    /// Puts an object at such a path.
    pub fn put_at(&self, path: &str, namespace: &str, name: &str, object: Value) {
        self.lock().store(path, &(namespace.to_owned(), name.to_owned()), object);
        self.tell();
    }

    /// Deletes one at such a path.
    pub fn delete_at(&self, path: &str, namespace: &str, name: &str) {
        self.lock().delete(path, &(namespace.to_owned(), name.to_owned()));
        self.tell();
    }

    /// The objects at such a path, by namespace and name.
    pub fn objects_at(&self, path: &str) -> BTreeMap<(String, String), Value> {
        self.lock().collections[path].objects.clone()
    }

    /// What was to be written so far, such as `PATCH /api/v1/namespaces/web/configmaps/one`.
    pub fn writes(&self) -> Vec<String> {
        self.lock().writes.clone()
    }
}

/// The answer to a request that is no list and no watch; `None` where it is one.
pub(super) fn answer(
    method: &str,
    path: &str,
    body: &[u8],
    shared: &Shared,
) -> Option<(u16, Value)> {
    let mut state = shared.state.lock().unwrap();
    let (all, namespace) = all_namespaces(path);
    let (collection, name) = match method {
        "GET" if state.collections.contains_key(&all) => return None,
        "POST" => (all, String::new()),
        _ => {
            let (collection, name) = all.rsplit_once('/')?;
            (collection.to_owned(), name.to_owned())
        }
    };
    if !state.collections.contains_key(&collection) {
        return (method != "GET").then(|| (404, refusal(404)));
    }
    state.writes.extend((method != "GET").then(|| format!("{method} {path}")));
    if let Some(status) = state.refusal(path) {
        return Some((status, refusal(status)));
    }
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = if method == "POST" { text(&sent["metadata"]["name"]) } else { name };
    let key = (namespace.unwrap_or_default().to_owned(), name);
    let there = state.collections[&collection].objects.get(&key).cloned();
    let is_stale = |rests_on: &Value| {
        let version = there.as_ref().map(|there| text(&there["metadata"]["resourceVersion"]));
        !text(rests_on).is_empty() && Some(text(rests_on)) != version
    };
    let (status, object) = match (method, &there) {
        ("GET", Some(there)) => return Some((200, there.clone())),
        ("POST", Some(_)) => (409, refusal(409)),
        ("POST", None) => (201, state.store(&collection, &key, sent)),
        ("GET" | "PUT" | "DELETE", None) => (404, refusal(404)),
        ("PUT" | "PATCH", _) if is_stale(&sent["metadata"]["resourceVersion"]) => {
            (409, refusal(409))
        }
        ("DELETE", _) if is_stale(&sent["preconditions"]["resourceVersion"]) => (409, refusal(409)),
        ("PUT", _) => (200, state.store(&collection, &key, sent)),
        ("PATCH", there) => {
            let mut after = there.clone().unwrap_or_else(|| json!({"metadata": {}}));
            merge(&mut after, &sent);
            match there {
                // What says the same is not written.
                Some(before) if same(before, &after) => (200, before.clone()),
                _ => (200, state.store(&collection, &key, after)),
            }
        }
        _ => {
            state.delete(&collection, &key);
            (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        }
    };
    drop(state);
    shared.changed.send_modify(|count| *count += 1);
    Some((status, object))
}

impl State {
    /// Puts an object where it belongs, and gives it as it is then.
    pub(super) fn store(
        &mut self,
        collection: &str,
        (namespace, name): &(String, String),
        mut object: Value,
    ) -> Value {
        self.version += 1;
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("name".to_owned(), name.as_str().into());
        metadata.insert("namespace".to_owned(), namespace.as_str().into());
        metadata.insert("resourceVersion".to_owned(), self.version.to_string().into());
        let collection = self.collections.get_mut(collection).unwrap();
        let before = collection.objects.insert((namespace.clone(), name.clone()), object.clone());
        let what = if before.is_some() { "MODIFIED" } else { "ADDED" };
        collection.log.push((self.version, what, object.clone()));
        object
    }

    pub(super) fn delete(&mut self, collection: &str, key: &(String, String)) {
        self.version += 1;
        let version = self.version;
        let collection = self.collections.get_mut(collection).unwrap();
        let mut object = collection.objects.remove(key).unwrap();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        collection.log.push((version, "DELETED", object));
    }
}

/// The one label that is asked for, if any.
pub(super) fn label(query: &HashMap<&str, &str>) -> Option<(String, String)> {
    let selector = query.get("labelSelector")?.replace("%2F", "/").replace("%3D", "=");
    let (key, value) = selector.split_once('=')?;
    Some((key.to_owned(), value.to_owned()))
}

pub(super) fn has_label(object: &Value, label: Option<&(String, String)>) -> bool {
    label.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value.as_str())
}

/// As a server-side apply of one manager's fields does, as far as it is used here: maps are merged,
/// but those of data are replaced.
fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { unreachable!() };
    for (key, value) in from {
        match into.get_mut(key) {
            Some(there @ Value::Object(_)) if key != "binaryData" => merge(there, value),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    let mut other = other.clone();
    other["metadata"]["resourceVersion"] = one["metadata"]["resourceVersion"].clone();
    *one == other
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
