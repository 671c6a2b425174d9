//! The Services of a run and where their endpoints are: names in, manifests out, and addresses back
//! to names. The one decision: every Service has addresses and every port a number that no other
//! has, so a target in Kong's configuration says by itself whose it is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A Service and a number of one of its ports.
pub(crate) type ServicePort = (String, String, u16);

/// What Services of some name look like, in every namespace.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Name, number and protocol.
    pub(crate) ports: &'static [(&'static str, u16, &'static str)],
    kind: Kind,
    /// How many endpoints it has.
    pub(crate) endpoints: usize,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Plain,
    Headless,
    ExternalName,
    /// Kong is to send to the Service's own address.
    Upstream,
}

/// The Services of two namespaces.
#[derive(Debug)]
pub(crate) struct Book {
    namespaces: [String; 2],
}

impl Book {
    pub(crate) fn new(namespaces: [String; 2]) -> Self {
        Self { namespaces }
    }

    /// The Service of this name, with these annotations.
    pub(crate) fn service(&self, namespace: &str, shape: &Shape, annotations: &Value) -> Value {
        let mut annotations = annotations.clone();
        let numbered = shape.ports.iter().zip(TARGET_PORT..);
        let port = |((name, port, protocol), target): (&(&str, u16, &str), u16)| json!({"name": name, "port": port, "protocol": protocol, "targetPort": target});
        let mut spec = json!({"ports": numbered.map(port).collect::<Vec<_>>()});
        match shape.kind {
            Kind::Plain => {}
            Kind::Headless => spec["clusterIP"] = json!("None"),
            Kind::ExternalName => {
                spec = json!({"type": "ExternalName", "externalName": host(namespace, shape)});
            }
            Kind::Upstream => annotations["ingress.kubernetes.io/service-upstream"] = json!("true"),
        }
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": shape.name, "namespace": namespace, "annotations": annotations},
            "spec": spec,
        })
    }

    /// The EndpointSlices of all Services, whether there are such Services or not.
    pub(crate) fn slices(&self) -> Vec<Value> {
        let mut slices = Vec::new();
        for namespace in &self.namespaces {
            for shape in SHAPES.iter().filter(|shape| shape.has_addresses()) {
                let numbered = shape.ports.iter().zip(TARGET_PORT..);
                let port = |((name, _, protocol), target): (&(&str, u16, &str), u16)| json!({"name": name, "port": target, "protocol": protocol});
                let addresses = self.addresses(namespace, shape).into_iter();
                let endpoint =
                    |address| json!({"addresses": [address], "conditions": {"ready": true}});
                slices.push(json!({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": shape.name,
                        "namespace": namespace,
                        "labels": {"kubernetes.io/service-name": shape.name},
                    },
                    "addressType": "IPv4",
                    "ports": numbered.map(port).collect::<Vec<_>>(),
                    "endpoints": addresses.map(endpoint).collect::<Vec<_>>(),
                }));
            }
        }
        slices
    }

    /// Every target that Kong may be given, and the Service and port that it shows.
    pub(crate) fn targets(&self) -> BTreeMap<String, ServicePort> {
        let mut targets = BTreeMap::new();
        for namespace in &self.namespaces {
            for shape in &SHAPES {
                for number in shape.numbers() {
                    let port = (namespace.clone(), shape.name.to_owned(), number);
                    for target in self.targets_of(namespace, shape, number) {
                        targets.insert(target, port.clone());
                    }
                }
            }
        }
        targets
    }

    /// The targets behind a port; none where the Service has no such port or no endpoint.
    pub(crate) fn targets_of(&self, namespace: &str, shape: &Shape, number: u16) -> Vec<String> {
        match shape.kind {
            Kind::ExternalName => vec![format!("{}:{number}", host(namespace, shape))],
            _ => {
                let numbered = shape.ports.iter().zip(TARGET_PORT..);
                let mut target = numbered.filter(|((_, own, _), _)| *own == number);
                let Some((_, target)) = target.next() else { return Vec::new() };
                if shape.kind == Kind::Upstream {
                    return vec![format!("{}.{namespace}.svc:{number}", shape.name)];
                }
                let addresses = self.addresses(namespace, shape).into_iter();
                addresses.map(|address| format!("{address}:{target}")).collect()
            }
        }
    }

    fn addresses(&self, namespace: &str, shape: &Shape) -> Vec<String> {
        let place = self.namespaces.iter().position(|own| own == namespace).unwrap();
        let at = SHAPES.iter().position(|own| own.name == shape.name).unwrap();
        let net = format!("10.{}.{at}", 100 + place);
        (1..=shape.endpoints).map(|host| format!("{net}.{host}")).collect()
    }
}

impl Shape {
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// Whether Kong is told no addresses but a name.
    pub(crate) fn has_addresses(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Headless)
    }

    /// The numbers of ports that lead somewhere: of an ExternalName Service any, of which some are
    /// ever used.
    fn numbers(&self) -> impl Iterator<Item = u16> + use<'_> {
        let any: &[u16] = if self.kind == Kind::ExternalName { &PORTS } else { &[] };
        self.ports.iter().map(|(_, number, _)| *number).chain(any.iter().copied())
    }

    /// The number of the port of this name.
    pub(crate) fn number(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(own, ..)| *own == name).map(|(_, number, _)| *number)
    }
}

fn host(namespace: &str, shape: &Shape) -> String {
    format!("{}.{namespace}.example", shape.name)
}

/// The port numbers that objects are made with; of the last there is no port anywhere.
pub(crate) const PORTS: [u16; 5] = [80, 8080, 53, 9000, 9999];

/// The first port of an endpoint.
const TARGET_PORT: u16 = 20_000;

const fn plain(name: &'static str, endpoints: usize) -> Shape {
    Shape { name, ports: &[("http", 80, "TCP")], kind: Kind::Plain, endpoints }
}

/// Names of 63 bytes, seven of which are too long for a Kong service's.
pub(crate) static SHAPES: [Shape; 17] = [
    Shape {
        name: "echo",
        ports: &[("http", 80, "TCP"), ("alt", 8080, "TCP")],
        kind: Kind::Plain,
        endpoints: 1,
    },
    plain("blue", 2),
    plain("green", 1),
    Shape { name: "grpc", ports: &[("grpc", 9000, "TCP")], kind: Kind::Plain, endpoints: 1 },
    Shape {
        name: "dns",
        ports: &[("dns", 53, "UDP"), ("http", 80, "TCP")],
        kind: Kind::Plain,
        endpoints: 1,
    },
    plain("idle", 0),
    Shape { name: "headless", ports: &[("http", 80, "TCP")], kind: Kind::Headless, endpoints: 3 },
    Shape { name: "outside", ports: &[], kind: Kind::ExternalName, endpoints: 1 },
    Shape { name: "whole", ports: &[("http", 80, "TCP")], kind: Kind::Upstream, endpoints: 1 },
    plain("long-1-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-2-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-3-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-4-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-5-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-6-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-7-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
    plain("long-8-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1),
];
