//! What clients ask of the gateways: a path and how it goes in, counts for each gateway out. The one
//! decision: requests come in lots of whole milliseconds, as Kong counts them, so an average such as
//! 102.312 ms is exact after each lot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A lot of requests to one path: how many take so many milliseconds.
pub(crate) type Lot = &'static [(u64, u64)];

/// Two of them a second and gateway, while there are two gateways.
pub(crate) const LOT: Duration = Duration::from_millis(500);

/// At two gateways 248 requests a second of 80 ms.
pub(crate) const SLOW: Lot = &[(62, 80)];

/// 102.312 ms on average.
pub(crate) const TUTORIAL: Lot = &[(86, 102), (39, 103)];

/// At two gateways 320 requests a second of 200 ms: 64 under way.
pub(crate) const BUSY: Lot = &[(80, 200)];

/// Who asks for what at the moment; shared by those who ask and those who answer.
#[derive(Clone, Default)]
pub(crate) struct Traffic(Arc<Mutex<BTreeMap<&'static str, Lot>>>);

impl Traffic {
    /// From now on a lot for each of two gateways every [`LOT`].
    pub(crate) fn start(&self, path: &'static str, lot: Lot) {
        self.0.lock().unwrap().insert(path, lot);
    }

    pub(crate) fn stop(&self, path: &str) {
        self.0.lock().unwrap().remove(path);
    }

    pub(crate) fn lots(&self) -> Vec<(&'static str, Lot)> {
        self.0.lock().unwrap().iter().map(|(path, lot)| (*path, *lot)).collect()
    }
}
