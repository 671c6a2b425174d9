//! Sample values: which texts are numbers to Prometheus.

/// What Go's `strconv.ParseFloat` takes and `textparse` lets it take: decimal, `inf`, `infinity`
/// with a sign, `nan` without one, in any case; no hexadecimal, no `_`, nothing out of range.
pub fn is_float(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return true;
    }
    if text.eq_ignore_ascii_case(b"nan") {
        return true;
    }
    let decimal = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    text.iter().all(decimal)
        && std::str::from_utf8(text)
            .ok()
            .and_then(|t| t.parse::<f64>().ok())
            .is_some_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_go_reads() {
        for good in [
            "1",
            "-0",
            "+5",
            ".5",
            "5.",
            "1e+14",
            "1E-05",
            "nan",
            "NaN",
            "inf",
            "-Inf",
            "+Infinity",
            "1e-999",
        ] {
            assert!(is_float(good.as_bytes()), "{good}");
        }
        for bad in
            ["", "-nan", "+nan", "1e400", "0x10", "1_0", "1,5", "1e", "--1", "e5", ".", "12\r"]
        {
            assert!(!is_float(bad.as_bytes()), "{bad}");
        }
        assert!(is_float("9".repeat(308).as_bytes()));
        assert!(!is_float("9".repeat(310).as_bytes()));
    }
}
