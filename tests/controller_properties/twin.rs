//! Two clusters in which users do the same, one with us and one without. In: steps of users, and our
//! writes. Out: what is otherwise than it may be.

use std::collections::{BTreeMap, BTreeSet};

use kong_metrics_exporter::controller::placement::Placed;
use kong_metrics_exporter::controller::{Options, Plan, Write};
use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use kong_metrics_exporter::resolve::Settings;
use serde_json::{Value, json};

use crate::steps::{EXTENSION_FLAGS, Step};
use crate::translator::{Config, translate};
use crate::world::{self, World};

/// The two.
pub(crate) struct Twin {
    pub(crate) with: World,
    without: World,
}

impl Twin {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { with: World::new(settings, &[]), without: World::new(settings, &[]) }
    }

    /// What a user does, as users' tools do it: what others have put there stays.
    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Put(value) => self.put(value),
            Step::Delete(key) => {
                self.with.delete(key);
                self.without.delete(key);
            }
            Step::List(key, list) => self.list(key, list.clone()),
            Step::Around(key, [before, behind]) => {
                let list = self.with.objects.get(key).and_then(list_of);
                self.list(key, Some(format!("{before}{}{behind}", list.unwrap_or_default())));
            }
            Step::OptOut(key, is) => {
                let annotations = json!({OPT_OUT: is.then_some("true")});
                for world in [&mut self.with, &mut self.without] {
                    annotate(world, key, &annotations);
                }
            }
        }
    }

    fn put(&mut self, value: &Value) {
        let key = world::object(value).key();
        if let Some(there) = self.with.objects.get(&key) {
            let is_other = there["plugin"].is_string() && there["plugin"] != value["plugin"];
            let is_going = there["metadata"]["deletionTimestamp"].is_string();
            // Immutable; or ours, or about to go, so that users have to wait or call it otherwise.
            if is_other || is_going || is_ours(there) {
                return;
            }
        }
        for world in [&mut self.with, &mut self.without] {
            let mut merged = world.objects.get(&key).cloned().unwrap_or_else(|| json!({}));
            for annotation in ["service-label-selector", "attach-to"] {
                let name = format!("kong-metrics-exporter.io/{annotation}");
                if let Some(all) = merged.pointer_mut("/metadata/annotations") {
                    json_patch::merge(all, &json!({name: null}));
                }
            }
            // The labels are the user's, too.
            json_patch::merge(&mut merged, &json!({"metadata": {"labels": null}}));
            json_patch::merge(&mut merged, value);
            world.store(merged);
        }
    }

    /// A user writes this list. What is ours in it is not the user's.
    fn list(&mut self, key: &Key, list: Option<String>) {
        let Some(there) = self.with.objects.get(key) else { return };
        let users = users_list(list.clone(), mark_of(there));
        annotate(&mut self.with, key, &json!({LIST: list}));
        annotate(&mut self.without, key, &json!({LIST: users}));
    }

    pub(crate) fn plan(&self) -> Plan {
        self.with.plan(&Options::default())
    }

    /// Carries out a write. Nothing that it leaves may name a plugin of ours that it took away, or
    /// that is not there yet.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), String> {
        let before = self.dangling();
        if self.with.write(write).is_err() {
            return Err("refused".to_owned());
        }
        let dangling: Vec<_> = self.dangling().difference(&before).cloned().collect();
        if dangling.is_empty() { Ok(()) } else { Err(format!("named and not there: {dangling:?}")) }
    }

    /// Whether everything that Kong would serve without us it serves with us.
    pub(crate) fn is_safe(&self) -> Result<(), String> {
        let (with, without) = (translate(&self.with.objects), translate(&self.without.objects));
        let lost: Vec<_> = without.rules.difference(&with.rules).collect();
        if !lost.is_empty() {
            return Err(format!("lost: {lost:?}"));
        }
        if with.is_refused() && !without.is_refused() {
            return Err(format!("refused: {:?}", with.plugins));
        }
        Ok(())
    }

    /// Whether a user lists a plugin of ours: then it has to go before all is safe.
    pub(crate) fn lists_our_plugin(&self) -> bool {
        self.without.objects.values().filter_map(list_of).any(|list| list.contains(OURS))
    }

    /// Whether what is not ours is as it would be without us.
    pub(crate) fn is_foreign_untouched(&self) -> Result<(), String> {
        let (found, expected) = (without_us(&self.with), self.without.content());
        for (key, value) in &found {
            if expected.get(key) != Some(value) {
                return Err(format!("{value} instead of {:?}", expected.get(key)));
            }
        }
        let gone = expected.keys().find(|key| !found.contains_key(key));
        gone.map_or(Ok(()), |key| Err(format!("{key:?} is gone")))
    }

    /// Whether all is measured that can be, as much as is asked for, and nothing less than without us.
    pub(crate) fn is_measured(&self, extensions: &[Placed]) -> Result<(), String> {
        let (with, without) = (translate(&self.with.objects), translate(&self.without.objects));
        for rule in without.rules.iter().filter(|_| !without.is_refused()) {
            // Not where a user has put ours there by hand.
            let is_listed = |key: &Key| self.is_ours_listed_by_user(key);
            if is_listed(&object_of(rule)) || without.services[rule].iter().any(is_listed) {
                continue;
            }
            if !without.measured(rule).is_subset(with.measured(rule)) {
                return Err(format!("{rule} is darkened: {:?}", with.measured(rule)));
            }
        }
        let acting = extensions.iter().filter(|placed| placed.hands_off.is_none());
        let selected: BTreeSet<_> =
            acting.clone().flat_map(|placed| &placed.extension.services).collect();
        for service in selected {
            let selecting: Vec<_> = acting
                .clone()
                .filter(|placed| placed.extension.services.contains(service))
                .collect();
            self.is_service_measured(&with, service, &selecting)?;
        }
        Ok(())
    }

    fn is_service_measured(
        &self,
        config: &Config,
        service: &Key,
        selecting: &[&Placed],
    ) -> Result<(), String> {
        let Some(there) = self.with.objects.get(service) else { return Ok(()) };
        if there["metadata"]["annotations"][OPT_OUT] == "true" {
            return Ok(());
        }
        let asked: BTreeSet<_> = selecting
            .iter()
            .flat_map(|placed| {
                let config = &self.with.objects[&placed.extension.key]["spec"]["config"];
                EXTENSION_FLAGS.iter().filter(move |(own, _)| config[own] == true)
            })
            .map(|(_, flag)| (*flag).to_owned())
            .collect();
        let rules: Vec<_> =
            config.services.iter().filter(|(_, services)| services.contains(service)).collect();
        let is_shared = rules.iter().any(|(_, services)| services.len() > 1);
        // The oldest one decides.
        let on_routes = selecting.first().is_some_and(|placed| placed.extension.on_routes);
        if !is_shared && !on_routes && !self.has_prometheus(service) && !has_ours(there) {
            return Err(format!("{service:?} is not measured, and could be"));
        }
        for (rule, _) in rules {
            let object = &self.with.objects[&object_of(rule)];
            let is_on_route = has_ours(object);
            if (is_shared || on_routes)
                && !is_on_route
                && object["metadata"]["namespace"] == *service.namespace
                && object["metadata"]["annotations"][OPT_OUT] != "true"
                && !self.has_prometheus(&object_of(rule))
            {
                return Err(format!("{rule} is not measured for {service:?}, and could be"));
            }
            // Not where the Service has a plugin of the user's, and the route ours for another one.
            let is_meant = has_ours(there) || is_shared || on_routes;
            let is_ours = is_on_route || has_ours(there) && !self.has_prometheus(&object_of(rule));
            let is_ours = is_ours && is_meant;
            if config.rules.contains(rule) && is_ours && !asked.is_subset(config.measured(rule)) {
                let measured = config.measured(rule);
                return Err(format!("{rule}: of {asked:?} only {measured:?} for {service:?}"));
            }
        }
        Ok(())
    }

    /// Whether a user has listed a prometheus plugin for an object, by its list or a filter.
    fn has_prometheus(&self, key: &Key) -> bool {
        let Some(value) = self.without.objects.get(key) else { return false };
        let rules = value["spec"]["rules"].as_array().into_iter().flatten();
        let filters = rules.flat_map(|rule| rule["filters"].as_array().into_iter().flatten());
        let names = filters.filter_map(|filter| filter["extensionRef"]["name"].as_str());
        let list = list_of(value).unwrap_or_default();
        list.split(',').chain(names).any(|item| {
            let (namespace, name) = item.split_once(':').unwrap_or((&key.namespace, item));
            let (namespace, name) = (namespace.trim(), name.trim());
            let local = Key::new(ObjectKind::KongPlugin, namespace, name);
            let found = [&self.with, &self.without].into_iter().find_map(|world| {
                let global =
                    || world.objects.get(&Key::new(ObjectKind::KongClusterPlugin, "", name));
                world.objects.get(&local).or_else(global)
            });
            // One of ours, to be made or just gone, is as good as there.
            name.ends_with(OURS) || found.is_some_and(|plugin| plugin["plugin"] == "prometheus")
        })
    }

    /// Whether a user has listed a plugin of ours for an object, by its list or a filter.
    fn is_ours_listed_by_user(&self, key: &Key) -> bool {
        let value = self.without.objects.get(key).map(Value::to_string);
        value.is_some_and(|value| value.contains(OURS))
    }

    /// The objects on which we have put a plugin that is not there.
    fn dangling(&self) -> BTreeSet<Key> {
        let is_dangling = |(key, value): &(&Key, &Value)| {
            let Some((name, _)) = mark_of(value) else { return false };
            let plugin = Key::new(ObjectKind::KongPlugin, &key.namespace, &name);
            has_ours(value) && !self.with.objects.contains_key(&plugin)
        };
        self.with.objects.iter().filter(is_dangling).map(|(key, _)| key.clone()).collect()
    }
}

/// The same cluster without us.
pub(crate) fn without_us(world: &World) -> BTreeMap<Key, Value> {
    let mut objects = world.content();
    objects
        .retain(|_, value| !is_ours(value) && !value["metadata"]["deletionTimestamp"].is_string());
    for value in objects.values_mut() {
        let users = users_list(list_of(value), mark_of(value));
        let has_mark = mark_of(value).is_some();
        if let Some(annotations) = value.pointer_mut("/metadata/annotations") {
            json_patch::merge(annotations, &json!({STATUS: null, MARK: null}));
            if has_mark {
                json_patch::merge(annotations, &json!({LIST: users}));
            }
        }
        if let Some(metadata) = value["metadata"].as_object_mut() {
            if let Some(all) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
                all.retain(|own| own != "kong-metrics-exporter.io/controller");
                if all.is_empty() {
                    metadata.remove("finalizers");
                }
            }
            metadata.retain(|_, value| !value.as_object().is_some_and(|map| map.is_empty()));
        }
    }
    objects
}

/// What of a list is the user's: all but our item, and what we found if nothing is left.
fn users_list(list: Option<String>, mark: Option<(String, Option<String>)>) -> Option<String> {
    let Some((name, before)) = mark else { return list };
    let items: Vec<_> = list.as_deref()?.split(',').collect();
    let rest: Vec<_> = items.iter().copied().filter(|item| item.trim() != name).collect();
    match rest.join(",") {
        _ if rest.len() == items.len() => list,
        rest if rest.is_empty() => before,
        rest => Some(rest),
    }
}

fn annotate(world: &mut World, key: &Key, annotations: &Value) {
    let Some(there) = world.objects.get(key) else { return };
    let mut value = there.clone();
    json_patch::merge(&mut value, &json!({"metadata": {"annotations": annotations}}));
    world.store(value);
}

fn is_ours(value: &Value) -> bool {
    value["metadata"]["labels"]["kong-metrics-exporter.io/managed-by"] == "controller"
}

fn list_of(value: &Value) -> Option<String> {
    value["metadata"]["annotations"][LIST].as_str().map(str::to_owned)
}

/// Our note: the name of the plugin, and what stood there before.
fn mark_of(value: &Value) -> Option<(String, Option<String>)> {
    let mark = value["metadata"]["annotations"][MARK].as_str()?;
    let (name, before) = mark
        .split_once(" before=")
        .map_or((mark, None), |(name, before)| (name, Some(serde_json::from_str(before).unwrap())));
    Some((name.to_owned(), before))
}

fn has_ours(value: &Value) -> bool {
    let (list, mark) = (list_of(value).unwrap_or_default(), mark_of(value));
    mark.is_some_and(|(name, _)| list.split(',').any(|item| item.trim() == name))
}

/// Of `HTTPRoute web/r 0`.
fn object_of(rule: &str) -> Key {
    let mut words = rule.split(' ');
    let kind = words.next().unwrap();
    let kind = ObjectKind::ALL.into_iter().find(|own| own.as_str() == kind).unwrap();
    let (namespace, name) = words.next().unwrap().split_once('/').unwrap();
    Key::new(kind, namespace, name)
}

const LIST: &str = "konghq.com/plugins";
const MARK: &str = "kong-metrics-exporter.io/plugin";
const STATUS: &str = "kong-metrics-exporter.io/status";
const OPT_OUT: &str = "kong-metrics-exporter.io/opt-out";

/// How the names of our plugins end.
const OURS: &str = "-metrics-prometheus";
