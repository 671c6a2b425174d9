//! Which families pass: the operator's allow and deny lists, and the scraper's `name[]`.
//!
//! Whole families or nothing: HELP, TYPE and every sample go together.

use regex::RegexSet;

/// `--metric-allowlist` and `--metric-denylist`: regular expressions over family names, anchored
/// at both ends as kube-state-metrics does.
#[derive(Debug, Clone, Default)]
pub struct FamilyFilter {
    allow: Option<RegexSet>,
    deny: Option<RegexSet>,
}

impl FamilyFilter {
    /// Both lists may be empty, which means "no such list". A family passes if it is on the
    /// allowlist (or there is none) and not on the denylist. `Err` is the expression's own fault.
    pub fn new(allow: &[String], deny: &[String]) -> Result<Self, regex::Error> {
        Ok(Self { allow: anchored(allow)?, deny: anchored(deny)? })
    }

    /// Whether the family passes. Families with names that are not UTF-8 do not exist: the grammar refuses them.
    pub fn passes(&self, family: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.is_match(family))
            && !self.deny.as_ref().is_some_and(|deny| deny.is_match(family))
    }
}

fn anchored(expressions: &[String]) -> Result<Option<RegexSet>, regex::Error> {
    if expressions.is_empty() {
        return Ok(None);
    }
    RegexSet::new(expressions.iter().map(|e| format!("^(?:{e})$"))).map(Some)
}

/// The families one scrape asked for with `name[]`, on top of the operator's filter.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    names: Vec<String>,
}

impl Selection {
    /// No names means everything.
    pub fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// Reads the `name[]` parameters of a query string; other parameters are ignored, as in
    /// client_golang's promhttp.
    pub fn from_query(query: &str) -> Self {
        let names = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, _)| percent_decode(key) == "name[]")
            .map(|(_, value)| percent_decode(value))
            .filter(|name| !name.is_empty())
            .collect();
        Self { names }
    }

    /// Whether the family was asked for.
    pub fn passes(&self, family: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == family)
    }

    /// Whether everything was asked for.
    pub fn is_everything(&self) -> bool {
        self.names.is_empty()
    }
}

/// `%41` and `+` as in a query string; a broken escape stays as it stands and then matches nothing.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: u8| (b as char).to_digit(16);
        let mut ahead = bytes.clone();
        match (byte, ahead.next().and_then(hex), ahead.next().and_then(hex)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            (b'+', _, _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn expressions_match_whole_names() {
        let filter =
            FamilyFilter::new(&strings(&["kong_upstream.*", "kong_x|kong_y"]), &[]).unwrap();
        assert!(filter.passes("kong_upstream_latency_ms"));
        assert!(filter.passes("kong_y"));
        assert!(!filter.passes("kong_y_more"));
        assert!(!filter.passes("my_kong_upstream"));
    }

    #[test]
    fn deny_wins_over_allow() {
        let filter =
            FamilyFilter::new(&strings(&["kong_.*"]), &strings(&["kong_nginx_.*"])).unwrap();
        assert!(filter.passes("kong_x"));
        assert!(!filter.passes("kong_nginx_timers"));
    }

    #[test]
    fn names_are_read_from_the_query() {
        let selection = Selection::from_query("x=1&name[]=kong_a&name%5B%5D=kong%5Fb&name[]=");
        assert!(selection.passes("kong_a") && selection.passes("kong_b"));
        assert!(!selection.passes("kong_c"));
        assert!(Selection::from_query("collect[]=kong_a").is_everything());
    }

    #[test]
    fn a_broken_escape_is_kept_as_text() {
        assert!(Selection::from_query("name[]=a%4").passes("a%4"));
        assert!(Selection::from_query("name[]=a%zz").passes("a%zz"));
    }
}
