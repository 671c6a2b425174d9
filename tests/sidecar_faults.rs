//! What can go wrong with Kong. In: a Kong that fails in one way. Out: an answer that is marked as
//! failed or breaks off, and a sidecar that has left nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/sidecar.rs"]
mod sidecar;

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::Answer;
use kong::{HEAD, Kong, Step, chunk, chunks, exposition, good, head, send_text};
use kong_metrics_exporter::sidecar::Config;
use sidecar::{Sidecar, config};

/// Enough for several chunks.
const SERVICES: usize = 200;

/// The answer to a scrape of a Kong that follows `script`, once all is found well again.
async fn scraped(script: Vec<Step>, headers: &[&str]) -> Answer {
    let kong = Kong::start(script).await;
    let sidecar = Sidecar::start(&kong);
    let answer = http::get(sidecar.address, "/metrics", headers).await;
    sidecar.ends_well(&kong).await;
    answer
}

/// Nothing of Kong's was passed on, and the answer says so.
#[track_caller]
fn is_own_metrics_with(answer: &Answer, reason: &str) {
    assert!(answer.is_whole);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.kongs(), "");
    assert_eq!(answer.sample("kong_exporter_kong_up"), 0.0);
    let errors = format!("kong_exporter_kong_errors_total{{reason=\"{reason}\"}}");
    assert_eq!(answer.sample(&errors), 1.0);
}

/// Some of Kong's lines went out, and then the connection broke.
#[track_caller]
fn is_broken_off(answer: &Answer) {
    assert_eq!(answer.status(), 200);
    assert!(answer.text().starts_with("# HELP kong_datastore_reachable"), "{answer:?}");
    assert!(!answer.is_whole, "{answer:?}");
    assert!(!answer.text().contains("kong_exporter_"), "{answer:?}");
}

#[tokio::test]
async fn a_cut_in_mid_number_breaks_the_answer() {
    let text = exposition(SERVICES);
    let cut = &text[..text.len() - 2];
    // The transport says that all is well; only the missing line end tells.
    is_broken_off(&scraped(good(cut), &[]).await);
}

#[tokio::test]
async fn a_cut_in_mid_chunk_breaks_the_answer() {
    let all = format!("{HEAD}{}", chunks(&exposition(SERVICES)));
    let cut = all[..all.len() - 500].to_owned();
    is_broken_off(&scraped(vec![send_text(cut), Step::Close], &[]).await);
}

#[tokio::test]
async fn a_cut_between_chunks_breaks_the_answer() {
    let cut = format!("{HEAD}{}", chunks(&exposition(SERVICES)));
    is_broken_off(&scraped(vec![send_text(cut), Step::Close], &[]).await);
}

#[tokio::test]
async fn a_cut_before_the_first_line_is_reported() {
    let script = vec![send_text(HEAD), Step::Close];
    is_own_metrics_with(&scraped(script, &[]).await, "truncated");
}

#[tokio::test]
async fn a_length_that_is_too_long_breaks_the_answer() {
    let text = exposition(SERVICES);
    let head = head(
        "200 OK",
        &["Content-Type: text/plain", &format!("Content-Length: {}", text.len() + 10)],
    );
    is_broken_off(&scraped(vec![send_text(head + &text), Step::Close], &[]).await);
}

#[tokio::test]
async fn a_length_that_is_too_short_breaks_the_answer() {
    let text = exposition(SERVICES);
    let head = head(
        "200 OK",
        &["Content-Type: text/plain", &format!("Content-Length: {}", text.len() - 10)],
    );
    is_broken_off(&scraped(vec![send_text(head + &text)], &[]).await);
}

#[tokio::test]
async fn a_length_that_is_right_is_as_good_as_chunks() {
    let text = exposition(SERVICES);
    let head =
        head("200 OK", &["Content-Type: text/plain", &format!("Content-Length: {}", text.len())]);
    let answer = scraped(vec![send_text(head + &text)], &[]).await;
    assert!(answer.is_whole);
    assert_eq!(answer.kongs().lines().count(), text.lines().count());
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_refused() {
    let head = head("200 OK", &["Content-Type: text/plain", "Connection: close"]);
    let script = vec![send_text(head + &exposition(SERVICES)), Step::Close];
    is_own_metrics_with(&scraped(script, &[]).await, "truncated");
}

#[tokio::test]
async fn other_statuses_are_reported() {
    for (status, message) in [
        ("500 Internal Server Error", "An unexpected error occurred"),
        ("404 Not Found", "Not found"),
    ] {
        let json = format!("{{\"message\":\"{message}\"}}");
        let length = format!("Content-Length: {}", json.len());
        let head = head(status, &["Content-Type: application/json; charset=utf-8", &length]);
        is_own_metrics_with(&scraped(vec![send_text(head + &json)], &[]).await, "status");
    }
}

#[tokio::test]
async fn other_types_are_reported() {
    for (kind, body) in [
        ("text/html", "<html><body>200</body></html>"),
        ("application/json", "{\"message\":\"ok\"}"),
        ("application/openmetrics-text", "a 1\n# EOF\n"),
    ] {
        let length = format!("Content-Length: {}", body.len());
        let head = head("200 OK", &[&format!("Content-Type: {kind}"), &length]);
        is_own_metrics_with(&scraped(vec![send_text(head + body)], &[]).await, "content_type");
    }
}

#[tokio::test]
async fn a_text_that_is_no_exposition_is_reported() {
    for body in [
        "<html><body>200</body></html>\n",
        "{\"message\":\"ok\"}\n",
        "\n\n{\"message\":\"ok\"}\n",
        "\u{feff}kong_up 1\n",
        "",
        "\n\n",
    ] {
        let answer = scraped(good(body), &[]).await;
        is_own_metrics_with(&answer, "not_metrics");
    }
}

#[tokio::test]
async fn blank_lines_without_end_are_not_waited_out() {
    let script = vec![send_text(HEAD), Step::Repeat(chunk(&"\n".repeat(4096)).into_bytes())];
    is_own_metrics_with(&scraped(script, &[]).await, "not_metrics");
}

#[tokio::test]
async fn a_compressed_body_is_reported() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(exposition(SERVICES).as_bytes()).unwrap();
    let body = gzip.finish().unwrap();
    let length = format!("Content-Length: {}", body.len());
    for (headers, reason) in [
        (vec!["Content-Encoding: gzip"], "content_encoding"),
        // Without saying so.
        (vec![], "not_metrics"),
    ] {
        let headers = [vec!["Content-Type: text/plain", &length], headers].concat();
        let script = vec![send_text(head("200 OK", &headers)), Step::Send(body.clone())];
        is_own_metrics_with(&scraped(script, &[]).await, reason);
    }
}

#[tokio::test]
async fn a_kong_that_never_answers_is_given_up() {
    for script in [vec![Step::Hang], vec![send_text("HTTP/1.1 200 O"), Step::Hang]] {
        let answer = scraped(script, &["X-Prometheus-Scrape-Timeout-Seconds: 0.2"]).await;
        is_own_metrics_with(&answer, "timeout");
    }
}

#[tokio::test]
async fn kongs_own_timeout_holds_without_a_header() {
    let kong = Kong::start(vec![Step::Hang]).await;
    let sidecar =
        Sidecar::start_with(Config { kong_timeout: Duration::from_secs(2), ..config(&kong) });
    is_own_metrics_with(&sidecar.scrape().await, "timeout");
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_kong_that_dribbles_is_given_up() {
    let text = exposition(SERVICES);
    let dribble = |text: &str| {
        let bytes = text.bytes().flat_map(|byte| {
            [
                Step::Send(chunk(&char::from(byte).to_string()).into_bytes()),
                Step::Pause(Duration::from_millis(100)),
            ]
        });
        bytes.collect::<Vec<_>>()
    };
    let patience = ["X-Prometheus-Scrape-Timeout-Seconds: 3"];
    let script = [vec![send_text(HEAD)], dribble(&text)].concat();
    is_own_metrics_with(&scraped(script, &patience).await, "timeout");
    let first = send_text(format!("{HEAD}{}", chunk(&text)));
    let script = [vec![first], dribble(&text)].concat();
    is_broken_off(&scraped(script, &patience).await);
}

#[tokio::test]
async fn a_kong_that_is_not_there_is_reported_and_found_again() {
    let kong = Kong::start(good(&exposition(SERVICES))).await;
    let address = kong.address;
    let sidecar = Sidecar::start(&kong);
    kong.stop_listening().await;
    is_own_metrics_with(&sidecar.scrape().await, "connect");
    let kong = Kong::start_at(address, good(&exposition(SERVICES))).await;
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_restart_between_scrapes_goes_unnoticed() {
    let text = exposition(SERVICES);
    let kong = Kong::start([good(&text), vec![Step::Close]].concat()).await;
    let sidecar = Sidecar::start(&kong);
    for _ in 0..3 {
        assert!(sidecar.scrape().await.is_whole);
    }
    assert_eq!(sidecar.sample("kong_exporter_kong_up").await, 1.0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_kept_connection_that_dies_with_the_next_request_is_replaced() {
    let text = exposition(SERVICES);
    let kong = Kong::start(good(&text)).await;
    let sidecar = Sidecar::start(&kong);
    assert!(sidecar.scrape().await.is_whole);
    // Kong closes when it has read the request, as nginx may when it is told to end just then.
    kong.answers_once(vec![Step::Close]);
    let answer = sidecar.scrape().await;
    assert!(answer.is_whole);
    assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
    assert_eq!(kong.requests().len(), 3);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_kong_that_always_hangs_up_is_asked_twice_and_no_more() {
    let kong = Kong::start(vec![Step::Close]).await;
    let sidecar = Sidecar::start(&kong);
    is_own_metrics_with(&sidecar.scrape().await, "request");
    assert_eq!(kong.requests().len(), 2);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn failing_may_be_said_by_status() {
    let kong = Kong::start(vec![Step::Close]).await;
    let config = Config { fail_on_kong_error: true, ..config(&kong) };
    let sidecar = Sidecar::start_with(config);
    kong.answers(vec![send_text(head("404 Not Found", &["Content-Length: 0"]))]);
    let answer = sidecar.scrape().await;
    assert_eq!((answer.status(), answer.text().as_str()), (502, "kong answered 404 Not Found\n"));
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn a_broken_gzip_answer_does_not_unpack_as_whole() {
    let text = exposition(5000);
    let cut = vec![send_text(format!("{HEAD}{}", chunks(&text))), Step::Close];
    let answer = scraped(cut, &["Accept-Encoding: gzip"]).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(!answer.is_whole && !answer.body.is_empty());
    let mut unpacked = Vec::new();
    assert!(GzDecoder::new(&answer.body[..]).read_to_end(&mut unpacked).is_err());
}

#[tokio::test]
async fn a_client_of_http_1_0_sees_a_reset_and_no_orderly_end() {
    let text = exposition(SERVICES);
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let kong = Kong::start(vec![
        send_text(format!("{HEAD}{}", chunks(&text))),
        Step::Wait(std::sync::Arc::clone(&gate)),
        Step::Close,
    ])
    .await;
    let sidecar = Sidecar::start(&kong);
    let asked = http::request(sidecar.address, "GET /metrics HTTP/1.0", &[]);
    let (answer, ()) = tokio::join!(asked, async { gate.add_permits(1) });
    assert!(answer.was_reset, "{answer:?}");
    // One that comes to its end ends in order.
    kong.answers(good(&text));
    let answer = http::request(sidecar.address, "GET /metrics HTTP/1.0", &[]).await;
    assert!(!answer.was_reset);
    assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
    sidecar.ends_well(&kong).await;
}

#[tokio::test]
async fn lines_that_cannot_be_read_are_left_out_and_counted() {
    let text = exposition(2);
    let bad = format!("{text}kong_x{{a=\"1\" 2\nkong_y 1 2 3\n");
    let answer = scraped(good(&bad), &[]).await;
    assert!(answer.is_whole);
    assert_eq!(answer.kongs().lines().count(), text.lines().count());
    assert_eq!(answer.sample("kong_exporter_parse_errors_total{reason=\"malformed\"}"), 2.0);
    assert_eq!(answer.sample("kong_exporter_series{stage=\"dropped\"}"), 2.0);
    assert_eq!(answer.sample("kong_exporter_series{stage=\"in\"}"), 7.0);
}

#[tokio::test]
async fn trailers_and_a_second_status_line_do_no_harm() {
    let text = exposition(SERVICES);
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let script =
        vec![send_text(format!("{early}{HEAD}{}0\r\nX-Trailer: 1\r\n\r\n", chunks(&text)))];
    let answer = scraped(script, &[]).await;
    assert!(answer.is_whole);
    assert_eq!(answer.kongs().lines().count(), text.lines().count());
}
