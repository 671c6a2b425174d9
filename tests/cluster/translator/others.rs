//! Random objects that are no routes of the Gateway API: Ingresses, Kong's own kinds, grants, and
//! the annotations of Services. Classes are Kong's, another one's, or not given.

use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::{Value, json};

use super::book::{PORTS, SHAPES};
use super::fixtures::GATEWAY;
use super::stream::Stream;

impl Stream {
    pub(super) fn ingress(&mut self) -> Value {
        let mut spec = json!({});
        let mut rules = Vec::new();
        for _ in 0..self.random.below(3) {
            let mut paths = Vec::new();
            for _ in 0..=self.random.below(3) {
                self.paths += 1;
                let path = format!("/{}", self.paths);
                let backend = self.ingress_backend();
                paths.push(json!({"path": path, "pathType": "Prefix", "backend": backend}));
            }
            let mut rule = json!({"http": {"paths": paths}});
            if self.random.chance(50) {
                rule["host"] = json!(self.random.pick(&["shop.example", "*.shop.example"]));
                if self.random.chance(5) {
                    rule.as_object_mut().unwrap().remove("http");
                }
            }
            rules.push(rule);
        }
        if rules.is_empty() || self.random.chance(25) {
            spec["defaultBackend"] = self.ingress_backend();
        }
        if !rules.is_empty() {
            spec["rules"] = json!(rules);
        }
        let mut object = json!({"apiVersion": "networking.k8s.io/v1", "spec": spec});
        match self.random.below(100) {
            0..75 => object["spec"]["ingressClassName"] = json!(self.setup.class),
            75..82 => object["spec"]["ingressClassName"] = json!("foreign"),
            82..90 => annotate_class(&mut object, &self.setup.class),
            90..94 => annotate_class(&mut object, "foreign"),
            _ => {}
        }
        object
    }

    pub(super) fn ingress_backend(&mut self) -> Value {
        if self.random.chance(15) {
            let name = self.random.pick(&["f", "f.one", "absent"]);
            return json!({"resource": {
                "apiGroup": "incubator.ingress-controller.konghq.com",
                "kind": "KongServiceFacade",
                "name": name,
            }});
        }
        let shape = &SHAPES[self.random.below(9)];
        let name = if self.random.chance(5) { "absent" } else { shape.name };
        let port = match shape.ports.get(self.random.below(2)) {
            Some((name, ..)) if self.random.chance(40) => json!({"name": name}),
            Some((_, number, _)) => json!({"number": number}),
            None => json!({"number": PORTS[self.random.below(PORTS.len())]}),
        };
        json!({"service": {"name": name, "port": port}})
    }

    pub(super) fn l4ingress(&mut self, kind: ObjectKind) -> Value {
        let mut rules = Vec::new();
        for _ in 0..=self.random.below(2) {
            let shape = &SHAPES[self.random.below(9)];
            let name = if self.random.chance(5) { "absent" } else { shape.name };
            let port = shape.ports.first().map_or(8080, |(_, number, _)| *number);
            let backend = json!({"serviceName": name, "servicePort": port});
            let listens = 9000 + self.random.below(50);
            rules.push(json!({"port": listens, "backend": backend}));
            if kind == ObjectKind::TCPIngress && self.random.chance(30) {
                rules[0]["host"] = json!("tcp.example.com");
            }
        }
        let mut object = json!({
            "apiVersion": "configuration.konghq.com/v1beta1",
            "spec": {"rules": rules},
        });
        self.classify(&mut object);
        object
    }

    pub(super) fn facade(&mut self) -> Value {
        let shape = &SHAPES[self.random.below(9)];
        let name = if self.random.chance(10) { "absent" } else { shape.name };
        let port = shape.ports.first().map_or(8080, |(_, number, _)| *number);
        let mut object = json!({
            "apiVersion": "incubator.ingress-controller.konghq.com/v1alpha1",
            "spec": {"backendRef": {"name": name, "port": port}},
        });
        self.classify(&mut object);
        object
    }

    pub(super) fn grant(&mut self, namespace: &str) -> Value {
        let [a, b] = &self.setup.namespaces;
        let from = if namespace == a { b.clone() } else { a.clone() };
        let kinds = ["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"];
        let mut froms = Vec::new();
        for kind in kinds {
            if self.random.chance(60) {
                froms.push(json!({"group": GATEWAY, "kind": kind, "namespace": from}));
            }
        }
        if froms.is_empty() {
            froms.push(json!({"group": GATEWAY, "kind": "Gateway", "namespace": from}));
        }
        let group = if self.random.chance(20) { "core" } else { "" };
        let mut to = json!({"group": group, "kind": "Service"});
        if self.random.chance(40) {
            to["name"] = json!(SHAPES[self.random.below(4)].name);
        }
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1beta1",
            "spec": {"from": froms, "to": [to]},
        })
    }

    pub(super) fn annotations(&mut self) -> Value {
        match self.random.below(100) {
            0..72 => json!({}),
            72..78 => json!({"konghq.com/connect-timeout": "5000"}),
            78..84 => json!({"konghq.com/read-timeout": "7000"}),
            84..88 => json!({"konghq.com/read-timeout": "8000"}),
            88..92 => json!({"konghq.com/tags": "k8s-name:other,mine"}),
            92..95 => json!({"konghq.community/note": "x"}),
            _ => json!({"gateway-operator.konghq.com/note": "x", "example.com/note": "y"}),
        }
    }

    pub(super) fn classify(&mut self, object: &mut Value) {
        match self.random.below(10) {
            0..8 => annotate_class(object, &self.setup.class),
            8 => annotate_class(object, "foreign"),
            _ => {}
        }
    }
}

fn annotate_class(object: &mut Value, class: &str) {
    object["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!(class);
}
