//! Which Services stand behind a Kong service that several Services share, and at what weight.
//!
//! Such a series names no Service (nobody is guessed); this table is what a query joins it with.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::mapping::{Label, PortRef, Snapshot, Target, resolve};
use crate::rewrite::LabelNames;

/// One Service behind one Kong service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    kong_service: String,
    namespace: String,
    service: String,
    /// The number or name, empty if it is not known.
    port: String,
    /// Among the rows of the same Kong service.
    weight: u32,
}

/// The rows for those of `names` that several Services share, sorted.
pub(crate) fn rows<'a>(
    snapshot: &Snapshot,
    names: impl Iterator<Item = (Label, &'a str)>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (label, name) in names.filter(|(label, _)| *label == Label::Service) {
        if let Target::Route { backends, .. } = resolve(snapshot, label, name).target {
            rows.extend(backends.into_iter().map(|backend| Row {
                kong_service: name.to_owned(),
                namespace: backend.namespace.to_owned(),
                service: backend.service.to_owned(),
                port: match backend.port {
                    Some(PortRef::Number(number)) => number.to_string(),
                    Some(PortRef::Name(name)) => name.to_owned(),
                    None => String::new(),
                },
                weight: backend.weight.unwrap_or(DEFAULT_WEIGHT),
            }));
        }
    }
    rows.sort();
    // Two rows with equal labels would be one series twice, and cost a scraper the whole answer.
    rows.dedup_by(|next, row| {
        let is_same = next.kong_service == row.kong_service
            && next.namespace == row.namespace
            && next.service == row.service
            && next.port == row.port;
        if is_same {
            row.weight = row.weight.saturating_add(next.weight);
        }
        is_same
    });
    rows
}

/// `kong_exporter_backend_info`.
#[derive(Debug, Clone)]
pub(super) struct Backends {
    labels: Arc<LabelNames>,
    rows: Arc<Mutex<Vec<Row>>>,
}

impl Backends {
    /// An empty table; its label names follow `--label.*`.
    pub(super) fn new(labels: Arc<LabelNames>) -> Self {
        Self { labels, rows: Arc::default() }
    }

    /// Puts these rows in place of all there were.
    pub(super) fn set(&self, rows: Vec<Row>) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

impl Collector for Backends {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "kong_exporter_backend_info",
            "The Services behind a Kong service that several share; the value is the weight",
            None,
            <ConstGauge as TypedMetric>::TYPE,
        )?;
        for row in rows.iter() {
            let labels = [
                (self.labels.kong_service(), row.kong_service.as_str()),
                (self.labels.namespace(), row.namespace.as_str()),
                (self.labels.service(), row.service.as_str()),
                ("port", row.port.as_str()),
            ];
            ConstGauge::new(row.weight).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What the Gateway API takes where a route gives none.
const DEFAULT_WEIGHT: u32 = 1;
