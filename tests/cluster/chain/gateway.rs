//! A Kong in a pod: the configuration that was pushed and requests in, `/metrics` out, with the
//! sidecar in front of it. The one decision: it believes nothing but the configuration. A request
//! belongs to the route that has its path, and is counted under the names that the route and its
//! service have there, if a prometheus plugin is on either and for what the plugin is told to. Where
//! the upstream has no targets, nobody answers: Kong says 503 itself and has no latency to measure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::traffic::Lot;
use crate::admin::entries;
use crate::kong::{Kong, good, head, send_text};
use crate::processes::{self, Process};

/// A Kong and the sidecar in one pod. Both end, without a word to anybody, with the value.
pub(crate) struct Gateway {
    kong: Kong,
    /// What it answers with an error instead of metrics.
    is_broken: bool,
    sidecar: Option<Process>,
    /// The sidecar's, to start it anew.
    arguments: Vec<String>,
    /// By service and route.
    counts: BTreeMap<(String, String), Counts>,
}

#[derive(Default)]
struct Counts {
    by_latency: BTreeMap<u64, u64>,
    requests: u64,
    /// There was nobody to send them to.
    unavailable: u64,
}

impl Gateway {
    /// As kubelet would start the containers of a pod with this address. `arguments` are those of
    /// the sidecar's container; `more` is what differs, for here pods share one machine.
    pub(crate) async fn start(address: IpAddr, arguments: Vec<String>, more: &[String]) -> Self {
        let counts = BTreeMap::new();
        let kong = Kong::start_at(SocketAddr::new(address, 8100), good(&text(&counts))).await;
        let listen = format!("--web.listen-address={address}:9542");
        let own = [listen, format!("--kong.url={}", kong.url()), "--log.level=info".to_owned()];
        let arguments = [&arguments, more, &own].concat();
        let sidecar = Some(start_sidecar(&arguments).await);
        Self { kong, is_broken: false, sidecar, arguments, counts }
    }

    /// Requests came in for `path`.
    pub(crate) fn take(&mut self, config: &Value, path: &str, lot: Lot) {
        for service in entries(&config["services"]) {
            let route = entries(&service["routes"]).iter().find(|route| has_path(route, path));
            let Some(route) = route else { continue };
            let is_on = |flag: &str| {
                plugins(config, service, route).any(|plugin| plugin["config"][flag] == true)
            };
            let is_answered = has_targets(config, service);
            let key = (name(service), name(route));
            for (requests, milliseconds) in lot {
                if is_on("latency_metrics") && is_answered {
                    let counts = self.counts.entry(key.clone()).or_default();
                    *counts.by_latency.entry(*milliseconds).or_default() += requests;
                }
                if is_on("status_code_metrics") {
                    let counts = self.counts.entry(key.clone()).or_default();
                    match is_answered {
                        true => counts.requests += requests,
                        false => counts.unavailable += requests,
                    }
                }
            }
        }
        self.answer();
    }

    /// From now on, or no longer, Kong cannot say what it has counted.
    pub(crate) fn is_broken(&mut self, is_broken: bool) {
        self.is_broken = is_broken;
        self.answer();
    }

    /// Takes the sidecar, for its end.
    pub(crate) fn end_sidecar(&mut self) {
        self.sidecar = None;
    }

    /// With what a sidecar is to be started that takes the place of one that has ended.
    pub(crate) fn wants(&self) -> Option<Vec<String>> {
        self.sidecar.is_none().then(|| self.arguments.clone())
    }

    pub(crate) fn replace_sidecar(&mut self, sidecar: Process) {
        self.sidecar = Some(sidecar);
    }

    fn answer(&self) {
        self.kong.answers(match self.is_broken {
            true => vec![send_text(head("500 Internal Server Error", &["Content-Length: 0"]))],
            false => good(&text(&self.counts)),
        });
    }
}

/// A sidecar with these arguments.
pub(crate) async fn start_sidecar(arguments: &[String]) -> Process {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    processes::command(&arguments).await
}

/// Whether anybody is there who could answer.
fn has_targets(config: &Value, service: &Value) -> bool {
    let mut upstreams = entries(&config["upstreams"]).iter();
    let upstream = upstreams.find(|upstream| upstream["name"] == service["host"]);
    upstream.is_none_or(|upstream| !entries(&upstream["targets"]).is_empty())
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
    for ((service, route), Counts { requests, unavailable, .. }) in counts {
        let kinds = [(*requests, 200, "service"), (*unavailable, 503, "kong")];
        for (count, code, source) in kinds.into_iter().filter(|(count, ..)| *count > 0) {
            let _ = writeln!(
                text,
                "kong_http_requests_total{{service=\"{service}\",route=\"{route}\",code=\"{code}\",\
                 source=\"{source}\",workspace=\"default\",consumer=\"\"}} {count}"
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
