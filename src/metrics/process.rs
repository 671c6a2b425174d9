//! What the kernel says about this process, under the names every Prometheus client uses.
//!
//! Read from /proc when asked; where there is no /proc, only the start time is told.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The `process_*` metrics.
#[derive(Debug)]
pub(super) struct Process {
    start_time_seconds: f64,
}

impl Process {
    /// To be made once, at the start: its age is the process's age.
    pub(super) fn started_now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start_time_seconds: since_epoch.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        write(
            &mut encoder,
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            &ConstGauge::new(self.start_time_seconds),
        )?;
        if let Some(bytes) = resident_memory_bytes() {
            write(
                &mut encoder,
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                &ConstGauge::new(bytes),
            )?;
        }
        if let Some(seconds) = cpu_seconds() {
            write(
                &mut encoder,
                "process_cpu_seconds",
                "Total user and system CPU time spent in seconds",
                &ConstCounter::new(seconds),
            )?;
        }
        Ok(())
    }
}

fn write(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> std::fmt::Result {
    metric.encode(to.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn resident_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command name, field 2, may hold spaces and parentheses: count from its last one.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(UTIME - STATE);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / USER_HZ)
}

/// Fields of /proc/self/stat as proc(5) numbers them.
const STATE: usize = 3;
const UTIME: usize = 14;

/// The unit of CPU times towards user space: 100 a second on every Linux, whatever CONFIG_HZ is.
const USER_HZ: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_plausible() {
        let Some(bytes) = resident_memory_bytes() else {
            println!("not run: no /proc here");
            return;
        };
        assert!((1 << 16..1 << 40).contains(&bytes), "{bytes}");
        let before = cpu_seconds().unwrap();
        let mut sum = 0_u64;
        while cpu_seconds().unwrap() < before + 0.02 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert!(cpu_seconds().unwrap() < before + 1e6, "{sum}");
    }
}
