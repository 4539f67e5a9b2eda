//! Files as values: what a file held at one moment, and what it shall hold.

use crate::certificate::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a configuration file: shown as text where they are UTF-8, kept exactly in any case.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RawForm", into = "RawForm")]
pub struct Raw(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawForm {
    Text(String),
    Bytes { base64: String },
}

impl From<RawForm> for Raw {
    fn from(form: RawForm) -> Self {
        Self(match form {
            RawForm::Text(t) => t.into_bytes(),
            RawForm::Bytes { base64 } => data_encoding::BASE64.decode(base64.as_bytes()).unwrap_or_default(),
        })
    }
}

impl From<Raw> for RawForm {
    fn from(raw: Raw) -> Self {
        match String::from_utf8(raw.0) {
            Ok(text) => Self::Text(text),
            Err(e) => Self::Bytes { base64: data_encoding::BASE64.encode(e.as_bytes()) },
        }
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// What a file holds: text in the open, or bytes of the Store by name. A key has no text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Configuration text.
    Text(Raw),
    /// An object of the Store.
    Stored {
        /// Its digest and name.
        digest: Digest,
        /// It holds a private key.
        secret: bool,
    },
}

impl Content {
    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Text(raw) => Digest::of(&raw.0),
            Self::Stored { digest, .. } => digest.clone(),
        }
    }
}

/// Owner, mode and extended attributes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits (07777).
    pub mode: u32,
    /// Extended attributes, SELinux label and ACLs included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Raw>,
}

/// A regular file at one moment: what it held (by digest) and its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its metadata.
    pub meta: Meta,
}

/// A file as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What it shall hold.
    pub content: Content,
    /// Its metadata.
    pub meta: Meta,
}
