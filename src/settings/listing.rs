//! The policy list that the admin goes by: the table `[list]`.

use crate::policy::policy_list::Fingerprint;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Wishes about a policy list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Listing {
    /// Where the list lies.
    pub url: Option<String>,
    /// The public key of whoever keeps it.
    pub keyring: Option<PathBuf>,
    /// The fingerprint of that key.
    pub fingerprint: Option<Fingerprint>,
    /// Where whoever keeps it takes domains: the URL below which `/api/` lies.
    pub api: Option<String>,
}

impl Listing {
    /// These wishes; where there is none, those of `lower`.
    #[must_use]
    pub(super) fn over(self, lower: Self) -> Self {
        Self {
            url: self.url.or(lower.url),
            keyring: self.keyring.or(lower.keyring),
            fingerprint: self.fingerprint.or(lower.fingerprint),
            api: self.api.or(lower.api),
        }
    }

    pub(super) fn beside(&mut self, dir: &Path) {
        if let Some(file) = &mut self.keyring {
            *file = dir.join(&*file);
        }
    }
}
