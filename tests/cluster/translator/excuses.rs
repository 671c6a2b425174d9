//! Why a name that the mapping has may be missing in Kong: objects in, a reason out. Whether a route
//! is attached to a listener, and whether each of its filters can be translated, does not change
//! what a name stands for, so the mapping does not ask: it has the name, and no metric ever has it.

use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use serde_json::Value;

use super::fixtures::CONTROLLER;
use super::judge::{Objects, text};
use super::stream::key_of;
use crate::admin::entries;

/// Why a name that these objects make is not there, if there is a reason.
pub(crate) fn excuse<'o>(
    objects: &Objects,
    owners: impl Iterator<Item = &'o Value>,
) -> Option<&'static str> {
    let owners: Vec<_> = owners.collect();
    // Of rules that share a name, one that cannot be translated takes the others with it.
    let refused = owners.iter().find_map(|object| refusal(object));
    if refused.is_some() {
        return refused;
    }
    let mut excuses = owners.iter().map(|object| detached(objects, object));
    let first = excuses.next()??;
    excuses.all(|excuse| excuse.is_some()).then_some(first)
}

/// Why a route is attached to no Gateway of Kong's; of others than routes there is no reason.
fn detached(objects: &Objects, route: &Value) -> Option<&'static str> {
    let kind = key_of(route).kind;
    let protocol = match kind {
        ObjectKind::HTTPRoute | ObjectKind::GRPCRoute => "HTTP",
        ObjectKind::TCPRoute => "TCP",
        ObjectKind::UDPRoute => "UDP",
        ObjectKind::TLSRoute => "TLS",
        _ => return None,
    };
    let has_listener = |parent: &Value| {
        let gateway =
            Key::new(ObjectKind::Gateway, text(&parent["namespace"]), text(&parent["name"]));
        let Some(gateway) = objects.get(&gateway) else { return false };
        let class =
            Key::new(ObjectKind::GatewayClass, "", text(&gateway["spec"]["gatewayClassName"]));
        let class = objects.get(&class);
        class.is_some_and(|class| class["spec"]["controllerName"] == CONTROLLER)
            && entries(&gateway["spec"]["listeners"]).iter().any(|listener| {
                let (section, port) = (&parent["sectionName"], &parent["port"]);
                listener["protocol"] == protocol
                    && (section.is_null() || *section == listener["name"])
                    && (port.is_null() || *port == listener["port"])
                    && serves(listener, entries(&route["spec"]["hostnames"]))
            })
    };
    let is_attached = entries(&route["spec"]["parentRefs"]).iter().any(has_listener);
    (!is_attached).then_some("no listener")
}

/// Why Kong Ingress Controller does not translate a route that is attached.
fn refusal(route: &Value) -> Option<&'static str> {
    let rules = || entries(&route["spec"]["rules"]);
    match key_of(route).kind {
        ObjectKind::HTTPRoute => {
            let mut filters = rules().iter().flat_map(|rule| entries(&rule["filters"]));
            filters.any(|one| one["type"] == "RequestMirror").then_some("RequestMirror")
        }
        ObjectKind::TLSRoute if entries(&route["spec"]["hostnames"]).is_empty() => {
            Some("TLSRoute without host names")
        }
        _ => None,
    }
}

/// Whether the listener takes requests for one of these hosts. The hosts of these tests are equal
/// or have nothing in common.
fn serves(listener: &Value, hostnames: &[Value]) -> bool {
    listener["hostname"].is_null()
        || hostnames.is_empty()
        || hostnames.contains(&listener["hostname"])
}
