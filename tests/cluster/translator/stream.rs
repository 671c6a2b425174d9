//! A random stream of changes to a cluster: a seed and what has been applied so far in, the next
//! changes out. The one decision: names, hosts and lists of backends come from small pools, so that
//! rules group, names collide, Services are missing and routes change under what they refer to.

use std::collections::BTreeMap;

use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use serde_json::{Value, json};

use super::book::{Book, SHAPES, Shape};
use super::fixtures::{Setup, ingress_class, spare_gateway};
use super::random::Random;

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// An object is made, or takes the place of the one of its name.
    Apply(Value),
    Delete(Key),
}

/// What makes the changes.
pub(crate) struct Stream {
    pub(super) setup: Setup,
    pub(super) random: Random,
    live: BTreeMap<Key, Value>,
    /// Lists of backends used before: to be used again.
    pub(super) lists: Vec<Vec<Value>>,
    /// Counts the paths, so that no two rules want the same requests.
    pub(super) paths: usize,
}

impl Stream {
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { setup, random, live: BTreeMap::new(), lists: Vec::new(), paths: 0 }
    }

    /// An object that is there already.
    pub(crate) fn adopt(&mut self, object: &Value) {
        self.live.insert(key_of(object), object.clone());
    }

    /// The changes of one step.
    pub(crate) fn step(&mut self, book: &Book) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..=self.random.below(3) {
            let change = self.change(book);
            match &change {
                Change::Apply(object) => {
                    self.live.insert(key_of(object), object.clone());
                }
                Change::Delete(key) => {
                    self.live.remove(key);
                }
            }
            changes.push(change);
        }
        changes
    }

    fn change(&mut self, book: &Book) -> Change {
        let kind = self.random.weighted(&KINDS);
        if kind == ObjectKind::IngressClass {
            let is_default = self.random.chance(50);
            return Change::Apply(ingress_class(&self.setup, is_default));
        }
        if kind == ObjectKind::Gateway {
            let spare = spare_gateway(&self.setup);
            let key = key_of(&spare);
            let is_there = self.live.contains_key(&key);
            return if is_there { Change::Delete(key) } else { Change::Apply(spare) };
        }
        let namespace = self.namespace();
        let name = match kind {
            ObjectKind::Service => SHAPES[self.random.below(SHAPES.len())].name.to_owned(),
            _ => self.random.pick(names(kind)).replace("NAMESPACE", &namespace),
        };
        let key = Key::new(kind, &namespace, &name);
        // Services are mostly there.
        let goes = if kind == ObjectKind::Service { 25 } else { 35 };
        if self.live.contains_key(&key) && self.random.chance(goes) {
            return Change::Delete(key);
        }
        let mut object = match kind {
            ObjectKind::Service => {
                let (shape, annotations) = (Shape::of(&name).unwrap(), self.annotations());
                return Change::Apply(book.service(&namespace, shape, &annotations));
            }
            ObjectKind::HTTPRoute => self.httproute(&namespace),
            ObjectKind::GRPCRoute => self.grpcroute(&namespace),
            ObjectKind::TCPRoute | ObjectKind::TLSRoute | ObjectKind::UDPRoute => {
                self.l4route(kind, &namespace)
            }
            ObjectKind::Ingress => self.ingress(),
            ObjectKind::TCPIngress | ObjectKind::UDPIngress => self.l4ingress(kind),
            ObjectKind::KongServiceFacade => self.facade(),
            _ => self.grant(&namespace),
        };
        object["kind"] = json!(kind.as_str());
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!(namespace);
        Change::Apply(object)
    }

    /// One of the two.
    pub(super) fn namespace(&mut self) -> String {
        self.setup.namespaces[self.random.below(2)].clone()
    }
}

/// What an object is called.
pub(crate) fn key_of(object: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let kind = ObjectKind::of(&version, &kind).unwrap();
    let metadata = &object["metadata"];
    Key::new(kind, &text(&metadata["namespace"]), &text(&metadata["name"]))
}

/// How often what kind of object changes.
const KINDS: [(ObjectKind, usize); 13] = [
    (ObjectKind::HTTPRoute, 30),
    (ObjectKind::GRPCRoute, 14),
    (ObjectKind::TCPRoute, 5),
    (ObjectKind::TLSRoute, 5),
    (ObjectKind::UDPRoute, 5),
    (ObjectKind::Ingress, 14),
    (ObjectKind::TCPIngress, 4),
    (ObjectKind::UDPIngress, 4),
    (ObjectKind::KongServiceFacade, 5),
    (ObjectKind::Service, 9),
    (ObjectKind::ReferenceGrant, 5),
    (ObjectKind::IngressClass, 1),
    (ObjectKind::Gateway, 1),
];

/// Some look like what Kong's controllers make of others.
fn names(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::HTTPRoute => {
            &["r", "r.0", "a", "a.b", "svc", "svc.NAMESPACE.echo.80", "svc.absent.0", "10"]
        }
        ObjectKind::GRPCRoute => &["g", "g.b", "g.b.c", "svc"],
        ObjectKind::TCPRoute | ObjectKind::TLSRoute | ObjectKind::UDPRoute => &["t", "t.one"],
        ObjectKind::KongServiceFacade => &["f", "f.one"],
        ObjectKind::ReferenceGrant => &["x", "y"],
        _ => &["web", "shop.x", "z"],
    }
}
