//! Private keys of a lineage: in the Store before any order names them, 0600 from the first byte, never in JSON.

use super::bad_news::Trouble;
use crate::{
    certificate::{Certificate, Digest, KeyType},
    facts::Lineage,
    name::DnsName,
    plan::KeyChoice,
    world::{Look as _, Machine, Store},
};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256,
    PublicKeyData as _, RsaKeySize,
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use std::path::Path;
use zeroize::Zeroizing;

/// A private key that the Store holds. No `Debug`: it is a secret.
pub(super) struct HeldKey {
    /// Its kind.
    pub(super) key_type: KeyType,
    /// Its fingerprint.
    pub(super) spki: Digest,
    /// As PEM.
    pub(super) pem: Zeroizing<String>,
    pair: KeyPair,
}

impl HeldKey {
    /// The key of a choice: the one to reuse, the lineage's own, or a new one that is saved before this returns.
    pub(super) fn of(store: &Store, lineage: &DnsName, own: Option<&Lineage>, choice: &KeyChoice) -> Result<Self, Trouble> {
        if let Some((file, wanted)) = &choice.reuse {
            if let Some(held) = Self::saved(store, lineage, wanted)? {
                return held.is(choice.key_type, file);
            }
            let held = Self::in_file(file, wanted)?.is(choice.key_type, file)?;
            store.save_bytes(path(lineage, &held.spki), held.pem.as_bytes())?;
            return Ok(held);
        }
        let known = own.into_iter().flat_map(|l| &l.keys).filter(|k| k.key_type == choice.key_type);
        for key in known {
            if let Some(held) = Self::saved(store, lineage, &key.spki)? {
                return Ok(held);
            }
            if key.leaf.is_some() {
                let file = store.path(path(lineage, &key.spki));
                return Err(Trouble::key(
                    file.display().to_string(),
                    "the key of a certificate in use is missing; put it back from a backup, or remove the lineage's file to begin with a new key",
                ));
            }
        }
        Self::made(store, lineage, choice.key_type)
    }

    /// A new key, saved before this returns.
    pub(super) fn made(store: &Store, lineage: &DnsName, key_type: KeyType) -> Result<Self, Trouble> {
        let held = Self::make(key_type)?;
        store.save_bytes(path(lineage, &held.spki), held.pem.as_bytes())?;
        Ok(held)
    }

    /// The key of a certificate, from the file beside it; it is kept, so that a later order of ours can keep it in use.
    pub(super) fn of_chain(store: &Store, lineage: &DnsName, file: &Path, leaf: &Certificate) -> Result<Self, Trouble> {
        let held = Self::in_file(file, &leaf.spki)?.is(leaf.key_type, file)?;
        let place = path(lineage, &held.spki);
        if Machine.image(&store.path(&place))?.is_none() {
            store.save_bytes(place, held.pem.as_bytes())?;
        }
        Ok(held)
    }

    fn make(key_type: KeyType) -> Result<Self, Trouble> {
        let pair = match key_type {
            KeyType::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyType::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyType::Other => return Err(Trouble::key("a new key", "only ECDSA and RSA keys are made")),
        };
        let pair = pair.map_err(|e| Trouble::key(format!("a new {key_type} key"), e.to_string()))?;
        let pem = block("PRIVATE KEY", pair.serialized_der());
        Ok(Self::held(pair, pem))
    }

    fn held(pair: KeyPair, pem: Zeroizing<String>) -> Self {
        let spki = Digest::of(&pair.subject_public_key_info());
        let key_type = match pair.algorithm() {
            a if *a == PKCS_RSA_SHA256 => KeyType::Rsa,
            a if [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512].contains(&a) => KeyType::Ecdsa,
            _ => KeyType::Other,
        };
        Self { key_type, spki, pem, pair }
    }

    fn saved(store: &Store, lineage: &DnsName, spki: &Digest) -> Result<Option<Self>, Trouble> {
        let file = store.path(path(lineage, spki));
        if Machine.image(&file)?.is_none() { Ok(None) } else { Self::in_file(&file, spki).map(Some) }
    }

    /// The key with this fingerprint in a PEM file that may hold several, and certificates too.
    fn in_file(file: &Path, wanted: &Digest) -> Result<Self, Trouble> {
        let wrong = |why: String| Trouble::key(file.display().to_string(), why);
        let bytes = match Machine.read(file) {
            Ok(Some((bytes, _))) => Zeroizing::new(bytes),
            Ok(None) => return Err(wrong("there is no such file, but its key must stay in use; put it back".into())),
            Err(e) => return Err(wrong(e.to_string())),
        };
        let mut seen = Vec::new();
        for key in PrivateKeyDer::pem_slice_iter(&bytes) {
            let key = key.map_err(|e| wrong(e.to_string()))?;
            let label = match &key {
                PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
                PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
                _ => "PRIVATE KEY",
            };
            let pair = KeyPair::try_from(&key).map_err(|_| wrong("holds a private key of a kind that cannot be used".into()))?;
            let held = Self::held(pair, block(label, key.secret_der()));
            if held.spki == *wanted {
                return Ok(held);
            }
            seen.push(held.spki.0);
        }
        Err(wrong(match seen.as_slice() {
            [] if bytes.windows(9).any(|w| w == b"ENCRYPTED") => {
                "its key is protected by a passphrase; a mail server cannot read such a key either".into()
            }
            [] => "holds no private key in PEM form".into(),
            _ => format!("holds the key {}, not {wanted}, which must stay in use", seen.join(" and ")),
        }))
    }

    fn is(self, key_type: KeyType, file: &Path) -> Result<Self, Trouble> {
        if self.key_type == key_type {
            Ok(self)
        } else {
            Err(Trouble::key(file.display().to_string(), format!("its key is {}, not {key_type}", self.key_type)))
        }
    }

    /// A certificate signing request for `names` (DER), the subject empty.
    pub(super) fn request(&self, names: &[String]) -> Result<Vec<u8>, Trouble> {
        let wrong = |e: rcgen::Error| Trouble::key(format!("the {} key", self.key_type), e.to_string());
        let mut params = CertificateParams::new(names).map_err(wrong)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.pair).map_err(wrong)?.der().to_vec())
    }
}

pub(super) fn path(lineage: &DnsName, spki: &Digest) -> String {
    format!("lineages/{lineage}/{spki}.key")
}

/// A PEM block (RFC 7468).
pub(super) fn block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(data_encoding::BASE64.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_every_form_and_only_the_right_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("all.pem");
        let (a, b) = (HeldKey::make(KeyType::Ecdsa).expect("a key"), HeldKey::make(KeyType::Ecdsa).expect("a key"));
        std::fs::write(&file, format!("{}{}", a.pem.as_str(), b.pem.as_str())).expect("a file");
        for key in [&a, &b] {
            assert_eq!(HeldKey::in_file(&file, &key.spki).expect("the key").pem, key.pem);
        }
        let error = HeldKey::in_file(&file, &Digest::of(b"other")).err().expect("no such key").to_string();
        assert!(error.contains(&a.spki.0) && !error.contains("PRIVATE"), "{error}");
        std::fs::write(&file, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").expect("a file");
        assert!(HeldKey::in_file(&file, &a.spki).err().expect("no key").to_string().contains("passphrase"));
    }
}
