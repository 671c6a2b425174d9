//! Kong's own metrics dictionary, read off its gauges on the way through.
//!
//! `kong_memory_lua_shared_dict_bytes` and `…_total_bytes` with `shared_dict="prometheus_metrics"`:
//! when the first reaches the second, Kong evicts series without a word (5 MB by default, some 16,000
//! lines; `kong_nginx_metric_errors_total` stays 0).

use super::stats::Dictionary;
use crate::exposition::{Layout, unquoted};

/// One dictionary a subsystem: `http` and, with stream listeners, `stream`.
#[derive(Debug, Default)]
pub(super) struct Dictionaries {
    http: Fill,
    stream: Fill,
}

#[derive(Debug, Default, Clone, Copy)]
struct Fill {
    used: Option<f64>,
    total: Option<f64>,
}

impl Dictionaries {
    /// Takes a sample of one of the two families.
    pub(super) fn observe(&mut self, line: &[u8], layout: &Layout) {
        let value_of = |name: &[u8]| {
            let label = layout.labels.iter().find(|l| unquoted(l.name.of(line)) == name)?;
            Some(label.value.of(line))
        };
        if value_of(b"shared_dict") != Some(b"prometheus_metrics") {
            return;
        }
        let value = std::str::from_utf8(layout.value.of(line)).ok().and_then(|v| v.parse().ok());
        let fill = match value_of(b"kong_subsystem") {
            Some(b"stream") => &mut self.stream,
            _ => &mut self.http,
        };
        if unquoted(layout.name.of(line)).ends_with(b"_total_bytes") {
            fill.total = value;
        } else {
            fill.used = value;
        }
    }

    /// The one nearest to its limit.
    pub(super) fn fullest(&self) -> Option<Dictionary> {
        [self.http, self.stream]
            .into_iter()
            .filter_map(|fill| {
                Some(Dictionary { used_bytes: fill.used?, total_bytes: fill.total? })
            })
            .max_by(|a, b| a.used_ratio().total_cmp(&b.used_ratio()))
    }
}
