//! Before and after, side by side for a person: Kong's body and the sidecar's in, a few lines of
//! both out. Three services stand for the three things that can happen to a name.

use std::fmt::Write as _;

use super::COMMAND;

/// One sample of each of the three services, as Kong prints it and as the sidecar does. What one of
/// the two bodies lacks is left out.
pub fn excerpt(before: &str, after: &str) -> String {
    let mut text = String::new();
    for (service, what) in SHOWN {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# {what}");
        let kongs = format!("{FAMILY}{{service=\"{service}\"");
        let ours = format!("kong_service=\"{service}\"");
        let before = before.lines().filter(|line| line.starts_with(&kongs));
        let is_ours = |line: &&str| {
            (line.starts_with(FAMILY) || line.starts_with(BACKENDS)) && line.contains(&ours)
        };
        let after = after.lines().filter(is_ours);
        for (mark, line) in before.map(|line| ('-', line)).chain(after.map(|line| ('+', line))) {
            let _ = writeln!(text, "{mark} {line}");
        }
    }
    text
}

/// The family that autoscaling goes by; its count has one line for each service.
const FAMILY: &str = "kong_upstream_latency_ms_count";
const BACKENDS: &str = "kong_exporter_backend_info";

const SHOWN: [(&str, &str); 3] = [
    (COMMAND, "one Service behind it: named"),
    (
        "httproute.web.svc.web.storefront.80.90_web.storefront-canary.80.10",
        "two Services behind it: nobody guesses, the route is named, and both as backends",
    ),
    ("legacy-billing", "made by hand, in no mapping: only renamed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_lines_stand_together() {
        let before = format!(
            "{FAMILY}{{service=\"{COMMAND}\",route=\"r\"}} 1\n{FAMILY}{{service=\"other\"}} 1\nkong_x{{service=\"{COMMAND}\"}} 1\n"
        );
        let after = format!(
            "{FAMILY}{{exported_service=\"command\",kong_service=\"{COMMAND}\",route=\"r\"}} 1\n"
        );
        let text = excerpt(&before, &after);
        let expected = format!(
            "# one Service behind it: named\n\
             - {FAMILY}{{service=\"{COMMAND}\",route=\"r\"}} 1\n\
             + {FAMILY}{{exported_service=\"command\",kong_service=\"{COMMAND}\",route=\"r\"}} 1\n"
        );
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(text.lines().count(), 3 + SHOWN.len() - 1);
    }
}
