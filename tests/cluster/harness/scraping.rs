//! The proof that `/metrics` never stops: a sidecar's address in, a count of whole answers out.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::http;

/// Scrapes ten times a second in the background.
pub(crate) struct Scraping {
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Scraping {
    pub(crate) fn of(address: SocketAddr) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(100));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut scrapes = 0;
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut stopped => return scrapes,
                }
                let answer = http::get(address, "/metrics", &[]).await;
                assert_eq!(answer.status(), 200, "{answer:?}");
                assert!(answer.is_whole, "{answer:?}");
                assert_eq!(answer.sample("kong_exporter_kong_up"), 1.0);
                assert_ne!(answer.kongs(), "", "{answer:?}");
                scrapes += 1;
            }
        });
        Self { stop, task }
    }

    /// Ends it and fails if a scrape was not whole; hands back how many were.
    pub(crate) async fn end(self) -> usize {
        let _ = self.stop.send(());
        let scrapes = match self.task.await {
            Ok(scrapes) => scrapes,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        assert_ne!(scrapes, 0);
        scrapes
    }
}
