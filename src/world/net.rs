//! The network as data: rehearsal and tests are other data, not other code.

use hickory_proto::dnssec::TrustAnchors;
use rustls::RootCertStore;
use std::{fmt, io, net::SocketAddr, path::Path, sync::Arc};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

/// Keys of the DNS root, from which signatures are followed. The default are those of 2017 and 2024.
#[derive(Clone, Default)]
pub struct RootKeys(pub(crate) Arc<TrustAnchors>);

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} root keys", self.0.len())
    }
}

impl RootKeys {
    /// These and those in a file of DNSKEY records.
    ///
    /// # Errors
    /// When it cannot be read or holds no key of the root; the text names it.
    pub fn and_of(&self, file: &Path) -> io::Result<Self> {
        let wrong =
            |why: &dyn fmt::Display| io::Error::new(io::ErrorKind::InvalidData, format!("--dnssec-anchor {}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
        let more: TrustAnchors = text.parse().map_err(|e| wrong(&e))?;
        if more.is_empty() {
            return Err(wrong(&"holds no DNSKEY record of the root"));
        }
        let mut all = TrustAnchors::clone(&self.0);
        for key in (0..more.len()).filter_map(|i| more.get(i)) {
            all.insert(key);
        }
        Ok(Self(Arc::new(all)))
    }
}

/// Whether nothing leads to an address from here: this host has no addresses of its family, or no way out for them.
#[must_use]
pub fn no_route(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || e.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
}

/// Where to ask and whom to believe.
#[derive(Clone, Debug)]
pub struct Net {
    /// The resolver to ask; `None` takes those of `/etc/resolv.conf`.
    pub resolver: Option<SocketAddr>,
    /// Roots for verdicts: the system's, Mozilla's as compiled in, and `--trust-anchor`.
    pub verdict_roots: Arc<RootCertStore>,
    /// Roots for the API of the CA: the system's, Mozilla's and `--acme-ca-file`.
    pub api_roots: Arc<RootCertStore>,
    /// Keys of the DNS root: the two that are compiled in, and `--dnssec-anchor`.
    pub dns_roots: RootKeys,
    /// Where the CA will look for http-01 answers: port 80.
    pub http_port: u16,
    /// Where the CA will look for tls-alpn-01 answers: port 443.
    pub tls_port: u16,
}

impl Net {
    /// The network of this host with more anchors from PEM files.
    ///
    /// # Errors
    /// When an anchor file cannot be read or holds no certificate; the text names it.
    pub fn of_this_host(
        resolver: Option<SocketAddr>,
        trust_anchors: &[impl AsRef<Path>],
        acme_ca: &[impl AsRef<Path>],
    ) -> io::Result<Self> {
        let mut common = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        add_system(&mut common);
        let verdict_roots = with_anchors(common.clone(), "--trust-anchor", trust_anchors)?;
        let api_roots = with_anchors(common, "--acme-ca-file", acme_ca)?;
        let (verdict_roots, api_roots, dns_roots) = (Arc::new(verdict_roots), Arc::new(api_roots), RootKeys::default());
        Ok(Self { resolver, verdict_roots, api_roots, dns_roots, http_port: 80, tls_port: 443 })
    }
}

/// Whether the system's store holds any root at all: on a Debian without ca-certificates it does not.
#[must_use]
pub fn has_system_roots() -> bool {
    RootCertStore::empty().add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0 > 0
}

/// Adds what the system's store has beside them: most of it is Mozilla's too, and needs no second look.
fn add_system(roots: &mut RootCertStore) {
    for der in rustls_native_certs::load_native_certs().certs {
        let mut one = RootCertStore::empty();
        if one.add(der.clone()).is_err() {
            continue;
        }
        one.roots.retain(|root| !roots.roots.contains(root));
        if !one.is_empty() && may_issue(&der) {
            roots.roots.append(&mut one.roots);
        }
    }
}

/// Whether a certificate of the system's store may issue others. Debian links its self-made server certificate
/// (ssl-cert-snakeoil) into the folder of the roots: as an anchor it would verify itself.
fn may_issue(der: &[u8]) -> bool {
    let Ok((_, x)) = X509Certificate::from_der(der) else { return false };
    // A version 1 root cannot say that it is one (RFC 5280 §6.1.4 k).
    x.version() == X509Version::V1 || x.is_ca()
}

fn with_anchors(mut roots: RootCertStore, flag: &str, files: &[impl AsRef<Path>]) -> io::Result<RootCertStore> {
    for file in files {
        let file = file.as_ref();
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{flag} {}: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|e| io::Error::new(e.kind(), format!("{flag} {}: {e}", file.display())))?;
        let ders = crate::certificate::pem_certificates(&pem).map_err(|e| wrong(e.to_string()))?;
        if ders.is_empty() {
            return Err(wrong("holds no certificate in PEM form".into()));
        }
        for der in ders {
            roots.add(der.into()).map_err(|e| wrong(e.to_string()))?;
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_certificate_in_the_roots_folder_is_no_root() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["host.example".to_owned()]).expect("names");
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        assert!(!may_issue(params.self_signed(&key).expect("a certificate").der()));
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        assert!(may_issue(params.self_signed(&key).expect("a certificate").der()));
    }
}
