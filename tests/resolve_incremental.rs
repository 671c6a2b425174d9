//! Whatever the order of events, the index is the one of the objects that are left.

#[path = "common/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::time::Instant;

use cluster::{
    annotated_service, gateway_api, httproute, kic, lines, manifest, objects, operator, rule,
    service,
};
use kong_metrics_exporter::kubernetes::{Key, Object};
use kong_metrics_exporter::mapping::{Entry, Snapshot};
use kong_metrics_exporter::resolve::{Change, Flavor, Index, Settings, Switch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What happens to a cluster.
#[derive(Debug, Clone)]
enum Event {
    /// An object is made or changed; its manifest.
    Apply(String),
    /// Of the object that was applied so many events ago.
    Delete(usize),
    /// Of everything of its kind, in its namespace or all of them: a new list without them.
    Vanish(usize, bool),
    /// Somebody asks what has changed.
    Ask,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_add_up_to_the_mapping_of_what_is_left(
        settings in settings(),
        events in vec(event(), 1..60),
    ) {
        let mut index = Index::new(settings.clone());
        // Asked for whole snapshots, each made of the one before.
        let (mut other, mut snapshot) = (Index::new(settings.clone()), Snapshot::default());
        let now = Instant::now();
        let mut left: BTreeMap<Key, Object> = BTreeMap::new();
        let mut applied: Vec<Key> = Vec::new();
        let mut told: BTreeMap<String, Entry> = BTreeMap::new();
        for event in events {
            match event {
                Event::Apply(manifest) => {
                    for object in objects(&[manifest]) {
                        applied.push(object.key());
                        left.insert(object.key(), object.clone());
                        other.apply(object.clone());
                        index.apply(object);
                    }
                }
                Event::Delete(ago) => {
                    let Some(at) = applied.len().checked_sub(1 + ago) else { continue };
                    left.remove(&applied[at]);
                    index.delete(&applied[at]);
                    other.delete(&applied[at]);
                }
                Event::Vanish(ago, everywhere) => {
                    let Some(at) = applied.len().checked_sub(1 + ago) else { continue };
                    let Key { kind, namespace, .. } = &applied[at];
                    let namespace = Some(&**namespace).filter(|_| !everywhere);
                    let is_left = |key: &Key| {
                        let is_meant = namespace.is_none_or(|own| *own == *key.namespace);
                        key.kind != *kind || !is_meant
                    };
                    left.retain(|key, _| is_left(key));
                    for index in [&mut index, &mut other] {
                        index.retain(*kind, namespace, |_| false);
                        prop_assert!(index.keys(*kind).all(|key| is_left(&key)));
                    }
                    let count = left.keys().filter(|key| key.kind == *kind).count();
                    prop_assert_eq!(index.count().get(kind).copied().unwrap_or_default(), count);
                }
                Event::Ask => {
                    take_up(&mut told, index.changes());
                    let scratch = scratch(&settings, left.values());
                    prop_assert_eq!(lines_of(&told), lines(&scratch.snapshot()));
                    snapshot = other.update(&snapshot, now);
                    prop_assert_eq!(lines(&snapshot), lines(&scratch.snapshot()));
                }
            }
        }
        take_up(&mut told, index.changes());
        let scratch = scratch(&settings, left.values().rev());
        prop_assert_eq!(lines(&index.snapshot()), lines(&scratch.snapshot()));
        prop_assert_eq!(lines_of(&told), lines(&scratch.snapshot()));
        snapshot = other.update(&snapshot, now);
        prop_assert_eq!(lines(&snapshot), lines(&scratch.snapshot()));
        prop_assert_eq!(index.dropped(), scratch.dropped());
        prop_assert_eq!(index.changes(), []);
        // Nothing is left of what is gone.
        for key in left.into_keys() {
            index.delete(&key);
        }
        prop_assert!(index.snapshot().is_empty());
        take_up(&mut told, index.changes());
        prop_assert!(told.is_empty());
    }
}

#[test]
fn a_union_is_in_the_order_of_names_whatever_came_first() {
    let named = |name: &str, routes: &str| {
        let spec = "{name: http.web-echo-80.1.cp1.2, host: echo.web.svc}";
        manifest("configuration.konghq.com/v1alpha1", "KongService", name, routes, spec)
    };
    let cluster = [
        named("web/b", "{}"),
        service("web/echo"),
        httproute("web/a", &[&rule(&["{name: echo, port: 80}"])]),
        named("web/a", "{gateway-operator.konghq.com/hybrid-routes: web/a}"),
    ];
    let mut backwards = cluster.clone();
    backwards.reverse();
    let mapping = cluster::mapping(&operator(), &cluster);
    assert_eq!(mapping, cluster::mapping(&operator(), &backwards));
    assert_eq!(
        mapping[0],
        "http.web-echo-80.1.cp1.2 -> web/echo:80*1 web/echo < HTTPRoute web/a:0 KongService web/b"
    );
}

#[test]
fn an_update_that_changes_nothing_that_matters_is_no_change() {
    let route = httproute("web/a", &[&rule(&["{name: echo, port: 80}"])]);
    let cluster = [service("web/echo"), route.clone()];
    let mut index = cluster::index(&operator(), &cluster);
    assert_eq!(index.changes().len(), 1);
    let labelled = route.replace("metadata: {", "metadata: {labels: {a: b}, ");
    objects(&[labelled, service("web/echo")]).into_iter().for_each(|object| index.apply(object));
    assert_eq!(index.changes(), []);
}

#[test]
fn a_change_touches_only_the_names_of_those_who_refer_to_it() {
    let rule_to = |name: &str| rule(&[&format!("{{name: {name}, port: 80}}")]);
    let mut cluster = vec![service("web/echo"), service("web/other")];
    for route in ["a", "b"] {
        cluster.push(httproute(&format!("web/{route}"), &[&rule_to("echo"), &rule_to("other")]));
    }
    cluster.push(httproute("web/c", &[&rule_to("other")]));
    let mut index = cluster::index(&kic(), &cluster);
    assert_eq!(index.changes().len(), 5);
    index.delete(&objects(&[service("web/echo")])[0].key());
    let names: Vec<_> = index.changes().into_iter().map(|change| change.name).collect();
    assert_eq!(
        names,
        ["httproute.web.a.0", "httproute.web.a.1", "httproute.web.b.0", "httproute.web.b.1"]
    );
    index.delete(&objects(&[httproute("web/c", &[])])[0].key());
    let gone = Change { name: "httproute.web.c.0".to_owned(), entry: None };
    assert_eq!(index.changes(), [gone]);
}

fn scratch<'o>(settings: &Settings, objects: impl IntoIterator<Item = &'o Object>) -> Index {
    let mut index = Index::new(settings.clone());
    objects.into_iter().for_each(|object| index.apply(object.clone()));
    index
}

fn take_up(told: &mut BTreeMap<String, Entry>, changes: Vec<Change>) {
    for Change { name, entry } in changes {
        match entry {
            Some(entry) => told.insert(name, entry),
            None => told.remove(&name),
        };
    }
}

fn lines_of(told: &BTreeMap<String, Entry>) -> Vec<String> {
    lines(&told.clone().into_iter().collect::<Snapshot>())
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => object().prop_map(Event::Apply),
        4 => (0_usize..20).prop_map(Event::Delete),
        1 => (0_usize..20, any::<bool>()).prop_map(|(ago, all)| Event::Vanish(ago, all)),
        1 => Just(Event::Ask),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let switch = || select(&[Switch::On, Switch::Off, Switch::Auto][..]);
    let flavor = select(&[Flavor::Kic, Flavor::KongOperator, Flavor::Auto][..]);
    (flavor, switch(), switch(), any::<bool>()).prop_map(
        |(flavor, combined, expressions, facade)| Settings {
            flavor,
            combined,
            expressions,
            facade,
            ..Settings::default()
        },
    )
}

/// An object of a very small world, so that objects meet.
fn object() -> BoxedStrategy<String> {
    let annotations = text("{}|{konghq.com/plugins: a}|{konghq.com/plugins: b}|{konghq.com/x: a}");
    let class =
        || text("{}|{kubernetes.io/ingress.class: kong}|{kubernetes.io/ingress.class: other}");
    let default = text("{}|{ingressclass.kubernetes.io/is-default-class: 'true'}");
    let of = |kind: &'static str, spec: BoxedStrategy<String>| {
        (name(), spec).prop_map(move |(name, spec)| gateway_api(kind, &name, &spec)).boxed()
    };
    let cluster_wide = |version: &'static str, kind: &'static str| {
        move |(name, annotations, spec): (String, String, String)| {
            manifest(version, kind, &name, &annotations, &spec)
        }
    };
    let routes = select(&["HTTPRoute", "HTTPRoute", "HTTPRoute", "GRPCRoute", "TCPRoute"][..]);
    let route = (routes, name(), route_spec())
        .prop_map(|(kind, name, spec)| gateway_api(kind, &name, &spec));
    let ingress = (ingress_spec(), 0..3).prop_map(|(spec, year)| (spec, format!("202{year}")));
    let ingress = (name(), class(), ingress).prop_map(|(name, class, (spec, year))| {
        manifest("networking.k8s.io/v1", "Ingress", &name, &class, &spec)
            .replace("annotations", &format!("creationTimestamp: '{year}', annotations"))
    });
    let facade = (name(), class()).prop_map(|(name, class)| {
        let version = "incubator.ingress-controller.konghq.com/v1alpha1";
        manifest(version, "KongServiceFacade", &name, &class, "{backendRef: {name: x, port: 80}}")
    });
    let tcp = (name(), class()).prop_map(|(name, class)| {
        let spec = "{rules: [{backend: {serviceName: x, servicePort: 80}}]}";
        manifest("configuration.konghq.com/v1beta1", "TCPIngress", &name, &class, spec)
    });
    let hybrid = (name(), text("{}|{gateway-operator.konghq.com/hybrid-routes: 'a/x,b/y'}"))
        .prop_map(|(name, routes)| {
            let spec = "{name: http.a-x-80.1.cp1.2, host: x.a.svc}";
            manifest("configuration.konghq.com/v1alpha1", "KongService", &name, &routes, spec)
        });
    let gateway = text(
        "{gatewayClassName: ours}|{gatewayClassName: theirs}\
         |{gatewayClassName: ours, listeners: [{name: l, hostname: '*.h'}, {name: m}]}",
    );
    let controller = text("{controllerName: konghq.com/x}|{controllerName: example.com/x}");
    let gateway_class = (text("ours|theirs"), Just("{}".to_owned()), controller)
        .prop_map(cluster_wide("gateway.networking.k8s.io/v1", "GatewayClass"));
    let controller = text("{controller: ingress-controllers.konghq.com/kong}|{controller: x}");
    let ingress_class = (text("kong|other"), default, controller)
        .prop_map(cluster_wide("networking.k8s.io/v1", "IngressClass"));
    let control_plane = text(
        "{}|{translation: {combinedServicesFromDifferentHTTPRoutes: disabled}}\
         |{ingressClass: other}",
    );
    let control_plane = (name(), Just("{}".to_owned()), control_plane)
        .prop_map(cluster_wide("gateway-operator.konghq.com/v2beta1", "ControlPlane"));
    let grant = text(
        "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], \
         to: [{kind: Service}]}|{}",
    );
    prop_oneof![
        6 => (name(), annotations).prop_map(|(name, own)| annotated_service(&name, &own)),
        10 => route,
        3 => ingress,
        1 => facade,
        1 => tcp,
        1 => hybrid,
        2 => of("Gateway", gateway),
        1 => gateway_class,
        1 => ingress_class,
        1 => control_plane,
        1 => of("ReferenceGrant", grant),
    ]
    .boxed()
}

fn route_spec() -> impl Strategy<Value = String> {
    let parents = text("{name: x}|{name: y, sectionName: l}|{name: x, kind: Service}|");
    let hostnames = text("|'b.c'|'*.b', c");
    (parents, hostnames, vec(rule_spec(), 0..4)).prop_map(|(parents, hostnames, rules)| {
        let rules = rules.join(", ");
        format!("{{parentRefs: [{parents}], hostnames: [{hostnames}], rules: [{rules}]}}")
    })
}

fn rule_spec() -> impl Strategy<Value = String> {
    let backend = text(
        "{name: x, port: 80}|{name: y, port: 80}|{name: x, port: 80, namespace: b}\
         |{name: x, port: 80, namespace: a}|{name: x, kind: Bucket, port: 80}\
         |{name: x, port: 80, weight: 2}",
    );
    let rest = text("|, timeouts: {backendRequest: 5s}|, matches: [{queryParams: [{name: a}]}]");
    (vec(backend, 0..3), rest)
        .prop_map(|(backends, rest)| format!("{{backendRefs: [{}]{rest}}}", backends.join(", ")))
}

fn ingress_spec() -> BoxedStrategy<String> {
    let backend = || {
        text(
            "{service: {name: x, port: {number: 80}}}|{service: {name: y, port: {name: h}}}\
             |{resource: {apiGroup: incubator.ingress-controller.konghq.com, \
             kind: KongServiceFacade, name: x}}|{}",
        )
    };
    let with_default = backend().prop_map(|one| format!("defaultBackend: {one},"));
    let class = text("|ingressClassName: kong,|ingressClassName: other,");
    (class, vec(backend(), 0..3), prop_oneof![Just(String::new()), with_default])
        .prop_map(|(class, backends, default)| {
            let paths: Vec<_> = backends.iter().map(|one| format!("{{backend: {one}}}")).collect();
            let paths = paths.join(", ");
            format!("{{{class} {default} rules: [{{http: {{paths: [{paths}]}}}}]}}")
        })
        .boxed()
}

fn name() -> BoxedStrategy<String> {
    text("a/x|a/y|b/x|b/y|a/x.b|a/svc.a.x.80")
}

/// One of these, which `|` separates.
fn text(choices: &'static str) -> BoxedStrategy<String> {
    select(choices.split('|').map(str::to_owned).collect::<Vec<_>>()).boxed()
}
