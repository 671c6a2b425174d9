//! What somebody asks about: words in, a [`Subject`] out.
//!
//! `KIND/NAMESPACE/NAME` and `KIND NAMESPACE/NAME` are objects, with the kind as `kubectl` takes it
//! (`HTTPRoute`, `httproute`, `httproutes`, `svc`); everything else is a name that Kong prints.

use crate::kubernetes::{Key, ObjectKind};

/// What somebody asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A name that Kong prints.
    Name(String),
    /// An object that Kong services are made from.
    Maker(Key),
    /// A Kubernetes Service.
    Service(Key),
}

impl Subject {
    /// Reads one word, or kind and name.
    ///
    /// # Errors
    /// Where it cannot be meant: what was expected.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let (kind, object) = match words {
            [word] => match word.split_once('/') {
                Some((kind, object)) => (kind, object),
                None if word.is_empty() => return Err(EXPECTED.to_owned()),
                None => return Ok(Self::Name(word.clone())),
            },
            [kind, object] => (kind.as_str(), object.as_str()),
            _ => return Err(EXPECTED.to_owned()),
        };
        let known = kind_of(kind).ok_or_else(|| {
            let all: Vec<_> = KINDS.iter().map(|kind| kind.as_str()).collect();
            format!("{kind:?} is no kind to ask about: {EXPECTED}; a KIND is {}", all.join(", "))
        })?;
        let (namespace, name) = match object.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                (namespace, name)
            }
            _ => return Err(format!("{object:?} is no NAMESPACE/NAME: {EXPECTED}")),
        };
        let key = Key::new(known, namespace, name);
        Ok(if known == ObjectKind::Service { Self::Service(key) } else { Self::Maker(key) })
    }
}

fn kind_of(text: &str) -> Option<ObjectKind> {
    let text = text.to_ascii_lowercase();
    if text == "svc" {
        return Some(ObjectKind::Service);
    }
    let singular = text.strip_suffix("es").filter(|text| text.ends_with("ss"));
    let singular = singular.or_else(|| text.strip_suffix('s').filter(|text| !text.ends_with('s')));
    KINDS.into_iter().find(|kind| {
        let own = kind.as_str().to_ascii_lowercase();
        own == text || Some(own.as_str()) == singular
    })
}

const EXPECTED: &str =
    "expected a name that Kong prints, KIND/NAMESPACE/NAME or KIND NAMESPACE/NAME";

const KINDS: [ObjectKind; 11] = [
    ObjectKind::HTTPRoute,
    ObjectKind::GRPCRoute,
    ObjectKind::TCPRoute,
    ObjectKind::TLSRoute,
    ObjectKind::UDPRoute,
    ObjectKind::Ingress,
    ObjectKind::TCPIngress,
    ObjectKind::UDPIngress,
    ObjectKind::KongServiceFacade,
    ObjectKind::KongService,
    ObjectKind::Service,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Subject, String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Subject::parse(&words)
    }

    #[test]
    fn an_object_is_told_by_its_kind_in_any_spelling_and_the_rest_are_names() {
        let route = Subject::Maker(Key::new(ObjectKind::HTTPRoute, "web", "a.b"));
        for words in
            [&["HTTPRoute/web/a.b"][..], &["httproutes", "web/a.b"], &["httproute", "web/a.b"]]
        {
            assert_eq!(parsed(words).as_ref(), Ok(&route), "{words:?}");
        }
        let ingress = Subject::Maker(Key::new(ObjectKind::Ingress, "web", "a"));
        assert_eq!(parsed(&["ingresses", "web/a"]), Ok(ingress.clone()));
        assert_eq!(parsed(&["ingress/web/a"]), Ok(ingress));
        let service = Subject::Service(Key::new(ObjectKind::Service, "web", "a"));
        assert_eq!(parsed(&["svc/web/a"]), Ok(service.clone()));
        assert_eq!(parsed(&["Services", "web/a"]), Ok(service));
        assert_eq!(parsed(&["web.a.80"]), Ok(Subject::Name("web.a.80".to_owned())));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_was_expected() {
        let expected =
            "expected a name that Kong prints, KIND/NAMESPACE/NAME or KIND NAMESPACE/NAME";
        assert_eq!(parsed(&[""]), Err(expected.to_owned()));
        assert_eq!(
            parsed(&["httproute/web"]),
            Err(format!("\"web\" is no NAMESPACE/NAME: {expected}"))
        );
        assert_eq!(
            parsed(&["Gateway", "web/a"]),
            Err(format!(
                "\"Gateway\" is no kind to ask about: {expected}; a KIND is HTTPRoute, GRPCRoute, \
                 TCPRoute, TLSRoute, UDPRoute, Ingress, TCPIngress, UDPIngress, \
                 KongServiceFacade, KongService, Service"
            ))
        );
    }
}
