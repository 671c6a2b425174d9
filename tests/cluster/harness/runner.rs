//! Tests in, an exit code out: finds the programs, goes into the sandbox, starts the control plane
//! when the first test wants it, and ends it whatever happens.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OnceCell, RwLock};
use tokio::time::timeout;

use super::binaries::Binaries;
use super::cluster::Cluster;
use super::plane::Plane;
use super::sandbox;

/// One test.
pub(crate) struct Test {
    name: &'static str,
    access: Access,
    run: fn(Cluster) -> LocalBoxFuture<'static, ()>,
}

/// Whether others may use the cluster at the same time.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    Shared,
    /// As `Shared`, but not without a kube-controller-manager.
    Controlled,
    Alone,
}

impl Test {
    pub(crate) fn new(
        name: &'static str,
        access: Access,
        run: fn(Cluster) -> LocalBoxFuture<'static, ()>,
    ) -> Self {
        Self { name, access, run }
    }

    fn trial(self) -> Trial {
        let name = self.name.split_once("::").map_or(self.name, |(_, name)| name);
        Trial::test(name, move || runtime().block_on(self.go()))
    }

    async fn go(self) -> Result<(), Failed> {
        let _shared;
        let _alone;
        match self.access {
            Access::Shared | Access::Controlled => _shared = TURNS.read().await,
            Access::Alone => _alone = TURNS.write().await,
        }
        let plane = PLANE.get().ok_or("there is no control plane")?;
        if self.access == Access::Controlled && !plane.binaries.have_controllers() {
            println!("not run: {}: there is no kube-controller-manager", self.name);
            return Ok(());
        }
        let started = STARTED.get_or_init(|| async {
            let starting = async {
                let start = Instant::now();
                plane.start().await;
                let runs = start.elapsed().as_secs_f32();
                Cluster::new(plane).await.define_usual_kinds().await;
                let all = start.elapsed().as_secs_f32();
                println!("control plane: runs after {runs:.1} s, has all kinds after {all:.1} s");
            };
            AssertUnwindSafe(starting).catch_unwind().await.is_ok()
        });
        if !*started.await {
            return Err("the control plane did not start".into());
        }
        let cluster = Cluster::new(plane).await;
        let test = AssertUnwindSafe((self.run)(cluster.clone())).catch_unwind();
        let limit = limit();
        let ended = timeout(limit, test).await;
        cluster.clear().await;
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(format!("took longer than {limit:?}").into()),
        }
    }
}

/// Runs the tests that the command line asks for.
pub(crate) fn run(mut tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Nobody waits for the cluster while others have it.
    tests.sort_by_key(|test| test.access == Access::Alone);
    let trials: Vec<Trial> = tests.into_iter().map(Test::trial).collect();
    let nothing_to_do = trials.iter().all(|trial| arguments.is_filtered_out(trial));
    if arguments.list || nothing_to_do {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let wish = std::env::var("KONG_EXPORTER_CLUSTER").unwrap_or_default();
    let binaries = match wish.as_str() {
        "off" => Err("KONG_EXPORTER_CLUSTER=off".to_owned()),
        _ => Binaries::find().and_then(|binaries| sandbox::enter().map(|()| binaries)),
    };
    let binaries = match binaries {
        Ok(binaries) => binaries,
        Err(why) => {
            println!("not run: {} cluster tests: {why}", trials.len());
            return if wish == "required" { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let plane = PLANE.get_or_init(|| Plane::new(binaries));
    std::thread::spawn(move || end_by_signal(plane));
    // They wait most of the time.
    arguments.test_threads.get_or_insert(4);
    let conclusion = libtest_mimic::run(&arguments, trials);
    plane.end(conclusion.has_failed());
    conclusion.exit_code()
}

fn end_by_signal(plane: &Plane) {
    runtime().block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).unwrap();
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    plane.end(false);
    std::process::exit(130);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

static PLANE: OnceLock<Plane> = OnceLock::new();
static STARTED: OnceCell<bool> = OnceCell::const_new();
static TURNS: RwLock<()> = RwLock::const_new(());

/// Whatever takes this long hangs: five minutes, or as many seconds as
/// `KONG_EXPORTER_CLUSTER_LIMIT` says for tests that are told to do more than usual.
fn limit() -> Duration {
    let told = std::env::var("KONG_EXPORTER_CLUSTER_LIMIT").ok();
    Duration::from_secs(told.and_then(|told| told.parse().ok()).unwrap_or(300))
}
