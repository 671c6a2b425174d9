//! By when Kong must have answered: the operator's limit and the scraper's patience in, one
//! duration out.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName};

/// What Prometheus and vmagent tell about their patience, in seconds, possibly with a fraction.
pub(crate) const HEADER: HeaderName =
    HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// `limit`, or less where the client's patience ends earlier. The client's is cut by half a second,
/// but at most by half, to leave it the time to get our own word on what failed.
pub(crate) fn budget(headers: &HeaderMap, limit: Duration) -> Duration {
    let Some(value) = headers.get(HEADER) else { return limit };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    match seconds.filter(|seconds| *seconds > 0.0).map(Duration::try_from_secs_f64) {
        Some(Ok(patience)) => limit.min(patience.saturating_sub(MARGIN).max(patience / 2)),
        _ => {
            tracing::debug!(?value, "scrape timeout header not understood, ignored");
            limit
        }
    }
}

const MARGIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(header: &str) -> u128 {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, header.parse().unwrap());
        budget(&headers, Duration::from_secs(30)).as_millis()
    }

    #[test]
    fn the_clients_patience_counts_less_a_margin() {
        assert_eq!(millis("10"), 9_500);
        assert_eq!(millis("2.000"), 1_500);
        assert_eq!(millis("0.6"), 300);
        assert_eq!(millis("60"), 30_000);
        assert_eq!(budget(&HeaderMap::new(), Duration::from_secs(7)).as_secs(), 7);
    }

    #[test]
    fn a_header_that_makes_no_sense_is_ignored() {
        for header in ["", "soon", "-1", "0", "NaN", "inf", "1e300", "10s"] {
            assert_eq!(millis(header), 30_000, "{header}");
        }
    }
}
