//! What a pod of Kong's is given: the sidecar's container, its token, its volumes, Kong's dictionary.
//!
//! In: [`Settings`]. Out: trees. The one decision: what an API server would fill in is written out.
//! Kong Operator compares what it wants with what the server stores, and goes on writing for ever
//! where the two differ.

use super::tree::{Node, list, map};
use super::{Form, Settings, Tls};
use crate::mapping::shards::DEFAULT_NAME;
use crate::source::Source;

/// The container's name, and the start of the names of its volumes.
pub(crate) const NAME: &str = "metrics-exporter";

/// Kong's container, as Kong Operator and Kong's chart call it.
pub(crate) const PROXY: &str = "proxy";

/// The label of pods with a sidecar, for PodMonitors and NetworkPolicies.
pub(crate) const LABEL: &str = "kong-metrics-exporter.io/sidecar";

/// The name of its port. Not `metrics`: that is Kong's own, and a monitor would take both.
pub(crate) const PORT: &str = "enriched";

/// The ServiceAccount that the roles in deploy/rbac are bound to.
pub(crate) const ACCOUNT: &str = "kong-metrics-exporter";

/// The variable that makes Kong's dictionary of metrics.
pub(crate) const DICTIONARY: &str = "KONG_NGINX_HTTP_LUA_SHARED_DICT";

/// The sidecar's container.
pub(crate) fn container(settings: &Settings) -> Node {
    let arguments = settings.arguments.iter().map(|argument| argument.as_str().into());
    let web = settings.tls.iter().map(|_| format!("--web.config.file={WEB_FOLDER}/{WEB_FILE}"));
    let arguments = ["sidecar".into(), format!("--mapping={}", settings.mapping).into()]
        .into_iter()
        .chain(web.map(Node::from))
        .chain(arguments);
    let mut container = map([("name", NAME.into()), ("image", settings.image.as_str().into())])
        .with("imagePullPolicy", "IfNotPresent");
    if settings.form == Form::Native {
        container = container.with("restartPolicy", "Always");
    }
    container = container.with("args", Node::List(arguments.collect()));
    let port = i64::from(settings.port);
    let ports =
        map([("name", PORT.into()), ("containerPort", port.into()), ("protocol", "TCP".into())]);
    container = container
        .with("ports", list([ports]))
        // Alive means that it answers; neither Kong nor the API server has a say in it. There is no
        // readiness probe: it would take the gateway out of service for want of metrics.
        .with("livenessProbe", liveness(port, settings.tls.as_ref()))
        .with("resources", resources(settings))
        .with("securityContext", security())
        .with("terminationMessagePath", "/dev/termination-log")
        .with("terminationMessagePolicy", "File");
    let mounts = mounts(settings);
    if mounts.is_empty() { container } else { container.with("volumeMounts", Node::List(mounts)) }
}

/// Volumes for it, as many as the mapping and TLS need.
pub(crate) fn volumes(settings: &Settings) -> Vec<Node> {
    mapping_volume(settings).into_iter().chain(settings.tls.as_ref().map(web)).collect()
}

/// What the pods are annotated with.
pub(crate) fn annotations(settings: &Settings) -> Option<Node> {
    let Tls { clients, .. } = settings.tls.as_ref()?;
    let clients = match clients {
        true => ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt",
        false => "",
    };
    let config = format!("tls_server_config: {{cert_file: tls.crt, key_file: tls.key{clients}}}");
    Some(map([(WEB_CONFIG, config.into())]))
}

fn mapping_volume(settings: &Settings) -> Option<Node> {
    let content = match &settings.mapping {
        Source::None => return None,
        Source::Watch | Source::Published(_) => return Some(token()),
        Source::File(_) => {
            let content = map([("name", MAPPING.into()), ("defaultMode", READABLE.into())]);
            ("configMap", content)
        }
        Source::Dir(_) => {
            // Those that are not there yet come when they are.
            let shard = |number| {
                let name = format!("{DEFAULT_NAME}-{number}");
                map([("configMap", map([("name", name.into()), ("optional", true.into())]))])
            };
            let sources = Node::List((0..settings.shards).map(shard).collect());
            ("projected", map([("defaultMode", READABLE.into()), ("sources", sources)]))
        }
    };
    Some(map([("name", MAPPING_VOLUME.into()), content]))
}

/// The certificate, and beside it the file that names it, out of an annotation of the pod: so there
/// is no further object.
fn web(tls: &Tls) -> Node {
    let item = |file: &str| map([("key", file.into()), ("path", file.into())]);
    let authority = tls.clients.then_some("ca.crt");
    let files = ["tls.crt", "tls.key"].into_iter().chain(authority).map(item);
    let files = Node::List(files.collect());
    let secret = map([("name", tls.secret.as_str().into()), ("items", files)]);
    let field = format!("metadata.annotations['{WEB_CONFIG}']");
    let field = map([("apiVersion", "v1".into()), ("fieldPath", field.into())]);
    let file = list([map([("path", WEB_FILE.into()), ("fieldRef", field)])]);
    let sources = list([map([("secret", secret)]), map([("downwardAPI", map([("items", file)]))])]);
    map([
        ("name", WEB.into()),
        ("projected", map([("defaultMode", READABLE.into()), ("sources", sources)])),
    ])
}

/// Whether the sidecar talks to the API server.
pub(crate) fn is_of_the_cluster(mapping: &Source) -> bool {
    match mapping {
        Source::None | Source::File(_) | Source::Dir(_) => false,
        Source::Watch | Source::Published(_) => true,
    }
}

/// Kong's environment: `None` where its dictionary is left alone.
pub(crate) fn dictionary(settings: &Settings) -> Option<String> {
    let megabytes = megabytes(settings.kong_series)?;
    Some(format!("prometheus_metrics {megabytes}m"))
}

/// Room for so many series and half as many again, as a power of two; never less than Kong's own 5.
fn megabytes(series: u32) -> Option<u64> {
    let bytes = u64::from(series) * BYTES_PER_SERIES * 3 / 2;
    (series > 0).then(|| bytes.div_ceil(1 << 20).next_power_of_two().max(8))
}

/// kubelet looks at no server's certificate and has none of its own.
fn liveness(port: i64, tls: Option<&Tls>) -> Node {
    let get = |scheme: &str| {
        map([("path", "/livez".into()), ("port", port.into()), ("scheme", scheme.into())])
    };
    let probe = match tls {
        None => ("httpGet", get("HTTP")),
        Some(Tls { clients: false, .. }) => ("httpGet", get("HTTPS")),
        Some(Tls { clients: true, .. }) => ("tcpSocket", map([("port", port.into())])),
    };
    map([
        probe,
        ("periodSeconds", 20.into()),
        ("timeoutSeconds", 3.into()),
        ("successThreshold", 1.into()),
        ("failureThreshold", 3.into()),
    ])
}

/// No limit of CPU: a scrape that is held back is a scrape that is late.
fn resources(settings: &Settings) -> Node {
    let (request, limit) = match settings.mapping {
        // The index of all routes.
        Source::Watch => ("32Mi", "128Mi"),
        Source::None | Source::File(_) | Source::Dir(_) | Source::Published(_) => ("16Mi", "64Mi"),
    };
    map([
        ("requests", map([("cpu", "10m".into()), ("memory", request.into())])),
        ("limits", map([("memory", limit.into())])),
    ])
}

/// As the Pod Security Standard "restricted" wants it.
fn security() -> Node {
    map([
        ("runAsNonRoot", true.into()),
        ("runAsUser", USER.into()),
        ("runAsGroup", USER.into()),
        ("allowPrivilegeEscalation", false.into()),
        ("readOnlyRootFilesystem", true.into()),
        ("capabilities", map([("drop", list(["ALL".into()]))])),
        ("seccompProfile", map([("type", "RuntimeDefault".into())])),
    ])
}

fn mounts(settings: &Settings) -> Vec<Node> {
    let mapping = &settings.mapping;
    let mount = |volume: &str, path: &str| {
        let place = [("name", volume.into()), ("mountPath", path.into())];
        map(place).with("readOnly", true)
    };
    let mut mounts = Vec::new();
    if is_of_the_cluster(mapping) {
        mounts.push(mount(TOKEN, "/var/run/secrets/kubernetes.io/serviceaccount"));
    }
    if let Some(folder) = folder(mapping) {
        mounts.push(mount(MAPPING_VOLUME, &folder));
    }
    if settings.tls.is_some() {
        mounts.push(mount(WEB, WEB_FOLDER));
    }
    mounts
}

/// Where the mapping is looked for.
fn folder(mapping: &Source) -> Option<String> {
    match mapping {
        Source::None | Source::Watch | Source::Published(_) => None,
        Source::File(path) => Some(path.parent()?.display().to_string()),
        Source::Dir(path) => Some(path.display().to_string()),
    }
}

/// A token for this container alone; a ServiceAccount's own would be mounted into Kong's, too.
fn token() -> Node {
    let token = map([("path", "token".into()), ("expirationSeconds", 3607.into())]);
    let certificates = list([map([("key", "ca.crt".into()), ("path", "ca.crt".into())])]);
    let certificates = map([("name", "kube-root-ca.crt".into()), ("items", certificates)]);
    let field = map([("apiVersion", "v1".into()), ("fieldPath", "metadata.namespace".into())]);
    let namespace = list([map([("path", "namespace".into()), ("fieldRef", field)])]);
    let sources = list([
        map([("serviceAccountToken", token)]),
        map([("configMap", certificates)]),
        map([("downwardAPI", map([("items", namespace)]))]),
    ]);
    map([
        ("name", TOKEN.into()),
        ("projected", map([("defaultMode", READABLE.into()), ("sources", sources)])),
    ])
}

/// `nobody` of images without a user database.
const USER: i64 = 65532;

/// 0644.
const READABLE: i64 = 420;

const TOKEN: &str = "metrics-exporter-token";

const WEB: &str = "metrics-exporter-web";

const WEB_FOLDER: &str = "/etc/kong-metrics-exporter/web";

const WEB_FILE: &str = "web.yaml";

/// The annotation of the pods that becomes [`WEB_FILE`].
const WEB_CONFIG: &str = "kong-metrics-exporter.io/web-config";

const MAPPING_VOLUME: &str = "metrics-exporter-mapping";

/// The ConfigMap with a mapping file.
const MAPPING: &str = "kong-metrics-exporter-mapping";

/// Of Kong's dictionary, measured: 327 with 800,000 series.
const BYTES_PER_SERIES: u64 = 330;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_has_room_for_half_as_many_again() {
        let sizes = [0, 1, 16_000, 100_000, 800_000].map(megabytes);
        assert_eq!(sizes, [None, Some(8), Some(8), Some(64), Some(512)]);
    }
}
