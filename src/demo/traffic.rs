//! Who calls what, and how it goes: the simulated services, and single requests drawn at random.

use std::f64::consts::TAU;
use std::time::Duration;

/// A Kong service with its one route, and the traffic it gets.
#[derive(Debug)]
pub(super) struct Service {
    /// Kong's name of it.
    pub(super) name: &'static str,
    /// Kong's name of its route.
    pub(super) route: &'static str,
    /// Which subsystem of Kong handles it.
    pub(super) subsystem: Subsystem,
    /// Requests (or sessions) a second, on average.
    pub(super) per_second: f64,
    /// What its upstream typically takes, at its best and at its worst, in milliseconds. It goes
    /// from one to the other and back in [`WAVE`].
    pub(super) latency_ms: (f64, f64),
}

/// The two halves of Kong. Each prints a body of its own; the second is appended to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subsystem {
    /// HTTP and gRPC.
    Http,
    /// TCP, TLS and UDP.
    Stream,
}

/// One request that has been answered.
#[derive(Debug)]
pub(super) struct Request {
    /// The HTTP status; 200 for every session of a stream.
    pub(super) code: u16,
    /// Whether the upstream was asked, or Kong answered by itself.
    pub(super) reached_upstream: bool,
    /// What the upstream took, or would have taken.
    pub(super) upstream_ms: u64,
    /// What Kong took.
    pub(super) kong_ms: u64,
    /// Bytes from the client.
    pub(super) ingress_bytes: u64,
    /// Bytes to the client.
    pub(super) egress_bytes: u64,
}

/// Random numbers that are the same on every machine (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Service {
    /// One request to this service after the simulation has run for `elapsed`.
    pub(super) fn request(&self, elapsed: Duration, random: &mut Random) -> Request {
        let (best, worst) = self.latency_ms;
        let wave = 0.5 - 0.5 * (TAU * elapsed.as_secs_f64() / WAVE.as_secs_f64()).cos();
        let typical = best + (worst - best) * wave;
        // Mostly a little around the typical, now and then much more.
        let spread = 0.8 + 0.4 * random.unit();
        let outlier = if random.below(200) == 0 { 10.0 } else { 1.0 };
        let (code, reached_upstream) = match (self.subsystem, random.below(200)) {
            (Subsystem::Stream, _) => (200, true),
            (Subsystem::Http, 0) => (503, false),
            (Subsystem::Http, 1..=2) => (429, false),
            (Subsystem::Http, 3) => (500, true),
            (Subsystem::Http, 4..=7) => (404, true),
            (Subsystem::Http, _) => (200, true),
        };
        Request {
            code,
            reached_upstream,
            upstream_ms: (typical * spread * outlier).round() as u64,
            kong_ms: if random.below(50) == 0 { 5 + random.below(90) } else { random.below(4) },
            ingress_bytes: 150 + random.below(700),
            egress_bytes: 300 + random.below(9_000),
        }
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1. The bias of so small an `n` does not show.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// 0 to 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One tide of load: long enough to see in a graph of the last minute, short enough to wait for.
const WAVE: Duration = Duration::from_secs(120);

/// Sorted by name, which is the order Kong prints in; one for each form of name.
pub(super) const SERVICES: [Service; 8] = [
    // UDPIngress: the name says it.
    Service {
        name: "default.dns.53.udp",
        route: "default.dns-ing.0.udp",
        subsystem: Subsystem::Stream,
        per_second: 2.0,
        latency_ms: (900.0, 2_500.0),
    },
    // GRPCRoute: the mapping has to tell the Service.
    Service {
        name: "grpcroute.payments.ledger.0",
        route: "grpcroute.payments.ledger.0.0",
        subsystem: Subsystem::Http,
        per_second: 6.0,
        latency_ms: (9.0, 14.0),
    },
    // HTTPRoute as Kong Operator names it: the name says it. The tutorial's service, which sleeps
    // 0.1 seconds when somebody asks it to.
    Service {
        name: super::COMMAND,
        route: "httproute.kong.command.0.0",
        subsystem: Subsystem::Http,
        per_second: 8.0,
        latency_ms: (4.0, 102.0),
    },
    // HTTPRoute as the Ingress Controller names it: the mapping has to tell the Service.
    Service {
        name: "httproute.shop.cart.0",
        route: "httproute.shop.cart.0.0",
        subsystem: Subsystem::Http,
        per_second: 5.0,
        latency_ms: (30.0, 55.0),
    },
    // Two Services behind one rule: nobody can tell whose latency it is.
    Service {
        name: "httproute.web.svc.web.storefront.80.90_web.storefront-canary.80.10",
        route: "httproute.web.storefront.0.0",
        subsystem: Subsystem::Http,
        per_second: 10.0,
        latency_ms: (60.0, 180.0),
    },
    // Made by hand: nobody knows.
    Service {
        name: "legacy-billing",
        route: "legacy-billing-all",
        subsystem: Subsystem::Http,
        per_second: 0.5,
        latency_ms: (400.0, 900.0),
    },
    // KongServiceFacade: the mapping has to tell the Service.
    Service {
        name: "payments.billing.svc.facade",
        route: "payments.billing-ing.pay.example.com.billing.svc.facade",
        subsystem: Subsystem::Http,
        per_second: 3.0,
        latency_ms: (45.0, 70.0),
    },
    // Ingress: the name says it. The same Service as the HTTPRoute's above.
    Service {
        name: "shop.cart.80",
        route: "shop.cart-ing.cart.shop.example.com.80",
        subsystem: Subsystem::Http,
        per_second: 4.0,
        latency_ms: (30.0, 55.0),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_sorted_as_kong_sorts_them() {
        assert!(SERVICES.is_sorted_by_key(|service| service.name));
    }

    #[test]
    fn latency_goes_from_best_to_worst_and_back() {
        let command = SERVICES.iter().find(|service| service.name == super::super::COMMAND);
        let average = |seconds| {
            let mut random = Random(7);
            let sum: u64 = (0..1_000)
                .map(|_| {
                    command.unwrap().request(Duration::from_secs(seconds), &mut random).upstream_ms
                })
                .sum();
            sum / 1_000
        };
        assert!(average(0) < 8, "{}", average(0));
        assert!((95..125).contains(&average(60)), "{}", average(60));
        assert!(average(120) < 8, "{}", average(120));
    }
}
