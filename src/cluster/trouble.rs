//! What an error of the API server's means to the person who has to do something about it.
//!
//! In: an error, and what was tried. Out: its [`Reason`], for metrics, and what to do, in words. The
//! one decision: the server's own words are always told, too. What stands here is only what they
//! leave out: which rule is missing, or where to look.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use kube::core::Status;
use tokio::time::timeout;

use crate::cluster::follow::Failure;
use crate::cluster::resource::plural;
use crate::kubernetes::ObjectKind;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The verbs it takes, as RBAC spells them: `list, watch`.
    pub verbs: &'a str,
    /// The group of the kind; empty for the core group.
    pub group: &'a str,
    /// The kind in the plural, as RBAC spells it: `httproutes`.
    pub resource: &'a str,
    /// Where; `None` for all namespaces, or for what is in none.
    pub namespace: Option<&'a str>,
}

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Nothing listens, or nobody knows the address.
    Connect,
    /// The server's certificate is not trusted.
    Tls,
    /// Nothing is heard of the server.
    Silent,
    /// A connection broke, or ended at once.
    Broken,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 410.
    Expired,
    /// 429, 503 and 504.
    Busy,
    /// Any other refusal.
    Refused,
    /// An answer that is not understood.
    NotUnderstood,
}

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It was refused, or did not come through.
    #[error(transparent)]
    Error(#[from] kube::Error),
    /// Nothing came for so long.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
}

/// An error, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind it is.
    pub reason: Reason,
    /// What to do.
    pub remedy: String,
}

/// What comes of a request, if it comes in time.
///
/// # Errors
/// Where it does not, or is no good.
pub async fn within<T>(
    answer: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Unanswered> {
    Ok(timeout(answer, request).await.map_err(|_| Unanswered::Silent(answer))??)
}

impl Unanswered {
    /// What it means.
    pub fn trouble(&self, attempt: &Attempt<'_>) -> Trouble {
        match self {
            Self::Error(error) => Trouble::of_error(error, attempt),
            Self::Silent(_) => {
                let reason = Reason::Silent;
                Trouble { reason, remedy: remedy(reason, None, attempt) }
            }
        }
    }
}

impl Attempt<'_> {
    /// To follow a kind, everywhere or in one namespace.
    pub fn follow(kind: ObjectKind, namespace: Option<&str>) -> Attempt<'_> {
        let (group, resource) = (kind.group(), plural(kind));
        Attempt { verbs: "list, watch", group, resource, namespace }
    }

    /// To find out which kinds there are.
    pub fn discover() -> Self {
        Self { verbs: "get", group: "", resource: "/apis", namespace: None }
    }
}

impl Trouble {
    /// Of following a kind.
    pub fn of_failure(failure: &Failure, attempt: &Attempt<'_>) -> Self {
        let reason = match failure {
            Failure::List(error) | Failure::Watch(error) | Failure::Broken(error) => {
                reason_of(error)
            }
            Failure::Ended(status) => of_status(status),
            Failure::NoList(_) => Reason::NotUnderstood,
            Failure::EndedAtOnce => Reason::Broken,
            Failure::Silent(_) => Reason::Silent,
        };
        let remedy = remedy(reason, failure.status(), attempt);
        Self { reason, remedy }
    }

    /// Of any other request.
    pub fn of_error(error: &kube::Error, attempt: &Attempt<'_>) -> Self {
        let reason = reason_of(error);
        let status = match error {
            kube::Error::Api(status) => Some(&**status),
            _ => None,
        };
        Self { reason, remedy: remedy(reason, status, attempt) }
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Tls,
        Self::Silent,
        Self::Broken,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Expired,
        Self::Busy,
        Self::Refused,
        Self::NotUnderstood,
    ];

    /// As metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Silent => "silent",
            Self::Broken => "broken",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::NotUnderstood => "not_understood",
        }
    }

    /// Whether every other request is in the same trouble.
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::Connect | Self::Tls | Self::Silent | Self::Unauthorized | Self::Busy)
    }

    /// Whether it is part of every watch's life: trying again is all there is to do.
    pub fn is_usual(self) -> bool {
        matches!(self, Self::Expired | Self::Broken)
    }

    /// Whether the server has answered, and will answer the same for as long as nobody does
    /// something about it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Forbidden | Self::NotFound | Self::Refused | Self::NotUnderstood)
    }
}

fn reason_of(error: &kube::Error) -> Reason {
    match error {
        kube::Error::Api(status) => return of_status(status),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => return Reason::NotUnderstood,
        kube::Error::Auth(_) => return Reason::Unauthorized,
        _ => {}
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        // rustls says it in an io::Error, and nowhere else.
        let text = one.to_string();
        // tokio-rustls' word for a connection that was closed: a server that ends, or one behind a
        // balancer that is not there.
        if text.contains("tls handshake eof") {
            return Reason::Connect;
        }
        if text.contains("certificate") || text.contains("tls handshake") {
            return Reason::Tls;
        }
        if text.contains("dns error") || text.contains("tcp connect error") {
            return Reason::Connect;
        }
        if let Some(error) = one.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable => return Reason::Connect,
                io::ErrorKind::TimedOut => return Reason::Silent,
                _ => {}
            }
        }
        cause = one.source();
    }
    Reason::Broken
}

fn of_status(status: &Status) -> Reason {
    match status.code {
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        409 => Reason::Conflict,
        410 => Reason::Expired,
        429 | 503 | 504 => Reason::Busy,
        _ => Reason::Refused,
    }
}

fn remedy(reason: Reason, status: Option<&Status>, attempt: &Attempt<'_>) -> String {
    let text = match reason {
        Reason::Connect => {
            "nothing answers at the API server's address: is it down, or does a NetworkPolicy or \
             firewall keep this pod from it?"
        }
        Reason::Tls => {
            "the API server's certificate is not trusted: is the certificate authority of the pod's \
             ServiceAccount, or of the kubeconfig, the one of this cluster?"
        }
        Reason::Silent => {
            "the API server does not answer, and nobody says why: is it overloaded, or does \
             something in between swallow packets?"
        }
        Reason::Unauthorized => {
            "the API server does not know the token: does the pod's ServiceAccount still exist? A \
             token that was renewed is read within a minute"
        }
        Reason::Forbidden => return missing_rule(status, attempt),
        Reason::NotFound => {
            "the API server does not know the kind or the namespace: was a CRD deleted, or does it \
             serve other versions now?"
        }
        Reason::Busy => {
            "the API server is overloaded or has just started: only if this lasts, look at its load"
        }
        Reason::Refused if status.is_some_and(|status| status.code >= 500) => {
            "the API server failed: for one kind alone, look at the conversion webhook of its CRD; \
             for all of them, at the API server's log"
        }
        Reason::Refused => "the API server does not take this request: is it a supported version?",
        Reason::NotUnderstood => {
            "the answer is not an API server's of Kubernetes 1.27 or later: is there a proxy in \
             between?"
        }
        Reason::Broken | Reason::Conflict | Reason::Expired => "nothing, it is tried again",
    };
    text.to_owned()
}

/// The rule of RBAC to add, and for whom.
fn missing_rule(status: Option<&Status>, attempt: &Attempt<'_>) -> String {
    let Attempt { verbs, group, resource, namespace } = attempt;
    // User "system:serviceaccount:kong:exporter" cannot list resource …
    let message = status.map(|status| status.message.as_str()).unwrap_or_default();
    let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"'));
    let user = user.map_or("this pod's ServiceAccount", |(user, _)| user);
    let whom = Whom(user);
    if resource.starts_with('/') {
        return format!(
            "bind the ClusterRole system:discovery to {whom}, or a rule with nonResourceURLs: \
             [\"{resource}\"], verbs: [{verbs}]"
        );
    }
    let role = match namespace {
        Some(namespace) => format!("a Role of namespace {namespace}"),
        None => "a ClusterRole".to_owned(),
    };
    format!(
        "give {whom}, by {role} and its binding, the rule apiGroups: [\"{group}\"], resources: \
         [{resource}], verbs: [{verbs}]"
    )
}

/// A user as RBAC's subjects name it.
struct Whom<'a>(&'a str);

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.0.strip_prefix("system:serviceaccount:");
        match account.and_then(|account| account.split_once(':')) {
            Some((namespace, name)) => write!(f, "ServiceAccount {namespace}/{name}"),
            None => f.write_str(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, message: &str) -> Failure {
        let status = Status::failure(message, "").with_code(code);
        Failure::List(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_missing_right_is_told_as_the_rule_to_add() {
        let message = "httproutes.gateway.networking.k8s.io is forbidden: User \
            \"system:serviceaccount:kong:exporter\" cannot list resource \"httproutes\" in API \
            group \"gateway.networking.k8s.io\" at the cluster scope";
        let failure = refusal(403, message);
        let everywhere = Attempt::follow(ObjectKind::HTTPRoute, None);
        let trouble = Trouble::of_failure(&failure, &everywhere);
        assert_eq!(trouble.reason, Reason::Forbidden);
        assert_eq!(
            trouble.remedy,
            "give ServiceAccount kong/exporter, by a ClusterRole and its binding, the rule \
             apiGroups: [\"gateway.networking.k8s.io\"], resources: [httproutes], \
             verbs: [list, watch]"
        );
        let in_one = Attempt::follow(ObjectKind::Service, Some("web"));
        assert_eq!(
            Trouble::of_failure(&refusal(403, "User \"eve\" cannot"), &in_one).remedy,
            "give eve, by a Role of namespace web and its binding, the rule apiGroups: [\"\"], \
             resources: [services], verbs: [list, watch]"
        );
        assert_eq!(
            Trouble::of_failure(&refusal(403, "no"), &Attempt::discover()).remedy,
            "bind the ClusterRole system:discovery to this pod's ServiceAccount, or a rule with \
             nonResourceURLs: [\"/apis\"], verbs: [get]"
        );
    }

    #[test]
    fn each_status_has_its_reason() {
        let reason = |code| {
            let attempt = Attempt::follow(ObjectKind::Service, None);
            Trouble::of_failure(&refusal(code, ""), &attempt).reason.as_str()
        };
        assert_eq!(
            [401, 403, 404, 409, 410, 422, 429, 500, 503, 504].map(reason),
            [
                "unauthorized",
                "forbidden",
                "not_found",
                "conflict",
                "expired",
                "refused",
                "busy",
                "refused",
                "busy",
                "busy"
            ]
        );
    }

    #[test]
    fn what_keeps_from_the_server_is_found_in_the_causes() {
        let reason = |error: Box<dyn Error + Send + Sync>| reason_of(&kube::Error::Service(error));
        let io = |kind, text: &str| Box::new(io::Error::new(kind, text.to_owned()));
        assert_eq!(reason(io(io::ErrorKind::ConnectionRefused, "x")), Reason::Connect);
        assert_eq!(reason(io(io::ErrorKind::TimedOut, "x")), Reason::Silent);
        assert_eq!(
            reason(io(io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer")),
            Reason::Tls
        );
        let closed = io(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(reason(closed), Reason::Connect);
        assert_eq!(reason(io(io::ErrorKind::ConnectionReset, "x")), Reason::Broken);
        assert_eq!(reason("anything else".into()), Reason::Broken);
    }
}
