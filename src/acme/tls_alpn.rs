//! The answer to tls-alpn-01 (RFC 8737 §3): a certificate for the name that holds the digest of the key authorization, shown
//! to whoever offers `acme-tls/1` and asks for that name. It is worth nothing to anybody else.

use super::bad_news::Trouble;
use crate::serve::ACME_TLS;
use rcgen::{Certificate, CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::PrivatePkcs8KeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_rustls::TlsAcceptor;

/// The certificates of an errand, by name.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<BTreeMap<String, Arc<CertifiedKey>>>);

impl Shown {
    /// From now on `name` is answered with the certificate of this key authorization.
    pub(super) fn add(&self, name: &str, key_authorization: &str) -> Result<(), Trouble> {
        let (key, certificate) = made(name, key_authorization)?;
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der.into()).map_err(|e| unmade(name, e))?;
        // Not from_der, which refuses a critical extension that it does not know.
        let shown = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase(), shown);
        Ok(())
    }
}

fn made(name: &str, key_authorization: &str) -> Result<(KeyPair, Certificate), Trouble> {
    let wrong = |e: rcgen::Error| unmade(name, e);
    let mut params = CertificateParams::new([name.to_owned()]).map_err(wrong)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&Sha256::digest(key_authorization))];
    let key = KeyPair::generate().map_err(wrong)?;
    let certificate = params.self_signed(&key).map_err(wrong)?;
    Ok((key, certificate))
}

fn unmade(name: &str, why: impl std::fmt::Display) -> Trouble {
    Trouble::Key { what: format!("the certificate that answers the CA for {name}"), why: why.to_string() }
}

/// The same for another process to show: key and certificate, as PEM.
pub(super) fn answer(name: &str, key_authorization: &str) -> Result<String, Trouble> {
    let (key, certificate) = made(name, key_authorization)?;
    Ok(key.serialize_pem() + &certificate.pem())
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered: Vec<&[u8]> = hello.alpn()?.collect();
        let name = hello.server_name().filter(|_| offered == [ACME_TLS])?.to_ascii_lowercase();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }
}

/// Speaks TLS with what is shown.
pub(super) fn acceptor(shown: Arc<Shown>) -> Result<TlsAcceptor, rustls::Error> {
    config(shown).map(|config| TlsAcceptor::from(Arc::new(config)))
}

fn config(shown: Arc<Shown>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    #[test]
    fn nobody_but_the_ca_is_answered() {
        let shown = Arc::new(Shown::default());
        shown.add("mx.example.org", "token.thumbprint").expect("a certificate");
        let server = Arc::new(config(shown).expect("a server"));
        let answered = |name: &str, offers: &[&[u8]]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
            let mut client = client.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            client.alpn_protocols = offers.iter().map(|o| o.to_vec()).collect();
            let mut client = ClientConnection::new(Arc::new(client), name.to_owned().try_into().expect("a name")).expect("a client");
            let mut hello = Vec::new();
            client.write_tls(&mut hello).expect("a hello");
            let mut server = ServerConnection::new(server.clone()).expect("a server");
            server.read_tls(&mut hello.as_slice()).expect("a hello");
            server.process_new_packets().is_ok()
        };
        for (name, offers, expected) in [
            ("mx.example.org", &[ACME_TLS][..], true),
            ("MX.Example.ORG", &[ACME_TLS], true),
            ("other.example.org", &[ACME_TLS], false),
            ("mx.example.org", &[], false),
            ("mx.example.org", &[b"h2"], false),
            ("mx.example.org", &[ACME_TLS, b"h2"], false),
        ] {
            assert_eq!(answered(name, offers), expected, "{name} {offers:?}");
        }
    }
}
