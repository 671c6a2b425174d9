//! A make-believe Kong on raw sockets: every byte, pause and cut is the test's own.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What Kong does when a request has come.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Goes on when the test adds a permit.
    Wait(Arc<Semaphore>),
    /// Says no more, but stays.
    Hang,
    /// Ends the connection in order.
    Close,
    /// The bytes, again and again.
    Repeat(Vec<u8>),
}

#[derive(Default)]
struct State {
    script: Mutex<Vec<Step>>,
    once: Mutex<Option<Vec<Step>>>,
    requests: Mutex<Vec<String>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    sent: AtomicUsize,
}

pub struct Kong {
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Kong {
    /// One that answers every request by `script` and then keeps the connection.
    pub async fn start(script: Vec<Step>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub async fn start_at(address: SocketAddr, script: Vec<Step>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let state = Arc::new(State { script: Mutex::new(script), ..State::default() });
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// From the next request on.
    pub fn answers(&self, script: Vec<Step>) {
        *self.state.script.lock().unwrap() = script;
    }

    /// For the next request only.
    pub fn answers_once(&self, script: Vec<Step>) {
        *self.state.once.lock().unwrap() = Some(script);
    }

    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Bytes that went into sockets so far.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Listens no more; connections stay.
    pub async fn stop_listening(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        state.accepted.fetch_add(1, Ordering::SeqCst);
        state.open.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _ = serve(stream, &state).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return Ok(()),
            }
        }
        state.requests.lock().unwrap().push(String::from_utf8(std::mem::take(&mut head)).unwrap());
        let once = state.once.lock().unwrap().take();
        let script = once.unwrap_or_else(|| state.script.lock().unwrap().clone());
        for step in script {
            match step {
                Step::Send(bytes) => send(&mut stream, &bytes, state).await?,
                Step::Repeat(bytes) => loop {
                    send(&mut stream, &bytes, state).await?;
                },
                Step::Close => return Ok(()),
                Step::Pause(time) => tokio::select! {
                    () = sleep(time) => {}
                    _ = stream.read_u8() => return Ok(()),
                },
                Step::Wait(gate) => tokio::select! {
                    permit = gate.acquire() => permit.unwrap().forget(),
                    _ = stream.read_u8() => return Ok(()),
                },
                Step::Hang => {
                    let _ = stream.read_u8().await;
                    return Ok(());
                }
            }
        }
    }
}

async fn send(stream: &mut TcpStream, bytes: &[u8], state: &State) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    state.sent.fetch_add(bytes.len(), Ordering::SeqCst);
    Ok(())
}

/// The head that Kong 3.10 sends, chunked.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 02:28:07 GMT\r\n\
    Content-Type: text/plain; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\
    Access-Control-Allow-Origin: *\r\nX-Kong-Admin-Latency: 3\r\nServer: kong/3.10.0\r\n\r\n";

/// A head with these lines and no more.
pub fn head(status: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{lines}\r\n")
}

/// One HTTP chunk.
pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Chunks as Kong writes them: at line ends, a hundred lines each; without the last, empty one.
pub fn chunks(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.chunks(100).map(|lines| chunk(&lines.concat())).collect()
}

pub const LAST_CHUNK: &str = "0\r\n\r\n";

pub fn send_text(text: impl Into<String>) -> Step {
    Step::Send(text.into().into_bytes())
}

/// A whole good answer.
pub fn good(text: &str) -> Vec<Step> {
    vec![send_text(format!("{HEAD}{}{LAST_CHUNK}", chunks(text)))]
}

/// An exposition in Kong's shape with so many services, some 4 lines each.
pub fn exposition(services: usize) -> String {
    let mut text = String::from(
        "# HELP kong_datastore_reachable Datastore reachable from Kong, 0 is unreachable\n\
         # TYPE kong_datastore_reachable gauge\nkong_datastore_reachable 1\n\
         # HELP kong_http_requests_total HTTP status codes per consumer/service/route in Kong\n\
         # TYPE kong_http_requests_total counter\n",
    );
    for i in 0..services {
        for code in ["200", "404", "503"] {
            text += &format!(
                "kong_http_requests_total{{service=\"shop.svc-{i}.80\",route=\"r-{i}\",code=\"{code}\",\
                 source=\"service\",workspace=\"default\",consumer=\"\"}} {}\n",
                1000 + i
            );
        }
    }
    text
}
