//! A certificate authority with an intermediate, and certificates of both key types.

use mxseal::{
    certificate::{Certificate, Digest, KeyType},
    change::Presented,
    world::{Net, RootKeys},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _,
    RsaKeySize,
};
use std::sync::Arc;

/// The authority.
pub struct Authority {
    root: rcgen::Certificate,
    intermediate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A key with its certificate.
pub struct Issued {
    /// PEM of the key, the leaf and the intermediate (if any), in the order of `smtpd_tls_chain_files`.
    pub bundle: String,
    /// PEM of the key.
    pub key: String,
    /// PEM of leaf and intermediate.
    pub chain: String,
    /// What a listener shall present.
    pub presented: Presented,
}

impl Authority {
    /// A new root and intermediate.
    pub fn new() -> Self {
        // Roots of one name and different keys are a riddle of their own.
        let of = KeyPair::generate().unwrap();
        let mark = Digest::of(&of.subject_public_key_info()).short().to_owned();
        let ca = |name: &str| {
            let name = format!("{name} {mark}");
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().unwrap())
        };
        let (params, key) = ca("lab root");
        let root = params.self_signed(&key).unwrap();
        let above = Issuer::new(params, key);
        let (params, key) = ca("lab intermediate");
        let intermediate = params.signed_by(&key, &above).unwrap();
        Self { root, intermediate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for the names.
    pub fn issue(&self, names: &[&str], key_type: KeyType) -> Issued {
        self.issue_with(names, key_type, |_| ())
    }

    /// The same, odd in a way.
    pub fn issue_with(&self, names: &[&str], key_type: KeyType, odd: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = new_key(key_type);
        let mut params = params(names);
        odd(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        issued(&key, &leaf, &self.intermediate.pem(), key_type)
    }

    /// The root, as PEM.
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// A network that takes this authority's root alone for verdicts.
    pub fn net(&self) -> Net {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        net_with(roots)
    }
}

/// A network that takes these roots alone, for verdicts and for the API of a CA.
pub fn net_with(roots: rustls::RootCertStore) -> Net {
    let roots = Arc::new(roots);
    Net {
        resolver: None,
        verdict_roots: Arc::clone(&roots),
        api_roots: roots,
        dns_roots: RootKeys::default(),
        http_port: 80,
        tls_port: 443,
    }
}

/// A self-signed certificate, as a distribution makes at installation.
pub fn self_signed(names: &[&str], key_type: KeyType, calls_itself_a_ca: bool) -> Issued {
    let key = new_key(key_type);
    let mut params = params(names);
    params.distinguished_name.push(DnType::CommonName, names[0]);
    if calls_itself_a_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    issued(&key, &params.self_signed(&key).unwrap(), "", key_type)
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

fn new_key(key_type: KeyType) -> KeyPair {
    match key_type {
        KeyType::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        _ => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
    }
}

fn issued(key: &KeyPair, leaf: &rcgen::Certificate, above: &str, key_type: KeyType) -> Issued {
    let read = Certificate::read(leaf.der()).unwrap();
    assert_eq!(read.spki, Digest::of(&key.subject_public_key_info()));
    let (key, chain) = (key.serialize_pem(), format!("{}{above}", leaf.pem()));
    Issued { bundle: format!("{key}{chain}"), key, chain, presented: Presented { key_type, spki: read.spki, serial: read.serial } }
}
