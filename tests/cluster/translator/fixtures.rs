//! What is there from the start of a run and, but for classes and a Gateway that come and go, stays.

use serde_json::{Value, json};

use crate::admin::Kong;

/// Where the objects of a run are, and what class they are of.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Of the objects that change.
    pub(crate) namespaces: [String; 2],
    /// Of what does not change: the Gateways and Kong's own Service.
    pub(crate) system: String,
    /// The ingress class of Kong.
    pub(crate) class: String,
}

/// What is there from the start and stays: the classes, Kong's own Service, a Gateway of Kong and
/// one of another vendor.
pub(crate) fn setup_objects(setup: &Setup) -> Vec<Value> {
    let Setup { system, .. } = setup;
    let foreign = format!("{system}-foreign");
    let class = |name: &str, controller: &str| {
        let unmanaged = json!({"konghq.com/gatewayclass-unmanaged": "true"});
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": name, "annotations": unmanaged},
            "spec": {"controllerName": controller},
        })
    };
    let gateway = |name: &str, class: &str, listeners: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": name, "namespace": system},
            "spec": {"gatewayClassName": class, "listeners": listeners},
        })
    };
    let listener = |name: &str, port: u16, protocol: &str| {
        let all = json!({"namespaces": {"from": "All"}});
        json!({"name": name, "port": port, "protocol": protocol, "allowedRoutes": all})
    };
    let mut named = listener("named", 80, "HTTP");
    named["hostname"] = json!("named.example");
    let [tcp, udp, tls] = STREAM;
    let mut passthrough = listener("tls", tls, "TLS");
    passthrough["tls"] = json!({"mode": "Passthrough"});
    let listeners = json!([
        listener("http", 80, "HTTP"),
        named,
        listener("tcp", tcp, "TCP"),
        listener("udp", udp, "UDP"),
        passthrough,
    ]);
    // A listener of a Gateway is there if a port of this Service leads to a listener of Kong.
    let port = |name: &str, port: u16, target: u16, protocol: &str| json!({"name": name, "port": port, "targetPort": target, "protocol": protocol});
    let proxy = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kong-proxy", "namespace": system},
        "spec": {"ports": [
            port("http", 80, 8000, "TCP"),
            port("https", 443, 8443, "TCP"),
            port("tcp", tcp, tcp, "TCP"),
            port("udp", udp, udp, "UDP"),
            port("tls", tls, tls, "TCP"),
        ]},
    });
    vec![
        proxy,
        ingress_class(setup, false),
        class(system, CONTROLLER),
        class(&foreign, "example.com/controller"),
        gateway("kong", system, listeners),
        gateway("foreign", &foreign, json!([listener("http", 80, "HTTP")])),
    ]
}

/// The class of Kong, as the cluster's default one or not.
pub(crate) fn ingress_class(setup: &Setup, is_default: bool) -> Value {
    let is_default = is_default.to_string();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {
            "name": setup.class,
            "annotations": {"ingressclass.kubernetes.io/is-default-class": is_default},
        },
        "spec": {"controller": "ingress-controllers.konghq.com/kong"},
    })
}

/// A Gateway that comes and goes.
pub(crate) fn spare_gateway(setup: &Setup) -> Value {
    let all = json!({"namespaces": {"from": "All"}});
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": all});
    json!({
        "apiVersion": format!("{GATEWAY}/v1"),
        "kind": "Gateway",
        "metadata": {"name": "spare", "namespace": setup.system},
        "spec": {"gatewayClassName": setup.system, "listeners": [listener]},
    })
}

/// Changes with each step, so that a configuration tells which step it has seen.
pub(crate) fn marker_object(setup: &Setup, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let path = json!({"path": "/marker", "pathType": "Prefix", "backend": backend});
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "marker", "namespace": setup.system},
        "spec": {
            "ingressClassName": setup.class,
            "rules": [{"http": {"paths": [path]}}],
        },
    })
}

/// The Kong that [`setup_objects`] fit.
pub(crate) fn kong(has_expressions: bool) -> Kong {
    let router = if has_expressions { "expressions" } else { "traditional_compatible" };
    Kong { router, proxy: [8000, 8443], stream: STREAM }
}

/// TCP, UDP and TLS.
const STREAM: [u16; 3] = [9100, 9200, 9443];

/// What Kong Ingress Controller calls itself in GatewayClasses.
pub(crate) const CONTROLLER: &str = "konghq.com/kic-gateway-controller";

pub(super) const GATEWAY: &str = "gateway.networking.k8s.io";

/// The kinds that Kong Ingress Controller wants beside the usual ones.
pub(crate) const KINDS: [&str; 8] = [
    "ingressclassparameterses.configuration.konghq.com",
    "kongconsumergroups.configuration.konghq.com",
    "kongconsumers.configuration.konghq.com",
    "kongcustomentities.configuration.konghq.com",
    "kongingresses.configuration.konghq.com",
    "konglicenses.configuration.konghq.com",
    "kongupstreampolicies.configuration.konghq.com",
    "kongvaults.configuration.konghq.com",
];
