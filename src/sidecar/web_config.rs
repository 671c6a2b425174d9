//! `--web.config.file`: the file as the Prometheus exporters have it in, which certificates to use and
//! whom to ask for one out. The one decision: of that format only what is done here is accepted;
//! a key that is left out without a word would leave a door open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where the certificates are, and whether clients have to have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// PEM: the server's certificate and those between it and the root.
    pub(crate) cert: PathBuf,
    /// PEM: its key.
    pub(crate) key: PathBuf,
    /// Whose clients are let in, if it matters.
    pub(crate) clients: Option<Clients>,
    pub(crate) versions: Versions,
}

/// Clients with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    /// PEM: who signs them.
    pub(crate) ca: PathBuf,
    /// Whether a client without one is turned away.
    pub(crate) is_required: bool,
}

/// The versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) min: Version,
    pub(crate) max: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Version {
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or not to be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        #[source]
        /// What the system says.
        source: io::Error,
    },
    /// No YAML, or something in it that is not known here.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

/// Reads the file at `path`; `None` where it wants no TLS. Paths in it are relative to it.
pub(crate) fn read(path: &Path) -> Result<Option<Files>, Error> {
    let text =
        fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let refuse = |message: String| Error::Content { path: path.to_owned(), message };
    // An empty document is no map.
    let file: Option<WebConfig> =
        serde_saphyr::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let Some(tls) = file.and_then(|file| file.tls_server_config) else { return Ok(None) };
    let beside = |file: PathBuf| path.parent().map_or_else(|| file.clone(), |own| own.join(&file));
    use ClientAuth::{NoClientCert, RequireAndVerifyClientCert, VerifyClientCertIfGiven};
    let clients = match (tls.client_auth_type, tls.client_ca_file) {
        (NoClientCert, None) => None,
        (NoClientCert, Some(_)) => {
            let wanted = "client_ca_file is of use only with a client_auth_type: \
                          RequireAndVerifyClientCert or VerifyClientCertIfGiven";
            return Err(refuse(wanted.to_owned()));
        }
        (_, None) => return Err(refuse("client_auth_type wants a client_ca_file".to_owned())),
        (RequireAndVerifyClientCert, Some(ca)) => {
            Some(Clients { ca: beside(ca), is_required: true })
        }
        (VerifyClientCertIfGiven, Some(ca)) => Some(Clients { ca: beside(ca), is_required: false }),
    };
    let versions = Versions { min: tls.min_version, max: tls.max_version };
    if versions.min > versions.max {
        return Err(refuse("min_version is above max_version".to_owned()));
    }
    Ok(Some(Files { cert: beside(tls.cert_file), key: beside(tls.key_file), clients, versions }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebConfig {
    tls_server_config: Option<TlsServerConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsServerConfig {
    cert_file: PathBuf,
    key_file: PathBuf,
    #[serde(default)]
    client_auth_type: ClientAuth,
    client_ca_file: Option<PathBuf>,
    #[serde(default = "min_version")]
    min_version: Version,
    #[serde(default = "max_version")]
    max_version: Version,
}

/// Not `RequestClientCert` and `RequireAnyClientCert`, which check nothing.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

fn min_version() -> Version {
    Version::Tls12
}

fn max_version() -> Version {
    Version::Tls13
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from a file with this content.
    fn reading(content: &str) -> Result<Option<Files>, String> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("web-config-{}-{next}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("web.yaml");
        fs::write(&file, content).unwrap();
        let read = read(&file);
        fs::remove_dir_all(&folder).unwrap();
        let shorten = |path: PathBuf| match path.strip_prefix(&folder) {
            Ok(short) => short.to_owned(),
            Err(_) => path,
        };
        read.map(|files| {
            files.map(|files| Files {
                cert: shorten(files.cert),
                key: shorten(files.key),
                clients: files.clients.map(|c| Clients { ca: shorten(c.ca), ..c }),
                ..files
            })
        })
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.display()), ""))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let files = reading(
            "tls_server_config:\n  cert_file: tls.crt\n  key_file: /etc/tls.key\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n",
        );
        let expected = Files {
            cert: "tls.crt".into(),
            key: "/etc/tls.key".into(),
            clients: Some(Clients { ca: "ca.crt".into(), is_required: true }),
            versions: Versions { min: Version::Tls12, max: Version::Tls13 },
        };
        assert_eq!(files, Ok(Some(expected)));
    }

    #[test]
    fn nothing_asked_for_is_no_tls() {
        for nothing in ["", "# nothing\n", "{}\n", "tls_server_config:\n"] {
            assert_eq!(reading(nothing), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let tls = "tls_server_config: {cert_file: a, key_file: b";
        for (content, message) in [
            ("basic_auth_users: {a: b}\n".to_owned(), "basic_auth_users"),
            (format!("{tls}, cipher_suites: []}}\n"), "cipher_suites"),
            (format!("{tls}, client_auth_type: RequireAnyClientCert}}\n"), "RequireAnyClientCert"),
            (format!("{tls}, client_ca_file: c}}\n"), "client_ca_file is of use only with"),
            (
                format!("{tls}, client_auth_type: VerifyClientCertIfGiven}}\n"),
                "client_auth_type wants a client_ca_file",
            ),
            (format!("{tls}, min_version: TLS11}}\n"), "TLS11"),
            (format!("{tls}, min_version: TLS13, max_version: TLS12}}\n"), "above max_version"),
            ("tls_server_config: {cert_file: a}\n".to_owned(), "key_file"),
            ("- a\n".to_owned(), "web.yaml"),
        ] {
            let error = reading(&content).unwrap_err();
            assert!(error.starts_with("web.yaml: ") && error.contains(message), "{error}");
        }
    }
}
