//! A Kong in a pod: the configuration that was pushed and requests in, `/metrics` out, with the
//! sidecar in front of it. The one decision: it believes nothing but the configuration. A request
//! belongs to the route that has its path, and is counted under the names that the route and its
//! service have there, if a prometheus plugin is on either and for what the plugin is told to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::traffic::Lot;
use crate::admin::entries;
use crate::kong::{Kong, good};
use crate::processes::{self, Process};

/// A Kong and the sidecar in one pod. Both end, without a word to anybody, with the value.
pub(crate) struct Gateway {
    kong: Kong,
    _sidecar: Process,
    /// By service and route.
    counts: BTreeMap<(String, String), Counts>,
}

#[derive(Default)]
struct Counts {
    by_latency: BTreeMap<u64, u64>,
    requests: u64,
}

impl Gateway {
    /// As kubelet would start the containers of a pod with this address. `arguments` are those of
    /// the sidecar's container; `more` is what differs, for here pods share one machine.
    pub(crate) async fn start(address: IpAddr, arguments: &[&str], more: &[&str]) -> Self {
        let kong =
            Kong::start_at(SocketAddr::new(address, 8100), good(&text(&BTreeMap::new()))).await;
        let listen = format!("--web.listen-address={address}:9542");
        let url = format!("--kong.url={}", kong.url());
        let all = [arguments, more, &[&listen, &url, "--log.level=info"]].concat();
        Self { kong, _sidecar: processes::command(&all).await, counts: BTreeMap::new() }
    }

    /// Requests came in for `path`.
    pub(crate) fn take(&mut self, config: &Value, path: &str, lot: Lot) {
        for service in entries(&config["services"]) {
            let route = entries(&service["routes"]).iter().find(|route| has_path(route, path));
            let Some(route) = route else { continue };
            let is_on = |flag: &str| {
                plugins(config, service, route).any(|plugin| plugin["config"][flag] == true)
            };
            let key = (name(service), name(route));
            for (requests, milliseconds) in lot {
                if is_on("latency_metrics") {
                    let counts = self.counts.entry(key.clone()).or_default();
                    *counts.by_latency.entry(*milliseconds).or_default() += requests;
                }
                if is_on("status_code_metrics") {
                    self.counts.entry(key.clone()).or_default().requests += requests;
                }
            }
        }
        self.kong.answers(good(&text(&self.counts)));
    }
}

/// The prometheus plugins on a route or its service, inside them or beside all services.
fn plugins<'c>(
    config: &'c Value,
    service: &'c Value,
    route: &'c Value,
) -> impl Iterator<Item = &'c Value> {
    let is = |named: &Value, entity: &Value| {
        let one_of = |name: &Value| *name == entity["name"] || *name == entity["id"];
        !named.is_null() && (one_of(named) || one_of(&named["name"]) || one_of(&named["id"]))
    };
    let beside = entries(&config["plugins"]).iter();
    let beside = beside.filter(move |one| is(&one["service"], service) || is(&one["route"], route));
    let inside = entries(&service["plugins"]).iter().chain(entries(&route["plugins"]));
    inside.chain(beside).filter(|plugin| plugin["name"] == "prometheus")
}

/// Kong's paths are prefixes, or regular expressions after a `~`; a controller writes both.
fn has_path(route: &Value, path: &str) -> bool {
    let of = |kongs: &Value| {
        let kongs = kongs.as_str().unwrap_or_default().trim_start_matches('~');
        kongs.trim_end_matches(['$', '/']) == path
    };
    entries(&route["paths"]).iter().any(of)
}

fn name(entity: &Value) -> String {
    entity["name"].as_str().unwrap_or_default().to_owned()
}

/// In the manner of Kong 3.10.
fn text(counts: &BTreeMap<(String, String), Counts>) -> String {
    let mut text = String::from(
        "# HELP kong_datastore_reachable Datastore reachable from Kong, 0 is unreachable\n\
         # TYPE kong_datastore_reachable gauge\nkong_datastore_reachable 1\n\
         # HELP kong_http_requests_total HTTP status codes per consumer/service/route in Kong\n\
         # TYPE kong_http_requests_total counter\n",
    );
    for ((service, route), Counts { requests, .. }) in counts {
        if *requests > 0 {
            let _ = writeln!(
                text,
                "kong_http_requests_total{{service=\"{service}\",route=\"{route}\",code=\"200\",\
                 source=\"service\",workspace=\"default\",consumer=\"\"}} {requests}"
            );
        }
    }
    text += "# HELP kong_upstream_latency_ms Latency added by upstream response for each \
             service/route in Kong\n# TYPE kong_upstream_latency_ms histogram\n";
    let histograms = counts.iter().filter(|(_, counts)| !counts.by_latency.is_empty());
    let histograms: Vec<_> = histograms
        .map(|((service, route), counts)| {
            let labels = format!("service=\"{service}\",route=\"{route}\",workspace=\"default\"");
            (labels, &counts.by_latency)
        })
        .collect();
    for (labels, by_latency) in &histograms {
        for bound in BOUNDS {
            let below: u64 = by_latency.range(..=bound).map(|(_, count)| count).sum();
            if below > 0 {
                let _ = writeln!(
                    text,
                    "kong_upstream_latency_ms_bucket{{{labels},le=\"{bound}\"}} {below}"
                );
            }
        }
        let all: u64 = by_latency.values().sum();
        let _ = writeln!(text, "kong_upstream_latency_ms_bucket{{{labels},le=\"+Inf\"}} {all}");
    }
    for (labels, by_latency) in &histograms {
        let all: u64 = by_latency.values().sum();
        let _ = writeln!(text, "kong_upstream_latency_ms_count{{{labels}}} {all}");
    }
    for (labels, by_latency) in &histograms {
        let sum: u64 = by_latency.iter().map(|(milliseconds, count)| milliseconds * count).sum();
        let _ = writeln!(text, "kong_upstream_latency_ms_sum{{{labels}}} {sum}");
    }
    text
}

const BOUNDS: [u64; 13] =
    [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];
