//! The mapping file: text in, [`Snapshot`] out, and back.
//!
//! ```json
//! {"services": {"httproute.web.echo.0": {
//!   "backends": [{"namespace": "web", "service": "echo", "port": 80, "weight": 1}],
//!   "owners": [{"kind": "HTTPRoute", "namespace": "web", "name": "echo", "rule": 0}]}}}
//! ```
//! JSON where the first byte that is not white space is `{`, else YAML. The one decision: whatever
//! is not understood in full is refused as a whole, with its place: unknown keys, a Kong service
//! named twice, a port that no Service can have.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::mapping::entry::Object;
use crate::mapping::snapshot::{self, Snapshot};

/// Why a text is not a mapping file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What the text was read as: `JSON` or `YAML`.
    pub format: &'static str,
    /// The line, from 1 on. 0 where the whole text is meant.
    pub line: u64,
    /// The column, from 1 on, in bytes (JSON) or characters (YAML).
    pub column: u64,
    /// The Kong service in whose entry the mistake is.
    pub service: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, line, column, service, message } = self;
        write!(f, "{format}")?;
        if *line > 0 {
            write!(f, " line {line} column {column}")?;
        }
        f.write_str(": ")?;
        if let Some(service) = service {
            write!(f, "service {service:?}: ")?;
        }
        f.write_str(message)
    }
}

/// Reads a mapping file.
pub fn parse(bytes: &[u8]) -> Result<Snapshot, Error> {
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    let format = if is_json { "JSON" } else { "YAML" };
    let text = str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let message = "not UTF-8 text".to_owned();
        Error { format, line, column, service: None, message }
    })?;
    let mut reading = None;
    let parsed =
        if is_json { parse_json(text, &mut reading) } else { parse_yaml(text, &mut reading) };
    parsed.map_err(|(line, column, message)| Error {
        format,
        line,
        column,
        service: reading,
        message,
    })
}

/// Prints the names that are in the mapping now, sorted, in the format that [`parse`] reads.
pub fn to_json(snapshot: &Snapshot) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Printed(snapshot))
}

/// As [`to_json`], in YAML.
pub fn to_yaml(snapshot: &Snapshot) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&Printed(snapshot))
}

/// Line, column, message.
type Mistake = (u64, u64, String);

fn parse_json(text: &str, reading: &mut Option<String>) -> Result<Snapshot, Mistake> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = File { reading }.deserialize(&mut json).and_then(|snapshot| {
        json.end()?;
        Ok(snapshot)
    });
    parsed.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let message = text.strip_suffix(&format!(" at line {line} column {column}"));
        (line as u64, column as u64, message.unwrap_or(&text).to_owned())
    })
}

fn parse_yaml(text: &str, reading: &mut Option<String>) -> Result<Snapshot, Mistake> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // The defaults end at some 15,000 services. The limits of aliases stay: without aliases
        // there are fewer nodes than bytes.
        budget: serde_saphyr::budget! {
            max_events: 64_000_000,
            max_nodes: 64_000_000,
        },
    };
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        File { reading }.deserialize(yaml)
    });
    parsed.map_err(|error| {
        let location = error.location();
        let (line, column) = location.map_or((0, 0), |at| (at.line(), at.column()));
        if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = &error {
            return (line, column, format!("key {key:?} is there twice"));
        }
        let text = error.to_string();
        let message = text.strip_suffix(&format!(" at line {line}, column {column}"));
        (line, column, message.unwrap_or(&text).to_owned())
    })
}

/// The top level. Leaves the Kong service it was reading in `reading` when it fails.
struct File<'r> {
    reading: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = Snapshot;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Snapshot, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for File<'_> {
    type Value = Snapshot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping file: an object with the key \"services\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snapshot, A::Error> {
        let mut snapshot = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "services" {
                return Err(A::Error::unknown_field(&key, &["services"]));
            }
            if snapshot.is_some() {
                return Err(A::Error::duplicate_field("services"));
            }
            snapshot = Some(map.next_value_seed(ServiceMap { reading: &mut *self.reading })?);
        }
        snapshot.ok_or_else(|| A::Error::missing_field("services"))
    }
}

/// The object under `services`.
struct ServiceMap<'r> {
    reading: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for ServiceMap<'_> {
    type Value = Snapshot;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Snapshot, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ServiceMap<'_> {
    type Value = Snapshot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from Kong service names to their backends and owners")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snapshot, A::Error> {
        let mut names = HashSet::new();
        let mut table = snapshot::Builder::default();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("key {name:?} is there twice")));
            }
            *self.reading = Some(name.clone());
            let entry = map.next_value_seed(Object::of("an entry: backends, owners or both"))?;
            table.insert(&name, &entry);
            *self.reading = None;
            names.insert(name);
        }
        Ok(table.build())
    }
}

/// The object that [`File`] reads.
struct Printed<'a>(&'a Snapshot);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut file = serializer.serialize_map(Some(1))?;
        file.serialize_entry("services", &Services(self.0))?;
        file.end()
    }
}

/// The object that [`ServiceMap`] reads.
struct Services<'a>(&'a Snapshot);

impl Serialize for Services<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// Line and column of the byte after `before`.
fn place(before: &[u8]) -> (u64, u64) {
    let lines = before.split(|byte| *byte == b'\n');
    let last = lines.clone().next_back().unwrap_or_default();
    (lines.count() as u64, last.len() as u64 + 1)
}
