//! Leader election against a make-believe API server. In: candidates that come, go, are killed or
//! cut off. Asserted: who leads when, and that there are never two.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/api.rs"]
mod api;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::Api;
use kong_metrics_exporter::cluster::lease::{Candidate, Leadership, Timing, identity};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";

const TIMING: Timing = Timing {
    duration: Duration::from_secs(1),
    deadline: Duration::from_millis(600),
    interval: Duration::from_millis(100),
    request: Duration::from_millis(200),
};

/// A candidate that writes whenever it leads.
struct Process {
    leadership: Leadership,
    end: oneshot::Sender<()>,
    standing: JoinHandle<()>,
    writing: JoinHandle<()>,
}

impl Process {
    fn start(api: &Api, name: &str, writers: &Arc<AtomicUsize>) -> Self {
        let candidate = Candidate::with_timing(api.client(), "kong", "publish", name, TIMING);
        let (end, ended) = oneshot::channel();
        let leadership = candidate.leadership();
        let writing = tokio::spawn(write(leadership.clone(), Arc::clone(writers)));
        let standing = tokio::spawn(candidate.run(async { drop(ended.await) }));
        Self { leadership, end, standing, writing }
    }

    async fn leads(&self) {
        let mut leadership = self.leadership.clone();
        timeout(PATIENCE, leadership.gained()).await.unwrap();
    }

    fn kill(self) {
        self.standing.abort();
        self.writing.abort();
    }
}

async fn write(mut leadership: Leadership, writers: Arc<AtomicUsize>) {
    loop {
        leadership.gained().await;
        assert_eq!(writers.fetch_add(1, Ordering::SeqCst), 0, "two write");
        let leave = Leave(&writers);
        leadership.lost().await;
        drop(leave);
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn api() -> Api {
    let api = Api::start(&[]).await;
    api.serve_path(LEASES);
    api
}

fn holder(api: &Api) -> String {
    let leases = api.objects_at(LEASES);
    let spec = &leases[&("kong".to_owned(), "publish".to_owned())]["spec"];
    spec["holderIdentity"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_leads_and_gives_it_back_at_the_end() {
    let (api, writers) = (api().await, Arc::default());
    let one = Process::start(&api, "one", &writers);
    one.leads().await;
    let other = Process::start(&api, "other", &writers);
    sleep(3 * TIMING.duration).await;
    assert_eq!((holder(&api).as_str(), other.leadership.holds()), ("one", false));
    let lease = &api.objects_at(LEASES)[&("kong".to_owned(), "publish".to_owned())]["spec"];
    assert!(lease["renewTime"].as_str() > lease["acquireTime"].as_str(), "{lease}");
    assert_eq!(lease["leaseDurationSeconds"], 1);

    one.writing.abort();
    one.end.send(()).unwrap();
    one.standing.await.unwrap();
    let given_back = Instant::now();
    assert_eq!(holder(&api), "");
    other.leads().await;
    assert!(given_back.elapsed() < TIMING.duration, "{:?}", given_back.elapsed());
    let lease = &api.objects_at(LEASES)[&("kong".to_owned(), "publish".to_owned())]["spec"];
    assert_eq!((holder(&api).as_str(), &lease["leaseTransitions"]), ("other", &1.into()));
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_once_its_lease_is_over() {
    let (api, writers) = (api().await, Arc::default());
    let one = Process::start(&api, "one", &writers);
    one.leads().await;
    let other = Process::start(&api, "other", &writers);
    sleep(TIMING.interval).await;
    let killed = Instant::now();
    one.kill();
    other.leads().await;
    // Its last renewal cannot have been earlier.
    assert!(killed.elapsed() > TIMING.duration - TIMING.deadline, "{:?}", killed.elapsed());
    assert_eq!(holder(&api), "other");
}

#[tokio::test]
async fn a_leader_that_reaches_no_server_stops_in_time_and_goes_on_later() {
    let (api, writers) = (api().await, Arc::default());
    let one = Process::start(&api, "one", &writers);
    one.leads().await;
    api.swallow(true);
    api.cut();
    let cut = Instant::now();
    timeout(PATIENCE, one.leadership.clone().lost()).await.unwrap();
    assert!(cut.elapsed() < TIMING.duration, "{:?}", cut.elapsed());
    assert!(!one.leadership.holds());
    assert_eq!(one.leadership.clone().while_held(async {}).await, None);
    api.swallow(false);
    api.cut();
    one.leads().await;
}

#[tokio::test]
async fn who_may_not_read_leases_does_not_lead_and_says_so_once_he_may() {
    let (api, writers) = (api().await, Arc::default());
    api.refuse("/apis/coordination.k8s.io/", 403);
    let one = Process::start(&api, "one", &writers);
    sleep(5 * TIMING.interval).await;
    assert!(!one.leadership.holds());
    api.allow("/apis/coordination.k8s.io/");
    one.leads().await;
}

#[tokio::test]
async fn many_that_come_and_go_are_never_two_that_write() {
    let (api, writers) = (api().await, Arc::default());
    for round in 0..4 {
        let all: Vec<_> =
            (0..5).map(|n| Process::start(&api, &format!("{round}-{n}"), &writers)).collect();
        let leads = async {
            while !all.iter().any(|one| one.leadership.holds()) {
                sleep(TIMING.interval / 10).await;
            }
        };
        timeout(PATIENCE, leads).await.unwrap();
        for one in all {
            // A panic in it means that two wrote.
            assert!(!one.writing.is_finished());
            one.kill();
        }
        sleep(TIMING.interval).await;
        assert_eq!(writers.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn no_two_processes_have_the_same_name() {
    assert_ne!(identity(), identity());
}

/// A bound, not a claim.
const PATIENCE: Duration = Duration::from_secs(30);
