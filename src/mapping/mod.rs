//! From the name that Kong prints to what it stands for in Kubernetes.
//!
//! In: a [`Snapshot`] (exact names, from whatever source `--mapping` names) and one Kong service or
//! upstream name. Out: a [`Resolution`]. First hit wins: the exact entry, then what the name says
//! by itself ([`name`]), then unknown. Everything here is pure; the rim re-reads files and stores
//! new snapshots into [`Current`].

pub mod current;
pub mod file;
pub mod name;
pub mod snapshot;

pub use current::Current;
pub use snapshot::{Backend, Entry, Kind, Owner, Port, Snapshot};

/// Which label of a sample a name was read from. The two are different name spaces in Kong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// `service`: the name of a Kong service.
    Service,
    /// `upstream` of `kong_upstream_target_health`: the name of a Kong upstream.
    Upstream,
}

/// What a name stands for, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// What it stands for.
    pub target: Target<'a>,
    /// Where the answer comes from. `None` for [`Target::Unknown`].
    pub tier: Option<Tier>,
}

/// What a Kong name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// Exactly one Kubernetes Service (named twice in one rule still counts as one).
    Service {
        /// The Service's namespace.
        namespace: &'a str,
        /// The Service's name.
        service: &'a str,
        /// Its backends as configured: one, or more where the same Service is named with several ports.
        backends: Vec<BackendRef<'a>>,
    },
    /// No single Service: several behind one rule, none at all, or a name that tells only its route.
    Route {
        /// Who owns the Kong service; at least one. Sorted by kind, namespace, name, rule.
        owners: Vec<OwnerRef<'a>>,
        /// The Services behind it; empty where they are not known or where there are none.
        backends: Vec<BackendRef<'a>>,
        /// Whether `backends` is all there is. False where the name told only the route.
        complete: bool,
    },
    /// Neither the snapshot nor the name itself tells.
    Unknown(Why),
}

/// Where a resolution comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The snapshot holds this very name.
    Exact,
    /// The snapshot held this name until less than an hour ago (Kong's counters outlive the route).
    Retained,
    /// The name itself says it.
    Decoded,
}

/// Why a name stands for nothing. Shown by `/mapping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Not in the mapping, and of no form that tells a Service or a route.
    NoEntry,
    /// A KongServiceFacade: only the mapping can tell the Service behind it.
    Facade,
    /// A Konnect hybrid name: only the mapping can tell.
    Hybrid,
    /// A combined rule without backends.
    NoBackends,
    /// The name can be read in more than one way (a GRPCRoute or old HTTPRoute name with a host name in it).
    Ambiguous,
    /// The mapping has an entry, but neither backends nor owners in it.
    EmptyEntry,
    /// Longer than the 511 bytes Kong's controllers ever write.
    TooLong,
}

/// One backend, borrowed from the snapshot or from the name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRef<'a> {
    /// The Service's namespace.
    pub namespace: &'a str,
    /// The Service's name.
    pub service: &'a str,
    /// The port as the route names it, if it does.
    pub port: Option<PortRef<'a>>,
    /// The weight, if the route gives one (the Gateway API's default is 1).
    pub weight: Option<u32>,
}

/// A Service port, by number or by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRef<'a> {
    /// By number.
    Number(u16),
    /// By name.
    Name(&'a str),
}

/// The route (or Ingress, facade, KongService) that a Kong service was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerRef<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name; `None` where a combined name gives only the namespace.
    pub name: Option<&'a str>,
    /// The rule's index, if known.
    pub rule: Option<u32>,
}
