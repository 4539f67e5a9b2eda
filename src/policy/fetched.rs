//! What came of fetching a policy as senders do (RFC 8461 §3.3).

use super::{Reading, sts_policy::StsPolicy};
use std::net::IpAddr;

/// What senders get from the policy host of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// This, from every address that could be asked.
    Policy {
        /// As it reads.
        reading: Reading<StsPolicy>,
        /// Addresses to which nothing leads from here: what they serve is not known.
        unasked: Vec<IpAddr>,
    },
    /// Nothing, or not the same from every address: why.
    Nothing(String),
    /// It could not be told from here: why.
    Untold(String),
}

impl Fetched {
    /// These bytes from every address.
    #[must_use]
    pub fn from_all(bytes: &[u8]) -> Self {
        Self::Policy { reading: StsPolicy::read(bytes), unasked: Vec::new() }
    }

    /// Whether every address was asked.
    #[must_use]
    pub fn is_from_all(&self) -> bool {
        matches!(self, Self::Policy { unasked, .. } if unasked.is_empty())
    }

    /// The policy as it reads, where there is one.
    #[must_use]
    pub const fn reading(&self) -> Option<&Reading<StsPolicy>> {
        match self {
            Self::Policy { reading, .. } => Some(reading),
            Self::Nothing(_) | Self::Untold(_) => None,
        }
    }

    /// The policy that every sender understands.
    #[must_use]
    pub fn strict(&self) -> Option<&StsPolicy> {
        self.reading()?.strict()
    }
}
