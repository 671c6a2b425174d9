//! Namespaces of the tests' own: this program in, the same program once more with nothing around it
//! out. A network of its own has every port free and lets several runs go on at once; a process
//! tree of its own ends with this process, whatever ends it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Returns inside; where this process is outside, it becomes the one inside and does not return.
pub(crate) fn enter() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).output();
        let up = up.map_err(|error| format!("cannot run ip (iproute2): {error}"))?;
        let told = String::from_utf8_lossy(&up.stderr);
        let is_up = up.status.success();
        return is_up.then_some(()).ok_or_else(|| format!("ip link set lo up: {told}"));
    }
    let mut refusals = Vec::new();
    for user in [&[][..], &["--user", "--map-root-user"]] {
        let flags = [user, &FLAGS].concat();
        match Command::new("unshare").args(&flags).arg("true").stdin(Stdio::null()).output() {
            Ok(tried) if tried.status.success() => {
                let this = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new("unshare");
                command.args(&flags).arg(this).args(std::env::args_os().skip(1));
                return Err(command.env(INSIDE, "1").exec().to_string());
            }
            Ok(tried) => refusals.push(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
            Err(error) => refusals.push(format!("cannot run unshare (util-linux): {error}")),
        }
    }
    Err(format!("no network namespace can be made here: {}", refusals.join("; ")))
}

/// The first process inside takes all others with it, and goes when `unshare` does.
const FLAGS: [&str; 5] = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
const INSIDE: &str = "KONG_EXPORTER_CLUSTER_INSIDE";
