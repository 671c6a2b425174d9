//! A request's method and path in, an answer out.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Method, Request, Response, StatusCode};

use crate::sidecar::scrape::{self, Scrape};
use crate::sidecar::socket::Limit;
use crate::sidecar::{Shared, mapping_page};

/// The body of an answer: a small page, or a scrape in progress.
pub(crate) type Answer = Either<Full<Bytes>, Box<Scrape>>;

/// Answers one request of the client at `peer`.
pub(crate) async fn answer<B>(
    shared: &Arc<Shared>,
    request: &Request<B>,
    peer: IpAddr,
    limit: &Arc<Limit>,
) -> Response<Answer> {
    limit.page();
    let page = match request.uri().path() {
        path if path == shared.config.telemetry_path => Page::Metrics,
        LIVEZ => Page::Livez,
        READYZ => Page::Readyz,
        MAPPING => Page::Mapping,
        "/" => Page::Landing,
        _ => return text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match page {
        // What Kong would say is not known without asking it, and HEAD is no reason to.
        Page::Metrics if request.method() == Method::HEAD => metrics(Answer::Left(Full::default())),
        Page::Metrics => scrape::answer(shared, request, limit).await,
        Page::Livez => text(StatusCode::OK, "ok\n".to_owned()),
        Page::Readyz => readyz(shared),
        Page::Mapping if peer.to_canonical().is_loopback() => mapping_page::answer(shared).await,
        Page::Mapping => {
            let reason = "only for clients on this host: it names every route and Service\n";
            text(StatusCode::FORBIDDEN, reason.to_owned())
        }
        Page::Landing => landing(&shared.config.telemetry_path),
    }
}

#[derive(Debug, Clone, Copy)]
enum Page {
    Metrics,
    Livez,
    Readyz,
    Mapping,
    Landing,
}

/// An answer on the metrics path, in the one format we speak, whatever Accept says: as OpenMetrics
/// Kong's counters would be wrong, and Prometheus 3 refuses an answer without a type.
pub(crate) fn metrics(body: Answer) -> Response<Answer> {
    let mut response = page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A line for people.
pub(crate) fn text(status: StatusCode, line: String) -> Response<Answer> {
    page(status, "text/plain; charset=utf-8", Answer::Left(line.into()))
}

/// Any page.
pub(crate) fn page(
    status: StatusCode,
    content_type: &'static str,
    body: Answer,
) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn readyz(shared: &Shared) -> Response<Answer> {
    let reason = if shared.is_draining() {
        "shutting down\n"
    } else if !shared.mapping.current.is_ready() {
        "the mapping has not been loaded yet\n"
    } else {
        return text(StatusCode::OK, "ok\n".to_owned());
    };
    text(StatusCode::SERVICE_UNAVAILABLE, reason.to_owned())
}

fn landing(telemetry_path: &str) -> Response<Answer> {
    let html = format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>kong-metrics-exporter</title></head>
<body>
<h1>kong-metrics-exporter {version}</h1>
<p>Kong's metrics with the labels of Kubernetes Services.</p>
<ul>
<li><a href=\"{telemetry_path}\">{telemetry_path}</a>: the metrics</li>
<li><a href=\"{MAPPING}\">{MAPPING}</a>: what each Kong service stands for, and why (from this host only)</li>
<li><a href=\"{READYZ}\">{READYZ}</a>: whether the mapping has been loaded</li>
<li><a href=\"{LIVEZ}\">{LIVEZ}</a>: whether this process answers</li>
</ul>
</body>
</html>
",
        version = env!("CARGO_PKG_VERSION"),
    );
    page(StatusCode::OK, "text/html; charset=utf-8", Answer::Left(html.into()))
}

/// The fixed paths; `--web.telemetry-path` may be none of them.
pub const FIXED: [&str; 4] = ["/", LIVEZ, READYZ, MAPPING];
const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";
const MAPPING: &str = "/mapping";
