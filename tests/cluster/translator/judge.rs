//! Kong's configuration against our mapping: what Kong Ingress Controller pushed, a mapping of the
//! objects that it was made of, and whose addresses are whose in; what does not agree out. The one
//! decision: the configuration is believed before the objects are. Targets and tags say what a Kong
//! service stands for, and the objects only excuse a name that Kong does not have.

use std::collections::{BTreeMap, BTreeSet};

use kong_metrics_exporter::kubernetes::{Key, ObjectKind};
use kong_metrics_exporter::mapping::{
    BackendRef, Kind, Label, OwnerRef, PortRef, Snapshot, Target, Tier, resolve,
};
use kong_metrics_exporter::resolve::Dropped;
use serde_json::Value;

use super::book::{Book, ServicePort, Shape};
use super::excuses::excuse;
use crate::admin::entries;

/// The objects of a run as the API server has them, by what they are called.
pub(crate) type Objects = BTreeMap<Key, Value>;

/// All that a configuration is held against.
pub(crate) struct Judge<'a> {
    pub(crate) book: &'a Book,
    pub(crate) objects: &'a Objects,
    pub(crate) snapshot: &'a Snapshot,
    /// Whether the mapping leaves out what a name says by itself.
    pub(crate) is_published: bool,
    /// The names that are left out because annotations disagree.
    pub(crate) dropped: Vec<Dropped>,
}

/// How many of what was seen, so that a run can tell what it has shown.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen(pub(crate) BTreeMap<String, usize>);

/// An upstream of the configuration.
struct Upstream<'a> {
    /// Weight by target.
    targets: BTreeMap<&'a str, Option<u64>>,
}

impl Judge<'_> {
    /// All that does not agree, a sentence each.
    pub(crate) fn differences(&self, config: &Value, seen: &mut Seen) -> Vec<String> {
        let mut differences = Vec::new();
        let upstreams: BTreeMap<_, _> =
            entries(&config["upstreams"]).iter().map(upstream).collect();
        let mut pushed = BTreeSet::new();
        let mut hosts = BTreeSet::new();
        for service in entries(&config["services"]) {
            let name = text(&service["name"]);
            pushed.insert(name.to_owned());
            hosts.insert(text(&service["host"]).to_owned());
            let result = match upstreams.get(text(&service["host"])) {
                Some(upstream) => self.compare(service, upstream, seen),
                None => Err("has no upstream".to_owned()),
            };
            differences.extend(result.err().map(|why| format!("{name}: {why}")));
        }
        // An upstream of a Kong service that was left out stays.
        let left_out: BTreeSet<_> =
            upstreams.keys().copied().filter(|name| !hosts.contains(*name)).collect();
        for name in &left_out {
            match self.dropped.iter().any(|one| one.name == *name) {
                true => seen.count("left out for annotations", 1),
                false => differences.push(format!("{name}: left out, but not foretold so")),
            }
        }
        for one in self.dropped.iter().filter(|one| !left_out.contains(one.name.as_str())) {
            let owners = one.owners.iter().filter_map(|owner| self.described(owner));
            if excuse(self.objects, owners).is_none() {
                differences.push(format!("{one:?}: foretold, but not left out"));
            }
        }
        for (name, entry) in self.snapshot.iter().filter(|(name, _)| !pushed.contains(*name)) {
            match excuse(self.objects, entry.owners.iter().filter_map(|owner| self.object(owner))) {
                Some(excuse) => seen.count(&format!("not pushed: {excuse}"), 1),
                None => {
                    let owners: Vec<_> = entry.owners.iter().map(describe).collect();
                    differences.push(format!("{name}: foretold of {owners:?} but not pushed"));
                }
            }
        }
        differences
    }

    fn compare(
        &self,
        service: &Value,
        upstream: &Upstream<'_>,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let (name, host) = (text(&service["name"]), text(&service["host"]));
        let resolution = resolve(self.snapshot, Label::Service, name);
        let entry = self.snapshot.find(Label::Service, name);
        let owners = match (resolution.tier, entry) {
            (Some(Tier::Exact), Some((entry, _))) => Some(entry.owners),
            (Some(Tier::Decoded), None) if self.is_published => None,
            (_, entry) => return Err(format!("has {entry:?}, {resolution:?}")),
        };
        let (backends, is_single) = match &resolution.target {
            Target::Service { backends, .. } => (backends, true),
            Target::Route { backends, complete: true, .. } => (backends, false),
            other => return Err(format!("resolves to {other:?}")),
        };
        let shown = self.shown(upstream)?;
        let expected = self.expected(backends);
        let is_ambiguous = owners.as_ref().is_some_and(|owners| is_shared_by_grpcroutes(owners));
        let targets: BTreeSet<_> = shown.keys().cloned().collect();
        let agree = if is_ambiguous { targets.is_subset(&expected) } else { targets == expected };
        if !agree {
            return Err(format!(
                "has the targets {targets:?}, expected {expected:?}, {backends:?}"
            ));
        }
        if !is_ambiguous {
            self.compare_weights(backends, &shown)?;
        }
        let tags = tags_of(service);
        match owners {
            Some(owners) => self.compare_tags(&tags, &resolution.target, &owners)?,
            // Of a Service, who made it is not told.
            None if is_single => seen.count(DECODED, 1),
            None => return Err(format!("is not in the mapping, {resolution:?}")),
        }
        let by_host = resolve(self.snapshot, Label::Upstream, host);
        if services_of(&by_host.target) != services_of(&resolution.target) {
            return Err(format!("host {host} resolves to {by_host:?}"));
        }
        seen.count(COMPARED, 1);
        let form = text(&service["name"]).split('.').next().unwrap_or_default();
        let form = if form.ends_with("route") { form } else { text(&service["protocol"]) };
        let sort = match (is_single, is_ambiguous, backends.len()) {
            (_, true, _) => "claimed twice",
            (true, ..) if name.ends_with(".svc.facade") => "facade",
            (true, _, 2..) => "one Service twice",
            (true, ..) => "one Service",
            (_, _, 0) => "no Service",
            _ => "several Services",
        };
        seen.count(&format!("{form}: {sort}"), 1);
        if name.contains("_combined.") {
            seen.count("longer than 511 bytes", 1);
        }
        Ok(())
    }

    /// Whose targets these are, with their weights.
    fn shown(
        &self,
        upstream: &Upstream<'_>,
    ) -> Result<BTreeMap<ServicePort, Vec<Option<u64>>>, String> {
        let book = self.book.targets();
        let mut shown: BTreeMap<ServicePort, Vec<_>> = BTreeMap::new();
        for (target, weight) in &upstream.targets {
            let Some(port) = book.get(*target) else {
                return Err(format!("strange target {target}"));
            };
            shown.entry(port.clone()).or_default().push(*weight);
        }
        Ok(shown)
    }

    /// The Services and ports that the targets of these backends show.
    fn expected(&self, backends: &[BackendRef<'_>]) -> BTreeSet<ServicePort> {
        let port = |backend: &BackendRef<'_>| {
            let shape = self.shape(backend)?;
            let number = number(shape, backend.port)?;
            let targets = self.book.targets_of(backend.namespace, shape, number);
            let port = (backend.namespace.to_owned(), backend.service.to_owned(), number);
            (!targets.is_empty()).then_some(port)
        };
        backends.iter().filter_map(port).collect()
    }

    /// Kong's controllers divide a weight among the endpoints and round, so only the weight of a
    /// Service with one endpoint is the one that the route gives.
    fn compare_weights(
        &self,
        backends: &[BackendRef<'_>],
        shown: &BTreeMap<ServicePort, Vec<Option<u64>>>,
    ) -> Result<(), String> {
        for backend in backends {
            let Some(shape) = self.shape(backend) else { continue };
            let Some(number) = number(shape, backend.port) else { continue };
            let port = (backend.namespace.to_owned(), backend.service.to_owned(), number);
            let Some(weights) = shown.get(&port).filter(|_| shape.endpoints == 1) else { continue };
            let expected = backend.weight.map(u64::from);
            if *weights != [expected] {
                return Err(format!("{port:?} has the weight {weights:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }

    fn compare_tags(
        &self,
        tags: &BTreeMap<String, String>,
        target: &Target<'_>,
        owners: &[OwnerRef<'_>],
    ) -> Result<(), String> {
        let tag = |key: &str| tags.get(key).map_or("", String::as_str);
        let (kind, namespace, name) = (tag("k8s-kind"), tag("k8s-namespace"), tag("k8s-name"));
        let is_right = match (kind, target) {
            ("Service", _) if name == "UNKNOWN" => services_of(target).is_empty(),
            ("Service", Target::Service { namespace: own, service, .. }) => {
                (*own, *service) == (namespace, name)
            }
            // A name that two GRPCRoutes want.
            ("Service", target) if is_shared_by_grpcroutes(owners) => {
                services_of(target).contains(&(namespace, name))
            }
            ("Service", _) => false,
            // GRPCRoutes of the traditional router.
            ("", _) => owners.iter().all(|owner| owner.kind == Kind::GRPCRoute),
            _ => owners.iter().any(|owner| {
                (owner.kind.as_str(), owner.namespace, owner.name) == (kind, namespace, Some(name))
            }),
        };
        is_right
            .then_some(())
            .ok_or_else(|| format!("has the tags {tags:?}, resolves to {target:?}"))
    }

    fn object(&self, owner: &OwnerRef<'_>) -> Option<&Value> {
        let kind = ObjectKind::ALL.into_iter().find(|kind| kind.as_str() == owner.kind.as_str())?;
        self.objects.get(&Key::new(kind, owner.namespace, owner.name?))
    }

    /// The object of `HTTPRoute namespace/name rule 0`.
    fn described(&self, owner: &str) -> Option<&Value> {
        let mut words = owner.split(' ');
        let (kind, (namespace, name)) = (words.next()?, words.next()?.split_once('/')?);
        let kind = ObjectKind::ALL.into_iter().find(|own| own.as_str() == kind)?;
        self.objects.get(&Key::new(kind, namespace, name))
    }

    /// What the Service looks like, if it is there.
    fn shape(&self, backend: &BackendRef<'_>) -> Option<&'static Shape> {
        let key = Key::new(ObjectKind::Service, backend.namespace, backend.service);
        self.objects.contains_key(&key).then(|| Shape::of(backend.service))?
    }
}

impl Seen {
    /// Adds what was seen through something.
    pub(crate) fn add(&mut self, through: &str, seen: &Self) {
        for what in [COMPARED, DECODED] {
            let times = seen.0.get(what).copied().unwrap_or_default();
            self.count(&format!("{through}: {what}"), times);
        }
    }

    pub(crate) fn count(&mut self, what: &str, times: usize) {
        *self.0.entry(what.to_owned()).or_default() += times;
    }
}

fn upstream(upstream: &Value) -> (&str, Upstream<'_>) {
    let targets = entries(&upstream["targets"]).iter();
    let targets = targets.map(|one| (text(&one["target"]), one["weight"].as_u64()));
    (text(&upstream["name"]), Upstream { targets: targets.collect() })
}

/// The first tag of each key: users may add tags of their own, which come later.
fn tags_of(service: &Value) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for tag in entries(&service["tags"]) {
        if let Some((key, value)) = text(tag).split_once(':') {
            tags.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    tags
}

fn number(shape: &Shape, port: Option<PortRef<'_>>) -> Option<u16> {
    match port? {
        PortRef::Number(number) => Some(number),
        PortRef::Name(name) => shape.number(name),
    }
}

fn services_of<'a>(target: &Target<'a>) -> BTreeSet<(&'a str, &'a str)> {
    match target {
        Target::Service { backends, .. } | Target::Route { backends, .. } => {
            backends.iter().map(|backend| (backend.namespace, backend.service)).collect()
        }
        Target::Unknown(_) => BTreeSet::new(),
    }
}

/// Whether the name is one that several GRPCRoutes make: Kong's controllers then have the backends
/// of one of them, and the mapping those of all.
fn is_shared_by_grpcroutes(owners: &[OwnerRef<'_>]) -> bool {
    let names: BTreeSet<_> = owners.iter().map(|owner| owner.name).collect();
    names.len() > 1 && owners.iter().all(|owner| owner.kind == Kind::GRPCRoute)
}

fn describe(owner: &OwnerRef<'_>) -> String {
    let OwnerRef { kind, namespace, name, rule } = owner;
    format!("{} {namespace}/{}:{rule:?}", kind.as_str(), name.unwrap_or_default())
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What [`Seen`] calls the Kong services that agreed.
pub(crate) const COMPARED: &str = "Kong services compared";

/// And those of them whose name was enough.
pub(crate) const DECODED: &str = "said by the name";
