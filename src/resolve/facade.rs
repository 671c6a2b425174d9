//! KongServiceFacades: `<namespace>.<facade>.svc.facade` (subtranslator/ingress.go), claimed by the
//! Ingresses that send to one.

use crate::resolve::backend::{self, Found};
use crate::resolve::graph::Id;
use crate::resolve::store::{Facade, Stored};
use crate::resolve::world::World;

/// The name of the Kong service of a facade.
pub(crate) fn name(world: &World, facade: Id) -> String {
    let (_, namespace, name) = world.graph.key(facade);
    format!("{namespace}.{name}.svc.facade")
}

/// The Service behind a facade; `None` where the facade is not known or of a foreign class: Kong's
/// controllers make no Kong service then.
pub(crate) fn backends(world: &World, facade: Id) -> Option<Vec<Found>> {
    let Some(Stored::Facade(facade)) = world.graph.object(facade) else { return None };
    let Facade { class, service, port } = &**facade;
    world
        .classes
        .accept(class.as_deref())
        .then(|| backend::of_service(world, *service, port.and_then(backend::number)))
}
