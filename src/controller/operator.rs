//! Kong Operator's own handling of extensions, which is not to be met on the same Service.
//!
//! In: the view. Out: whether Kong Operator acts on an extension, and what it put on a Service. It is
//! known by what it leaves: a KongPlugin `<service>-metrics-prometheus` with its labels, and labels
//! and an annotation on the Service.

use std::collections::BTreeSet;

use crate::controller::annotation::items;
use crate::controller::extension::Active;
use crate::controller::view::{Target, View};
use crate::controller::{keys, plugin};
use crate::kubernetes::{Key, Metadata, ObjectKind};

/// By what Kong Operator is seen to act on an extension; `None` if it is not.
pub fn manages(view: &View, extension: &Active) -> Option<String> {
    if extension.attached_to.is_empty() {
        // It acts on what ControlPlanes name, and on nothing else.
        return None;
    }
    let plugin = plugins(view, extension).next();
    let plugin = plugin.map(|key| format!("{key} is Kong Operator's"));
    plugin.or_else(|| {
        let mut services = extension.services.iter();
        let noted = services.find(|key| view.target(key).is_some_and(is_noted_on))?;
        Some(format!("Kong Operator's labels are on {noted}"))
    })
}

/// The KongPlugins that Kong Operator made for an extension.
pub fn plugins<'v>(view: &'v View, extension: &'v Active) -> impl Iterator<Item = &'v Key> {
    view.plugins()
        .filter(|(key, metadata, _)| is_for(key, metadata, extension))
        .map(|(key, ..)| key)
}

/// The names under which a Service lists plugins that Kong Operator put there.
pub fn plugins_on(view: &View, service: &Key, target: &Target) -> BTreeSet<String> {
    let list = target.plugins.list.as_deref().unwrap_or_default();
    let local = items(list).filter(|item| item.namespace.is_none());
    let names = local.map(|item| item.name).filter(|name| {
        let key = Key::new(ObjectKind::KongPlugin, &service.namespace, name);
        let is_noted = items(target.operators.as_deref().unwrap_or_default());
        let is_noted = is_noted.map(|item| item.name).any(|noted| noted == *name);
        is_noted || view.plugin(&key).is_some_and(|(metadata, _)| plugin::is_operators(metadata))
    });
    names.map(str::to_owned).collect()
}

/// Whether Kong Operator has noted on a Service that it put something there.
pub fn is_noted_on(target: &Target) -> bool {
    target.operators.is_some()
        || keys::OPERATOR_ON_SERVICES.iter().any(|label| target.labels.contains_key(*label))
}

fn is_for(key: &Key, metadata: &Metadata, extension: &Active) -> bool {
    if *key.namespace != *extension.key.namespace || !plugin::is_operators(metadata) {
        return false;
    }
    let label = |key: &str| metadata.labels.get(key).map(String::as_str).unwrap_or_default();
    let (name, namespace) =
        (label(keys::OPERATOR_MANAGED_BY_NAME), label(keys::OPERATOR_MANAGED_BY_NAMESPACE));
    let control_plane = Key::new(ObjectKind::ControlPlane, namespace, name);
    let is_named = || {
        let mut services = extension.services.iter();
        services.any(|service| plugin::name_for(&service.name) == *key.name)
    };
    extension.attached_to.contains(&control_plane) || is_named()
}
