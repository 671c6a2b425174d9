//! A resolution as label text. In: what a Kong name stands for. Out: the bytes that go in front of
//! Kong's own name.

use super::LabelNames;
use crate::exposition::escape;
use crate::mapping::{OwnerRef, Target};

/// The labels of `target`, each with its comma, without `kong_service`. Of several owners only
/// what `owner` says, or what all have in common if that is `None`: nobody is guessed.
pub(super) fn labels(
    names: &LabelNames,
    target: &Target<'_>,
    owner: Option<&OwnerRef<'_>>,
    out: &mut Vec<u8>,
) {
    match target {
        Target::Service { namespace, service, .. } => {
            label(names.service(), service, out);
            label(names.namespace(), namespace, out);
            label("kubernetes_name", service, out);
            label("kubernetes_namespace", namespace, out);
            // Lower case as Kong Operator's own exporter writes it.
            label("kubernetes_kind", "service", out);
            label("kubernetes_apiversion", "v1", out);
        }
        Target::Route { owners, .. } => {
            let Some(first) = owner.or_else(|| owners.first()) else { return };
            let all = |same: fn(&OwnerRef<'_>, &OwnerRef<'_>) -> bool| {
                owner.is_some() || owners.iter().all(|other| same(first, other))
            };
            if !all(|a, b| a.kind == b.kind) {
                return;
            }
            if let Some(name) = first.name
                && all(|a, b| a.name == b.name && a.namespace == b.namespace)
            {
                label("kubernetes_name", name, out);
            }
            if all(|a, b| a.namespace == b.namespace) {
                label("kubernetes_namespace", first.namespace, out);
            }
            label("kubernetes_kind", first.kind.lower(), out);
            label("kubernetes_apiversion", first.kind.api_version(), out);
        }
        Target::Unknown(_) => {}
    }
}

/// Whether a sample's `route` label has a say in its labels.
pub(super) fn depends_on_route(target: &Target<'_>) -> bool {
    matches!(target, Target::Route { owners, .. } if owners.len() > 1)
}

fn label(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape(value.as_bytes(), out);
    out.extend_from_slice(b"\",");
}
