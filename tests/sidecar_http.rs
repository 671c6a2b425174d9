//! What clients get. In: a Kong that is well, and requests of every kind. Out: the right answer,
//! and a sidecar that has left nothing behind.

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
use kong::{HEAD, Kong, Step, chunk, exposition, good, send_text};
use kong_metrics_exporter::mapping::{Current, Snapshot};
use kong_metrics_exporter::rewrite::FamilyFilter;
use kong_metrics_exporter::sidecar::Config;
use sidecar::{Sidecar, config, rewritten};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

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
