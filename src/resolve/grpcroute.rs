//! GRPCRoutes: `grpcroute.<namespace>.<name>.<rule>` with the traditional router
//! (translate_grpcroute.go), `grpcroute.<namespace>.<name>.<host name>.<rule>` with the expressions
//! router (subtranslator/grpcroute_atc.go). Every rule is a Kong service of its own.
//!
//! Two routes may claim one name: `a` with host name `b.c`, and `a.b` with `c`.

use crate::resolve::claim::{Claim, Claims, Way};
use crate::resolve::gateway;
use crate::resolve::graph::Id;
use crate::resolve::l4route;
use crate::resolve::store::Route;
use crate::resolve::world::World;

/// The names that the route claims.
pub(crate) fn claims(world: &World, object: Id, route: &Route, claims: &mut Claims) {
    if world.forms.traditional {
        l4route::claims(world, object, route, claims);
    }
    if !world.forms.expressions {
        return;
    }
    let (_, namespace, name) = world.graph.key(object);
    for hostname in hostnames(world, route) {
        let hostname = hostname.unwrap_or("_").replace('*', "_");
        for rule in 0..l4route::count(route) {
            if !claims.wants(rule) {
                continue;
            }
            let base = format!("grpcroute.{namespace}.{name}.{hostname}.{rule}");
            claims.push(base, Claim { object, rule, way: Way::Own });
        }
    }
}

/// The host names in the route's names; `None` for none.
fn hostnames<'w>(world: &'w World, route: &'w Route) -> Vec<Option<&'w str>> {
    let mut hostnames: Vec<_> = if route.place.hostnames.is_empty() && world.forms.operator {
        gateway::inherited_hostnames(world, route)
    } else {
        route.place.hostnames.iter().map(|hostname| Some(&**hostname)).collect()
    };
    // Kong Ingress Controller does not look at the Gateway.
    if route.place.hostnames.is_empty() && world.forms.kic {
        hostnames.push(None);
    }
    hostnames.sort_unstable();
    hostnames.dedup();
    hostnames
}
