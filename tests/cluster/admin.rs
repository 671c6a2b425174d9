//! Kong's Admin API without a database, as far as Kong's controllers ask it: requests of a
//! controller in, each configuration that it pushes out. The one decision: nothing of a
//! configuration is understood but what Kong refuses it for that a controller can be at fault
//! for: two entities of one name, and two plugins of one name on one thing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An Admin API that listens. It ends when the value is dropped.
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// A configuration that a controller pushed.
#[derive(Debug)]
pub(crate) struct Push {
    /// From 1 on, refused ones too.
    pub(crate) number: usize,
    pub(crate) config: Value,
    /// What Kong has against it; none where Kong accepted it.
    pub(crate) refusals: Vec<String>,
}

/// What Kong says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kong {
    /// `router_flavor` of its configuration.
    pub(crate) router: &'static str,
    /// Plaintext and TLS ports of `proxy_listen`.
    pub(crate) proxy: [u16; 2],
    /// Ports of `stream_listen`: TCP, UDP and TLS.
    pub(crate) stream: [u16; 3],
}

struct State {
    kong: Kong,
    pushed: watch::Sender<Option<Arc<Push>>>,
    /// The last one that Kong took.
    accepted: watch::Sender<Option<Arc<Push>>>,
}

impl Admin {
    pub(crate) async fn start(kong: Kong) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            kong,
            pushed: watch::Sender::new(None),
            accepted: watch::Sender::new(None),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The last configuration, accepted or not, and word of each later one.
    pub(crate) fn pushed(&self) -> watch::Receiver<Option<Arc<Push>>> {
        self.state.pushed.subscribe()
    }

    /// The last configuration that Kong took, and word of each later one.
    pub(crate) fn accepted(&self) -> watch::Receiver<Option<Arc<Push>>> {
        self.state.accepted.subscribe()
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match (method, path.as_str()) {
            (Method::GET, "/") => ok(&self.kong.root()),
            (Method::GET, "/status") => ok(&self.status()),
            (Method::GET, path) => ok(&match path.strip_prefix("/schemas/") {
                Some(of) => schema(of),
                // A collection, all of them empty: without a database they cannot be written to.
                None => json!({"data": [], "next": null}),
            }),
            (Method::POST, "/config") => match request.into_body().collect().await {
                Ok(body) => self.load(&body.to_bytes()),
                Err(error) => {
                    answer(StatusCode::BAD_REQUEST, &json!({"message": error.to_string()}))
                }
            },
            _ => answer(StatusCode::NOT_FOUND, &json!({"message": "Not found"})),
        }
    }

    /// Kong has no configuration while the hash is all zeros; controllers push it then.
    fn status(&self) -> Value {
        let hash = match &*self.accepted.borrow() {
            None => "0".repeat(32),
            Some(push) => hash(&push.config),
        };
        json!({"database": {"reachable": true}, "server": {}, "configuration_hash": hash})
    }

    fn load(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let config: Value = match serde_json::from_slice(body) {
            Ok(config) => config,
            Err(error) => {
                return answer(StatusCode::BAD_REQUEST, &json!({"message": error.to_string()}));
            }
        };
        let refusals = duplicates(&config);
        let number = self.pushed.borrow().as_ref().map_or(1, |last| last.number + 1);
        let push = Arc::new(Push { number, config, refusals });
        self.pushed.send_replace(Some(Arc::clone(&push)));
        if push.refusals.is_empty() {
            self.accepted.send_replace(Some(push));
            return answer(StatusCode::CREATED, &json!({}));
        }
        let message = format!("declarative config is invalid: {}", push.refusals.join("; "));
        let refusal = json!({
            "code": 14,
            "name": "invalid declarative configuration",
            "message": message,
            "fields": {},
            "flattened_errors": [],
        });
        answer(StatusCode::BAD_REQUEST, &refusal)
    }
}

impl Kong {
    fn root(&self) -> Value {
        let proxy = self.proxy.iter().zip([false, true]);
        let proxy: Vec<_> = proxy.map(|(port, ssl)| listener(*port, ssl, false)).collect();
        let stream = self.stream.iter().zip([(false, false), (false, true), (true, false)]);
        let stream: Vec<_> = stream.map(|(port, (ssl, udp))| listener(*port, ssl, udp)).collect();
        json!({
            "version": "3.9.1",
            "tagline": "Welcome to kong",
            "hostname": "kong",
            "node_id": "7f1c6c2e-6a0b-4c39-9d1c-2d1f6a4d0b11",
            "configuration": {
                "database": "off",
                "router_flavor": self.router,
                "proxy_listeners": proxy,
                "stream_listeners": stream,
            },
        })
    }
}

fn listener(port: u16, ssl: bool, udp: bool) -> Value {
    json!({
        "listener": format!("0.0.0.0:{port}"), "ip": "0.0.0.0", "port": port, "ssl": ssl, "udp": udp,
        "bind": false, "http2": false, "proxy_protocol": false, "deferred": false,
        "reuseport": false, "backlog=%d+": false,
    })
}

/// What a plugin can be told. Controllers fill in the defaults that they find here.
fn schema(of: &str) -> Value {
    let flags: &[&str] = match of {
        "plugins/prometheus" => &[
            "ai_metrics",
            "bandwidth_metrics",
            "latency_metrics",
            "per_consumer",
            "status_code_metrics",
            "upstream_health_metrics",
            "wasm_metrics",
        ],
        _ => &[],
    };
    let flag =
        |name: &&str| json!({*name: {"type": "boolean", "required": false, "default": false}});
    let fields: Vec<_> = flags.iter().map(flag).collect();
    json!({"fields": [{"config": {"type": "record", "required": true, "fields": fields}}]})
}

/// What occurs twice though it may not: kong/db/schema/others/declarative_config.lua. A plugin that
/// has no id is given one made of its name and what it is on, so two equal ones are one too many.
pub(crate) fn duplicates(config: &Value) -> Vec<String> {
    let mut declared = plugins_of(config, "");
    for kind in ["services", "upstreams"] {
        for entity in entries(&config[kind]) {
            let name = format!("'{kind}' entity with name set to {}", entity["name"]);
            declared.extend(plugins_of(entity, &name));
            declared.push(name);
            for route in entries(&entity["routes"]) {
                let name = format!("'routes' entity with name set to {}", route["name"]);
                declared.extend(plugins_of(route, &name));
                declared.push(name);
            }
        }
    }
    let mut seen = BTreeSet::new();
    declared.retain(|one| !seen.insert(one.clone()));
    declared.iter().map(|one| format!("uniqueness violation: {one} already declared")).collect()
}

/// The keys of the plugins that are listed inside `entity`.
fn plugins_of(entity: &Value, on: &str) -> Vec<String> {
    let key = |plugin: &Value| match plugin["id"].as_str() {
        Some(id) => format!("'plugins' entity with primary key set to '{id}'"),
        None => {
            let parents = ["service", "route", "consumer", "consumer_group"];
            let parents = parents.map(|parent| plugin[parent].to_string()).join(" ");
            format!("'plugins' entity {} on {on} {parents}", plugin["name"])
        }
    };
    entries(&entity["plugins"]).iter().map(key).collect()
}

/// The elements of a list; none where there is no list.
pub(crate) fn entries(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn hash(config: &Value) -> String {
    let digest = Sha256::digest(config.to_string().as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn ok(body: &Value) -> Response<Full<Bytes>> {
    answer(StatusCode::OK, body)
}

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("Content-Type", "application/json");
    response.body(Full::from(body.to_string())).unwrap()
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        // An error here is a controller that went away.
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}
