//! The corner cases up to the 19th.

use kong_metrics_exporter::controller::{Options, Plan};
use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::Value;

use crate::Case;
use crate::words::*;
use crate::world::{Conflict, key};

pub(crate) const CASES: [Case; 19] = [
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
];
