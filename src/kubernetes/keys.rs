//! The annotations that are read, and groups of kinds: keys as Kubernetes, Kong's controllers and this
//! project spell them.

/// Whether an annotation of this key is read at all.
pub fn is_read(annotation: &str) -> bool {
    // No dot or slash at its end: Kong's controllers compare this prefix (`konghq.community/x` counts).
    annotation.starts_with(KONG_ANNOTATIONS)
        || annotation.starts_with(HYBRID_ROUTES)
        || annotation.starts_with(OWN)
        || [INGRESS_CLASS, IS_DEFAULT_CLASS, OPERATORS_PLUGINS].contains(&annotation)
}

/// How all keys start that are this project's own.
pub const OWN: &str = "kong-metrics-exporter.io/";

/// The annotation of a Service in which Kong Operator keeps the names of the plugins it put there.
pub const OPERATORS_PLUGINS: &str = "gateway-operator.konghq.com/control-plane-managed-plugins";

/// How the annotations of a Service start that all Services of one Kong service must agree on.
pub const KONG_ANNOTATIONS: &str = "konghq.com";

/// How the annotations of a KongService start that name the routes it was made from.
pub const HYBRID_ROUTES: &str = "gateway-operator.konghq.com/hybrid-routes";

/// The annotation that names the class of an Ingress and of Kong's own kinds.
pub const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// The annotation of the IngressClass that objects without a class belong to.
pub const IS_DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// The group of DataPlaneMetricsExtensions and of what they are attached to.
pub const EXTENSION_GROUP: &str = "gateway-operator.konghq.com";

/// The group of KongServiceFacades.
pub const FACADE_GROUP: &str = "incubator.ingress-controller.konghq.com";
