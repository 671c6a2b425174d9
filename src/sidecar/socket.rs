//! A client's connection: bytes in and out, and an end to waiting for a client that does not read.
//!
//! hyper asks for the next part of an answer only when the last has gone out, and waits for that
//! as long as the client likes. So the limit is set here, below hyper: a write that is still stuck
//! at the answer's deadline fails, which ends the connection and all that hangs on it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// By when the answer that is being written has to be gone.
#[derive(Debug)]
pub(crate) struct Limit {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    deadline: Instant,
    reset: bool,
}

impl Limit {
    /// Holds for what is sent before the first request is understood, such as a 431.
    pub(crate) fn new() -> Arc<Self> {
        let deadline = Instant::now() + PAGE_TIMEOUT;
        Arc::new(Self { state: Mutex::new(State { deadline, reset: false }) })
    }

    /// The answer is a small page.
    pub(crate) fn page(&self) {
        self.until(Instant::now() + PAGE_TIMEOUT);
    }

    /// The answer has to be gone by `deadline`.
    pub(crate) fn until(&self, deadline: Instant) {
        self.state().deadline = deadline;
    }

    /// Whether closing the connection now is to be a reset and no orderly end. An HTTP/1.0 client
    /// takes the orderly end for the end of the answer, so it must not see one before.
    pub(crate) fn reset_on_close(&self, reset: bool) {
        self.state().reset = reset;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    limit: Arc<Limit>,
    /// Runs while a write is stuck.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Puts `limit` on the stream's writes.
    pub(crate) fn new(stream: TcpStream, limit: Arc<Limit>) -> Self {
        Self { stream, limit, timer: None }
    }

    /// Lets a finished write pass and gives a stuck one until the deadline.
    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let deadline = self.limit.state().deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        // What the kernel still holds for this client is to go too.
        self.limit.reset_on_close(true);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client does not read")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limited(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.limit.state().reset {
            // Best effort: it fails only where the connection is gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// For pages that fit into a socket's buffer: only a client that reads nothing at all needs longer.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
