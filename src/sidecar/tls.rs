//! TLS for scrapers: what `--web.config.file` names in, something that shakes hands out. The one
//! decision: before a handshake, but at most once a second, the files are looked at, and read anew
//! if they have changed, so that a renewed certificate needs no restart and nothing runs between
//! scrapes. What cannot be used is told once, and the last good one goes on.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::sidecar::web_config::{self, Clients, Files, Version};
use crate::telemetry::Chain;

/// TLS as a file wants it, kept as the file is.
pub struct Tls {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    seen: Seen,
    looked: Instant,
    /// What was told last of files that are of no use, until they are again.
    trouble: Option<String>,
}

/// The files of one reading, and what of each differs once its content does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen(Vec<(PathBuf, Option<[u64; 5]>)>);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file itself.
    #[error(transparent)]
    Config(#[from] web_config::Error),
    /// A file that it names.
    #[error("cannot use {} as {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// A certificate of an authority that is none.
    #[error("cannot use {} as client_ca_file", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// An authority that nobody can be checked by.
    #[error("cannot check clients by {}", path.display())]
    Verifier {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: VerifierBuilderError,
    },
    /// Not the key of this certificate, or one that is not understood.
    #[error("cannot use {} with {}", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        #[source]
        source: rustls::Error,
    },
    /// It was on, and cannot be off without a restart.
    #[error("{} has no tls_server_config any more", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
}

impl Tls {
    /// What the file at `path` asks for; `None` where that is no TLS.
    ///
    /// # Errors
    /// Names the file that is missing or of no use, this one or one that it names.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some((seen, config)) = load(path)? else { return Ok(None) };
        let looked = Instant::now();
        let state = Mutex::new(State { config, seen, looked, trouble: None });
        Ok(Some(Self { path: path.to_owned(), state }))
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_INTERVAL {
            state.looked = Instant::now();
            if state.seen != state.seen.again() {
                self.renew(&mut state);
            }
        }
        TlsAcceptor::from(Arc::clone(&state.config))
    }

    fn renew(&self, state: &mut State) {
        let gone = || Error::Gone { path: self.path.clone() };
        match load(&self.path).and_then(|loaded| loaded.ok_or_else(gone)) {
            Ok((seen, config)) => {
                (state.seen, state.config, state.trouble) = (seen, config, None);
                tracing::info!(path = %self.path.display(), "certificates read anew");
            }
            // Looked at again before each handshake: a Secret's files may come one by one.
            Err(error) => {
                let error = Chain(&error).to_string();
                if state.trouble.as_ref() != Some(&error) {
                    tracing::warn!(error, "certificates cannot be read anew, the last ones go on");
                    state.trouble = Some(error);
                }
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.path).finish()
    }
}

fn load(path: &Path) -> Result<Option<(Seen, Arc<ServerConfig>)>, Error> {
    let before = web_config::read(path)?;
    let Some(files) = before else { return Ok(None) };
    // Looked at before they are read: a change in between is seen the next time.
    let seen = Seen::of(path, &files);
    Ok(Some((seen, Arc::new(config(&files)?))))
}

fn config(files: &Files) -> Result<ServerConfig, Error> {
    let Files { cert, key, clients, versions } = files;
    let all: [(Version, &SupportedProtocolVersion); 2] =
        [(Version::Tls12, &rustls::version::TLS12), (Version::Tls13, &rustls::version::TLS13)];
    let spoken: Vec<_> = all
        .into_iter()
        .filter(|(version, _)| (versions.min..=versions.max).contains(version))
        .map(|(_, version)| version)
        .collect();
    let pair = |source| Error::Pair { cert: cert.clone(), key: key.clone(), source };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&spoken)
        .map_err(pair)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(Clients { ca, is_required }) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(ca, "client_ca_file")? {
                let refused = |source| Error::Authority { path: ca.clone(), source };
                roots.add(authority).map_err(refused)?;
            }
            let checking = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let checking = if *is_required { checking } else { checking.allow_unauthenticated() };
            let verifier = checking.build();
            let verifier =
                verifier.map_err(|source| Error::Verifier { path: ca.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(cert, "cert_file")?;
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret =
        secret.map_err(|source| Error::Pem { path: key.clone(), what: "key_file", source })?;
    let mut config = builder.with_single_cert(chain, secret).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// At least one.
fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refused = |source| Error::Pem { path: path.to_owned(), what, source };
    let all = CertificateDer::pem_file_iter(path).map_err(refused)?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(refused)?;
    if all.is_empty() { Err(refused(pem::Error::NoItemsFound)) } else { Ok(all) }
}

impl Seen {
    fn of(path: &Path, files: &Files) -> Self {
        let clients = files.clients.iter().map(|clients| &clients.ca);
        let named = [&files.cert, &files.key].into_iter().chain(clients);
        let all = [path].into_iter().chain(named.map(PathBuf::as_path));
        Self(all.map(|path| (path.to_owned(), identity(path))).collect())
    }

    /// The same files as they are now.
    fn again(&self) -> Self {
        Self(self.0.iter().map(|(path, _)| (path.clone(), identity(path))).collect())
    }
}

/// Links are followed: a Secret's volume swaps one.
fn identity(path: &Path) -> Option<[u64; 5]> {
    let of = fs::metadata(path).ok()?;
    let [modified, changed] = [(of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec())]
        .map(|(s, ns)| s.wrapping_mul(1_000_000_000).wrapping_add(ns).cast_unsigned());
    Some([of.dev(), of.ino(), of.len(), modified, changed])
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
