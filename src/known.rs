//! Knowledge that carries where it is from. What could not be seen says why, and can never turn into a failure by accident.

use serde::{Deserialize, Serialize};

/// Seen, and where; or unknown, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known<T> {
    /// It was seen.
    Seen {
        /// What was seen.
        value: T,
        /// Where: a file and line, a command, a DNS server, a socket.
        at: String,
    },
    /// It could not be seen from here.
    Unknown {
        /// Why not, as a sentence.
        why: String,
    },
}

impl<T> Known<T> {
    /// A value and where it was seen.
    pub fn seen(value: T, at: impl Into<String>) -> Self {
        Self::Seen { value, at: at.into() }
    }

    /// The reason for not knowing.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// The value, where there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}
