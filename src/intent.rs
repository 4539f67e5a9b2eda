//! What the admin wants. Flags, `mxseal.toml` and the wizard all end here, validated once.

use crate::{certificate::KeyType, change::Command, name::DnsName};
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

/// How many certificates a host with several MX names has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certificates {
    /// One that holds all of them: many senders do not say which name they mean.
    #[default]
    One,
    /// One for each, chosen by the name that a sender sends (RFC 6066 §3); who sends none is shown the first.
    Each,
}

/// How the CA is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeType {
    /// A file on port 80 (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A record in DNS (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeType {
    /// As CAs call it (RFC 8555 §9.7.8).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// What becomes of a certificate that another program keeps for this host's MX names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// It is served, and goes on being renewed by whoever keeps it.
    Adopt,
    /// One of our own is served in its place, which we renew.
    TakeOver,
}

/// What senders may be told of a host once it is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "wires", derive(clap::ValueEnum))]
pub enum Tell {
    /// Where to report how TLS went: a TXT record of each domain (RFC 8460)
    TlsRpt,
    /// The keys of each MX name in a signed zone: TLSA records (RFC 7672)
    Dane,
    /// That each domain has an MTA-STS policy, and which (RFC 8461)
    MtaSts,
    /// Nothing of it
    Nothing,
}

impl Tell {
    /// All that there is to tell.
    pub const ALL: [Self; 3] = [Self::TlsRpt, Self::Dane, Self::MtaSts];

    /// Its name, as flag and settings say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsRpt => "tls-rpt",
            Self::Dane => "dane",
            Self::MtaSts => "mta-sts",
            Self::Nothing => "nothing",
        }
    }

    /// Whether it is wished, where these were said; nothing said is all.
    #[must_use]
    pub fn is_in(self, said: &[Self]) -> bool {
        said.is_empty() || said.contains(&self)
    }
}

impl std::str::FromStr for Tell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL.into_iter().chain([Self::Nothing]);
        all.into_iter()
            .find(|t| t.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is nothing that senders can be told; there are tls-rpt, dane and mta-sts, or nothing"))
    }
}

/// The admin's wishes about the mail server and its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Mail domains; empty means as measured.
    pub domains: Vec<DnsName>,
    /// MX names of this host; empty means as measured.
    pub mx: Vec<DnsName>,
    /// Key types; `None` means the default, within what must be kept.
    pub key_types: Option<KeyTypes>,
    /// One certificate for all MX names, or one for each.
    #[serde(default)]
    pub certificates: Certificates,
    /// Ids of the services beside the mail server that are switched to the same certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// Directory URL of the CA; `None` means the one that issued what there is, else [`LETS_ENCRYPT`].
    pub directory: Option<String>,
    /// Profile to ask of the CA; `None` means the one that was asked before, if any.
    pub acme_profile: Option<String>,
    /// Directory of the files that mail servers read: `live` beside the configuration file.
    pub live_dir: PathBuf,
    /// What becomes of a certificate that another program keeps; `None` means as before, else an order of our own.
    pub existing: Option<Existing>,
    /// The command line that takes in what others renewed: what their hooks call. Empty where none may.
    pub take_in: Command,
}
