//! Manifests: what is read, what is skipped, what is refused and where; through the library and
//! through the `resolve` command.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/cluster.rs"]
mod cluster;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kong_metrics_exporter::kubernetes::manifest::{Defaults, Error, Manifests};
use kong_metrics_exporter::kubernetes::{Key, ObjectKind, Spec};
use kong_metrics_exporter::mapping::file;

const CLUSTER: &str = "\
# A comment before the first document
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: web}
--- # with a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: 7}
data:
  text: |
    --- no marker
    80: 1
---

# nothing
...
---
spec:
  parentRefs: [{name: kong}]
  rules: [{backendRefs: [{name: echo, port: 80, group: null}], timeouts: null, matches: ~}]
apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata:
  namespace: web
  name: shop
  labels: {80: eighty}
  annotations: {note: [1, 2]}
  managedFields: [{x: y}]
status: {parents: 7}
";

const NAME: &str = "httproute.web.svc.web.echo.80.1";

fn read(text: &str) -> Result<Manifests, Error> {
    let mut manifests = Manifests::default();
    manifests.read(text, Defaults::Fill).map(|()| manifests)
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn kinds(manifests: &Manifests) -> Vec<&str> {
    manifests.objects.iter().map(|object| object.key().kind.as_str()).collect()
}

#[test]
fn documents_of_yaml_are_read_and_other_kinds_skipped() {
    let manifests = read(CLUSTER).unwrap();
    assert_eq!(kinds(&manifests), ["Service", "HTTPRoute"]);
    assert_eq!(manifests.skipped.into_iter().collect::<Vec<_>>(), [("ConfigMap".to_owned(), 1)]);
}

#[test]
fn lists_are_taken_apart_whether_their_items_name_their_kind_or_not() {
    let by_kubectl = r#"{"apiVersion": "v1", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "web"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}, "data": {"x": "eA=="}}
    ], "kind": "List", "metadata": {"resourceVersion": ""}}"#;
    let manifests = read(by_kubectl).unwrap();
    assert_eq!((kinds(&manifests), manifests.skipped["Secret"]), (vec!["Service"], 1));
    let by_the_api = r#"{"kind": "ServiceList", "apiVersion": "v1", "metadata": {},
        "items": [{"metadata": {"name": "a", "namespace": "web"}, "spec": {"ports": []}}]}"#;
    assert_eq!(kinds(&read(by_the_api).unwrap()), ["Service"]);
    let in_yaml = "kind: IngressList\napiVersion: networking.k8s.io/v1\n\
                   items:\n- metadata: {name: a}\n- metadata: {name: b}\n";
    assert_eq!(kinds(&read(in_yaml).unwrap()), ["Ingress", "Ingress"]);
    assert_eq!(read("kind: ServiceList\napiVersion: v1\nitems: null\n").unwrap().objects, []);
    let two = format!("{by_the_api}\n{by_the_api} [{by_the_api}]");
    assert_eq!(read(&two).unwrap().objects.len(), 3);
}

#[test]
fn what_the_api_server_would_fill_in_is_filled_in_unless_that_is_not_wanted() {
    let text = cluster::httproute("shop", &["{backendRefs: [{name: echo, port: 80}]}"]);
    let mut letter = Manifests::default();
    letter.read(&text, Defaults::Keep).unwrap();
    let full = cluster::httproute(
        "default/shop",
        &["{backendRefs: [{group: '', kind: Service, name: echo, port: 80, weight: 1}]}"],
    );
    assert_eq!(read(&text).unwrap(), read(&full).unwrap());
    assert_ne!(letter, read(&full).unwrap());
    letter.objects.clear();
    letter.read(&full, Defaults::Keep).unwrap();
    assert_eq!(letter, read(&full).unwrap());
}

#[test]
fn a_mistake_is_told_with_its_document_and_line() {
    let bad_port = CLUSTER.replace("port: 80,", "port: http,");
    let message = refused(&bad_port);
    assert!(message.starts_with("document 3, line "), "{message}");
    assert!(message.contains("HTTPRoute web/shop: "), "{message}");
    // In the usual order the very line is known.
    let text = "kind: HTTPRoute\napiVersion: gateway.networking.k8s.io/v1\nspec:\n  rules:\n  \
                - backendRefs:\n    - {name: a, weight: x}\n";
    let message = refused(&format!("---\n{text}"));
    assert!(message.starts_with("document 1, line 7: "), "{message}");
    let message = refused("kind: Service\napiVersion: v1\nmetadata: {name: a}\n---\n\nkind: [\n");
    assert!(message.starts_with("document 2, line "), "{message}");
    let message = refused("{\"kind\": \"Service\",\n \"apiVersion\": \"v1\",\n \"metadata\": []}");
    assert!(message.starts_with("document 1, line 3: "), "{message}");
    for (text, about) in [
        ("metadata: {name: a}\n", "kind"),
        ("kind: Service\nmetadata: {name: a}\n", "apiVersion"),
        ("kind: Service\napiVersion: v1\n", "metadata.name"),
        ("kind: Service\napiVersion: v1\nmetadata: {name: A}\n", "Service A: "),
        ("kind: Service\napiVersion: v1\nmetadata: {name: a, namespace: a.b}\n", "namespace"),
        ("just text\n", "a Kubernetes object"),
        ("{\"kind\": \"Service\"", "EOF"),
    ] {
        let message = refused(text);
        assert!(message.contains(about), "{text}: {message}");
    }
}

#[test]
fn an_object_with_odd_fields_elsewhere_is_read_all_the_same() {
    let odd = "kind: HTTPRoute\napiVersion: gateway.networking.k8s.io/v1\n\
               metadata: {name: a, annotations: null, labels: 7}\n\
               spec: {parentRefs: null, hostnames: null, rules: [{backendRefs: null}, {x: [1]}]}\n";
    assert_eq!(read(odd).unwrap().objects.len(), 1);
}

/// A folder of this test's own.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).unwrap();
    for (file, text) in files {
        std::fs::write(path.join(file), text).unwrap();
    }
    path
}

fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"))
        .arg("resolve")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_reads_standard_input_files_and_folders_and_prints_a_mapping_file() {
    let (code, json, err) = run(&["--objects", "-", "--flavor=kong-operator"], CLUSTER);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        err,
        "kong-metrics-exporter: 2 objects read, 1 of other kinds skipped: ConfigMap 1\n"
    );
    let snapshot = file::parse(json.as_bytes()).unwrap();
    let separate = "httproute.web.shop.0 -> web/echo:80*1 < HTTPRoute web/shop:0";
    let combined = format!("{NAME} -> web/echo:80*1 < HTTPRoute web/shop:0");
    assert_eq!(cluster::lines(&snapshot), [separate, &combined]);
    let (code, yaml, _) = run(&["--objects", "-", "--output=yaml", "--combined=on"], CLUSTER);
    assert_eq!(code, 0);
    assert!(yaml.starts_with("services:\n"), "{yaml}");
    assert_eq!(cluster::lines(&file::parse(yaml.as_bytes()).unwrap()), [combined]);
    let (service, route) = CLUSTER.split_at(CLUSTER.rfind("---").unwrap());
    let files = [("a.yaml", service), ("b.yml", route), ("README.md", "no manifest")];
    let path = folder("resolve-folder", &files);
    let of_folder = run(&["--objects", path.to_str().unwrap()], "");
    let file = |name| path.join(name).to_str().unwrap().to_owned();
    let of_files = run(&["--objects", &file("b.yml"), &file("a.yaml")], "");
    assert_eq!((of_folder.0, of_folder.1.as_str()), (0, json.as_str()));
    assert_eq!((of_files.0, of_files.1.as_str()), (0, json.as_str()));
}

#[test]
fn the_command_names_the_file_document_and_line_of_a_mistake() {
    let path = folder("resolve-mistake", &[("bad.yaml", "kind: Service\n---\n7\n")]);
    let (code, out, err) = run(&["--objects", path.to_str().unwrap()], "");
    assert_eq!((code, out.as_str()), (1, ""));
    let place = format!("{}: document 1, line ", path.join("bad.yaml").display());
    assert!(err.contains(&place), "{err}");
    let (code, _, err) = run(&["--objects", "/nowhere"], "");
    assert_eq!(code, 1);
    assert!(err.starts_with("kong-metrics-exporter: cannot read /nowhere: "), "{err}");
    let (code, _, err) = run(&["--objects", "-"], "7");
    assert_eq!(code, 1);
    assert!(err.contains("standard input: document 1"), "{err}");
}

#[test]
fn wrong_use_of_the_command_ends_with_64() {
    for arguments in [
        &["--output=json"][..],
        &["--objects"],
        &["--objects=-", "--flavor=kong"],
        &["--objects=-", "--combined=yes"],
        &["--objects=-", "--expressions=1"],
        &["--objects=-", "--facade=auto"],
        &["--objects=-", "--defaults=auto"],
        &["--objects=-", "--output=xml"],
    ] {
        let (code, out, err) = run(arguments, "");
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
    }
}

#[test]
fn what_kong_leaves_out_is_told() {
    let manifests = [
        cluster::annotated_service("web/blue", "{konghq.com/plugins: a}"),
        cluster::service("web/green"),
        cluster::httproute("web/a", &["{backendRefs: [{name: blue}, {name: green}]}"]),
    ];
    let (code, out, err) = run(&["--objects=-", "--combined=off"], &manifests.join("---\n"));
    assert_eq!((code, file::parse(out.as_bytes()).unwrap().len()), (0, 0));
    assert_eq!(
        err,
        "kong-metrics-exporter: httproute.web.a.0 is left out, as Kong's controller leaves it out: \
         the Services behind HTTPRoute web/a rule 0 do not all have the same konghq.com/plugins\n"
    );
}

/// As `kubectl get -o yaml` prints it: fields in the order of the alphabet, so that what a plugin is
/// comes before it is known to be one.
#[test]
fn what_is_to_be_measured_is_read_in_both_versions_of_the_api() {
    let manifests = read(
        "apiVersion: gateway-operator.konghq.com/v1alpha1\n\
         kind: DataPlaneMetricsExtension\n\
         metadata: {name: kong, namespace: web, uid: u1, resourceVersion: \"7\", generation: 3, \
         finalizers: [f], labels: {a: b}, annotations: {kong-metrics-exporter.io/x: \"1\", y: z}}\n\
         status: {controlPlaneRef: {name: cp}}\n\
         spec: {serviceSelector: {matchNames: [{name: echo}]}, config: {latency: true}}\n\
         ---\n\
         apiVersion: gateway-operator.konghq.com/v2beta1\n\
         kind: GatewayConfiguration\n\
         metadata: {name: new, namespace: web}\n\
         spec: {extensions: [{kind: DataPlaneMetricsExtension, name: kong}]}\n\
         ---\n\
         apiVersion: gateway-operator.konghq.com/v1beta1\n\
         kind: GatewayConfiguration\n\
         metadata: {name: old, namespace: web}\n\
         spec: {controlPlaneOptions: {extensions: [{kind: DataPlaneMetricsExtension, name: kong}]}}\n\
         ---\n\
         apiVersion: configuration.konghq.com/v1\n\
         config: {latency_metrics: true, per_consumer: 7, other: {x: 1}}\n\
         configFrom: null\n\
         kind: KongPlugin\n\
         metadata: {name: p, namespace: web, ownerReferences: [{kind: K, name: n, uid: u}]}\n\
         plugin: prometheus\n\
         protocols: [http]\n\
         ---\n\
         apiVersion: configuration.konghq.com/v1\n\
         config: [no, map]\n\
         configPatches: [{path: /x}]\n\
         kind: KongClusterPlugin\n\
         metadata: {name: p, namespace: web}\n\
         plugin: other\n\
         ---\n\
         apiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\n\
         metadata: {name: r, namespace: web}\n\
         spec: {rules: [{filters: [{type: ExtensionRef, extensionRef: {group: configuration.konghq.com, \
         kind: KongPlugin, name: p}}, {type: RequestMirror, requestMirror: {}}]}]}\n",
    )
    .unwrap();
    let [extension, new, old, plugin, cluster, route] = &manifests.objects[..] else { panic!() };

    let Spec::DataPlaneMetricsExtension(content) = &extension.spec else { panic!() };
    assert_eq!(content.spec.service_selector.match_names[0].name, "echo");
    assert!(content.spec.config.latency && !content.spec.config.bandwidth);
    assert_eq!(content.status.control_plane_ref.as_ref().unwrap().name, "cp");
    let metadata = &extension.metadata;
    assert_eq!((metadata.uid.as_deref(), metadata.generation), (Some("u1"), Some(3)));
    assert_eq!(metadata.resource_version.as_deref(), Some("7"));
    assert_eq!((&metadata.finalizers[..], &metadata.labels["a"][..]), (&["f".to_owned()][..], "b"));
    assert_eq!(metadata.annotations, [("kong-metrics-exporter.io/x".into(), "1".into())]);

    for (configuration, is_new) in [(new, true), (old, false)] {
        let Spec::GatewayConfiguration(spec) = &configuration.spec else { panic!() };
        assert_eq!(spec.extensions.len(), usize::from(is_new));
        assert_eq!(spec.control_plane_options.extensions.len(), usize::from(!is_new));
    }

    let Spec::KongPlugin(content) = &plugin.spec else { panic!() };
    assert_eq!((&content.plugin[..], &content.protocols[..]), ("prometheus", &["http".into()][..]));
    assert_eq!(content.config, [("latency_metrics".to_owned(), true)].into());
    assert!(!content.config_from && !content.config_patches);
    assert_eq!(plugin.metadata.owner_references[0].uid, "u");

    let Spec::KongClusterPlugin(content) = &cluster.spec else { panic!() };
    assert!(content.config.is_empty() && content.config_patches);
    assert_eq!(cluster.metadata.namespace, "");

    let Spec::HTTPRoute(spec) = &route.spec else { panic!() };
    assert_eq!(spec.rules[0].plugins, ["p"]);
}

#[test]
fn one_object_of_a_list_is_read_by_what_the_list_is_of() {
    let json = r#"{"metadata": {"namespace": "web", "name": "echo"}, "spec": {"ports": []}}"#;
    let one = Manifests::one(ObjectKind::Service, "v1", json).unwrap();
    assert_eq!(one.key(), Key::new(ObjectKind::Service, "web", "echo"));
    let route = |json: &str| Manifests::one(ObjectKind::HTTPRoute, "v1", json);
    let json = r#"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"namespace": "web", "name": "echo"}, "spec": {"rules": 5}}"#;
    let error = route(json).unwrap_err().to_string();
    assert!(error.starts_with("invalid type: integer `5`, expected a sequence"), "{error}");
    let error = route(r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {}}"#).unwrap_err();
    assert_eq!(error.to_string(), "not of kind HTTPRoute");
}
