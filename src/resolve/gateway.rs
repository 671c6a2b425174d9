//! Gateways: which routes are attached to one of Kong's, and which host names they inherit.
//!
//! The one decision: a route's status is not looked at. A route that Kong's controller has not
//! accepted yet makes a name that no line carries yet.

use crate::resolve::store::{Route, Stored};
use crate::resolve::world::World;

/// Whether the route is attached to a Gateway that counts. One that is not known may be Kong's.
pub(crate) fn is_attached(world: &World, route: &Route) -> bool {
    let gateways = &world.settings.gateways;
    route.place.parents.iter().filter_map(|parent| parent.gateway).any(|id| {
        if !gateways.is_empty() {
            let (_, namespace, name) = world.graph.key(id);
            return gateways.contains(&(namespace.to_owned(), name.to_owned()));
        }
        let Some(Stored::Gateway(gateway)) = world.graph.object(id) else { return true };
        let class = world.graph.object(gateway.class);
        !matches!(class, Some(Stored::GatewayClass { is_of_kong: false }))
    })
}

/// The host names of the listeners that the route is attached to (subtranslator/grpcroute.go of
/// Kong Operator), each once; `None` among them where a Gateway is not known or a listener has none
/// to give.
pub(crate) fn inherited_hostnames<'w>(world: &'w World, route: &'w Route) -> Vec<Option<&'w str>> {
    let mut hostnames = Vec::new();
    for parent in &route.place.parents {
        let gateway = parent.gateway.and_then(|id| world.graph.object(id));
        let Some(Stored::Gateway(gateway)) = gateway else {
            hostnames.push(None);
            continue;
        };
        let section = parent.section.as_ref();
        let attached =
            gateway.listeners.iter().filter(|one| section.is_none_or(|own| *own == one.name));
        hostnames.extend(attached.filter_map(|one| one.hostname.as_deref()).map(Some));
    }
    hostnames.sort_unstable();
    hostnames.dedup();
    if hostnames.is_empty() {
        hostnames.push(None);
    }
    hostnames
}
