//! The names of the labels that the exporter writes, and which names it may not take.

use std::fmt;

/// The three label names a user can choose (`--label.*`). The four `kubernetes_*` labels are fixed:
/// the tutorial's rules rely on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelNames {
    service: String,
    namespace: String,
    kong_service: String,
}

/// A label name that cannot be used. The message names the flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `[a-zA-Z_][a-zA-Z0-9_]*`.
    #[error("--label.{flag}={name:?} is not a label name: expected [a-zA-Z_][a-zA-Z0-9_]*")]
    Syntax {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        name: String,
    },
    /// Taken by somebody else: the scraper's target labels, Kong's own labels, a histogram's.
    #[error("--label.{flag}={name}: {owner} uses this name already; choose another")]
    Taken {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        name: String,
        /// Who uses it.
        owner: &'static str,
    },
    /// Two flags with one name: a series would carry the label twice.
    #[error("--label.{first} and --label.{second} are both {name}: two labels of one name")]
    Equal {
        /// The one flag.
        first: &'static str,
        /// The other flag.
        second: &'static str,
        /// The name they share.
        name: String,
    },
}

impl LabelNames {
    /// Checks the three names; `Err` says which flag is wrong and why.
    pub fn new(service: &str, namespace: &str, kong_service: &str) -> Result<Self, Error> {
        let chosen =
            [("service", service), ("namespace", namespace), ("kong-service", kong_service)];
        for (flag, name) in chosen {
            if !is_label_name(name) {
                return Err(Error::Syntax { flag, name: name.to_owned() });
            }
            let owner =
                TAKEN.iter().find(|(_, names)| names.contains(&name)).map(|(owner, _)| *owner);
            let owner = if name.starts_with("__") { Some("Prometheus (__*)") } else { owner };
            if let Some(owner) = owner {
                return Err(Error::Taken { flag, name: name.to_owned(), owner });
            }
        }
        for (i, (first, name)) in chosen.iter().enumerate() {
            if let Some((second, _)) = chosen[i + 1..].iter().find(|(_, other)| other == name) {
                return Err(Error::Equal { first, second, name: (*name).to_owned() });
            }
        }
        Ok(Self {
            service: service.to_owned(),
            namespace: namespace.to_owned(),
            kong_service: kong_service.to_owned(),
        })
    }

    /// The label that carries the Service's name, `exported_service` by default.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The label that carries the Service's namespace, `exported_namespace` by default.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The label that keeps Kong's own name, `kong_service` by default.
    pub fn kong_service(&self) -> &str {
        &self.kong_service
    }

    /// Every label name that a rewritten sample may carry on top of Kong's.
    pub fn written(&self) -> [&str; 7] {
        let [kind, name, namespace, apiversion] = KUBERNETES;
        [&self.service, &self.namespace, &self.kong_service, kind, name, namespace, apiversion]
    }
}

impl Default for LabelNames {
    fn default() -> Self {
        Self {
            service: "exported_service".to_owned(),
            namespace: "exported_namespace".to_owned(),
            kong_service: "kong_service".to_owned(),
        }
    }
}

impl fmt::Display for LabelNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.service, self.namespace, self.kong_service)
    }
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Fixed by the tutorial's prometheus-adapter rule and by what Kong Operator's own exporter writes.
pub(crate) const KUBERNETES: [&str; 4] =
    ["kubernetes_kind", "kubernetes_name", "kubernetes_namespace", "kubernetes_apiversion"];

/// Names that would overwrite or be renamed by somebody else. `service` is missing on purpose: it
/// is free once Kong's label of that name is gone, and Kong's own dashboard needs it.
const TAKEN: [(&str, &[&str]); 4] = [
    ("the scraper (target labels)", &["job", "instance", "pod", "container", "endpoint", "node"]),
    ("a histogram or summary", &["le", "quantile"]),
    ("this exporter", &KUBERNETES),
    (
        "Kong",
        &[
            "route",
            "code",
            "source",
            "workspace",
            "consumer",
            "direction",
            "upstream",
            "target",
            "address",
            "state",
            "subsystem",
            "type",
            "method",
            "tool_name",
            "request_mode",
            "node_id",
            "shared_dict",
            "kong_subsystem",
            "pid",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_names_are_accepted() {
        let chosen = LabelNames::new("exported_service", "exported_namespace", "kong_service");
        assert_eq!(chosen, Ok(LabelNames::default()));
    }

    #[test]
    fn kongs_dashboard_may_keep_service() {
        assert!(LabelNames::new("exported_service", "exported_namespace", "service").is_ok());
        assert!(LabelNames::new("service", "namespace", "kong_service").is_ok());
    }

    #[test]
    fn a_clash_names_the_flag_and_the_reason() {
        let message = |a, b, c| LabelNames::new(a, b, c).unwrap_err().to_string();
        assert_eq!(
            message("pod", "exported_namespace", "kong_service"),
            "--label.service=pod: the scraper (target labels) uses this name already; choose another"
        );
        assert_eq!(
            message("a", "a", "kong_service"),
            "--label.service and --label.namespace are both a: two labels of one name"
        );
        assert_eq!(
            message("a", "b", ""),
            "--label.kong-service=\"\" is not a label name: expected [a-zA-Z_][a-zA-Z0-9_]*"
        );
        assert_eq!(
            message("a", "b", "__x"),
            "--label.kong-service=__x: Prometheus (__*) uses this name already; choose another"
        );
        assert_eq!(
            message("a", "kubernetes_name", "c"),
            "--label.namespace=kubernetes_name: this exporter uses this name already; choose another"
        );
    }
}
