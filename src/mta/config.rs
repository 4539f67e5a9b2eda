//! The bytes of a configuration file inside the facts.

use crate::change::Raw;
use serde::{Deserialize, Serialize};

/// Configuration text. In memory every byte; serialised, the values of settings that are none of our business are
/// replaced by their digests and comments are dropped: configurations hold passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText(pub Raw);

impl ConfigText {
    /// The text of these bytes.
    #[must_use]
    pub const fn of(bytes: Vec<u8>) -> Self {
        Self(Raw(bytes))
    }
}
