//! The real Kong Ingress Controller as a process: how it is set up in, what it pushes goes to an
//! [`Admin`]. It ends with the value, by its id; if a test failed, its log stays and is named.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::admin::Admin;

/// A running controller.
pub(crate) struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    /// Starts `program` for the Kong behind `admin`.
    pub(crate) fn start(
        program: &Path,
        kubeconfig: &Path,
        admin: &Admin,
        folder: &Path,
        flags: &[String],
    ) -> Self {
        let log = folder.join("kic.log");
        let file = File::create(&log).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--kong-admin-url={}", admin.url()))
            .args(FLAGS)
            .args(flags)
            // What its events about failed pushes are about.
            .envs([("POD_NAME", "kic"), ("POD_NAMESPACE", "default")])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { child, log }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("log of Kong Ingress Controller: {}", self.log.display());
        }
    }
}

/// It says what it has to say to Kong five times a second, and waits at its start only for its own
/// caches; nothing of it listens where another one might.
const FLAGS: [&str; 9] = [
    "--proxy-sync-seconds=0.2",
    "--init-cache-sync-duration=1s",
    "--publish-status-address=10.244.0.10",
    "--anonymous-reports=false",
    "--admission-webhook-listen=off",
    "--force-leader-election=disabled",
    "--emit-kubernetes-events=false",
    "--metrics-bind-address=0",
    "--health-probe-bind-address=127.0.0.1:0",
];
