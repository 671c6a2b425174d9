//! Manifests: YAML in, objects out, moved into the namespace of a test where that is wanted.

use kube::core::DynamicObject;
use serde_json::Value;

/// The documents of a YAML text; what an object leaves out stays out.
pub(crate) fn read(yaml: &str) -> Vec<DynamicObject> {
    let options = serde_saphyr::options! {
        // The largest definitions have more than the default allows.
        budget: serde_saphyr::budget! { max_events: 16_000_000, max_nodes: 16_000_000 },
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, options)
        .unwrap_or_else(|error| panic!("{error}\nin manifests:\n{yaml}"));
    let documents = documents.into_iter().filter(|document| !document.is_null());
    documents
        .map(|document| {
            serde_json::from_value(document.clone())
                .unwrap_or_else(|error| panic!("{error}: {document}"))
        })
        .collect()
}

/// As `namespace:` and `nameSuffix:` of a kustomization would: everything is in `namespace`, and
/// what has no namespace has a name that no other test has.
pub(crate) fn moved(objects: Vec<DynamicObject>, namespace: &str) -> Vec<DynamicObject> {
    objects
        .into_iter()
        .map(|mut object| {
            let kind = object.types.as_ref().map_or("", |types| &types.kind);
            match kind {
                "ClusterRole" | "ClusterRoleBinding" => {
                    let name = object.metadata.name.as_mut().unwrap();
                    *name = format!("{name}-{namespace}");
                }
                "CustomResourceDefinition" => {}
                _ => object.metadata.namespace = Some(namespace.to_owned()),
            }
            if let Some(role) = object.data.get_mut("roleRef")
                && role["kind"] == "ClusterRole"
            {
                role["name"] = format!("{}-{namespace}", role["name"].as_str().unwrap()).into();
            }
            let subjects = object.data.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                subject["namespace"] = namespace.into();
            }
            object
        })
        .collect()
}
