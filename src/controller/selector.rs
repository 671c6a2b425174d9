//! Label selectors as `kubectl -l` takes them: `app=shop,tier in (a,b),!legacy`.
//!
//! In: the text of an annotation. Out: kube's selector. The one decision: no text selects nothing,
//! and is an error; who wants every Service says so by name or by a label that all have.

use kube::core::{Expression, Selector};

/// Reads a selector.
///
/// # Errors
/// Says which part of the text is no requirement, and what one looks like.
pub fn parse(text: &str) -> Result<Selector, String> {
    let requirements: Result<Vec<_>, _> = requirements(text).map(requirement).collect();
    Ok(requirements?.into_iter().collect())
}

/// The parts between commas, but for commas in parentheses.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn requirement(text: &str) -> Result<Expression, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "\"{text}\" is no requirement: expected key, !key, key=value, key!=value, key in (a,b) \
             or key notin (a,b)"
        )
    };
    let key = |key: &str| checked(key, "/").filter(|key| !key.is_empty()).ok_or_else(wrong);
    let value = |value: &str| checked(value, "").ok_or_else(wrong);
    if let Some(absent) = text.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(key(absent)?));
    }
    if let Some(list) = text.strip_suffix(')') {
        let (head, list) = list.split_once('(').ok_or_else(wrong)?;
        let values = list.split(',').map(value).collect::<Result<_, _>>()?;
        let (name, operator) = head.trim().rsplit_once(char::is_whitespace).ok_or_else(wrong)?;
        return match operator {
            "in" => Ok(Expression::In(key(name)?, values)),
            "notin" => Ok(Expression::NotIn(key(name)?, values)),
            _ => Err(wrong()),
        };
    }
    if let Some((name, other)) = text.split_once("!=") {
        return Ok(Expression::NotEqual(key(name)?, value(other)?));
    }
    match text.split_once("==").or_else(|| text.split_once('=')) {
        Some((name, same)) => Ok(Expression::Equal(key(name)?, value(same)?)),
        None => Ok(Expression::Exists(key(text)?)),
    }
}

/// The text without white space around it, if it has only what keys and values may have.
fn checked(text: &str, more: &str) -> Option<String> {
    let text = text.trim();
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || more.contains(c);
    text.chars().all(is_usual).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt;

    use super::*;

    #[test]
    fn every_form_selects_what_kubectl_selects() {
        let labels = [("app", "shop"), ("tier", "a"), ("x.io/y", "")];
        let labels: BTreeMap<_, _> =
            labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        for (text, is_selected) in [
            ("app=shop", true),
            ("app==shop", true),
            (" app = shop , tier=a ", true),
            ("app=shop,tier=b", false),
            ("app!=shop", false),
            ("none!=x", true),
            ("tier in (a,b)", true),
            ("tier in (b, c)", false),
            ("tier notin (b,c),app", true),
            ("none notin (a)", true),
            ("x.io/y", true),
            ("x.io/y=", true),
            ("!none,!other", true),
            ("!app", false),
        ] {
            assert_eq!(parse(text).unwrap().matches(&labels), is_selected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for text in [
            "", " ", "a,,b", "a b", "a in b", "a in (b", "in (a)", "a is (b)", "=x", "a=b=c",
            "a=b(c)",
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains("is no requirement: expected key"), "{text}: {message}");
        }
    }
}
