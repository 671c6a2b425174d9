//! `crd`: the definition that is printed takes what Kong's own takes, and keeps conditions besides.
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

#[allow(dead_code)] // other tests use the rest
#[path = "common/shared.rs"]
mod shared;

use std::fs;
use std::process::Command;

use serde_json::Value;

#[test]
fn the_definition_is_kongs_but_for_words_conditions_and_columns() {
    let printed = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"))
        .arg("crd")
        .env_clear()
        .output()
        .unwrap();
    assert!(printed.status.success());
    let mut own = read(std::str::from_utf8(&printed.stdout).unwrap());
    let Some(folder) = shared::shared("Kong's definitions") else { return };
    let file = folder.join("crds/kong/gateway-operator.konghq.com_dataplanemetricsextensions.yaml");
    let kongs = read(&fs::read_to_string(file).unwrap());
    assert_eq!(own["metadata"]["name"], kongs["metadata"]["name"]);

    let version = &mut own["spec"]["versions"][0];
    version.as_object_mut().unwrap().remove("additionalPrinterColumns").unwrap();
    let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"];
    status.as_object_mut().unwrap().remove("default").unwrap();
    status["properties"].as_object_mut().unwrap().remove("conditions").unwrap();
    assert_eq!(own["spec"], kongs["spec"]);
}

/// Without what is for people alone.
fn read(yaml: &str) -> Value {
    let mut documents = serde_saphyr::from_multiple::<Value>(yaml).unwrap();
    let mut definition = documents.pop().unwrap();
    strip(&mut definition["spec"]["versions"][0]["schema"]);
    definition
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
