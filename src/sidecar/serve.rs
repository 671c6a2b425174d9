//! Connections in, answers out: accepting, limits, and an orderly end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::sidecar::socket::{Limit, Socket};
use crate::sidecar::{Shared, pages};

/// See [`crate::sidecar::run`].
pub(super) async fn run(
    shared: &Arc<Shared>,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = Duration>,
) {
    for listener in &listeners {
        match listener.local_addr() {
            Ok(address) => tracing::info!(%address, "listening"),
            Err(error) => tracing::warn!(%error, "listening on an address that cannot be told"),
        }
    }
    let connections = GracefulShutdown::new();
    let ending = async {
        let delay = shutdown.await;
        shared.drain();
        if !delay.is_zero() {
            tracing::info!(?delay, "shutting down, still answering");
            sleep(delay).await;
        }
    };
    tokio::select! {
        () = accept_all(shared, &listeners, &connections) => {}
        () = ending => {}
    }
    drop(listeners);
    tracing::info!(connections = connections.count(), "no new connections, answers end");
    match timeout(DRAIN, connections.shutdown()).await {
        Ok(()) => tracing::info!("shut down"),
        Err(_) => tracing::warn!(?DRAIN, "shut down, some clients did not take their answers"),
    }
}

/// Never ends by itself.
async fn accept_all(
    shared: &Arc<Shared>,
    listeners: &[TcpListener],
    connections: &GracefulShutdown,
) {
    let places = Arc::new(Semaphore::new(shared.config.max_connections));
    let (mut is_full, mut is_failing) = (false, false);
    for turn in 0.. {
        match accept_any(listeners, turn).await {
            Ok((stream, peer)) => {
                is_failing = false;
                let place = place(&places, &mut is_full).await;
                serve(Arc::clone(shared), stream, peer, place, connections);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: asking again at once would only burn CPU.
                if !is_failing {
                    tracing::warn!(%error, "cannot accept connections, trying on");
                    is_failing = true;
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The next connection of any listener; `turn` moves who is asked first, so that none starves.
async fn accept_any(listeners: &[TcpListener], turn: usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|cx| {
        let start = turn.checked_rem(listeners.len()).unwrap_or(0);
        let (later, first) = listeners.split_at(start);
        for listener in first.iter().chain(later) {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits while `--web.max-connections` are open. Meanwhile the kernel keeps who comes.
async fn place(places: &Arc<Semaphore>, is_full: &mut bool) -> Option<OwnedSemaphorePermit> {
    let was_full = *is_full;
    let place = Arc::clone(places).try_acquire_owned();
    *is_full = place.is_err();
    if *is_full && !was_full {
        tracing::warn!("all connections in use (--web.max-connections), further clients wait");
    }
    match place {
        Ok(place) => Some(place),
        Err(_) => Arc::clone(places).acquire_owned().await.ok(),
    }
}

fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Option<OwnedSemaphorePermit>,
    connections: &GracefulShutdown,
) {
    // An answer is written in whole chunks; waiting to fill a packet would only delay its end.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let limit = Limit::new();
    let socket = Socket::new(stream, Arc::clone(&limit));
    let acceptor = shared.config.tls.as_ref().map(|tls| tls.acceptor());
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        let limit = Arc::clone(&limit);
        async move { Ok::<_, Infallible>(pages::answer(&shared, &request, peer.ip(), &limit).await) }
    });
    let http = http();
    let Some(acceptor) = acceptor else {
        let connection = http.serve_connection(TokioIo::new(socket), service);
        tokio::spawn(connected(connections.watch(connection), peer, place));
        return;
    };
    let watcher = connections.watcher();
    tokio::spawn(async move {
        let stream = match timeout(HANDSHAKE, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, %peer, "no TLS with a client"),
            Err(_) => return tracing::debug!(%peer, "no TLS with a client in time"),
        };
        let connection = http.serve_connection(TokioIo::new(stream), service);
        connected(watcher.watch(connection), peer, place).await;
    });
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEAD_BYTES);
    http
}

/// To the end of the connection, which gives its place back.
async fn connected(
    connection: impl Future<Output = hyper::Result<()>>,
    peer: SocketAddr,
    _place: Option<OwnedSemaphorePermit>,
) {
    // Clients that leave, stall or talk nonsense, and answers broken off on purpose: all told
    // elsewhere where it matters.
    if let Err(error) = connection.await {
        tracing::debug!(error = %crate::telemetry::Chain(&error), %peer, "connection ended");
    }
}

/// What accept(2) says of a connection that was gone before it was taken.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// How long answers may take to end once no new ones are begun. With `--shutdown-delay` it stays
/// below the 30 s that Kubernetes gives by default.
const DRAIN: Duration = Duration::from_secs(10);

/// Longer than a minute, so that a scraper with that interval keeps its connection; also the time
/// for a request's head.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// For a handshake; a client that has sent nothing by then is not shaking hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Of one connection in either direction. hyper's default of 400 KiB cost more CPU and memory.
const BUFFER_BYTES: usize = 64 * 1024;

/// A longer request head gets a 431. Scrapers send some 500 bytes, a token a few KB more.
const HEAD_BYTES: usize = 32 * 1024;

const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
