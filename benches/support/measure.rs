//! What a piece of work cost, and on which machine. CPU time and not wall time: a loaded machine
//! then costs accuracy, not truth.

use std::fs;
use std::process::Command;
use std::time::Duration;

use cpu_time::ProcessTime;

/// CPU time of this process, all threads, that `work` took.
pub(crate) fn cpu<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = ProcessTime::now();
    let result = work();
    (start.elapsed(), result)
}

/// The most memory resident at once since the last [`forget_peak_rss`], in KiB.
pub(crate) fn peak_rss_kib() -> u64 {
    status_kib("VmHWM:")
}

/// Memory resident now, in KiB.
pub(crate) fn rss_kib() -> u64 {
    status_kib("VmRSS:")
}

/// Starts [`peak_rss_kib`] over. Where the kernel refuses, peaks are too high, never too low.
pub(crate) fn forget_peak_rss() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status_kib(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}

/// Binds this process, and what it starts, to the machine's last core. Returns what it did, in words.
pub(crate) fn pin_to_one_core() -> String {
    let core = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1).to_string();
    let pid = std::process::id().to_string();
    match Command::new("taskset").args(["-c", "-p", &core, &pid]).output() {
        Ok(output) if output.status.success() => format!("pinned to core {core}"),
        _ => "not pinned (no taskset)".to_owned(),
    }
}

/// Processor, cores, kernel, load, compiler, commit and date, for the head of a result.
pub(crate) fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!(
        "{} ({cores} cores), Linux {}, load {load}, {}, commit {}, {} UTC",
        processor(&cpuinfo),
        output_of("uname", &["-r"]),
        output_of("rustc", &["--version"]),
        commit(),
        output_of("date", &["-u", "+%F %H:%M"]),
    )
}

/// With `-dirty` where anything but recorded results has changed since.
fn commit() -> String {
    let changes = output_of("git", &["status", "--porcelain", "--", ".", ":!benches/results"]);
    let mark = if changes.is_empty() { "" } else { "-dirty" };
    output_of("git", &["describe", "--always"]) + mark
}

/// `DATE-processor`, fit for a file name.
pub(crate) fn file_stem() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = format!("{}-{}", output_of("date", &["-u", "+%F"]), processor(&cpuinfo));
    let mut stem = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '.' => stem.push(c),
            _ if stem.ends_with('-') => {}
            _ => stem.push('-'),
        }
    }
    stem.trim_end_matches('-').to_owned()
}

fn processor(cpuinfo: &str) -> &str {
    cpuinfo
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1))
        .unwrap_or("unknown processor")
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_else(|_| format!("{program}: not found"))
}
