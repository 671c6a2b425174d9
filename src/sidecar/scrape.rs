//! One scrape: a client's `GET /metrics` in, an answer out whose body is still to come.
//!
//! Kong's bytes pass through as they arrive, one of its chunks at a time; the exporter's own
//! metrics end the answer. What fails before the first byte becomes an answer of own metrics alone
//! (or a 502), what fails later breaks the connection off: a client must never take a part for the
//! whole.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::rewrite::{Rewriter, Selection};
use crate::sidecar::answer::{self, Answer};
use crate::sidecar::frames::Frames;
use crate::sidecar::gzip::{self, Gzip};
use crate::sidecar::kong::{self, Passage, Step};
use crate::sidecar::socket::Limit;
use crate::sidecar::{Shared, deadline};
use crate::telemetry::Chain;

/// Answers `GET /metrics`.
pub(crate) async fn answer<B>(
    shared: &Arc<Shared>,
    request: &Request<B>,
    limit: &Arc<Limit>,
) -> Response<Answer<Box<Scrape>>> {
    let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() else {
        shared.metrics.scrape_rejected();
        tracing::debug!("scrape refused, too many at once");
        return answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many scrapes at once (--web.max-requests)\n".to_owned(),
        );
    };
    let mut scrape = Box::new(Scrape::start(shared, permit, request, limit));
    if let Err(error) = scrape.open().await {
        scrape.fail(&error);
        if shared.config.fail_on_kong_error {
            return answer::text(StatusCode::BAD_GATEWAY, format!("{}\n", Chain(&error)));
        }
        let mut own = Vec::new();
        shared.append_own(&scrape.selection, &mut own);
        return answer::metrics(Answer::Left(own.into()));
    }
    let is_packed = scrape.gzip.is_some();
    let mut response = answer::metrics(Answer::Right(scrape));
    if is_packed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A scrape from its start to its last byte, and the body of its answer. What it holds (a place
/// among `--web.max-requests`, the memo) is given back when it is dropped, however that comes.
#[derive(Debug)]
pub(crate) struct Scrape {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
    limit: Arc<Limit>,
    selection: Selection,
    /// For HTTP/1.0, where the answer ends with the connection.
    is_close_delimited: bool,
    gzip: Option<Gzip>,
    started: Instant,
    deadline: Instant,
    first_byte: Duration,
    /// Kong's body; `None` before it has begun and after the answer is complete or broken.
    passage: Option<Passage>,
    /// Whether Kong's body has ended well. What is left to say then are the own metrics.
    is_kong_done: bool,
    /// Whether the answer is complete, or has failed.
    is_over: bool,
    /// What the next frame will hold.
    out: Vec<u8>,
    frames: Frames,
    /// Whether the first frame has gone out. It waits for nothing.
    has_begun: bool,
    /// Polls put off since Kong's last chunk, to let its connection read the next.
    yields: u8,
}

impl Scrape {
    fn start<B>(
        shared: &Arc<Shared>,
        permit: OwnedSemaphorePermit,
        request: &Request<B>,
        limit: &Arc<Limit>,
    ) -> Self {
        let config = &shared.config;
        let started = Instant::now();
        let deadline = started + deadline::budget(request.headers(), config.kong_timeout);
        limit.until(deadline + GRACE);
        shared.metrics.scrape_entered();
        Self {
            shared: Arc::clone(shared),
            _permit: permit,
            limit: Arc::clone(limit),
            selection: Selection::from_query(request.uri().query().unwrap_or_default()),
            is_close_delimited: request.version() < Version::HTTP_11,
            gzip: (config.gzip_level > 0 && gzip::is_wanted(request.headers()))
                .then(|| Gzip::new(config.gzip_level)),
            started,
            deadline,
            first_byte: Duration::ZERO,
            passage: None,
            is_kong_done: false,
            is_over: false,
            out: Vec::new(),
            frames: Frames::default(),
            has_begun: false,
            yields: 0,
        }
    }

    /// Gets as far as the first bytes to put out, or to a complete answer without any.
    async fn open(&mut self) -> Result<(), kong::Error> {
        let shared = &self.shared;
        let body = shared.kong.get(self.deadline).await?;
        self.first_byte = self.started.elapsed();
        let rewriter = Rewriter::new(
            Arc::clone(&shared.config.labels),
            Arc::clone(&shared.config.families),
            self.selection.clone(),
            shared.mapping.current.load(),
            shared.record.take_memo(),
        );
        let passage = self.passage.insert(Passage::new(body, self.deadline, rewriter));
        while !self.is_kong_done && (self.out.is_empty() || !passage.is_exposition()) {
            let step = poll_fn(|cx| passage.poll_step(cx, &mut self.out)).await?;
            self.is_kong_done = step == Step::End;
        }
        // From here on a broken connection must look like one.
        self.limit.reset_on_close(self.is_close_delimited);
        Ok(())
    }

    /// Fills `out` with the bytes that follow, own metrics included; may leave it empty. Sets
    /// `is_over` with the last.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), kong::Error>> {
        if self.has_begun || self.out.is_empty() {
            ready!(self.poll_kong(cx))?;
        }
        self.has_begun = true;
        if self.is_kong_done {
            if let Some(rewriter) = self.passage.take().map(Passage::into_rewriter) {
                self.shared.kong_answered(rewriter, self.first_byte, self.started.elapsed());
            }
            self.shared.append_own(&self.selection, &mut self.out);
            self.is_over = true;
            self.limit.reset_on_close(false);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes from Kong what is there, up to a frame's worth; waits only while there is nothing. A
    /// write costs the kernel little more for being twice as long.
    fn poll_kong(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), kong::Error>> {
        let Some(passage) = &mut self.passage else { return Poll::Ready(Ok(())) };
        if self.out.capacity() == 0 {
            self.out = self.frames.take();
        }
        while !self.is_kong_done && self.out.len() < FRAME_BYTES {
            match passage.poll_step(cx, &mut self.out) {
                Poll::Ready(step) => {
                    self.is_kong_done = step? == Step::End;
                    self.yields = 0;
                }
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending if self.yields == YIELDS => break,
                // hyper reads the next chunk in a task of its own once this one has been taken.
                Poll::Pending => {
                    self.yields += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What `out` holds, as it is to be sent; may be empty.
    fn frame(&mut self) -> io::Result<Bytes> {
        let out = mem::take(&mut self.out);
        let packed = match self.gzip.take() {
            None => return Ok(self.frames.lend(out)),
            Some(gzip) if self.is_over => gzip.finish(&out)?,
            Some(mut gzip) => {
                let packed = gzip.push(&out)?;
                self.gzip = Some(gzip);
                packed
            }
        };
        self.frames.give_back(out);
        Ok(packed.into())
    }

    fn fail(&mut self, error: &kong::Error) {
        self.is_over = true;
        let rewriter = self.passage.take().map(Passage::into_rewriter);
        self.shared.kong_failed(error, rewriter, self.started.elapsed());
    }
}

impl Body for Scrape {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        while !this.is_over {
            if let Err(error) = ready!(this.poll_fill(cx)) {
                this.fail(&error);
                return Poll::Ready(Some(Err(error.into())));
            }
            let bytes = this.frame()?;
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.shared.metrics.scrape_left();
        if !self.is_over {
            self.shared.metrics.scrape_abandoned();
            tracing::debug!("client left before its answer's end");
        }
        if let Some(passage) = self.passage.take() {
            self.shared.record.keep_memo(passage.into_rewriter().into_parts().0);
        }
    }
}

/// When a frame is long enough to go out though Kong has more to say.
const FRAME_BYTES: usize = 128 * 1024;

/// hyper's server asks twice before it lets the task of Kong's connection run.
const YIELDS: u8 = 2;

/// For the client to take what Kong had sent by the deadline.
const GRACE: Duration = Duration::from_secs(2);
