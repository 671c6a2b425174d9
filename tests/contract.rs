//! The output contract, by example. In: lines as Kong prints them. Out: the lines a scraper gets.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

#[allow(dead_code)] // each test takes what it needs
#[path = "common/rewriting.rs"]
mod rewriting;

use kong_metrics_exporter::rewrite::{FamilyFilter, LabelNames, Reason, Selection, Verdict};
use rewriting::Setup;

#[track_caller]
fn rewrites(setup: &Setup, before: &str, after: &str) {
    assert_eq!(setup.rewrite(before).utf8(), after);
}

#[test]
fn a_mapped_service_is_replaced_in_place() {
    rewrites(
        &Setup::mapping(&[("httproute.shop.cart.0", &["shop/cart"])]),
        "kong_upstream_latency_ms_bucket{service=\"httproute.shop.cart.0\",route=\"httproute.shop.cart.0.0\",workspace=\"default\",le=\"25\"} 12\n",
        "kong_upstream_latency_ms_bucket{exported_service=\"cart\",exported_namespace=\"shop\",kubernetes_name=\"cart\",kubernetes_namespace=\"shop\",kubernetes_kind=\"service\",kubernetes_apiversion=\"v1\",kong_service=\"httproute.shop.cart.0\",route=\"httproute.shop.cart.0.0\",workspace=\"default\",le=\"25\"} 12\n",
    );
}

#[test]
fn a_name_that_says_its_service_needs_no_mapping() {
    rewrites(
        &Setup::default(),
        "kong_x{service=\"default.echo.80\"} 1\n",
        "kong_x{exported_service=\"echo\",exported_namespace=\"default\",kubernetes_name=\"echo\",kubernetes_namespace=\"default\",kubernetes_kind=\"service\",kubernetes_apiversion=\"v1\",kong_service=\"default.echo.80\"} 1\n",
    );
}

#[test]
fn several_services_are_labelled_by_their_route_and_nobody_is_guessed() {
    let setup = Setup::mapping_file(
        r#"{"services": {"httproute.web.split.0": {
            "backends": [{"namespace": "web", "service": "a", "weight": 90}, {"namespace": "web", "service": "b", "weight": 10}],
            "owners": [{"kind": "HTTPRoute", "namespace": "web", "name": "split", "rule": 0}]}}}"#,
    );
    rewrites(
        &setup,
        "kong_x{service=\"httproute.web.split.0\",route=\"r\"} 1\n",
        "kong_x{kubernetes_name=\"split\",kubernetes_namespace=\"web\",kubernetes_kind=\"httproute\",kubernetes_apiversion=\"gateway.networking.k8s.io/v1\",kong_service=\"httproute.web.split.0\",route=\"r\"} 1\n",
    );
}

#[test]
fn the_route_label_tells_owners_of_one_kong_service_apart() {
    let name = "httproute.web.svc.web.a.80.1_web.b.80.1";
    let setup = Setup::mapping_file(&format!(
        r#"{{"services": {{"{name}": {{
            "backends": [{{"namespace": "web", "service": "a"}}, {{"namespace": "web", "service": "b"}}],
            "owners": [{{"kind": "HTTPRoute", "namespace": "web", "name": "one", "rule": 0}},
                       {{"kind": "HTTPRoute", "namespace": "web", "name": "two", "rule": 0}}]}}}}}}"#
    ));
    let line = |labels: &str, route: &str| format!("kong_x{{{labels}=\"{name}\"{route}}} 1\n");
    let route = |name: &str| format!(",route=\"httproute.web.{name}.0.0\"");
    let of = |name: &str| {
        format!(
            "kubernetes_name=\"{name}\",kubernetes_namespace=\"web\",kubernetes_kind=\"httproute\",kubernetes_apiversion=\"gateway.networking.k8s.io/v1\",kong_service"
        )
    };
    let common = "kubernetes_namespace=\"web\",kubernetes_kind=\"httproute\",kubernetes_apiversion=\"gateway.networking.k8s.io/v1\",kong_service";
    let before = [
        line("service", &route("one")),
        line("service", &route("two")),
        line("service", &route("other")),
        line("service", ""),
    ];
    let after = [
        line(&of("one"), &route("one")),
        line(&of("two"), &route("two")),
        line(common, &route("other")),
        line(common, ""),
    ];
    rewrites(&setup, &before.concat(), &after.concat());
}

#[test]
fn an_unknown_name_is_only_renamed_and_counted() {
    let outcome = Setup::default().rewrite("kong_x{service=\"nobody\"} 1\nkong_y{service=\"nobody\"} 2\nkong_y{service=\"a.b.80\"} 2\n");
    assert!(
        outcome
            .utf8()
            .starts_with("kong_x{kong_service=\"nobody\"} 1\nkong_y{kong_service=\"nobody\"} 2\n")
    );
    assert_eq!((outcome.stats.unmapped, outcome.stats.mapped), (1, 1));
}

#[test]
fn lines_without_a_service_are_untouched() {
    let text = "# HELP kong_x a {service=\"default.echo.80\"}\n# TYPE kong_x counter\n# a comment\n\n\
        kong_x 1\nkong_x{service=\"\"} 1\nkong_x{source=\"service\"} 1\nkong_x{x_service=\"a.b.80\",service_x=\"a.b.80\"} 1\n\
        service 3\nkong_x{c=\"service=\\\"a.b.80\\\",\"} 1\n";
    rewrites(&Setup::default(), text, text);
}

#[test]
fn upstream_health_is_labelled_by_its_upstream() {
    let labels = "exported_service=\"echo\",exported_namespace=\"default\",kubernetes_name=\"echo\",kubernetes_namespace=\"default\",kubernetes_kind=\"service\",kubernetes_apiversion=\"v1\"";
    rewrites(
        &Setup::default(),
        "kong_upstream_target_health{upstream=\"echo.default.80.svc\",target=\"10.0.0.1:80\",state=\"healthy\"} 1\nkong_other{upstream=\"echo.default.80.svc\"} 1\n",
        &format!(
            "kong_upstream_target_health{{{labels},kong_service=\"echo.default.80.svc\",upstream=\"echo.default.80.svc\",target=\"10.0.0.1:80\",state=\"healthy\"}} 1\nkong_other{{upstream=\"echo.default.80.svc\"}} 1\n"
        ),
    );
}

#[test]
fn label_names_are_the_users() {
    let labels = LabelNames::new("svc", "ns", "service").unwrap();
    rewrites(
        &Setup { labels, ..Setup::default() },
        "kong_x{service=\"default.echo.80\"} 1\nkong_x{service=\"nobody\"} 1\n",
        "kong_x{svc=\"echo\",ns=\"default\",kubernetes_name=\"echo\",kubernetes_namespace=\"default\",kubernetes_kind=\"service\",kubernetes_apiversion=\"v1\",service=\"default.echo.80\"} 1\nkong_x{service=\"nobody\"} 1\n",
    );
}

#[test]
fn a_sample_that_has_our_labels_already_is_left_alone() {
    let text = "kong_x{service=\"default.echo.80\",exported_service=\"old\"} 1\nkong_x{service=\"default.echo.80\",exported_service=\"other\"} 1\n";
    let outcome = Setup::default().rewrite(text);
    assert_eq!(outcome.utf8(), text);
    assert_eq!(outcome.stats.samples_clashing, 2);
}

#[test]
fn a_raw_newline_in_a_value_is_escaped_and_counted() {
    let outcome = Setup::default().rewrite(
        "kong_x{service=\"nobody\",consumer=\"a\nkong_fake 1\n\"} 1\nkong_y{c=\"\n\"} 2\n",
    );
    assert_eq!(
        outcome.utf8(),
        "kong_x{kong_service=\"nobody\",consumer=\"a\\nkong_fake 1\\n\"} 1\nkong_y{c=\"\\n\"} 2\n"
    );
    assert_eq!((outcome.stats.newlines_escaped, outcome.stats.samples_in), (3, 2));
}

#[test]
fn escapes_quotes_and_odd_spacing_are_understood() {
    rewrites(
        &Setup::mapping(&[("a\"b\\", &["n/s"])]),
        "{ \"kong.x\" ,\t\"service\" = \"a\\\"b\\\\\" , } 1 1790000000123\n",
        "{ \"kong.x\" ,\texported_service=\"s\",exported_namespace=\"n\",kubernetes_name=\"s\",kubernetes_namespace=\"n\",kubernetes_kind=\"service\",kubernetes_apiversion=\"v1\",\"kong_service\" = \"a\\\"b\\\\\" , } 1 1790000000123\n",
    );
}

#[test]
fn malformed_lines_are_dropped_counted_and_shown() {
    let outcome = Setup::default().rewrite(
        "kong_a 1\nkong_b{service=\"x\" 1\nkong_c 0x10\nkong_d{a=\"1\",a=\"2\"} 1\nkong_e 5\n",
    );
    assert_eq!(outcome.utf8(), "kong_a 1\nkong_e 5\n");
    assert_eq!(outcome.stats.dropped_for(Reason::Malformed), 2);
    assert_eq!(outcome.stats.dropped_for(Reason::DuplicateLabel), 1);
    assert_eq!(
        outcome.stats.first_drop.unwrap().to_string(),
        "malformed: expected , or } at byte 19 of: kong_b{service=\\\"x\\\" 1"
    );
}

#[test]
fn metadata_is_said_once() {
    let outcome = Setup::default().rewrite(
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n# TYPE a gauge\na 2\nb 1\n# TYPE b gauge\n",
    );
    assert_eq!(outcome.utf8(), "# HELP a x\n# TYPE a gauge\na 1\na 2\nb 1\n");
    let dropped = |reason| outcome.stats.dropped_for(reason);
    assert_eq!(
        (dropped(Reason::RepeatedHelp), dropped(Reason::RepeatedType), dropped(Reason::LateType)),
        (1, 1, 1)
    );
}

#[test]
fn families_are_left_out_whole() {
    let text = "# HELP kong_l x\n# TYPE kong_l histogram\nkong_l_bucket{service=\"a.b.80\",le=\"+Inf\"} 1\nkong_l_sum{service=\"a.b.80\"} 1\nkong_l_count{service=\"a.b.80\"} 1\n\
        # TYPE kong_c counter\nkong_c{service=\"a.b.80\"} 1\nkong_c_count 4\n";
    let deny = FamilyFilter::new(&[], &["kong_l".to_owned()]).unwrap();
    let outcome = Setup { filter: deny, ..Setup::default() }.rewrite(text);
    assert!(
        outcome.utf8().starts_with("# TYPE kong_c counter\nkong_c{exported_service=\"b\""),
        "{}",
        outcome.utf8()
    );
    assert_eq!(outcome.utf8().lines().count(), 3);
    assert_eq!(outcome.stats.samples_out(), 2);
    let asked = Selection::from_query("name[]=kong_l");
    let outcome = Setup { selection: asked, ..Setup::default() }.rewrite(text);
    assert_eq!(outcome.utf8().lines().count(), 5);
    assert!(!outcome.utf8().contains("kong_c"));
}

#[test]
fn kongs_own_dictionary_is_read_on_the_way() {
    let fill = |used: u32| {
        format!(
            "kong_memory_lua_shared_dict_bytes{{node_id=\"n\",shared_dict=\"kong\",kong_subsystem=\"http\"}} 1\n\
         kong_memory_lua_shared_dict_bytes{{node_id=\"n\",shared_dict=\"prometheus_metrics\",kong_subsystem=\"http\"}} {used}\n\
         kong_memory_lua_shared_dict_total_bytes{{node_id=\"n\",shared_dict=\"kong\",kong_subsystem=\"http\"}} 2\n\
         kong_memory_lua_shared_dict_total_bytes{{node_id=\"n\",shared_dict=\"prometheus_metrics\",kong_subsystem=\"http\"}} 5242880\n"
        )
    };
    let outcome = Setup::default().rewrite(fill(5_242_880));
    assert_eq!(outcome.stats.dictionary.unwrap().used_ratio(), 1.0);
    assert_eq!(outcome.utf8(), fill(5_242_880));
    let outcome = Setup::default().rewrite(fill(1_310_720));
    assert_eq!(outcome.stats.dictionary.unwrap().used_ratio(), 0.25);
}

#[test]
fn the_first_record_alone_tells_whether_it_is_an_exposition() {
    let verdict = |text: &str| {
        let mut rewriter = Setup::default().rewriter();
        rewriter.push(text.as_bytes(), &mut Vec::new());
        rewriter.verdict()
    };
    assert_eq!(verdict("\n \n"), Verdict::Undecided);
    assert_eq!(verdict("\nkong_x 1\n<html>\n"), Verdict::Exposition);
    assert_eq!(verdict("# HELP kong_x y\n<html>\n"), Verdict::Exposition);
    // A byte order mark, HTML, JSON: even if lines follow that are good by themselves.
    assert_eq!(verdict("\u{feff}kong_x 1\nkong_y 2\n"), Verdict::SomethingElse);
    assert_eq!(verdict("<html>\nkong_y 2\n"), Verdict::SomethingElse);
    assert_eq!(verdict("{\"message\":\"no\"}\nkong_y 2\n"), Verdict::SomethingElse);
}

#[test]
fn an_unfinished_last_line_is_reported() {
    let outcome = Setup::default().rewrite("kong_x 1\nkong_y 12");
    assert_eq!(outcome.utf8(), "kong_x 1\nkong_y 12\n");
    assert!(!outcome.whole);
    assert!(Setup::default().rewrite("kong_x 1\n").whole);
    assert!(Setup::default().rewrite("").whole);
}
