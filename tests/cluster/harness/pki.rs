//! The keys of a cluster: nothing in, files out. What a cluster administrator's tool would make:
//! two authorities, a certificate for each component, a key that signs ServiceAccount tokens.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

/// A folder with certificates and keys.
pub(crate) struct Pki {
    folder: PathBuf,
    ca: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn make(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let ca = authority(&folder, "ca");
        let front_proxy = authority(&folder, "front-proxy-ca");
        let pki = Self { folder, ca };
        let names = ["localhost", "kubernetes", "kubernetes.default.svc"];
        pki.certificate("apiserver", &pki.ca, "kube-apiserver", None, &names);
        pki.certificate("admin", &pki.ca, "admin", Some("system:masters"), &[]);
        pki.certificate("controllers", &pki.ca, "system:kube-controller-manager", None, &[]);
        pki.certificate("front-proxy", &front_proxy, "front-proxy-client", None, &[]);
        // The server takes ECDSA as well as RSA here; rcgen's ring makes no RSA keys.
        let tokens = KeyPair::generate().unwrap();
        fs::write(pki.file("tokens.key"), tokens.serialize_pem()).unwrap();
        fs::write(pki.file("tokens.pub"), tokens.public_key_pem()).unwrap();
        pki
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a certificate, in files that are called `file`, for a server with these names, which
    /// may show it to others as well.
    pub(crate) fn serving(&self, file: &str, names: &[&str]) {
        self.certificate(file, &self.ca, names[0], None, names);
    }

    /// A file for clients that show the certificate `name` to the server.
    pub(crate) fn kubeconfig(&self, name: &str, server: SocketAddr) -> PathBuf {
        let user = json!({
            "client-certificate": self.file(&format!("{name}.crt")),
            "client-key": self.file(&format!("{name}.key")),
        });
        let path = self.file(&format!("{name}.kubeconfig"));
        self.write_kubeconfig(&path, server, &user);
        path
    }

    /// A file for clients that are `user` to the server.
    pub(crate) fn write_kubeconfig(&self, path: &Path, server: SocketAddr, user: &Value) {
        let ca = self.file("ca.crt");
        let cluster = json!({"server": format!("https://{server}"), "certificate-authority": ca});
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "tests", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        });
        // Tests that run side by side write the same file: who reads it reads a whole one.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let new = path.with_extension(format!("new-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::write(&new, config.to_string()).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn certificate(
        &self,
        file: &str,
        authority: &Issuer<'static, KeyPair>,
        name: &str,
        organization: Option<&str>,
        names: &[&str],
    ) {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            let names = names.iter().map(|name| Ia5String::try_from(*name).unwrap());
            params.subject_alt_names = names.map(SanType::DnsName).collect();
            let addresses = [Ipv4Addr::LOCALHOST, SERVICE].map(|ip| SanType::IpAddress(ip.into()));
            params.subject_alt_names.extend(addresses);
        }
        let certificate = params.signed_by(&key, authority).unwrap();
        fs::write(self.file(&format!("{file}.crt")), certificate.pem()).unwrap();
        fs::write(self.file(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

fn authority(folder: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = named(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    fs::write(folder.join(format!("{name}.crt")), params.self_signed(&key).unwrap().pem()).unwrap();
    Issuer::new(params, key)
}

/// The address of the Service `kubernetes`.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

fn named(name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params
}
