//! What is kept of an object.
//!
//! In: an [`Object`] as it is read. Out: a [`Stored`], a hundred bytes or so, with numbers in place
//! of the objects it refers to. The one decision: what makes no difference to the mapping is not
//! kept, so an update that changes nothing that matters is equal to what is there, and costs
//! nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::kubernetes::keys::{FACADE_GROUP, HYBRID_ROUTES, INGRESS_CLASS, KONG_ANNOTATIONS};
use crate::kubernetes::types::{
    BackendRef, FacadeSpec, GatewaySpec, IngressBackend, IngressPort, IngressSpec, KongServiceSpec,
    L4IngressSpec, ParentRef, RouteRule, RouteSpec,
};
use crate::kubernetes::{Metadata, Object, ObjectKind, Spec};
use crate::resolve::graph::{Graph, Id};
use crate::resolve::timeout::effective_timeout_ms;

/// Routes and Services are most of the objects; the others are boxed, to be no larger.
#[derive(Debug, PartialEq)]
pub(crate) enum Stored {
    Route(Route),
    Ingress(Box<Ingress>),
    L4Ingress(Box<L4Ingress>),
    Facade(Box<Facade>),
    KongService(Box<KongService>),
    Service(Service),
    Gateway(Box<Gateway>),
    GatewayClass { is_of_kong: bool },
}

/// A route of any kind.
#[derive(Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) place: Arc<Place>,
    pub(crate) rules: Box<[Rule]>,
    /// Whether any rule does.
    pub(crate) matches_query_params: bool,
}

/// What a route is attached to, and for which host names. Most routes of a cluster share it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) parents: Box<[Parent]>,
    /// Of GRPCRoutes only.
    pub(crate) hostnames: Box<[Box<str>]>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parent {
    /// `None` where it is a Service: such a route is a mesh's.
    pub(crate) gateway: Option<Id>,
    /// The one listener, if not all.
    pub(crate) section: Option<Box<str>>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) refs: Box<[Ref]>,
    /// Milliseconds.
    pub(crate) timeout: u64,
}

/// A backend of a rule. Their order here is of no meaning but the same everywhere.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ref {
    /// The Service; for another kind the Service that would have its name.
    pub(crate) service: Id,
    pub(crate) port: Option<i32>,
    pub(crate) weight: Option<i32>,
    pub(crate) is_service: bool,
    /// Whether its group is spelled `core` and not left empty.
    pub(crate) says_core: bool,
    pub(crate) names_namespace: bool,
    /// What else tells it from others: group and kind where it is no Service, and filters.
    #[allow(clippy::box_collection)] // one word where there is nothing, as nearly always
    pub(crate) extra: Option<Box<String>>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Ingress {
    pub(crate) class: Option<Box<str>>,
    pub(crate) created: Option<Box<str>>,
    /// Those of its paths, each once.
    pub(crate) backends: Box<[IngressTarget]>,
    pub(crate) default: DefaultBackend,
}

#[derive(Debug, PartialEq)]
pub(crate) enum DefaultBackend {
    None,
    /// One that Kong's controllers refuse. It counts as the oldest all the same.
    Unknown,
    To(IngressTarget),
}

#[derive(Debug, PartialEq)]
pub(crate) enum IngressTarget {
    Service { service: Id, port: ServicePort },
    Facade(Id),
}

#[derive(Debug, PartialEq)]
pub(crate) enum ServicePort {
    Number(i32),
    Name(Box<str>),
    Implicit,
}

/// A TCPIngress or UDPIngress.
#[derive(Debug, PartialEq)]
pub(crate) struct L4Ingress {
    pub(crate) class: Option<Box<str>>,
    /// Service and port of each rule.
    pub(crate) backends: Box<[(Id, i32)]>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Facade {
    pub(crate) class: Option<Box<str>>,
    pub(crate) service: Id,
    pub(crate) port: Option<i32>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct KongService {
    /// What Kong's metrics show.
    pub(crate) label: Box<str>,
    /// The routes it was made from; none where a user made it.
    pub(crate) routes: Box<[Id]>,
    /// The Service that its host is the name of.
    pub(crate) service: Option<Id>,
    pub(crate) port: Option<i32>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Service {
    /// Those that the Services of one Kong service must agree on.
    pub(crate) annotations: Box<[(Box<str>, Box<str>)]>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Gateway {
    pub(crate) class: Id,
    pub(crate) listeners: Box<[Listener]>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Listener {
    pub(crate) name: Box<str>,
    pub(crate) hostname: Option<Box<str>>,
}

impl Stored {
    /// What is kept of an object. `None` for the kinds that are kept elsewhere, all of them few.
    pub(crate) fn of(object: Object, graph: &mut Graph) -> Option<Self> {
        let Object { metadata, spec } = object;
        Some(match spec {
            Spec::HTTPRoute(route)
            | Spec::TCPRoute(route)
            | Spec::TLSRoute(route)
            | Spec::UDPRoute(route) => {
                let route = RouteSpec { hostnames: Vec::new(), ..route };
                Self::Route(Route::of(route, &metadata.namespace, graph))
            }
            Spec::GRPCRoute(route) => Self::Route(Route::of(route, &metadata.namespace, graph)),
            Spec::Ingress(ingress) => Self::Ingress(Ingress::of(ingress, &metadata, graph).into()),
            Spec::TCPIngress(ingress) | Spec::UDPIngress(ingress) => {
                Self::L4Ingress(L4Ingress::of(&ingress, &metadata, graph).into())
            }
            Spec::KongServiceFacade(FacadeSpec { backend_ref }) => {
                let service = graph.id(ObjectKind::Service, &metadata.namespace, &backend_ref.name);
                let class = class_of(&metadata, None);
                Self::Facade(Facade { class, service, port: backend_ref.port }.into())
            }
            Spec::KongService(spec) => {
                Self::KongService(KongService::of(&spec, &metadata, graph).into())
            }
            Spec::Service => Self::Service(Service::of(metadata)),
            Spec::Gateway(gateway) => Self::Gateway(Gateway::of(gateway, graph).into()),
            Spec::GatewayClass(class) => {
                Self::GatewayClass { is_of_kong: class.controller_name.starts_with(CONTROLLERS) }
            }
            Spec::ReferenceGrant(_) | Spec::IngressClass(_) | Spec::ControlPlane(_) => return None,
            // The controller's.
            Spec::DataPlaneMetricsExtension(_)
            | Spec::GatewayConfiguration(_)
            | Spec::KongPlugin(_)
            | Spec::KongClusterPlugin(_) => return None,
        })
    }

    /// What it refers to.
    pub(crate) fn references(&self) -> BTreeSet<Id> {
        match self {
            Self::Route(Route { place, rules, .. }) => {
                let gateways = place.parents.iter().filter_map(|parent| parent.gateway);
                let services = rules.iter().flat_map(|rule| &rule.refs).map(|one| one.service);
                gateways.chain(services).collect()
            }
            Self::Ingress(ingress) => {
                let Ingress { backends, default, .. } = &**ingress;
                let default = match default {
                    DefaultBackend::To(target) => Some(target),
                    DefaultBackend::None | DefaultBackend::Unknown => None,
                };
                let target = |target: &IngressTarget| match target {
                    IngressTarget::Service { service: id, .. } | IngressTarget::Facade(id) => *id,
                };
                backends.iter().chain(default).map(target).collect()
            }
            Self::L4Ingress(ingress) => ingress.backends.iter().map(|(id, _)| *id).collect(),
            Self::Facade(facade) => BTreeSet::from([facade.service]),
            Self::KongService(one) => one.routes.iter().copied().chain(one.service).collect(),
            Self::Gateway(gateway) => BTreeSet::from([gateway.class]),
            Self::Service(_) | Self::GatewayClass { .. } => BTreeSet::new(),
        }
    }
}

impl Route {
    fn of(route: RouteSpec, namespace: &str, graph: &mut Graph) -> Self {
        let parent = |ParentRef { kind, namespace: own, name, section_name }, graph: &mut Graph| {
            let gateway =
                || graph.id(ObjectKind::Gateway, own.as_deref().unwrap_or(namespace), &name);
            let is_service = kind.as_deref() == Some("Service");
            Parent { gateway: (!is_service).then(gateway), section: section_name.map(Into::into) }
        };
        let place = Place {
            parents: route.parent_refs.into_iter().map(|one| parent(one, graph)).collect(),
            hostnames: route.hostnames.into_iter().map(Into::into).collect(),
        };
        Self {
            place: graph.shared(place),
            matches_query_params: route.rules.iter().any(|rule| rule.matches_query_params),
            rules: route.rules.into_iter().map(|rule| Rule::of(rule, namespace, graph)).collect(),
        }
    }
}

impl Rule {
    fn of(rule: RouteRule, namespace: &str, graph: &mut Graph) -> Self {
        let RouteRule { backend_refs, timeouts, .. } = rule;
        Self {
            refs: backend_refs.into_iter().map(|one| Ref::of(one, namespace, graph)).collect(),
            timeout: effective_timeout_ms(timeouts.backend_request.as_deref()),
        }
    }
}

impl Ref {
    fn of(backend: BackendRef, route_namespace: &str, graph: &mut Graph) -> Self {
        let BackendRef { group, kind, namespace, name, port, weight, filters } = backend;
        let says_core = group.as_deref() == Some("core");
        let is_core = says_core || group.as_deref().is_none_or(str::is_empty);
        let is_service = is_core && kind.as_deref() == Some("Service");
        let own = namespace.as_deref().unwrap_or(route_namespace);
        let extra = (!is_service || filters.is_some())
            .then(|| format!("{group:?} {kind:?} {}", filters.unwrap_or_default()).into());
        Self {
            service: graph.id(ObjectKind::Service, own, &name),
            port,
            weight,
            is_service,
            says_core,
            names_namespace: namespace.is_some(),
            extra,
        }
    }
}

impl Ingress {
    fn of(ingress: IngressSpec, metadata: &Metadata, graph: &mut Graph) -> Self {
        let namespace = &metadata.namespace;
        let mut backends = Vec::new();
        for path in ingress.rules.into_iter().flat_map(|rule| rule.http.paths) {
            let target = IngressTarget::of(path.backend, namespace, graph);
            backends.extend(target.filter(|target| !backends.contains(target)));
        }
        let default = match ingress.default_backend {
            None => DefaultBackend::None,
            Some(backend) => IngressTarget::of(backend, namespace, graph)
                .map_or(DefaultBackend::Unknown, DefaultBackend::To),
        };
        Self {
            class: class_of(metadata, ingress.ingress_class_name),
            created: metadata.creation_timestamp.as_deref().map(Into::into),
            backends: backends.into(),
            default,
        }
    }
}

impl IngressTarget {
    fn of(backend: IngressBackend, namespace: &str, graph: &mut Graph) -> Option<Self> {
        if let Some(service) = backend.service {
            let port = match service.port {
                IngressPort { number: Some(number @ 1..), .. } => ServicePort::Number(number),
                IngressPort { name: Some(name), .. } if !name.is_empty() => {
                    ServicePort::Name(name.into())
                }
                IngressPort { .. } => ServicePort::Implicit,
            };
            let service = graph.id(ObjectKind::Service, namespace, &service.name);
            return Some(Self::Service { service, port });
        }
        let resource = backend.resource?;
        let is_facade = resource.kind == ObjectKind::KongServiceFacade.as_str()
            && resource.api_group.as_deref() == Some(FACADE_GROUP);
        let facade = || graph.id(ObjectKind::KongServiceFacade, namespace, &resource.name);
        is_facade.then(facade).map(Self::Facade)
    }
}

impl L4Ingress {
    fn of(ingress: &L4IngressSpec, metadata: &Metadata, graph: &mut Graph) -> Self {
        let mut backends = Vec::new();
        for rule in &ingress.rules {
            let name = &rule.backend.service_name;
            let service = graph.id(ObjectKind::Service, &metadata.namespace, name);
            backends.push((service, rule.backend.service_port));
        }
        Self { class: class_of(metadata, None), backends: backends.into() }
    }
}

impl KongService {
    fn of(spec: &KongServiceSpec, metadata: &Metadata, graph: &mut Graph) -> Self {
        let mut routes = Vec::new();
        for (key, value) in &metadata.annotations {
            let Some(suffix) = key.strip_prefix(HYBRID_ROUTES) else { continue };
            let kind = match suffix {
                "" | "-HTTPRoute" => ObjectKind::HTTPRoute,
                "-GRPCRoute" => ObjectKind::GRPCRoute,
                "-TLSRoute" => ObjectKind::TLSRoute,
                "-TCPRoute" => ObjectKind::TCPRoute,
                "-UDPRoute" => ObjectKind::UDPRoute,
                _ => continue,
            };
            // `namespace/name,namespace/name`: hybridgateway/metadata/annotation.go.
            let named = value.split(',').filter_map(|route| route.trim().split_once('/'));
            routes.extend(named.map(|(namespace, name)| graph.id(kind, namespace, name)));
        }
        let name = spec.name.as_deref().filter(|name| !name.is_empty());
        let mut host = spec.host.split('.');
        let service = match (host.next(), host.next(), host.next()) {
            (Some(service), Some(namespace), None | Some("svc")) if routes.is_empty() => {
                Some(graph.id(ObjectKind::Service, namespace, service))
            }
            _ => None,
        };
        let label = name.unwrap_or(&spec.host).into();
        Self { label, routes: routes.into(), service, port: spec.port }
    }
}

impl Service {
    fn of(metadata: Metadata) -> Self {
        let annotations = metadata.annotations.into_iter();
        let annotations = annotations.filter(|(key, _)| key.starts_with(KONG_ANNOTATIONS));
        Self { annotations: annotations.map(|(key, value)| (key.into(), value.into())).collect() }
    }
}

impl Gateway {
    fn of(gateway: GatewaySpec, graph: &mut Graph) -> Self {
        let listeners = gateway.listeners.into_iter();
        let listeners = listeners
            .map(|one| Listener { name: one.name.into(), hostname: one.hostname.map(Into::into) });
        Self {
            class: graph.id(ObjectKind::GatewayClass, "", &gateway.gateway_class_name),
            listeners: listeners.collect(),
        }
    }
}

/// The class of an object: its annotation, else its own field.
fn class_of(metadata: &Metadata, field: Option<String>) -> Option<Box<str>> {
    let annotation = metadata.annotation(INGRESS_CLASS).filter(|class| !class.is_empty());
    annotation.map(Into::into).or_else(|| field.map(Into::into))
}

/// How the names of Kong's Gateway controllers start.
const CONTROLLERS: &str = "konghq.com/";
