//! Paths and commands of a profile, and what their placeholders stand for.

use crate::{
    change::{Command, Trial},
    facts::Server,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The placeholders of paths and commands.
const PLACEHOLDERS: [&str; 12] = [
    "config_dir",
    "config_file",
    "live",
    "pid_file_path",
    "exim_user",
    "exim_group",
    "queue_directory",
    "data_directory",
    "mail_owner",
    "spool_directory",
    "log_file_path",
    "daemon_options",
];

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    config_dir: &'a Path,
    known: &'a BTreeMap<String, String>,
}

impl<'a> Filling<'a> {
    /// A configuration directory, and what else is known by name.
    #[must_use]
    pub const fn new(config_dir: &'a Path, known: &'a BTreeMap<String, String>) -> Self {
        Self { config_dir, known }
    }

    /// A trial with the placeholders filled that are known before it; `{copy}` and `{room}` stay.
    #[must_use]
    pub fn trial(self, trial: Trial) -> Trial {
        let fill = |command: &Command| Command(command.0.iter().map(|text| self.text(text)).collect());
        Trial { check: trial.check.iter().map(fill).collect(), ..trial }
    }

    fn text(self, text: &str) -> String {
        let text = text.replace("{config_dir}", &self.config_dir.to_string_lossy());
        self.known.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

impl<'a> From<&'a Server> for Filling<'a> {
    fn from(server: &'a Server) -> Self {
        Self::new(&server.config_dir, &server.defaults)
    }
}

/// A text that may hold placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Argument(String);

impl TryFrom<String> for Argument {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let left = PLACEHOLDERS.iter().fold(text.clone(), |left, name| left.replace(&format!("{{{name}}}"), ""));
        if left.contains(['{', '}']) {
            return Err(format!("`{text}` holds a placeholder that is not known; these are: {}", PLACEHOLDERS.join(", ")));
        }
        Ok(Self(text))
    }
}

impl Argument {
    /// A text without placeholders.
    #[must_use]
    pub const fn plain(text: String) -> Self {
        Self(text)
    }

    /// The text with its placeholders filled.
    #[must_use]
    pub fn fill<'a>(&self, with: impl Into<Filling<'a>>) -> String {
        with.into().text(&self.0)
    }

    /// The text as a path with its placeholders filled.
    #[must_use]
    pub fn path<'a>(&self, with: impl Into<Filling<'a>>) -> PathBuf {
        PathBuf::from(self.fill(with))
    }
}

/// A command line with placeholders: program and arguments, no shell.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Argument>")]
pub struct Argv(Vec<Argument>);

impl TryFrom<Vec<Argument>> for Argv {
    type Error = &'static str;

    fn try_from(words: Vec<Argument>) -> Result<Self, Self::Error> {
        if words.is_empty() { Err("a command has at least a program") } else { Ok(Self(words)) }
    }
}

impl Argv {
    /// The command with its placeholders filled.
    #[must_use]
    pub fn fill<'a>(&self, with: impl Into<Filling<'a>>) -> Command {
        let with = with.into();
        Command(self.0.iter().map(|a| a.fill(with)).collect())
    }

    /// The command with its placeholders filled; one that names a file of key and chain once for each.
    #[must_use]
    pub fn for_each_live(&self, server: &Server, live: &[PathBuf]) -> Vec<Command> {
        if !self.0.iter().any(|a| a.0.contains("{live}")) {
            return vec![self.fill(server)];
        }
        let of = |path: &PathBuf| {
            let mut known = server.defaults.clone();
            known.insert("live".to_owned(), path.display().to_string());
            self.fill(Filling::new(&server.config_dir, &known))
        };
        live.iter().map(of).collect()
    }
}
