//! The connections of the make-believe API server: requests in, answers, pages of lists and watches
//! out.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::writes::{self, has_label, label};
use super::{NEVER, Shared, all_namespaces, is_in, refusal};

/// Serves until the task ends.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = {
            let mut state = shared.state.lock().unwrap();
            state.connections += 1;
            state.connections
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut changed = shared.changed.subscribe();
            let cut = {
                let shared = Arc::clone(&shared);
                async move {
                    let is_cut = |_: &u64| shared.state.lock().unwrap().cut >= number;
                    let _ = changed.wait_for(is_cut).await;
                }
            };
            tokio::select! {
                biased;
                () = cut => {}
                _ = serve(stream, &shared) => {}
            }
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        let mut sent = vec![0; length.unwrap_or_default()];
        stream.read_exact(&mut sent).await?;
        shared.state.lock().unwrap().requests.push(target.clone());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query: HashMap<_, _> =
            query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let is_mute = {
            let state = shared.state.lock().unwrap();
            state.is_swallowing || state.refusal(path) == Some(NEVER)
        };
        if is_mute {
            std::future::pending::<()>().await;
        }
        let method = head.split(' ').next().unwrap_or_default();
        if let Some((status, body)) = writes::answer(method, path, &sent, shared) {
            answer(&mut stream, status, &body).await?;
            continue;
        }
        if query.get("watch") == Some(&"true") {
            match start_watch(path, &query, shared) {
                Ok(watched) => return watch(stream, watched, shared).await,
                Err(status) => answer(&mut stream, status, &refusal(status)).await?,
            }
            continue;
        }
        let (status, body) = page(path, &query, shared);
        answer(&mut stream, status, &body).await?;
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).await
}

fn page(path: &str, query: &HashMap<&str, &str>, shared: &Shared) -> (u16, Value) {
    let state = shared.state.lock().unwrap();
    if let Some(status) = state.refusal(path) {
        return (status, refusal(status));
    }
    if path == "/apis" {
        return (200, state.discovery());
    }
    let Some((collection, namespace)) = state.collection(path) else {
        return (404, refusal(404));
    };
    let label = label(query);
    let all = collection.in_namespace(namespace).filter(|one| has_label(one, label.as_ref()));
    let all: Vec<_> = all.cloned().collect();
    let limit = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    // A token is `version-offset`.
    let (version, offset) = match query.get("continue") {
        None => (state.version, 0),
        Some(token) => {
            let (version, offset) = token.split_once('-').unwrap();
            (version.parse().unwrap(), offset.parse().unwrap())
        }
    };
    if version < collection.oldest {
        return (410, refusal(410));
    }
    let items: Vec<_> = all.iter().skip(offset).take(limit).collect();
    let end = offset + items.len();
    let next = if end < all.len() { format!("{version}-{end}") } else { String::new() };
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    (200, json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
}

/// What an open watch has to tell next.
struct Watched {
    collection: String,
    namespace: Option<String>,
    label: Option<(String, String)>,
    version: u64,
    first: Vec<(&'static str, Value)>,
}

fn start_watch(path: &str, query: &HashMap<&str, &str>, shared: &Shared) -> Result<Watched, u16> {
    let state = shared.state.lock().unwrap();
    if let Some(status) = state.refusal(path) {
        return Err(status);
    }
    let (collection, namespace) = state.collection(path).ok_or(404u16)?;
    let from = query.get("resourceVersion").copied().unwrap_or_default();
    let mut watched = Watched {
        collection: all_namespaces(path).0,
        namespace: namespace.map(str::to_owned),
        label: label(query),
        version: from.parse().unwrap_or(state.version),
        first: Vec::new(),
    };
    if query.get("sendInitialEvents") == Some(&"true") {
        if !state.knows_streams {
            return Err(422);
        }
        watched.version = state.version;
        let objects = collection.in_namespace(namespace);
        watched.first = objects.map(|object| ("ADDED", object.clone())).collect();
        let metadata = json!({
            "resourceVersion": state.version.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"},
        });
        watched
            .first
            .push(("BOOKMARK", json!({"metadata": metadata, "kind": "X", "apiVersion": "v1"})));
    } else if watched.version < collection.oldest {
        watched.first.push(("ERROR", refusal(410)));
    }
    Ok(watched)
}

async fn watch(
    mut stream: TcpStream,
    mut watched: Watched,
    shared: &Shared,
) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut changed = shared.changed.subscribe();
    loop {
        for (what, object) in std::mem::take(&mut watched.first) {
            // As Go writes it: the type first.
            let event = format!("{{\"type\":\"{what}\",\"object\":{object}}}\n");
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
            if what == "ERROR" {
                return stream.write_all(b"0\r\n\r\n").await;
            }
        }
        {
            let state = shared.state.lock().unwrap();
            if !state.is_swallowing {
                let Some(collection) = state.collections.get(&watched.collection) else {
                    return Ok(());
                };
                let news =
                    collection.log.iter().filter(|(version, _, _)| *version > watched.version);
                let news = news.filter(|(_, what, object)| {
                    let is_in = is_in(object, watched.namespace.as_deref());
                    *what == "BOOKMARK" || is_in && has_label(object, watched.label.as_ref())
                });
                watched.first = news.map(|(_, what, object)| (*what, object.clone())).collect();
                watched.version = collection.log.last().map_or(watched.version, |last| last.0);
            }
        }
        if watched.first.is_empty() && changed.changed().await.is_err() {
            return Ok(());
        }
    }
}
