//! How a mail server is recognised, as its profile says it.

use super::{Argv, some, version};
use crate::facts::Version;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::path::PathBuf;

/// How to recognise a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recognise {
    /// Programs of which one exists where it is installed, by absolute path.
    #[serde(deserialize_with = "absolute")]
    pub programs: Vec<PathBuf>,
    /// Names of the processes that own its sockets.
    #[serde(deserialize_with = "some")]
    pub processes: Vec<String>,
    /// What says the version.
    pub version: Ask,
    /// The first version that the profile is for.
    #[serde(default, deserialize_with = "version")]
    pub since: Option<Version>,
    /// Why it is not for older ones, as part of a sentence.
    #[serde(default)]
    pub too_old: Option<String>,
    /// The first version that it is no longer for.
    #[serde(default, deserialize_with = "version")]
    pub until: Option<Version>,
    /// What says the configuration directory; without it `config-dir-default` counts.
    pub config_dir: Option<Ask>,
    /// The configuration directory where nothing else is said.
    pub config_dir_default: PathBuf,
    /// What says the one configuration file; its directory is the configuration directory. `{config_file}` stands for it.
    pub config_file: Option<Ask>,
    /// What tells it from relatives that have the same programs.
    #[serde(default)]
    pub only_where: Vec<Says>,
    /// Says the names of macros that are defined outside of its files, one a line.
    pub macros: Option<Argv>,
    /// Says the values of settings as the server expands them; their names are put behind it.
    pub values: Option<Argv>,
    /// Ends with 0 while the server runs.
    pub running: Argv,
    /// Says the defaults; the names that the dialect asks for are put behind it.
    pub defaults: Option<Argv>,
    /// Lists the instances, one a line: name, group, enabled (`y`/`n`), configuration directory.
    pub instances: Option<Argv>,
}

/// A question to the server's tools.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ask {
    /// The command.
    pub command: Argv,
    /// The answer is the first word after this text; without it the first word of all.
    #[serde(default)]
    pub after: String,
}

/// A condition on what a file or a command says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Says {
    /// A file of `name=value` lines as a shell reads them; without it `command` is asked.
    pub file: Option<PathBuf>,
    /// The name in that file.
    #[serde(default)]
    pub name: String,
    /// The command whose first word is looked at.
    pub command: Option<Argv>,
    /// What it must say.
    pub is: Option<String>,
    /// What it must not say.
    pub is_not: Option<String>,
}

fn absolute<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths: Vec<PathBuf> = some(from)?;
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(D::Error::custom(format!("{:?} is no absolute path", path.display().to_string()))),
        None => Ok(paths),
    }
}
