//! From the name that Kong prints to what it stands for in Kubernetes.
//!
//! In: a [`Snapshot`] (exact names, from whatever source `--mapping` names) and one Kong service or
//! upstream name. Out: a [`Resolution`]. First hit wins: the exact entry, then what the name says
//! by itself ([`name`]), then unknown. Everything here is pure; the rim re-reads files and stores
//! new snapshots into [`Current`].

use std::fmt;

use smallvec::smallvec;

mod buckets;
pub mod current;
pub mod entry;
pub mod file;
pub mod kind;
pub mod name;
pub mod shards;
mod shown;
pub mod snapshot;
mod table;

pub use current::Current;
pub use entry::{Backend, BackendRef, Backends, Entry, Owner, OwnerRef, Owners, Port, PortRef};
pub use kind::Kind;
pub use name::owner_for_route;
pub use shown::{Known, Shown};
pub use snapshot::Snapshot;

use entry::{EntryRef, merge};
use name::Form;

/// What `name`, read from `label`, stands for: first hit of the exact entry, the entry of a name
/// that vanished less than an hour ago, what the name says by itself.
pub fn resolve<'a>(snapshot: &'a Snapshot, label: Label, name: &'a str) -> Resolution<'a> {
    let (target, tier) = match snapshot.find(label, name) {
        Some((entry, tier)) => (target_of_entry(entry, label, name), tier),
        None => (target_of_name(label, name), Tier::Decoded),
    };
    let tier = (!matches!(target, Target::Unknown(_))).then_some(tier);
    Resolution { target, tier }
}

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
        backends: Backends<'a>,
    },
    /// No single Service: several behind one rule, none at all, or a name that tells only its route.
    Route {
        /// Who owns the Kong service. Sorted by kind, namespace, name, rule. Empty where the
        /// mapping lists several Services without an owner and the name tells none either.
        owners: Owners<'a>,
        /// The Services behind it; empty where they are not known or where there are none.
        backends: Backends<'a>,
        /// Whether `backends` is all there is. False where the name told only the route, or was
        /// cut to 511 bytes.
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
    /// The name can be read in more than one way: a GRPCRoute's name with dots may end in a host
    /// name. HTTPRoute names with dots are not ambiguous: only Kong's controllers up to 3.3 with the
    /// expressions router put host names there.
    Ambiguous,
    /// The mapping has an entry, but neither backends nor owners in it.
    EmptyEntry,
    /// Longer than the 511 bytes Kong's controllers ever write.
    TooLong,
}

impl Tier {
    /// One word, for JSON and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Retained => "retained",
            Self::Decoded => "decoded",
        }
    }
}

/// A sentence for people.
impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "the mapping has an entry for this name",
            Self::Retained => {
                "the mapping had an entry for this name until less than an hour ago; Kong still \
                 counts under it"
            }
            Self::Decoded => "the mapping has no entry for this name; the name itself says it",
        })
    }
}

impl Why {
    /// One word, for JSON and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEntry => "no_entry",
            Self::Facade => "facade",
            Self::Hybrid => "hybrid",
            Self::NoBackends => "no_backends",
            Self::Ambiguous => "ambiguous",
            Self::EmptyEntry => "empty_entry",
            Self::TooLong => "too_long",
        }
    }
}

/// A sentence for people: what is the matter, and what would help.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEntry => {
                "the mapping has no entry for this name, and the name is of no form that tells a \
                 Service or a route; add an entry for it"
            }
            Self::Facade => {
                "this is a KongServiceFacade: its name does not tell the Service behind it, and \
                 the mapping has no entry for it"
            }
            Self::Hybrid => {
                "this is a Konnect hybrid name: it does not tell all Services behind it, and the \
                 mapping has no entry for it"
            }
            Self::NoBackends => {
                "this HTTPRoute rule has no backends: Kong answers such requests itself"
            }
            Self::Ambiguous => {
                "the name of this GRPCRoute has dots: it may end in a host name, so the route \
                 cannot be told; only an entry in the mapping can"
            }
            Self::EmptyEntry => {
                "the mapping has an entry for this name, but it lists neither backends nor owners"
            }
            Self::TooLong => {
                "the mapping has no entry for this name, and it is longer than the 511 bytes that \
                 Kong's controllers write at most"
            }
        })
    }
}

fn target_of_entry<'a>(entry: EntryRef<'a>, label: Label, name: &'a str) -> Target<'a> {
    let EntryRef { backends, mut owners } = entry;
    if backends.is_empty() && owners.is_empty() {
        return Target::Unknown(Why::EmptyEntry);
    }
    if owners.is_empty() {
        owners.extend(owner_in_name(label, name));
    }
    service_or_route(backends, owners, true)
}

fn target_of_name(label: Label, name: &str) -> Target<'_> {
    let form = match name::decode(label, name) {
        Ok(form) => form,
        Err(why) => return Target::Unknown(why),
    };
    let owners = owner_in_form(&form).into_iter().collect();
    match form {
        Form::Service(backend) => service_or_route(smallvec![backend], owners, true),
        Form::Combined { backends, complete: true, .. } if backends.is_empty() => {
            Target::Unknown(Why::NoBackends)
        }
        Form::Combined { backends, complete, .. } => {
            service_or_route(merge(backends.iter()), owners, complete)
        }
        Form::Rule { .. } if owners.is_empty() => Target::Unknown(Why::Ambiguous),
        Form::Rule { .. } => Target::Route { owners, backends: Backends::new(), complete: false },
        Form::Facade { .. } => Target::Unknown(Why::Facade),
        Form::Hybrid => Target::Unknown(Why::Hybrid),
    }
}

/// The Service where it is the only one, else the route. A list that is not complete never tells
/// the Service.
fn service_or_route<'a>(
    backends: Backends<'a>,
    mut owners: Owners<'a>,
    complete: bool,
) -> Target<'a> {
    if let Some(first) = backends.first().filter(|_| complete) {
        let BackendRef { namespace, service, .. } = *first;
        if backends.iter().all(|b| (b.namespace, b.service) == (namespace, service)) {
            return Target::Service { namespace, service, backends };
        }
    }
    owners.sort_unstable();
    owners.dedup();
    Target::Route { owners, backends, complete }
}

fn owner_in_name(label: Label, name: &str) -> Option<OwnerRef<'_>> {
    name::decode(label, name).ok().as_ref().and_then(owner_in_form)
}

/// The route that the name tells, if it can be told.
fn owner_in_form<'a>(form: &Form<'a>) -> Option<OwnerRef<'a>> {
    match *form {
        Form::Combined { route_namespace: namespace, .. } => {
            Some(OwnerRef { kind: Kind::HTTPRoute, namespace, name: None, rule: None })
        }
        Form::Rule { kind, namespace, name, rule, .. } => {
            let is_ambiguous = kind == Kind::GRPCRoute && form.may_hold_hostname();
            let owner = OwnerRef { kind, namespace, name: Some(name), rule: Some(rule) };
            (!is_ambiguous).then_some(owner)
        }
        Form::Facade { namespace, facade } => Some(OwnerRef {
            kind: Kind::KongServiceFacade,
            namespace,
            name: Some(facade),
            rule: None,
        }),
        Form::Service(_) | Form::Hybrid => None,
    }
}
