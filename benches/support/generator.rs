//! Bodies in Kong's shape, of any size. In: a seed and how much traffic there was. Out: the lines
//! Kong 3.10 prints for its services after that traffic, and the mapping that belongs to them.
//!
//! The traffic is drawn from a published recipe, so that two programs written apart print the same
//! bytes: the service lines for [`Load::medium`] are those of a recording of Kong itself, and those
//! for [`Load::huge`] have a known hash ([`HUGE_SHA256`]). Kong sorts its lines by key; the keys
//! here are sorted by construction (services, then routes, then what differs within a route), so
//! nothing but the counters is held while the body streams out.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::{Range, RangeInclusive};

use serde_json::{Map, Value, json};

/// What to make up: which services, how many routes each, how many requests a route at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    /// Another seed, other names and numbers.
    pub(crate) seed: i64,
    /// The services by index. What a service looks like depends on the seed and its index only.
    pub(crate) services: Range<i64>,
    /// How many routes a service has.
    pub(crate) routes: RangeInclusive<i64>,
    /// The most requests a route has seen; the least is 1.
    pub(crate) requests: i64,
}

/// In which order the lines of a histogram family come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Open source Kong: all `_bucket` of a family, then all `_count`, then all `_sum`. A bucket
    /// that was never incremented has no line.
    Oss,
    /// Kong Gateway from 3.14.0.9: for each label set all its buckets, zero ones too, `_count`, `_sum`.
    Grouped,
}

/// The hash of the lines of [`Load::huge`] in [`Order::Oss`] without HELP and TYPE.
pub(crate) const HUGE_SHA256: &str =
    "0f595f7a89110bc5a0957adeec917791ed81ddc668a696c8bf0c37d27301620a";
/// Their length in bytes.
pub(crate) const HUGE_BYTES: u64 = 136_898_019;

impl Load {
    /// The load behind the recording `medium-200x3-3.10`: 5.4 MB.
    pub(crate) fn medium() -> Self {
        Self { seed: 1, services: 0..200, routes: 3..=3, requests: 30 }
    }

    /// 5,000 services with three routes each: 137 MB, 800,252 lines.
    pub(crate) fn huge() -> Self {
        Self { seed: 1, services: 0..5_000, routes: 3..=3, requests: 30 }
    }

    /// One route a service, as Ingress and small teams have it; about 9.1 KB a service.
    pub(crate) fn one_route_each(services: i64) -> Self {
        Self { seed: 1, services: 0..services, routes: 1..=1, requests: 30 }
    }

    /// One service of each form of name, one request each.
    pub(crate) fn one_of_each_name() -> Self {
        Self { seed: 1, services: 3..8, routes: 1..=1, requests: 1 }
    }

    /// Prints the body. With `metadata`, HELP and TYPE come before each family.
    pub(crate) fn print(
        &self,
        order: Order,
        metadata: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let services = self.services();
        let routes: Vec<(&str, &Route)> = services
            .iter()
            .flat_map(|service| service.routes.iter().map(|route| (service.name.as_str(), route)))
            .collect();
        for family in &FAMILIES {
            if metadata {
                let Family { name, kind, help, .. } = family;
                writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            }
            match family.content {
                Content::Bandwidth => {
                    for (service, route) in &routes {
                        route.print_bandwidth(family.name, service, out)?;
                    }
                }
                Content::Requests => {
                    for (service, route) in &routes {
                        route.print_requests(family.name, service, out)?;
                    }
                }
                Content::Latency(which) => {
                    print_histograms(family.name, which, &routes, order, out)?;
                }
            }
        }
        Ok(())
    }

    /// The mapping file that tells the Services behind every name, in the format of
    /// `--mapping file:`.
    pub(crate) fn mapping_file(&self) -> String {
        let mut services = Map::new();
        for service in self.services() {
            services.insert(service.name.clone(), service.mapping_entry());
        }
        json!({ "services": services }).to_string()
    }

    /// The same for programs that know one Service a name only: lines `name TAB namespace TAB
    /// service`. Of a rule with two backends the first is named.
    pub(crate) fn mapping_table(&self) -> String {
        self.services()
            .iter()
            .map(|s| format!("{}\t{}\t{}\n", s.name, s.namespace, s.kubernetes_name))
            .collect()
    }

    /// Sorted by Kong's name, bytewise: `"`, which ends a name in a key, sorts before all that
    /// names are made of.
    fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> =
            self.services.clone().map(|index| self.service(index)).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }

    fn service(&self, index: i64) -> Service {
        let mut draw = Draws::new(self.seed * 7919 + index * 104_729 + 17);
        let kind = KINDS[index as usize % KINDS.len()];
        let namespace = NAMESPACES[draw.below(8)];
        let kubernetes_name = format!("{}-{index}", WORDS[draw.below(16)]);
        let port = [80, 8080, 443, 9000, 50051][draw.below(5)];
        let rule = draw.below(4);
        let base = 3 + draw.below(400) as u64;
        let (fewest, most) = (*self.routes.start(), *self.routes.end());
        let routes = fewest as usize + draw.below(most - fewest + 1);
        let mut service = Service {
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
                self.requests,
                &mut draw,
            ));
        }
        service.routes.sort_by(|a, b| a.name.cmp(&b.name));
        service
    }
}

/// How Kong's controllers come to a service, by the form of its name.
#[derive(Clone, Copy)]
enum Kind {
    HttpRoute,
    Ingress,
    Combined,
    GrpcRoute,
    Facade,
}

struct Service {
    kind: Kind,
    namespace: &'static str,
    kubernetes_name: String,
    port: u16,
    rule: usize,
    name: String,
    routes: Vec<Route>,
}

impl Service {
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

    fn mapping_entry(&self) -> Value {
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
struct Route {
    name: String,
    ingress: u64,
    egress: u64,
    requests: BTreeMap<u16, u64>,
    latency: [Histogram; 3],
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

    fn print_bandwidth(&self, family: &str, service: &str, out: &mut impl Write) -> io::Result<()> {
        for (direction, bytes) in [("egress", self.egress), ("ingress", self.ingress)] {
            writeln!(
                out,
                r#"{family}{{service="{service}",route="{}",direction="{direction}",workspace="default",consumer=""}} {bytes}"#,
                self.name
            )?;
        }
        Ok(())
    }

    fn print_requests(&self, family: &str, service: &str, out: &mut impl Write) -> io::Result<()> {
        for (&code, count) in &self.requests {
            writeln!(
                out,
                r#"{family}{{service="{service}",route="{}",code="{code}",source="{}",workspace="default",consumer=""}} {count}"#,
                self.name,
                source(code)
            )?;
        }
        Ok(())
    }
}

struct Histogram {
    bounds: &'static [u64],
    /// Cumulative, as Kong keeps them.
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

    fn print_buckets(
        &self,
        family: &str,
        labels: &str,
        zeros: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            if zeros || *bucket > 0 {
                writeln!(out, r#"{family}_bucket{{{labels},le="{bound}"}} {bucket}"#)?;
            }
        }
        writeln!(out, r#"{family}_bucket{{{labels},le="+Inf"}} {}"#, self.count)
    }
}

/// A route whose upstream never answered has no upstream histogram at all.
fn print_histograms(
    family: &str,
    which: usize,
    routes: &[(&str, &Route)],
    order: Order,
    out: &mut impl Write,
) -> io::Result<()> {
    let observed = || {
        routes.iter().filter(move |(_, route)| route.latency[which].count > 0).map(
            move |(service, route)| {
                let labels =
                    format!(r#"service="{service}",route="{}",workspace="default""#, route.name);
                (labels, &route.latency[which])
            },
        )
    };
    match order {
        Order::Oss => {
            for (labels, histogram) in observed() {
                histogram.print_buckets(family, &labels, false, out)?;
            }
            for (labels, histogram) in observed() {
                writeln!(out, "{family}_count{{{labels}}} {}", histogram.count)?;
            }
            for (labels, histogram) in observed() {
                writeln!(out, "{family}_sum{{{labels}}} {}", histogram.sum)?;
            }
        }
        Order::Grouped => {
            for (labels, histogram) in observed() {
                histogram.print_buckets(family, &labels, true, out)?;
                writeln!(out, "{family}_count{{{labels}}} {}", histogram.count)?;
                writeln!(out, "{family}_sum{{{labels}}} {}", histogram.sum)?;
            }
        }
    }
    Ok(())
}

/// Who answered: some codes come from Kong itself.
fn source(code: u16) -> &'static str {
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

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Bandwidth,
    Requests,
    /// Index into a route's `latency`.
    Latency(usize),
}

const KONG: usize = 0;
const REQUEST: usize = 1;
const UPSTREAM: usize = 2;

/// In the order of their names, as Kong prints them.
const FAMILIES: [Family; 5] = [
    Family {
        name: "kong_bandwidth_bytes",
        kind: "counter",
        help: "Total bandwidth (ingress/egress) throughput in bytes",
        content: Content::Bandwidth,
    },
    Family {
        name: "kong_http_requests_total",
        kind: "counter",
        help: "HTTP status codes per consumer/service/route in Kong",
        content: Content::Requests,
    },
    Family {
        name: "kong_kong_latency_ms",
        kind: "histogram",
        help: "Latency added by Kong and enabled plugins for each service/route in Kong",
        content: Content::Latency(KONG),
    },
    Family {
        name: "kong_request_latency_ms",
        kind: "histogram",
        help: "Total latency incurred during requests for each service/route in Kong",
        content: Content::Latency(REQUEST),
    },
    Family {
        name: "kong_upstream_latency_ms",
        kind: "histogram",
        help: "Latency added by upstream response for each service/route in Kong",
        content: Content::Latency(UPSTREAM),
    },
];

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
