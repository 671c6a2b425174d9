//! TCPRoutes, TLSRoutes and UDPRoutes: `<kind>.<namespace>.<name>.<rule>` (translate_utils.go,
//! service_names.go), every rule a Kong service of its own.
//!
//! Where several TCPRoutes or UDPRoutes share a listener, Kong Operator renders only the oldest;
//! the names of the others are claimed here all the same, and no line carries them.

use crate::resolve::claim::{Claim, Claims, Way};
use crate::resolve::graph::Id;
use crate::resolve::store::Route;
use crate::resolve::world::World;

/// The names that the route claims.
pub(crate) fn claims(world: &World, object: Id, route: &Route, claims: &mut Claims) {
    let (kind, namespace, name) = world.graph.key(object);
    let kind = kind.as_str().to_ascii_lowercase();
    for rule in 0..count(route) {
        if !claims.wants(rule) {
            continue;
        }
        let base = format!("{kind}.{namespace}.{name}.{rule}");
        claims.push(base, Claim { object, rule, way: Way::Own });
    }
}

/// How many rules the route has. The API allows 16.
pub(crate) fn count(route: &Route) -> u16 {
    u16::try_from(route.rules.len()).unwrap_or(u16::MAX)
}
