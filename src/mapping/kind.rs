//! The kinds of objects that Kong services are made from, and how each is spelt.

use serde::{Deserialize, Serialize};

/// The kinds of objects that Kong services are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    Ingress,
    HTTPRoute,
    GRPCRoute,
    TCPRoute,
    TLSRoute,
    UDPRoute,
    TCPIngress,
    UDPIngress,
    KongServiceFacade,
    KongService,
}

impl Kind {
    /// Every kind, in order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ingress,
        Self::HTTPRoute,
        Self::GRPCRoute,
        Self::TCPRoute,
        Self::TLSRoute,
        Self::UDPRoute,
        Self::TCPIngress,
        Self::UDPIngress,
        Self::KongServiceFacade,
        Self::KongService,
    ];

    /// The kind as Kubernetes spells it: `HTTPRoute`.
    pub fn as_str(self) -> &'static str {
        self.texts().0
    }

    /// The kind in lower case, as labels and Kong's names have it: `httproute`.
    pub fn lower(self) -> &'static str {
        self.texts().1
    }

    /// The group and version that Kong's controllers read it in: `gateway.networking.k8s.io/v1`.
    pub fn api_version(self) -> &'static str {
        self.texts().2
    }

    /// Whether some controller appends the host name to the route's name in Kong's names.
    pub(crate) fn may_glue_hostname(self) -> bool {
        matches!(self, Self::HTTPRoute | Self::GRPCRoute)
    }

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        const GATEWAY_V1: &str = "gateway.networking.k8s.io/v1";
        const GATEWAY_V1ALPHA2: &str = "gateway.networking.k8s.io/v1alpha2";
        const FACADE: &str = "incubator.ingress-controller.konghq.com/v1alpha1";
        const KONG: &str = "configuration.konghq.com/v1alpha1";
        const KONG_V1BETA1: &str = "configuration.konghq.com/v1beta1";
        match self {
            Self::Ingress => ("Ingress", "ingress", "networking.k8s.io/v1"),
            Self::HTTPRoute => ("HTTPRoute", "httproute", GATEWAY_V1),
            Self::GRPCRoute => ("GRPCRoute", "grpcroute", GATEWAY_V1),
            Self::TCPRoute => ("TCPRoute", "tcproute", GATEWAY_V1ALPHA2),
            Self::TLSRoute => ("TLSRoute", "tlsroute", GATEWAY_V1ALPHA2),
            Self::UDPRoute => ("UDPRoute", "udproute", GATEWAY_V1ALPHA2),
            Self::TCPIngress => ("TCPIngress", "tcpingress", KONG_V1BETA1),
            Self::UDPIngress => ("UDPIngress", "udpingress", KONG_V1BETA1),
            Self::KongServiceFacade => ("KongServiceFacade", "kongservicefacade", FACADE),
            Self::KongService => ("KongService", "kongservice", KONG),
        }
    }
}
