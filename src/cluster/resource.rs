//! Where the API server has the objects of a kind.
//!
//! In: an [`ObjectKind`]. Out: its plural, the versions of it that are understood, and kube's
//! [`ApiResource`]. The one decision: only versions that are known are read, the best first; a
//! later one may mean something else by the same words.

use kube::core::{ApiResource, GroupVersionKind};

use crate::kubernetes::ObjectKind;

/// A kind in one of its versions, as kube's dynamic types want it.
pub fn api_resource(kind: ObjectKind, version: &str) -> ApiResource {
    let kind_of_version = GroupVersionKind::gvk(kind.group(), version, kind.as_str());
    ApiResource::from_gvk_with_plural(&kind_of_version, plural(kind))
}

/// The path of all objects of a kind, or of those in one namespace:
/// `/apis/gateway.networking.k8s.io/v1/namespaces/web/httproutes`.
pub fn path(kind: ObjectKind, version: &str, namespace: Option<&str>) -> String {
    let mut path = match kind.group() {
        "" => format!("/api/{version}/"),
        group => format!("/apis/{group}/{version}/"),
    };
    if let Some(namespace) = namespace {
        path.push_str("namespaces/");
        path.push_str(namespace);
        path.push('/');
    }
    path + plural(kind)
}

/// The versions of a kind that are understood, best first.
pub fn versions(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::HTTPRoute | ObjectKind::Gateway | ObjectKind::GatewayClass => {
            &["v1", "v1beta1"]
        }
        ObjectKind::GRPCRoute | ObjectKind::TCPRoute | ObjectKind::UDPRoute => &["v1", "v1alpha2"],
        ObjectKind::TLSRoute => &["v1", "v1alpha3", "v1alpha2"],
        ObjectKind::ReferenceGrant => &["v1", "v1beta1", "v1alpha2"],
        ObjectKind::Ingress | ObjectKind::IngressClass | ObjectKind::Service => &["v1"],
        ObjectKind::TCPIngress | ObjectKind::UDPIngress => &["v1beta1"],
        ObjectKind::KongServiceFacade | ObjectKind::KongService => &["v1alpha1"],
        // v1beta1 does not tell how it translates.
        ObjectKind::ControlPlane | ObjectKind::GatewayConfiguration => &["v2beta1", "v1beta1"],
        ObjectKind::DataPlaneMetricsExtension => &["v1alpha1"],
        ObjectKind::KongPlugin | ObjectKind::KongClusterPlugin => &["v1"],
    }
}

/// The kind as paths and RBAC rules spell it: `httproutes`.
pub fn plural(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::HTTPRoute => "httproutes",
        ObjectKind::GRPCRoute => "grpcroutes",
        ObjectKind::TCPRoute => "tcproutes",
        ObjectKind::TLSRoute => "tlsroutes",
        ObjectKind::UDPRoute => "udproutes",
        ObjectKind::Ingress => "ingresses",
        ObjectKind::TCPIngress => "tcpingresses",
        ObjectKind::UDPIngress => "udpingresses",
        ObjectKind::KongServiceFacade => "kongservicefacades",
        ObjectKind::KongService => "kongservices",
        ObjectKind::Service => "services",
        ObjectKind::ReferenceGrant => "referencegrants",
        ObjectKind::Gateway => "gateways",
        ObjectKind::GatewayClass => "gatewayclasses",
        ObjectKind::IngressClass => "ingressclasses",
        ObjectKind::ControlPlane => "controlplanes",
        ObjectKind::DataPlaneMetricsExtension => "dataplanemetricsextensions",
        ObjectKind::GatewayConfiguration => "gatewayconfigurations",
        ObjectKind::KongPlugin => "kongplugins",
        ObjectKind::KongClusterPlugin => "kongclusterplugins",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(
            path(ObjectKind::HTTPRoute, "v1", Some("web")),
            "/apis/gateway.networking.k8s.io/v1/namespaces/web/httproutes"
        );
        assert_eq!(path(ObjectKind::Service, "v1", None), "/api/v1/services");
        assert_eq!(
            path(ObjectKind::IngressClass, "v1", None),
            "/apis/networking.k8s.io/v1/ingressclasses"
        );
    }

    #[test]
    fn paths_agree_with_kube() {
        use kube::Resource;
        use kube::core::DynamicObject;
        for kind in ObjectKind::ALL {
            for version in versions(kind) {
                let resource = api_resource(kind, version);
                for namespace in
                    [None, Some("web")].iter().filter(|n| n.is_none() || kind.is_namespaced())
                {
                    let url = DynamicObject::url_path(&resource, *namespace);
                    assert_eq!(path(kind, version, *namespace), url);
                }
            }
        }
    }
}
