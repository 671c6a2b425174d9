//! Status, type and body in, an answer out.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Response, StatusCode};

/// The body of an answer: a small page, or what a stream `S` brings.
pub(crate) type Answer<S> = Either<Full<Bytes>, S>;

/// An answer on the metrics path, in the one format we speak, whatever Accept says: as OpenMetrics
/// Kong's counters would be wrong, and Prometheus 3 refuses an answer without a type.
pub(crate) fn metrics<S>(body: Answer<S>) -> Response<Answer<S>> {
    let mut response = page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A line for people.
pub(crate) fn text<S>(status: StatusCode, line: String) -> Response<Answer<S>> {
    page(status, "text/plain; charset=utf-8", Answer::Left(line.into()))
}

/// Any page.
pub(crate) fn page<S>(
    status: StatusCode,
    content_type: &'static str,
    body: Answer<S>,
) -> Response<Answer<S>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
