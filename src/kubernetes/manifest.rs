//! Manifests in, objects out.
//!
//! YAML of one or more documents, or JSON where the first byte that is not white space is `{` or
//! `[`; lists are taken apart. The one decision: kinds that are not read are skipped and counted
//! without a look at their content, but a mistake in a kind that is read refuses the whole text,
//! with its place: half of a cluster would give a mapping that looks whole.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::Value;

use super::defaults;
use super::extension::{Extension, ExtensionStatus};
use super::object::{Metadata, Object, ObjectKind, Spec};
use crate::mapping::name::{is_label, is_subdomain};

/// What some manifests hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifests {
    /// The objects, in the order they are written.
    pub objects: Vec<Object>,
    /// How many objects of other kinds were skipped, by kind.
    pub skipped: BTreeMap<String, usize>,
}

/// Whether what an API server would fill in is to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defaults {
    /// Yes: the text is as a user writes it, or as an API server returns it.
    Fill,
    /// No: the text is to be taken by the letter.
    Keep,
}

/// Why a text is no list of manifests, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The number of the document, from 1 on.
    pub document: usize,
    /// The line in the text, from 1 on. 0 where it is not known.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, line, message } = self;
        write!(f, "document {document}")?;
        if *line > 0 {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {message}")
    }
}

impl Manifests {
    /// Adds what `text` holds.
    ///
    /// # Errors
    /// Where it is neither YAML nor JSON or an object of a kind that is read cannot be. Objects
    /// before the mistake have then been added.
    pub fn read(&mut self, text: &str, defaults: Defaults) -> Result<(), Error> {
        if text.trim_start().starts_with(['{', '[']) {
            self.read_json(text, defaults)
        } else {
            self.read_yaml(text, defaults)
        }
    }

    /// The one object of `json`, which an API server returned as one of this kind and version: in
    /// lists some do without naming them again. Nothing is filled in.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn one(kind: ObjectKind, version: &str, json: &str) -> Result<Object, serde_json::Error> {
        let api_version = match kind.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        let mut one = Self::default();
        let list = Some((api_version.as_str(), kind.as_str()));
        let manifest = Manifest { into: &mut one, defaults: Defaults::Keep, list };
        manifest.deserialize(&mut serde_json::Deserializer::from_str(json))?;
        let object = one.objects.pop().filter(|object| object.spec.kind() == kind);
        object.ok_or_else(|| serde_json::Error::custom(format!("not of kind {}", kind.as_str())))
    }

    fn read_json(&mut self, text: &str, defaults: Defaults) -> Result<(), Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        for document in 1.. {
            if json.end().is_ok() {
                break;
            }
            let manifest = Manifest { into: self, defaults, list: None };
            manifest.deserialize(&mut json).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                let text = error.to_string();
                let message = text.strip_suffix(&format!(" at line {line} column {column}"));
                let message = message.unwrap_or(&text).to_owned();
                Error { document, line: line as u64, message }
            })?;
        }
        Ok(())
    }

    fn read_yaml(&mut self, text: &str, defaults: Defaults) -> Result<(), Error> {
        for (number, (first_line, document)) in documents(text).enumerate() {
            let options = serde_saphyr::options! {
                with_snippet: false,
                // The defaults end at some 15,000 objects. The limits of aliases stay.
                budget: serde_saphyr::budget! { max_events: 256_000_000, max_nodes: 256_000_000 },
            };
            let manifest = Manifest { into: self, defaults, list: None };
            serde_saphyr::with_deserializer_from_str_with_options(document, options, |yaml| {
                manifest.deserialize(yaml)
            })
            .map_err(|error| {
                let place = error.location();
                let text = error.to_string();
                let suffix = place
                    .map(|at| format!(" at line {}, column {}", at.line(), at.column()))
                    .unwrap_or_default();
                let message = text.strip_suffix(&suffix).unwrap_or(&text).to_owned();
                let line = place.map_or(first_line, |at| first_line + at.line().saturating_sub(1));
                Error { document: number + 1, line, message }
            })?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        object: Object,
        api_version: &str,
        defaults: Defaults,
    ) -> Result<(), &'static str> {
        let mut object = object;
        let Metadata { name, namespace, .. } = &mut object.metadata;
        if !is_subdomain(name) {
            return Err("metadata.name is no name that Kubernetes allows");
        }
        if !object.spec.kind().is_namespaced() {
            namespace.clear();
        } else if namespace.is_empty() {
            // Where kubectl puts it unless told otherwise.
            "default".clone_into(namespace);
        } else if !is_label(namespace) {
            return Err("metadata.namespace is no name that Kubernetes allows");
        }
        if defaults == Defaults::Fill {
            defaults::fill(&mut object, api_version);
        }
        self.objects.push(object);
        Ok(())
    }
}

/// The documents of a YAML text that hold anything, each with the number of its first line.
///
/// A line that starts with `---` ends a document wherever it stands: YAML allows it inside no text.
fn documents(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let is_marker = |line: &str| {
        let rest = line.strip_prefix("---");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    };
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut offset, mut has_content) = (0, 1, 0, false);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if is_marker(line) && offset > start {
            documents.push((first_line, start..offset, has_content));
            (start, first_line, has_content) = (offset, number, false);
        }
        let content = if is_marker(line) { line.get(3..).unwrap_or_default() } else { line };
        let content = content.trim();
        has_content |= !content.is_empty() && !content.starts_with('#') && content != "...";
        offset += line.len();
    }
    documents.push((first_line, start..offset, has_content));
    documents
        .into_iter()
        .filter(|(_, _, has_content)| *has_content)
        .map(|(line, range, _)| (line, text.get(range).unwrap_or_default()))
}

/// One manifest, or a list of them, to be added to `into`.
struct Manifest<'m> {
    into: &'m mut Manifests,
    defaults: Defaults,
    /// Version and kind of what this is an item of, if it is: items may do without their own.
    list: Option<(&'m str, &'m str)>,
}

impl<'de> DeserializeSeed<'de> for Manifest<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Manifest<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { into, defaults, .. } = self;
        while list.next_element_seed(Manifest { into, defaults, list: None })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { into, defaults, list } = self;
        let (mut api_version, mut kind) = (None::<String>, None::<String>);
        let (mut metadata, mut spec, mut is_list) = (Metadata::default(), Content::Absent, false);
        let mut fields = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let named = api_version.as_deref().zip(kind.as_deref()).or(list);
            let known = named.map(|(version, kind)| ObjectKind::of(version, kind));
            match (key.as_str(), known) {
                ("apiVersion", _) => api_version = Some(map.next_value()?),
                ("kind", _) => kind = Some(map.next_value()?),
                ("items", None | Some(None)) => {
                    is_list = true;
                    map.next_value_seed(Items { into, defaults, list: named })?;
                }
                ("metadata", None | Some(Some(_))) => metadata = map.next_value()?,
                ("spec", Some(Some(kind))) => {
                    spec = Content::Read(map.next_value_seed(SpecOf(kind))?);
                }
                ("spec", None) => spec = Content::Unread(map.next_value()?),
                (field, None) if fields_beside_spec(None).contains(&field) => {
                    fields.insert(key, map.next_value()?);
                }
                (field, Some(Some(kind))) if fields_beside_spec(Some(kind)).contains(&field) => {
                    fields.insert(key, map.next_value()?);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let named = api_version.as_deref().zip(kind.as_deref()).or(list);
        let Some((version, kind)) = named else {
            let is_kind_less = kind.is_none();
            let absent = if is_kind_less { "kind" } else { "apiVersion" };
            // An array of items under a name that nobody gave a kind.
            return if is_list { Ok(()) } else { Err(A::Error::missing_field(absent)) };
        };
        let Some(known) = ObjectKind::of(version, kind) else {
            if !is_list {
                *into.skipped.entry(kind.to_owned()).or_default() += 1;
            }
            return Ok(());
        };
        let object_name = match metadata.namespace.as_str() {
            "" => format!("{kind} {}", metadata.name),
            namespace => format!("{kind} {namespace}/{}", metadata.name),
        };
        let named =
            |message: &dyn fmt::Display| A::Error::custom(format!("{object_name}: {message}"));
        let of = |value: Value| SpecOf(known).deserialize(value).map_err(|e| named(&e));
        let spec = match spec {
            _ if is_plugin(known) => of(Value::Object(fields))?,
            Content::Read(spec) => with_status(spec, fields).map_err(|e| named(&e))?,
            Content::Unread(value) => with_status(of(value)?, fields).map_err(|e| named(&e))?,
            Content::Absent => with_status(of(Value::Null)?, fields).map_err(|e| named(&e))?,
        };
        into.add(Object { metadata, spec }, version, defaults).map_err(|error| named(&error))
    }
}

/// What has been seen of `spec`.
enum Content {
    Absent,
    /// It stood before the kind.
    Unread(Value),
    Read(Spec),
}

/// The items of a list.
struct Items<'m> {
    into: &'m mut Manifests,
    defaults: Defaults,
    /// Version and kind of the list, where they stand before its items.
    list: Option<(&'m str, &'m str)>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { into, defaults, list } = self;
        let list = match list {
            Some((version, kind)) => kind.strip_suffix("List").map(|kind| (version, kind)),
            None => None,
        };
        // Items of the kind `List` itself name their own.
        let list = list.filter(|(_, kind)| !kind.is_empty());
        while items.next_element_seed(Manifest { into, defaults, list })?.is_some() {}
        Ok(())
    }
}

/// What is read beside `metadata` and `spec` of an object of this kind; of `None`, what may have to
/// be read by the time the kind is known.
fn fields_beside_spec(kind: Option<ObjectKind>) -> &'static [&'static str] {
    match kind {
        None => &["plugin", "config", "configFrom", "configPatches", "protocols", "status"],
        Some(ObjectKind::DataPlaneMetricsExtension) => &["status"],
        Some(kind) if is_plugin(kind) => {
            &["plugin", "config", "configFrom", "configPatches", "protocols"]
        }
        Some(_) => &[],
    }
}

fn is_plugin(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::KongPlugin | ObjectKind::KongClusterPlugin)
}

/// The content of an object whose status is read, with it.
fn with_status(
    spec: Spec,
    mut fields: serde_json::Map<String, Value>,
) -> Result<Spec, serde_json::Error> {
    let Spec::DataPlaneMetricsExtension(extension) = spec else { return Ok(spec) };
    let status = fields.remove("status").unwrap_or_default();
    let status = Option::deserialize(status)?.unwrap_or_default();
    Ok(Spec::DataPlaneMetricsExtension(Extension { status, ..extension }))
}

/// The `spec` of an object of this kind; of plugins, the whole object.
struct SpecOf(ObjectKind);

impl<'de> DeserializeSeed<'de> for SpecOf {
    type Value = Spec;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Spec, D::Error> {
        fn of<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
            deserializer: D,
            kind: fn(T) -> Spec,
        ) -> Result<Spec, D::Error> {
            Option::deserialize(deserializer).map(|spec| kind(spec.unwrap_or_default()))
        }
        match self.0 {
            ObjectKind::HTTPRoute => of(deserializer, Spec::HTTPRoute),
            ObjectKind::GRPCRoute => of(deserializer, Spec::GRPCRoute),
            ObjectKind::TCPRoute => of(deserializer, Spec::TCPRoute),
            ObjectKind::TLSRoute => of(deserializer, Spec::TLSRoute),
            ObjectKind::UDPRoute => of(deserializer, Spec::UDPRoute),
            ObjectKind::Ingress => of(deserializer, Spec::Ingress),
            ObjectKind::TCPIngress => of(deserializer, Spec::TCPIngress),
            ObjectKind::UDPIngress => of(deserializer, Spec::UDPIngress),
            ObjectKind::KongServiceFacade => of(deserializer, Spec::KongServiceFacade),
            ObjectKind::KongService => of(deserializer, Spec::KongService),
            ObjectKind::Service => {
                IgnoredAny::deserialize(deserializer).map(|IgnoredAny| Spec::Service)
            }
            ObjectKind::ReferenceGrant => of(deserializer, Spec::ReferenceGrant),
            ObjectKind::Gateway => of(deserializer, Spec::Gateway),
            ObjectKind::GatewayClass => of(deserializer, Spec::GatewayClass),
            ObjectKind::IngressClass => of(deserializer, Spec::IngressClass),
            ObjectKind::ControlPlane => of(deserializer, Spec::ControlPlane),
            ObjectKind::DataPlaneMetricsExtension => of(deserializer, |spec| {
                let status = ExtensionStatus::default();
                Spec::DataPlaneMetricsExtension(Extension { spec, status })
            }),
            ObjectKind::GatewayConfiguration => of(deserializer, Spec::GatewayConfiguration),
            ObjectKind::KongPlugin => of(deserializer, Spec::KongPlugin),
            ObjectKind::KongClusterPlugin => of(deserializer, Spec::KongClusterPlugin),
        }
    }
}
