//! The binary as a shell and Kubernetes see it: exit codes, signals, standard streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

fn exporter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
    command.args(arguments).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    told(exporter(arguments).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Through `enrich`.
fn enriched(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = exporter(&[&["enrich"], arguments].concat());
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    // It may have ended before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    told(child.wait_with_output().unwrap())
}

const SAMPLE: &str = "kong_http_requests_total{service=\"shop.cart.80\",route=\"r\"} 7\n";
const ENRICHED: &str = "kong_http_requests_total{exported_service=\"cart\",\
    exported_namespace=\"shop\",kubernetes_name=\"cart\",kubernetes_namespace=\"shop\",\
    kubernetes_kind=\"service\",kubernetes_apiversion=\"v1\",kong_service=\"shop.cart.80\",\
    route=\"r\"} 7\n";

/// A file of this test's own.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn help_and_version_are_no_errors() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out), (0, format!("kong-metrics-exporter {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, out, _) = run(&["sidecar", "--help"]);
    assert_eq!(code, 0);
    let headings = ["Kong:", "Web:", "Mapping:", "Labels:", "Families:", "Logs:"];
    let at: Vec<_> = headings.iter().map(|heading| out.find(heading).unwrap()).collect();
    assert!(at.is_sorted(), "{out}");
}

#[test]
fn wrong_use_ends_with_64_and_the_flags_name() {
    let (code, out, err) = run(&[]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("Usage: kong-metrics-exporter"), "{err}");
    for arguments in [
        &["sidecar", "--kong.url=https://127.0.0.1/"][..],
        &["sidecar", "--label.service=pod"],
        &["sidecar", "--web.listen-adress=:1"],
        &["sidecar", "--kong.timeout=soon"],
        &["sidecar", "--shutdown-delay=-1s"],
        &["enrich", "--metric-allowlist=("],
        &["serve"],
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
        let flag = arguments.last().unwrap().split('=').next().unwrap();
        assert!(err.contains(flag), "{arguments:?}: {err}");
    }
    let (_, _, err) = run(&["sidecar", "--kong.timeout=soon"]);
    assert!(err.contains("expected a duration such as 10s"), "{err}");
}

#[test]
fn the_environment_counts_where_no_flag_is_given() {
    let mut command = exporter(&["sidecar"]);
    command.env("KONG_METRICS_EXPORTER_KONG_URL", "https://127.0.0.1/");
    let (code, _, err) = told(command.output().unwrap());
    assert_eq!(code, 64);
    assert!(err.contains("--kong.url"), "{err}");
    let mut command = exporter(&["enrich", "--label.service=svc"]);
    command.env("KONG_METRICS_EXPORTER_LABEL_SERVICE", "pod");
    command.env("KONG_METRICS_EXPORTER_LABEL_NAMESPACE", "ns");
    assert_eq!(told(command.output().unwrap()).0, 0);
}

#[test]
fn enrich_reads_standard_input_or_a_file() {
    assert_eq!(enriched(&[], SAMPLE.as_bytes()), (0, ENRICHED.to_owned(), String::new()));
    let path = file("enrich.txt", SAMPLE.as_bytes());
    assert_eq!(run(&["enrich", path.to_str().unwrap()]).1, ENRICHED);
    let (code, out, err) = run(&["enrich", "/nowhere"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("kong-metrics-exporter: cannot open /nowhere: "), "{err}");
}

#[test]
fn enrich_takes_a_mapping_file() {
    let mapping = file(
        "mapping.json",
        br#"{"services": {"by-hand": {"backends": [{"namespace": "shop", "service": "cart"}]}}}"#,
    );
    let flag = format!("--mapping=file:{}", mapping.display());
    let sample = SAMPLE.replace("shop.cart.80", "by-hand");
    let (code, out, _) = enriched(&[&flag], sample.as_bytes());
    assert_eq!((code, out), (0, ENRICHED.replace("shop.cart.80", "by-hand")));
    let (code, _, err) = enriched(&["--mapping=file:/nowhere"], b"");
    assert_eq!(code, 1);
    assert!(err.contains("cannot read mapping file /nowhere"), "{err}");
}

#[test]
fn enrich_takes_a_last_line_without_an_end() {
    let (code, out, err) = enriched(&["--strict"], SAMPLE.trim_end().as_bytes());
    assert_eq!((code, out.as_str(), err.as_str()), (0, ENRICHED, ""));
}

#[test]
fn enrich_leaves_out_what_it_cannot_read_and_says_so() {
    let input = format!("{SAMPLE}x{{ 1\n{SAMPLE}# TYPE y gauge\n# TYPE y gauge\ny 1 2 3\n");
    let (code, out, err) = enriched(&[], input.as_bytes());
    assert_eq!(code, 0);
    assert_eq!(out, format!("{ENRICHED}{ENRICHED}# TYPE y gauge\n"));
    let counts: Vec<&str> = err.lines().filter(|line| line.contains("dropped")).collect();
    assert_eq!(
        counts,
        [
            "kong-metrics-exporter: 2 lines dropped: malformed, the first where a label \
             name or } was expected at byte 3 of: x{ 1",
            "kong-metrics-exporter: 1 line dropped: repeated_type",
        ]
    );
    assert_eq!(enriched(&["--strict"], input.as_bytes()).0, 1);
    let harmless = format!("{SAMPLE}# TYPE y gauge\n# TYPE y gauge\n");
    assert_eq!(enriched(&["--strict"], harmless.as_bytes()).0, 0);
}

#[test]
fn enrich_refuses_what_is_no_exposition() {
    let html = "a metric name was expected at byte 0 of: <html></html>";
    let json = r#", or } was expected at byte 10 of: {\"message\":\"Not found\"}"#;
    for (input, place) in [
        ("<html></html>\n", html),
        ("{\"message\":\"Not found\"}\n", json),
        ("{\"message\":\"Not found\"}", json),
    ] {
        let expected = format!("kong-metrics-exporter: the input is no exposition: {place}\n");
        assert_eq!(enriched(&[], input.as_bytes()), (1, String::new(), expected));
    }
}

#[test]
fn enrich_ends_quietly_when_nobody_reads_on() {
    let mut child = exporter(&["enrich"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    // More than pipes hold.
    let _ = child.stdin.take().unwrap().write_all(SAMPLE.repeat(50_000).as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn promtool_finds_nothing_to_say_about_our_own_metrics() {
    // Of a scrape that went well, one that failed, and `enrich`.
    let (mut child, address, _log) = sidecar(&["--kong.url=http://127.0.0.1:9/metrics"]);
    let (_, enriched, _) = enriched(&["--self-metrics", "--metric-denylist=.*"], SAMPLE.as_bytes());
    let shared = file(
        "shared.json",
        br#"{"services": {"by-hand": {"backends": [{"namespace": "shop", "service": "cart", "weight": 3},
            {"namespace": "shop", "service": "canary", "port": 80}]}}}"#,
    );
    let kong = one_answer(SAMPLE.replace("shop.cart.80", "by-hand"));
    let (mut other, well, _other_log) = sidecar(&[
        &format!("--kong.url=http://{kong}/metrics"),
        &format!("--mapping=file:{}", shared.display()),
    ]);
    let answered = get(well, "/metrics");
    let failed = get(address, "/metrics");
    child.kill().unwrap();
    other.kill().unwrap();
    child.wait().unwrap();
    other.wait().unwrap();
    assert!(answered.contains(
        "kong_exporter_backend_info{kong_service=\"by-hand\",exported_namespace=\"shop\",\
         exported_service=\"canary\",port=\"80\"} 1\n\
         kong_exporter_backend_info{kong_service=\"by-hand\",exported_namespace=\"shop\",\
         exported_service=\"cart\",port=\"\"} 3\n"
    ));
    for text in [answered, failed, enriched] {
        let own = &text[text.find("# HELP kong_exporter_build_info").unwrap()..];
        let checked = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = checked else {
            println!("not run: no promtool here");
            return;
        };
        promtool.stdin.take().unwrap().write_all(own.as_bytes()).unwrap();
        let told = told(promtool.wait_with_output().unwrap());
        assert_eq!(told, (0, String::new(), String::new()), "{own}");
    }
}

#[test]
fn a_signal_ends_it_in_order_and_a_second_one_at_once() {
    let signal = |child: &Child, name: &str| {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    let (mut child, _, _log) = sidecar(&["--shutdown-delay=0s"]);
    signal(&child, "-TERM");
    assert_eq!(exit_code(&mut child), Some(0));

    let (mut child, _, _log) = sidecar(&["--shutdown-delay=1h"]);
    signal(&child, "-INT");
    assert_eq!(exit_code(&mut child), Some(0));

    let (mut child, address, mut log) = sidecar(&["--shutdown-delay=1h"]);
    signal(&child, "-TERM");
    log.until("still answering");
    assert!(get(address, "/readyz").starts_with("HTTP/1.0 503 "));
    assert!(get(address, "/livez").starts_with("HTTP/1.0 200 "));
    signal(&child, "-TERM");
    assert_eq!(exit_code(&mut child), Some(128 + 15));
}

#[test]
fn what_keeps_it_from_starting_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listen = format!("--web.listen-address={address}");
    let (code, _, err) = run(&["sidecar", &listen]);
    assert_eq!(code, 1);
    assert!(err.contains(&format!("cannot listen on {address} (--web.listen-address)")), "{err}");
    let (code, _, err) =
        run(&["sidecar", "--web.listen-address=127.0.0.1:0", "--mapping=file:/nowhere"]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot read mapping file /nowhere"), "{err}");
}

#[test]
fn json_logs_are_json() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--web.listen-address={}", taken.local_addr().unwrap());
    let (_, _, err) = run(&["sidecar", "--log.format=json", &listen]);
    for line in err.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["message"].is_string(), "{line}");
    }
    assert!(err.lines().count() >= 2, "{err}");
    assert_eq!(run(&["sidecar", "--log.level=off", &listen]).2, "");
}

/// Waits for the end, but not for ever.
fn exit_code(child: &mut Child) -> Option<i32> {
    for _ in 0..3000 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("does not end");
}

/// What the sidecar logs.
struct Log(BufReader<ChildStderr>);

impl Log {
    /// Reads on to the line with this text.
    fn until(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "ended before {text:?}");
        }
        line
    }
}

/// One on a free port, with its address and what it logs.
fn sidecar(arguments: &[&str]) -> (Child, SocketAddr, Log) {
    let listen = ["sidecar", "--web.listen-address=127.0.0.1:0"];
    let mut child = exporter(&[&listen, arguments].concat()).spawn().unwrap();
    let mut log = Log(BufReader::new(child.stderr.take().unwrap()));
    let line = log.until("listening");
    let address = line.trim_end().rsplit_once("address=").unwrap().1.parse().unwrap();
    (child, address, log)
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: sidecar\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A Kong that answers one request with this body.
fn one_answer(body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        let length = body.len();
        let head = format!("Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}{body}").as_bytes()).unwrap();
    });
    address
}
