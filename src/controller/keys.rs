//! The labels and annotations that the controller reads and writes.

/// The annotation that lists plugins. Kong's.
pub const PLUGINS: &str = "konghq.com/plugins";

/// Label of an extension that counts without being attached to anything: `"true"`.
pub const MANAGED: &str = "kong-metrics-exporter.io/managed";

/// Annotation of an extension: also Services with these labels.
pub const SELECTOR: &str = "kong-metrics-exporter.io/service-label-selector";

/// Annotation of an extension: `services` or `routes`.
pub const ATTACH_TO: &str = "kong-metrics-exporter.io/attach-to";

/// Annotation of an extension, written: what has come of it.
pub const STATUS: &str = "kong-metrics-exporter.io/status";

/// Annotation of a Service or route: `"true"` for not to be touched.
pub const OPT_OUT: &str = "kong-metrics-exporter.io/opt-out";

/// Annotation of a Service or route, written: which item of its plugins is ours.
pub const MARK: &str = "kong-metrics-exporter.io/plugin";

/// Label of KongPlugins, written: that they are ours.
pub const MANAGED_BY: &str = "kong-metrics-exporter.io/managed-by";

/// Label of KongPlugins, written: the extension they are for.
pub const EXTENSION: &str = "kong-metrics-exporter.io/extension";

/// The finalizer of extensions for which something has been written.
pub const FINALIZER: &str = "kong-metrics-exporter.io/controller";

/// Labels of Kong Operator on its KongPlugins.
pub const OPERATOR_MANAGED_BY: &str = "gateway-operator.konghq.com/managed-by";
/// The name of the ControlPlane that a KongPlugin of Kong Operator is for.
pub const OPERATOR_MANAGED_BY_NAME: &str = "gateway-operator.konghq.com/managed-by-name";
/// Its namespace.
pub const OPERATOR_MANAGED_BY_NAMESPACE: &str = "gateway-operator.konghq.com/managed-by-namespace";
/// Which plugin it is.
pub const OPERATOR_PLUGIN_TYPE: &str = "gateway-operator.konghq.com/kong-plugin-type";

/// Labels of Kong Operator on Services that it put a plugin on.
pub const OPERATOR_ON_SERVICES: [&str; 2] = [
    "gateway-operator.konghq.com/control-plane-managing-plugins-name",
    "gateway-operator.konghq.com/control-plane-managing-plugins-namespace",
];
