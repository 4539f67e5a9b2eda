//! What `policy` and `list` say, version 1.

use super::ZoneDoc;
use crate::{finding::Finding, policy::policy_list::ListPolicy};
use serde::Serialize;

/// What `policy show` prints.
#[derive(Debug, Serialize)]
pub struct PoliciesDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// The policy that is kept became another, or its record.
    pub changed: bool,
    /// The policy of each domain.
    pub policies: Vec<PolicyDoc>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was done in the zone of the record, or would be, where mxseal publishes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<ZoneDoc>,
}

/// The policy of a domain.
#[derive(Debug, Serialize)]
pub struct PolicyDoc {
    /// The domain.
    pub domain: String,
    /// What is served, as it was understood; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// Why nothing is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_served: Option<String>,
    /// The id that the TXT record announces; absent where senders see none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<String>,
    /// What is served is what should be.
    pub right: bool,
    /// Every MX host of the domain.
    pub mx: Vec<CoverDoc>,
    /// The text to serve.
    pub text: String,
    /// The TXT record that announces that text.
    pub record: String,
    /// What this host keeps of it, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptPolicyDoc>,
}

/// A policy that this host keeps.
#[derive(Debug, Serialize)]
pub struct KeptPolicyDoc {
    /// `testing`, `enforce` or `none` (it is being left).
    pub mode: String,
    /// Since when.
    pub since: String,
    /// Who serves it: `builtin`, `snippet`, `export` or `none`.
    pub by: &'static str,
    /// Until when some sender may go by what was served before; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub believed_until: Option<String>,
    /// What is to be done next: `serve`, `announce`, `wait`, `withdraw`, `close` or `stands`.
    pub step: &'static str,
    /// The same as a sentence; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The file that a web server is to serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The site for that web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// An MX host, and the policy that is served.
#[derive(Debug, Serialize)]
pub struct CoverDoc {
    /// Its name.
    pub name: String,
    /// The policy names it.
    pub covered: bool,
}

/// What `list` prints.
#[derive(Debug, Default, Serialize)]
pub struct ListDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// Who made the list, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Until when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How many domains it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<usize>,
    /// How many of them in mode enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<usize>,
    /// The domain that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What the list says of it; absent where it does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<ListPolicy>,
    /// What is to be said.
    pub findings: Vec<Finding>,
}
