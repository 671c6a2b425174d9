//! From the backends that a rule names to those that there are.
//!
//! In: the references of a rule. Out: the Services that exist and may be referred to, in the
//! rule's order. The rules are those of translator/backendref.go and gatewayapi's reference checker.

use crate::kubernetes::ObjectKind;
use crate::mapping::{Backend, Port};
use crate::resolve::graph::Id;
use crate::resolve::store::{Ref, Stored};
use crate::resolve::world::World;

/// A Service behind a Kong service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) service: Id,
    pub(crate) port: Option<Port>,
    pub(crate) weight: Option<u32>,
}

impl Found {
    /// What the mapping says of it.
    pub(crate) fn backend(&self, world: &World) -> Backend {
        let (_, namespace, service) = world.graph.key(self.service);
        Backend {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: self.port.clone(),
            weight: self.weight,
        }
    }
}

/// Those of `refs` that a route of this kind and namespace may send to.
pub(crate) fn of_refs(
    world: &World,
    kind: ObjectKind,
    namespace: &str,
    refs: &[Ref],
) -> Vec<Found> {
    let is_usable = |one: &&Ref| {
        one.is_service && exists(world, one.service) && may_refer(world, kind, namespace, one)
    };
    let found = |one: &Ref| Found {
        service: one.service,
        port: one.port.and_then(number),
        weight: one.weight.and_then(|weight| u32::try_from(weight).ok()),
    };
    refs.iter().filter(is_usable).map(found).collect()
}

/// The one Service, if it exists.
pub(crate) fn of_service(world: &World, service: Id, port: Option<Port>) -> Vec<Found> {
    let found = Found { service, port, weight: None };
    exists(world, service).then_some(found).into_iter().collect()
}

/// A port by number, where a Service can have it.
pub(crate) fn number(port: i32) -> Option<Port> {
    u16::try_from(port).ok().filter(|port| *port > 0).map(Port::Number)
}

/// Whether there is this Service.
pub(crate) fn exists(world: &World, service: Id) -> bool {
    matches!(world.graph.object(service), Some(Stored::Service(_)))
}

/// Whether the Service is in the same namespace or a ReferenceGrant allows it. The group that a
/// grant names must be the one that the reference names: `core` is not the empty one here
/// (gatewayapi/references.go, `isRefAllowedByGrant`).
pub(crate) fn may_refer(world: &World, kind: ObjectKind, namespace: &str, one: &Ref) -> bool {
    let (_, to_namespace, to_name) = world.graph.key(one.service);
    if namespace == to_namespace {
        return true;
    }
    let grants = world.grants.get(to_namespace);
    grants.into_iter().flat_map(|grants| grants.values()).any(|grant| {
        let is_from = grant.from.iter().any(|from| {
            (from.group.as_str(), from.kind.as_str(), from.namespace.as_str())
                == (kind.group(), kind.as_str(), namespace)
        });
        is_from
            && grant.to.iter().any(|to| {
                to.group == if one.says_core { "core" } else { "" }
                    && to.kind == ObjectKind::Service.as_str()
                    && to.name.as_deref().is_none_or(|name| name == to_name)
            })
    })
}
