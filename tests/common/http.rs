//! An HTTP client on raw sockets that tells a whole answer from a broken one.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer as far as it came.
#[derive(Debug, Default)]
pub struct Answer {
    pub head: String,
    /// Without the chunks' frames.
    pub body: Vec<u8>,
    /// Whether the last chunk, or as many bytes as announced, have come.
    pub is_whole: bool,
    /// Whether the connection ended with a reset.
    pub was_reset: bool,
    /// What came after the answer.
    pub rest: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The part before the exporter's own metrics.
    pub fn kongs(&self) -> String {
        let text = self.text();
        let end = text.find("# HELP kong_exporter_").unwrap_or(text.len());
        text[..end].to_owned()
    }

    /// The value of the one sample that is written exactly so.
    pub fn sample(&self, series: &str) -> f64 {
        let text = self.text();
        let line = text
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        let line = line.unwrap_or_else(|| panic!("no {series} in:\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

/// GET with these header lines, on a connection of its own.
pub async fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Answer {
    request(address, &format!("GET {path} HTTP/1.1"), headers).await
}

pub async fn request(address: SocketAddr, line: &str, headers: &[&str]) -> Answer {
    request_with_body(address, line, headers, "").await
}

/// The headers must say how long the body is.
pub async fn request_with_body(
    address: SocketAddr,
    line: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, line, headers).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let is_head = line.starts_with("HEAD ");
    answer(&mut stream, Vec::new(), is_head).await
}

pub async fn send(stream: &mut TcpStream, line: &str, headers: &[&str]) {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{line}\r\nHost: sidecar\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Reads one answer; `bytes` are what has been read of it already.
pub async fn answer(stream: &mut TcpStream, bytes: Vec<u8>, is_head: bool) -> Answer {
    let answer = timeout(PATIENCE, read(stream, bytes, is_head)).await;
    answer.expect("an answer or the end of the connection")
}

async fn read(stream: &mut TcpStream, mut bytes: Vec<u8>, is_head: bool) -> Answer {
    loop {
        let parsed = parse(&bytes, is_head);
        if parsed.is_whole {
            return parsed;
        }
        bytes.reserve(64 * 1024);
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return parsed,
            Ok(_) => {}
            Err(_) => return Answer { was_reset: true, ..parsed },
        }
    }
}

fn parse(bytes: &[u8], is_head: bool) -> Answer {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Answer::default() };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut rest = &bytes[end + 4..];
    let mut answer = Answer { head, ..Answer::default() };
    if is_head {
        answer.is_whole = true;
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().unwrap();
        answer.is_whole = rest.len() >= length;
        let (body, after) = rest.split_at(length.min(rest.len()));
        answer.body = body.to_vec();
        rest = after;
    } else if answer.header("transfer-encoding") == Some("chunked") {
        while let Some(line) = find(rest, b"\r\n") {
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let data = &rest[line + 2..];
            if data.len() < size + 2 {
                answer.body.extend_from_slice(&data[..size.min(data.len())]);
                break;
            }
            answer.body.extend_from_slice(&data[..size]);
            rest = &data[size + 2..];
            if size == 0 {
                answer.is_whole = true;
                break;
            }
        }
    } else {
        answer.body = rest.to_vec();
    }
    if answer.is_whole {
        answer.rest = rest.to_vec();
    }
    answer
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A bound, not a claim: whoever waits this long waits for ever.
pub const PATIENCE: Duration = Duration::from_secs(30);
