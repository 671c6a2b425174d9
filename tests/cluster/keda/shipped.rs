//! The ScaledObject that is shipped: the file in, an object out that does in seconds what takes it
//! minutes. The one decision: all that differs is in the two lists here, each value with the one
//! that is shipped, so that neither can change without the other. With `KONG_EXPORTER_KEDA=earnest`
//! nothing is shortened.

use std::time::Duration;

use serde_json::{Value, json};

use crate::chain::stage::deployed;

/// How long a test waits for what: JSON pointer, as shipped, as tested.
const TIMES: [(&str, u64, u64); 7] = [
    ("/spec/pollingInterval", 15, 1),
    ("/spec/initialCooldownPeriod", 300, 60),
    ("/spec/cooldownPeriod", 300, 5),
    (
        "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleUp/policies/0/periodSeconds",
        15,
        3,
    ),
    (
        "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleUp/policies/1/periodSeconds",
        15,
        3,
    ),
    // Still longer than window and failures together.
    (
        "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/stabilizationWindowSeconds",
        300,
        20,
    ),
    (
        "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/policies/0/periodSeconds",
        60,
        3,
    ),
];

/// The window of both queries, which here have a sample a second.
const WINDOW: (&str, &str) = ("[1m]", "[10s]");

/// How often the sidecars are scraped, and the most that anything may take.
pub(crate) fn pace() -> (&'static str, Duration) {
    match is_earnest() {
        true => ("15s", Duration::from_secs(900)),
        false => ("1s", Duration::from_secs(150)),
    }
}

/// Longer than it would take to shrink.
pub(crate) fn silence() -> Duration {
    Duration::from_secs(if is_earnest() { 330 } else { 30 })
}

/// Whether nothing is shortened.
pub(crate) fn is_earnest() -> bool {
    std::env::var("KONG_EXPORTER_KEDA").is_ok_and(|pace| pace == "earnest")
}

/// The file, in another namespace.
pub(crate) fn as_shipped(namespace: &str) -> Value {
    let mut object: Value =
        serde_saphyr::from_str(&deployed("autoscaling/keda/scaledobject.yaml")).unwrap();
    assert_eq!(object["metadata"]["namespace"].take(), "kong");
    object["metadata"]["namespace"] = json!(namespace);
    for trigger in triggers(&mut object) {
        // Of Kong's pods and of the Service; here it is one.
        edit(
            &mut trigger["metadata"]["query"],
            r#"namespace="kong""#,
            &format!(r#"namespace="{namespace}""#),
        );
    }
    object
}

/// The same, in seconds, with another server.
pub(crate) fn in_seconds(namespace: &str, server: &str) -> Value {
    let mut object = as_shipped(namespace);
    for trigger in triggers(&mut object) {
        trigger["metadata"]["serverAddress"] = json!(server);
    }
    if is_earnest() {
        return object;
    }
    for (pointer, shipped, tested) in TIMES {
        let value = object.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        assert_eq!(*value, shipped, "{pointer}");
        *value = json!(tested);
    }
    for trigger in triggers(&mut object) {
        edit(&mut trigger["metadata"]["query"], WINDOW.0, WINDOW.1);
    }
    object
}

fn triggers(object: &mut Value) -> &mut Vec<Value> {
    let triggers = object["spec"]["triggers"].as_array_mut().unwrap();
    assert_eq!(triggers.len(), 2);
    triggers
}

fn edit(text: &mut Value, from: &str, to: &str) {
    let old = text.as_str().unwrap();
    assert!(old.contains(from), "no {from} in {old}");
    *text = json!(old.replace(from, to));
}
