//! The network as data: rehearsal and tests are other data, not other code.

use rustls::RootCertStore;
use std::{io, net::SocketAddr, path::Path, sync::Arc};

/// Where to ask and whom to believe.
#[derive(Clone, Debug)]
pub struct Net {
    /// The resolver to ask; `None` takes those of `/etc/resolv.conf`.
    pub resolver: Option<SocketAddr>,
    /// Roots for verdicts: the system's, Mozilla's as compiled in, and `--trust-anchor`.
    pub verdict_roots: Arc<RootCertStore>,
    /// Roots for the API of the CA: the system's, Mozilla's and `--acme-ca-file`.
    pub api_roots: Arc<RootCertStore>,
    /// Where the CA will look for http-01 answers: port 80.
    pub http_port: u16,
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
        common.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let verdict_roots = with_anchors(common.clone(), trust_anchors)?;
        let api_roots = with_anchors(common, acme_ca)?;
        Ok(Self { resolver, verdict_roots: Arc::new(verdict_roots), api_roots: Arc::new(api_roots), http_port: 80 })
    }
}

fn with_anchors(mut roots: RootCertStore, files: &[impl AsRef<Path>]) -> io::Result<RootCertStore> {
    for file in files {
        let file = file.as_ref();
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))?;
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
