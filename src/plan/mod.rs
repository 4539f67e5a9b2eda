//! Facts and wishes become a plan. Pure: no clock, no file, no randomness; after each stage we survey and plan again.

use crate::{
    certificate::{Digest, KeyType},
    change::{Change, Edit, Receipt},
    facts::Facts,
    finding::Finding,
    intent::Intent,
    moment::Moment,
    mta::{dialect::Unreadable, profile::Profile},
    name::DnsName,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// The next stage and an outlook of the later ones. The empty plan is a good host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What to do next; `None` when nothing is to be done or everything is held back.
    pub next: Option<Stage>,
    /// What will follow, with the configuration edits that are certain already.
    pub later: Vec<Outlook>,
    /// Why a stage is held back: the plan cannot go on until these are settled.
    pub held: Vec<Finding>,
    /// What the admin should know, with what will be done about it.
    pub notes: Vec<Finding>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// Outside this host or in our own store: repeatable by key, forward only.
    Errand(Errand),
    /// On this host: all or nothing.
    Change(Box<Change>),
    /// A condition on facts; never an open transaction.
    Wait {
        /// What is waited for.
        what: String,
        /// Not before this moment.
        not_before: Moment,
    },
}

/// Work outside this host or in our own store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "kebab-case")]
pub enum Errand {
    /// Get a certificate for each key type of a lineage.
    Obtain(Obtain),
}

/// The order of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obtain {
    /// The lineage: its first name.
    pub lineage: DnsName,
    /// Every name in the certificate, the lineage's first.
    pub names: Vec<DnsName>,
    /// The keys to certify.
    pub keys: Vec<KeyChoice>,
    /// Directory URL of the CA.
    pub directory: String,
    /// Profile to ask for.
    pub acme_profile: Option<String>,
    /// Where mail servers will read it.
    pub live: PathBuf,
}

/// Which key to certify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChoice {
    /// Its type.
    pub key_type: KeyType,
    /// A key that is in use already and must stay (a TLSA record matches it): the file that holds it and its fingerprint.
    /// `None` uses the lineage's own key, made when there is none.
    pub reuse: Option<(PathBuf, Digest)>,
}

/// A later stage in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// What will be done.
    pub says: String,
    /// Why.
    pub why: String,
    /// The files that it touches.
    pub touches: Vec<PathBuf>,
    /// The configuration edits, final already; key and chain files are not among them.
    pub edits: Vec<Edit>,
}

/// Why there can be no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No mail server that we know.
    #[error("no mail server to configure: {0}")]
    NoServer(String),
    /// Its configuration cannot be read or edited.
    #[error("{0}; nothing was changed")]
    Unreadable(#[from] Unreadable),
    /// No domain of this server has an MX record.
    #[error("none of the domains that this server receives for has an MX record ({0}); name this host with --mx")]
    NoMx(String),
    /// No MX name points at this host.
    #[error("no MX name points at this host: {0}; where it is behind NAT, name it with --mx")]
    NotHere(String),
    /// A group that must read the key is missing.
    #[error("the group {0} must read the private key, and this host has no such group")]
    NoGroup(String),
    /// Nothing to undo.
    #[error("{0} is already undone: none of its files is as it left them")]
    Undone(String),
}

/// The next stage from what is to what is wanted; the empty plan where it is so already.
///
/// # Errors
/// When there is nothing to plan for; the text says what is missing and what to do.
pub fn plan(_facts: &Facts, _intent: &Intent, _profile: &Profile) -> Result<Plan, Refusal> {
    Err(Refusal::NoServer("not planned yet".into()))
}

/// The way back from a change, setting by setting: what the admin changed since is kept, and named. Works on the bytes of the
/// files alone; `current` holds those of every edited path that exists now. Notes named `undo-conflict` are settings kept.
///
/// # Errors
/// When a file cannot be edited.
pub fn undo(
    _receipt: &Receipt,
    _current: &BTreeMap<PathBuf, crate::facts::ConfigFile>,
    _now: Moment,
    _profile: &Profile,
) -> Result<Plan, Refusal> {
    Err(Refusal::Undone(String::new()))
}
