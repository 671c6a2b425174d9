//! Lines for property tests: mostly Kong's shape with few names, so that neighbours share prefixes;
//! some of every odd shape the format allows; some that it does not.

use proptest::prelude::*;

/// One line, newline included; usually a sample.
pub(crate) fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => usual(),
        3 => odd(),
        1 => prop::sample::select(SPECIAL.to_vec()).prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(prop::sample::select(b"ax1{}\",=\\\n #.:\xff".to_vec()), 0..20)
            .prop_map(|mut bytes| { bytes.push(b'\n'); bytes }),
    ]
}

fn usual() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "kong_x",
        "kong_x_bucket",
        "kong_xy",
        "kong_upstream_target_health",
        "x:y",
    ]);
    let label = (
        prop::sample::select(vec![
            "service",
            "route",
            "upstream",
            "le",
            "source",
            "x_service",
            "kong_service",
        ]),
        prop::sample::select(vec![
            "",
            "default.echo.80",
            "default.echo.8080",
            "a.b",
            "httproute.a.b.0",
            "+Inf",
            "service",
            "25",
            "echo.default.80.svc",
            "httproute.web.svc.default.echo.80.90_prod.api.8080.10",
            "caf\u{e9}",
        ]),
    );
    let value =
        prop::sample::select(vec!["0", "1", "12", "1.5", "-3", "1e+14", "nan", "99999999999999"]);
    (name, prop::collection::vec(label, 0..5), value).prop_map(|(name, labels, value)| {
        let labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        let set =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("{name}{set} {value}\n").into_bytes()
    })
}

fn odd() -> impl Strategy<Value = Vec<u8>> {
    let blank = || prop::sample::select(vec!["", "", " ", "\t", "  "]);
    let value = prop::sample::select(vec![
        "a\\\"b",
        "a\nb",
        "\\\\",
        "\\n",
        "\\e",
        "}",
        "service=\\\"x\\\",",
        "\u{1f98d}",
    ]);
    let name =
        prop::sample::select(vec!["service", "\"service\"", "c", "\"my.label\"", "upstream"]);
    let tail =
        prop::sample::select(vec!["", " ", " 1790000000123", " 1.5", " x", "\r", " # {a=\"b\"} 1"]);
    (blank(), blank(), name, blank(), value, blank(), tail).prop_map(
        |(a, b, name, c, value, d, tail)| {
            format!("{a}kong_x{b}{{{c}{name}{d}={b}\"{value}\"{a},}} 1{tail}\n").into_bytes()
        },
    )
}

const SPECIAL: [&str; 14] = [
    "\n",
    "  \n",
    "# hello\n",
    "# HELP kong_x a {service=\"b\"}\n",
    "# HELP kong_x again\n",
    "# TYPE kong_x histogram\n",
    "# TYPE kong_xy counter\n",
    "# TYPE kong_x foo\n",
    "{\"kong.x\",service=\"default.echo.80\"} 1\n",
    "kong_x{service=\"a\",service=\"b\"} 1\n",
    "kong_x{service=\"a\" 1\n",
    "kong_x{service=\"a} 1\n",
    "kong_x 1 # {service=\"a\"} 1\n",
    "\u{feff}kong_x 1\n",
];
