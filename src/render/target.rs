//! What the sidecar is written into.
//!
//! In: a [`Target`] and [`Settings`]. Out: a tree. The one decision: beside the sidecar there is
//! only what its own parts need, so that a merge into somebody's file changes nothing else.

use super::pod::{self, ACCOUNT, DICTIONARY, LABEL, PROXY};
use super::tree::{Node, list, map};
use super::{Form, Settings, Target};

/// The whole of it.
pub(crate) fn tree(target: Target, settings: &Settings) -> Node {
    match target {
        Target::GatewayConfigurationV2beta1 => gateway_configuration("v2beta1", settings),
        Target::GatewayConfigurationV1beta1 => gateway_configuration("v1beta1", settings),
        Target::DataPlane => {
            let spec = map([("deployment", deployment_options(settings, true))]);
            object("gateway-operator.konghq.com/v1beta1", "DataPlane", settings, spec)
        }
        Target::Deployment => deployment(settings),
        Target::HelmKong => values(settings),
    }
}

/// What to look for in somebody's file: `apiVersion` and `kind`; `None` for values.
pub(crate) fn kind(target: Target) -> Option<(&'static str, &'static str)> {
    match target {
        Target::GatewayConfigurationV2beta1 => {
            Some(("gateway-operator.konghq.com/v2beta1", "GatewayConfiguration"))
        }
        Target::GatewayConfigurationV1beta1 => {
            Some(("gateway-operator.konghq.com/v1beta1", "GatewayConfiguration"))
        }
        Target::DataPlane => Some(("gateway-operator.konghq.com/v1beta1", "DataPlane")),
        Target::Deployment => Some(("apps/v1", "Deployment")),
        Target::HelmKong => None,
    }
}

/// What to put into it.
pub(crate) fn addition(target: Target, settings: &Settings) -> Node {
    let spec = match target {
        Target::HelmKong => return values(settings),
        Target::Deployment => {
            let proxy = map([("name", settings.container.as_str().into())]);
            let spec = pod_spec(settings, with_dictionary(proxy, settings));
            let template = map([("metadata", metadata(settings, labels())), ("spec", spec)]);
            map([("template", template)])
        }
        _ => match tree(target, settings).get("spec") {
            Some(spec) => spec.clone(),
            None => map([]),
        },
    };
    map([("spec", spec)])
}

fn gateway_configuration(version: &str, settings: &Settings) -> Node {
    let options = map([("deployment", deployment_options(settings, false))]);
    let api_version = format!("gateway-operator.konghq.com/{version}");
    let spec = map([("dataPlaneOptions", options)]);
    object(&api_version, "GatewayConfiguration", settings, spec)
}

fn object(api_version: &str, kind: &str, settings: &Settings, spec: Node) -> Node {
    let metadata = map([
        ("name", settings.name.as_str().into()),
        ("namespace", settings.namespace.as_str().into()),
    ]);
    let head = map([("apiVersion", api_version.into()), ("kind", kind.into())]);
    head.with("metadata", metadata).with("spec", spec)
}

/// Kong Operator merges this template into its own, containers by name.
fn deployment_options(settings: &Settings, with_image: bool) -> Node {
    let mut proxy = map([("name", PROXY.into())]);
    if with_image {
        proxy = proxy.with("image", settings.kong_image.as_str());
    }
    let template = map([("metadata", metadata(settings, labels()))]);
    map([(
        "podTemplateSpec",
        template.with("spec", pod_spec(settings, with_dictionary(proxy, settings))),
    )])
}

/// Of the pods.
fn metadata(settings: &Settings, labels: Node) -> Node {
    let metadata = map([("labels", labels)]);
    match pod::annotations(settings) {
        Some(annotations) => metadata.with("annotations", annotations),
        None => metadata,
    }
}

fn labels() -> Node {
    map([(LABEL, "true".into())])
}

/// Kong's container comes first: it is the one that `kubectl logs` shows, and that rules of the
/// DataPlane look at.
fn pod_spec(settings: &Settings, proxy: Node) -> Node {
    let mut spec = map([]);
    if pod::is_of_the_cluster(&settings.mapping) {
        spec = spec.with("serviceAccountName", ACCOUNT).with("automountServiceAccountToken", false);
    }
    let containers = match settings.form {
        Form::Native => {
            spec = spec.with("initContainers", list([pod::container(settings)]));
            list([proxy])
        }
        Form::Container => list([proxy, pod::container(settings)]),
    };
    spec = spec.with("containers", containers);
    let volumes = pod::volumes(settings);
    if volumes.is_empty() { spec } else { spec.with("volumes", Node::List(volumes)) }
}

fn with_dictionary(proxy: Node, settings: &Settings) -> Node {
    match pod::dictionary(settings) {
        Some(size) => {
            let variable = map([("name", DICTIONARY.into()), ("value", size.into())]);
            proxy.with("env", list([variable]))
        }
        None => proxy,
    }
}

/// A Deployment that starts as it is: Kong without a database, and without routes until somebody
/// gives it some.
fn deployment(settings: &Settings) -> Node {
    let selector = map([("app", settings.name.as_str().into())]);
    let Node::Map(mut all_labels) = selector.clone() else { return selector };
    if let Node::Map(own) = labels() {
        all_labels.extend(own);
    }
    let variable = |name: &str, value: &str| map([("name", name.into()), ("value", value.into())]);
    let mut environment =
        vec![variable("KONG_DATABASE", "off"), variable("KONG_STATUS_LISTEN", "0.0.0.0:8100")];
    if let Some(size) = pod::dictionary(settings) {
        environment.push(variable(DICTIONARY, &size));
    }
    let port = |name: &str, port: i64| {
        let numbered = [("name", name.into()), ("containerPort", port.into())];
        map(numbered).with("protocol", "TCP")
    };
    let ready =
        map([("path", "/status/ready".into()), ("port", 8100.into()), ("scheme", "HTTP".into())]);
    let ready = map([
        ("httpGet", ready),
        ("periodSeconds", 10.into()),
        ("timeoutSeconds", 1.into()),
        ("successThreshold", 1.into()),
        ("failureThreshold", 3.into()),
    ]);
    let quit = list(["/bin/sh".into(), "-c".into(), "kong quit".into()]);
    let quit = map([("preStop", map([("exec", map([("command", quit)]))]))]);
    let proxy = map([
        ("name", PROXY.into()),
        ("image", settings.kong_image.as_str().into()),
        ("imagePullPolicy", "IfNotPresent".into()),
        ("env", Node::List(environment)),
        ("ports", list([port("proxy", 8000), port("proxy-ssl", 8443), port("metrics", 8100)])),
        ("readinessProbe", ready),
        ("lifecycle", quit),
        ("resources", map([])),
        ("terminationMessagePath", "/dev/termination-log".into()),
        ("terminationMessagePolicy", "File".into()),
    ]);
    let mut spec = pod_spec(settings, proxy);
    if pod::is_of_the_cluster(&settings.mapping) {
        // The deprecated name of serviceAccountName, which the API server keeps in step.
        spec = spec.with("serviceAccount", ACCOUNT);
    }
    let spec = spec
        .with("restartPolicy", "Always")
        .with("terminationGracePeriodSeconds", 30)
        .with("dnsPolicy", "ClusterFirst")
        .with("schedulerName", "default-scheduler")
        .with("securityContext", map([]));
    let metadata = metadata(settings, Node::Map(all_labels));
    let template = map([("metadata", metadata), ("spec", spec)]);
    let rolling = map([("maxUnavailable", 0.into()), ("maxSurge", 1.into())]);
    let spec = map([
        ("replicas", 1.into()),
        ("selector", map([("matchLabels", selector)])),
        ("strategy", map([("type", "RollingUpdate".into()), ("rollingUpdate", rolling)])),
        ("revisionHistoryLimit", 10.into()),
        ("progressDeadlineSeconds", 600.into()),
        ("template", template),
    ]);
    object("apps/v1", "Deployment", settings, spec)
}

/// The chart has names of its own for the parts of a pod.
fn values(settings: &Settings) -> Node {
    let mut deployment = map([]);
    if pod::is_of_the_cluster(&settings.mapping) {
        let account = map([("create", false.into()), ("name", ACCOUNT.into())]);
        let account = account.with("automountServiceAccountToken", false);
        deployment = deployment.with("serviceAccount", account);
    }
    let containers = match settings.form {
        Form::Native => "initContainers",
        Form::Container => "sidecarContainers",
    };
    deployment = deployment.with(containers, list([pod::container(settings)]));
    let volumes = pod::volumes(settings);
    if !volumes.is_empty() {
        deployment = deployment.with("userDefinedVolumes", Node::List(volumes));
    }
    let mut values = map([("deployment", deployment), ("podLabels", labels())]);
    if let Some(annotations) = pod::annotations(settings) {
        values = values.with("podAnnotations", annotations);
    }
    match pod::dictionary(settings) {
        // The chart makes KONG_… of it.
        Some(size) => {
            let variable = DICTIONARY.trim_start_matches("KONG_").to_lowercase();
            values.with("env", map([(variable.as_str(), size.into())]))
        }
        None => values,
    }
}
