//! Bodies in Kong's shape, of any size. In: a seed and how much traffic there was. Out: the lines
//! Kong 3.10 prints for its services after that traffic, and the mapping that belongs to them.
//!
//! The traffic is drawn from a published recipe, so that two programs written apart print the same
//! bytes: the service lines for [`Load::medium`] are those of a recording of Kong itself, and those
//! for [`Load::huge`] have a known hash ([`HUGE_SHA256`]). Kong sorts its lines by key; the keys
//! here are sorted by construction (services, then routes, then what differs within a route), so
//! nothing but the counters is held while the body streams out.

use std::io::{self, Write};
use std::ops::{Range, RangeInclusive};

use serde_json::{Map, json};

use traffic::{Histogram, KONG, REQUEST, Route, Service, UPSTREAM, source};

// As of a file named `mod.rs`: traffic.rs beside this one.
mod traffic;

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
            self.services.clone().map(|index| Service::draw(self, index)).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }
}

impl Route {
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

impl Histogram {
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
