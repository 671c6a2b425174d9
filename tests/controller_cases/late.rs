//! The corner cases from the 20th on.

use kong_metrics_exporter::controller::{Options, Request};
use kong_metrics_exporter::kubernetes::ObjectKind;

use crate::Case;
use crate::translator::translate;
use crate::words::*;
use crate::world::key;

pub(crate) const CASES: [Case; 14] = [
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

pub(crate) fn refused_plugin() {
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
