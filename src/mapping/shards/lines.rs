//! An entry as a line of text, and back.
//!
//! ```json
//! ["httproute.web.echo.0",[[null,"echo",80,1],["other","echo",80,1]],null]
//! ["shop",[["web","shop",8080,null]],[["KongService","web","shop",null]]]
//! ```
//! In: a name and its entry, or a line. Out: the other. The one decision: JSON without keys and
//! without what the name says anyway: a namespace that is `null` is the one in the name, owners that
//! are `null` are the one route that the name tells. That halves the text. What is not understood in
//! full is refused as in a mapping file.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::mapping::entry::{self, Backend, Entry, EntryRef, Owner, Port};
use crate::mapping::kind::Kind;
use crate::mapping::name::{Form, decode};
use crate::mapping::{BackendRef, Label, OwnerRef, owner_in_form};

/// The line, with its end.
pub(super) fn print(name: &str, entry: &EntryRef<'_>) -> String {
    let told = Told::by(name);
    let backend = |backend: &BackendRef<'_>| {
        let BackendRef { namespace, service, port, weight } = *backend;
        json!([Some(namespace).filter(|one| Some(*one) != told.namespace), service, port, weight])
    };
    let owner = |owner: &OwnerRef<'_>| {
        let OwnerRef { kind, namespace, name, rule } = *owner;
        json!([kind, namespace, name, rule])
    };
    let backends: Vec<_> = entry.backends.iter().map(backend).collect();
    let owners = match (&entry.owners[..], told.owner) {
        ([only], Some(owner)) if *only == owner => Value::Null,
        (owners, _) => owners.iter().map(owner).collect(),
    };
    let mut line = json!([name, backends, owners]).to_string();
    line.push('\n');
    line
}

/// What a line without its end says.
pub(super) fn parse(line: &str) -> serde_json::Result<(String, Entry)> {
    let Line(name, backends, owners) = serde_json::from_str(line)?;
    let told = Told::by(&name);
    let missing = |what| serde::de::Error::custom(format_args!("{name:?} tells no {what}"));
    let backends = backends.into_iter().map(|BackendLine(namespace, service, port, weight)| {
        let port = port.and_then(|PortLine(port)| port);
        let namespace = namespace.map(|NamespaceLine(namespace)| namespace);
        let namespace = namespace.or_else(|| told.namespace.map(str::to_owned));
        let namespace = namespace.ok_or_else(|| missing("namespace"))?;
        Ok(Backend { namespace, service, port, weight })
    });
    let backends = backends.collect::<serde_json::Result<_>>()?;
    let owners = match owners {
        Some(owners) => owners.into_iter().map(Owner::from).collect(),
        None => {
            let owner = told.owner.and_then(|owner| {
                let OwnerRef { kind, namespace, name, rule } = owner;
                Some(Owner { kind, namespace: namespace.to_owned(), name: name?.to_owned(), rule })
            });
            vec![owner.ok_or_else(|| missing("owner"))?]
        }
    };
    Ok((name, Entry { backends, owners }))
}

/// What a name says by itself. Part of the format.
struct Told<'a> {
    namespace: Option<&'a str>,
    owner: Option<OwnerRef<'a>>,
}

impl<'a> Told<'a> {
    fn by(name: &'a str) -> Self {
        let Ok(form) = decode(Label::Service, name) else {
            return Self { namespace: None, owner: None };
        };
        let owner = owner_in_form(&form);
        let namespace = match form {
            Form::Service(backend) => Some(backend.namespace),
            _ => owner.map(|owner| owner.namespace),
        };
        Self { namespace, owner: owner.filter(|owner| owner.name.is_some()) }
    }
}

#[derive(Deserialize)]
struct Line(String, Vec<BackendLine>, Option<Vec<OwnerLine>>);

#[derive(Deserialize)]
struct BackendLine(
    Option<NamespaceLine>,
    #[serde(deserialize_with = "entry::label")] String,
    Option<PortLine>,
    Option<u32>,
);

#[derive(Deserialize)]
struct NamespaceLine(#[serde(deserialize_with = "entry::label")] String);

#[derive(Deserialize)]
struct PortLine(#[serde(deserialize_with = "entry::port")] Option<Port>);

#[derive(Deserialize)]
struct OwnerLine(
    Kind,
    #[serde(deserialize_with = "entry::label")] String,
    #[serde(deserialize_with = "entry::subdomain")] String,
    Option<u32>,
);

impl From<OwnerLine> for Owner {
    fn from(OwnerLine(kind, namespace, name, rule): OwnerLine) -> Self {
        Self { kind, namespace, name, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Snapshot;

    #[test]
    fn a_line_is_read_and_printed_back() {
        for line in [
            r#"["httproute.web.echo.0",[[null,"echo",80,1],["a","b","http",null]],null]"#,
            r#"["httproute.web.echo.0",[["a","c",null,0]],[["HTTPRoute","web","echo",1]]]"#,
            r#"["web.echo.80",[[null,"echo",80,null]],[["Ingress","web","echo.x",null]]]"#,
            r#"["httproute.web.svc._",[[null,"echo",80,null]],[["HTTPRoute","web","echo",0]]]"#,
            r#"["a \"name\"",[["web","echo",80,null]],[]]"#,
        ] {
            let (name, entry) = parse(line).unwrap();
            let snapshot: Snapshot = [(name.clone(), entry)].into_iter().collect();
            let (entry, _) = snapshot.find(Label::Service, &name).unwrap();
            assert_eq!(print(&name, &entry), format!("{line}\n"));
        }
    }

    #[test]
    fn what_no_publisher_writes_is_refused() {
        for line in [
            r"",
            r#"["a",[],[]] "x""#,
            r#"["a",[]]"#,
            r#"["a",[],[],[]]"#,
            r#"["a",[["web","echo",0,1]],[]]"#,
            r#"["a",[["web","ECHO",1,1]],[]]"#,
            r#"["a",[["web","echo",1,-1]],[]]"#,
            r#"["a",[["web","echo",1]],[]]"#,
            r#"["a",[],[["Pod","web","echo",0]]]"#,
            r#"["a",[[null,"echo",1,1]],[]]"#,
            r#"["web.echo.80",[],null]"#,
            r#"{"a": 1}"#,
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
