//! A proxy in front of the API server: bytes in, the same bytes out, counted; or late, or not at
//! all. It does not look into them, so a client's TLS is the server's. What it counts is therefore
//! what goes over the network, with the frames and signatures of TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A proxy. It ends when it is dropped, with its connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    mood: watch::Sender<Mood>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    to_server: AtomicU64,
    to_client: AtomicU64,
    accepted: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
struct Mood {
    new: Arrival,
    /// Connections that are older than this many cuts have ended.
    cuts: usize,
    /// Those that are older than this many are mute.
    mutes: usize,
    delay: Duration,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, PartialEq)]
enum Arrival {
    Served,
    /// Accepted and ended at once.
    Refused,
    /// Accepted and never answered.
    Swallowed,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Mood { new: Arrival::Served, cuts: 0, mutes: 0, delay: Duration::ZERO };
        let (mood, moods) = watch::channel(mood);
        let state = Arc::new(State::default());
        let task = tokio::spawn(accept(listener, server, Arc::clone(&state), moods));
        Self { address, state, mood, task }
    }

    /// From clients to the server, so far.
    pub(crate) fn bytes_to_server(&self) -> u64 {
        self.state.to_server.load(Ordering::SeqCst)
    }

    /// From the server to clients, so far.
    pub(crate) fn bytes_to_client(&self) -> u64 {
        self.state.to_client.load(Ordering::SeqCst)
    }

    /// Connections so far, those that were refused among them.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Ends all connections; new ones are served.
    pub(crate) fn cut(&self) {
        self.mood.send_modify(|mood| mood.cuts += 1);
    }

    /// Ends all connections, and new ones at once.
    pub(crate) fn refuse(&self) {
        self.mood.send_modify(|mood| {
            mood.new = Arrival::Refused;
            mood.cuts += 1;
        });
    }

    /// Keeps all connections open, but nothing passes; new ones are accepted and nothing more. This
    /// is what a client sees of a server whose network has gone.
    pub(crate) fn swallow(&self) {
        self.mood.send_modify(|mood| {
            mood.new = Arrival::Swallowed;
            mood.mutes += 1;
        });
    }

    /// New connections are served again. What was swallowed stays mute: it lacks bytes.
    pub(crate) fn serve(&self) {
        self.mood.send_modify(|mood| mood.new = Arrival::Served);
    }

    /// Each piece of what passes waits so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.mood.send_modify(|mood| mood.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        // The connections' tasks are not this one's.
        self.refuse();
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    state: Arc<State>,
    moods: watch::Receiver<Mood>,
) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        state.accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(client, server, Arc::clone(&state), moods.clone()));
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    state: Arc<State>,
    mut moods: watch::Receiver<Mood>,
) {
    let begun = *moods.borrow_and_update();
    let mut ended = moods.clone();
    // The sender goes with the proxy; then this ends, too.
    let cut = async move { ended.wait_for(|now| now.cuts > begun.cuts).await.map(|_| ()) };
    let passing = async {
        match begun.new {
            Arrival::Refused => return Ok(()),
            Arrival::Swallowed => return std::future::pending().await,
            Arrival::Served => {}
        }
        let (from_server, to_server) = TcpStream::connect(server).await?.into_split();
        let (from_client, to_client) = client.into_split();
        tokio::try_join!(
            pass(from_client, to_server, &state.to_server, moods.clone(), begun.mutes),
            pass(from_server, to_client, &state.to_client, moods.clone(), begun.mutes),
        )?;
        io::Result::Ok(())
    };
    tokio::select! {
        _ = passing => {}
        _ = cut => {}
    }
}

/// Until one side ends; then the other side learns of it.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    count: &AtomicU64,
    moods: watch::Receiver<Mood>,
    mutes: usize,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let mood = *moods.borrow();
        if mood.mutes > mutes {
            return std::future::pending().await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        if mood.delay > Duration::ZERO {
            sleep(mood.delay).await;
        }
        to.write_all(&buffer[..length]).await?;
        count.fetch_add(length as u64, Ordering::SeqCst);
    }
}
