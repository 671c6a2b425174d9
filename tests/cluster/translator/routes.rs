//! Random routes of the Gateway API: no two rules want the same requests, but many have the same
//! backends, and some lead to Services, ports, Gateways or listeners that are not there.

use kong_metrics_exporter::kubernetes::ObjectKind;
use serde_json::{Value, json};

use super::book::{PORTS, SHAPES};
use super::fixtures::GATEWAY;
use super::stream::Stream;

impl Stream {
    pub(super) fn httproute(&mut self, namespace: &str) -> Value {
        let count = self.random.weighted(&[(0, 3), (1, 48), (2, 25), (3, 15), (12, 9)]);
        let rules: Vec<_> = (0..count).map(|_| self.httprule(namespace)).collect();
        let hostnames = self.hostnames();
        self.route("v1", "http", hostnames, rules)
    }

    pub(super) fn httprule(&mut self, namespace: &str) -> Value {
        let mut rule = json!({"backendRefs": self.refs(namespace, true)});
        self.paths += 1;
        let mut found =
            json!({"path": {"type": "PathPrefix", "value": format!("/{}", self.paths)}});
        if self.random.chance(3) {
            found["queryParams"] = json!([{"name": "q", "value": "1"}]);
        }
        if self.random.chance(80) {
            rule["matches"] = json!([found]);
        }
        if self.random.chance(25) {
            let timeout = self.random.pick(&["500ms", "5s", "60s", "0s"]);
            rule["timeouts"] = json!({"backendRequest": timeout});
        }
        if self.random.chance(10) {
            rule["filters"] = json!([header_filter("RequestHeaderModifier")]);
        } else if self.random.chance(2) {
            let mirror = json!({"backendRef": {"name": "echo", "port": 80}});
            rule["filters"] = json!([{"type": "RequestMirror", "requestMirror": mirror}]);
        }
        rule
    }

    pub(super) fn grpcroute(&mut self, namespace: &str) -> Value {
        let mut rules = Vec::new();
        for _ in 0..=self.random.below(3) {
            let mut rule = json!({"backendRefs": self.refs(namespace, true)});
            if self.random.chance(70) {
                self.paths += 1;
                let method = json!({"service": "shop.Cart", "method": format!("M{}", self.paths)});
                rule["matches"] = json!([{"method": method}]);
            }
            rules.push(rule);
        }
        let hostnames = self.hostnames();
        self.route("v1", "http", hostnames, rules)
    }

    pub(super) fn l4route(&mut self, kind: ObjectKind, namespace: &str) -> Value {
        let mut rules = Vec::new();
        for _ in 0..=self.random.below(2) {
            // Without a backend the API takes none.
            let refs = loop {
                let refs = self.refs(namespace, false);
                if refs != json!([]) {
                    break refs;
                }
            };
            rules.push(json!({"backendRefs": refs}));
        }
        let is_tls = kind == ObjectKind::TLSRoute;
        let hostnames =
            if is_tls && self.random.chance(85) { json!(["tls.example.com"]) } else { Value::Null };
        let listener = match kind {
            ObjectKind::TCPRoute => "tcp",
            ObjectKind::UDPRoute => "udp",
            _ => "tls",
        };
        self.route("v1alpha2", listener, hostnames, rules)
    }

    pub(super) fn route(
        &mut self,
        version: &str,
        listener: &'static str,
        hostnames: Value,
        rules: Vec<Value>,
    ) -> Value {
        let system = self.setup.system.clone();
        let of = |name: &str| json!({"namespace": system, "name": name});
        let on = |port: u16| json!({"namespace": system, "name": "kong", "port": port});
        let at =
            |section: &str| json!({"namespace": system, "name": "kong", "sectionName": section});
        let parents = match self.random.below(100) {
            0..62 => json!([of("kong")]),
            62..65 => json!([on(80)]),
            65..67 => json!([on(81)]),
            67..71 => json!([of("spare")]),
            71..75 => json!([of("kong"), of("spare")]),
            75..82 => json!([at(listener)]),
            82..86 => json!([at("named")]),
            86..89 => json!([at("absent")]),
            89..93 => json!([of("kong"), of("foreign")]),
            93..97 => json!([of("foreign")]),
            97..99 => json!([of("absent")]),
            _ => json!([of("kong"), of("absent")]),
        };
        let rules_are_absent = rules.is_empty();
        let mut spec = json!({"parentRefs": parents, "rules": rules});
        if !hostnames.is_null() {
            spec["hostnames"] = hostnames;
        }
        if rules_are_absent {
            spec.as_object_mut().unwrap().remove("rules");
        }
        let mut route = json!({"apiVersion": format!("{GATEWAY}/{version}"), "spec": spec});
        if self.random.chance(10) {
            // What users add comes after the tags of Kong Ingress Controller's own.
            let tags = json!({"konghq.com/tags": "k8s-kind:Service,k8s-name:other"});
            route["metadata"]["annotations"] = tags;
        }
        route
    }

    pub(super) fn hostnames(&mut self) -> Value {
        let mut all = ["b.c", "c", "*.c", "b.named.example", "named.example", "shop.example"];
        self.random.shuffle(&mut all);
        let count = self.random.weighted(&[(0, 50), (1, 30), (2, 20)]);
        if count == 0 { Value::Null } else { json!(all[..count]) }
    }

    /// A list of backends, often one that was there before, perhaps in another order.
    pub(super) fn refs(&mut self, namespace: &str, is_http: bool) -> Value {
        if !self.lists.is_empty() && self.random.chance(45) {
            let at = self.random.below(self.lists.len());
            let mut list = self.lists[at].clone();
            if self.random.chance(30) {
                self.random.shuffle(&mut list);
            }
            if !is_http {
                list.iter_mut().for_each(|one| {
                    one.as_object_mut().unwrap().remove("filters");
                });
            }
            return json!(list);
        }
        let count = self.random.weighted(&[(0, 6), (1, 46), (2, 28), (3, 12), (9, 8)]);
        let mut list: Vec<_> = (0..count).map(|_| self.one_ref(namespace, count > 3)).collect();
        if self.random.chance(10) {
            // The same Service once more, at another port or with another weight.
            let mut again = list.first().cloned().into_iter().collect::<Vec<_>>();
            again.iter_mut().for_each(|one| {
                one["port"] = json!(PORTS[self.random.below(2)]);
                one["weight"] = json!(2);
            });
            list.extend(again);
        }
        if self.lists.len() == LISTS {
            self.lists.remove(0);
        }
        self.lists.push(list.clone());
        if !is_http {
            list.iter_mut().for_each(|one| {
                one.as_object_mut().unwrap().remove("filters");
            });
        }
        json!(list)
    }

    pub(super) fn one_ref(&mut self, namespace: &str, is_long: bool) -> Value {
        let (name, ports): (&str, Vec<u16>) = if self.random.chance(4) {
            ("absent", vec![80])
        } else {
            let from = if is_long { &SHAPES[9..] } else { &SHAPES[..9] };
            let shape = &from[self.random.below(from.len())];
            let ports: Vec<_> = shape.ports.iter().map(|(_, number, _)| *number).collect();
            (shape.name, if ports.is_empty() { PORTS.to_vec() } else { ports })
        };
        let port =
            if self.random.chance(5) { PORTS[4] } else { ports[self.random.below(ports.len())] };
        let mut one = json!({"name": name, "port": port});
        if self.random.chance(50) {
            one["weight"] = json!([0, 1, 3, 10, 90][self.random.below(5)]);
        }
        if self.random.chance(25) {
            one["namespace"] = json!(self.namespace());
        } else if self.random.chance(10) {
            one["namespace"] = json!(namespace);
        }
        match self.random.below(100) {
            0..2 => {
                one["group"] = json!("example.com");
                one["kind"] = json!("Bucket");
            }
            2..10 => one["group"] = json!("core"),
            _ => {}
        }
        if self.random.chance(3) {
            one["filters"] = json!([header_filter("RequestHeaderModifier")]);
        }
        one
    }
}

fn header_filter(kind: &str) -> Value {
    json!({"type": kind, "requestHeaderModifier": {"set": [{"name": "x-test", "value": "1"}]}})
}

/// How many lists of backends are remembered.
const LISTS: usize = 12;
