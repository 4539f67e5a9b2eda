//! What `status` says, version 1.

use super::RollOverDoc;
use crate::{
    claims::Claim,
    facts::{Lineage, Reader},
    finding::Finding,
    maintain::{Rest, Run},
    view::EndpointView,
};
use serde::Serialize;
use std::path::PathBuf;

/// What `status` prints.
#[derive(Debug, Default, Serialize)]
pub struct StatusDoc {
    /// Always [`VERSION`].
    pub version: u8,
    /// The exit status that goes with it.
    pub exit: u8,
    /// An interrupted change, if any.
    pub open: Option<String>,
    /// Certificates.
    pub lineages: Vec<Lineage>,
    /// Proved changes, oldest first.
    pub changes: Vec<ChangeDoc>,
    /// What is served: each conversation says when it was held.
    pub served: Vec<EndpointView>,
    /// What the last run of `renew` found; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Certificates that could not be renewed, and when that is tried again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rests: Vec<Rest>,
    /// Who is written to when something needs a human, and when a test reached them; absent where nobody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmDoc>,
    /// What the world was told and may still believe; absent where that is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Claim>,
    /// The next keys of each certificate, and those that left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollover: Vec<RollOverDoc>,
    /// Lines of other services that read the same files: ours, and those that are adopted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    /// Findings about what watches.
    pub findings: Vec<Finding>,
}

/// Who is written to.
#[derive(Debug, Serialize)]
pub struct AlarmDoc {
    /// The address.
    pub to: String,
    /// Seconds since 1970 at which a test reached it; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<u64>,
}

/// A proved change.
#[derive(Debug, Serialize)]
pub struct ChangeDoc {
    /// Its id, for `mxseal undo`.
    pub id: String,
    /// Seconds since 1970 at which it was proved.
    pub proved: u64,
    /// Why it was made.
    pub why: String,
    /// The files of key and chain that it put in place.
    pub installed: Vec<PathBuf>,
    /// It was undone since.
    pub undone: bool,
}
