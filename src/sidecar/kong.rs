//! The way to Kong: one GET over a kept-alive connection, and the body through the rewriter.
//!
//! In: a deadline. Out: rewritten chunks, then a proven end or the reason why there is none. The
//! text format has no end mark, so nothing is taken whose end cannot be told from a cut.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::rewrite::{Rewriter, Verdict};

/// Why a scrape got no whole exposition from Kong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot connect to kong")]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// No answer, or none that is HTTP.
    #[error("no answer from kong")]
    Request(#[source] hyper_util::client::legacy::Error),
    /// The deadline came first.
    #[error("kong did not send a whole answer in time")]
    Timeout,
    /// 404 where the Prometheus plugin is not enabled, 500 where its dictionary is missing.
    #[error("kong answered {0}")]
    Status(StatusCode),
    /// HTML, JSON, or nothing said.
    #[error("kong's answer is of type {0:?}, not text/plain")]
    ContentType(String),
    /// Compressed, though it was asked not to be.
    #[error("kong's answer is encoded as {0:?}")]
    ContentEncoding(String),
    /// Neither chunked nor with a length: a cut would look like the end.
    #[error("kong's answer has neither chunks nor a length: its end cannot be told from a cut")]
    CloseDelimited,
    /// text/plain, but its first line is of no exposition.
    #[error("kong's answer is no exposition")]
    NotMetrics,
    /// The connection ended before the body did.
    #[error("kong's answer broke off")]
    Cut(#[source] hyper::Error),
    /// The body ended, but in mid-line.
    #[error("kong's answer ended in the middle of a line")]
    CutLine,
}

impl Error {
    /// Every value of [`Self::reason`].
    pub const REASONS: [&str; 8] = [
        "connect",
        "request",
        "timeout",
        "status",
        "content_type",
        "content_encoding",
        "not_metrics",
        "truncated",
    ];

    /// The `reason` label of `kong_exporter_kong_errors_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Request(_) => "request",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::ContentType(_) => "content_type",
            Self::ContentEncoding(_) => "content_encoding",
            Self::NotMetrics => "not_metrics",
            Self::CloseDelimited | Self::Cut(_) | Self::CutLine => "truncated",
        }
    }
}

/// Kong's status listener.
#[derive(Debug)]
pub(crate) struct Kong {
    client: Client<HttpConnector, Empty<Bytes>>,
    uri: Uri,
}

impl Kong {
    /// `uri` is http; up to `max_idle` connections are kept between scrapes.
    pub(crate) fn new(uri: Uri, max_idle: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(max_idle)
            .http1_max_buf_size(READ_BUFFER_BYTES)
            .build(connector);
        Self { client, uri }
    }

    /// Asks for the metrics. `Ok` is a body that may be an exposition and whose end can be proven.
    pub(crate) async fn get(&self, deadline: Instant) -> Result<Incoming, Error> {
        let response =
            timeout_at(deadline, self.ask(deadline)).await.map_err(|_| Error::Timeout)??;
        if response.status() != StatusCode::OK {
            return Err(Error::Status(response.status()));
        }
        check(response.headers())?;
        Ok(response.into_body())
    }

    async fn ask(&self, deadline: Instant) -> Result<Response<Incoming>, Error> {
        let mut answer = self.client.request(self.request(deadline)).await;
        if answer.as_ref().is_err_and(is_hang_up) {
            // A kept connection may end just when it is used again. Asking does nothing to Kong,
            // so it can be asked once more.
            answer = self.client.request(self.request(deadline)).await;
        }
        answer.map_err(|error| {
            if error.is_connect() { Error::Connect(error) } else { Error::Request(error) }
        })
    }

    fn request(&self, deadline: Instant) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let seconds = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
        if let Ok(seconds) = HeaderValue::from_str(&format!("{seconds:.3}")) {
            headers.insert(super::deadline::HEADER, seconds);
        }
        request
    }
}

/// Whether the connection ended before a word of an answer.
fn is_hang_up(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::ConnectionReset;
        }
        cause = error.source();
    }
    false
}

fn check(headers: &HeaderMap) -> Result<(), Error> {
    let text = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).into_owned())
    };
    let content_type = text(header::CONTENT_TYPE);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/plain") {
        return Err(Error::ContentType(content_type));
    }
    let encoding = text(header::CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Error::ContentEncoding(encoding));
    }
    // hyper has refused contradictions (a transfer coding in HTTP/1.0, differing lengths) by now.
    let coding = text(header::TRANSFER_ENCODING);
    let chunked =
        coding.rsplit(',').next().is_some_and(|c| c.trim().eq_ignore_ascii_case("chunked"));
    let sized = coding.is_empty() && headers.contains_key(header::CONTENT_LENGTH);
    if chunked || sized { Ok(()) } else { Err(Error::CloseDelimited) }
}

/// A body of Kong's on its way through the rewriter.
#[derive(Debug)]
pub(crate) struct Passage {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
    rewriter: Rewriter,
}

/// What one step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A chunk, which may have given no output yet.
    Chunk,
    /// The proven end.
    End,
}

impl Passage {
    pub(crate) fn new(body: Incoming, deadline: Instant, rewriter: Rewriter) -> Self {
        Self { body, deadline: Box::pin(sleep_until(deadline)), rewriter }
    }

    /// Takes Kong's next chunk and appends to `out` what it gives. Not to be called after an end
    /// or an error.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Step, Error>> {
        // First, so that a Kong which always has another byte does not get round it.
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Error::Timeout));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(self.finish(out));
        };
        let chunk = match frame.map(Frame::into_data) {
            Ok(Ok(chunk)) => chunk,
            // Trailers say nothing that matters here.
            Ok(Err(_)) => return Poll::Ready(Ok(Step::Chunk)),
            Err(error) => return Poll::Ready(Err(Error::Cut(error))),
        };
        self.rewriter.push(&chunk, out);
        Poll::Ready(match self.rewriter.verdict() {
            Verdict::Exposition => Ok(Step::Chunk),
            // Blank lines; held back until something follows, but not for ever.
            Verdict::Undecided if out.len() <= READ_BUFFER_BYTES => Ok(Step::Chunk),
            Verdict::Undecided | Verdict::SomethingElse => Err(Error::NotMetrics),
        })
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Step, Error> {
        let ended_with_a_line = self.rewriter.finish(out);
        match self.rewriter.verdict() {
            // An empty body, or blank lines. Kong prints some 30 lines even when idle.
            Verdict::Undecided | Verdict::SomethingElse => Err(Error::NotMetrics),
            Verdict::Exposition if !ended_with_a_line => Err(Error::CutLine),
            Verdict::Exposition => Ok(Step::End),
        }
    }

    /// Whether what has been put out may go out: it is part of an exposition.
    pub(crate) fn is_exposition(&self) -> bool {
        self.rewriter.verdict() == Verdict::Exposition
    }

    /// The rewriter, with its memo and its counts.
    pub(crate) fn into_rewriter(self) -> Rewriter {
        self.rewriter
    }
}

const USER_AGENT: &str = concat!("kong-metrics-exporter/", env!("CARGO_PKG_VERSION"));

/// Kong is on this host; a connection that takes longer than this will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Below the 75 s after which nginx closes an idle connection, so that it is rarely Kong who does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// hyper's default would let a read grow to 400 KB; 16 and 256 KiB both cost more CPU, the latter
/// 2 MiB of memory too.
const READ_BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[(&'static str, &'static str)]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        check(&headers).map_err(|error| error.reason().to_owned())
    }

    #[test]
    fn what_kong_sends_is_taken() {
        let kong = ("content-type", "text/plain; charset=UTF-8");
        assert_eq!(verdict(&[kong, ("transfer-encoding", "chunked")]), Ok(()));
        assert_eq!(verdict(&[kong, ("content-length", "10")]), Ok(()));
        assert_eq!(
            verdict(&[
                ("content-type", "Text/Plain"),
                ("content-encoding", "identity"),
                ("content-length", "1")
            ]),
            Ok(())
        );
    }

    #[test]
    fn a_body_whose_end_cannot_be_proven_is_refused() {
        let kong = ("content-type", "text/plain");
        assert_eq!(verdict(&[kong]), Err("truncated".to_owned()));
        assert_eq!(verdict(&[kong, ("transfer-encoding", "gzip")]), Err("truncated".to_owned()));
    }

    #[test]
    fn other_types_and_encodings_are_refused() {
        let sized = ("content-length", "10");
        for kind in ["text/html", "application/json", "", "text/plainer"] {
            assert_eq!(verdict(&[("content-type", kind), sized]), Err("content_type".to_owned()));
        }
        assert_eq!(verdict(&[sized]), Err("content_type".to_owned()));
        assert_eq!(
            verdict(&[("content-type", "text/plain"), ("content-encoding", "gzip"), sized]),
            Err("content_encoding".to_owned())
        );
    }

    #[test]
    fn every_reason_is_announced() {
        let errors = [
            Error::Timeout,
            Error::ContentType(String::new()),
            Error::ContentEncoding(String::new()),
            Error::CloseDelimited,
            Error::NotMetrics,
            Error::CutLine,
            Error::Status(StatusCode::NOT_FOUND),
        ];
        for error in errors {
            assert!(Error::REASONS.contains(&error.reason()), "{error}");
        }
    }
}
