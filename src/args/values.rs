//! One flag's text in, a checked value or what is wrong with it out.

use std::time::Duration;

use hyper::Uri;

use crate::cluster::follow::ListBy;
use crate::mapping::name::{is_label, is_subdomain};
use crate::mapping::shards;
use crate::sidecar;
use crate::source::needs::Kinds;

/// `--kong.url`: http alone, for the request stays on this host.
pub(super) fn kong_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) if !authority.as_str().contains('@') => Ok(uri),
        (Some("http"), _) => Err("expected http://HOST:PORT/PATH without a user".to_owned()),
        (Some("https"), _) => {
            Err("only http: the sidecar reads Kong's status listener on its own host".to_owned())
        }
        _ => Err("expected http://HOST:PORT/PATH".to_owned()),
    }
}

/// A span of time that is not nothing: `10s`, `500ms`.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("has to be more than zero".to_owned()) } else { Ok(duration) }
}

/// A span of time that may be nothing: `0s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("expected a duration such as 10s, 500ms or 1m30s ({error})"))
}

/// `--web.telemetry-path`: a plain path that is none of the other pages'.
pub(super) fn telemetry_path(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    if !text.starts_with('/') || !text.bytes().all(is_plain) {
        return Err("expected a path such as /metrics".to_owned());
    }
    if sidecar::FIXED_PATHS.contains(&text) {
        return Err(format!("{text} is another page of the sidecar's"));
    }
    Ok(text.to_owned())
}

/// An object, such as a Secret.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    if is_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err("expected a name of a-z, 0-9, - and .".to_owned())
}

/// A namespace.
pub(super) fn label(text: &str) -> Result<String, String> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    Err("expected a name of up to 63 of a-z, 0-9 and -".to_owned())
}

/// A Gateway: `NAMESPACE/NAME`.
pub(super) fn gateway(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_label(namespace) && is_subdomain(name) => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}

/// `--watch.list`.
pub(super) fn list_by(text: &str) -> Result<ListBy, String> {
    match text {
        "pages" => Ok(ListBy::Pages),
        "stream" => Ok(ListBy::Stream),
        _ => Err("expected pages or stream".to_owned()),
    }
}

/// `--watch.kinds`.
pub(super) fn watch_kinds(text: &str) -> Result<Kinds, String> {
    match text {
        "all" => Ok(Kinds::All),
        "needed" => Ok(Kinds::Needed),
        _ => Err("expected all or needed".to_owned()),
    }
}

/// `--publish.name`.
pub(super) fn mapping_name(text: &str) -> Result<String, String> {
    if shards::is_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a name of up to {} of a-z, 0-9 and -", shards::MAX_NAME))
}

/// `on` or `off`.
pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}
