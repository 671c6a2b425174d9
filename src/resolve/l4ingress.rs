//! TCPIngresses and UDPIngresses of Kong Ingress Controller: `<namespace>.<service>.<port>`, the
//! same name as an Ingress', and `<namespace>.<service>.<port>.udp` (translate_kong_l4.go).
//!
//! A TCPIngress takes the place of an Ingress' Kong service of the same name. Both stand for the
//! same Service, so here they are two claims that agree.

use crate::kubernetes::ObjectKind;
use crate::resolve::backend::{self, Found};
use crate::resolve::claim::{Claim, Claims, Way};
use crate::resolve::graph::Id;
use crate::resolve::store::L4Ingress;
use crate::resolve::world::World;

/// The names that the TCPIngress or UDPIngress claims.
pub(crate) fn claims(world: &World, object: Id, ingress: &L4Ingress, claims: &mut Claims) {
    if !world.forms.kic || !world.classes.accept(ingress.class.as_deref()) {
        return;
    }
    let (kind, ..) = world.graph.key(object);
    let suffix = if kind == ObjectKind::UDPIngress { ".udp" } else { "" };
    for ((service, port), rule) in ingress.backends.iter().zip(0..) {
        if !claims.wants(rule) {
            continue;
        }
        let (_, namespace, name) = world.graph.key(*service);
        let base = format!("{namespace}.{name}.{port}{suffix}");
        claims.push(base, Claim { object, rule, way: Way::Own });
    }
}

/// What the claim of this number stands for.
pub(crate) fn backends(world: &World, ingress: &L4Ingress, rule: u16) -> Option<Vec<Found>> {
    let (service, port) = ingress.backends.get(usize::from(rule))?;
    Some(backend::of_service(world, *service, backend::number(*port)))
}
