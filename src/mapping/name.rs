//! What a Kong name says by itself.
//!
//! In: one Kong service or upstream name. Out: its [`Form`], whose parts borrow from the name. The
//! one decision: the forms are tried in a fixed order and the first that fits in every byte wins;
//! a name that fits none says nothing. Nothing is allocated.
//!
//! The templates are those of Kong's controllers (Kubernetes Ingress Controller 2.11 to 3.5, Kong
//! Operator 2.0 to 2.3); the functions below name the source file of each.

use std::iter;
use std::str::FromStr;

use crate::mapping::{BackendRef, Kind, Label, OwnerRef, PortRef, Why};

/// The longest name that Kong's controllers write: `maxKongServiceNameLength`, 512 - 1.
pub const MAX_BYTES: usize = 511;

/// A Kong name, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form<'a> {
    /// `<namespace>.<service>.<port>` of an Ingress, TCPIngress or Knative Ingress, the same with
    /// `.udp` of a UDPIngress, or `<service>.<namespace>.<port>.svc`, their upstream. Exactly this
    /// one Service.
    ///
    /// Three pieces are all there is to see, so a name that somebody chose by hand, such as
    /// `api.example.com`, reads as Service `example` in namespace `api`. An entry in the mapping
    /// (one without backends and owners, too) takes precedence.
    Service(BackendRef<'a>),
    /// `httproute.<namespace>.svc.<backend>_<backend>…`: the rules of any HTTPRoutes of one
    /// namespace that have the same backends.
    Combined {
        /// The namespace of the HTTPRoutes; their names are not told.
        route_namespace: &'a str,
        /// The backends in the name's order, also those that do not exist or are not granted.
        backends: Listed<'a>,
        /// False where the name was cut to 511 bytes and ends in a hash: more backends follow.
        complete: bool,
        /// The `backendRequest` timeout in milliseconds, where it split the rules into groups.
        timeout_ms: Option<u64>,
    },
    /// `<kind>.<namespace>.<name>.<rule>`: a rule of a route. Which Services is not told.
    Rule {
        /// One of the five route kinds.
        kind: Kind,
        /// The route's namespace.
        namespace: &'a str,
        /// The route's name; may end in a host name, see [`Form::may_hold_hostname`].
        name: &'a str,
        /// The host name behind the route's name where it can be told apart: `_` stands for none
        /// or for `*`.
        hostname: Option<&'a str>,
        /// The index of the rule (of the first one, where rules were put together).
        rule: u32,
    },
    /// `<namespace>.<facade>.svc.facade`: a KongServiceFacade.
    Facade {
        /// Its namespace.
        namespace: &'a str,
        /// Its name, which may have dots.
        facade: &'a str,
    },
    /// `<protocol>.<namespace>-<service>-<port>.<n>.cp<hash>.<hash>` of Kong Operator for Konnect.
    /// Namespace and Service cannot be told apart, and other backends are only in the hash.
    Hybrid,
}

/// The backends in a combined name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a>(&'a str);

impl<'a> Listed<'a> {
    /// Each of them, in the name's order.
    pub fn iter(self) -> impl Iterator<Item = BackendRef<'a>> {
        let mut rest = Some(self.0);
        iter::from_fn(move || {
            let (first, behind) = first_backend(rest?)?;
            rest = behind;
            Some(first)
        })
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl Form<'_> {
    /// Whether the route's name may be a shorter name and a host name. True for dotted names of
    /// HTTPRoutes (controllers up to 3.3 with the expressions router) and GRPCRoutes (the
    /// expressions router of every version) unless `_` marks where the host name starts.
    pub fn may_hold_hostname(&self) -> bool {
        match self {
            Self::Rule { kind, name, hostname, .. } => {
                kind.may_glue_hostname() && hostname.is_none() && name.contains('.')
            }
            _ => false,
        }
    }
}

/// Reads a name. [`Why::TooLong`] where it is longer than [`MAX_BYTES`], [`Why::NoEntry`] where it
/// has no known form.
///
/// The order settles what more than one form could read. `httproute.default.svc.default.echo.80.1`
/// is a combined name, not rule 1 of an HTTPRoute `svc.default.echo.80`; `httproute.a.80` is a
/// Service in a namespace `httproute`, for a route has four pieces.
pub fn decode(label: Label, name: &str) -> Result<Form<'_>, Why> {
    let name = match label {
        Label::Service => name,
        Label::Upstream => without_invalid(name),
    };
    if name.len() > MAX_BYTES {
        return Err(Why::TooLong);
    }
    let own_forms = || match label {
        Label::Service => udp_service(name).or_else(|| service(name)),
        Label::Upstream => upstream_service(name),
    };
    facade(name)
        .or_else(|| combined(name))
        .or_else(|| rule(name))
        .or_else(own_forms)
        .or_else(|| hybrid(name))
        .ok_or(Why::NoEntry)
}

/// The upstream's name without the `.invalid` that Kong Operator 2.2 and later append where no
/// backend is valid. The service's name never has it.
pub(crate) fn without_invalid(upstream: &str) -> &str {
    upstream.strip_suffix(".invalid").unwrap_or(upstream)
}

/// The Kong service names whose upstream is `<service>.<namespace>.<port>.svc`: that of an Ingress
/// or TCPIngress, and that of a UDPIngress. `None` where `upstream` has another form.
pub(crate) fn services_of_upstream(upstream: &str) -> Option<[String; 2]> {
    let [service, namespace, port, "svc"] = pieces(upstream)? else { return None };
    Some([format!("{namespace}.{service}.{port}"), format!("{namespace}.{service}.{port}.udp")])
}

/// Which owner of a Kong service a line belongs to, by its `route` label
/// (`<kind>.<namespace>.<name>[.<host name>].<rule>.<match>`).
///
/// Of the owners whose `<kind>.<namespace>.<name>.` starts the label and leaves at least a rule and
/// a match, the longest wins; of several rules of that route, the rule that the label tells. `None`
/// where none fits, and for kinds whose Kong routes do not tell the kind (Ingress, facades).
pub fn owner_for_route<'o, 'a>(
    owners: &'o [OwnerRef<'a>],
    route_label: &str,
) -> Option<&'o OwnerRef<'a>> {
    let mut best: Option<(usize, bool, &OwnerRef<'_>)> = None;
    for owner in owners {
        let Some((fit, rule)) = fit_of_owner(owner, route_label) else { continue };
        let same_rule = owner.rule == Some(rule);
        if best.is_none_or(|(longest, found, _)| (fit, same_rule) > (longest, found)) {
            best = Some((fit, same_rule, owner));
        }
    }
    best.map(|(_, _, owner)| owner)
}

/// How many bytes of the owner's name the label starts with, and the label's rule.
fn fit_of_owner(owner: &OwnerRef<'_>, route_label: &str) -> Option<(usize, u32)> {
    if !ROUTE_KINDS.contains(&owner.kind) {
        return None;
    }
    let name = owner.name?;
    let rest = strip_piece(route_label, owner.kind.lower())?;
    let rest = strip_piece(strip_piece(rest, owner.namespace)?, name)?;
    let (before, matched) = rest.rsplit_once('.')?;
    number::<u32>(matched)?;
    let (hostname, rule) = match before.rsplit_once('.') {
        Some((hostname, rule)) => (Some(hostname), rule),
        None => (None, before),
    };
    if hostname.is_some() && !owner.kind.may_glue_hostname() {
        return None;
    }
    Some((name.len(), number(rule)?))
}

/// `<namespace>.<facade>.svc.facade` (subtranslator/ingress.go, translate_ingress.go).
fn facade(name: &str) -> Option<Form<'_>> {
    let (namespace, facade) = name.strip_suffix(".svc.facade")?.split_once('.')?;
    (is_label(namespace) && is_subdomain(facade)).then_some(Form::Facade { namespace, facade })
}

/// `httproute.<namespace>.svc.<rest>` (subtranslator/httproute.go).
fn combined(name: &str) -> Option<Form<'_>> {
    let (route_namespace, rest) = strip_piece(name, "httproute")?.split_once('.')?;
    let rest = strip_piece(rest, "svc")?;
    if !is_label(route_namespace) {
        return None;
    }
    // A Service named `timeout` ends like a timeout: `web.timeout.80`. What is left without it is
    // then no backend, so at most one of the two readings fits.
    let (list, timeout_ms) = without_timeout(rest);
    let (timeout_ms, (backends, complete)) = match backends(list) {
        Some(read) => (timeout_ms, read),
        None => (None, backends(rest)?),
    };
    Some(Form::Combined { route_namespace, backends, complete, timeout_ms })
}

/// Splits off `.timeout.<milliseconds>` (Kong Operator 2.3).
fn without_timeout(rest: &str) -> (&str, Option<u64>) {
    let split = rest.rsplit_once('.').and_then(|(before, milliseconds)| {
        Some((before.strip_suffix(".timeout")?, number(milliseconds)?))
    });
    match split {
        Some((list, milliseconds)) => (list, Some(milliseconds)),
        None => (rest, None),
    }
}

/// `_` for none, or backends joined by `_`, and whether these are all.
fn backends(list: &str) -> Option<(Listed<'_>, bool)> {
    if list == "_" {
        return Some((Listed(""), true));
    }
    // The hash has 64 digits, one more than a Service's name can have: no backend ends like this.
    let cut = list.rsplit_once('.').and_then(|(before, hash)| {
        let is_hash =
            hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        before.strip_suffix("_combined").filter(|_| is_hash)
    });
    let listed = cut.unwrap_or(list);
    let mut rest = Some(listed);
    while let Some(text) = rest {
        (_, rest) = first_backend(text)?;
    }
    Some((Listed(listed), cut.is_none()))
}

/// `<namespace>.<service>[.<port>[.<weight>]]` at the beginning of a list, and what follows behind
/// the `_`.
fn first_backend(list: &str) -> Option<(BackendRef<'_>, Option<&str>)> {
    let (namespace, rest) = list.split_at_checked(label_len(list))?;
    let rest = rest.strip_prefix('.')?;
    let (service, rest) = rest.split_at_checked(label_len(rest))?;
    if !(is_label(namespace) && is_label(service)) {
        return None;
    }
    let (port, rest) = match next_number(rest) {
        Some((port, rest)) => (Some(port_number(port)?), rest),
        None => (None, rest),
    };
    let (weight, rest) = match next_number(rest).filter(|_| port.is_some()) {
        Some((weight, rest)) => (Some(number(weight)?), rest),
        None => (None, rest),
    };
    let behind = match rest {
        "" => None,
        rest => Some(rest.strip_prefix('_')?),
    };
    let port = port.map(PortRef::Number);
    Some((BackendRef { namespace, service, port, weight }, behind))
}

/// What may be a number behind a dot, and what follows it.
fn next_number(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('.')?;
    text.split_at_checked(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// How many bytes at the beginning may be those of a label.
fn label_len(text: &str) -> usize {
    text.bytes().take_while(|b| is_of_label(*b)).count()
}

/// `<kind>.<namespace>.<name>.<rule>` (translate_utils.go, service_names.go; with the host name
/// subtranslator/grpcroute_atc.go, and httproute_atc.go up to 3.3).
fn rule(name: &str) -> Option<Form<'_>> {
    let (kind, rest) = ROUTE_KINDS
        .into_iter()
        .find_map(|kind| strip_piece(name, kind.lower()).map(|rest| (kind, rest)))?;
    let (namespace, rest) = rest.split_once('.')?;
    let (object, rule) = rest.rsplit_once('.')?;
    // Names of Kubernetes objects have no `_`; here it stands for `*` or for no host name.
    let (object, hostname) = match object.find("._") {
        Some(at) if kind.may_glue_hostname() => {
            let (object, hostname) = object.split_at(at);
            (object, hostname.strip_prefix('.'))
        }
        _ => (object, None),
    };
    let hostname_fits = hostname
        .is_none_or(|host| host == "_" || host.strip_prefix("_.").is_some_and(is_subdomain));
    if !(is_label(namespace) && is_subdomain(object) && hostname_fits) {
        return None;
    }
    Some(Form::Rule { kind, namespace, name: object, hostname, rule: number(rule)? })
}

/// `<namespace>.<service>.<port number>.udp` (translate_kong_l4.go, UDPIngress).
fn udp_service(name: &str) -> Option<Form<'_>> {
    let [namespace, service, port, "udp"] = pieces(name)? else { return None };
    port_number(port)?;
    service_with_port(namespace, service, port)
}

/// `<namespace>.<service>.<port>` (subtranslator/ingress.go; translate_kong_l4.go, TCPIngress).
fn service(name: &str) -> Option<Form<'_>> {
    let [namespace, service, port] = pieces(name)?;
    service_with_port(namespace, service, port)
}

/// `<service>.<namespace>.<port>.svc`: the upstream of the three forms above.
fn upstream_service(name: &str) -> Option<Form<'_>> {
    let [service, namespace, port, "svc"] = pieces(name)? else { return None };
    service_with_port(namespace, service, port)
}

fn service_with_port<'a>(namespace: &'a str, service: &'a str, port: &'a str) -> Option<Form<'a>> {
    if !(is_label(namespace) && is_label(service)) {
        return None;
    }
    let port = match port {
        // An Ingress without a port: `CanonicalString` of kongstate/types.go.
        "implicitPort" => None,
        port => Some(port_in_ingress(port)?),
    };
    Some(Form::Service(BackendRef { namespace, service, port, weight: None }))
}

/// A port as Ingress names spell it: `80`, `http`; `pnum-80`, `pname-http` in 2.x.
fn port_in_ingress(text: &str) -> Option<PortRef<'_>> {
    if let Some(number) = text.strip_prefix("pnum-").and_then(port_number) {
        return Some(PortRef::Number(number));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return port_number(text).map(PortRef::Number);
    }
    let name = text.strip_prefix("pname-").unwrap_or(text);
    is_label(name).then_some(PortRef::Name(name))
}

/// `^(http|grpc|tls|tcp|udp)\.….\d+\.cp[0-9a-f]{1,8}\.…` (hybridgateway/namegen/name.go).
fn hybrid(name: &str) -> Option<Form<'_>> {
    let (protocol, rest) = name.split_once('.')?;
    if !["http", "grpc", "tls", "tcp", "udp"].contains(&protocol) {
        return None;
    }
    let mut pieces = rest.split('.').skip(1);
    let mut before = pieces.next()?;
    while let Some(piece) = pieces.next() {
        let is_control_plane = piece.strip_prefix("cp").is_some_and(|hash| {
            matches!(hash.len(), 1..=8)
                && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if is_control_plane && number::<u32>(before).is_some() {
            return pieces.next().map(|_| Form::Hybrid);
        }
        before = piece;
    }
    None
}

/// `text` without its first piece, where that is `piece`.
fn strip_piece<'a>(text: &'a str, piece: &str) -> Option<&'a str> {
    text.strip_prefix(piece)?.strip_prefix('.')
}

/// The pieces between the dots, where there are exactly `N`.
fn pieces<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut split = text.split('.');
    let mut pieces = [""; N];
    for piece in &mut pieces {
        *piece = split.next()?;
    }
    split.next().is_none().then_some(pieces)
}

fn port_number(text: &str) -> Option<u16> {
    number(text).filter(|port| *port != 0)
}

/// A number as Go prints it: digits only, no zero in front.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// A DNS-1123 label, as namespaces, Services and port names are.
pub(crate) fn is_label(text: &str) -> bool {
    matches!(text.len(), 1..=63)
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(is_of_label)
}

fn is_of_label(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

/// A DNS-1123 subdomain, as the names of routes, Ingresses and facades are.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

const ROUTE_KINDS: [Kind; 5] =
    [Kind::HTTPRoute, Kind::GRPCRoute, Kind::TCPRoute, Kind::TLSRoute, Kind::UDPRoute];
