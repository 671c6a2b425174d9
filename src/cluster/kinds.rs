//! Which kinds the API server has, and in which version.
//!
//! In: one request every [`LOOK_EVERY`]. Out: the kinds of those we know that can be watched now,
//! each in the best version that is understood. The one decision: it is asked for, not watched. To
//! watch CRDs would take the right to read all of them; this takes what every ServiceAccount has,
//! is one request for all groups, and the server answers 304 for as long as nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Request, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use tokio::time::timeout;

use crate::cluster::follow::Failure;
use crate::cluster::resource::{plural, versions};
use crate::kubernetes::ObjectKind;

/// How often the server is asked: so long after its CRD a kind is followed at the latest.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Kinds with the version to read them in.
pub type Served = BTreeMap<ObjectKind, &'static str>;

/// Asks which kinds there are.
pub struct Kinds {
    client: Client,
    /// Of the last answer.
    tag: Option<HeaderValue>,
    /// What the last answer said.
    last: Served,
    /// What was told.
    told: Option<Served>,
}

impl Kinds {
    /// Nothing is known yet.
    pub fn new(client: Client) -> Self {
        Self { client, tag: None, last: Served::new(), told: None }
    }

    /// Asks once. A kind counts as gone when it was missing twice in a row: a server that has just
    /// started may not have all of them yet.
    ///
    /// # Errors
    /// Where there is no answer, or none that is understood. What was known stays.
    pub async fn look(&mut self) -> Result<Served, Failure> {
        let asked = timeout(ANSWER, self.ask()).await;
        let answer = asked.map_err(|_| Failure::Silent(ANSWER))??;
        let before = match answer {
            Some(served) => std::mem::replace(&mut self.last, served),
            None => self.last.clone(),
        };
        let mut now = self.last.clone();
        for (kind, version) in self.told.take().unwrap_or_default() {
            if before.contains_key(&kind) {
                now.entry(kind).or_insert(version);
            }
        }
        self.told = Some(now.clone());
        Ok(now)
    }

    /// `None` where nothing has changed.
    async fn ask(&mut self) -> Result<Option<Served>, Failure> {
        let mut request = Request::get("/apis").header(ACCEPT, AGGREGATED);
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let failed = Failure::List;
        let request = request.body(Body::empty()).map_err(|e| failed(kube::Error::HttpError(e)))?;
        let answer = self.client.send(request).await.map_err(failed)?;
        let (head, body) = answer.into_parts();
        if head.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let body = body.collect().await.map_err(failed)?.to_bytes();
        if head.status != StatusCode::OK {
            return Err(failed(kube::Error::Api(refusal(head.status, &body))));
        }
        let groups: Groups = serde_json::from_slice(&body).map_err(Failure::NoList)?;
        self.tag = head.headers.get(ETAG).cloned();
        Ok(Some(groups.served()))
    }
}

/// What the server says of a request it did not fulfil.
fn refusal(code: StatusCode, body: &[u8]) -> Box<Status> {
    let text = || Status::failure(&String::from_utf8_lossy(body), "").with_code(code.as_u16());
    serde_json::from_slice(body).unwrap_or_else(|_| text()).boxed()
}

/// An `APIGroupDiscoveryList`, as far as it is read.
#[derive(Deserialize)]
struct Groups {
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    metadata: GroupMetadata,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct GroupMetadata {
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    verbs: BTreeSet<String>,
}

impl Groups {
    fn served(&self) -> Served {
        let version = |kind: ObjectKind| -> Option<&'static str> {
            let group = self.items.iter().find(|group| group.metadata.name == kind.group())?;
            versions(kind).iter().copied().find(|version| {
                let served = group.versions.iter().filter(|served| served.version == *version);
                let mut resources = served.flat_map(|served| &served.resources);
                resources.any(|one| one.resource == plural(kind) && one.can_be_followed())
            })
        };
        let kinds = ObjectKind::ALL.into_iter();
        // The core group is not in this list, and every server has it.
        kinds
            .filter_map(|kind| {
                let core = (kind.group().is_empty()).then_some("v1");
                Some((kind, core.or_else(|| version(kind))?))
            })
            .collect()
    }
}

impl Resource {
    fn can_be_followed(&self) -> bool {
        ["list", "watch"].into_iter().all(|verb| self.verbs.contains(verb))
    }
}

/// All groups, versions and resources in one answer: Kubernetes 1.27 and later.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// By when the answer must have come.
const ANSWER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn served(answer: &str) -> Vec<(ObjectKind, &'static str)> {
        serde_json::from_str::<Groups>(answer).unwrap().served().into_iter().collect()
    }

    #[test]
    fn the_best_version_that_is_understood_and_can_be_watched() {
        let answer = r#"{"kind": "APIGroupDiscoveryList", "items": [
          {"metadata": {"name": "gateway.networking.k8s.io"}, "versions": [
            {"version": "v1", "resources": [
              {"resource": "httproutes", "verbs": ["get", "list", "watch"]},
              {"resource": "grpcroutes", "verbs": ["get"]}]},
            {"version": "v1beta1", "resources": [
              {"resource": "httproutes", "verbs": ["list", "watch"]},
              {"resource": "referencegrants", "verbs": ["list", "watch"]}]},
            {"version": "v9", "resources": [
              {"resource": "tlsroutes", "verbs": ["list", "watch"]}]}]},
          {"metadata": {"name": "other"}, "versions": [
            {"version": "v1", "resources": [
              {"resource": "gateways", "verbs": ["list", "watch"]}]}]},
          {"metadata": {"name": "empty"}}]}"#;
        assert_eq!(
            served(answer),
            [
                (ObjectKind::HTTPRoute, "v1"),
                (ObjectKind::Service, "v1"),
                (ObjectKind::ReferenceGrant, "v1beta1"),
            ]
        );
    }
}
