//! What the controller knows of the cluster.
//!
//! In: objects as they appear, change and vanish. Out: one consistent view of them, for a plan. The
//! one decision: kept is what a plan reads and nothing else, so 10,000 Services cost a few megabytes,
//! and who shares a Kong service is asked of the same index that makes the mapping.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::annotation::{self, Mark, Plugins};
use crate::controller::keys;
use crate::kubernetes::extension::{Extension, ExtensionRef, Plugin};
use crate::kubernetes::keys::{EXTENSION_GROUP, OPERATORS_PLUGINS};
use crate::kubernetes::{Key, Metadata, Object, ObjectKind, Spec};
use crate::resolve::{Index, Settings};

/// The objects that are known.
#[derive(Debug)]
pub struct View {
    index: Index,
    extensions: BTreeMap<Key, (Metadata, Extension)>,
    /// By ControlPlane or GatewayConfiguration: the extensions that it names.
    attachments: BTreeMap<Key, BTreeSet<Key>>,
    plugins: BTreeMap<Key, (Metadata, Plugin)>,
    targets: BTreeMap<Key, Target>,
    /// Those of the targets on which something is ours.
    marked: BTreeSet<Key>,
}

/// An object whose annotation names plugins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// What a write is checked against.
    pub version: Version,
    /// The annotation and our note.
    pub plugins: Plugins,
    /// The plugins that filters of its rules name.
    pub by_filters: Vec<String>,
    /// The labels; of Services only.
    pub labels: BTreeMap<String, String>,
    /// What Kong Operator notes of the plugins that it put there.
    pub operators: Option<String>,
    /// Whether it is not to be touched.
    pub is_opted_out: bool,
    /// Whether it is about to go.
    pub is_deleted: bool,
}

/// Which object this is and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// What tells it from others of its name.
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    pub resource: Option<String>,
}

impl View {
    /// A view of no objects. `settings` say how Kong's controller is set up; the routes of all
    /// Gateways count, because a Service that is alone on one may share a Kong service on another.
    pub fn new(settings: Settings) -> Self {
        let settings = Settings { gateways: BTreeSet::new(), ..settings };
        Self {
            index: Index::new(settings),
            extensions: BTreeMap::new(),
            attachments: BTreeMap::new(),
            plugins: BTreeMap::new(),
            targets: BTreeMap::new(),
            marked: BTreeSet::new(),
        }
    }

    /// Takes up an object that is new or has changed. Whether a plan may be another one now: not
    /// where all that has changed is what no plan reads, but the version.
    pub fn apply(&mut self, object: Object) -> bool {
        let key = object.key();
        let metadata = &object.metadata;
        let mut is_news = false;
        match &object.spec {
            Spec::DataPlaneMetricsExtension(extension) => {
                let before = self.extensions.insert(key, (metadata.clone(), extension.clone()));
                return before.is_none_or(|(before, own)| {
                    own != *extension || of_interest(&before) != of_interest(metadata)
                });
            }
            Spec::KongPlugin(plugin) | Spec::KongClusterPlugin(plugin) => {
                let before = self.plugins.insert(key, (metadata.clone(), plugin.clone()));
                // Its generation counts changes of what is not read, too.
                let of_interest =
                    |metadata: &Metadata| Metadata { generation: None, ..of_interest(metadata) };
                return before.is_none_or(|(before, own)| {
                    own != *plugin || of_interest(&before) != of_interest(metadata)
                });
            }
            Spec::GatewayConfiguration(spec) => {
                let options = &spec.control_plane_options.extensions;
                let named = named(&key, spec.extensions.iter().chain(options));
                return self.attachments.insert(key, named.clone()) != Some(named);
            }
            Spec::ControlPlane(spec) => {
                let named = named(&key, &spec.extensions);
                is_news |= self.attachments.insert(key.clone(), named.clone()) != Some(named);
            }
            _ => {}
        }
        if is_target(key.kind) {
            let target = Target::of(&object);
            if target.plugins.mark.is_some() {
                self.marked.insert(key.clone());
            } else {
                self.marked.remove(&key);
            }
            is_news |= self.targets.get(&key).is_none_or(|before| !before.is_like(&target));
            self.targets.insert(key, target);
        }
        let revision = self.index.revision();
        self.index.apply(object);
        is_news || self.index.revision() != revision
    }

    /// Forgets an object. Whether it was known.
    pub fn delete(&mut self, key: &Key) -> bool {
        self.marked.remove(key);
        let revision = self.index.revision();
        self.index.delete(key);
        let was_known = self.index.revision() != revision;
        self.extensions.remove(key).is_some()
            | self.attachments.remove(key).is_some()
            | self.plugins.remove(key).is_some()
            | self.targets.remove(key).is_some()
            | was_known
    }

    /// Forgets what is not there any more of a kind, in one namespace or all of them. Whether there
    /// was any.
    pub fn retain(
        &mut self,
        kind: ObjectKind,
        namespace: Option<&str>,
        is_there: impl Fn(&Key) -> bool,
    ) -> bool {
        let own = self.extensions.keys().chain(self.attachments.keys()).chain(self.plugins.keys());
        let own = own.chain(self.targets.keys()).filter(|key| key.kind == kind);
        let is_gone = |key: &Key| {
            namespace.is_none_or(|namespace| *key.namespace == *namespace) && !is_there(key)
        };
        let gone: BTreeSet<_> =
            own.cloned().chain(self.index.keys(kind)).filter(|key| is_gone(key)).collect();
        for key in &gone {
            self.delete(key);
        }
        !gone.is_empty()
    }

    /// How many objects of each kind are known.
    pub fn count(&self) -> BTreeMap<ObjectKind, usize> {
        let mut count = self.index.count();
        let own = self.extensions.keys().chain(self.plugins.keys());
        // ControlPlanes are in the index, too.
        let configurations = self.attachments.keys();
        let configurations =
            configurations.filter(|key| key.kind == ObjectKind::GatewayConfiguration);
        for key in own.chain(configurations) {
            *count.entry(key.kind).or_default() += 1;
        }
        count
    }

    /// Who shares a Kong service with whom.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The extensions there are.
    pub fn extensions(&self) -> impl Iterator<Item = (&Key, &Metadata, &Extension)> {
        self.extensions.iter().map(|(key, (metadata, extension))| (key, metadata, extension))
    }

    /// An extension.
    pub fn extension(&self, key: &Key) -> Option<(&Metadata, &Extension)> {
        self.extensions.get(key).map(|(metadata, extension)| (metadata, extension))
    }

    /// The ControlPlanes and GatewayConfigurations that name an extension.
    pub fn attached_to<'v>(&'v self, extension: &'v Key) -> impl Iterator<Item = &'v Key> {
        let attachments = self.attachments.iter();
        attachments.filter(|(_, named)| named.contains(extension)).map(|(key, _)| key)
    }

    /// The KongPlugins and KongClusterPlugins there are.
    pub fn plugins(&self) -> impl Iterator<Item = (&Key, &Metadata, &Plugin)> {
        self.plugins.iter().map(|(key, (metadata, plugin))| (key, metadata, plugin))
    }

    /// A KongPlugin or KongClusterPlugin.
    pub fn plugin(&self, key: &Key) -> Option<(&Metadata, &Plugin)> {
        self.plugins.get(key).map(|(metadata, plugin)| (metadata, plugin))
    }

    /// The plugin that an item of a list on an object of this namespace means.
    pub fn plugin_of(
        &self,
        namespace: &str,
        item: annotation::Item<'_>,
    ) -> Option<(&Key, &Plugin)> {
        let namespace = item.namespace.unwrap_or(namespace);
        let local = Key::new(ObjectKind::KongPlugin, namespace, item.name);
        let global = || self.plugins.get_key_value(&cluster_plugin(item.name));
        let found = self.plugins.get_key_value(&local).or_else(global);
        found.map(|(key, (_, plugin))| (key, plugin))
    }

    /// An object that names plugins.
    pub fn target(&self, key: &Key) -> Option<&Target> {
        self.targets.get(key)
    }

    /// The objects that name plugins.
    pub fn targets(&self) -> impl Iterator<Item = (&Key, &Target)> {
        self.targets.iter()
    }

    /// Those on which something is ours.
    pub fn marked(&self) -> impl Iterator<Item = (&Key, &Target)> {
        self.marked.iter().filter_map(|key| self.targets.get_key_value(key))
    }

    /// The Services of a namespace.
    pub fn services_of<'v>(
        &'v self,
        namespace: &'v str,
    ) -> impl Iterator<Item = (&'v Key, &'v Target)> {
        let first = Key::new(ObjectKind::Service, namespace, "");
        let services = self.targets.range(first..);
        services.take_while(move |(key, _)| {
            key.kind == ObjectKind::Service && *key.namespace == *namespace
        })
    }
}

impl Target {
    /// Whether they are the same but for the version.
    fn is_like(&self, other: &Self) -> bool {
        let uid = |one: &Self| one.version.uid.clone();
        let rest = |one: &Self| Self { version: Version::default(), ..one.clone() };
        uid(self) == uid(other) && rest(self) == rest(other)
    }

    fn of(object: &Object) -> Self {
        let metadata = &object.metadata;
        let annotation = |key: &str| metadata.annotation(key).map(str::to_owned);
        let by_filters = match &object.spec {
            Spec::HTTPRoute(route) | Spec::GRPCRoute(route) => {
                route.rules.iter().flat_map(|rule| rule.plugins.iter().cloned()).collect()
            }
            _ => Vec::new(),
        };
        let is_service = object.spec.kind() == ObjectKind::Service;
        Self {
            version: Version::of(metadata),
            plugins: Plugins {
                list: annotation(keys::PLUGINS),
                mark: metadata.annotation(keys::MARK).map(Mark::read),
            },
            by_filters,
            labels: if is_service { metadata.labels.clone() } else { BTreeMap::new() },
            operators: annotation(OPERATORS_PLUGINS),
            is_opted_out: metadata.annotation(keys::OPT_OUT) == Some("true"),
            is_deleted: metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Version {
    /// Of an object with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid.clone(), resource: metadata.resource_version.clone() }
    }
}

/// What a plan reads of metadata but for the version, which only goes into preconditions.
fn of_interest(metadata: &Metadata) -> Metadata {
    Metadata { resource_version: None, ..metadata.clone() }
}

/// The key of a KongClusterPlugin.
pub fn cluster_plugin(name: &str) -> Key {
    Key::new(ObjectKind::KongClusterPlugin, "", name)
}

/// Whether Kong's controllers look for plugins in an annotation of this kind.
fn is_target(kind: ObjectKind) -> bool {
    is_route(kind) || matches!(kind, ObjectKind::Service | ObjectKind::KongServiceFacade)
}

/// Whether plugins can be put onto the Kong routes that objects of this kind make.
pub fn is_route(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::HTTPRoute
            | ObjectKind::GRPCRoute
            | ObjectKind::TCPRoute
            | ObjectKind::TLSRoute
            | ObjectKind::UDPRoute
            | ObjectKind::Ingress
            | ObjectKind::TCPIngress
            | ObjectKind::UDPIngress
    )
}

/// The extensions among what an object names.
fn named<'r>(by: &Key, references: impl IntoIterator<Item = &'r ExtensionRef>) -> BTreeSet<Key> {
    let kind = ObjectKind::DataPlaneMetricsExtension;
    let is_extension = |one: &&ExtensionRef| {
        one.kind == kind.as_str() && one.group.as_deref().is_none_or(|own| own == EXTENSION_GROUP)
    };
    let key = |one: &ExtensionRef| {
        Key::new(kind, one.namespace.as_deref().unwrap_or(&by.namespace), &one.name)
    };
    references.into_iter().filter(is_extension).map(key).collect()
}
