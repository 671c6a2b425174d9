//! From counters to text, byte for byte in the manner of Kong 3.10: families sorted by name, HELP
//! and TYPE before each, all buckets of a family, then all counts, then all sums. Kong's stream half
//! prints a second body behind the first, with families of the same names; so does this.

use std::fmt;

use super::counters::{Counters, Histogram};
use super::simulation::Simulation;
use super::traffic::Subsystem;

impl fmt::Display for Simulation {
    /// The body of `/metrics`, as Kong 3.10 prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        http(self, f)?;
        stream(self, f)
    }
}

/// The part that Kong's HTTP half prints.
fn http(simulation: &Simulation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let services = || simulation.counters(Subsystem::Http);
    family(
        f,
        "bandwidth_bytes",
        "counter",
        "Total bandwidth (ingress/egress) throughput in bytes",
    )?;
    for (service, route, counters) in services() {
        for (direction, bytes) in
            [("egress", counters.egress_bytes), ("ingress", counters.ingress_bytes)]
        {
            writeln!(
                f,
                r#"kong_bandwidth_bytes{{service="{service}",route="{route}",direction="{direction}",workspace="default",consumer=""}} {bytes}"#
            )?;
        }
    }
    family(f, "datastore_reachable", "gauge", "Datastore reachable from Kong, 0 is unreachable")?;
    f.write_str("kong_datastore_reachable 1\n")?;
    family(
        f,
        "http_requests_total",
        "counter",
        "HTTP status codes per consumer/service/route in Kong",
    )?;
    for (service, route, counters) in services() {
        for ((code, source), count) in &counters.requests {
            writeln!(
                f,
                r#"kong_http_requests_total{{service="{service}",route="{route}",code="{code}",source="{source}",workspace="default",consumer=""}} {count}"#
            )?;
        }
    }
    kong_latency(f, services())?;
    memory(f, simulation, Subsystem::Http)?;
    nginx(f, simulation, Subsystem::Http)?;
    family(
        f,
        "request_latency_ms",
        "histogram",
        "Total latency incurred during requests for each service/route in Kong",
    )?;
    histograms(f, "request_latency_ms", services(), |counters| &counters.request_ms)?;
    family(
        f,
        "upstream_latency_ms",
        "histogram",
        "Latency added by upstream response for each service/route in Kong",
    )?;
    histograms(f, "upstream_latency_ms", services(), |counters| &counters.upstream_ms)
}

/// The part that Kong's stream half prints.
fn stream(simulation: &Simulation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let services = || simulation.counters(Subsystem::Stream);
    kong_latency(f, services())?;
    memory(f, simulation, Subsystem::Stream)?;
    nginx(f, simulation, Subsystem::Stream)?;
    family(
        f,
        "session_duration_ms",
        "histogram",
        "latency incurred in stream session for each service/route in Kong",
    )?;
    histograms(f, "session_duration_ms", services(), |counters| &counters.request_ms)?;
    family(f, "stream_sessions_total", "counter", "Stream status codes per service/route in Kong")?;
    for (service, route, counters) in services() {
        for ((code, source), count) in &counters.requests {
            writeln!(
                f,
                r#"kong_stream_sessions_total{{service="{service}",route="{route}",code="{code}",source="{source}",workspace="default"}} {count}"#
            )?;
        }
    }
    Ok(())
}

fn family(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP kong_{name} {help}\n# TYPE kong_{name} {kind}")
}

fn kong_latency<'a>(
    f: &mut fmt::Formatter<'_>,
    services: impl Iterator<Item = (&'a str, &'a str, &'a Counters)> + Clone,
) -> fmt::Result {
    family(
        f,
        "kong_latency_ms",
        "histogram",
        "Latency added by Kong and enabled plugins for each service/route in Kong",
    )?;
    histograms(f, "kong_latency_ms", services, |counters| &counters.kong_ms)
}

/// All buckets, then all counts, then all sums; a histogram that has seen nothing is not there.
fn histograms<'a>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    services: impl Iterator<Item = (&'a str, &'a str, &'a Counters)> + Clone,
    which: impl Fn(&'a Counters) -> &'a Histogram,
) -> fmt::Result {
    let seen = services
        .map(|(service, route, counters)| {
            let labels = format!(r#"service="{service}",route="{route}",workspace="default""#);
            (labels, which(counters))
        })
        .filter(|(_, histogram)| histogram.count() > 0);
    for (labels, histogram) in seen.clone() {
        for (bound, count) in histogram.buckets() {
            writeln!(f, r#"kong_{name}_bucket{{{labels},le="{bound}"}} {count}"#)?;
        }
        writeln!(f, r#"kong_{name}_bucket{{{labels},le="+Inf"}} {}"#, histogram.count())?;
    }
    for (labels, histogram) in seen.clone() {
        writeln!(f, "kong_{name}_count{{{labels}}} {}", histogram.count())?;
    }
    for (labels, histogram) in seen {
        writeln!(f, "kong_{name}_sum{{{labels}}} {}", histogram.sum())?;
    }
    Ok(())
}

fn memory(
    f: &mut fmt::Formatter<'_>,
    simulation: &Simulation,
    subsystem: Subsystem,
) -> fmt::Result {
    let half = half(subsystem);
    family(
        f,
        "memory_lua_shared_dict_bytes",
        "gauge",
        "Allocated slabs in bytes in a shared_dict",
    )?;
    for (dictionary, used, _) in DICTIONARIES {
        writeln!(
            f,
            r#"kong_memory_lua_shared_dict_bytes{{node_id="{NODE}",shared_dict="{dictionary}",kong_subsystem="{half}"}} {used}"#
        )?;
    }
    family(
        f,
        "memory_lua_shared_dict_total_bytes",
        "gauge",
        "Total capacity in bytes of a shared_dict",
    )?;
    for (dictionary, _, total) in DICTIONARIES {
        writeln!(
            f,
            r#"kong_memory_lua_shared_dict_total_bytes{{node_id="{NODE}",shared_dict="{dictionary}",kong_subsystem="{half}"}} {total}"#
        )?;
    }
    family(f, "memory_workers_lua_vms_bytes", "gauge", "Allocated bytes in worker Lua VM")?;
    for (worker, pid) in (0..).zip([2600, 2601]) {
        // The garbage collector of Lua makes it go up and down.
        let bytes = 53_841_920
            + (simulation.elapsed().as_millis() as u64 * 37 + worker * 12_345) % 4_000_000;
        writeln!(
            f,
            r#"kong_memory_workers_lua_vms_bytes{{node_id="{NODE}",pid="{pid}",kong_subsystem="{half}"}} {bytes}"#
        )?;
    }
    Ok(())
}

fn nginx(f: &mut fmt::Formatter<'_>, simulation: &Simulation, subsystem: Subsystem) -> fmt::Result {
    let half = half(subsystem);
    let requests: u64 =
        simulation.counters(subsystem).map(|(.., counters)| counters.requests_total()).sum();
    // Some two hundred requests over one kept-alive connection.
    let accepted = 9 + requests / 200;
    let states = [
        ("accepted", accepted),
        ("active", 9),
        ("handled", accepted),
        ("reading", 0),
        ("total", requests),
        ("waiting", 5),
        ("writing", 4),
    ];
    family(f, "nginx_connections_total", "gauge", "Number of connections by subsystem")?;
    for (state, count) in states {
        writeln!(
            f,
            r#"kong_nginx_connections_total{{node_id="{NODE}",subsystem="{half}",state="{state}"}} {count}"#
        )?;
    }
    family(f, "nginx_metric_errors_total", "counter", "Number of nginx-lua-prometheus errors")?;
    f.write_str("kong_nginx_metric_errors_total 0\n")?;
    family(f, "nginx_requests_total", "gauge", "Number of requests total")?;
    writeln!(f, r#"kong_nginx_requests_total{{node_id="{NODE}",subsystem="{half}"}} {requests}"#)?;
    if subsystem == Subsystem::Http {
        family(f, "nginx_timers", "gauge", "Number of nginx timers")?;
        f.write_str(
            "kong_nginx_timers{state=\"pending\"} 1\nkong_nginx_timers{state=\"running\"} 0\n",
        )?;
    }
    family(f, "node_info", "gauge", "Kong Node metadata information")?;
    writeln!(f, r#"kong_node_info{{node_id="{NODE}",version="3.10.0"}} 1"#)
}

fn half(subsystem: Subsystem) -> &'static str {
    match subsystem {
        Subsystem::Http => "http",
        Subsystem::Stream => "stream",
    }
}

const NODE: &str = "0c5a1d3e-7f2b-4b6a-9d41-6e8f0a2c4b17";

/// Kong's shared dictionaries with the bytes in use and the bytes there are. The fifth megabyte of
/// `prometheus_metrics` is not in use yet.
const DICTIONARIES: [(&str, u64, u64); 11] = [
    ("kong", 40_960, 5_242_880),
    ("kong_cluster_events", 40_960, 5_242_880),
    ("kong_core_db_cache", 110_592, 16_777_216),
    ("kong_core_db_cache_miss", 86_016, 12_582_912),
    ("kong_db_cache", 110_592, 16_777_216),
    ("kong_db_cache_miss", 86_016, 12_582_912),
    ("kong_healthchecks", 40_960, 5_242_880),
    ("kong_locks", 61_440, 8_388_608),
    ("kong_rate_limiting_counters", 86_016, 12_582_912),
    ("kong_secrets", 40_960, 5_242_880),
    ("prometheus_metrics", 167_936, 5_242_880),
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// HELP and TYPE lines, and of every family's first sample the label names.
    fn shape(body: &str) -> Vec<String> {
        let mut shape = Vec::new();
        let mut last = "";
        for line in body.lines() {
            if line.starts_with('#') {
                shape.push(line.to_owned());
                last = "";
                continue;
            }
            let name = line.split(['{', ' ']).next().unwrap();
            if name != last {
                last = name;
                let labels = line.split_once('{').map_or("", |(_, rest)| rest);
                let labels: Vec<&str> =
                    labels.split("\",").map(|label| label.split('=').next().unwrap()).collect();
                shape.push(format!("{name} {}", labels.join(",")));
            }
        }
        shape
    }

    #[test]
    fn shape_is_that_of_the_recording_with_streams() {
        let Some(recording) = recording("stream-3.10.txt") else { return };
        assert_eq!(shape(&Simulation::new(1).to_string()), shape(&recording));
    }

    #[test]
    fn http_half_has_the_shape_of_the_recording_without_streams() {
        let Some(recording) = recording("tiny-3.10.txt") else { return };
        let body = Simulation::new(1).to_string();
        let second = body.match_indices("# HELP kong_kong_latency_ms").nth(1).unwrap().0;
        assert_eq!(shape(&body[..second]), shape(&recording));
    }

    #[test]
    fn families_are_kongs_in_kongs_order() {
        let body = Simulation::new(1).to_string();
        let families: Vec<&str> = body
            .lines()
            .filter_map(|l| l.strip_prefix("# TYPE kong_")?.split(' ').next())
            .collect();
        let http = "bandwidth_bytes datastore_reachable http_requests_total kong_latency_ms \
            memory_lua_shared_dict_bytes memory_lua_shared_dict_total_bytes \
            memory_workers_lua_vms_bytes nginx_connections_total nginx_metric_errors_total \
            nginx_requests_total nginx_timers node_info request_latency_ms upstream_latency_ms";
        let stream = "kong_latency_ms memory_lua_shared_dict_bytes \
            memory_lua_shared_dict_total_bytes memory_workers_lua_vms_bytes \
            nginx_connections_total nginx_metric_errors_total nginx_requests_total node_info \
            session_duration_ms stream_sessions_total";
        let expected: Vec<&str> = http.split(' ').chain(stream.split(' ')).collect();
        assert_eq!(families, expected);
    }

    fn recording(name: &str) -> Option<String> {
        let shared = std::env::var_os("KONG_EXPORTER_SHARED").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
            PathBuf::from,
        );
        let recordings = std::env::var_os("KONG_METRICS_DIR")
            .map_or_else(|| shared.join("testdata/kong-metrics"), PathBuf::from);
        let text = std::fs::read_to_string(recordings.join(name)).ok();
        if text.is_none() {
            println!("not run: no recording {name} in {}", recordings.display());
        }
        text
    }
}
