//! The recipe: a load and an index in, one service with its routes and their counters out. Every
//! number is drawn in a fixed order from a generator seeded with the index.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Load;

/// How Kong's controllers come to a service, by the form of its name.
#[derive(Clone, Copy)]
enum Kind {
    HttpRoute,
    Ingress,
    Combined,
    GrpcRoute,
    Facade,
}

pub(super) struct Service {
    kind: Kind,
    pub(super) namespace: &'static str,
    pub(super) kubernetes_name: String,
    port: u16,
    rule: usize,
    pub(super) name: String,
    pub(super) routes: Vec<Route>,
}

impl Service {
    /// The service of this index, with its routes sorted by name.
    pub(super) fn draw(load: &Load, index: i64) -> Self {
        let mut draw = Draws::new(load.seed * 7919 + index * 104_729 + 17);
        let kind = KINDS[index as usize % KINDS.len()];
        let namespace = NAMESPACES[draw.below(8)];
        let kubernetes_name = format!("{}-{index}", WORDS[draw.below(16)]);
        let port = [80, 8080, 443, 9000, 50051][draw.below(5)];
        let rule = draw.below(4);
        let base = 3 + draw.below(400) as u64;
        let (fewest, most) = (*load.routes.start(), *load.routes.end());
        let routes = fewest as usize + draw.below(most - fewest + 1);
        let mut service = Self {
            kind,
            namespace,
            kubernetes_name,
            port,
            rule,
            name: String::new(),
            routes: vec![],
        };
        service.name = service.kong_name();
        for route in 0..routes {
            service.routes.push(Route::new(
                service.route_name(route),
                base,
                load.requests,
                &mut draw,
            ));
        }
        service.routes.sort_by(|a, b| a.name.cmp(&b.name));
        service
    }

    fn kong_name(&self) -> String {
        let Self { namespace: ns, kubernetes_name: w, port, rule, .. } = self;
        match self.kind {
            Kind::HttpRoute => format!("httproute.{ns}.{w}.{rule}"),
            Kind::Ingress => format!("{ns}.{w}.{port}"),
            Kind::Combined => {
                format!("httproute.{ns}.svc.{ns}.{w}.{port}.90_{ns}.{w}-canary.{port}.10")
            }
            Kind::GrpcRoute => format!("grpcroute.{ns}.{w}.{rule}"),
            Kind::Facade => format!("{ns}.{w}.svc.facade"),
        }
    }

    fn route_name(&self, j: usize) -> String {
        let Self { namespace: ns, kubernetes_name: w, port, rule, .. } = self;
        match self.kind {
            Kind::HttpRoute | Kind::Combined if j.is_multiple_of(2) => {
                format!("httproute.{ns}.{w}.{rule}.{j}")
            }
            Kind::HttpRoute | Kind::Combined => {
                format!("httproute.{ns}.{w}._.example.com.{rule}.{j}")
            }
            Kind::GrpcRoute => format!("grpcroute.{ns}.{w}.{rule}.{j}"),
            Kind::Ingress => format!("{ns}.{w}-ing-{j}.{w}.{ns}.example.com.{port}"),
            Kind::Facade => format!("{ns}.{w}-ing-{j}.{ns}.example.com.{w}.svc.facade"),
        }
    }

    /// What the mapping file says of it.
    pub(super) fn mapping_entry(&self) -> Value {
        let Self { namespace, kubernetes_name: w, port, rule, .. } = self;
        let backend = |service: &str, weight: u32| json!({"namespace": namespace, "service": service, "port": port, "weight": weight});
        let backends = match self.kind {
            Kind::Combined => vec![backend(w, 90), backend(&format!("{w}-canary"), 10)],
            _ => vec![backend(w, 1)],
        };
        let owner = match self.kind {
            Kind::HttpRoute | Kind::Combined => {
                json!({"kind": "HTTPRoute", "namespace": namespace, "name": w, "rule": rule})
            }
            Kind::GrpcRoute => {
                json!({"kind": "GRPCRoute", "namespace": namespace, "name": w, "rule": rule})
            }
            Kind::Ingress => {
                json!({"kind": "Ingress", "namespace": namespace, "name": format!("{w}-ing-0")})
            }
            Kind::Facade => json!({"kind": "KongServiceFacade", "namespace": namespace, "name": w}),
        };
        json!({"backends": backends, "owners": [owner]})
    }
}

/// One route's counters, as they are after all its requests.
pub(super) struct Route {
    pub(super) name: String,
    pub(super) ingress: u64,
    pub(super) egress: u64,
    pub(super) requests: BTreeMap<u16, u64>,
    pub(super) latency: [Histogram; 3],
}

impl Route {
    fn new(name: String, base: u64, most_requests: i64, draw: &mut Draws) -> Self {
        let mut route = Self {
            name,
            ingress: 0,
            egress: 0,
            requests: BTreeMap::new(),
            latency: [KONG, REQUEST, UPSTREAM].map(|which| Histogram::new(BOUNDS[which])),
        };
        let requests = 1 + draw.below(most_requests);
        for _ in 0..requests {
            let code = CODES[draw.below(20)];
            let mut upstream = base + draw.below(3 * base as i64 + 1) as u64;
            if draw.below(50) == 0 {
                upstream *= 20;
            }
            let mut kong = draw.below(4) as u64;
            if draw.below(40) == 0 {
                kong = 5 + draw.below(900) as u64;
            }
            route.egress += 180 + draw.below(20_000) as u64;
            route.ingress += 90 + draw.below(1_200) as u64;
            *route.requests.entry(code).or_default() += 1;
            route.latency[KONG].observe(kong);
            route.latency[REQUEST].observe(upstream + kong);
            if source(code) == "service" {
                route.latency[UPSTREAM].observe(upstream);
            }
        }
        route
    }
}

pub(super) struct Histogram {
    pub(super) bounds: &'static [u64],
    /// Cumulative, as Kong keeps them.
    pub(super) buckets: Vec<u64>,
    pub(super) count: u64,
    pub(super) sum: u64,
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
}

/// Who answered: some codes come from Kong itself.
pub(super) fn source(code: u16) -> &'static str {
    if matches!(code, 401 | 429 | 503) { "kong" } else { "service" }
}

/// The recipe's generator of random numbers (Park and Miller's).
struct Draws(i64);

impl Draws {
    fn new(seed: i64) -> Self {
        let state = seed % MODULUS;
        Self(if state <= 0 { state + MODULUS - 1 } else { state })
    }

    /// 0 to n - 1.
    fn below(&mut self, n: i64) -> usize {
        self.0 = self.0 * 16_807 % MODULUS;
        (self.0 % n) as usize
    }
}

const MODULUS: i64 = 2_147_483_647;

/// Indices into a route's `latency`.
pub(super) const KONG: usize = 0;
pub(super) const REQUEST: usize = 1;
pub(super) const UPSTREAM: usize = 2;

/// Upper bounds in milliseconds, for each of `latency`. `+Inf` is the histogram's count.
const BOUNDS: [&[u64]; 3] = [
    &[1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000],
    &[25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000],
    &[25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000],
];
const KINDS: [Kind; 8] = [
    Kind::HttpRoute,
    Kind::HttpRoute,
    Kind::HttpRoute,
    Kind::Ingress,
    Kind::HttpRoute,
    Kind::Combined,
    Kind::GrpcRoute,
    Kind::Facade,
];

const CODES: [u16; 20] = [
    200, 200, 200, 200, 200, 200, 201, 204, 301, 304, 400, 401, 403, 404, 429, 499, 500, 502, 503,
    504,
];

const NAMESPACES: [&str; 8] = [
    "default",
    "shop",
    "payments",
    "team-a",
    "kube-ops",
    "ml-inference",
    "legacy",
    "edge-eu-west-1",
];

const WORDS: [&str; 16] = [
    "echo",
    "checkout",
    "cart",
    "orders",
    "users",
    "search",
    "catalog",
    "auth",
    "billing",
    "ledger",
    "webhooks",
    "images",
    "reports",
    "notify",
    "gateway-tester",
    "recommendations",
];
