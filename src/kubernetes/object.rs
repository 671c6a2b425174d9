//! Objects of any kind, their names and kinds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::extension::{Extension, GatewayConfigurationSpec, Plugin};
use super::keys::{EXTENSION_GROUP, FACADE_GROUP};
use super::thin;
use super::types::{
    ControlPlaneSpec, FacadeSpec, GatewayClassSpec, GatewaySpec, IngressClassSpec, IngressSpec,
    KongServiceSpec, L4IngressSpec, ReferenceGrantSpec, RouteSpec,
};

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its name and what else is read of the metadata.
    pub metadata: Metadata,
    /// Its kind and content.
    pub spec: Spec,
}

/// What an object is called. No two objects have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty for the kinds that have none.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// `Kind namespace/name`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        let slash = if namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {namespace}{slash}{name}", kind.as_str())
    }
}

/// The kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum ObjectKind {
    HTTPRoute,
    GRPCRoute,
    TCPRoute,
    TLSRoute,
    UDPRoute,
    Ingress,
    TCPIngress,
    UDPIngress,
    KongServiceFacade,
    KongService,
    Service,
    ReferenceGrant,
    Gateway,
    GatewayClass,
    IngressClass,
    ControlPlane,
    DataPlaneMetricsExtension,
    GatewayConfiguration,
    KongPlugin,
    KongClusterPlugin,
}

/// Kind and content.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Spec {
    HTTPRoute(RouteSpec),
    GRPCRoute(RouteSpec),
    TCPRoute(RouteSpec),
    TLSRoute(RouteSpec),
    UDPRoute(RouteSpec),
    Ingress(IngressSpec),
    TCPIngress(L4IngressSpec),
    UDPIngress(L4IngressSpec),
    KongServiceFacade(FacadeSpec),
    KongService(KongServiceSpec),
    /// Nothing but its metadata is read.
    Service,
    ReferenceGrant(ReferenceGrantSpec),
    Gateway(GatewaySpec),
    GatewayClass(GatewayClassSpec),
    IngressClass(IngressClassSpec),
    ControlPlane(ControlPlaneSpec),
    DataPlaneMetricsExtension(Extension),
    GatewayConfiguration(GatewayConfigurationSpec),
    KongPlugin(Plugin),
    KongClusterPlugin(Plugin),
}

/// What is read of `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// The namespace; empty where none is given.
    #[serde(deserialize_with = "thin::or_default")]
    pub namespace: String,
    /// When it was created, RFC 3339 in UTC as API servers write it: texts sort as times do.
    pub creation_timestamp: Option<String>,
    /// The annotations that are read at all ([`is_read`](super::keys::is_read)), sorted by key.
    #[serde(deserialize_with = "thin::annotations")]
    pub annotations: Vec<(String, String)>,
    /// The labels, sorted by key.
    #[serde(deserialize_with = "thin::labels")]
    pub labels: BTreeMap<String, String>,
    /// What tells it from another object that had or will have the same name.
    pub uid: Option<String>,
    /// Which version of the object this is.
    pub resource_version: Option<String>,
    /// Which version of its spec this is.
    pub generation: Option<i64>,
    /// What it is deleted with.
    #[serde(deserialize_with = "thin::or_default")]
    pub owner_references: Vec<OwnerReference>,
    /// Who has something to do before it is gone.
    #[serde(deserialize_with = "thin::or_default")]
    pub finalizers: Vec<String>,
    /// Since when it is to be deleted.
    pub deletion_timestamp: Option<String>,
}

/// An object that another is deleted with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference {
    /// Its group and version.
    #[serde(deserialize_with = "thin::or_default")]
    pub api_version: String,
    /// Its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub kind: String,
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// What tells it from others of its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub uid: String,
    /// Whether it is the one that manages the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether it waits for the object to be gone before it goes itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl Object {
    /// What it is called.
    pub fn key(&self) -> Key {
        Key::new(self.spec.kind(), &self.metadata.namespace, &self.metadata.name)
    }
}

impl Key {
    /// The key of an object; `namespace` is empty for the kinds that have none.
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl Metadata {
    /// The value of an annotation that is read.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

impl Spec {
    /// The kind.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::HTTPRoute(_) => ObjectKind::HTTPRoute,
            Self::GRPCRoute(_) => ObjectKind::GRPCRoute,
            Self::TCPRoute(_) => ObjectKind::TCPRoute,
            Self::TLSRoute(_) => ObjectKind::TLSRoute,
            Self::UDPRoute(_) => ObjectKind::UDPRoute,
            Self::Ingress(_) => ObjectKind::Ingress,
            Self::TCPIngress(_) => ObjectKind::TCPIngress,
            Self::UDPIngress(_) => ObjectKind::UDPIngress,
            Self::KongServiceFacade(_) => ObjectKind::KongServiceFacade,
            Self::KongService(_) => ObjectKind::KongService,
            Self::Service => ObjectKind::Service,
            Self::ReferenceGrant(_) => ObjectKind::ReferenceGrant,
            Self::Gateway(_) => ObjectKind::Gateway,
            Self::GatewayClass(_) => ObjectKind::GatewayClass,
            Self::IngressClass(_) => ObjectKind::IngressClass,
            Self::ControlPlane(_) => ObjectKind::ControlPlane,
            Self::DataPlaneMetricsExtension(_) => ObjectKind::DataPlaneMetricsExtension,
            Self::GatewayConfiguration(_) => ObjectKind::GatewayConfiguration,
            Self::KongPlugin(_) => ObjectKind::KongPlugin,
            Self::KongClusterPlugin(_) => ObjectKind::KongClusterPlugin,
        }
    }
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::HTTPRoute,
        Self::GRPCRoute,
        Self::TCPRoute,
        Self::TLSRoute,
        Self::UDPRoute,
        Self::Ingress,
        Self::TCPIngress,
        Self::UDPIngress,
        Self::KongServiceFacade,
        Self::KongService,
        Self::Service,
        Self::ReferenceGrant,
        Self::Gateway,
        Self::GatewayClass,
        Self::IngressClass,
        Self::ControlPlane,
        Self::DataPlaneMetricsExtension,
        Self::GatewayConfiguration,
        Self::KongPlugin,
        Self::KongClusterPlugin,
    ];

    /// The kind of a manifest with this `apiVersion` and `kind`; any version of the group will do.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::ALL.into_iter().find(|own| own.names() == (group, kind))
    }

    /// The kind as Kubernetes spells it: `HTTPRoute`.
    pub fn as_str(self) -> &'static str {
        self.names().1
    }

    /// The group of the API it belongs to; empty for the core group.
    pub fn group(self) -> &'static str {
        self.names().0
    }

    /// Whether objects of this kind are in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::GatewayClass | Self::IngressClass | Self::KongClusterPlugin)
    }

    /// Whether the mapping depends on objects of this kind. The others are the controller's.
    pub fn is_of_mapping(self) -> bool {
        !matches!(
            self,
            Self::DataPlaneMetricsExtension
                | Self::GatewayConfiguration
                | Self::KongPlugin
                | Self::KongClusterPlugin
        )
    }

    fn names(self) -> (&'static str, &'static str) {
        const GATEWAY: &str = "gateway.networking.k8s.io";
        const KONG: &str = "configuration.konghq.com";
        const OPERATOR: &str = EXTENSION_GROUP;
        match self {
            Self::HTTPRoute => (GATEWAY, "HTTPRoute"),
            Self::GRPCRoute => (GATEWAY, "GRPCRoute"),
            Self::TCPRoute => (GATEWAY, "TCPRoute"),
            Self::TLSRoute => (GATEWAY, "TLSRoute"),
            Self::UDPRoute => (GATEWAY, "UDPRoute"),
            Self::Ingress => ("networking.k8s.io", "Ingress"),
            Self::TCPIngress => (KONG, "TCPIngress"),
            Self::UDPIngress => (KONG, "UDPIngress"),
            Self::KongServiceFacade => (FACADE_GROUP, "KongServiceFacade"),
            Self::KongService => (KONG, "KongService"),
            Self::Service => ("", "Service"),
            Self::ReferenceGrant => (GATEWAY, "ReferenceGrant"),
            Self::Gateway => (GATEWAY, "Gateway"),
            Self::GatewayClass => (GATEWAY, "GatewayClass"),
            Self::IngressClass => ("networking.k8s.io", "IngressClass"),
            Self::ControlPlane => (OPERATOR, "ControlPlane"),
            Self::DataPlaneMetricsExtension => (OPERATOR, "DataPlaneMetricsExtension"),
            Self::GatewayConfiguration => (OPERATOR, "GatewayConfiguration"),
            Self::KongPlugin => (KONG, "KongPlugin"),
            Self::KongClusterPlugin => (KONG, "KongClusterPlugin"),
        }
    }
}
