//! What the admin wants. Flags, `mxseal.toml` and the wizard all end here, validated once.

use crate::{certificate::KeyType, name::DnsName};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The CA where nobody named another.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Which key types to serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyTypes {
    /// ECDSA and RSA together: every sender finds one that it speaks.
    #[default]
    Both,
    /// ECDSA only.
    Ecdsa,
    /// RSA only.
    Rsa,
}

impl KeyTypes {
    /// The types, ECDSA first.
    #[must_use]
    pub const fn list(self) -> &'static [KeyType] {
        match self {
            Self::Both => &[KeyType::Ecdsa, KeyType::Rsa],
            Self::Ecdsa => &[KeyType::Ecdsa],
            Self::Rsa => &[KeyType::Rsa],
        }
    }
}

/// The admin's wishes about the mail server and its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Mail domains; empty means as measured.
    pub domains: Vec<DnsName>,
    /// MX names of this host; empty means as measured.
    pub mx: Vec<DnsName>,
    /// Key types; `None` means the default, within what must be kept.
    pub key_types: Option<KeyTypes>,
    /// Directory URL of the CA; `None` means the one that issued what there is, else [`LETS_ENCRYPT`].
    pub directory: Option<String>,
    /// Profile to ask of the CA; `None` means the one that was asked before, if any.
    pub acme_profile: Option<String>,
    /// Directory of the files that mail servers read: `live` beside the configuration file.
    pub live_dir: PathBuf,
}
