//! `explain`, case by case: a make-believe cluster and a question in, the whole text out.
//!
//! The cases are below, what is told of each in `tests/golden/explain.txt`; `UPDATE_GOLDEN=1`
//! writes it anew.
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

#[path = "common/cluster.rs"]
mod cluster;

use std::fs;
use std::path::Path;

use cluster::{
    annotated_service, gateway_api, httproute, index, kic, manifest, operator, route, rule, service,
};
use kong_metrics_exporter::resolve::explain::{Subject, explain};
use kong_metrics_exporter::resolve::{Settings, Switch};
use serde_json::{Value, json};

const ECHO: &str = "{backendRefs: [{name: echo, port: 80}]}";
const GATEWAY: &str = "{gatewayClassName: theirs, listeners: [{name: http}]}";

#[test]
fn what_maps_to_what_and_why_not_is_told_in_whole() {
    let mut text = String::new();
    for (claim, settings, manifests, questions) in cases() {
        text += &format!("# {claim}\n");
        for question in questions {
            text += &format!("? {question}\n{}", answer(&settings, &manifests, question));
        }
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap();
    for (told, expected) in text.split("\n# ").zip(golden.split("\n# ")) {
        assert_eq!(told, expected);
    }
    assert_eq!(text, golden);
}

type Case = (&'static str, Settings, Vec<String>, Vec<&'static str>);

fn cases() -> Vec<Case> {
    [of_httproutes(), of_attachment(), of_other_routes(), of_ingresses(), of_names(), of_konnect()]
        .concat()
}

fn of_httproutes() -> Vec<Case> {
    let two = rule(&["{name: echo, port: 80, weight: 90}", "{name: canary, port: 80, weight: 10}"]);
    let far = rule(&["{name: api, namespace: data, port: 80}", "{name: files, kind: Bucket}"]);
    let within = "{backendRefs: [{name: echo, port: 80}], timeouts: {backendRequest: 5s}}";
    let grant = gateway_api(
        "ReferenceGrant",
        "data/for-web",
        "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}], \
         to: [{group: '', kind: Service}]}",
    );
    let plugins = |name: &str, plugins: &str| {
        annotated_service(name, &format!("{{konghq.com/plugins: {plugins}}}"))
    };
    let long: Vec<_> = (0..20)
        .map(|number| format!("{{name: a-service-with-a-long-name-{number}, port: 80}}"))
        .collect();
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    let auto = Settings { expressions: Switch::Off, ..Settings::default() };
    vec![
        (
            "rules of several HTTPRoutes with the same backends are one Kong service",
            operator(),
            vec![service("web/echo"), httproute("web/a", &[ECHO]), httproute("web/b", &[ECHO])],
            vec!["httproute.web.svc.web.echo.80.1", "HTTPRoute web/b", "service/web/echo"],
        ),
        (
            "separate rules are named after the route",
            kic(),
            vec![service("web/echo"), httproute("web/a", &[ECHO, "{}", ECHO])],
            vec![
                "httproute.web.a.0",
                "httproute/web/a",
                "httproute.web.a.2",
                "httproute.web.svc.web.echo.80.1",
            ],
        ),
        (
            "with auto, both names are told",
            auto.clone(),
            vec![service("web/echo"), httproute("web/a", &[ECHO])],
            vec!["httproute/web/a"],
        ),
        (
            "a route whose name looks combined keeps its name to itself",
            auto,
            vec![service("web/echo"), httproute("web/svc.web.echo.80.1.timeout", &[ECHO])],
            vec!["httproute/web/svc.web.echo.80.1.timeout"],
        ),
        (
            "several Services under one name",
            operator(),
            vec![service("web/echo"), service("web/canary"), httproute("web/a", &[&two])],
            vec!["httproute.web.svc.web.canary.80.10_web.echo.80.90", "service/web/canary"],
        ),
        (
            "a missing Service",
            operator(),
            vec![service("web/echo"), httproute("web/a", &[&two])],
            vec!["httproute/web/a", "service/web/canary"],
        ),
        (
            "a Service of another namespace without a grant, and what is no Service",
            operator(),
            vec![service("data/api"), httproute("web/a", &[&far])],
            vec!["httproute/web/a", "service/data/api"],
        ),
        (
            "a Service of another namespace with a grant",
            operator(),
            vec![service("data/api"), httproute("web/a", &[&far]), grant.clone()],
            vec!["httproute/web/a"],
        ),
        (
            "annotations that contradict each other",
            operator(),
            vec![plugins("web/echo", "a"), service("web/canary"), httproute("web/a", &[&two])],
            vec!["httproute.web.svc.web.canary.80.10_web.echo.80.90", "httproute/web/a"],
        ),
        (
            "rules that differ in the timeout",
            operator(),
            vec![service("web/echo"), httproute("web/a", &[ECHO, within])],
            vec!["httproute.web.svc.web.echo.80.1.timeout.5000", "httproute/web/a"],
        ),
        (
            "a name of more than 511 bytes",
            operator(),
            vec![service("web/a-service-with-a-long-name-0"), httproute("web/a", &[&rule(&long)])],
            vec![
                "httproute.web.svc.web.a-service-with-a-long-name-0.80.1_combined.\
                 ce3d3c32a58c9b2c1ac94188c07b59c570a8f5acd11ac8f6582e4941218443e0",
            ],
        ),
        (
            "a rule without backends",
            operator(),
            vec![httproute("web/a", &["{}"])],
            vec!["httproute.web.svc._", "httproute/web/a"],
        ),
        (
            "another rule comes first and decides",
            operator(),
            vec![
                service("data/api"),
                httproute("web/a", &[&far]),
                httproute("web/b", &[&far]),
                grant,
            ],
            vec!["httproute.web.svc.data.api.80.1_web.files.1", "httproute/web/b"],
        ),
    ]
}

fn of_attachment() -> Vec<Case> {
    let to = |parents: &str| {
        gateway_api("HTTPRoute", "web/a", &format!("{{parentRefs: [{parents}], rules: [{ECHO}]}}"))
    };
    let class = gateway_api("GatewayClass", "theirs", "{controllerName: example.com/gateway}");
    let gateway = gateway_api("Gateway", "web/kong", GATEWAY);
    let query = "{matches: [{queryParams: [{name: a, value: b}]}]}";
    let scoped = |name: &str| {
        let gateways = [("web".to_owned(), name.to_owned())].into();
        Settings { gateways, ..operator() }
    };
    vec![
        (
            "a Gateway of another vendor's class",
            operator(),
            vec![service("web/echo"), class, gateway.clone(), to("{name: kong}")],
            vec!["httproute/web/a", "httproute.web.a.0", "service/web/echo"],
        ),
        ("no parent", operator(), vec![to("")], vec!["httproute/web/a"]),
        (
            "a mesh's route",
            operator(),
            vec![to("{name: echo, kind: Service}")],
            vec!["httproute/web/a"],
        ),
        (
            "a Gateway out of scope",
            scoped("other"),
            vec![gateway.clone(), to("{name: kong}")],
            vec!["httproute/web/a"],
        ),
        (
            "a listener that is not there",
            operator(),
            vec![service("web/echo"), gateway, to("{name: kong, sectionName: https}")],
            vec!["httproute/web/a"],
        ),
        (
            "query parameters and the traditional router",
            operator(),
            vec![httproute("web/a", &[ECHO, query])],
            vec!["httproute/web/a"],
        ),
    ]
}

fn of_other_routes() -> Vec<Case> {
    let grpc = gateway_api(
        "GRPCRoute",
        "web/g",
        &format!("{{parentRefs: [{{name: kong}}], hostnames: [b.c], rules: [{ECHO}]}}"),
    );
    let both = Settings { expressions: Switch::Auto, ..kic() };
    vec![
        (
            "a GRPCRoute with either router",
            both,
            vec![service("web/echo"), grpc],
            vec!["grpcroute.web.g.b.c.0", "grpcroute/web/g"],
        ),
        (
            "a GRPCRoute's name that may end in a host name",
            kic(),
            vec![],
            vec!["grpcroute.web.g.b.c.0"],
        ),
        (
            "a TCPRoute",
            kic(),
            vec![service("web/echo"), route("TCPRoute", "web/t", &[ECHO])],
            vec!["tcproute.web.t.0", "TCPRoute web/t", "tcproute.web.t.1"],
        ),
    ]
}

fn of_ingresses() -> Vec<Case> {
    let to = |name: &str| format!("{{service: {{name: {name}, port: {{number: 80}}}}}}");
    let facade_ref = "{resource: {apiGroup: incubator.ingress-controller.konghq.com, kind: \
                      KongServiceFacade, name: front}}";
    let ingress = |name: &str, class: &str, rest: &str| {
        manifest("networking.k8s.io/v1", "Ingress", name, "{}", &format!("{{{class} {rest}}}"))
    };
    let paths = |backend: &str| format!("rules: [{{http: {{paths: [{{backend: {backend}}}]}}}}]");
    let ours = "ingressClassName: kong,";
    let facade = |annotations: &str| {
        manifest(
            "incubator.ingress-controller.konghq.com/v1alpha1",
            "KongServiceFacade",
            "web/front",
            annotations,
            "{backendRef: {name: echo, port: 80}}",
        )
    };
    let by_facade = ingress("web/i", ours, &paths(facade_ref));
    let default = |name: &str, service: &str| {
        ingress(name, ours, &format!("defaultBackend: {}", to(service)))
    };
    let tcp = manifest(
        "configuration.konghq.com/v1beta1",
        "TCPIngress",
        "web/t",
        "{kubernetes.io/ingress.class: kong}",
        "{rules: [{backend: {serviceName: echo, servicePort: 9000}}]}",
    );
    let off = Settings { facade: false, ..kic() };
    vec![
        (
            "an Ingress",
            kic(),
            vec![service("web/echo"), ingress("web/i", ours, &paths(&to("echo")))],
            vec!["web.echo.80", "ingress/web/i", "service/web/echo", "web.other.80"],
        ),
        (
            "an Ingress of another class",
            kic(),
            vec![
                service("web/echo"),
                ingress("web/i", "ingressClassName: nginx,", &paths(&to("echo"))),
            ],
            vec!["ingress/web/i", "service/web/echo"],
        ),
        (
            "an Ingress without a class",
            kic(),
            vec![ingress("web/i", "", &paths(&to("echo")))],
            vec!["ingress/web/i"],
        ),
        (
            "only the oldest default backend",
            kic(),
            vec![service("web/echo"), default("web/a", "echo"), default("web/b", "echo")],
            vec!["ingress/web/b", "web.echo.80"],
        ),
        (
            "a facade",
            kic(),
            vec![
                service("web/echo"),
                facade("{kubernetes.io/ingress.class: kong}"),
                by_facade.clone(),
            ],
            vec!["web.front.svc.facade", "ingress/web/i", "kongservicefacade/web/front"],
        ),
        (
            "a facade that is missing",
            kic(),
            vec![by_facade.clone()],
            vec!["web.front.svc.facade", "ingress/web/i"],
        ),
        (
            "a facade of another class",
            kic(),
            vec![
                service("web/echo"),
                facade("{kubernetes.io/ingress.class: nginx}"),
                by_facade.clone(),
            ],
            vec!["ingress/web/i", "kongservicefacade/web/front", "service/web/echo"],
        ),
        (
            "facades switched off",
            off,
            vec![service("web/echo"), facade("{kubernetes.io/ingress.class: kong}"), by_facade],
            vec!["web.front.svc.facade", "ingress/web/i"],
        ),
        (
            "a TCPIngress",
            kic(),
            vec![service("web/echo"), tcp.clone()],
            vec!["web.echo.9000", "tcpingress/web/t"],
        ),
        (
            "a TCPIngress with Kong Operator",
            operator(),
            vec![service("web/echo"), tcp],
            vec!["tcpingress/web/t"],
        ),
    ]
}

fn of_names() -> Vec<Case> {
    vec![(
        "names that no object makes",
        operator(),
        vec![service("web/echo"), httproute("web/a", &[ECHO])],
        vec![
            "httproute.web.a.0",
            "httproute.web.a.1",
            "httproute.web.gone.0",
            "httproute.web.svc.web.gone.80.1",
            "web.echo.80",
            "echo.web.80.svc",
            "web.front.svc.facade",
            "http.web-echo-80.1.cp1a2b3c4d.5e6f7a8b",
            "by-hand",
            "httproute/web/gone",
            "service/web/gone",
        ],
    )]
}

fn of_konnect() -> Vec<Case> {
    let named = |name: &str, routes: &str, spec: &str| {
        manifest("configuration.konghq.com/v1alpha1", "KongService", name, routes, spec)
    };
    let hybrid = "{name: http.web-echo-80.1.cp1.2, host: x}";
    let routes = "{gateway-operator.konghq.com/hybrid-routes: web/a}";
    vec![
        (
            "a KongService made of a route",
            operator(),
            vec![service("web/echo"), httproute("web/a", &[ECHO]), named("web/k", routes, hybrid)],
            vec!["http.web-echo-80.1.cp1.2", "kongservice/web/k"],
        ),
        (
            "a KongService made of a route that is gone",
            operator(),
            vec![service("web/echo"), named("web/k", routes, hybrid)],
            vec!["kongservice/web/k"],
        ),
        (
            "a user's KongService",
            operator(),
            vec![
                service("web/echo"),
                named("web/k", "{}", "{host: echo.web.svc, port: 80}"),
                named("web/l", "{}", "{name: mine, host: example.com}"),
                named("web/m", "{}", "{}"),
            ],
            vec!["echo.web.svc", "mine", "kongservice/web/l", "kongservice/web/m"],
        ),
    ]
}

fn answer(settings: &Settings, manifests: &[String], question: &str) -> String {
    let index = index(settings, manifests);
    let snapshot = index.snapshot();
    let words: Vec<_> = question.split(' ').map(str::to_owned).collect();
    explain(&index, &snapshot, &Subject::parse(&words).unwrap()).to_string()
}

#[test]
fn json_has_the_same_with_one_word_for_each_verdict() {
    let far = rule(&["{name: api, namespace: data, port: 80}", "{name: echo, port: 80}"]);
    let manifests = [service("web/echo"), httproute("web/a", &[&far])];
    let index = index(&operator(), &manifests);
    let snapshot = index.snapshot();
    let told = |question: &str| {
        let subject = Subject::parse(&[question.to_owned()]).unwrap();
        serde_json::to_value(explain(&index, &snapshot, &subject)).unwrap()
    };
    let backends = json!([
        {
            "namespace": "data", "service": "api", "port": "80", "weight": 1,
            "verdict": "missing", "text": "left out: there is no such Service",
        },
        {
            "namespace": "web", "service": "echo", "port": "80", "weight": 1,
            "verdict": "counts", "text": "counts",
        },
    ]);
    let name = "httproute.web.svc.data.api.80.1_web.echo.80.1";
    let how = "combined: named after its backends, and one with every rule of HTTPRoutes in \
               namespace web that has the same";
    assert_eq!(
        told("httproute/web/a"),
        json!({
            "subject": "object", "kind": "HTTPRoute", "namespace": "web", "name": "a",
            "known": true, "left_out": [], "notes": [],
            "rules": [{
                "rule": "rule 0", "backends": backends, "left_out": [],
                "kong_services": [{"name": name, "how": how, "stands_for": "Service web/echo"}],
            }],
        })
    );
    let of_name = told(name);
    assert_eq!(of_name["subject"], "name");
    assert_eq!(of_name["tier"], "exact");
    assert_eq!(of_name["target"]["kind"], "service");
    assert_eq!(of_name["made_by"][0]["backends"], backends);
    assert_eq!(told("nothing")["target"], Value::Null);
    assert_eq!(told("service/data/api")["behind"][0]["backend"]["verdict"], "missing");
}
