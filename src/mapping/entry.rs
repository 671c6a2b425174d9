//! What a Kong service stands for: Services and owners, owned and borrowed.
//!
//! In: an entry of a mapping file, or of the resolver. Out: the same, field by field. The one decision:
//! a field that no Kubernetes object can have is refused where it is read, so an [`Entry`] cannot be
//! wrong.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::mapping::kind::Kind;
use crate::mapping::name::{is_label, is_subdomain};

/// What one Kong service name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The Services behind it, in the route's order. Where (namespace, service, port) repeats, the
    /// snapshot keeps the first and adds the weights.
    #[serde(default, deserialize_with = "backends")]
    pub backends: Vec<Backend>,
    /// The objects it was made from.
    #[serde(default, deserialize_with = "owners")]
    pub owners: Vec<Owner>,
}

/// A Kubernetes Service behind a Kong service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The Service's namespace.
    #[serde(deserialize_with = "label")]
    pub namespace: String,
    /// The Service's name.
    #[serde(deserialize_with = "label")]
    pub service: String,
    /// The port, if known.
    #[serde(default, deserialize_with = "port")]
    pub port: Option<Port>,
    /// The weight, if given.
    #[serde(default, deserialize_with = "number")]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    #[serde(deserialize_with = "label")]
    pub namespace: String,
    /// Its name.
    #[serde(deserialize_with = "subdomain")]
    pub name: String,
    /// The index of the rule, for routes.
    #[serde(default, deserialize_with = "number")]
    pub rule: Option<u32>,
}

/// What a snapshot holds for one name, borrowed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryRef<'a> {
    /// The Services behind it, each (namespace, service, port) once.
    pub backends: Backends<'a>,
    /// The objects it was made from, in the order they were given.
    pub owners: Owners<'a>,
}

/// The Services behind a name; mostly one or two.
pub type Backends<'a> = SmallVec<[BackendRef<'a>; 2]>;

/// What a name was made from; mostly one or two.
pub type Owners<'a> = SmallVec<[OwnerRef<'a>; 2]>;

/// One backend, borrowed from the snapshot or from the name itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendRef<'a> {
    /// The Service's namespace.
    pub namespace: &'a str,
    /// The Service's name.
    pub service: &'a str,
    /// The port as the route names it, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortRef<'a>>,
    /// The weight, if the route gives one (the Gateway API's default is 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// A Service port, by number or by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum PortRef<'a> {
    /// By number.
    Number(u16),
    /// By name.
    Name(&'a str),
}

/// The route (or Ingress, facade, KongService) that a Kong service was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OwnerRef<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name; `None` where a combined name gives only the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The rule's index, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
}

/// The number or the name.
impl fmt::Display for PortRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Backend {
    pub(super) fn borrow(&self) -> BackendRef<'_> {
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
    pub(super) fn borrow(&self) -> OwnerRef<'_> {
        OwnerRef {
            kind: self.kind,
            namespace: &self.namespace,
            name: Some(&self.name),
            rule: self.rule,
        }
    }
}

/// Each (namespace, service, port) once, where it comes first, with the weights added. A weight
/// that is not given counts 1, the Gateway API's default, once it is added to another.
pub(super) fn merge<'a>(backends: impl IntoIterator<Item = BackendRef<'a>>) -> Backends<'a> {
    let mut merged = Backends::new();
    for backend in backends {
        let key = |b: &BackendRef<'a>| (b.namespace, b.service, b.port);
        match merged.iter_mut().find(|kept| key(kept) == key(&backend)) {
            Some(kept) => {
                let sum = kept.weight.unwrap_or(1).saturating_add(backend.weight.unwrap_or(1));
                kept.weight = Some(sum);
            }
            None => merged.push(backend),
        }
    }
    merged
}

/// For the backends of an entry.
fn backends<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Backend>, D::Error> {
    from.deserialize_any(Objects {
        each: Object::of("a list of backends, each an object with namespace and service"),
    })
}

/// For the owners of an entry.
fn owners<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Owner>, D::Error> {
    from.deserialize_any(Objects {
        each: Object::of("a list of owners, each an object with kind, namespace and name"),
    })
}

/// For the names of namespaces, Services and ports.
pub(super) fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "a name as Kubernetes allows it here: up to 63 of a-z, 0-9 and -";
    deserializer.deserialize_string(NameVisitor { expected, fits: is_label })
}

/// For the names of routes and the like.
pub(super) fn subdomain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "a name as Kubernetes allows it here: up to 253 of a-z, 0-9, - and .";
    deserializer.deserialize_string(NameVisitor { expected, fits: is_subdomain })
}

/// For a backend's port.
pub(super) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Port>, D::Error> {
    deserializer.deserialize_any(PortVisitor).map(Some)
}

/// For weights and indices of rules.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    deserializer.deserialize_any(NumberVisitor).map(Some)
}

/// A `T` from an object. What serde derives would take a list, too.
pub(super) struct Object<T> {
    expected: &'static str,
    of: PhantomData<T>,
}

impl<T> Object<T> {
    pub(super) fn of(expected: &'static str) -> Self {
        Self { expected, of: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A list of them.
struct Objects<T> {
    each: Object<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Objects<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.each.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut objects = Vec::new();
        while let Some(object) = list.next_element_seed(Object::of(self.each.expected))? {
            objects.push(object);
        }
        Ok(objects)
    }
}

struct NameVisitor {
    expected: &'static str,
    fits: fn(&str) -> bool,
}

impl Visitor<'_> for NameVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        if (self.fits)(name) {
            return Ok(name.to_owned());
        }
        Err(E::invalid_value(Unexpected::Str(name), &self))
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 0 or more")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u32, E> {
        u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = Port;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port: a number from 1 to 65535, or a name such as \"http\"")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Port, E> {
        match u16::try_from(number) {
            Ok(port @ 1..) => Ok(Port::Number(port)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Port, E> {
        // Without a letter it is a number in quotes, which no Service names a port.
        if is_label(name) && name.bytes().any(|b| b.is_ascii_lowercase()) {
            return Ok(Port::Name(name.to_owned()));
        }
        Err(E::invalid_value(Unexpected::Str(name), &self))
    }
}
