//! One write of a plan, sent.
//!
//! In: a write. Out: what the API server made of it, or what kind of trouble it is. The one decision:
//! nothing is tried again here. A write that did not come through rests on a plan that may be wrong
//! by then, so it is the next plan that tries again.

use std::time::Duration;

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use kube::Client;

use crate::cluster::lease::Leadership;
use crate::cluster::resource;
use crate::cluster::trouble::{Attempt, Reason, Trouble, Unanswered, within};
use crate::controller::{Request, Write};
use crate::kubernetes::manifest::Manifests;
use crate::kubernetes::{Key, Object, ObjectKind};
use crate::metrics::Controlling;

/// Sends writes for as long as this process leads.
pub(super) struct Writer {
    client: Client,
    leadership: Leadership,
    answer: Duration,
}

/// Why a write is not known to be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot write {0}")]
    Write(Key, #[source] Unanswered),
    #[error("cannot build the request for {0}")]
    Request(Key, #[source] hyper::http::Error),
    #[error("cannot read what came of {0}")]
    Answer(Key, #[source] serde_json::Error),
    #[error("the API server has no {} now", .0.as_str())]
    NoKind(ObjectKind),
    #[error("another process leads")]
    NotLeading,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The object is another than the plan was made for.
    Stale,
    /// The API server does not take this write, but may take others.
    Object,
    /// There is no use in trying any other.
    Server,
    /// This process must not write any more.
    NotLeading,
}

impl Writer {
    pub(super) fn new(client: Client, leadership: Leadership, answer: Duration) -> Self {
        Self { client, leadership, answer }
    }

    /// The object as it is afterwards, or `None` where it is gone. `version` is that in which the
    /// API server has the kind.
    pub(super) async fn send(
        &mut self,
        write: &Write,
        version: Option<&str>,
    ) -> Result<Option<Object>, Error> {
        let key = &write.object;
        let version = version.ok_or(Error::NoKind(key.kind))?;
        let request = request(write, version).map_err(|e| Error::Request(key.clone(), e))?;
        let sending = within(self.answer, self.client.request_text(request));
        let sent = self.leadership.while_held(sending).await.ok_or(Error::NotLeading)?;
        let answer = sent.map_err(|error| Error::Write(key.clone(), error))?;
        let read = || {
            if write.request == Request::Delete && is_status(&answer)? {
                return Ok(None);
            }
            Manifests::one(key.kind, version, &answer).map(Some)
        };
        read().map_err(|error| Error::Answer(key.clone(), error))
    }
}

impl Error {
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::NotLeading => Fault::NotLeading,
            Self::Request(..) | Self::Answer(..) | Self::NoKind(_) => Fault::Object,
            Self::Write(_, Unanswered::Silent(_)) => Fault::Server,
            Self::Write(_, Unanswered::Error(error)) => match error {
                kube::Error::Api(status) => match status.code {
                    404 | 409 => Fault::Stale,
                    401 | 429 | 503 | 504 => Fault::Server,
                    // 500 is what the API server says when a webhook of one kind does not answer.
                    _ => Fault::Object,
                },
                _ => Fault::Server,
            },
        }
    }

    /// Whether the API server says that the object is not there. It names it then; a path that it does
    /// not serve is told without a name.
    pub(super) fn is_gone(&self, write: &Write) -> bool {
        let Self::Write(key, Unanswered::Error(kube::Error::Api(status))) = self else {
            return false;
        };
        let named = status.details.as_ref().is_some_and(|details| details.name == *key.name);
        // Where something is created it is the namespace that is not there.
        status.code == 404 && named && !matches!(write.request, Request::Create(_))
    }

    /// What it means to the person who has to do something about it.
    pub(super) fn trouble(&self, write: &Write) -> Option<Trouble> {
        let Self::Write(key, source) = self else { return None };
        let verbs = verb(write);
        let (group, resource) = (key.kind.group(), resource::plural(key.kind));
        let status = format!("{resource}/status");
        let is_status = matches!(write.request, Request::PatchStatus(_));
        let resource = if is_status { &status } else { resource };
        // By a ClusterRole: the objects are in the users' namespaces.
        Some(source.trouble(&Attempt { verbs, group, resource, namespace: None }))
    }

    /// For metrics.
    pub(super) fn reason(&self, write: &Write) -> &'static str {
        match self {
            Self::NotLeading => Controlling::NOT_LEADING,
            _ => self.trouble(write).map_or(Reason::NotUnderstood, |one| one.reason).as_str(),
        }
    }
}

/// As RBAC spells it.
pub(super) fn verb(write: &Write) -> &'static str {
    match write.request {
        Request::Create(_) => "create",
        Request::Patch(_) | Request::PatchStatus(_) => "patch",
        Request::Delete => "delete",
    }
}

fn request(write: &Write, version: &str) -> Result<hyper::Request<Vec<u8>>, hyper::http::Error> {
    let Key { kind, namespace, name } = &write.object;
    let namespace = Some(&**namespace).filter(|namespace| !namespace.is_empty());
    let all = resource::path(*kind, version, namespace);
    let (method, path, content) = match write.request {
        Request::Create(_) => (Method::POST, all, JSON),
        Request::Patch(_) => (Method::PATCH, format!("{all}/{name}"), MERGE_PATCH),
        Request::PatchStatus(_) => (Method::PATCH, format!("{all}/{name}/status"), MERGE_PATCH),
        Request::Delete => (Method::DELETE, format!("{all}/{name}"), JSON),
    };
    let manager = if write.request == Request::Delete { "" } else { MANAGER };
    let request = hyper::Request::builder().method(method).uri(path + manager);
    request.header(CONTENT_TYPE, content).body(write.body().to_string().into_bytes())
}

fn is_status(answer: &str) -> serde_json::Result<bool> {
    #[derive(serde::Deserialize)]
    struct Head {
        kind: String,
    }
    Ok(serde_json::from_str::<Head>(answer)?.kind == "Status")
}

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Who is noted in `managedFields`.
const MANAGER: &str = "?fieldManager=kong-metrics-exporter";

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_missing_object_is_gone() {
        let key = Key::new(ObjectKind::Service, "web", "echo");
        let is_gone = |code, name: Option<&str>, request| {
            let details = name.map(|name| serde_json::from_value(json!({"name": name})).unwrap());
            let status = Status { code, details, ..Status::default() };
            let source = Unanswered::Error(kube::Error::Api(status.boxed()));
            let (object, version) = (key.clone(), None);
            let write = Write { object, request, version, needs: Vec::new(), reason: "" };
            Error::Write(key.clone(), source).is_gone(&write)
        };
        let patch = || Request::Patch(json!({}));
        assert!(is_gone(404, Some("echo"), patch()));
        assert!(is_gone(404, Some("echo"), Request::Delete));
        assert!(!is_gone(404, None, patch()), "a path that is not served");
        assert!(!is_gone(404, Some("echo"), Request::Create(json!({}))), "a namespace");
        assert!(!is_gone(409, Some("echo"), patch()));
    }
}
