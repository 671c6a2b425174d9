//! Kong's controllers' rules about plugins, as a model: whole objects in, out what becomes of every
//! Kong service and whether Kong takes the configuration. Written from the rules alone
//! (ingressrules.go, kongstate.go, declarative_config.lua), apart from the code under test, and held
//! to what the real translator did.
#![allow(dead_code)] // not every test uses all of it
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

use std::collections::{BTreeMap, BTreeSet};

use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use serde_json::Value;

/// What Kong is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// The rules that have a Kong service, as `HTTPRoute web/r 0`.
    pub(crate) rules: BTreeSet<String>,
    /// Those that are left out, because their Services' annotations differ.
    pub(crate) dropped: BTreeSet<String>,
    /// Plugins by what they are on: a rule, or `route ` and a rule.
    pub(crate) plugins: BTreeMap<String, Vec<String>>,
    /// By the same: what the prometheus plugin there measures.
    pub(crate) flags: BTreeMap<String, BTreeSet<String>>,
    /// What the global one does. Of several, none is one.
    pub(crate) global: BTreeSet<String>,
    /// The Services that each rule names, there or not.
    pub(crate) services: BTreeMap<String, BTreeSet<Key>>,
}

impl Config {
    /// Whether Kong refuses all of it: something has two plugins of one type.
    pub(crate) fn is_refused(&self) -> bool {
        self.plugins
            .values()
            .any(|types| types.iter().enumerate().any(|(at, one)| types[..at].contains(one)))
    }

    /// What is measured of the requests that go by a rule. The plugin of the route counts, else that
    /// of the Service, else the global one.
    pub(crate) fn measured(&self, rule: &str) -> &BTreeSet<String> {
        let of_route = self.flags.get(&format!("route {rule}"));
        of_route.or_else(|| self.flags.get(rule)).unwrap_or(&self.global)
    }

    fn put(&mut self, on: String, plugins: &[&Value]) {
        for plugin in plugins.iter().filter(|plugin| plugin["plugin"] == "prometheus") {
            self.flags.entry(on.clone()).or_default().extend(flags(plugin));
        }
        let kind = |plugin: &&Value| plugin["plugin"].as_str().unwrap_or_default().to_owned();
        if !plugins.is_empty() {
            self.plugins.insert(on, plugins.iter().map(kind).collect());
        }
    }
}

/// What a prometheus plugin measures.
pub(crate) fn flags(plugin: &Value) -> BTreeSet<String> {
    let config = plugin["config"].as_object().into_iter().flatten();
    config.filter(|(_, value)| **value == true).map(|(name, _)| name.clone()).collect()
}

/// Of routes and Ingresses and their Services.
pub(crate) fn translate(objects: &BTreeMap<Key, Value>) -> Config {
    let mut config = Config::default();
    let is_global = |(key, plugin): &(&Key, &Value)| {
        key.kind == ObjectKind::KongClusterPlugin
            && plugin["plugin"] == "prometheus"
            && plugin["metadata"]["labels"]["global"] == "true"
    };
    let mut globals = objects.iter().filter(is_global);
    if let (Some((_, plugin)), None) = (globals.next(), globals.next()) {
        config.global = flags(plugin);
    }
    for (key, value) in objects {
        for (number, backends) in rules(key, value).into_iter().enumerate() {
            let services: Vec<_> =
                backends.iter().filter_map(|backend| objects.get_key_value(backend)).collect();
            let rule = format!("{} {}/{} {number}", key.kind.as_str(), key.namespace, key.name);
            config.services.insert(rule.clone(), backends.iter().cloned().collect());
            let kong = |value: &Value| -> BTreeMap<String, Value> {
                let all = value["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
                all.into_iter().filter(|(key, _)| key.starts_with("konghq.com")).collect()
            };
            let differ = services.windows(2).any(|pair| kong(pair[0].1) != kong(pair[1].1));
            if differ {
                config.dropped.insert(rule);
                continue;
            }
            let of_services: Vec<_> = services
                .iter()
                .copied()
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .flat_map(|(key, value)| plugins(objects, key, value))
                .collect();
            config.put(rule.clone(), &of_services);
            let mut on_route = plugins(objects, key, value);
            on_route.extend(by_filters(objects, key, value, number));
            config.put(format!("route {rule}"), &on_route);
            config.rules.insert(rule);
        }
    }
    config
}

/// The Services behind each rule.
fn rules(key: &Key, value: &Value) -> Vec<Vec<Key>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match key.kind {
        ObjectKind::HTTPRoute
        | ObjectKind::GRPCRoute
        | ObjectKind::TCPRoute
        | ObjectKind::TLSRoute
        | ObjectKind::UDPRoute => {
            let backend = |one: &Value| {
                let namespace = one["namespace"].as_str().unwrap_or(&key.namespace);
                Key::new(ObjectKind::Service, namespace, one["name"].as_str().unwrap())
            };
            let rules = list(&value["spec"]["rules"]);
            rules
                .iter()
                .map(|rule| list(&rule["backendRefs"]).iter().map(backend).collect())
                .collect()
        }
        ObjectKind::Ingress => {
            let rules = list(&value["spec"]["rules"]);
            let paths = rules.iter().flat_map(|rule| list(&rule["http"]["paths"]));
            let service = |path: Value| {
                let name = path["backend"]["service"]["name"].as_str().unwrap().to_owned();
                vec![Key::new(ObjectKind::Service, &key.namespace, &name)]
            };
            paths.map(service).collect()
        }
        _ => Vec::new(),
    }
}

/// The plugins that an object's annotation lists.
fn plugins<'o>(objects: &'o BTreeMap<Key, Value>, key: &Key, value: &Value) -> Vec<&'o Value> {
    let list = value["metadata"]["annotations"]["konghq.com/plugins"].as_str().unwrap_or_default();
    list.split(',').filter_map(|item| found(objects, &key.namespace, item.trim())).collect()
}

fn by_filters<'o>(
    objects: &'o BTreeMap<Key, Value>,
    key: &Key,
    value: &Value,
    rule: usize,
) -> Vec<&'o Value> {
    let filters = value["spec"]["rules"][rule]["filters"].as_array().cloned().unwrap_or_default();
    let names = filters.iter().filter_map(|filter| filter["extensionRef"]["name"].as_str());
    names.filter_map(|name| found(objects, &key.namespace, name)).collect()
}

fn found<'o>(objects: &'o BTreeMap<Key, Value>, namespace: &str, item: &str) -> Option<&'o Value> {
    let (namespace, name) = item.split_once(':').unwrap_or((namespace, item));
    let (namespace, name) = (namespace.trim(), name.trim());
    let local = objects.get(&Key::new(ObjectKind::KongPlugin, namespace, name));
    let global = || objects.get(&Key::new(ObjectKind::KongClusterPlugin, "", name));
    local.or_else(global)
}
