//! A certificate as read, and the two fingerprints that matter for mail: of the key (SPKI) and of the whole.

use crate::{moment::Moment, name::DnsName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

/// SHA-256 of some bytes, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
    }

    /// The first eight digits: enough for a reader to compare.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-512 of some bytes, in lower-case hexadecimal: only TLSA records with matching type 2 are compared with it.
#[must_use]
pub fn sha512(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha512::digest(bytes))
}

/// The kind of a key, as far as mail senders care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA, NIST P-256 when we make it.
    Ecdsa,
    /// RSA, 2048 bits when we make it.
    Rsa,
    /// Ed25519 and whatever else a server may present; never made by us.
    Other,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
            Self::Other => "other",
        })
    }
}

/// What a certificate says, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of the whole certificate (TLSA selector 0).
    pub digest: Digest,
    /// SHA-256 of its subjectPublicKeyInfo (TLSA selector 1).
    pub spki: Digest,
    /// SHA-512 of the same (TLSA matching type 2); empty in what an older version wrote.
    #[serde(default)]
    pub spki_sha512: String,
    /// Kind of its key.
    pub key_type: KeyType,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Its authority key identifier in hexadecimal (RFC 5280 §4.2.1.1); empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authority: String,
    /// Its DNS names (subjectAltName), as written; the common name where there is no such extension.
    pub names: Vec<String>,
    /// The issuer's common name or, without one, the whole issuer.
    pub issuer: String,
    /// Issuer and subject are the same.
    pub self_signed: bool,
    /// Start of validity.
    pub not_before: Moment,
    /// End of validity.
    pub not_after: Moment,
    /// Extended key usage names clientAuth, or there is no such restriction.
    pub client_auth: bool,
}

/// Bytes that are no X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate: {0}")]
pub struct NotACertificate(String);

impl Certificate {
    /// Reads one DER certificate (RFC 5280).
    ///
    /// # Errors
    /// When the bytes are not a certificate.
    pub fn read(der: &[u8]) -> Result<Self, NotACertificate> {
        let (_, x) = X509Certificate::from_der(der).map_err(|e| NotACertificate(e.to_string()))?;
        let key_type = match x.public_key().parsed() {
            Ok(PublicKey::RSA(_)) => KeyType::Rsa,
            Ok(PublicKey::EC(_)) => KeyType::Ecdsa,
            _ => KeyType::Other,
        };
        let mut names: Vec<String> = Vec::new();
        let mut client_auth = true;
        let mut authority = String::new();
        for extension in x.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(san) => {
                    names.extend(san.general_names.iter().filter_map(|n| match n {
                        GeneralName::DNSName(d) => Some(d.to_ascii_lowercase()),
                        _ => None,
                    }));
                }
                ParsedExtension::ExtendedKeyUsage(eku) => client_auth = eku.client_auth || eku.any,
                ParsedExtension::AuthorityKeyIdentifier(aki) => {
                    authority = aki.key_identifier.as_ref().map(|id| data_encoding::HEXLOWER.encode(id.0)).unwrap_or_default();
                }
                _ => {}
            }
        }
        let common_name =
            |n: &x509_parser::x509::X509Name<'_>| n.iter_common_name().next().and_then(|c| c.as_str().ok()).map(ToOwned::to_owned);
        if names.is_empty() {
            names.extend(common_name(x.subject()).map(|n| n.to_ascii_lowercase()));
        }
        let moment = |t: x509_parser::time::ASN1Time| Moment(u64::try_from(t.timestamp()).unwrap_or(0));
        Ok(Self {
            digest: Digest::of(der),
            spki: Digest::of(x.public_key().raw),
            spki_sha512: sha512(x.public_key().raw),
            key_type,
            serial: data_encoding::HEXLOWER.encode(x.raw_serial()),
            authority,
            names,
            issuer: common_name(x.issuer()).unwrap_or_else(|| x.issuer().to_string()),
            self_signed: x.issuer() == x.subject() && !x.subject().as_raw().is_empty() && x.tbs_certificate.subject.iter().next().is_some(),
            not_before: moment(x.validity().not_before),
            not_after: moment(x.validity().not_after),
            client_auth,
        })
    }

    /// Reads every certificate of a PEM text, in order; other PEM blocks are passed over.
    ///
    /// # Errors
    /// When a certificate block cannot be read.
    pub fn read_pem(pem: &[u8]) -> Result<Vec<Self>, NotACertificate> {
        pem_certificates(pem)?.iter().map(|der| Self::read(der)).collect()
    }

    /// What its CA calls it when asked when to renew (RFC 9773 §4.1); `None` where it does not say who certified it.
    #[must_use]
    pub fn renewal_id(&self) -> Option<String> {
        let part = |hex: &str| Some(data_encoding::BASE64URL_NOPAD.encode(&data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?));
        (!self.authority.is_empty()).then_some(())?;
        Some(format!("{}.{}", part(&self.authority)?, part(&self.serial)?))
    }

    /// Whether one of its names covers `name`.
    #[must_use]
    pub fn covers(&self, name: &DnsName) -> bool {
        self.names.iter().any(|pattern| name.covered_by(pattern))
    }
}

/// The DER bytes of every certificate in a PEM text, in order.
///
/// # Errors
/// When a block is damaged.
pub fn pem_certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, NotACertificate> {
    let mut found = Vec::new();
    for block in x509_parser::pem::Pem::iter_from_buffer(pem) {
        let block = block.map_err(|e| NotACertificate(e.to_string()))?;
        if block.label == "CERTIFICATE" {
            found.push(block.contents);
        }
    }
    Ok(found)
}
