//! `demo` as a user runs it: a process, its output, and a scrape of the address it prints.
#![allow(clippy::unwrap_used, clippy::panic)] // the rules leave out test functions, but not what they call

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

#[test]
fn it_prints_before_and_after_serves_what_it_printed_and_ends() {
    let mut demo = Demo::start(&["--for", "2s"]);
    let printed = demo.read_until("It ends in 2s.");

    let command = "httproute.kong.svc.kong.command.80.1";
    let before = format!("- kong_upstream_latency_ms_count{{service=\"{command}\",route=");
    let after = format!(
        "+ kong_upstream_latency_ms_count{{exported_service=\"command\",exported_namespace=\"kong\",\
         kubernetes_name=\"command\",kubernetes_namespace=\"kong\",kubernetes_kind=\"service\",\
         kubernetes_apiversion=\"v1\",kong_service=\"{command}\",route="
    );
    assert_eq!(starting_with(&printed, &before), 1, "{printed}");
    assert_eq!(starting_with(&printed, &after), 1, "{printed}");
    // Two backends: the route, and a line for each.
    let storefront =
        "kong_service=\"httproute.web.svc.web.storefront.80.90_web.storefront-canary.80.10\"";
    let lines = |start: &str| {
        printed.lines().filter(|l| l.starts_with(start) && l.contains(storefront)).count()
    };
    assert_eq!(
        lines(
            "+ kong_upstream_latency_ms_count{kubernetes_name=\"storefront\",kubernetes_namespace=\"web\",kubernetes_kind=\"httproute\""
        ),
        1,
        "{printed}"
    );
    assert_eq!(lines("+ kong_exporter_backend_info{"), 2, "{printed}");
    // Nobody knows it.
    let unknown = "+ kong_upstream_latency_ms_count{kong_service=\"legacy-billing\",route=";
    assert_eq!(starting_with(&printed, unknown), 1, "{printed}");

    let (head, body) = get(sidecar(&printed));
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    for sample in [
        "kong_exporter_kong_up 1",
        "kong_request_latency_ms_count{exported_service=\"cart\",exported_namespace=\"shop\"",
        "kong_request_latency_ms_count{exported_service=\"ledger\",exported_namespace=\"payments\"",
        "kong_request_latency_ms_count{exported_service=\"billing-v2\",exported_namespace=\"payments\"",
        "kong_stream_sessions_total{exported_service=\"dns\",exported_namespace=\"default\"",
    ] {
        assert!(starting_with(&body, sample) > 0, "no {sample} in:\n{body}");
    }
    assert_eq!(starting_with(&body, "# TYPE kong_kong_latency_ms "), 1, "the repeat is dropped");

    let file = mapping_file(&printed);
    assert!(file.is_file(), "{}", file.display());
    assert!(demo.0.wait().unwrap().success());
    assert!(!file.exists(), "{} is left over", file.display());
}

#[test]
fn its_mapping_is_a_file_that_may_be_changed_and_is_gone_after_an_interrupt() {
    let mut demo = Demo::start(&[]);
    let printed = demo.read_until("^C ends it.");
    let (address, file) = (sidecar(&printed), mapping_file(&printed));
    let now_known = r#"{"services": {"legacy-billing": {"backends": [{"namespace": "payments", "service": "billing"}]}}}"#;
    std::fs::write(&file, now_known).unwrap();
    let sample = "kong_request_latency_ms_count{exported_service=\"billing\",exported_namespace=\"payments\"";
    let asked = std::time::Instant::now();
    while starting_with(&get(address).1, sample) == 0 {
        assert!(asked.elapsed().as_secs() < 30, "no {sample}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let id = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert!(demo.0.wait().unwrap().success());
    assert!(!file.exists(), "{} is left over", file.display());
}

#[test]
fn an_address_in_use_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program(&["demo", "--web.listen-address", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&address) && error.contains("--web.listen-address"), "{error}");
}

/// A running demo, ended when dropped.
struct Demo(Child);

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut program = program(&["demo", "--web.listen-address", "127.0.0.1:0"]);
        Self(program.args(arguments).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn read_until(&mut self, last: &str) -> String {
        let mut out = BufReader::new(self.0.stdout.as_mut().unwrap());
        let mut text = String::new();
        while !text.ends_with(&format!("{last}\n")) {
            assert!(out.read_line(&mut text).unwrap() > 0, "it ended early: {text}");
        }
        text
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"));
    program.args(arguments);
    program
}

/// The address behind "The sidecar in front of it:".
fn sidecar(printed: &str) -> &str {
    let url = line(printed, "The sidecar in front of it:");
    url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap()
}

/// The path behind "Its mapping, followed:".
fn mapping_file(printed: &str) -> PathBuf {
    line(printed, "Its mapping, followed:").into()
}

/// What follows `start` on its line.
fn line<'a>(printed: &'a str, start: &str) -> &'a str {
    printed.lines().find_map(|line| line.strip_prefix(start)).unwrap().trim()
}

/// Head and body, the body without its chunks' frames.
fn get(address: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    let mut body = String::new();
    while let Some((length, tail)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&tail[..length]);
        rest = tail[length..].strip_prefix("\r\n").unwrap();
        if length == 0 {
            return (head.to_owned(), body);
        }
    }
    panic!("the body has no end");
}

fn starting_with(text: &str, start: &str) -> usize {
    text.lines().filter(|line| line.starts_with(start)).count()
}
