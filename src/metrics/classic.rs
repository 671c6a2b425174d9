//! OpenMetrics text in, the classic text format 0.0.4 out.
//!
//! prometheus-client writes OpenMetrics only, Kong writes the classic format, and one answer has
//! one format. The two differ in what a counter's HELP and TYPE are called (`x` there, `x_total`
//! here), in `# UNIT` and in `# EOF`; samples are the same bytes. Pure: text in, text out.

/// Appends `openmetrics` to `out` in the classic format, leaving out families that `passes`
/// refuses. It is asked for names as the classic format has them: `x_total` for a counter.
///
/// Expects what prometheus-client writes: HELP, then TYPE, then the family's samples.
pub fn append(openmetrics: &str, passes: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    let mut help = None;
    let mut wanted = true;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Held back: only the TYPE that follows tells what the family is called here.
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { continue };
            let (suffix, kind) = classic_type(kind);
            let family = format!("{name}{suffix}");
            wanted = passes(&family);
            if wanted {
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                    out.extend_from_slice(format!("# HELP {family} {text}\n").as_bytes());
                }
                out.extend_from_slice(format!("# TYPE {family} {kind}\n").as_bytes());
            }
        } else if wanted && !line.starts_with('#') {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
}

/// What OpenMetrics adds to a family's name in its samples, and the type's classic name.
fn classic_type(openmetrics: &str) -> (&'static str, &str) {
    match openmetrics {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "stateset" => ("", "gauge"),
        "unknown" | "gaugehistogram" => ("", "untyped"),
        same => ("", same),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENMETRICS: &str = "\
# HELP x_seconds How long.
# TYPE x_seconds histogram
# UNIT x_seconds seconds
x_seconds_sum 0.5
x_seconds_count 1
x_seconds_bucket{le=\"1.0\"} 1
x_seconds_bucket{le=\"+Inf\"} 1
# HELP y What failed.
# TYPE y counter
y_total{reason=\"a \\\"b\\\"\"} 7
# HELP build Built from.
# TYPE build info
build_info{version=\"1\"} 1
# HELP z A level.
# TYPE z gauge
z 0.25
# EOF
";

    fn classic(passes: impl Fn(&str) -> bool) -> String {
        let mut out = Vec::new();
        append(OPENMETRICS, passes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn counters_get_their_suffix_and_units_and_eof_go() {
        assert_eq!(
            classic(|_| true),
            "\
# HELP x_seconds How long.
# TYPE x_seconds histogram
x_seconds_sum 0.5
x_seconds_count 1
x_seconds_bucket{le=\"1.0\"} 1
x_seconds_bucket{le=\"+Inf\"} 1
# HELP y_total What failed.
# TYPE y_total counter
y_total{reason=\"a \\\"b\\\"\"} 7
# HELP build_info Built from.
# TYPE build_info gauge
build_info{version=\"1\"} 1
# HELP z A level.
# TYPE z gauge
z 0.25
"
        );
    }

    #[test]
    fn a_family_is_left_out_whole_and_by_its_classic_name() {
        assert_eq!(
            classic(|family| family == "y_total"),
            "\
# HELP y_total What failed.
# TYPE y_total counter
y_total{reason=\"a \\\"b\\\"\"} 7
"
        );
        assert_eq!(classic(|family| family == "y"), "");
    }
}
