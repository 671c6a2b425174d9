//! Forms and targets in one line of text, so that a table of them can be read.

// Each test that takes this in uses a part of it.
#![allow(dead_code)]

use kong_metrics_exporter::mapping::name::Form;
use kong_metrics_exporter::mapping::{BackendRef, PortRef, Target, Why};

/// A form in one line of text, so that a table of them can be read.
pub(crate) fn of_form(form: Result<Form<'_>, Why>) -> String {
    match form {
        Ok(Form::Service(backend)) => format!("service {}", of_backend(&backend)),
        Ok(Form::Combined { route_namespace, backends, complete, timeout_ms }) => {
            let mut text = format!("combined {route_namespace}:");
            for backend in backends.iter() {
                text += &format!(" {}", of_backend(&backend));
            }
            if let Some(timeout_ms) = timeout_ms {
                text += &format!(" timeout {timeout_ms}");
            }
            if complete { text } else { text + " …" }
        }
        Ok(ref form @ Form::Rule { kind, namespace, name, hostname, rule }) => {
            let host = hostname.map(|host| format!(" host {host}")).unwrap_or_default();
            let maybe = if form.may_hold_hostname() { " or shorter" } else { "" };
            format!("{} {namespace}/{name}{maybe}{host} rule {rule}", kind.as_str())
        }
        Ok(Form::Facade { namespace, facade }) => format!("facade {namespace}/{facade}"),
        Ok(Form::Hybrid) => "hybrid".to_owned(),
        Err(why) => why.as_str().to_owned(),
    }
}

pub(crate) fn of_backend(backend: &BackendRef<'_>) -> String {
    let BackendRef { namespace, service, port, weight } = backend;
    let port = port.map(|port| match port {
        PortRef::Number(number) => format!(":{number}"),
        PortRef::Name(name) => format!(":{name:?}"),
    });
    let weight = weight.map(|weight| format!("*{weight}"));
    format!("{namespace}/{service}{}{}", port.unwrap_or_default(), weight.unwrap_or_default())
}

/// What a name stands for in one line of text.
pub(crate) fn of_target(target: &Target<'_>) -> String {
    match target {
        Target::Service { namespace, service, backends } => {
            format!("{namespace}/{service} by {}", of_backends(backends))
        }
        Target::Route { owners, backends, complete } => {
            let owners = owners.iter().map(|owner| {
                let kind = owner.kind.as_str();
                let rule = owner.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
                format!("{kind} {}/{}{rule}", owner.namespace, owner.name.unwrap_or("?"))
            });
            let owners = owners.collect::<Vec<_>>().join(", ");
            let more = if *complete { "" } else { " …" };
            format!("[{owners}] to {}{more}", of_backends(backends))
        }
        Target::Unknown(why) => why.as_str().to_owned(),
    }
}

pub(crate) fn of_backends(backends: &[BackendRef<'_>]) -> String {
    backends.iter().map(of_backend).collect::<Vec<_>>().join(" ")
}
