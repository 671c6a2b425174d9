//! An explanation in, text for people out. Two spaces for each thing that belongs to the one above.

use std::fmt::{self, Display, Formatter};

use super::{Explanation, Judged, Made, NotBehind, Object, OfMaker, OfName, OfService, Reason};
use crate::mapping::{BackendRef, Known, OwnerRef};

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => of_name(f, name),
            Self::Object(object) => of_maker(f, object),
            Self::Service(service) => of_service(f, service),
        }
    }
}

/// What a name stands for, in a few words.
pub(super) fn target(target: &Known<'_>) -> String {
    match target {
        Known::Service { namespace, service, .. } => format!("Service {namespace}/{service}"),
        Known::Route { backends, complete: true, .. } if backends.is_empty() => {
            "no Service: none of its backends counts".to_owned()
        }
        Known::Route { backends, complete: true, .. } => {
            let backends: Vec<_> = backends.iter().map(backend_of).collect();
            format!("no single Service, but {}", backends.join(" and "))
        }
        Known::Route { owners, .. } => {
            let owners: Vec<_> = owners.iter().map(owner_of).collect();
            format!("{}; its Services are not known", owners.join(" and "))
        }
    }
}

fn of_name(f: &mut Formatter<'_>, name: &OfName<'_>) -> fmt::Result {
    let OfName { shown, made_by, disagreement, notes } = name;
    writeln!(f, "{}", shown.name)?;
    match &shown.target {
        Some(known) => writeln!(f, "  stands for {}: {}", target(known), shown.why)?,
        None => writeln!(f, "  stands for nothing: {}", shown.why)?,
    }
    for note in notes {
        writeln!(f, "  {note}")?;
    }
    let values = disagreement.iter().flat_map(|disagreement| &disagreement.values);
    for (key, service, value) in values {
        match value {
            Some(value) => writeln!(f, "    {service} has {key}: {value:?}")?,
            None => writeln!(f, "    {service} has no {key}")?,
        }
    }
    for maker in made_by {
        let rule = &maker.rule;
        writeln!(f, "  made by {} {rule}", maker.object)?;
        writeln!(f, "    {}", maker.how)?;
        if !maker.decides {
            writeln!(f, "    another rule comes first and decides which backends count")?;
        }
        for backend in &maker.backends {
            writeln!(f, "    {backend}")?;
        }
    }
    Ok(())
}

fn of_maker(f: &mut Formatter<'_>, maker: &OfMaker) -> fmt::Result {
    writeln!(f, "{}", maker.object)?;
    for Reason { text, .. } in &maker.left_out {
        writeln!(f, "  makes no Kong service: {text}")?;
    }
    for note in &maker.notes {
        writeln!(f, "  {note}")?;
    }
    for rule in &maker.rules {
        writeln!(f, "  {}", rule.rule)?;
        if rule.backends.is_empty() {
            writeln!(f, "    has no backends")?;
        }
        for backend in &rule.backends {
            writeln!(f, "    {backend}")?;
        }
        for Made { name, how, stands_for } in &rule.kong_services {
            writeln!(f, "    makes {name}")?;
            writeln!(f, "      {how}")?;
            writeln!(f, "      stands for {stands_for}")?;
        }
        for Reason { text, .. } in &rule.left_out {
            let what = if rule.kong_services.is_empty() { "no" } else { "no other" };
            writeln!(f, "    makes {what} Kong service: {text}")?;
        }
    }
    Ok(())
}

fn of_service(f: &mut Formatter<'_>, service: &OfService) -> fmt::Result {
    let OfService { object, behind, not_behind } = service;
    writeln!(f, "{object}")?;
    if !object.known {
        writeln!(f, "  there is no such Service here")?;
    }
    if behind.is_empty() {
        writeln!(f, "  is behind no Kong service")?;
    }
    for one in behind {
        writeln!(f, "  {}", one.name)?;
        writeln!(f, "    made by {} {}", one.by, one.rule)?;
        writeln!(f, "    {}", one.backend)?;
        if !one.decides {
            writeln!(f, "    another rule comes first and decides which backends count")?;
        }
        writeln!(f, "    stands for {}", one.stands_for)?;
    }
    for NotBehind { object, left_out } in not_behind {
        for Reason { text, .. } in left_out {
            writeln!(f, "  {object} refers to it, but makes no Kong service: {text}")?;
        }
    }
    Ok(())
}

impl Display for Object {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, .. } = self;
        write!(f, "{kind} {namespace}/{name}")
    }
}

impl Display for Judged {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        if let Some(port) = &self.port {
            write!(f, " port {port}")?;
        }
        if let Some(weight) = self.weight {
            write!(f, " weight {weight}")?;
        }
        write!(f, ": {}", self.text)
    }
}

fn backend_of(backend: &BackendRef<'_>) -> String {
    let BackendRef { namespace, service, port, weight } = backend;
    let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
    let weight = weight.map(|weight| format!(" weight {weight}")).unwrap_or_default();
    format!("{namespace}/{service}{port}{weight}")
}

fn owner_of(owner: &OwnerRef<'_>) -> String {
    let OwnerRef { kind, namespace, name, rule } = owner;
    let kind = kind.as_str();
    let rule = rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    match name {
        Some(name) => format!("{kind} {namespace}/{name}{rule}"),
        None => format!("some {kind} of namespace {namespace}"),
    }
}
