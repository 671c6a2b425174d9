//! How the watches of the API server are doing. Only where there are any.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::cluster::board::{Board, Kind};
use crate::cluster::resource::plural;
use crate::cluster::trouble::Reason;

/// The `kong_exporter_watch_*` metrics.
#[derive(Debug)]
pub(super) struct Watches(pub(super) Board);

impl Collector for Watches {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (kinds, discovery) = (self.0.kinds(), self.0.discovery());
        let kinds: Vec<_> = kinds.iter().map(|(kind, state)| (plural(*kind), state)).collect();
        let with_discovery = || [(DISCOVERY, &discovery)].into_iter().chain(kinds.iter().copied());

        let help = "Whether all objects of a kind are known and its watch is open; discovery: \
                    whether it is known which kinds there are";
        let up = |state: &Kind| i64::from(state.is_open);
        gauges(&mut to, "kong_exporter_watch_up", help, with_discovery(), up)?;

        let help = "When the API server was last heard about a kind; 0 for never";
        let contact = |state: &Kind| seconds(state.contact);
        gauges(
            &mut to,
            "kong_exporter_watch_last_contact_timestamp_seconds",
            help,
            with_discovery(),
            contact,
        )?;

        let help = "When an object of a kind last changed; 0 for not since the first list";
        let change = |state: &Kind| seconds(state.change);
        gauges(
            &mut to,
            "kong_exporter_watch_last_change_timestamp_seconds",
            help,
            kinds.iter().copied(),
            change,
        )?;

        let help = "Objects that are known";
        let objects = |state: &Kind| number(state.objects);
        gauges(&mut to, "kong_exporter_watch_objects", help, kinds.iter().copied(), objects)?;

        let help = "Objects that are left out because they cannot be read";
        let unreadable = |state: &Kind| number(state.unreadable);
        gauges(
            &mut to,
            "kong_exporter_watch_unreadable_objects",
            help,
            kinds.iter().copied(),
            unreadable,
        )?;

        let help = "Complete lists; every one but the first is after a watch could not go on";
        counters(&mut to, "kong_exporter_watch_lists", help, &kinds, |state| state.lists)?;

        let help = "Objects that appeared, changed or vanished, in whatever way";
        counters(&mut to, "kong_exporter_watch_changes", help, &kinds, |state| state.changes)?;

        let help = "Requests to the API server that failed and watches that broke, by reason";
        let name = "kong_exporter_watch_failures";
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        let failures = self.0.failures();
        for reason in Reason::ALL {
            let count = failures.get(&reason).copied().unwrap_or_default();
            let labels = [("reason", reason.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauges<'k, N>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kinds: impl Iterator<Item = (&'static str, &'k Kind)>,
    value: impl Fn(&Kind) -> N,
) -> std::fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (resource, state) in kinds {
        let labels = [("resource", resource)];
        ConstGauge::new(value(state)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kinds: &[(&'static str, &Kind)],
    value: impl Fn(&Kind) -> u64,
) -> std::fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (resource, state) in kinds {
        let labels = [("resource", *resource)];
        ConstCounter::new(value(state)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn seconds(time: Option<SystemTime>) -> f64 {
    let since_epoch = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0.0, |since| since.as_secs_f64())
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The `resource` of asking which kinds there are.
const DISCOVERY: &str = "discovery";
