//! What the world was told about us, and until when it may believe it. Nothing is served, undone or rolled over that
//! would break a claim.

use crate::{certificate::Digest, moment::Moment, name::DnsName};
use serde::{Deserialize, Serialize};

/// Every claim that may still be believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims(pub Vec<Claim>);

/// One thing that the world was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Claim {
    /// TLSA `3 1 1` records of an MX name: a DANE sender accepts no other key (RFC 7672).
    Tlsa {
        /// The MX name.
        mx: DnsName,
        /// Every key that is published.
        spki: Vec<Digest>,
        /// When the last cache may forget it.
        until: Moment,
    },
    /// An MTA-STS policy (RFC 8461).
    Sts {
        /// The domain.
        domain: DnsName,
        /// Its `mx` patterns.
        mx: Vec<String>,
        /// Mode enforce.
        enforce: bool,
        /// When the last cache may forget it: fetch time plus max_age.
        until: Moment,
    },
}

impl Claims {
    /// The claims that serving `spki` on `mx` would break at `now`. Asked by plan, undo, roll-back and proof.
    #[must_use]
    pub fn broken_by(&self, mx: &DnsName, spki: &Digest, now: Moment) -> Vec<&Claim> {
        self.0
            .iter()
            .filter(|claim| match claim {
                Claim::Tlsa { mx: name, spki: keys, until } => name == mx && *until > now && !keys.contains(spki),
                Claim::Sts { .. } => false,
            })
            .collect()
    }
}
