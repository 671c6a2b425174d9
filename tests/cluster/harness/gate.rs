//! A gate in front of the API server: requests of one process in, the same requests out, except for
//! the writes that are to meet with something. Unlike [`super::proxy::Proxy`] it looks into them, so
//! it speaks plain HTTP to the process and TLS, with an account's token, to the server.
//!
//! Writes are counted from 1 on; Leases and Events are none.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::account::Account;
use super::cluster::Cluster;
use super::plane::APISERVER_ADDRESS;

/// A gate. It ends when it is dropped; connections end with their clients.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    kubeconfig: PathBuf,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    client: Client,
    inner: Mutex<Inner>,
    /// How many writes have met with [`Fate::Hang`] or [`Fate::HangAfter`].
    hung: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    writes: Vec<Sent>,
    fates: BTreeMap<usize, Fate>,
    /// For as long as it is set: what every write is answered.
    always: Option<u16>,
}

/// A write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The status that the process was told; 0 where it was told nothing.
    pub(crate) status: u16,
}

/// What a write meets with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    /// The server never hears of it, and the process is told this.
    Answer(u16),
    /// The server does it, and the process is told this.
    AnswerAfter(u16),
    /// The connection breaks before the server has heard of it.
    Lose,
    /// The connection breaks before the process hears the answer.
    LoseAfter,
    /// Nothing more happens, the server has not heard of it.
    Hang,
    /// Nothing more happens, the server has done it.
    HangAfter,
}

impl Gate {
    pub(crate) async fn of(cluster: &Cluster, account: &Account) -> Self {
        let config = Kubeconfig::read_from(account.kubeconfig(APISERVER_ADDRESS)).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(config, &options).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let state = State { client, inner: Mutex::default(), hung: watch::Sender::new(0) };
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        let kubeconfig = cluster.plane.folder().join(format!("gate-{}.kubeconfig", address.port()));
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "gate", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "gate", "user": {}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "gate"}}],
            "current-context": "gate",
        });
        fs::write(&kubeconfig, content.to_string()).unwrap();
        Self { address, kubeconfig, state, task }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        self.kubeconfig.display().to_string()
    }

    /// The writes so far, those under way among them.
    pub(crate) fn writes(&self) -> Vec<Sent> {
        self.state.inner.lock().unwrap().writes.clone()
    }

    /// The same, as soon as so many have been answered: what a write did can be read before its
    /// answer has come by here. After ten seconds, those that there are.
    pub(crate) async fn writes_from(&self, least: usize) -> Vec<Sent> {
        for _ in 0..1_000 {
            if self.writes().iter().filter(|sent| sent.status != 0).count() >= least {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.writes()
    }

    /// Counts from 1 again, and lets everything pass.
    pub(crate) fn reset(&self) {
        *self.state.inner.lock().unwrap() = Inner::default();
        self.state.hung.send_replace(0);
    }

    /// The `number`th write meets with this.
    pub(crate) fn at(&self, number: usize, fate: Fate) {
        self.state.inner.lock().unwrap().fates.insert(number, fate);
    }

    /// All writes are answered so, or pass again.
    pub(crate) fn always(&self, status: Option<u16>) {
        self.state.inner.lock().unwrap().always = status;
    }

    /// Waits until a write hangs, since the last [`Self::reset`]; `false` where `end` comes first.
    pub(crate) async fn hangs(&self, end: impl Future<Output = ()>) -> bool {
        let mut hung = self.state.hung.subscribe();
        tokio::select! {
            _ = hung.wait_for(|hung| *hung > 0) => true,
            () = end => false,
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { state.pass(request).await }
            });
            let io = TokioIo::new(client);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}

impl State {
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>, kube::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(kube::Error::HyperError)?.to_bytes();
        let path = head.uri.path().to_owned();
        let is_write = ![Method::GET, Method::HEAD].contains(&head.method)
            && !path.contains("/leases")
            && !path.contains("/events");
        if !is_write {
            return self.forward(head, body).await;
        }
        let (at, fate) = {
            let mut inner = self.inner.lock().unwrap();
            let sent = serde_json::from_slice(&body).unwrap_or_default();
            let method = head.method.to_string();
            inner.writes.push(Sent { method, path, body: sent, status: 0 });
            let at = inner.writes.len();
            (at, inner.always.map(Fate::Answer).or_else(|| inner.fates.get(&at).copied()))
        };
        let is_done =
            matches!(fate, None | Some(Fate::AnswerAfter(_) | Fate::LoseAfter | Fate::HangAfter));
        let answer = if is_done { Some(self.forward(head, body).await?) } else { None };
        let answer = match (fate, answer) {
            (None, Some(answer)) => answer,
            (Some(Fate::Hang | Fate::HangAfter), _) => {
                self.hung.send_modify(|hung| *hung += 1);
                std::future::pending().await
            }
            (Some(Fate::Answer(status) | Fate::AnswerAfter(status)), _) => refusal(status),
            _ => return Err(kube::Error::LinesCodecMaxLineLengthExceeded),
        };
        if let Some(sent) = self.inner.lock().unwrap().writes.get_mut(at - 1) {
            sent.status = answer.status().as_u16();
        }
        Ok(answer)
    }

    async fn forward(
        &self,
        head: hyper::http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Body>, kube::Error> {
        let mut request = Request::builder().method(head.method).uri(head.uri);
        for name in
            [hyper::header::ACCEPT, hyper::header::CONTENT_TYPE, hyper::header::IF_NONE_MATCH]
        {
            if let Some(value) = head.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let body = if body.is_empty() { Body::empty() } else { Body::from(body.to_vec()) };
        self.client.send(request.body(body).unwrap()).await
    }
}

fn refusal(status: u16) -> Response<Body> {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "the gate says so",
        "reason": "Gate",
        "code": status,
    });
    let body = Body::from(body.to_string().into_bytes());
    Response::builder().status(status).body(body).unwrap()
}
