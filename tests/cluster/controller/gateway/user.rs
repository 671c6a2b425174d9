//! What users do: random choices in, changes to both twins out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::twin::Twin;
use crate::controller::PLUGINS;
use crate::translator::random::Random;

/// What users have made so far.
#[derive(Default)]
pub(super) struct User {
    /// By Service: what the user lists, and whether it is not to be touched.
    pub(super) services: BTreeMap<String, Listed>,
    /// By HTTPRoute or Ingress.
    pub(super) routes: BTreeMap<String, Route>,
    /// By extension: the Services, and whether routes are to be used.
    pub(super) extensions: BTreeMap<String, (BTreeSet<String>, bool)>,
}

#[derive(Default, Clone)]
pub(super) struct Listed {
    pub(super) list: Option<String>,
    pub(super) is_opted_out: bool,
}

pub(super) struct Route {
    /// The Services of each rule.
    pub(super) rules: Vec<BTreeSet<String>>,
    pub(super) list: Option<String>,
}

/// One thing that a user does.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Route {
        name: String,
        rules: Vec<Vec<(String, u32)>>,
    },
    Ingress {
        name: String,
        service: String,
    },
    NoRoute(String),
    Service(String),
    NoService(String),
    Extension {
        name: String,
        services: BTreeSet<String>,
        on_routes: bool,
    },
    NoExtension(String),
    /// The annotation of plugins, in the place of what is there or behind it.
    List {
        name: String,
        list: Option<String>,
        is_appended: bool,
    },
    OptOut {
        service: String,
        is: bool,
    },
}

impl User {
    pub(super) fn deed(&self, random: &mut Random) -> Deed {
        let service = |random: &mut Random| format!("s{}", random.below(SERVICES));
        match random.below(20) {
            0..7 => {
                let rules = (0..1 + random.below(2)).map(|_| {
                    let backends: BTreeSet<_> =
                        (0..1 + random.below(2)).map(|_| service(random)).collect();
                    let weighted = backends.into_iter();
                    weighted.map(|one| (one, 1 + u32::from(random.chance(50)))).collect()
                });
                let rules = rules.collect();
                Deed::Route { name: format!("r{}", random.below(ROUTES)), rules }
            }
            7 => Deed::Ingress { name: format!("i{}", random.below(2)), service: service(random) },
            8 | 9 => {
                let all: Vec<_> = self.routes.keys().map(String::as_str).collect();
                match all.is_empty() {
                    true => Deed::Service("s0".to_owned()),
                    false => Deed::NoRoute(random.pick(&all).to_owned()),
                }
            }
            10 => match random.chance(50) {
                true => Deed::NoService(format!("s{}", SERVICES - 1)),
                false => Deed::Service(format!("s{}", SERVICES - 1)),
            },
            11..15 => Deed::Extension {
                name: format!("e{}", random.below(2)),
                // Never none: a list that an apply empties is taken away, and it is required.
                services: (0..SERVICES)
                    .filter(|at| *at == 0 || random.chance(60))
                    .map(|at| format!("s{at}"))
                    .collect(),
                on_routes: random.chance(25),
            },
            15 => Deed::NoExtension(format!("e{}", random.below(2))),
            16..19 => {
                let mut names: Vec<_> = self.services.keys().map(String::as_str).collect();
                names.extend(self.routes.keys().map(String::as_str));
                let list = [None, Some("rate"), Some("prom"), Some(" rate , prom"), Some("rate")];
                Deed::List {
                    name: random.pick(&names).to_owned(),
                    list: list[random.below(list.len())].map(str::to_owned),
                    is_appended: random.chance(50),
                }
            }
            _ => Deed::OptOut { service: service(random), is: random.chance(50) },
        }
    }

    /// The routes that may be missing for a moment because of this, where these objects carry our
    /// item: those with a rule that the user makes over such a Service and another one, and those that
    /// the user takes away, or a rule of theirs, to make them anew.
    pub(super) fn endangered(&self, deed: &Deed, carrying: &BTreeSet<String>) -> BTreeSet<String> {
        let is_weighted = |rule: &BTreeSet<String>| rule.len() > 1 && !rule.is_disjoint(carrying);
        match deed {
            Deed::Route { name, rules }
                if services_of(rules).iter().any(is_weighted)
                    || self.has_more(name, rules.len()) =>
            {
                BTreeSet::from([name.clone()])
            }
            Deed::NoRoute(name) => BTreeSet::from([name.clone()]),
            Deed::Service(name) | Deed::NoService(name) | Deed::List { name, .. } => {
                let is_it = |rule: &&BTreeSet<String>| rule.contains(name) && is_weighted(rule);
                let routes = self.routes.iter();
                let routes = routes.filter(|(_, route)| route.rules.iter().any(|one| is_it(&one)));
                routes.map(|(name, _)| name.clone()).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    fn has_more(&self, route: &str, rules: usize) -> bool {
        self.routes.get(route).is_some_and(|before| before.rules.len() > rules)
    }

    /// The objects that may have two prometheus plugins for a moment because of this, where these carry
    /// our item: those for which the user lists a second one, and routes with a rule whose Services all
    /// carry ours.
    pub(super) fn colliding(&self, deed: &Deed, carrying: &BTreeSet<String>) -> BTreeSet<String> {
        let is_doubled = |rule: &BTreeSet<String>| rule.len() > 1 && rule.is_subset(carrying);
        match deed {
            Deed::Route { name, rules } if services_of(rules).iter().any(is_doubled) => {
                BTreeSet::from([name.clone()])
            }
            Deed::List { name, list, .. } if has_prometheus(list) && carrying.contains(name) => {
                BTreeSet::from([name.clone()])
            }
            _ => BTreeSet::new(),
        }
    }

    /// What may get our item at any moment: Services that are selected, and routes to them.
    pub(super) fn may_get_ours(&self) -> BTreeSet<String> {
        let selected = self.extensions.values().flat_map(|(services, _)| services);
        let services: BTreeSet<_> = selected.cloned().collect();
        let routes = services.iter().flat_map(|service| self.routes_to(service));
        routes.chain(services.clone()).collect()
    }

    pub(super) fn routes_to(&self, service: &str) -> BTreeSet<String> {
        let leads = |route: &Route| route.rules.iter().any(|rule| rule.contains(service));
        let routes = self.routes.iter().filter(|(_, route)| leads(route));
        routes.map(|(name, _)| name.clone()).collect()
    }

    /// Does it in both; extensions are in the first alone.
    pub(super) async fn does(&mut self, deed: &Deed, measured: &Twin, plain: &Twin) {
        for (twin, has_extensions) in [(measured, true), (plain, false)] {
            match deed {
                Deed::Route { name, rules } => twin.apply(&route(name, rules)).await,
                Deed::Ingress { name, service } => twin.apply(&ingress(name, service)).await,
                Deed::NoRoute(name) => twin.delete(kind_of(name), name).await,
                Deed::Service(name) => twin.apply(&service(name)).await,
                Deed::NoService(name) => twin.delete("Service", name).await,
                Deed::Extension { name, services, on_routes } if has_extensions => {
                    twin.apply(&extension(name, services, *on_routes)).await;
                }
                Deed::NoExtension(name) if has_extensions => {
                    // What is applied while the old one goes would go with it.
                    twin.delete_for_good("DataPlaneMetricsExtension", name).await;
                }
                Deed::Extension { .. } | Deed::NoExtension(_) => {}
                Deed::List { name, list, is_appended } => {
                    let kind = kind_of(name);
                    let before = match (is_appended, list) {
                        (true, Some(_)) => twin.annotation(kind, name, PLUGINS).await,
                        _ => None,
                    };
                    // Only what is not the user's is kept: in both twins the user's is the same.
                    let ours = before.unwrap_or_default();
                    let ours = ours.split(',').find(|one| one.contains("-metrics-prometheus"));
                    let list = list.as_ref().map(|list| match ours {
                        Some(ours) => format!("{list},{ours}"),
                        None => list.clone(),
                    });
                    if self.services.contains_key(name) || self.routes.contains_key(name) {
                        twin.annotate(kind, name, PLUGINS, list.as_deref()).await;
                    }
                }
                Deed::OptOut { service, is } => {
                    if self.services.contains_key(service) {
                        let value = is.then_some("true");
                        twin.annotate("Service", service, OPT_OUT, value).await;
                    }
                }
            }
        }
        self.note(deed);
    }

    fn note(&mut self, deed: &Deed) {
        match deed.clone() {
            Deed::Route { name, rules } => {
                let list = self.routes.remove(&name).and_then(|before| before.list);
                self.routes.insert(name, Route { rules: services_of(&rules), list });
            }
            Deed::Ingress { name, service } => {
                let list = self.routes.remove(&name).and_then(|before| before.list);
                let rules = vec![BTreeSet::from([service])];
                self.routes.insert(name, Route { rules, list });
            }
            Deed::NoRoute(name) => drop(self.routes.remove(&name)),
            Deed::Service(name) => drop(self.services.entry(name).or_default()),
            Deed::NoService(name) => drop(self.services.remove(&name)),
            Deed::Extension { name, services, on_routes } => {
                self.extensions.insert(name, (services, on_routes));
            }
            Deed::NoExtension(name) => drop(self.extensions.remove(&name)),
            Deed::List { name, list, .. } => {
                if let Some(service) = self.services.get_mut(&name) {
                    service.list = list;
                } else if let Some(route) = self.routes.get_mut(&name) {
                    route.list = list;
                }
            }
            Deed::OptOut { service, is } => {
                if let Some(service) = self.services.get_mut(&service) {
                    service.is_opted_out = is;
                }
            }
        }
    }

    /// Whether a Service can be measured without harm, as far as can be told so simply.
    pub(super) fn must_be_measured(&self, name: &str) -> bool {
        let Some(service) = self.services.get(name) else { return false };
        let routes = self.routes_to(name);
        let selecting = self.extensions.values().filter(|(services, _)| services.contains(name));
        let selecting: Vec<_> = selecting.collect();
        let may_lack_a_route =
            routes.is_empty() && selecting.iter().any(|(_, on_routes)| *on_routes);
        !selecting.is_empty()
            && !service.is_opted_out
            && !has_prometheus(&service.list)
            && !routes.iter().any(|route| has_prometheus(&self.routes[route].list))
            && !may_lack_a_route
    }
}

fn services_of(rules: &[Vec<(String, u32)>]) -> Vec<BTreeSet<String>> {
    let services = |rule: &Vec<(String, u32)>| rule.iter().map(|(name, _)| name.clone()).collect();
    rules.iter().map(services).collect()
}

fn has_prometheus(list: &Option<String>) -> bool {
    list.as_deref().is_some_and(|list| list.contains("prom"))
}

/// What is there from the start, and the user's plugins.
pub(super) fn start() -> Vec<Value> {
    let plugin = |name: &str, plugin: &str| {
        json!({
            "apiVersion": "configuration.konghq.com/v1",
            "kind": "KongPlugin",
            "metadata": {"name": name},
            "plugin": plugin,
        })
    };
    vec![plugin("prom", "prometheus"), plugin("rate", "rate-limiting")]
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}]},
    })
}

fn route(name: &str, rules: &[Vec<(String, u32)>]) -> Value {
    let rules: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(at, backends)| {
            let backends: Vec<_> = backends
                .iter()
                .map(|(service, weight)| json!({"name": service, "port": 80, "weight": weight}))
                .collect();
            let path = json!({"path": {"type": "PathPrefix", "value": format!("/{name}/{at}")}});
            json!({"matches": [path], "backendRefs": backends})
        })
        .collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"parentRefs": [], "rules": rules},
    })
}

fn ingress(name: &str, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let path = json!({"path": format!("/{name}"), "pathType": "Prefix", "backend": backend});
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"ingressClassName": "", "rules": [{"http": {"paths": [path]}}]},
    })
}

fn extension(name: &str, services: &BTreeSet<String>, on_routes: bool) -> Value {
    let names: Vec<_> = services.iter().map(|name| json!({"name": name})).collect();
    let attach_to = if on_routes { "routes" } else { "services" };
    json!({
        "apiVersion": "gateway-operator.konghq.com/v1alpha1",
        "kind": "DataPlaneMetricsExtension",
        "metadata": {
            "name": name,
            "labels": {"kong-metrics-exporter.io/managed": "true"},
            "annotations": {"kong-metrics-exporter.io/attach-to": attach_to},
        },
        "spec": {"serviceSelector": {"matchNames": names}, "config": {"latency": true}},
    })
}

pub(super) fn kind_of(name: &str) -> &'static str {
    match name.as_bytes().first() {
        Some(b's') => "Service",
        Some(b'i') => "Ingress",
        _ => "HTTPRoute",
    }
}

pub(super) const SERVICES: usize = 5;
const ROUTES: usize = 5;
const OPT_OUT: &str = "kong-metrics-exporter.io/opt-out";
