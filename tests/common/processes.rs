//! The built exporter and real Prometheus servers, each a process on a free port of loopback with a
//! folder of its own. Both go when the value is dropped: the process by its id, then the folder.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::http::{self, PATIENCE};

/// A process that serves HTTP and has said where.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Process {
    /// Starts `command` and waits for the line of its log that has `listening` and the address.
    async fn start(mut command: Command, folder: PathBuf, listening: &str) -> Self {
        let log = File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let mut process = Self { address: nowhere, child, folder };
        until(listening, async || {
            let log = process.log();
            assert!(process.child.try_wait().unwrap().is_none(), "ended at once:\n{log}");
            let address = log.lines().find(|line| line.contains(listening)).and_then(|line| {
                let (_, rest) = line.split_once("address=")?;
                rest.split_whitespace().next()?.parse().ok()
            })?;
            process.address = address;
            Some(())
        })
        .await;
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of process {}:\n{}", self.child.id(), self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The sidecar in front of the Kong at `kong_url`.
pub async fn exporter(kong_url: &str, arguments: &[&str]) -> Process {
    exporter_by(Command::new(program()), kong_url, arguments).await
}

/// What is built with the tests, or what is to be measured instead.
fn program() -> OsString {
    let built = env!("CARGO_BIN_EXE_kong-metrics-exporter").into();
    std::env::var_os("KONG_EXPORTER_BINARY").unwrap_or(built)
}

/// The same, where `command` is what starts it.
pub async fn exporter_by(mut command: Command, kong_url: &str, arguments: &[&str]) -> Process {
    let kong = format!("--kong.url={kong_url}");
    let usual = ["sidecar", "--web.listen-address=127.0.0.1:0", "--log.level=info", &kong];
    command.args(usual).args(arguments).env_clear();
    Process::start(command, folder("exporter"), "listening").await
}

/// Another command that serves.
pub async fn command(arguments: &[&str]) -> Process {
    let mut command = Command::new(program());
    command.args(arguments).env_clear();
    Process::start(command, folder("command"), "listening").await
}

/// A Prometheus server that scrapes every second.
pub struct Prometheus(Process);

/// One element of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Prometheus {
    /// `jobs` as in `scrape_configs`.
    pub async fn start(program: &Path, jobs: Vec<Value>) -> Self {
        let folder = folder("prometheus");
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": jobs,
        });
        let file = folder.join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0");
        Self(Process::start(command, folder, "Listening on").await)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What `query` gives now. Nothing while the server is still starting.
    pub async fn query(&self, query: &str) -> Vec<Element> {
        self.query_in(query, Duration::ZERO).await
    }

    /// What `query` will give in a while, if nothing more is scraped until then.
    pub async fn query_in(&self, query: &str, wait: Duration) -> Vec<Element> {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + wait;
        let path = format!("/api/v1/query?time={}&query={}", at.as_secs_f64(), encoded(query));
        let answer = http::get(self.0.address, &path, &[]).await;
        if answer.status() == 503 {
            return Vec::new();
        }
        assert_eq!(answer.status(), 200, "{query}: {}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["data"]["result"].as_array().unwrap().iter().map(element).collect()
    }

    /// The value of the only element of the result, if it has one.
    pub async fn value(&self, query: &str) -> Option<f64> {
        let result = self.query(query).await;
        assert!(result.len() <= 1, "{query}: {result:?}");
        result.first().map(|element| element.value)
    }

    /// The metrics of the server itself.
    pub async fn metrics(&self) -> String {
        http::get(self.0.address, "/metrics", &[]).await.text()
    }
}

fn element(result: &Value) -> Element {
    let labels = result["metric"].as_object().unwrap().iter();
    Element {
        labels: labels.map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect(),
        value: result["value"][1].as_str().unwrap().parse().unwrap(),
    }
}

/// The servers to be tried: Debian's in PATH, and the one that PROMETHEUS3 names.
pub fn prometheus_programs() -> Vec<PathBuf> {
    let in_path = PathBuf::from("prometheus");
    let answers = Command::new(&in_path).arg("--version").output().is_ok();
    let named = std::env::var_os("PROMETHEUS3").map(PathBuf::from);
    let programs: Vec<_> = answers.then_some(in_path).into_iter().chain(named).collect();
    if programs.is_empty() {
        println!("not run: no prometheus in PATH");
    }
    programs
}

/// Asks until there is an answer; fails if there never is.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// A new folder for one process. In process namespaces of their own, several runs have one id.
fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{now}-{next}"));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn encoded(text: &str) -> String {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes()
        .map(|b| if is_plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
