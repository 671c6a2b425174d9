//! `--web.config.file` over real sockets: certificates made here in, answers or refusals out. What is
//! asked is what differs from plain HTTP: who is let in, what is renewed, and that an answer that is
//! broken off is seen to be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/sidecar.rs"]
mod sidecar;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kong_metrics_exporter::sidecar::{Config, Tls};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::http::PATIENCE;
use crate::kong::{HEAD, Kong, chunk, exposition, good, send_text};
use crate::sidecar::{Sidecar, config, eventually, rewritten};

#[tokio::test]
async fn an_answer_over_tls_is_that_of_plain_http() {
    let folder = Folder::new();
    let kong = Kong::start(good(&exposition(2000))).await;
    let sidecar = Sidecar::start_with(folder.config(&kong, ""));
    let answer = folder.client().get(&sidecar).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let whole = unchunked(&answer);
    let (kongs, _) = whole.split_once("# HELP kong_exporter_").unwrap();
    assert_eq!(kongs, rewritten(&exposition(2000)));
}

#[tokio::test]
async fn who_speaks_plain_http_is_turned_away_and_nobody_else_is() {
    let folder = Folder::new();
    let kong = Kong::start(good(&exposition(5))).await;
    let sidecar = Sidecar::start_with(folder.config(&kong, ""));
    let mut plain = TcpStream::connect(sidecar.address).await.unwrap();
    // Not all of it is read before the other side hangs up.
    let _ = plain.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut told = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut told)).await.unwrap();
    assert!(!told.starts_with(b"HTTP/"), "{told:?}");
    assert!(folder.client().get(&sidecar).await.unwrap().contains("kong_exporter_kong_up 1\n"));
}

#[tokio::test]
async fn clients_are_let_in_by_their_certificate() {
    let folder = Folder::new();
    let kong = Kong::start(good(&exposition(5))).await;
    let mutual = "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt";
    let sidecar = Sidecar::start_with(folder.config(&kong, mutual));
    let stranger = Folder::new();
    assert!(folder.client().get(&sidecar).await.is_err(), "without a certificate");
    let other = folder.client().with(&stranger.signed("client"));
    assert!(other.get(&sidecar).await.is_err(), "with that of another authority");
    let own = folder.client().with(&folder.signed("client"));
    assert!(own.get(&sidecar).await.unwrap().starts_with("HTTP/1.1 200 OK"));

    let optional = "client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt";
    let sidecar = Sidecar::start_with(folder.config(&kong, optional));
    assert!(folder.client().get(&sidecar).await.unwrap().starts_with("HTTP/1.1 200 OK"));
    assert!(other.get(&sidecar).await.is_err(), "with that of another authority");
}

#[tokio::test]
async fn certificates_are_read_anew_and_bad_ones_change_nothing() {
    let folder = Folder::new();
    let kong = Kong::start(good(&exposition(5))).await;
    let sidecar = Sidecar::start_with(folder.config(&kong, ""));
    let before = folder.client();
    before.get(&sidecar).await.unwrap();
    // Another authority, and with it another certificate.
    let other = Folder::new();
    for file in ["tls.crt", "tls.key"] {
        fs::copy(other.path.join(file), folder.path.join(file)).unwrap();
    }
    eventually("the new certificate", async || other.client().get(&sidecar).await.is_ok()).await;
    assert!(before.get(&sidecar).await.is_err(), "the old one is no more");
    // A key that is not the certificate's, no key at all, no file.
    for damage in [
        (|path: &Path| fs::write(path, KeyPair::generate().unwrap().serialize_pem()).unwrap())
            as fn(&Path),
        |path| fs::write(path, "none").unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ] {
        damage(&folder.path.join("tls.key"));
        // Longer than it takes to look again.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        other.client().get(&sidecar).await.unwrap();
    }
    let last = Folder::new();
    for file in ["tls.crt", "tls.key"] {
        fs::copy(last.path.join(file), folder.path.join(file)).unwrap();
    }
    eventually("a good one again", async || last.client().get(&sidecar).await.is_ok()).await;
}

#[tokio::test]
async fn an_answer_that_is_broken_off_has_no_end() {
    let folder = Folder::new();
    let text = exposition(2000);
    let cut = vec![send_text(format!("{HEAD}{}", chunk(&text))), kong::Step::Close];
    let kong = Kong::start(cut).await;
    let sidecar = Sidecar::start_with(folder.config(&kong, ""));
    let answer = folder.client().get(&sidecar).await;
    let answer = answer.unwrap_or_default();
    assert!(!answer.ends_with("0\r\n\r\n"), "an end: {answer}");
    assert!(!answer.contains("kong_exporter_"), "nothing behind what is not whole");
    sidecar_ends_well(sidecar, &kong, &folder).await;
}

#[tokio::test]
async fn a_file_that_is_of_no_use_is_named() {
    let folder = Folder::new();
    let read = |content: &str| {
        fs::write(folder.path.join("web.yaml"), content).unwrap();
        let error = Tls::read(&folder.path.join("web.yaml")).unwrap_err();
        let mut told = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            told += &format!(": {error}");
            cause = error.source();
        }
        told.replace(&format!("{}/", folder.path.display()), "")
    };
    let tls = |cert: &str, key: &str| {
        format!("tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n")
    };
    for (content, expected) in [
        (tls("gone.crt", "tls.key"), "cannot use gone.crt as cert_file: "),
        (tls("web.yaml", "tls.key"), "cannot use web.yaml as cert_file: no items found"),
        (tls("tls.crt", "ca.crt"), "cannot use ca.crt as key_file: no items found"),
        (tls("ca.crt", "tls.key"), "cannot use ca.crt with tls.key: "),
        ("http_server_config: {}\n".to_owned(), "web.yaml: "),
    ] {
        let told = read(&content);
        assert!(told.starts_with(expected), "{told}");
    }
    let gone = Tls::read(&folder.path.join("none.yaml")).unwrap_err();
    assert!(gone.to_string().starts_with("cannot read "), "{gone}");
}

async fn sidecar_ends_well(sidecar: Sidecar, kong: &Kong, folder: &Folder) {
    kong.answers(good(&exposition(3)));
    let answer = folder.client().get(&sidecar).await.unwrap();
    assert!(answer.contains("kong_exporter_scrapes_in_flight 1\n"), "{answer}");
    timeout(PATIENCE, sidecar.stop(Duration::ZERO)).await.expect("an end").unwrap();
}

/// The body of an answer that came whole.
fn unchunked(answer: &str) -> String {
    let (_, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    let mut body = String::new();
    loop {
        let (size, data) = rest.split_once("\r\n").expect("a chunk");
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &data[..size];
        rest = data[size..].strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            return body;
        }
    }
}

/// An authority, a server's certificate that it signed, and a web.yaml.
struct Folder {
    path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Folder {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("tls-{}-{next}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {next}"));
        fs::write(path.join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        let folder = Self { path, issuer: Issuer::new(params, key) };
        let (certificate, key) = folder.signed("sidecar");
        fs::write(folder.path.join("tls.crt"), certificate).unwrap();
        fs::write(folder.path.join("tls.key"), key).unwrap();
        folder
    }

    /// A certificate for `name` and its key.
    fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from(name).unwrap())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A sidecar before `kong` with these certificates; `more` goes into tls_server_config.
    fn config(&self, kong: &Kong, more: &str) -> Config {
        let content =
            format!("tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n  {more}\n");
        let file = self.path.join("web.yaml");
        fs::write(&file, content).unwrap();
        let tls = Tls::read(&file).unwrap().map(Arc::new);
        assert!(tls.is_some());
        Config { tls, ..config(kong) }
    }

    /// Who trusts this authority.
    fn client(&self) -> Client {
        Client { authority: self.path.join("ca.crt"), certificate: None }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

struct Client {
    authority: PathBuf,
    certificate: Option<(String, String)>,
}

impl Client {
    fn with(self, certificate: &(String, String)) -> Self {
        Self { certificate: Some(certificate.clone()), ..self }
    }

    /// The whole answer as it came, heads and chunks and all, or why there is none.
    async fn get(&self, sidecar: &Sidecar) -> io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let stream = TcpStream::connect(sidecar.address).await?;
        let name = ServerName::try_from("sidecar").unwrap();
        let asking = async {
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            let request = "GET /metrics HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok(String::from_utf8(answer).unwrap())
        };
        timeout(PATIENCE, asking).await.expect("an answer or the end of the connection")
    }
}
