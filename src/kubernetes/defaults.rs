//! What an API server fills in, for manifests that none has seen.
//!
//! In: an object as a user writes it. Out: the same as `kubectl get` would show it, as far as it is
//! read. The defaults are those of the CRDs of Gateway API 1.x and of Kong Operator 2.3.

use super::object::{Object, Spec};
use super::types::{BackendRef, ControlPlaneSpec, RouteSpec};

/// Fills in what is absent. An object that is complete stays as it is. `api_version` is the
/// manifest's: a ControlPlane of v1beta1 has no default to fill in.
pub fn fill(object: &mut Object, api_version: &str) {
    match &mut object.spec {
        Spec::HTTPRoute(route)
        | Spec::GRPCRoute(route)
        | Spec::TCPRoute(route)
        | Spec::TLSRoute(route)
        | Spec::UDPRoute(route) => fill_route(route),
        Spec::ControlPlane(control_plane) if api_version.ends_with("/v2beta1") => {
            fill_control_plane(control_plane);
        }
        _ => {}
    }
}

fn fill_route(route: &mut RouteSpec) {
    for backend in route.rules.iter_mut().flat_map(|rule| &mut rule.backend_refs) {
        fill_backend(backend);
    }
}

fn fill_backend(BackendRef { group, kind, weight, .. }: &mut BackendRef) {
    group.get_or_insert_default();
    kind.get_or_insert_with(|| "Service".to_owned());
    weight.get_or_insert(1);
}

fn fill_control_plane(control_plane: &mut ControlPlaneSpec) {
    control_plane.translation.combined_services.get_or_insert_with(|| "enabled".to_owned());
}
