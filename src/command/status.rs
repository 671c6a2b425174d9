//! The pages of a command that serves no Kong metrics: `/metrics`, `/livez`, `/readyz`.
//!
//! In: listeners, what the command has to say, and a future that says when to end. Out: answers. The
//! one decision: small answers from memory, so a few connections at once are enough and nothing
//! here can hold up the command's own work.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// What a command has to say.
pub(super) trait Status: Send + Sync + 'static {
    /// Its metrics, in the classic format.
    fn metrics(&self, out: &mut Vec<u8>);

    /// Why it is not ready; `Ok` where it is.
    fn ready(&self) -> Result<(), &'static str>;
}

/// Answers until `end` resolves.
pub(super) async fn serve(
    listeners: Vec<TcpListener>,
    status: Arc<impl Status>,
    end: impl Future<Output = ()>,
) {
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "listening");
        }
        accepting.spawn(accept(listener, Arc::clone(&status)));
    }
    end.await;
}

async fn accept(listener: TcpListener, status: Arc<impl Status>) -> Infallible {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let status = Arc::clone(&status);
                tokio::spawn(async move {
                    connection(stream, status).await;
                    drop(place);
                });
            }
            // Out of file descriptors, or a client that has left.
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, status: Arc<impl Status>) {
    let service = service_fn(move |request| {
        let answer = answer(&request, &*status);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

fn answer<B>(request: &Request<B>, status: &impl Status) -> Response<Full<Bytes>> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    match request.uri().path() {
        METRICS | LIVEZ | READYZ if !is_read => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        METRICS => {
            let mut body = Vec::new();
            status.metrics(&mut body);
            page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body.into())
        }
        LIVEZ => text(StatusCode::OK, "ok\n"),
        READYZ => match status.ready() {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
        },
        _ => text(StatusCode::NOT_FOUND, "not found: there are /metrics, /livez and /readyz\n"),
    }
}

fn text(status: StatusCode, line: &'static str) -> Response<Full<Bytes>> {
    page(status, "text/plain; charset=utf-8", line.into())
}

fn page(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

const METRICS: &str = "/metrics";
const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";

/// A scraper or two, and probes.
const MAX_CONNECTIONS: usize = 64;

/// Longer than a minute, so that a scraper with that interval keeps its connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// hyper's smallest.
const BUFFER_BYTES: usize = 8 * 1024;

const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
