//! The namespaces that have gateways.
//!
//! In: the API server. Out: the namespaces with DataPlanes of Kong Operator's, now and then. The one
//! decision: they are asked for, not watched. It is one small request, and a gateway that has just
//! been made takes about as long to start as the next one is away.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use crate::cluster::trouble::{Attempt, Reason, Trouble, Unanswered, within};
use crate::telemetry::Chain;

/// Asks for them.
pub(super) struct Finder {
    data_planes: Api<DynamicObject>,
    every: Duration,
    answer: Duration,
    asked: Option<Instant>,
    /// What was told last.
    trouble: Option<Reason>,
}

impl Finder {
    pub(super) fn new(client: &Client, every: Duration, answer: Duration) -> Self {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, KIND);
        let kind = ApiResource::from_gvk_with_plural(&kind, PLURAL);
        let data_planes = Api::all_with(client.clone(), &kind);
        Self { data_planes, every, answer, asked: None, trouble: None }
    }

    /// The namespaces, where it is time to ask again and there is an answer. What cannot be known is
    /// no reason to leave out a namespace that was known.
    pub(super) async fn look(&mut self) -> Option<BTreeSet<String>> {
        if self.asked.is_some_and(|asked| asked.elapsed() < self.every) {
            return None;
        }
        self.asked = Some(Instant::now());
        match self.list().await {
            Ok(namespaces) => {
                self.trouble = None;
                Some(namespaces)
            }
            // There is no Kong Operator here.
            Err(Unanswered::Error(kube::Error::Api(status))) if status.is_not_found() => {
                Some(BTreeSet::new())
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    async fn list(&self) -> Result<BTreeSet<String>, Unanswered> {
        let mut namespaces = BTreeSet::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let listing = self.data_planes.list_metadata(&page);
            let listed = within(self.answer, listing).await?;
            namespaces.extend(listed.items.iter().filter_map(ResourceExt::namespace));
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(namespaces),
            }
        }
    }

    /// The same trouble is told once.
    fn failed(&mut self, error: &Unanswered) {
        let attempt = Attempt { verbs: "list", group: GROUP, resource: PLURAL, namespace: None };
        let Trouble { reason, remedy } = error.trouble(&attempt);
        if self.trouble.replace(reason) == Some(reason) {
            return;
        }
        let (error, reason) = (Chain(error), reason.as_str());
        tracing::warn!(%error, reason, remedy, "namespaces of DataPlanes not found, those known stay");
    }
}

const GROUP: &str = "gateway-operator.konghq.com";
const VERSION: &str = "v1beta1";
const KIND: &str = "DataPlane";
const PLURAL: &str = "dataplanes";

/// So many at a time.
const PAGE: u32 = 500;
