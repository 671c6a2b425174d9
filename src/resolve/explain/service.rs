//! A Kubernetes Service: which Kong services it is behind, and what names it without effect.

use std::collections::BTreeSet;

use serde::Serialize;

use super::judge::{self, Judged, Reason, Verdict};
use super::{Object, maker, stands_for};
use crate::kubernetes::Key;
use crate::mapping::Snapshot;
use crate::resolve::group;
use crate::resolve::index::Index;
use crate::resolve::store::Stored;

/// About a Kubernetes Service.
#[derive(Debug, PartialEq, Serialize)]
pub struct OfService {
    /// The Service.
    #[serde(flatten)]
    pub object: Object,
    /// The Kong services that name it.
    pub behind: Vec<Behind>,
    /// The objects that refer to it and make no Kong service.
    pub not_behind: Vec<NotBehind>,
}

/// A Kong service that names the Service.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Behind {
    /// Its name.
    pub name: String,
    /// The object that makes it.
    pub by: Object,
    /// `rule 0`, `backend 1`, `default backend`.
    pub rule: String,
    /// The Service as the rule names it, and whether it counts.
    pub backend: Judged,
    /// Whether another rule decides which backends count, and which one's does.
    pub decides: bool,
    /// What the name stands for.
    pub stands_for: String,
}

/// An object that refers to the Service without effect.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotBehind {
    /// The object.
    #[serde(flatten)]
    pub object: Object,
    /// Why it makes no Kong service.
    pub left_out: Vec<Reason>,
}

pub(super) fn explain(index: &Index, snapshot: &Snapshot, key: &Key) -> OfService {
    let world = index.world();
    let Some(service) = world.graph.find(key) else {
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        let object = Object { kind: key.kind.as_str(), namespace, name, known: false };
        return OfService { object, behind: Vec::new(), not_behind: Vec::new() };
    };
    let (mut behind, mut not_behind) = (BTreeSet::new(), BTreeSet::new());
    for id in index.affected([service]).into_iter().filter(|id| *id != service) {
        // A facade makes nothing itself; the Ingresses that send to it are dependents, too.
        let is_facade = matches!(world.graph.object(id), Some(Stored::Facade(_)));
        let left_out = judge::reasons(world, id);
        if !left_out.is_empty() {
            not_behind.insert(NotBehind { object: judge::object(world, id), left_out });
        } else if is_facade && world.graph.dependents(id).next().is_none() {
            let left_out = vec![judge::reason("unused", "no Ingress sends to it")];
            not_behind.insert(NotBehind { object: judge::object(world, id), left_out });
        }
        for (base, claim) in index.claims_of(id) {
            let backends = judge::backends(world, claim).into_iter();
            for backend in backends.filter(|backend| backend.id == service) {
                for (name, claims) in group::names(world, &base, &index.claims_on(&base)) {
                    if claims.contains(&claim) {
                        behind.insert(Behind {
                            stands_for: stands_for(snapshot, &name),
                            name,
                            by: judge::object(world, id),
                            rule: maker::rule_name(world, id, claim.rule),
                            backend: backend.clone(),
                            decides: group::leaders(world, &claims).contains(&claim),
                        });
                    }
                }
            }
        }
    }
    let behind = behind.into_iter().collect();
    let not_behind = not_behind.into_iter().collect();
    OfService { object: judge::object(world, service), behind, not_behind }
}

impl Behind {
    /// Whether the Service counts there.
    pub fn counts(&self) -> bool {
        self.backend.verdict == Verdict::Counts
    }
}
