//! Reading less than there is: field by field helpers for serde.
//!
//! `null` counts as absent wherever it may stand, as it does for the API's own clients.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::keys::is_read;

/// A value; its default where there is `null`.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The annotations that are read, sorted; the values of others are not even looked at.
pub(super) fn annotations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, String)>, D::Error> {
    Ok(Option::<Annotations>::deserialize(deserializer)?.map(|read| read.0).unwrap_or_default())
}

/// Labels. What is none, as no API server would return it, is left out.
pub(super) fn labels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(labels) = Value::deserialize(deserializer)? else {
        return Ok(BTreeMap::new());
    };
    let text = |(key, value)| match value {
        Value::String(value) => Some((key, value)),
        _ => None,
    };
    Ok(labels.into_iter().filter_map(text).collect())
}

/// Whether any of a rule's matches has query parameters.
pub(super) fn matches_query_params<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<bool, D::Error> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Match {
        #[serde(deserialize_with = "or_default")]
        query_params: Vec<IgnoredAny>,
    }
    let matches = Option::<Vec<Match>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(matches.iter().any(|one| !one.query_params.is_empty()))
}

/// Filters as JSON with sorted keys.
pub(super) fn filters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let filters = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok((!filters.is_empty()).then(|| Value::Array(filters).to_string()))
}

/// The KongPlugins that filters of a rule name.
pub(super) fn plugins_of_filters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Filter {
        #[serde(deserialize_with = "or_default")]
        extension_ref: Reference,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Reference {
        #[serde(deserialize_with = "or_default")]
        kind: String,
        #[serde(deserialize_with = "or_default")]
        name: String,
    }
    let filters = Option::<Vec<Filter>>::deserialize(deserializer)?.unwrap_or_default();
    let references = filters.into_iter().map(|filter| filter.extension_ref);
    Ok(references.filter(|to| to.kind == "KongPlugin").map(|to| to.name).collect())
}

struct Annotations(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations: an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut annotations = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if is_read(&key) {
                annotations.push((key, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        annotations.sort();
        Ok(Annotations(annotations))
    }
}
