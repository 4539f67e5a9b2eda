//! How a mail server's files are read and edited: one variant a syntax, pure functions on bytes.

pub use super::{lines::Unreadable, understood::Understood};

use super::{
    Restored, exim, main_cf, master_cf, postfix,
    profile::Profile,
    settings::ASKS,
    wanted::{Aim, Wanted},
};
use crate::{
    change::SettingChange,
    facts::{ConfigFile, Server, Service, Version},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// A configuration syntax that we read and edit without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Postfix: `main.cf` (postconf(5)) and `master.cf` (master(5)).
    PostfixCf,
    /// Exim as Debian configures it: macros that its template asks for.
    EximMacros,
}

/// One setting as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The service that it is for, such as `submission/inet`; `None` for the whole server.
    pub service: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Why, in one sentence.
    pub why: String,
}

impl Dialect {
    /// The settings whose defaults `survey` asks of the server's own tools, for [`crate::facts::Server::defaults`].
    #[must_use]
    pub const fn asks(self) -> &'static [&'static str] {
        match self {
            Self::PostfixCf => ASKS,
            Self::EximMacros => &[],
        }
    }

    /// Reads the files as the server does. `defaults` are the tools' answers to [`Self::asks`], not expanded.
    ///
    /// # Errors
    /// When a file cannot be read as the server reads it; file and line are named.
    pub fn understand(
        self,
        _version: &Version,
        files: &[ConfigFile],
        defaults: &BTreeMap<String, String>,
    ) -> Result<Understood, Unreadable> {
        match self {
            Self::PostfixCf => postfix::understand(files, defaults),
            Self::EximMacros => exim::understand(files),
        }
    }

    /// Which settings, in which file, make the server present what it shall, and what the admin should know of it.
    ///
    /// # Errors
    /// When a file cannot be read as the server reads it.
    pub fn wanted(self, server: &Server, profile: &Profile, aim: &Aim<'_>) -> Result<Wanted, Unreadable> {
        match self {
            Self::PostfixCf => postfix::wanted(server, profile, aim),
            Self::EximMacros => Ok(exim::wanted(server, profile, aim)),
        }
    }

    /// Whether a service presents what `live` holds, and nothing else.
    #[must_use]
    pub fn is_ours(self, service: &Service, live: &Path) -> bool {
        match self {
            Self::PostfixCf => postfix::is_ours(service, live),
            Self::EximMacros => exim::is_ours(service, live),
        }
    }

    /// Edits one file without touching a byte that is not meant. A wish that is fulfilled already changes nothing.
    ///
    /// # Errors
    /// When the file cannot be read as the server reads it, or a wished service is not in it.
    pub fn edit(self, path: &Path, bytes: &[u8], wishes: &[Wish]) -> Result<(Vec<u8>, Vec<SettingChange>), Unreadable> {
        let (mut bytes, mut changes) = (bytes.to_vec(), Vec::new());
        for Wish { service, name, value, why } in wishes {
            let (edited, change) = match (self, service) {
                (Self::PostfixCf, None) => main_cf::set(path, &bytes, name, value, why)?,
                (Self::PostfixCf, Some(service)) => master_cf::set(path, &bytes, service, name, value, why)?,
                (Self::EximMacros, _) => exim::set(path, &bytes, name, value, why)?,
            };
            bytes = edited;
            changes.extend(change);
        }
        Ok((bytes, changes))
    }

    /// Takes one change back, where the setting still is as the change left it. Bytes only; lines that cannot be read are passed
    /// over, so that it works on a broken configuration.
    #[must_use]
    pub fn restore(self, path: &Path, bytes: &[u8], change: &SettingChange) -> Restored {
        match (self, &change.service) {
            (Self::PostfixCf, None) => main_cf::restore(path, bytes, change),
            (Self::PostfixCf, Some(_)) => master_cf::restore(path, bytes, change),
            (Self::EximMacros, _) => exim::restore(bytes, change),
        }
    }
}
