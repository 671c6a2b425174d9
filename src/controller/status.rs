//! What users are told: the annotation of status, and events.
//!
//! In: what becomes of an extension, and the annotation as it is. Out: the annotation as it is to be,
//! and an event for each thing that is new in it. The one decision: the annotation is the memory of
//! what has been told, so at rest nothing is told twice, by whichever replica.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::controller::placement::{Placed, State};
use crate::controller::plugin;
use crate::kubernetes::extension::Condition;
use crate::kubernetes::{Key, ObjectKind};

/// Something to be told, about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The object.
    pub about: Key,
    /// The other one that it is about: the Service for an extension, the extension for a Service.
    pub related: Option<Key>,
    /// Whether somebody should do something.
    pub is_warning: bool,
    /// In a word.
    pub reason: String,
    /// In a sentence.
    pub note: String,
}

impl Event {
    /// The extension whose status it was taken from.
    pub fn extension(&self) -> &Key {
        match &self.related {
            Some(related) if related.kind == ObjectKind::DataPlaneMetricsExtension => related,
            _ => &self.about,
        }
    }
}

/// The annotation of status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// The generation of the extension that this is about.
    pub observed_generation: Option<i64>,
    /// The KongPlugin.
    pub plugin: String,
    /// How many Services are in which state.
    pub summary: BTreeMap<String, usize>,
    /// By name of a Service; of too many, those first that are not measured.
    pub services: BTreeMap<String, ServiceStatus>,
    /// How many Services are left out above.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
    /// What is wrong with the extension itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What came of one Service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStatus {
    /// In a word.
    pub state: String,
    /// What there is to know beyond it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Status {
    /// Of an extension.
    pub fn of(placed: &Placed) -> Self {
        let mut summary = BTreeMap::new();
        for outcome in placed.services.values() {
            *summary.entry(outcome.state.as_str().to_owned()).or_default() += 1;
        }
        let mut outcomes: Vec<_> = placed.services.iter().collect();
        outcomes.sort_by_key(|(key, outcome)| (outcome.state.is_measured(), *key));
        let mut services = BTreeMap::new();
        let mut size = 0;
        for (key, outcome) in outcomes {
            let reason = shortened(&outcome.reason, MAX_REASON).to_owned();
            size += key.name.len() + reason.len() + OVERHEAD;
            if size > MAX_BYTES {
                break;
            }
            let state = outcome.state.as_str().to_owned();
            services.insert(key.name.to_string(), ServiceStatus { state, reason });
        }
        let problems = placed.extension.problems.iter();
        Self {
            observed_generation: placed.extension.generation,
            plugin: plugin::name_for(&placed.extension.key.name),
            omitted: placed.services.len() - services.len(),
            summary,
            services,
            problems: problems.map(|one| shortened(one, MAX_REASON).to_owned()).collect(),
        }
    }

    /// From the annotation. What cannot be read has told nothing.
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// As the annotation.
    pub fn write(&self) -> String {
        // Texts and numbers under texts: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The conditions of an extension, where they are kept: `Ready` as soon as all that it selects is
/// measured. They have no times, as a plan has no clock.
pub fn conditions(placed: &Placed) -> Vec<Condition> {
    let all = placed.services.len();
    let measured = placed.services.values().filter(|one| one.state.is_measured()).count();
    let (is_ready, reason, message) = match &placed.hands_off {
        Some(outcome) => (false, outcome.state.as_str(), outcome.reason.clone()),
        None if measured < all => {
            (false, "NotAllMeasured", format!("{measured} of {all} Services"))
        }
        None => (true, "Measured", format!("{measured} of {all} Services")),
    };
    vec![Condition {
        kind: "Ready".to_owned(),
        status: if is_ready { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: shortened(&message, MAX_REASON).to_owned(),
        observed_generation: placed.extension.generation,
    }]
}

/// What is new in the status of an extension, for the extension and for its Services.
pub fn events(placed: &Placed, before: &Status, after: &Status) -> Vec<Event> {
    let extension = &placed.extension.key;
    let mut events = Vec::new();
    for problem in after.problems.iter().filter(|problem| !before.problems.contains(problem)) {
        events.push(Event {
            about: extension.clone(),
            related: None,
            is_warning: true,
            reason: "Problem".to_owned(),
            note: problem.clone(),
        });
    }
    for (service, outcome) in &placed.services {
        let Some(now) = after.services.get(&*service.name) else { continue };
        if before.services.get(&*service.name) == Some(now) {
            continue;
        }
        let is_warning = match outcome.state {
            State::Annotated | State::RouteAnnotated | State::OptedOut => false,
            State::SharedBackend
            | State::UserManaged
            | State::NotFound
            | State::Conflict
            | State::NoRoute
            | State::ManagedByKongOperator => true,
        };
        let because = if now.reason.is_empty() { "" } else { ": " };
        let event = |about: &Key, related: &Key, note| Event {
            about: about.clone(),
            related: Some(related.clone()),
            is_warning,
            reason: now.state.clone(),
            note,
        };
        let note = format!("{service} is {}{because}{}", now.state, now.reason);
        events.push(event(extension, service, note));
        if outcome.state != State::NotFound {
            let note = format!("for {extension}: {}{because}{}", now.state, now.reason);
            events.push(event(service, extension, note));
        }
    }
    events
}

fn shortened(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// All annotations of an object together may have 256 KiB.
const MAX_BYTES: usize = 64 * 1024;

/// The longest reason: an event's note may have 1,024 bytes.
const MAX_REASON: usize = 600;

/// Of JSON about one Service.
const OVERHEAD: usize = 40;
