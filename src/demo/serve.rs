//! The simulated Kong's status listener. In: a listener and a simulation. Out: answers with Kong's
//! headers, in chunks as Kong cuts them. Time passes in the simulation as it does outside.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use super::Simulation;

/// Answers on `listener` until `shutdown` resolves. Meant for loopback: no limits, no timeouts but
/// hyper's own.
pub async fn serve(
    listener: TcpListener,
    simulation: Simulation,
    shutdown: impl Future<Output = ()>,
) {
    let kong = Arc::new(Mutex::new(Kong { simulation, at: Instant::now() }));
    let connections = GracefulShutdown::new();
    tokio::select! {
        () = accept(&listener, &kong, &connections) => {}
        () = shutdown => {}
    }
    drop(listener);
    // Whoever has not taken his answer by then is not waited for.
    let _ = timeout(Duration::from_secs(1), connections.shutdown()).await;
}

/// Never ends by itself.
async fn accept(listener: &TcpListener, kong: &Arc<Mutex<Kong>>, connections: &GracefulShutdown) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "make-believe kong cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let kong = Arc::clone(kong);
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(&kong, &request);
            async { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the make-believe kong ended");
            }
        });
    }
}

struct Kong {
    simulation: Simulation,
    /// Up to when the simulation has run.
    at: Instant,
}

impl Kong {
    fn expose(&mut self) -> String {
        let now = Instant::now();
        // Second by second, so that latency moves on within a long pause too.
        while self.at < now {
            let step = (now - self.at).min(Duration::from_secs(1));
            self.simulation.advance(step);
            self.at += step;
        }
        self.simulation.to_string()
    }
}

fn answer(kong: &Mutex<Kong>, request: &Request<Incoming>) -> Response<Chunks> {
    let json = |status, message: &str| {
        let text = format!("{{\"message\":\"{message}\"}}");
        (status, "application/json; charset=utf-8", text)
    };
    let (status, content_type, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let text = kong.lock().unwrap_or_else(PoisonError::into_inner).expose();
            (StatusCode::OK, "text/plain; charset=UTF-8", text)
        }
        (_, "/metrics") => json(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        (_, "/status/ready") => json(StatusCode::OK, "ready"),
        _ => json(StatusCode::NOT_FOUND, "Not found"),
    };
    let mut response = Response::new(Chunks(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("x-kong-admin-latency", HeaderValue::from_static("3"));
    headers.insert(SERVER, HeaderValue::from_static("kong/3.10.0"));
    response
}

/// A body that hyper sends in chunks of a hundred lines, as Kong does; its length is not announced.
struct Chunks(Bytes);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let end = memchr::memchr_iter(b'\n', &self.0).nth(99).map_or(self.0.len(), |at| at + 1);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(end)))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use tokio::sync::oneshot;
    use tokio::task::spawn_blocking;

    use super::*;

    /// What comes back for one request, head and body as on the wire.
    async fn exchange(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, Simulation::new(1), async {
            let _ = stopped.await;
        }));
        let request = format!("{request}\r\nHost: kong\r\nConnection: close\r\n\r\n");
        let client = spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).unwrap();
            response
        });
        let response = client.await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap();
        response
    }

    #[tokio::test]
    async fn metrics_come_with_kongs_headers_in_chunks() {
        let response = exchange("GET /metrics HTTP/1.1").await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for header in [
            "Content-Type: text/plain; charset=UTF-8",
            "Transfer-Encoding: chunked",
            "Access-Control-Allow-Origin: *",
            "X-Kong-Admin-Latency: 3",
            "Server: kong/3.10.0",
        ] {
            assert!(head.lines().any(|line| line == header), "no {header} in {head}");
        }
        assert!(body.matches("\r\n").count() > 4, "more than one chunk");
        assert!(body.ends_with("\n\r\n0\r\n\r\n"), "a line end, then the last chunk");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_answered_as_kong_does() {
        let response = exchange("GET /metric HTTP/1.1").await;
        assert!(response.starts_with("HTTP/1.1 404 Not Found\r\n"), "{response}");
        assert!(response.contains("{\"message\":\"Not found\"}"), "{response}");
        let response = exchange("POST /metrics HTTP/1.1").await;
        assert!(response.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{response}");
    }
}
