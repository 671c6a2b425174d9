//! Which kinds of objects the names that Kong prints need: `--watch.kinds=needed`.
//!
//! In: names, and whether rules are known to be combined. Out: kinds. The one decision: what a name
//! says by itself needs nothing only where nobody could be harmed if it were not so. A Service in
//! the route's own namespace may be missing, and then nothing is counted for anybody; one in
//! another namespace may not have been granted. A name of no known form may be anybody's, and needs
//! everything.

use std::collections::BTreeSet;

use crate::kubernetes::ObjectKind;
use crate::mapping::name::{Form, decode};
use crate::mapping::{Kind, Label};

/// Which kinds are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kinds {
    /// All that can make a difference.
    #[default]
    All,
    /// Those without which a name that Kong has printed would not be understood.
    Needed,
}

/// The kinds that this name needs.
pub(super) fn of(label: Label, name: &str, is_combined: bool) -> BTreeSet<ObjectKind> {
    let with = |kinds: &[ObjectKind]| BASE.iter().chain(kinds).copied().collect();
    match decode(label, name) {
        Ok(Form::Service(_)) => BTreeSet::new(),
        Ok(Form::Combined { backends, complete: true, route_namespace, .. }) if is_combined => {
            let mut services = backends.iter().map(|one| (one.namespace, one.service));
            let first = services.next();
            let is_own = first.is_some_and(|(namespace, _)| namespace == route_namespace);
            if is_own && services.all(|other| Some(other) == first) {
                return BTreeSet::new();
            }
            with(&[ObjectKind::HTTPRoute])
        }
        Ok(Form::Combined { .. }) => with(&[ObjectKind::HTTPRoute]),
        Ok(Form::Rule { kind, .. }) => match route(kind) {
            Some(kind) => with(&[kind]),
            None => everything(),
        },
        Ok(Form::Facade { .. }) => {
            with(&[ObjectKind::Ingress, ObjectKind::IngressClass, ObjectKind::KongServiceFacade])
        }
        Ok(Form::Hybrid) | Err(_) => everything(),
    }
}

/// Whatever any name may need.
pub(super) fn everything() -> BTreeSet<ObjectKind> {
    ObjectKind::ALL.into_iter().filter(|kind| kind.is_of_mapping()).collect()
}

/// What is watched before any name has been seen. A KongService may have any name at all: once there
/// is one, everything is needed.
pub(super) const FIRST: ObjectKind = ObjectKind::KongService;

fn route(kind: Kind) -> Option<ObjectKind> {
    match kind {
        Kind::HTTPRoute => Some(ObjectKind::HTTPRoute),
        Kind::GRPCRoute => Some(ObjectKind::GRPCRoute),
        Kind::TCPRoute => Some(ObjectKind::TCPRoute),
        Kind::TLSRoute => Some(ObjectKind::TLSRoute),
        Kind::UDPRoute => Some(ObjectKind::UDPRoute),
        _ => None,
    }
}

/// Without these no route is understood.
const BASE: [ObjectKind; 6] = [
    ObjectKind::Service,
    ObjectKind::ReferenceGrant,
    ObjectKind::Gateway,
    ObjectKind::GatewayClass,
    ObjectKind::ControlPlane,
    FIRST,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the kinds that a name needs, those that not every route does.
    fn needed(name: &str) -> Vec<ObjectKind> {
        let kinds = of(Label::Service, name, true);
        kinds.into_iter().filter(|kind| !BASE.contains(kind)).collect()
    }

    #[test]
    fn a_name_that_tells_a_service_of_its_own_namespace_needs_nothing() {
        for name in [
            "web.echo.80",
            "web.dns.53.udp",
            "httproute.web.svc.web.echo.80.1",
            "httproute.web.svc.web.echo.80.1_web.echo.81.1",
        ] {
            assert_eq!(of(Label::Service, name, true), BTreeSet::new(), "{name}");
        }
        assert_eq!(of(Label::Upstream, "echo.web.80.svc", true), BTreeSet::new());
    }

    #[test]
    fn what_a_name_leaves_open_is_needed() {
        for name in [
            "httproute.web.echo.0",
            "httproute.web.svc.web.a.80.1_web.b.80.1",
            "httproute.web.svc.data.stock.80.1",
        ] {
            assert_eq!(needed(name), [ObjectKind::HTTPRoute], "{name}");
            assert!(of(Label::Service, name, true).contains(&ObjectKind::ReferenceGrant));
        }
        assert_eq!(needed("tcproute.web.t.0"), [ObjectKind::TCPRoute]);
        assert!(needed("web.f.svc.facade").contains(&ObjectKind::KongServiceFacade));
        assert_eq!(of(Label::Service, "by-hand", true), everything());
    }

    #[test]
    fn where_rules_may_not_be_combined_a_route_may_be_called_as_if_they_were() {
        let name = "httproute.web.svc.web.echo.80.1";
        assert!(of(Label::Service, name, false).contains(&ObjectKind::HTTPRoute));
    }
}
