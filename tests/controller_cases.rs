//! The corner cases of a controller of extensions, each with what Kong Operator's own does in it and
//! what ours does; then what Kong Operator's own tests assert; then Kong Operator itself beside us.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/cluster.rs"]
mod cluster;
#[allow(dead_code)] // other tests use the rest
#[path = "common/shared.rs"]
mod shared;
#[path = "common/translator.rs"]
mod translator;
#[path = "common/world.rs"]
mod world;

use cluster::kic;
use kong_metrics_exporter::controller::{Options, Plan, Request};
use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use serde_json::{Value, json};
use translator::translate;
use world::{Conflict, World, key, lines};

/// A corner case.
struct Case {
    number: &'static str,
    /// What Kong Operator's own controller does.
    #[allow(dead_code)] // for whoever reads the table
    reference: &'static str,
    /// What ours does, as `check` asserts it.
    #[allow(dead_code)]
    ours: &'static str,
    check: fn(),
}

const CASES: [Case; 33] = [
    Case {
        number: "1",
        reference: "an extension that is named but not there: all plugins and annotations removed",
        ours: "nothing changes for the others",
        check: || {
            let mut world = attached(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            world.put(&control_plane("cp", &["gone", "kong"]));
            assert_eq!(planned(&world), NOTHING);
            assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
        },
    },
    Case {
        number: "2",
        reference: "a selected Service is missing: an error for ever, others done",
        ours: "told once; done as soon as it is there",
        check: || {
            let mut world = attached(&[&service("echo"), &extension("kong", &["echo", "late"])]);
            world.settle(&Options::default());
            assert_eq!(state(&world, "kong", "late"), "NotFound");
            assert_eq!(state(&world, "kong", "echo"), "Annotated");
            assert_eq!(planned(&world), NOTHING);
            world.put(&service("late"));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "late"), Some("kong-metrics-prometheus"));
        },
    },
    Case {
        number: "3",
        reference: "two extensions name one Service: nothing is done at all, not even cleaning up",
        ours: "the older measures for both, the other is told, the rest goes on",
        check: || {
            let old = extension("z-old", &["echo"])
                .replace("labels:", "creationTimestamp: \"2026-01-01T00:00:00Z\", labels:");
            let new = extension("a-new", &["echo", "other"])
                .replace("labels:", "creationTimestamp: \"2026-02-01T00:00:00Z\", labels:")
                .replace("latency: true", "statusCode: true");
            let mut world = world(&[&service("echo"), &service("other"), &old, &new]);
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("z-old-metrics-prometheus"));
            assert_eq!(on_service(&world, "other"), Some("a-new-metrics-prometheus"));
            assert_eq!(state(&world, "a-new", "echo"), "Conflict");
            assert_eq!(measured(&world, "z-old"), ["latency_metrics", "status_code_metrics"]);
        },
    },
    Case {
        number: "4",
        reference: "two ControlPlanes select one Service: they overwrite each other for ever",
        ours: "one plugin for the extension, whoever attaches it",
        check: || {
            let mut world = attached(&[
                &service("echo"),
                &extension("kong", &["echo"]),
                &control_plane("second", &["kong"]),
            ]);
            world.settle(&Options::default());
            assert_eq!(plugins_there(&world), ["kong-metrics-prometheus"]);
            assert_eq!(planned(&world), NOTHING);
        },
    },
    Case {
        number: "5",
        reference: "one extension, several ControlPlanes: only the first learns of changes",
        ours: "the extension counts, not who attaches it",
        check: || {
            let mut world = attached(&[
                &service("echo"),
                &service("other"),
                &extension("kong", &["echo"]),
                &control_plane("second", &["kong"]),
            ]);
            world.settle(&Options::default());
            world.put(&held(&unmarked(&extension("kong", &["other"]))));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), None);
            assert_eq!(on_service(&world, "other"), Some("kong-metrics-prometheus"));
        },
    },
    Case {
        number: "6",
        reference: "an extension of another namespace: read without a grant, its changes unseen",
        ours: "does not count unless it says so itself; it acts on its own namespace alone",
        check: || {
            let other = control_plane("cp", &[]).replace("namespace: web", "namespace: kong");
            let other = other.replace(
                "extensions: []",
                "extensions: [{kind: DataPlaneMetricsExtension, name: kong, namespace: web}]",
            );
            let unmarked = unmarked(&extension("kong", &["echo"]));
            let mut world = world(&[&service("echo"), &unmarked, &other]);
            assert_eq!(planned(&world), NOTHING);
            world.put(&extension("kong", &["echo"]));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
        },
    },
    Case {
        number: "7",
        reference: "kinds and groups are compared with \"or\": others match",
        ours: "both have to be right",
        check: || {
            for reference in [
                "{group: konnect.konghq.com, kind: DataPlaneMetricsExtension, name: kong}",
                "{group: gateway-operator.konghq.com, kind: KonnectExtension, name: kong}",
                "{kind: KonnectExtension, name: kong}",
            ] {
                let other = control_plane("cp", &[])
                    .replace("extensions: []", &format!("extensions: [{reference}]"));
                let unmarked = unmarked(&extension("kong", &["echo"]));
                assert_eq!(planned(&world(&[&service("echo"), &unmarked, &other])), NOTHING);
            }
        },
    },
    Case {
        number: "8",
        reference: "DataPlanes are mapped to ControlPlanes by an inverted test",
        ours: "DataPlanes are not read",
        check: || {
            assert_eq!(ObjectKind::of("gateway-operator.konghq.com/v1beta1", "DataPlane"), None);
        },
    },
    Case {
        number: "9",
        reference: "the ControlPlane is deleted: Services go on naming a plugin that is gone",
        ours: "everything is undone",
        check: || {
            let mut world = attached(&[&service("echo"), &extension("kong", &["echo"])]);
            let before = world.content();
            world.settle(&Options::default());
            world.delete(&key(ObjectKind::ControlPlane, "web/cp"));
            world.settle(&Options::default());
            world.put(&control_plane("cp", &["kong"]));
            assert_eq!(world.content(), before);
        },
    },
    Case {
        number: "10",
        reference: "the extension is deleted while named: an error for ever",
        ours: "undone, then gone",
        check: || {
            let mut world = attached(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            world.delete(&key(ObjectKind::DataPlaneMetricsExtension, "web/kong"));
            assert_eq!(
                planned(&world),
                [
                    "change Service web/echo",
                    "delete KongPlugin web/kong-metrics-prometheus",
                    "change DataPlaneMetricsExtension web/kong",
                ]
            );
            world.settle(&Options::default());
            assert!(!world.objects.keys().any(|key| *key.name == *"kong"));
        },
    },
    Case {
        number: "11",
        reference: "a user's KongPlugin has the name: overwritten, later deleted",
        ours: "left alone, and told",
        check: || {
            for of in ["prometheus", "rate-limiting"] {
                let own = plugin("kong-metrics-prometheus", of);
                let mut world = world(&[&service("echo"), &extension("kong", &["echo"]), &own]);
                let before = world.objects[&key(ObjectKind::KongPlugin, OURS)].clone();
                world.settle(&Options::default());
                assert_eq!(state(&world, "kong", "echo"), "Conflict");
                assert_eq!(on_service(&world, "echo"), None);
                world.delete(&key(ObjectKind::DataPlaneMetricsExtension, "web/kong"));
                world.settle(&Options::default());
                assert_eq!(world.objects[&key(ObjectKind::KongPlugin, OURS)], before);
            }
        },
    },
    Case {
        number: "12",
        reference: "a list with spaces: our item is put there twice, and one stays for ever",
        ours: "found in whatever form",
        check: || {
            let mut world = world(&[&listing("echo", "a, b"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("a, b,kong-metrics-prometheus"));
            relist(&mut world, "echo", Some("a, kong-metrics-prometheus , b"));
            assert_eq!(planned(&world), NOTHING);
            world.delete(&key(ObjectKind::DataPlaneMetricsExtension, "web/kong"));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("a, b"));
        },
    },
    Case {
        number: "13",
        reference: "an empty list becomes \",name\"",
        ours: "no leading comma; empty again when it goes",
        check: || {
            let mut world = world(&[&listing("echo", ""), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
            world.delete(&key(ObjectKind::DataPlaneMetricsExtension, "web/kong"));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some(""));
        },
    },
    Case {
        number: "14",
        reference: "items with a namespace are opaque names",
        ours: "kept as they are, and read",
        check: || {
            let mut world = world(&[&listing("echo", "other:p"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("other:p,kong-metrics-prometheus"));
        },
    },
    Case {
        number: "15",
        reference: "what is left after removal may be an empty text",
        ours: "then the key goes",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            relist(&mut world, "echo", Some(" kong-metrics-prometheus ,"));
            world.delete(&key(ObjectKind::DataPlaneMetricsExtension, "web/kong"));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), None);
        },
    },
    Case {
        number: "16",
        reference: "a user edits at the same time: the edit is lost",
        ours: "our write is refused, and the next plan starts from the edit",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            let Plan { writes, .. } = world.plan(&Options::default());
            relist(&mut world, "echo", Some("mine"));
            let to_service = writes.iter().find(|w| w.object.kind == ObjectKind::Service).unwrap();
            assert_eq!(world.write(to_service), Err(Conflict));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("mine,kong-metrics-prometheus"));
        },
    },
    Case {
        number: "17",
        reference: "a user removes our item: put back",
        ours: "put back, unless the Service has opted out",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            relist(&mut world, "echo", None);
            assert_eq!(planned(&world), ["change Service web/echo"]);
            world.settle(&Options::default());
            annotate(&mut world, "echo", "kong-metrics-exporter.io/opt-out", "true");
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), None);
            assert_eq!(state(&world, "kong", "echo"), "OptedOut");
        },
    },
    Case {
        number: "18",
        reference: "a user edits the managed plugin: all is reverted, labels and finalizers, too",
        ours: "what it measures is put right, the rest is the user's",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            let mut edited = world.objects[&key(ObjectKind::KongPlugin, OURS)].clone();
            edited["metadata"]["labels"]["team"] = "a".into();
            edited["config"]["latency_metrics"] = false.into();
            edited["instance_name"] = "mine".into();
            world.store(edited);
            world.settle(&Options::default());
            let after = &world.objects[&key(ObjectKind::KongPlugin, OURS)];
            assert_eq!(after["config"]["latency_metrics"], true);
            assert_eq!(
                (&after["metadata"]["labels"]["team"], &after["instance_name"]),
                (&"a".into(), &"mine".into())
            );
        },
    },
    Case {
        number: "19",
        reference: "configurations are compared as bytes: a write at every turn",
        ours: "no write at rest, whatever the order of keys",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            assert!(world.settle(&Options::default()) > 0);
            let mut same = world.objects[&key(ObjectKind::KongPlugin, OURS)].clone();
            let config = same["config"].as_object().unwrap().clone();
            same["config"] = Value::Object(config.into_iter().rev().collect());
            world.store(same);
            assert_eq!(planned(&world), NOTHING);
        },
    },
    Case {
        number: "20",
        reference: "nothing enabled: a plugin with four times false",
        ours: "the same, and told",
        check: || {
            let mut world = world(&[
                &service("echo"),
                &extension("kong", &["echo"]).replace("{latency: true}", "{}"),
            ]);
            let plan = world.plan(&Options::default());
            assert!(plan.events.iter().any(|event| event.is_warning && event.reason == "Problem"));
            world.settle(&Options::default());
            assert!(measured(&world, "kong").is_empty());
            let config = &world.objects[&key(ObjectKind::KongPlugin, OURS)]["config"];
            assert_eq!(config.as_object().unwrap().len(), 4);
        },
    },
    Case {
        number: "21",
        reference: "a global prometheus plugin: what it measured goes dark on the Service",
        ours: "its switches are added",
        check: || {
            let global = cluster_plugin("g", "prometheus")
                .replace("name: g", "name: g, labels: {global: \"true\"}")
                .replace("config: {}", "config: {status_code_metrics: true, per_consumer: true}");
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"]), &global]);
            world.settle(&Options::default());
            let all = ["latency_metrics", "per_consumer", "status_code_metrics"];
            assert_eq!(measured(&world, "kong"), all);
            // Two global ones: Kong's controllers apply neither.
            world.put(&global.replace("name: g", "name: h"));
            world.settle(&Options::default());
            assert_eq!(measured(&world, "kong"), ["latency_metrics"]);
        },
    },
    Case {
        number: "22",
        reference: "another prometheus plugin on the Service: not looked at, Kong refuses everything",
        ours: "ours goes before anything else, by whatever name or kind the other is listed",
        check: || {
            for (item, other) in [
                ("p", plugin("p", "prometheus")),
                ("web:p", plugin("p", "prometheus")),
                ("kong:p", plugin("p", "prometheus").replace("namespace: web", "namespace: kong")),
                ("c", cluster_plugin("c", "prometheus")),
            ] {
                let mut world = world(&[&service("echo"), &extension("kong", &["echo"]), &other]);
                world.settle(&Options::default());
                relist(&mut world, "echo", Some(&format!("kong-metrics-prometheus, {item}")));
                assert_eq!(planned(&world)[0], "change Service web/echo", "{item}");
                world.settle(&Options::default());
                assert_eq!(on_service(&world, "echo"), Some(&*format!(" {item}")));
                assert_eq!(state(&world, "kong", "echo"), "UserManaged");
                assert_eq!(
                    plugins_there(&world)
                        .iter()
                        .filter(|name| **name == "kong-metrics-prometheus")
                        .count(),
                    0
                );
            }
        },
    },
    Case {
        number: "22b",
        reference: "the route has a prometheus plugin: that one counts, nobody is told",
        ours: "told",
        check: || {
            let route = route("r", &["echo"])
                .replace("name: r", "name: r, annotations: {konghq.com/plugins: p}");
            let p = plugin("p", "prometheus");
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"]), &route, &p]);
            world.settle(&Options::default());
            assert_eq!(state(&world, "kong", "echo"), "Annotated");
            let reason = "on HTTPRoute web/r its prometheus plugin KongPlugin web/p counts instead";
            assert_eq!(status(&world, "kong")["services"]["echo"]["reason"], reason);
        },
    },
    Case {
        number: "23",
        reference: "several Services behind a rule: each gets a name of its own, the route is lost",
        ours: "the route gets the plugin, the Services are never touched",
        check: || {
            let objects = [
                &service("blue"),
                &service("green"),
                &extension("kong", &["blue"]),
                &route("canary", &["blue", "green"]),
            ];
            let mut world = world(&objects.map(String::as_str));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "blue"), None);
            assert_eq!(
                world.plugins(ObjectKind::HTTPRoute, "web/canary"),
                Some("kong-metrics-prometheus")
            );
            assert_eq!(state(&world, "kong", "blue"), "RouteAnnotated");
            assert!(translate(&world.objects).dropped.is_empty());
            // Where a Service is annotated and a weighted route comes, it goes first.
            world.put(&route("canary", &["blue"]));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "blue"), Some("kong-metrics-prometheus"));
            world.put(&route("canary", &["blue", "green"]));
            assert!(world.plan(&Options::default()).writes[0].is_withdrawal());
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "blue"), None);
        },
    },
    Case {
        number: "24",
        reference: "the Service is deleted: the plugin stays",
        ours: "a plugin that is on nothing goes",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            world.delete(&key(ObjectKind::Service, "web/echo"));
            world.settle(&Options::default());
            assert!(plugins_there(&world).is_empty());
        },
    },
    Case {
        number: "25",
        reference: "names of more than 63 bytes make labels that are refused",
        ours: "cut, with a hash",
        check: || {
            let long = format!("{}x", "ab.".repeat(80));
            let mut world = world(&[&service("echo"), &extension(&long, &["echo"])]);
            world.settle(&Options::default());
            let plugin = world.objects.iter().find(|(key, _)| key.kind == ObjectKind::KongPlugin);
            let (key, plugin) = plugin.unwrap();
            let label = &plugin["metadata"]["labels"]["kong-metrics-exporter.io/extension"];
            assert!(key.name.len() <= 253 && label.as_str().unwrap().len() <= 63);
            assert_eq!(on_service(&world, "echo"), Some(&*key.name));
        },
    },
    Case {
        number: "26",
        reference: "the plugin is refused: an error, retried",
        ours: "whatever names it or tells of it waits",
        check: refused_plugin,
    },
    Case {
        number: "27",
        reference: "a deletion timestamp in the future: odd waiting",
        ours: "deleted is deleted",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            let extension = key(ObjectKind::DataPlaneMetricsExtension, "web/kong");
            let mut value = world.objects[&extension].clone();
            value["metadata"]["deletionTimestamp"] = "2999-01-01T00:00:00Z".into();
            world.store(value);
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), None);
        },
    },
    Case {
        number: "28",
        reference: "hybrid and Konnect have no ControlPlane: nothing happens, silently",
        ours: "a label makes the extension count",
        check: || {
            let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            assert_eq!(state(&world, "kong", "echo"), "Annotated");
        },
    },
    Case {
        number: "29",
        reference: "two extensions on one ControlPlane: not accepted, and done all the same",
        ours: "both count",
        check: || {
            let mut world = world(&[
                &service("a"),
                &service("b"),
                &unmarked(&extension("one", &["a"])),
                &unmarked(&extension("two", &["b"])),
                &control_plane("cp", &["one", "two"]),
            ]);
            world.settle(&Options::default());
            assert_eq!(plugins_there(&world), ["one-metrics-prometheus", "two-metrics-prometheus"]);
        },
    },
    Case {
        number: "30",
        reference: "facades, ExternalName and headless Services: the Service object alone",
        ours: "the same",
        check: || {
            let external =
                service("echo").replace("ports: []", "type: ExternalName, externalName: a.b");
            let mut world = world(&[&external, &extension("kong", &["echo"])]);
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
        },
    },
    Case {
        number: "31",
        reference: "one missing Secret stalls every extension",
        ours: "what cannot be done for one extension does not concern another",
        check: || {
            let mut world = world(&[
                &service("a"),
                &service("b"),
                &extension("one", &["a", "gone"]),
                &extension("two", &["b"]),
                &plugin("one-metrics-prometheus", "rate-limiting"),
            ]);
            world.settle(&Options::default());
            assert_eq!(state(&world, "one", "a"), "Conflict");
            assert_eq!(on_service(&world, "b"), Some("two-metrics-prometheus"));
        },
    },
    Case {
        number: "32",
        reference: "two ControlPlanes, one DataPlane: removing one stops it for both",
        ours: "attached is attached, by whomever",
        check: || {
            let mut world = attached(&[
                &service("echo"),
                &extension("kong", &["echo"]),
                &control_plane("second", &["kong"]),
            ]);
            world.settle(&Options::default());
            world.delete(&key(ObjectKind::ControlPlane, "web/cp"));
            world.settle(&Options::default());
            assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
        },
    },
];

#[test]
fn every_corner_case_ends_as_the_table_says() {
    for case in &CASES {
        println!("case {}", case.number);
        (case.check)();
    }
}

fn refused_plugin() {
    let mut world = world(&[&service("echo"), &extension("kong", &["echo"])]);
    let writes = world.plan(&Options::default()).writes;
    let mut failed: Vec<usize> = Vec::new();
    for (at, write) in writes.iter().enumerate() {
        let is_refused = matches!(write.request, Request::Create(_));
        if is_refused || write.needs.iter().any(|need| failed.contains(need)) {
            failed.push(at);
        } else {
            world.write(write).unwrap();
        }
    }
    assert_eq!(on_service(&world, "echo"), None);
    assert!(status(&world, "kong").is_null());
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "Annotated");
}

/// What the tests of Kong Operator's own controller assert, one after the other.
#[test]
fn what_kong_operators_own_tests_assert_holds() {
    let options = Options::default();
    let mut world = attached(&[&service("echo"), &extension("kong", &["echo"])]);
    // Created and listed.
    world.settle(&options);
    assert_eq!(plugins_there(&world), ["kong-metrics-prometheus"]);
    assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
    // No update when equal.
    assert_eq!(planned(&world), NOTHING);
    // Update when different.
    let other = unmarked(&extension("kong", &["echo"])).replace("latency: true", "bandwidth: true");
    world.put(&held(&other));
    assert_eq!(planned(&world)[0], "change KongPlugin web/kong-metrics-prometheus");
    world.settle(&options);
    assert_eq!(measured(&world, "kong"), ["bandwidth_metrics"]);
    // The reference is removed: deleted and cleared.
    world.put(&control_plane("cp", &[]));
    let writes = world.plan(&options).writes;
    world.settle(&options);
    assert!(plugins_there(&world).is_empty());
    assert_eq!(on_service(&world, "echo"), None);
    // What is gone already need not be deleted.
    let delete = writes.iter().find(|write| write.request == Request::Delete).unwrap();
    assert_eq!(world.write(delete), Err(Conflict));
    assert_eq!(planned(&world), NOTHING);
    // The reference comes back.
    world.put(&control_plane("cp", &["kong"]));
    world.settle(&options);
    assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
    // A refused plugin is not passed over in silence.
    refused_plugin();
}

/// As Kong Operator leaves it.
fn operators() -> World {
    let plugin = plugin("echo-metrics-prometheus", "prometheus").replace(
        "namespace: web",
        "namespace: web, labels: {gateway-operator.konghq.com/managed-by: controlplane, \
         gateway-operator.konghq.com/kong-plugin-type: prometheus, \
         gateway-operator.konghq.com/managed-by-name: cp, \
         gateway-operator.konghq.com/managed-by-namespace: web}",
    );
    let on = "{konghq.com/plugins: \"a, echo-metrics-prometheus\", \
              gateway-operator.konghq.com/control-plane-managed-plugins: echo-metrics-prometheus}";
    let service = service("echo").replace(
        "namespace: web",
        &format!(
            "namespace: web, annotations: {on}, labels: \
             {{gateway-operator.konghq.com/control-plane-managing-plugins-name: cp, \
             gateway-operator.konghq.com/control-plane-managing-plugins-namespace: web}}"
        ),
    );
    attached(&[&service, &plugin, &extension("kong", &["echo"])])
}

#[test]
fn where_kong_operator_acts_nothing_is_written_but_the_status() {
    let mut world = operators();
    let writes = world.plan(&Options::default()).writes;
    assert!(writes.iter().all(|write| write.is_to_extension()), "{writes:?}");
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "ManagedByKongOperator");
}

#[test]
fn what_kong_operator_left_is_taken_over_without_a_moment_of_two_plugins_or_of_none() {
    let options = Options { adopt: true, ..Options::default() };
    let mut world = operators();
    for write in world.plan(&options).writes {
        world.write(&write).unwrap();
        let config = translate(&world.objects);
        assert!(!config.is_refused(), "{write:?}");
        assert!(on_service(&world, "echo").unwrap().contains("-metrics-prometheus"));
    }
    assert_eq!(on_service(&world, "echo"), Some("a,kong-metrics-prometheus"));
    assert_eq!(plugins_there(&world), ["kong-metrics-prometheus"]);
    let service = world.objects[&key(ObjectKind::Service, "web/echo")].to_string();
    assert!(!service.contains("gateway-operator.konghq.com"), "{service}");
    assert_eq!(world.plan(&options).writes, []);
}

#[test]
fn an_extension_just_attached_is_left_until_it_is_seen_whether_kong_operator_acts() {
    let unmarked = unmarked(&extension("kong", &["echo"]));
    let mut world = attached(&[&service("echo"), &unmarked]);
    let just_now = [key(ObjectKind::DataPlaneMetricsExtension, "web/kong")].into();
    let options = Options { unsettled: just_now, ..Options::default() };
    assert_eq!(world.plan(&options).writes, []);
    world.settle(&Options::default());
    // After that a restart of ours makes no difference.
    assert_eq!(world.plan(&options).writes, []);
    assert_eq!(on_service(&world, "echo"), Some("kong-metrics-prometheus"));
}

#[test]
fn a_route_elsewhere_cannot_be_used_and_the_user_is_told_what_can_be_done() {
    let elsewhere = route("r", &["blue", "green"]).replace("namespace: web", "namespace: other");
    let elsewhere = elsewhere.replace("name: blue", "namespace: web, name: blue");
    let objects = [&service("blue"), &extension("kong", &["blue"]), &elsewhere];
    let mut world = world(&objects.map(String::as_str));
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "blue"), "SharedBackend");
    assert_eq!(
        status(&world, "kong")["services"]["blue"]["reason"],
        "HTTPRoute other/r is in another namespace and also sends to Service other/green: attach an \
         extension or a KongPlugin there"
    );
}

#[test]
fn routes_are_used_where_the_extension_says_so_and_services_by_label() {
    let by_label = extension("kong", &[]).replace(
        "namespace: web",
        "namespace: web, annotations: {kong-metrics-exporter.io/attach-to: routes, \
         kong-metrics-exporter.io/service-label-selector: \"app in (shop,x)\"}",
    );
    let shop = service("echo").replace("namespace: web", "namespace: web, labels: {app: shop}");
    let mut world = world(&[&shop, &service("other"), &by_label]);
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "NoRoute");
    world.put(&route("r", &["echo"]));
    world.settle(&Options::default());
    assert_eq!(state(&world, "kong", "echo"), "RouteAnnotated");
    assert_eq!(world.plugins(ObjectKind::HTTPRoute, "web/r"), Some("kong-metrics-prometheus"));
    assert_eq!(status(&world, "kong")["summary"], json!({"RouteAnnotated": 1}));
}

#[test]
fn a_plugin_on_a_route_measures_what_the_plugins_of_its_services_did() {
    let objects = [
        &service("blue"),
        &service("green"),
        &listing("user", "p"),
        &extension("kong", &["blue"]),
        &plugin("p", "prometheus").replace("config: {}", "config: {bandwidth_metrics: true}"),
        &route("r", &["blue", "green"]).replace(
            "rules: [",
            "rules: [{backendRefs: [{kind: Service, name: user, port: 80, weight: 1}]}, ",
        ),
    ];
    let mut world = world(&objects.map(String::as_str));
    world.settle(&Options::default());
    assert_eq!(measured(&world, "kong"), ["bandwidth_metrics", "latency_metrics"]);
}

/// The model of Kong's controllers that the property tests judge by, held to what the real one did.
#[test]
fn the_model_agrees_with_the_real_translator() {
    let Some(folder) = shared::shared("the model of the translator") else { return };
    let mut count = 0;
    for name in [
        "x-plugins-consistent-annotations",
        "x-plugins-global-prometheus",
        "x-plugins-per-service-plugin-names",
        "x-plugins-route-and-service",
    ] {
        let folder = folder.join("testdata/golden").join(name);
        let text = std::fs::read_to_string(folder.join("in.yaml")).unwrap();
        let mut world = World::new(&kic(), &[]);
        let documents = text.split("---\n").filter(|document| !document.contains("EndpointSlice"));
        documents.for_each(|document| world.put(document));
        let config = translate(&world.objects);
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let variants = expected["variants"].as_array().unwrap();
        let variant = variants.iter().find(|variant| variant["variant"] == "default").unwrap();
        let rule = |name: &str| {
            let mut pieces = name.split('.').skip(1);
            let mut piece = || pieces.next().unwrap();
            format!("HTTPRoute {}/{} {}", piece(), piece(), piece())
        };
        let mut plugins = std::collections::BTreeMap::new();
        for service in variant["services"].as_array().unwrap() {
            let rule = rule(service["kong_service"].as_str().unwrap());
            assert!(config.rules.contains(&rule), "{name}: {rule}");
            let of: Vec<_> = service["plugins"].as_array().unwrap().iter().map(type_of).collect();
            plugins.extend((!of.is_empty()).then_some((rule, of)));
            count += 1;
        }
        for of_route in variant["route_plugins"].as_array().unwrap() {
            let rule = rule(of_route[1].as_str().unwrap());
            let of = of_route[0].as_str().unwrap().to_owned();
            plugins.entry(format!("route {rule}")).or_insert_with(Vec::new).push(of);
        }
        assert_eq!(config.plugins, plugins, "{name}");
        let skipped = variant["skipped_for_inconsistent_annotations"].as_object().unwrap();
        let skipped: std::collections::BTreeSet<_> =
            skipped.keys().map(|name| rule(name)).collect();
        assert_eq!(config.dropped, skipped, "{name}");
        assert_eq!(config.is_refused(), name == "x-plugins-consistent-annotations");
    }
    assert_eq!(count, 6);
}

fn type_of(plugin: &Value) -> String {
    plugin["name"].as_str().unwrap().to_owned()
}

const NOTHING: [&str; 0] = [];
const OURS: &str = "web/kong-metrics-prometheus";

fn world(manifests: &[&str]) -> World {
    World::new(&kic(), manifests)
}

/// With a ControlPlane that names the extension `kong`, in the version of Kong Operator 2.
fn attached(manifests: &[&str]) -> World {
    let mut world = world(&[]);
    manifests.iter().for_each(|manifest| world.put(&unmarked(manifest)));
    world.put(&control_plane("cp", &["kong"]));
    world
}

/// An extension that counts only where it is attached.
fn unmarked(extension: &str) -> String {
    extension.replace("managed: \"true\"", "x: z")
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: web}}\nspec: {{ports: []}}\n"
    )
}

/// A Service that lists plugins.
fn listing(name: &str, list: &str) -> String {
    service(name).replace(
        "namespace: web",
        &format!("namespace: web, annotations: {{konghq.com/plugins: \"{list}\"}}"),
    )
}

/// One that counts by itself.
fn extension(name: &str, services: &[&str]) -> String {
    let names: Vec<_> = services.iter().map(|name| format!("{{name: {name}}}")).collect();
    format!(
        "apiVersion: gateway-operator.konghq.com/v1alpha1\nkind: DataPlaneMetricsExtension\n\
         metadata: {{name: {name}, labels: {{kong-metrics-exporter.io/managed: \"true\"}}, namespace: web}}\n\
         spec: {{serviceSelector: {{matchNames: [{}]}}, config: {{latency: true}}}}\n",
        names.join(", ")
    )
}

/// As a user's `kubectl apply` leaves it: with our finalizer.
fn held(extension: &str) -> String {
    extension.replace(
        "namespace: web}",
        "namespace: web, finalizers: [kong-metrics-exporter.io/controller]}",
    )
}

fn control_plane(name: &str, extensions: &[&str]) -> String {
    let extensions: Vec<_> = extensions
        .iter()
        .map(|name| {
            format!("{{group: gateway-operator.konghq.com, kind: DataPlaneMetricsExtension, name: {name}}}")
        })
        .collect();
    format!(
        "apiVersion: gateway-operator.konghq.com/v2beta1\nkind: ControlPlane\n\
         metadata: {{name: {name}, namespace: web}}\nspec: {{extensions: [{}]}}\n",
        extensions.join(", ")
    )
}

fn plugin(name: &str, of: &str) -> String {
    format!(
        "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\n\
         metadata: {{name: {name}, namespace: web}}\nplugin: {of}\nconfig: {{}}\n"
    )
}

fn cluster_plugin(name: &str, of: &str) -> String {
    plugin(name, of).replace("KongPlugin", "KongClusterPlugin").replace(", namespace: web", "")
}

/// An HTTPRoute of one rule.
fn route(name: &str, services: &[&str]) -> String {
    let backend = |name: &&str| format!("{{kind: Service, name: {name}, port: 80, weight: 1}}");
    let backends: Vec<_> = services.iter().map(backend).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: web}}\n\
         spec: {{parentRefs: [{{name: kong}}], rules: [{{backendRefs: [{}]}}]}}\n",
        backends.join(", ")
    )
}

fn relist(world: &mut World, service: &str, list: Option<&str>) {
    let key = Key::new(ObjectKind::Service, "web", service);
    let mut value = world.objects[&key].clone();
    let patch = json!({"metadata": {"annotations": {"konghq.com/plugins": list}}});
    json_patch::merge(&mut value, &patch);
    world.store(value);
}

fn annotate(world: &mut World, service: &str, annotation: &str, text: &str) {
    let key = Key::new(ObjectKind::Service, "web", service);
    let mut value = world.objects[&key].clone();
    json_patch::merge(&mut value, &json!({"metadata": {"annotations": {annotation: text}}}));
    world.store(value);
}

fn planned(world: &World) -> Vec<String> {
    lines(&world.plan(&Options::default()).writes)
}

fn on_service<'w>(world: &'w World, name: &str) -> Option<&'w str> {
    world.plugins(ObjectKind::Service, &format!("web/{name}"))
}

fn status(world: &World, extension: &str) -> Value {
    let kind = ObjectKind::DataPlaneMetricsExtension;
    let name = format!("web/{extension}");
    let text = world.annotation(kind, &name, "kong-metrics-exporter.io/status");
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn state(world: &World, extension: &str, service: &str) -> String {
    let status = status(world, extension);
    status["services"][service]["state"].as_str().unwrap_or("not told").to_owned()
}

fn plugins_there(world: &World) -> Vec<&str> {
    let plugins = world.objects.keys().filter(|key| key.kind == ObjectKind::KongPlugin);
    plugins.map(|key| &*key.name).collect()
}

/// The switches that are on.
fn measured(world: &World, extension: &str) -> Vec<String> {
    let plugin =
        Key::new(ObjectKind::KongPlugin, "web", &format!("{extension}-metrics-prometheus"));
    let config = world.objects[&plugin]["config"].as_object().unwrap();
    let on = config.iter().filter(|(_, value)| **value == true);
    on.map(|(name, _)| name.clone()).collect()
}
