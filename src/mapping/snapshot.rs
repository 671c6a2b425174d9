//! One consistent state of the mapping: exact Kong names to Kubernetes Services.

use std::collections::HashMap;
use std::sync::Arc;

/// What one Kong service name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The Services behind it, in the route's order, each (namespace, service, port) once.
    pub backends: Vec<Backend>,
    /// The objects it was made from.
    pub owners: Vec<Owner>,
}

/// A Kubernetes Service behind a Kong service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The port, if known.
    pub port: Option<Port>,
    /// The weight, if given.
    pub weight: Option<u32>,
}

/// A Service port, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// An object that a Kong service was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The index of the rule, for routes.
    pub rule: Option<u32>,
}

/// The kinds of objects that Kong services are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    Ingress,
    HTTPRoute,
    GRPCRoute,
    TCPRoute,
    TLSRoute,
    UDPRoute,
    KongServiceFacade,
    KongService,
}

/// One consistent state of the mapping. Never changes once made; a change is a new one.
#[derive(Debug, Default)]
pub struct Snapshot {
    services: HashMap<String, Arc<Entry>>,
}

impl Snapshot {
    /// The entry of exactly this Kong service.
    pub fn service(&self, name: &str) -> Option<&Entry> {
        self.services.get(name).map(Arc::as_ref)
    }
}
