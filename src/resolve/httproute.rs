//! HTTPRoutes: `httproute.<namespace>.svc.<backends>` or `httproute.<namespace>.<name>.<rule>`
//! (subtranslator/httproute.go).
//!
//! Combined, all rules of one namespace with the same backends are one Kong service, named after
//! the backends. Separate, the rules of one route with the same backends are, named after the
//! first of them.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::mapping::Label;
use crate::mapping::name::{Form, MAX_BYTES, decode};
use crate::resolve::claim::{Claim, Claims, Way};
use crate::resolve::graph::Id;
use crate::resolve::store::{Ref, Route, Rule};
use crate::resolve::world::World;

/// The names that the route claims.
pub(crate) fn claims(world: &World, object: Id, route: &Route, claims: &mut Claims) {
    let forms = world.forms;
    // The traditional router cannot look at query parameters: translate_httproute.go.
    if !forms.expressions && route.matches_query_params {
        return;
    }
    let (_, namespace, name) = world.graph.key(object);
    for (rule, number) in route.rules.iter().zip(0..) {
        if !claims.wants(number) {
            continue;
        }
        if forms.combined {
            let claim = Claim { object, rule: number, way: Way::Combined };
            claims.push(combined_name(world, namespace, &rule.refs), claim);
        }
        if forms.separate {
            let same_refs = first_of(route, number, |other| have_same_refs(rule, other));
            let same_timeout = first_of(route, number, |other| {
                rule.timeout == other.timeout && have_same_refs(rule, other)
            });
            let kic = forms.kic.then_some(same_refs);
            let operator = forms.operator.then_some(same_timeout).filter(|one| Some(*one) != kic);
            for first in [kic, operator].into_iter().flatten() {
                let base = format!("httproute.{namespace}.{name}.{first}");
                if !(forms.combined && is_derived_from_combined(&base)) {
                    claims.push(base, Claim { object, rule: number, way: Way::Own });
                }
            }
        }
    }
}

/// The name of a group of combined rules whose timeout is to be told, and the name as Kong has it.
pub(crate) fn with_timeout(world: &World, base: &str, refs: &[Ref], timeout: u64) -> String {
    shortened(world, &format!("{base}.timeout.{timeout}"), refs).into_owned()
}

/// The combined name as Kong has it: not longer than [`MAX_BYTES`], or else the first backend and a
/// hash of all.
pub(crate) fn shortened<'n>(world: &World, name: &'n str, refs: &[Ref]) -> Cow<'n, str> {
    if name.len() <= MAX_BYTES {
        return name.into();
    }
    let mut short = String::new();
    // `httproute.<namespace>.svc.` is in front of the backends.
    for piece in name.splitn(4, '.').take(3) {
        short.push_str(piece);
        short.push('.');
    }
    short.push_str(&backend_names(world, refs).into_iter().next().unwrap_or_default());
    short.push_str("_combined.");
    for byte in Sha256::digest(name.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(short, "{byte:02x}");
    }
    short.into()
}

/// `httproute.<namespace>.svc.<backend>_<backend>…`, however long.
fn combined_name(world: &World, namespace: &str, refs: &[Ref]) -> String {
    if refs.is_empty() {
        return format!("httproute.{namespace}.svc._");
    }
    format!("httproute.{namespace}.svc.{}", backend_names(world, refs).join("_"))
}

/// `<namespace>.<service>[.<port>][.<weight>]` of each, sorted. Also those that do not exist, are
/// not granted or are no Services.
fn backend_names(world: &World, refs: &[Ref]) -> Vec<String> {
    let name = |one: &Ref| {
        let (_, namespace, service) = world.graph.key(one.service);
        let mut name = format!("{namespace}.{service}");
        for number in [one.port, one.weight].into_iter().flatten() {
            // Writing to a String cannot fail.
            let _ = write!(name, ".{number}");
        }
        name
    };
    let mut names: Vec<_> = refs.iter().map(name).collect();
    names.sort_unstable();
    names
}

/// The first rule up to this one that is of the same group.
fn first_of(route: &Route, number: u16, is_same: impl Fn(&Rule) -> bool) -> u16 {
    let earlier = route.rules.iter().zip(0..number);
    earlier.filter(|(other, _)| is_same(other)).map(|(_, at)| at).next().unwrap_or(number)
}

/// Whether two rules have the same backends, in whatever order.
fn have_same_refs(one: &Rule, other: &Rule) -> bool {
    if one.refs.len() != other.refs.len() {
        return false;
    }
    let sorted = |rule: &'_ Rule| {
        let mut refs: Vec<_> = (0..rule.refs.len()).collect();
        refs.sort_unstable_by_key(|at| rule.refs.get(*at));
        refs
    };
    let pairs = sorted(one).into_iter().zip(sorted(other));
    one.refs == other.refs
        || pairs.into_iter().all(|(left, right)| one.refs.get(left) == other.refs.get(right))
}

/// Whether a name that something else has is also one that combined rules might get, but not the
/// name that they claim: of an HTTPRoute `svc.web.echo.80.1.timeout`, say. Such a name is left to be
/// read as what it most likely is.
pub(crate) fn is_derived_from_combined(name: &str) -> bool {
    match decode(Label::Service, name) {
        Ok(Form::Combined { timeout_ms, complete, .. }) => timeout_ms.is_some() || !complete,
        _ => false,
    }
}
