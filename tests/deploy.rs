//! The manifests in deploy/, as texts: what an API server says to them is in tests/cluster.
//! In: the files. Asserted: who may do what is exactly what the code needs.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kong_metrics_exporter::cluster::resource::plural;
use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::Value;

#[test]
fn who_watches_may_list_and_watch_the_kinds_that_are_read_and_nothing_else() {
    let kinds = ObjectKind::ALL.into_iter().filter(|kind| !CONTROLLERS.contains(kind));
    let kinds = kinds.map(|kind| (resource(kind.group(), plural(kind)), READ.to_owned()));
    let kinds: BTreeMap<_, _> = kinds.collect();
    assert_eq!(rights("watch"), kinds);

    let mut publisher = rights("publisher");
    assert_eq!(publisher.remove("configmaps").unwrap(), WRITE_MAPS);
    let data_planes = publisher.remove("gateway-operator.konghq.com/dataplanes");
    assert_eq!(data_planes.as_deref(), Some("list"));
    assert_eq!(publisher.remove("coordination.k8s.io/leases").unwrap(), "create get update");
    assert_eq!(publisher, kinds);

    let mut controller = rights("controller");
    for (kind, verbs) in &kinds {
        let may = controller.remove(kind).unwrap();
        assert!([verbs, READ_AND_MARK].contains(&may.as_str()), "{kind}: {may}");
    }
    let beside_them = [
        ("configuration.konghq.com/kongclusterplugins", READ),
        ("configuration.konghq.com/kongplugins", "create delete list patch watch"),
        ("coordination.k8s.io/leases", "create get update"),
        ("events.k8s.io/events", "create"),
        ("gateway-operator.konghq.com/dataplanemetricsextensions", READ_AND_MARK),
        ("gateway-operator.konghq.com/dataplanemetricsextensions/status", "patch"),
        ("gateway-operator.konghq.com/gatewayconfigurations", READ),
    ];
    let beside_them = beside_them.map(|(kind, verbs)| (kind.to_owned(), verbs.to_owned()));
    assert_eq!(controller, BTreeMap::from(beside_them));
}

#[test]
fn a_publisher_is_let_into_one_more_namespace_with_what_it_may_do_in_its_own() {
    let rights = rights("publisher-namespace");
    assert_eq!(rights, BTreeMap::from([("configmaps".to_owned(), WRITE_MAPS.to_owned())]));
    let [role, binding] = &objects("rbac/publisher-namespace")[..] else { panic!() };
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let publisher = objects("rbac/publisher");
    let account = publisher.iter().find(|object| kind(object) == "ServiceAccount").unwrap();
    for field in ["name", "namespace"] {
        assert_eq!(binding["subjects"][0][field], account["metadata"][field]);
    }
}

#[test]
fn a_sidecar_that_is_published_to_reads_config_maps_of_its_own_namespace() {
    assert_eq!(rights("published"), BTreeMap::from([("configmaps".to_owned(), READ.to_owned())]));
    let kinds = objects("rbac/published").into_iter().map(|object| kind(&object));
    assert_eq!(kinds.collect::<Vec<_>>(), ["ServiceAccount", "Role", "RoleBinding"]);
}

#[test]
fn bindings_bind_the_role_and_the_account_beside_them() {
    for mode in ["watch", "published", "publisher", "controller"] {
        let objects = objects(&format!("rbac/{mode}"));
        let named = |wanted: &str, name: &Value| {
            objects.iter().any(|o| kind(o) == wanted && o["metadata"]["name"] == *name)
        };
        let bindings = objects.iter().filter(|object| kind(object).ends_with("Binding"));
        let mut bound = 0;
        for binding in bindings {
            let (role, subject) = (&binding["roleRef"], &binding["subjects"][0]);
            assert!(named(role["kind"].as_str().unwrap(), &role["name"]), "{mode}: {role}");
            assert!(named("ServiceAccount", &subject["name"]), "{mode}: {subject}");
            bound += 1;
        }
        let roles = objects.iter().filter(|object| kind(object).ends_with("Role")).count();
        assert_eq!(bound, roles, "{mode}");
    }
}

/// The verbs for each resource, sorted, of all roles of a mode.
fn rights(mode: &str) -> BTreeMap<String, String> {
    let mut rights = BTreeMap::new();
    for object in objects(&format!("rbac/{mode}")) {
        let rules: Vec<PolicyRule> = match kind(&object).as_str() {
            "ClusterRole" => serde_json::from_value::<ClusterRole>(object).unwrap().rules,
            "Role" => serde_json::from_value::<Role>(object).unwrap().rules,
            _ => continue,
        }
        .unwrap();
        for mut rule in rules {
            rule.verbs.sort_unstable();
            let verbs = rule.verbs.join(" ");
            for group in rule.api_groups.unwrap() {
                for plural in rule.resources.iter().flatten() {
                    let earlier = rights.insert(resource(&group, plural), verbs.clone());
                    assert_eq!(earlier, None, "{mode}: two rules for {plural}");
                }
            }
        }
    }
    rights
}

fn resource(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{group}/{plural}") }
}

fn kind(object: &Value) -> String {
    object["kind"].as_str().unwrap().to_owned()
}

/// The objects of a folder in deploy/, of the files that its kustomization names: all that are there.
fn objects(folder: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&read("kustomization.yaml")).unwrap();
    let named = kustomization["resources"].as_array().unwrap();
    let named: Vec<_> = named.iter().map(|name| name.as_str().unwrap()).collect();
    let there = fs::read_dir(&folder).unwrap().count();
    assert_eq!(there, named.len() + 1, "{}", folder.display());
    named
        .iter()
        .flat_map(|name| serde_saphyr::from_multiple::<Value>(&read(name)).unwrap())
        .collect()
}

/// What only the controller reads; the rest says which Services stand behind a Kong service.
const CONTROLLERS: [ObjectKind; 4] = [
    ObjectKind::DataPlaneMetricsExtension,
    ObjectKind::GatewayConfiguration,
    ObjectKind::KongPlugin,
    ObjectKind::KongClusterPlugin,
];

const WRITE_MAPS: &str = "create delete list patch";
const READ: &str = "list watch";
/// Besides reading, an annotation is written.
const READ_AND_MARK: &str = "list patch watch";
