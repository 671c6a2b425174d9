//! The objects that Kong services are made from, and what these refer to.
//!
//! Only the fields that are read, spelled as the API spells them; what is absent or `null` is
//! empty. Nothing is defaulted here: an API server has done that, and [`super::defaults`] does it
//! for manifests that no API server has seen.

use serde::Deserialize;

use super::extension::ExtensionRef;
use super::thin;

/// `spec` of the five kinds of routes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteSpec {
    /// What it is attached to.
    #[serde(deserialize_with = "thin::or_default")]
    pub parent_refs: Vec<ParentRef>,
    /// Host names; read of GRPCRoutes.
    #[serde(deserialize_with = "thin::or_default")]
    pub hostnames: Vec<String>,
    /// Its rules.
    #[serde(deserialize_with = "thin::or_default")]
    pub rules: Vec<RouteRule>,
}

/// What a route is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ParentRef {
    /// The kind; a Gateway where none is given.
    pub kind: Option<String>,
    /// The namespace; the route's own where none is given.
    pub namespace: Option<String>,
    /// The name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// The one listener it is attached to, if not to all.
    pub section_name: Option<String>,
}

/// One rule of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteRule {
    /// Where the requests go.
    #[serde(deserialize_with = "thin::or_default")]
    pub backend_refs: Vec<BackendRef>,
    /// Timeouts; HTTPRoutes only.
    #[serde(deserialize_with = "thin::or_default")]
    pub timeouts: Timeouts,
    /// Whether any of its matches looks at query parameters; HTTPRoutes only.
    #[serde(rename = "matches", deserialize_with = "thin::matches_query_params")]
    pub matches_query_params: bool,
    /// The KongPlugins that its filters name: they act as if an annotation of the route named them.
    #[serde(rename = "filters", deserialize_with = "thin::plugins_of_filters")]
    pub plugins: Vec<String>,
}

/// Timeouts of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Timeouts {
    /// How long one request to a backend may take, such as `500ms`.
    pub backend_request: Option<String>,
}

/// A backend of a rule, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackendRef {
    /// The group of its kind.
    pub group: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its namespace; the route's own where none is given.
    pub namespace: Option<String>,
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// The port's number.
    pub port: Option<i32>,
    /// The weight.
    pub weight: Option<i32>,
    /// Its filters as JSON, for comparison only; `None` where there are none.
    #[serde(deserialize_with = "thin::filters")]
    pub filters: Option<String>,
}

/// `spec` of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressSpec {
    /// The class.
    pub ingress_class_name: Option<String>,
    /// Where everything goes that no rule matches.
    pub default_backend: Option<IngressBackend>,
    /// Its rules.
    #[serde(deserialize_with = "thin::or_default")]
    pub rules: Vec<IngressRule>,
}

/// One rule of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressRule {
    /// Its paths.
    #[serde(deserialize_with = "thin::or_default")]
    pub http: IngressPaths,
}

/// The paths of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressPaths {
    /// The paths.
    #[serde(deserialize_with = "thin::or_default")]
    pub paths: Vec<IngressPath>,
}

/// One path of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressPath {
    /// Where the requests go.
    #[serde(deserialize_with = "thin::or_default")]
    pub backend: IngressBackend,
}

/// A backend of an Ingress: a Service or another object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressBackend {
    /// A Service of the Ingress' namespace.
    pub service: Option<IngressService>,
    /// Another object of that namespace.
    pub resource: Option<IngressResource>,
}

/// A Service as an Ingress names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressService {
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// Its port.
    #[serde(deserialize_with = "thin::or_default")]
    pub port: IngressPort,
}

/// A port as an Ingress names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressPort {
    /// By number.
    pub number: Option<i32>,
    /// By name.
    pub name: Option<String>,
}

/// Another object as an Ingress names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressResource {
    /// The group of its kind.
    pub api_group: Option<String>,
    /// Its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub kind: String,
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
}

/// `spec` of a TCPIngress or UDPIngress.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct L4IngressSpec {
    /// Its rules.
    #[serde(deserialize_with = "thin::or_default")]
    pub rules: Vec<L4IngressRule>,
}

/// One rule of a TCPIngress or UDPIngress.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct L4IngressRule {
    /// Where the connections go.
    #[serde(deserialize_with = "thin::or_default")]
    pub backend: L4IngressBackend,
}

/// A Service as a TCPIngress or UDPIngress names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct L4IngressBackend {
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub service_name: String,
    /// The number of its port.
    #[serde(deserialize_with = "thin::or_default")]
    pub service_port: i32,
}

/// `spec` of a KongServiceFacade.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FacadeSpec {
    /// The Service behind it.
    #[serde(deserialize_with = "thin::or_default")]
    pub backend_ref: FacadeBackend,
}

/// The Service behind a KongServiceFacade, in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct FacadeBackend {
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// The number of its port.
    pub port: Option<i32>,
}

/// `spec` of a KongService.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct KongServiceSpec {
    /// What Kong calls it; where there is none, Kong's metrics show the host.
    pub name: Option<String>,
    /// The host or upstream it sends to.
    #[serde(deserialize_with = "thin::or_default")]
    pub host: String,
    /// The port it sends to.
    pub port: Option<i32>,
}

/// `spec` of a ReferenceGrant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    #[serde(deserialize_with = "thin::or_default")]
    pub from: Vec<GrantFrom>,
    /// To what in the grant's namespace.
    #[serde(deserialize_with = "thin::or_default")]
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrantFrom {
    /// The group of its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub group: String,
    /// Its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub kind: String,
    /// Its namespace.
    #[serde(deserialize_with = "thin::or_default")]
    pub namespace: String,
}

/// What may be referred to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrantTo {
    /// The group of its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub group: String,
    /// Its kind.
    #[serde(deserialize_with = "thin::or_default")]
    pub kind: String,
    /// Its name, if not all of them.
    pub name: Option<String>,
}

/// `spec` of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Its GatewayClass.
    #[serde(deserialize_with = "thin::or_default")]
    pub gateway_class_name: String,
    /// Its listeners.
    #[serde(deserialize_with = "thin::or_default")]
    pub listeners: Vec<Listener>,
}

/// A listener of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Its name.
    #[serde(deserialize_with = "thin::or_default")]
    pub name: String,
    /// Its host name.
    pub hostname: Option<String>,
}

/// `spec` of a GatewayClass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// Which controller acts on it.
    #[serde(deserialize_with = "thin::or_default")]
    pub controller_name: String,
}

/// `spec` of an IngressClass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct IngressClassSpec {
    /// Which controller acts on it.
    #[serde(deserialize_with = "thin::or_default")]
    pub controller: String,
}

/// `spec` of a ControlPlane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ControlPlaneSpec {
    /// The ingress class it acts on.
    pub ingress_class: Option<String>,
    /// How it translates; v2beta1 only.
    #[serde(deserialize_with = "thin::or_default")]
    pub translation: Translation,
    /// What is attached to it.
    #[serde(deserialize_with = "thin::or_default")]
    pub extensions: Vec<ExtensionRef>,
}

/// How a ControlPlane translates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Translation {
    /// `enabled` or `disabled`: whether rules of different HTTPRoutes with the same backends become
    /// one Kong service.
    #[serde(rename = "combinedServicesFromDifferentHTTPRoutes")]
    pub combined_services: Option<String>,
}
