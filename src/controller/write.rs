//! One write, as the API server takes it.
//!
//! In: what is to change about an object. Out: a request with its precondition. The one decision: a
//! write says itself what must have succeeded before it, so whoever carries the writes out needs to
//! know nothing: in order, leaving out those whose needs have failed, and then a new plan.

use serde_json::{Value, json};

use crate::controller::view::Version;
use crate::kubernetes::{Key, ObjectKind};

/// A write to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The object.
    pub object: Key,
    /// What is to be done.
    pub request: Request,
    /// Which object and version it has to be; `None` for one that is to be created.
    pub version: Option<Version>,
    /// The writes, by their place in the plan, that must have succeeded before.
    pub needs: Vec<usize>,
    /// What for, as a constant phrase.
    pub reason: &'static str,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Create this object.
    Create(Value),
    /// Change the object by this merge patch.
    Patch(Value),
    /// Change its status by this merge patch of the whole object.
    PatchStatus(Value),
    /// Delete the object.
    Delete,
}

impl Write {
    /// What is to be sent: the object, the patch with its precondition inside, or the options of the
    /// deletion with theirs.
    pub fn body(&self) -> Value {
        let version = self.version.clone().unwrap_or_default();
        let mut precondition = serde_json::Map::new();
        let parts = [("uid", version.uid), ("resourceVersion", version.resource)];
        precondition.extend(
            parts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))),
        );
        match &self.request {
            Request::Create(object) => object.clone(),
            Request::Patch(patch) | Request::PatchStatus(patch) => {
                let mut body = patch.clone();
                json_patch::merge(&mut body, &json!({"metadata": precondition}));
                body
            }
            Request::Delete => json!({
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": precondition,
            }),
        }
    }

    /// What the object is after the write, as an API server would have it but for the version.
    pub fn after(&self, object: Option<&Value>) -> Option<Value> {
        match &self.request {
            Request::Create(object) => Some(object.clone()),
            Request::Delete => None,
            Request::Patch(patch) | Request::PatchStatus(patch) => {
                let mut after = object?.clone();
                json_patch::merge(&mut after, patch);
                if let Some(Value::Object(metadata)) = after.get_mut("metadata") {
                    // As an API server leaves out what is empty.
                    metadata.retain(|_, value| {
                        !value.as_object().is_some_and(serde_json::Map::is_empty)
                    });
                }
                Some(after)
            }
        }
    }

    /// The verb for people: `create`, `change` or `delete`.
    pub fn verb(&self) -> &'static str {
        match self.request {
            Request::Create(_) => "create",
            Request::Patch(_) | Request::PatchStatus(_) => "change",
            Request::Delete => "delete",
        }
    }

    /// Whether it takes something of ours off an object and puts nothing on.
    pub fn is_withdrawal(&self) -> bool {
        self.reason == WITHDRAW
    }

    /// Whether it tells users what came of an extension.
    pub fn tells(&self) -> bool {
        self.reason == TELL
    }

    /// Whether it is to an extension.
    pub fn is_to_extension(&self) -> bool {
        self.object.kind == ObjectKind::DataPlaneMetricsExtension
    }
}

/// The reason of a write that only takes off.
pub(super) const WITHDRAW: &str = "take the plugin off";

/// The reason of a write of the annotation of status.
pub(super) const TELL: &str = "tell what came of it";
