//! One consistent state of the mapping: exact Kong names to Kubernetes Services.
//!
//! In: names with their [`Entry`], and the state before. Out: a [`Snapshot`] that answers by name.
//! The one decision: a name that vanished keeps its last meaning for an hour ([`RETENTION`]),
//! because Kong's counters outlive the route. The clock is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::mapping::table::{Builder, Row, Table};
use crate::mapping::{BackendRef, Label, OwnerRef, PortRef, Tier, merge, name};

/// How long a name that vanished from the mapping keeps its last meaning.
pub const RETENTION: Duration = Duration::from_secs(60 * 60);

/// What one Kong service name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The Services behind it, in the route's order. Where (namespace, service, port) repeats, the
    /// snapshot keeps the first and adds the weights.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
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

/// One consistent state of the mapping. Never changes once made; a change is a new one. A clone
/// shares the entries.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    exact: Arc<Table<()>>,
    /// Names that vanished, each with the time when it did. None of them is in `exact`.
    retained: Arc<Table<Instant>>,
}

/// What a snapshot holds for one name, borrowed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The Services behind it, each (namespace, service, port) once.
    pub backends: Vec<BackendRef<'a>>,
    /// The objects it was made from, in the order they were given.
    pub owners: Vec<OwnerRef<'a>>,
}

impl Snapshot {
    /// The entry of this name, and whether it is there now ([`Tier::Exact`]) or was until less than
    /// an hour ago ([`Tier::Retained`]).
    ///
    /// A snapshot holds names of Kong services. An upstream has the same name, but for a possible
    /// `.invalid` at its end and for Ingresses, whose `<namespace>.<service>.<port>` has the
    /// upstream `<service>.<namespace>.<port>.svc`.
    pub fn find(&self, label: Label, name: &str) -> Option<(EntryRef<'_>, Tier)> {
        let Label::Upstream = label else { return self.find_any(&[name]) };
        let name = name::without_invalid(name);
        if let Some([ingress, udp_ingress]) = name::services_of_upstream(name) {
            return self.find_any(&[&ingress, &udp_ingress, name]);
        }
        let is_ingress = matches!(name::decode(Label::Service, name), Ok(name::Form::Service(_)));
        if is_ingress { None } else { self.find_any(&[name]) }
    }

    /// The names that are there now with their entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, EntryRef<'_>)> {
        self.exact.rows().map(|row| (row.name(), EntryRef::of(&row)))
    }

    /// How many names are there now.
    pub fn len(&self) -> usize {
        self.exact.len()
    }

    /// Whether no name is there now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many names vanished less than an hour ago.
    pub fn retained_len(&self) -> usize {
        self.retained.len()
    }

    /// This state as the one that follows `previous` at the time `now`: what `previous` held and
    /// this one does not is retained, from now on or from when it vanished. Names that `self`
    /// retained by itself are dropped; a state made from entries has none.
    #[must_use]
    pub fn succeed(self, previous: &Self, now: Instant) -> Self {
        let mut retained = Builder::new();
        for row in previous.exact.rows().filter(|row| self.exact.get(row.name()).is_none()) {
            retained.insert(row.name(), row.backends(), row.owners(), now);
        }
        for row in previous.retained.rows().filter(|row| !is_over(row, now)) {
            if self.exact.get(row.name()).is_none() {
                retained.insert(row.name(), row.backends(), row.owners(), *row.beside());
            }
        }
        Self { exact: self.exact, retained: Arc::new(retained.build()) }
    }

    /// This state without the names whose hour is over at the time `now`; `None` where there are
    /// none such. For a mapping that does not change any more.
    #[must_use]
    pub fn forget(&self, now: Instant) -> Option<Self> {
        if !self.retained.rows().any(|row| is_over(&row, now)) {
            return None;
        }
        Some(self.clone().succeed(self, now))
    }

    fn find_any(&self, names: &[&str]) -> Option<(EntryRef<'_>, Tier)> {
        let exact = names.iter().find_map(|name| self.exact.get(name));
        let exact = exact.map(|row| (EntryRef::of(&row), Tier::Exact));
        exact.or_else(|| {
            let retained = names.iter().find_map(|name| self.retained.get(name));
            retained.map(|row| (EntryRef::of(&row), Tier::Retained))
        })
    }
}

/// Of two entries of one name the later one counts.
impl FromIterator<(String, Entry)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        let mut table = Builder::new();
        for (name, entry) in entries {
            let backends = merge(entry.backends.iter().map(Backend::borrow));
            table.insert(&name, backends, entry.owners.iter().map(Owner::borrow), ());
        }
        Self { exact: Arc::new(table.build()), retained: Arc::default() }
    }
}

impl Backend {
    fn borrow(&self) -> BackendRef<'_> {
        BackendRef {
            namespace: &self.namespace,
            service: &self.service,
            port: self.port.as_ref().map(|port| match port {
                Port::Number(number) => PortRef::Number(*number),
                Port::Name(name) => PortRef::Name(name),
            }),
            weight: self.weight,
        }
    }
}

impl Owner {
    fn borrow(&self) -> OwnerRef<'_> {
        OwnerRef {
            kind: self.kind,
            namespace: &self.namespace,
            name: Some(&self.name),
            rule: self.rule,
        }
    }
}

impl<'a> EntryRef<'a> {
    fn of<T>(row: &Row<'a, T>) -> Self {
        Self { backends: row.backends().collect(), owners: row.owners().collect() }
    }
}

impl Kind {
    /// The kind as Kubernetes spells it: `HTTPRoute`.
    pub fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// The kind in lower case, as labels and Kong's names have it: `httproute`.
    pub fn lower(self) -> &'static str {
        self.texts().1
    }

    /// The group and version that Kong's controllers read it in: `gateway.networking.k8s.io/v1`.
    pub fn api_version(self) -> &'static str {
        self.texts().2
    }

    /// Whether some controller appends the host name to the route's name in Kong's names.
    pub(crate) fn may_glue_hostname(self) -> bool {
        matches!(self, Self::HTTPRoute | Self::GRPCRoute)
    }

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        const GATEWAY_V1: &str = "gateway.networking.k8s.io/v1";
        const GATEWAY_V1ALPHA2: &str = "gateway.networking.k8s.io/v1alpha2";
        const FACADE: &str = "incubator.ingress-controller.konghq.com/v1alpha1";
        const KONG: &str = "configuration.konghq.com/v1alpha1";
        match self {
            Self::Ingress => ("Ingress", "ingress", "networking.k8s.io/v1"),
            Self::HTTPRoute => ("HTTPRoute", "httproute", GATEWAY_V1),
            Self::GRPCRoute => ("GRPCRoute", "grpcroute", GATEWAY_V1),
            Self::TCPRoute => ("TCPRoute", "tcproute", GATEWAY_V1ALPHA2),
            Self::TLSRoute => ("TLSRoute", "tlsroute", GATEWAY_V1ALPHA2),
            Self::UDPRoute => ("UDPRoute", "udproute", GATEWAY_V1ALPHA2),
            Self::KongServiceFacade => ("KongServiceFacade", "kongservicefacade", FACADE),
            Self::KongService => ("KongService", "kongservice", KONG),
        }
    }
}

fn is_over(row: &Row<'_, Instant>, now: Instant) -> bool {
    now.saturating_duration_since(*row.beside()) >= RETENTION
}
