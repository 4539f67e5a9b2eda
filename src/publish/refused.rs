//! What stands against a change of a zone.

use super::InTheWay;
use crate::name::DnsName;
use std::io;

/// Why nothing was published, or why it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Somebody else's record is in the way.
    #[error(transparent)]
    InTheWay(#[from] InTheWay),
    /// The zone was changed between the look and the update.
    #[error("the zone {0} changed since it was looked at, or a name of it is taken otherwise; nothing was written, run this again")]
    Changed(DnsName),
    /// It was refused, and nothing was written.
    #[error("{0}; nothing was written")]
    Failed(String),
    /// A part was done, and undone again.
    #[error("{0}; what had been written by then was taken back, and the zone is as it was")]
    TakenBack(String),
    /// A part was done, and stands.
    #[error("{0}; run this again, which looks first")]
    Partly(String),
    /// It may have been done.
    #[error("{0}; whether {1} changed is not known: run this again, which looks first")]
    Unclear(String, DnsName),
    /// Our own directory cannot be used.
    #[error("{0}")]
    State(#[from] io::Error),
}

impl Refused {
    /// Whether something may have been written.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Unclear(..) | Self::Partly(_))
    }
}
