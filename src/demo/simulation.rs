//! The simulated Kong's state. In: a seed, and time that passes. Out, by `Display`: its exposition.

use std::time::Duration;

use super::counters::Counters;
use super::traffic::{Random, SERVICES, Subsystem};

/// A Kong under load. The same seed and the same steps in time give the same bytes.
#[derive(Debug)]
pub struct Simulation {
    random: Random,
    elapsed: Duration,
    /// Of each of [`SERVICES`], with the part of a request that is still to come.
    counters: Vec<(Counters, f64)>,
}

impl Simulation {
    /// A Kong that has been up for ten minutes, so that every family has something to say.
    pub fn new(seed: u64) -> Self {
        let mut simulation = Self {
            random: Random(seed),
            elapsed: Duration::ZERO,
            counters: SERVICES.iter().map(|_| (Counters::default(), 0.0)).collect(),
        };
        for _ in 0..600 {
            simulation.advance(Duration::from_secs(1));
        }
        simulation
    }

    /// Lets time pass: requests come in at each service's rate. Long spans are drawn as if latency
    /// stood still in them; a few seconds at a time look best.
    pub fn advance(&mut self, by: Duration) {
        self.elapsed += by;
        for (service, (counters, due)) in SERVICES.iter().zip(&mut self.counters) {
            *due += service.per_second * by.as_secs_f64();
            while *due >= 1.0 {
                *due -= 1.0;
                let request = service.request(self.elapsed, &mut self.random);
                counters.count(service.subsystem, &request);
            }
        }
    }

    /// How long the simulated Kong has been up.
    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The services of one half of Kong with their routes and counters, sorted by name.
    pub(super) fn counters(
        &self,
        subsystem: Subsystem,
    ) -> impl Iterator<Item = (&str, &str, &Counters)> + Clone {
        SERVICES
            .iter()
            .zip(&self.counters)
            .filter(move |(service, _)| service.subsystem == subsystem)
            .map(|(service, (counters, _))| (service.name, service.route, counters))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::demo::{COMMAND, MAPPING_FILE};
    use crate::exposition::Layout;
    use crate::exposition::grammar::{self, Dialect, Line};

    /// Every sample by its name and labels.
    fn samples(body: &str) -> BTreeMap<&str, f64> {
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(k, v)| (k, v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn every_line_is_one_of_the_format() {
        let body = Simulation::new(1).to_string();
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let (line, length) =
                grammar::line(Dialect::Text, rest, &mut Layout::default()).unwrap();
            assert!(matches!(line, Line::Sample | Line::Help(_) | Line::Type(..)), "{line:?}");
            rest = &rest[length..];
        }
    }

    #[test]
    fn counters_never_fall_and_those_of_the_tutorials_service_grow() {
        let is_counter = |key: &str| {
            let name = key.split('{').next().unwrap_or_default();
            !name.contains("_memory_") && name != "kong_nginx_connections_total"
        };
        let mut simulation = Simulation::new(1);
        let before = simulation.to_string();
        simulation.advance(Duration::from_secs(5));
        let after = simulation.to_string();
        let (before, after) = (samples(&before), samples(&after));
        for (key, value) in before.iter().filter(|(key, _)| is_counter(key)) {
            assert!(after[key] >= *value, "{key} fell from {value} to {}", after[key]);
        }
        let count = format!(
            "kong_upstream_latency_ms_count{{service=\"{COMMAND}\",route=\"httproute.kong.command.0.0\",workspace=\"default\"}}"
        );
        assert!(after[count.as_str()] > before[count.as_str()]);
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_the_count() {
        let body = Simulation::new(2).to_string();
        let mut last: Option<(&str, f64)> = None;
        let mut histograms = 0;
        for (key, value) in body.lines().filter_map(|line| line.rsplit_once(' ')) {
            let Some((series, le)) = key.split_once(",le=\"") else { continue };
            let value: f64 = value.parse().unwrap();
            if let Some((_, before)) = last.filter(|(before, _)| *before == series) {
                assert!(value >= before, "{key}");
            }
            last = Some((series, value));
            if le == "+Inf\"}" {
                histograms += 1;
                let count = format!("{}}} {value}", series.replacen("_bucket{", "_count{", 1));
                assert!(body.lines().any(|line| line == count), "{count}");
            }
        }
        assert_eq!(histograms, 7 * 3 + 2);
    }

    #[test]
    fn one_seed_gives_one_body() {
        assert_eq!(Simulation::new(3).to_string(), Simulation::new(3).to_string());
        assert_ne!(Simulation::new(3).to_string(), Simulation::new(4).to_string());
    }

    #[test]
    fn mapping_file_names_only_services_of_the_simulation() {
        let file: serde_json::Value = serde_json::from_str(MAPPING_FILE).unwrap();
        let names: Vec<&String> = file["services"].as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 4);
        for name in names {
            assert!(SERVICES.iter().any(|service| service.name == name), "{name}");
        }
    }
}
