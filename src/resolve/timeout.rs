//! The timeout of a rule, as text in an object or none, in milliseconds as Kong is told it.

use std::time::Duration;

/// How long a request to a backend may take, in milliseconds, as Kong is told it.
pub(crate) fn effective_timeout_ms(text: Option<&str>) -> u64 {
    match text.and_then(parse_duration) {
        None => DEFAULT_TIMEOUT_MS,
        // Kong knows no unlimited time: this is the longest it takes.
        Some(Duration::ZERO) => MAX_TIMEOUT_MS,
        Some(duration) => u64::try_from(duration.as_millis()).unwrap_or(MAX_TIMEOUT_MS),
    }
}

/// A duration as Go writes it: `1h30m`, `0.5s`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanoseconds = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let unit = after.split(|c: char| c.is_ascii_digit() || c == '.').next()?;
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanoseconds += number.parse::<f64>().ok()? * scale;
        rest = after.get(unit.len()..)?;
    }
    Some(Duration::from_nanos(nanoseconds as u64))
}

/// `DefaultServiceTimeout`, what Kong is told where a rule says nothing.
pub(crate) const DEFAULT_TIMEOUT_MS: u64 = 60_000;

/// `MaxKongServiceTimeout`.
const MAX_TIMEOUT_MS: u64 = 2_147_483_646;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_told_in_milliseconds() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("0.5s", 500),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1h1m1s1ms", 3_661_001),
            ("60s", DEFAULT_TIMEOUT_MS),
            ("0s", MAX_TIMEOUT_MS),
            ("0h", MAX_TIMEOUT_MS),
            ("100us", 0),
        ] {
            assert_eq!(effective_timeout_ms(Some(text)), milliseconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_no_timeout() {
        for text in ["", "5", "s", "5 s", "5x", "-5s", ".s", "1s5"] {
            assert_eq!(effective_timeout_ms(Some(text)), DEFAULT_TIMEOUT_MS, "{text}");
        }
        assert_eq!(effective_timeout_ms(None), DEFAULT_TIMEOUT_MS);
    }
}
