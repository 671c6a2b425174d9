//! A request's method and path in, an answer out.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::sidecar::answer::{Answer, metrics, page, text};
use crate::sidecar::scrape::{self, Scrape};
use crate::sidecar::socket::Limit;
use crate::sidecar::{Shared, mapping_page};

/// Answers one request of the client at `peer`.
pub(crate) async fn answer<B>(
    shared: &Arc<Shared>,
    request: &Request<B>,
    peer: IpAddr,
    limit: &Arc<Limit>,
) -> Response<Answer<Box<Scrape>>> {
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

fn readyz(shared: &Shared) -> Response<Answer<Box<Scrape>>> {
    let reason = if shared.is_draining() {
        "shutting down\n"
    } else if !shared.mapping.current.is_ready() {
        "the mapping has not been loaded yet\n"
    } else {
        return text(StatusCode::OK, "ok\n".to_owned());
    };
    text(StatusCode::SERVICE_UNAVAILABLE, reason.to_owned())
}

fn landing(telemetry_path: &str) -> Response<Answer<Box<Scrape>>> {
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
