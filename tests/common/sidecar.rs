//! A sidecar in this process, and the proof that it has left nothing behind.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kong_metrics_exporter::mapping::{Current, Snapshot};
use kong_metrics_exporter::rewrite::{FamilyFilter, LabelNames, Memo, Rewriter, Selection};
use kong_metrics_exporter::sidecar::{self, Config, ListenAddress, Mapping};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::http::{self, Answer, PATIENCE};
use crate::kong::{self, Kong};

pub struct Sidecar {
    pub address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<()>,
    /// Tasks of the runtime when this one was not there yet.
    tasks_before: usize,
}

impl Sidecar {
    pub fn start(kong: &Kong) -> Self {
        Self::start_with(config(kong))
    }

    pub fn start_with(config: Config) -> Self {
        Self::start_at("127.0.0.1:0", config, Current::decoding_only())
    }

    pub fn start_at(listen: &str, config: Config, current: Current) -> Self {
        Self::start_mapped(listen, config, Mapping { current, ..Mapping::default() })
    }

    pub fn start_mapped(listen: &str, config: Config, mapping: Mapping) -> Self {
        let tasks_before = Handle::current().metrics().num_alive_tasks();
        let listener = listen.parse::<ListenAddress>().unwrap().bind().unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(sidecar::run(config, vec![listener], mapping, async {
            stopped.await.unwrap_or_default()
        }));
        Self { address, stop, task, tasks_before }
    }

    pub async fn scrape(&self) -> Answer {
        http::get(self.address, "/metrics", &[]).await
    }

    /// Of a whole scrape.
    pub async fn sample(&self, series: &str) -> f64 {
        self.scrape().await.sample(series)
    }

    /// Has it go on answering for `delay` and end; hands back what ends with it.
    pub fn stop(self, delay: Duration) -> JoinHandle<()> {
        self.stop.send(delay).unwrap();
        self.task
    }

    /// Whatever has happened: the next scrape is whole and alone, and at the end no task and no
    /// connection is left.
    pub async fn ends_well(self, kong: &Kong) {
        let text = kong::exposition(50);
        kong.answers(kong::good(&text));
        eventually("only the scrape that asks is in flight", async || {
            let answer = self.scrape().await;
            assert!(answer.is_whole, "{answer:?}");
            assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
            assert_eq!(answer.kongs().lines().count(), text.lines().count());
            answer.sample("kong_exporter_scrapes_in_flight") == 1.0
        })
        .await;
        let tasks_before = self.tasks_before;
        timeout(PATIENCE, self.stop(Duration::ZERO)).await.expect("an end").unwrap();
        eventually("no connection to kong", async || kong.open() == 0).await;
        eventually("no task", async || {
            Handle::current().metrics().num_alive_tasks() == tasks_before
        })
        .await;
    }
}

/// What the rewriter makes of `text` when it gets it in one piece.
pub fn rewritten(text: &str) -> String {
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

/// The default, with this Kong.
pub fn config(kong: &Kong) -> Config {
    Config { kong_uri: kong.url().parse().unwrap(), ..Config::default() }
}

/// Waits until it is so; fails if it never is.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never came: {what}"));
}
