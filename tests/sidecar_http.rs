//! What clients may do. In: a Kong that is well, and a client that behaves in one way or another.
//! Out: the right answer, or the end of the connection, and a sidecar that has left nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/sidecar.rs"]
mod sidecar;

use std::io::Read;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flate2::read::GzDecoder;
use kong::{HEAD, Kong, Step, chunk, chunks, exposition, good, send_text};
use kong_metrics_exporter::mapping::{Current, Snapshot};
use kong_metrics_exporter::rewrite::{FamilyFilter, LabelNames, Memo, Rewriter, Selection};
use kong_metrics_exporter::sidecar::Config;
use sidecar::{Sidecar, config, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What the rewriter makes of `text` when it gets it in one piece.
fn rewritten(text: &str) -> String {
    let mut rewriter = Rewriter::new(
        Arc::<LabelNames>::default(),
        Arc::<FamilyFilter>::default(),
        Selection::default(),
        Arc::<Snapshot>::default(),
        Memo::default(),
    );
    let mut out = Vec::new();
    rewriter.push(text.as_bytes(), &mut out);
    assert!(rewriter.finish(&mut out));
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn kongs_lines_come_rewritten_and_own_metrics_follow() {
    let text = exposition(300);
    let kong = Kong::start(good(&text)).await;
    let sidecar = Sidecar::start(&kong);
    let answer = sidecar.scrape().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.kongs(), rewritten(&text));
    assert_eq!(answer.sample("kong_exporter_kong_response_bytes"), text.len() as f64);
    assert_eq!(answer.sample("kong_exporter_response_bytes"), answer.kongs().len() as f64);
    assert_eq!(answer.sample("kong_exporter_series{stage=\"in\"}"), 901.0);
    assert_eq!(answer.sample("kong_exporter_series{stage=\"rewritten\"}"), 900.0);
    assert_eq!(answer.sample("kong_exporter_mapped_services"), 300.0);
    assert_eq!(answer.sample("kong_exporter_scrape_duration_seconds_count"), 1.0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_recorded_answer_passes_whole() {
    let directory = std::env::var_os("KONG_METRICS_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let shared = std::env::var_os("KONG_EXPORTER_SHARED").map(PathBuf::from);
        let shared =
            shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"));
        shared.join("testdata/kong-metrics")
    });
    let read = |name: &str| std::fs::read(directory.join(name));
    let (Ok(raw), Ok(text)) = (read("tiny-3.10.http"), read("tiny-3.10.txt")) else {
        println!("not run: no recordings in {}", directory.display());
        return;
    };
    let kong = Kong::start(vec![Step::Send(raw), Step::Close]).await;
    let sidecar = Sidecar::start(&kong);
    let answer = sidecar.scrape().await;
    assert!(answer.is_whole);
    // The recordings were taken a moment apart; what differs are counts, not lines.
    let names = |text: &str| {
        text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&answer.kongs()), names(&rewritten(&String::from_utf8(text).unwrap())));
    assert_eq!(answer.sample("kong_exporter_kong_dictionary_used_ratio"), 0.0078125);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn the_first_line_does_not_wait_for_the_second() {
    let gate = Arc::new(Semaphore::new(0));
    let kong = Kong::start(vec![
        send_text(format!("{HEAD}{}", chunk("kong_a 1\n"))),
        Step::Wait(Arc::clone(&gate)),
        send_text(format!("{}0\r\n\r\n", chunk("kong_b 1\n"))),
    ])
    .await;
    let sidecar = Sidecar::start(&kong);
    let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
    http::send(&mut stream, "GET /metrics HTTP/1.1", &[]).await;
    let mut bytes = Vec::new();
    let first = async {
        while !String::from_utf8_lossy(&bytes).contains("kong_a 1\n") {
            stream.read_buf(&mut bytes).await.unwrap();
        }
    };
    timeout(http::PATIENCE, first).await.expect("the first line while kong waits");
    gate.add_permits(1);
    let answer = http::answer(&mut stream, bytes, false).await;
    assert_eq!(answer.kongs(), "kong_a 1\nkong_b 1\n");
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn gzip_holds_the_same_bytes() {
    let text = exposition(2000);
    let kong = Kong::start(good(&text)).await;
    let sidecar = Sidecar::start(&kong);
    let answer = http::get(sidecar.address, "/metrics", &["Accept-Encoding: gzip"]).await;
    assert!(answer.is_whole);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut unpacked = String::new();
    GzDecoder::new(&answer.body[..]).read_to_string(&mut unpacked).unwrap();
    assert!(unpacked.starts_with(&rewritten(&text)));
    assert!(unpacked.contains("\nkong_exporter_kong_up 1\n") && unpacked.ends_with('\n'));
    assert!(answer.body.len() < unpacked.len() / 8);
    let answer = http::get(sidecar.address, "/metrics", &["Accept-Encoding: gzip;q=0"]).await;
    assert_eq!(answer.header("content-encoding"), None);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn gzip_level_0_is_never() {
    let kong = Kong::start(good(&exposition(10))).await;
    let sidecar = Sidecar::start_with(Config { gzip_level: 0, ..config(&kong) });
    let answer = http::get(sidecar.address, "/metrics", &["Accept-Encoding: gzip"]).await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn sequential_scrapes_share_one_connection_to_kong() {
    let kong = Kong::start(good(&exposition(300))).await;
    let sidecar = Sidecar::start(&kong);
    for _ in 0..5 {
        assert!(sidecar.scrape().await.is_whole);
    }
    assert_eq!((kong.requests().len(), kong.accepted()), (5, 1));
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn kong_is_asked_in_our_own_words() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start(&kong);
    let headers = [
        "Accept: application/openmetrics-text",
        "Accept-Encoding: gzip",
        "Authorization: Bearer secret",
        "Cookie: a=b",
        "X-Prometheus-Scrape-Timeout-Seconds: 10",
    ];
    http::get(sidecar.address, "/metrics?name[]=kong_x", &headers).await;
    let request = &kong.requests()[0];
    let mut lines: Vec<&str> = request.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.remove(0), "GET /metrics HTTP/1.1");
    lines.sort_unstable();
    let patience = lines.pop().unwrap();
    let agent = format!("user-agent: kong-metrics-exporter/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {}", kong.address);
    let expected = ["accept-encoding: identity", "accept: text/plain", &host, &agent];
    assert_eq!(lines, expected);
    let seconds: f64 =
        patience.strip_prefix("x-prometheus-scrape-timeout-seconds: ").unwrap().parse().unwrap();
    assert!((0.0..=9.5).contains(&seconds), "{patience}");
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn asked_for_families_are_all_there_is() {
    let kong = Kong::start(good(&exposition(2))).await;
    let sidecar = Sidecar::start(&kong);
    let path = "/metrics?name[]=kong_datastore_reachable&name%5B%5D=kong_exporter_kong_up";
    let answer = http::get(sidecar.address, path, &[]).await;
    assert_eq!(
        answer.text(),
        "# HELP kong_datastore_reachable Datastore reachable from Kong, 0 is unreachable\n\
         # TYPE kong_datastore_reachable gauge\nkong_datastore_reachable 1\n\
         # HELP kong_exporter_kong_up Whether this scrape got a whole answer from Kong.\n\
         # TYPE kong_exporter_kong_up gauge\nkong_exporter_kong_up 1\n"
    );
    let answer = http::get(sidecar.address, "/metrics?name[]=nothing", &[]).await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.is_whole), (200, "", true));
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn the_lists_choose_among_kongs_families_only() {
    let kong = Kong::start(good(&exposition(2))).await;
    let families = FamilyFilter::new(&[], &["kong_.*".to_owned()]).unwrap();
    let config = Config { families: Arc::new(families), ..config(&kong) };
    let sidecar = Sidecar::start_with(config);
    let answer = sidecar.scrape().await;
    assert_eq!(answer.kongs(), "");
    assert_eq!(answer.sample("kong_exporter_series{stage=\"unselected\"}"), 7.0);
    assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
    timeout(http::PATIENCE, sidecar.stop(Duration::ZERO)).await.unwrap().unwrap();
}

#[tokio::test]
async fn head_does_not_ask_kong() {
    let kong = Kong::start(good(&exposition(2))).await;
    let sidecar = Sidecar::start(&kong);
    for (path, kind) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/livez", "text/plain; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
    ] {
        let answer = http::request(
            sidecar.address,
            &format!("HEAD {path} HTTP/1.1"),
            &["Connection: close"],
        )
        .await;
        assert_eq!((answer.status(), answer.header("content-type")), (200, Some(kind)));
        assert_eq!(answer.rest, b"");
    }
    assert_eq!(kong.requests().len(), 0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let kong = Kong::start(good(&exposition(2))).await;
    let sidecar = Sidecar::start(&kong);
    for path in ["/metrics", "/livez", "/readyz", "/mapping", "/"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"] {
            let line = format!("{method} {path} HTTP/1.1");
            let answer = http::request(sidecar.address, &line, &["Content-Length: 0"]).await;
            assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, HEAD")));
        }
    }
    for path in ["/metric", "/metrics/", "/Metrics", "/mapping/x", "//", "*"] {
        assert_eq!(http::get(sidecar.address, path, &[]).await.status(), 404, "{path}");
    }
    assert_eq!(kong.requests().len(), 0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn the_metrics_may_be_elsewhere() {
    let kong = Kong::start(good(&exposition(2))).await;
    let sidecar = Sidecar::start_with(Config { telemetry_path: "/m".to_owned(), ..config(&kong) });
    assert_eq!(http::get(sidecar.address, "/metrics", &[]).await.status(), 404);
    assert_eq!(http::get(sidecar.address, "/m", &[]).await.sample("kong_exporter_kong_up"), 1.0);
    assert!(http::get(sidecar.address, "/", &[]).await.text().contains("href=\"/m\""));
    timeout(http::PATIENCE, sidecar.stop(Duration::ZERO)).await.unwrap().unwrap();
}

#[tokio::test]
async fn ready_is_whoever_has_a_mapping() {
    let kong = Kong::start(good(&exposition(2))).await;
    let mapping = Current::awaiting();
    let sidecar = Sidecar::start_at("127.0.0.1:0", config(&kong), mapping.clone());
    let readyz = async || {
        let answer = http::get(sidecar.address, "/readyz", &[]).await;
        (answer.status(), answer.text())
    };
    assert_eq!(readyz().await, (503, "the mapping has not been loaded yet\n".to_owned()));
    assert_eq!(http::get(sidecar.address, "/livez", &[]).await.status(), 200);
    assert_eq!(sidecar.sample("kong_exporter_mapping_ready").await, 0.0);
    mapping.store(Snapshot::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
    assert_eq!(readyz().await, (200, "ok\n".to_owned()));
    let answer = sidecar.scrape().await;
    assert_eq!(answer.sample("kong_exporter_mapping_ready"), 1.0);
    let updated = answer.sample("kong_exporter_mapping_last_update_timestamp_seconds");
    assert_eq!(updated, 1000.0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn the_mapping_is_told_to_this_host_only() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start_at(":0", config(&kong), Current::decoding_only());
    let port = sidecar.address.port();
    let mapping = async |host: IpAddr| http::get((host, port).into(), "/mapping", &[]).await;
    // No scrape yet.
    let answer = mapping("127.0.0.1".parse().unwrap()).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.text().contains("\"scrape\": null,\n  \"names\": []\n"), "{answer:?}");
    http::get(([127, 0, 0, 1], port).into(), "/metrics", &[]).await;
    for host in ["127.0.0.1", "::1"] {
        let text = mapping(host.parse().unwrap()).await.text();
        assert!(text.contains("\"name\": \"shop.svc-0.80\""), "{text}");
    }
    // Connecting a datagram socket sends nothing; it only tells which address would be used.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr());
    match own.map(|address| address.ip()) {
        Ok(ip) if !ip.is_loopback() && !ip.is_unspecified() => {
            assert_eq!(mapping(ip).await.status(), 403);
            assert_eq!(http::get((ip, port).into(), "/livez", &[]).await.status(), 200);
        }
        other => println!("not run: no address but loopback here ({other:?})"),
    }
    timeout(http::PATIENCE, sidecar.stop(Duration::ZERO)).await.unwrap().unwrap();
}

#[tokio::test]
async fn both_families_of_addresses_are_served() {
    let kong = Kong::start(good(&exposition(1))).await;
    let sidecar = Sidecar::start_at(":0", config(&kong), Current::decoding_only());
    let port = sidecar.address.port();
    for host in ["127.0.0.1", "::1"] {
        let host: IpAddr = host.parse().unwrap();
        if host.is_ipv6() && sidecar.address.is_ipv4() {
            println!("not run: no IPv6 here");
            continue;
        }
        let answer = http::get((host, port).into(), "/metrics", &[]).await;
        assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
    }
    timeout(http::PATIENCE, sidecar.stop(Duration::ZERO)).await.unwrap().unwrap();
}

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
