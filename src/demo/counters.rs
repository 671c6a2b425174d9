//! What Kong counts for one route: requests in, counters out. Counters only ever grow.

use std::collections::BTreeMap;

use super::traffic::{Request, Subsystem};

/// The counters of one service's route.
#[derive(Debug)]
pub(super) struct Counters {
    /// Bytes from clients.
    pub(super) ingress_bytes: u64,
    /// Bytes to clients.
    pub(super) egress_bytes: u64,
    /// Requests (or sessions) by status code and source of the answer (`kong`, `service`).
    pub(super) requests: BTreeMap<(u16, &'static str), u64>,
    /// Milliseconds that Kong took.
    pub(super) kong_ms: Histogram,
    /// Milliseconds that all took; of a stream, how long the session lasted.
    pub(super) request_ms: Histogram,
    /// Milliseconds that the upstream took, where it was asked.
    pub(super) upstream_ms: Histogram,
}

impl Counters {
    /// Counts one request.
    pub(super) fn count(&mut self, subsystem: Subsystem, request: &Request) {
        let source = if request.reached_upstream { "service" } else { "kong" };
        *self.requests.entry((request.code, source)).or_default() += 1;
        self.kong_ms.observe(request.kong_ms);
        let upstream_ms = if request.reached_upstream { request.upstream_ms } else { 0 };
        self.request_ms.observe(upstream_ms + request.kong_ms);
        if subsystem == Subsystem::Http {
            // Kong counts the bytes of streams nowhere.
            self.ingress_bytes += request.ingress_bytes;
            self.egress_bytes += request.egress_bytes;
            if request.reached_upstream {
                self.upstream_ms.observe(upstream_ms);
            }
        }
    }

    /// How many requests there were.
    pub(super) fn requests_total(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            ingress_bytes: 0,
            egress_bytes: 0,
            requests: BTreeMap::new(),
            kong_ms: Histogram::new(&KONG_BOUNDS_MS),
            request_ms: Histogram::new(&UPSTREAM_BOUNDS_MS),
            upstream_ms: Histogram::new(&UPSTREAM_BOUNDS_MS),
        }
    }
}

/// A histogram as Kong keeps it: cumulative, and a bucket that was never incremented is not there.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: vec![0; bounds.len()], count: 0, sum: 0 }
    }

    fn observe(&mut self, value: u64) {
        self.count += 1;
        self.sum += value;
        for (bucket, &bound) in self.buckets.iter_mut().zip(self.bounds) {
            *bucket += u64::from(value <= bound);
        }
    }

    /// The upper bounds (without `+Inf`, which is the count) and their counts, empty ones left out.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let all = self.bounds.iter().copied().zip(self.buckets.iter().copied());
        all.filter(|(_, count)| *count > 0)
    }

    /// How many values were observed.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }
}

const KONG_BOUNDS_MS: [u64; 17] =
    [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000];
const UPSTREAM_BOUNDS_MS: [u64; 13] =
    [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];
