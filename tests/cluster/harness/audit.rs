//! What was asked of the API server: its audit log in, requests out.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use super::account::Account;
use super::cluster::Cluster;

/// One request of a ServiceAccount; a watch is there twice, when it begins and when it ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    /// `get`, `list`, `watch`, `create`, `patch` …
    pub(crate) verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub(crate) uri: String,
    /// `ResponseStarted` or `ResponseComplete`.
    pub(crate) stage: String,
    #[serde(default)]
    pub(crate) object_ref: ObjectRef,
    #[serde(default)]
    pub(crate) response_status: Status,
    /// What was written.
    #[serde(default)]
    pub(crate) request_object: Value,
    user: User,
}

/// What a request was about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ObjectRef {
    /// The plural.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Status {
    /// The HTTP status.
    #[serde(default)]
    pub(crate) code: u16,
}

#[derive(Debug, Clone, Deserialize)]
struct User {
    username: String,
}

impl Cluster {
    /// Requests of an account so far, in the order in which they were answered.
    pub(crate) fn requests(&self, account: &Account) -> Vec<Request> {
        let log = fs::read_to_string(self.plane.audit_log()).unwrap_or_default();
        // The last line may still be on its way.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let requests = lines.map(|line| serde_json::from_str::<Request>(line).unwrap());
        let user = account.user();
        requests.filter(|request| request.user.username == user).collect()
    }
}
