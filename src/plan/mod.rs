//! Facts and wishes become a plan. Pure: no clock, no file, no randomness; after each stage we survey and plan again.

use crate::{
    certificate::{Digest, KeyType},
    change::{Change, Edit},
    finding::Finding,
    moment::Moment,
    name::DnsName,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
