//! How a mail server's files are read and edited: one variant a syntax, pure functions on bytes.

pub use super::{
    lines::Unreadable,
    syntax::Dialect,
    understood::{ByName, Certificates, Expanded, INTERFACES, MACROS, PROCESS, ReadFile, Received, Understood},
    wanted::Wish,
};

use super::{
    Restored, exim, main_cf, master_cf, postfix,
    profile::Profile,
    sendmail, settings, smtpd,
    wanted::{Aim, Wanted},
};
use crate::{
    change::SettingChange,
    facts::{ConfigFile, Server, Service, Version},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

impl Dialect {
    /// The settings whose defaults `survey` asks of the server's own tools, for [`crate::facts::Server::defaults`].
    #[must_use]
    pub const fn asks(self) -> &'static [&'static str] {
        match self {
            Self::PostfixCf => settings::ASKS,
            Self::Exim => exim::ASKS,
            Self::SmtpdConf => &[],
            Self::SendmailCf => sendmail::ASKS,
        }
    }

    /// The settings whose values `survey` asks of the server's own tools, with every reference in them expanded, where the profile
    /// names a tool that says them.
    #[must_use]
    pub const fn expands(self) -> &'static [&'static str] {
        match self {
            Self::PostfixCf => postfix::EXPANDS,
            Self::Exim | Self::SmtpdConf | Self::SendmailCf => &[],
        }
    }

    /// What the values of [`Self::expands`] say of the server.
    #[must_use]
    pub fn expanded(self, values: &BTreeMap<String, String>) -> Option<Expanded> {
        match self {
            Self::PostfixCf => Some(postfix::expanded(values)),
            Self::Exim | Self::SmtpdConf | Self::SendmailCf => None,
        }
    }

    /// The domains that the values of [`Self::expands`] name, themselves or in a file.
    #[must_use]
    pub fn received(self, values: &BTreeMap<String, String>, read: ReadFile<'_>) -> Received {
        match self {
            Self::PostfixCf => postfix::received(values, read),
            Self::Exim | Self::SmtpdConf | Self::SendmailCf => Received::default(),
        }
    }

    /// Whether its files name interfaces: the answers then hold [`INTERFACES`].
    #[must_use]
    pub const fn asks_interfaces(self) -> bool {
        matches!(self, Self::SmtpdConf)
    }

    /// Reads the files as the server does. `defaults` are the tools' answers to [`Self::asks`], not expanded.
    ///
    /// # Errors
    /// When a file cannot be read as the server reads it; file and line are named.
    pub fn understand(
        self,
        version: &Version,
        files: &[ConfigFile],
        defaults: &BTreeMap<String, String>,
    ) -> Result<Understood, Unreadable> {
        match self {
            Self::PostfixCf => postfix::understand(files, defaults),
            Self::Exim => exim::understand(version, files, defaults),
            Self::SmtpdConf => smtpd::understand(files, defaults),
            Self::SendmailCf => sendmail::understand(files, defaults),
        }
    }

    /// Files that those given include, and that are not among them.
    ///
    /// # Errors
    /// When a file cannot be read as the server reads it.
    pub fn missing(self, files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, Unreadable> {
        match self {
            Self::PostfixCf | Self::SendmailCf => Ok(Vec::new()),
            Self::Exim => exim::missing(files, answers),
            Self::SmtpdConf => smtpd::missing(files, answers),
        }
    }

    /// Of the macros that the server's tools know those for which the files ask, for [`MACROS`].
    #[must_use]
    pub fn asked_macros(self, files: &[ConfigFile], known: &str) -> String {
        match self {
            Self::PostfixCf | Self::SmtpdConf | Self::SendmailCf => String::new(),
            Self::Exim => exim::asked_macros(files, known),
        }
    }

    /// Adds to the answers what follows from them.
    pub fn complete(self, answers: &mut BTreeMap<String, String>) {
        match self {
            Self::PostfixCf | Self::SmtpdConf | Self::SendmailCf => {}
            Self::Exim => exim::complete(answers),
        }
    }

    /// Whether the server's tools, of the configuration as it is, say what we read in its files.
    ///
    /// # Errors
    /// The sentence that says where they differ: such a configuration is not edited.
    pub fn agree(self, understood: &Understood, answers: &BTreeMap<String, String>) -> Result<(), String> {
        match self {
            Self::PostfixCf => Ok(()),
            Self::Exim => exim::agree(understood, answers),
            Self::SmtpdConf => smtpd::agree(understood, answers),
            Self::SendmailCf => sendmail::agree(answers),
        }
    }

    /// Which settings, in which file, make the server present what it shall, and what the admin should know of it.
    ///
    /// # Errors
    /// When a file cannot be read as the server reads it.
    pub fn wanted(self, server: &Server, profile: &Profile, aim: &Aim<'_>) -> Result<Wanted, Unreadable> {
        match self {
            Self::PostfixCf => postfix::wanted(server, profile, aim),
            Self::Exim => exim::wanted(server, profile, aim),
            Self::SmtpdConf => smtpd::wanted(server, profile, aim),
            Self::SendmailCf => sendmail::wanted(server, profile, aim),
        }
    }

    /// Whether a service presents what these files hold, and nothing else.
    #[must_use]
    pub fn is_ours(self, service: &Service, live: &[PathBuf]) -> bool {
        match self {
            Self::PostfixCf => postfix::is_ours(service, live),
            Self::Exim => exim::is_ours(service, live),
            Self::SmtpdConf => smtpd::is_ours(service, live),
            Self::SendmailCf => sendmail::is_ours(service, live),
        }
    }

    /// The certificate files that a service names.
    #[must_use]
    pub fn certificates(self, service: &Service) -> Certificates {
        match self {
            Self::PostfixCf => postfix::certificates(service),
            Self::Exim => Certificates { pairs: exim::presents(service), chains: Vec::new() },
            Self::SmtpdConf => Certificates { pairs: smtpd::presents(service), chains: Vec::new() },
            Self::SendmailCf => Certificates { pairs: sendmail::presents(service), chains: Vec::new() },
        }
    }

    /// The setting that chooses certificates by the name that a sender sends, where a service has one that others wrote: what
    /// names files in `live_dir` alone is ours.
    #[must_use]
    pub fn by_name<'a>(self, service: &'a Service, live_dir: &Path) -> Option<ByName<'a>> {
        match self {
            Self::PostfixCf => postfix::by_name(service, live_dir),
            Self::Exim | Self::SmtpdConf | Self::SendmailCf => None,
        }
    }

    /// The names for which [`Self::by_name`] chooses, by table, as far as that can be read.
    #[must_use]
    pub fn names_by_table(self, services: &[Service], read: ReadFile<'_>) -> BTreeMap<String, Vec<String>> {
        match self {
            Self::PostfixCf => postfix::names_by_table(services, read),
            Self::Exim | Self::SmtpdConf | Self::SendmailCf => BTreeMap::new(),
        }
    }

    /// Whether the server can choose among certificates of ours by the name that a sender sends.
    #[must_use]
    pub fn chooses_by_name(self, version: &Version) -> bool {
        match self {
            Self::PostfixCf => *version >= Version(vec![3, 4]),
            Self::Exim => true,
            Self::SmtpdConf | Self::SendmailCf => false,
        }
    }

    /// Whether senders may be served certificates that we are not shown.
    #[must_use]
    pub fn hides_certificates(self, server: &Server) -> bool {
        match self {
            Self::PostfixCf => postfix::strangers_see_another(server),
            Self::Exim | Self::SmtpdConf | Self::SendmailCf => false,
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
                (Self::Exim, _) => exim::set(path, &bytes, name, value, why)?,
                (Self::SendmailCf, _) => sendmail::set(path, &bytes, name, value, why)?,
                (Self::SmtpdConf, service) => smtpd::set(path, &bytes, service.as_deref(), name, value, why)?,
            };
            bytes = edited;
            changes.extend(change);
        }
        Ok((bytes, changes))
    }

    /// The files of a copy, by path, of which nothing can leave: TLS, names and access rules stay as they are.
    ///
    /// # Errors
    /// When a file cannot be read as the server reads it.
    pub fn harmless(self, files: &[(PathBuf, Vec<u8>)]) -> Result<Vec<(PathBuf, Vec<u8>)>, Unreadable> {
        match self {
            Self::PostfixCf => each(files, postfix::harmless),
            Self::Exim => exim::harmless(files),
            Self::SmtpdConf => each(files, smtpd::harmless),
            Self::SendmailCf => each(files, sendmail::harmless),
        }
    }

    /// Takes one change back, where the setting still is as the change left it. Bytes only; lines that cannot be read are passed
    /// over, so that it works on a broken configuration.
    #[must_use]
    pub fn restore(self, path: &Path, bytes: &[u8], change: &SettingChange) -> Restored {
        match (self, &change.service) {
            (Self::PostfixCf, None) => main_cf::restore(path, bytes, change),
            (Self::PostfixCf, Some(_)) => master_cf::restore(path, bytes, change),
            (Self::Exim, _) => exim::restore(bytes, change),
            (Self::SmtpdConf, _) => smtpd::restore(path, bytes, change),
            (Self::SendmailCf, _) => sendmail::restore(bytes, change),
        }
    }
}

type Files = Vec<(PathBuf, Vec<u8>)>;

fn each(files: &[(PathBuf, Vec<u8>)], becomes: fn(&Path, &[u8]) -> Result<Vec<u8>, Unreadable>) -> Result<Files, Unreadable> {
    files.iter().map(|(path, bytes)| Ok((path.clone(), becomes(path, bytes)?))).collect()
}
