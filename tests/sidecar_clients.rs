//! What clients do. In: a Kong that is well, and a client that behaves in one way or another, or a
//! sidecar that is told to end. Out: the right answer, or the end of the connection, and a sidecar
//! that has left nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/sidecar.rs"]
mod sidecar;

use std::sync::Arc;
use std::time::Duration;

use kong::{HEAD, Kong, Step, chunk, chunks, exposition, good, send_text};
use kong_metrics_exporter::sidecar::Config;
use sidecar::{Sidecar, config, eventually, rewritten};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_with_it() {
    let rest = Arc::new(Semaphore::new(0));
    let text = exposition(300);
    // Once before Kong has said anything, once in the middle of the body.
    for first in [String::new(), format!("{HEAD}{}", chunks(&text))] {
        let kong = Kong::start(vec![send_text(first.clone()), Step::Wait(Arc::clone(&rest))]).await;
        let sidecar = Sidecar::start(&kong);
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        http::send(&mut stream, "GET /metrics HTTP/1.1", &[]).await;
        eventually("a request to kong", async || kong.requests().len() == 1).await;
        if !first.is_empty() {
            stream.read_u8().await.unwrap();
        }
        drop(stream);
        eventually("kong's connection ends", async || kong.open() == 0).await;
        kong.answers(good(&text));
        assert_eq!(sidecar.sample("kong_exporter_scrapes_abandoned_total").await, 1.0);
        sidecar.ends_well(&kong).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_kong_back_and_is_dropped() {
    // Without end, so that it is not the size that ends it.
    let script = vec![send_text(HEAD), Step::Repeat(chunk(&exposition(100)).into_bytes())];
    let kong = Kong::start(script).await;
    let sidecar = Sidecar::start(&kong);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(sidecar.address).await.unwrap();
    let patience = ["X-Prometheus-Scrape-Timeout-Seconds: 1"];
    http::send(&mut stream, "GET /metrics HTTP/1.1", &patience).await;
    eventually("kong's connection", async || kong.open() == 1).await;
    eventually("kong's connection ends", async || kong.open() == 0).await;
    // Socket buffers of two connections, some MiB; a sidecar that reads on would take far more.
    assert!(kong.sent() < 32 << 20, "{}", kong.sent());
    let mut bytes = Vec::new();
    let error = timeout(http::PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    kong.answers(good(&exposition(1)));
    assert_eq!(sidecar.sample("kong_exporter_scrapes_abandoned_total").await, 1.0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let text = exposition(5000);
    let kong = Kong::start(good(&text)).await;
    let sidecar = Sidecar::start(&kong);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(sidecar.address).await.unwrap();
    http::send(&mut stream, "GET /metrics HTTP/1.1", &["Connection: close"]).await;
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.unwrap() > 0 {
        tokio::task::yield_now().await;
        bytes.reserve(1000);
    }
    let answer = http::answer(&mut stream, bytes, false).await;
    assert!(answer.is_whole);
    assert_eq!(answer.kongs(), rewritten(&text));
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_client_that_pipelines_small_pages_and_never_reads_is_dropped() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start(&kong);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(sidecar.address).await.unwrap();
    let requests = "GET / HTTP/1.1\r\nHost: sidecar\r\n\r\n".repeat(1000);
    let flood = async {
        loop {
            if let Err(error) = stream.write_all(requests.as_bytes()).await {
                return error;
            }
        }
    };
    let error = timeout(http::PATIENCE, flood).await.expect("the connection to end");
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!([BrokenPipe, ConnectionReset].contains(&error.kind()), "{error}");
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_head_of_64_kb_is_too_large() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start(&kong);
    let many: Vec<String> = (0..64).map(|i| format!("X-{i}: {}", "x".repeat(1024))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let one = format!("X: {}", "x".repeat(64 * 1024));
    for headers in [many, vec![&one], vec!["X: 1"; 200]] {
        let answer = http::get(sidecar.address, "/metrics", &headers).await;
        // Closing while the client still writes may cost it the answer, but never gives it another.
        assert!([431, 0].contains(&answer.status()), "{answer:?}");
    }
    let token = format!("Authorization: Bearer {}", "x".repeat(16 * 1024));
    assert_eq!(http::get(sidecar.address, "/livez", &[&token]).await.status(), 200);
    assert_eq!(kong.requests().len(), 0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start(&kong);
    let nonsense: [&[u8]; 4] =
        [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"hello\r\n\r\n", b"GET /metrics\r\n\r\n", b"\0"];
    for bytes in nonsense {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = http::answer(&mut stream, Vec::new(), false).await;
        assert!([0, 400].contains(&answer.status()), "{answer:?}");
    }
    assert_eq!(kong.requests().len(), 0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let text = exposition(300);
    let kong = Kong::start(good(&text)).await;
    let sidecar = Sidecar::start(&kong);
    let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
    let two = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(two.as_bytes()).await.unwrap();
    let first = http::answer(&mut stream, Vec::new(), false).await;
    let second = http::answer(&mut stream, first.rest.clone(), false).await;
    for answer in [&first, &second] {
        assert!(answer.is_whole);
        assert_eq!(answer.kongs(), rewritten(&text));
    }
    assert_eq!(second.sample("kong_exporter_scrape_duration_seconds_count"), 2.0);
    drop(stream);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn of_200_scrapes_at_once_eight_are_answered_and_the_rest_refused_at_once() {
    let text = exposition(300);
    let gate = Arc::new(Semaphore::new(0));
    let script = [vec![Step::Wait(Arc::clone(&gate))], good(&text)].concat();
    let kong = Kong::start(script).await;
    let sidecar = Sidecar::start(&kong);
    let address = sidecar.address;
    let (done, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..200 {
        let done = done.clone();
        tokio::spawn(async move {
            done.send(http::get(address, "/metrics", &[]).await).unwrap();
        });
    }
    // Refused while Kong still keeps the others waiting.
    for _ in 0..192 {
        let answer = timeout(http::PATIENCE, answers.recv()).await.unwrap().unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.text(), "too many scrapes at once (--web.max-requests)\n");
    }
    eventually("eight requests to kong", async || kong.requests().len() == 8).await;
    gate.add_permits(8);
    for _ in 0..8 {
        let answer = timeout(http::PATIENCE, answers.recv()).await.unwrap().unwrap();
        assert!(answer.is_whole);
        assert_eq!(answer.kongs(), rewritten(&text));
        let rejected = "kong_exporter_scrapes_rejected_total{reason=\"max_requests\"}";
        assert_eq!(answer.sample(rejected), 192.0);
    }
    eventually("a small pool", async || kong.open() <= 8).await;
    // The tasks of the 200 clients are this test's.
    drop(done);
    assert!(answers.recv().await.is_none());
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_their_turn() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start_with(Config { max_connections: 2, ..config(&kong) });
    let first = TcpStream::connect(sidecar.address).await.unwrap();
    let second = TcpStream::connect(sidecar.address).await.unwrap();
    let mut third = TcpStream::connect(sidecar.address).await.unwrap();
    http::send(&mut third, "GET /livez HTTP/1.1", &["Connection: close"]).await;
    let early = timeout(Duration::from_millis(100), third.read_u8()).await;
    assert!(early.is_err(), "answered beyond the limit");
    drop((first, second));
    assert_eq!(http::answer(&mut third, Vec::new(), false).await.status(), 200);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_draining_sidecar_answers_and_says_that_it_ends() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start(&kong);
    let address = sidecar.address;
    let end = sidecar.stop(Duration::from_secs(3600));
    eventually("not ready", async || http::get(address, "/readyz", &[]).await.status() == 503)
        .await;
    assert_eq!(http::get(address, "/readyz", &[]).await.text(), "shutting down\n");
    assert_eq!(http::get(address, "/metrics", &[]).await.sample("kong_exporter_kong_up"), 1.0);
    assert!(!end.is_finished());
    end.abort();
}

#[tokio::test]
async fn an_answer_under_way_is_finished_before_the_end() {
    let text = exposition(300);
    let gate = Arc::new(Semaphore::new(0));
    let kong = Kong::start(vec![
        send_text(format!("{HEAD}{}", chunks(&text))),
        Step::Wait(Arc::clone(&gate)),
        send_text(kong::LAST_CHUNK),
    ])
    .await;
    let sidecar = Sidecar::start(&kong);
    let address = sidecar.address;
    let idle = TcpStream::connect(address).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    http::send(&mut stream, "GET /metrics HTTP/1.1", &[]).await;
    let mut bytes = vec![stream.read_u8().await.unwrap()];
    let end = sidecar.stop(Duration::ZERO);
    eventually("nobody is let in", async || TcpStream::connect(address).await.is_err()).await;
    gate.add_permits(1);
    stream.read_buf(&mut bytes).await.unwrap();
    let answer = http::answer(&mut stream, bytes, false).await;
    assert!(answer.is_whole);
    assert_eq!(answer.kongs(), rewritten(&text));
    timeout(http::PATIENCE, end).await.unwrap().unwrap();
    drop(idle);
}
