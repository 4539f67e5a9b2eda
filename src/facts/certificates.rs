//! Certificates: ours, those of other programs, and who reads them.

use crate::{
    certificate::{Certificate, Digest, KeyType},
    moment::Moment,
    name::DnsName,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One of our certificates: a name with its keys, its chain and how far it got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Its name: the first MX name in it.
    pub name: DnsName,
    /// The directory URL of the CA that issues it.
    pub directory: String,
    /// The profile that was asked of the CA, if any.
    pub acme_profile: Option<String>,
    /// The keys, one a type, and the certificate issued for each.
    pub keys: Vec<LineageKey>,
    /// The key that follows each of them one day: made beforehand, so that its TLSA record is known everywhere by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextKey>,
    /// The same certificate as it is once those keys are in use: a roll-over is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Box<Self>>,
    /// The keys that were in use before a roll-over: their records stay until no sender can need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerKey>,
    /// Key and chain of each type in one file's bytes, in the Store; `None` until all are issued.
    pub bundle: Option<Digest>,
    /// The file that a mail server reads.
    pub live: PathBuf,
    /// How far deployment got.
    pub deployment: Deployment,
    /// The files of another program that it is taken from, one a key type: that program orders and renews. Empty where we do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<Source>,
}

/// Where another program keeps a certificate that we serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Kind of its key.
    pub key_type: KeyType,
    /// Who keeps it, such as `certbot`.
    pub keeper: String,
    /// What the keeper calls it.
    pub name: String,
    /// The chain file.
    pub chain: PathBuf,
    /// The private key file.
    pub key: PathBuf,
}

impl Lineage {
    /// One that holds nothing yet.
    #[must_use]
    pub const fn begun(name: DnsName, live: PathBuf) -> Self {
        Self {
            name,
            directory: String::new(),
            acme_profile: None,
            keys: Vec::new(),
            next: Vec::new(),
            successor: None,
            former: Vec::new(),
            bundle: None,
            live,
            deployment: Deployment::Ordered,
            adopted: Vec::new(),
        }
    }

    /// The keys that follow those in use: one of a kind that is not in use follows none.
    pub fn next_keys(&self) -> impl Iterator<Item = &NextKey> {
        self.next.iter().filter(|n| self.keys.iter().any(|k| k.key_type == n.key_type))
    }

    /// Every file that a mail server may read of it: one with all keys, or one for each key type.
    pub fn live_files(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(self.live.clone()).chain(self.keys.iter().map(|k| live_of(&self.live, k.key_type)))
    }
}

/// The file of one key type, beside the one that holds them all.
#[must_use]
pub fn live_of(live: &Path, key_type: KeyType) -> PathBuf {
    live.with_extension(format!("{key_type}.pem"))
}

/// A key that is not in use yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextKey {
    /// Its kind.
    pub key_type: KeyType,
    /// Its fingerprint: what a TLSA `3 1 1` record says.
    pub spki: Digest,
}

/// A key that another one followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerKey {
    /// Its kind.
    pub key_type: KeyType,
    /// Its fingerprint: what a TLSA `3 1 1` record says.
    pub spki: Digest,
    /// When the wire proved the key that followed it; `None` until then.
    pub left: Option<Moment>,
}

/// One key of a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageKey {
    /// Its kind.
    pub key_type: KeyType,
    /// Its fingerprint: what a TLSA `3 1 1` record says.
    pub spki: Digest,
    /// The certificate issued for it.
    pub leaf: Option<Certificate>,
    /// This key and its chain in one file's bytes, in the Store.
    #[serde(default)]
    pub bundle: Option<Digest>,
    /// When the CA suggests to renew that certificate, where it was asked and said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// When the CA suggests to renew a certificate (RFC 9773 §4.2), as it said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Renew not before this.
    pub start: Moment,
    /// Renew before this.
    pub end: Moment,
    /// Why it is so, as a page for people to read; a CA gives it where the window is not the usual one.
    pub explanation: Option<String>,
    /// When the CA is asked again, as it wishes.
    pub again: Moment,
}

/// Deployment is a state, not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deployment {
    /// Keys exist, the CA has not answered yet.
    Ordered,
    /// The CA issued it; no mail server reads it.
    Issued,
    /// The mail server's configuration names it; not yet seen on the wire.
    Installed,
    /// Seen on the wire on every listener that should serve it.
    Proved,
}

/// A certificate that another program keeps, or that the mail server names today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignLineage {
    /// Who keeps it: `certbot`, `acme.sh`, `lego`, `dehydrated`, `snakeoil`, or `file`.
    pub keeper: String,
    /// The chain file.
    pub chain: PathBuf,
    /// The private key file; its bytes never enter the facts.
    pub key: PathBuf,
    /// The leaf.
    pub leaf: Certificate,
    /// Whether it verifies against the roots for verdicts.
    pub trusted: bool,
    /// Whether the mail server's configuration names it.
    pub in_use: bool,
    /// What its keeper does with it; `None` where it lies in no place of a program that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// A line in the configuration of another service that names a certificate's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The service, such as `Dovecot`.
    pub program: String,
    /// File and line, from 1.
    pub at: (PathBuf, usize),
    /// Its setting.
    pub setting: String,
    /// The file that it names.
    pub file: PathBuf,
}

/// What a certificate program does with a certificate that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it calls it.
    pub name: String,
    /// The timer, or the file of cron, that runs its renewal; `None` where none was found.
    pub renewed_by: Option<String>,
    /// Whether the key stays at a renewal, where that is written down.
    pub keeps_key: Option<bool>,
}
