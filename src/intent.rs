//! What the admin wants. Flags, `mxseal.toml` and the wizard all end here, validated once.

use crate::{certificate::KeyType, name::DnsName};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// Directory URL of the CA.
    pub directory: String,
    /// Profile to ask of the CA.
    pub acme_profile: Option<String>,
    /// A directory that a web server serves on port 80, chosen by the admin.
    pub webroot: Option<PathBuf>,
    /// Directory of the files that mail servers read: `live` beside the configuration file.
    pub live_dir: PathBuf,
    /// Get the certificate, show the change, touch no file of the mail server.
    pub print_only: bool,
}
