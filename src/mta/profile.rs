//! A mail server as data: how to recognise it, what to set and why, how to check and activate, who reads the key. There is
//! no expression language: comparators are names of Rust functions, commands are arguments with known placeholders, and an
//! unknown key is an error.

mod at_least;
mod fill;
mod recognise;

pub use at_least::AtLeast;
pub use fill::{Argument, Argv, Filling};
pub use recognise::{Ask, Recognise, Says};

use crate::{
    change::{Activation, Trial},
    facts::{Role, Version},
    mta::syntax::Dialect,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::ops::Range;

/// One mail server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Its id, such as `postfix`.
    #[serde(deserialize_with = "plain_word")]
    pub id: String,
    /// Its name for readers.
    pub title: String,
    /// How its files are read and edited.
    pub dialect: Dialect,
    /// How to recognise it.
    pub recognise: Recognise,
    /// Its configuration files.
    #[serde(rename = "file", deserialize_with = "some")]
    pub files: Vec<File>,
    /// What to set.
    #[serde(default, rename = "setting")]
    pub settings: Vec<Setting>,
    /// How to try a change on a copy of the configuration, before anything live is touched.
    pub trial: Option<Trial>,
    /// What to run on the live configuration after the change; every one must end with 0.
    #[serde(default)]
    pub check: Vec<Argv>,
    /// How it takes a change into service.
    pub activation: Activation,
    /// The commands that do it.
    pub activate: Vec<Argv>,
    /// For how long it refuses connections when it is activated, in milliseconds.
    #[serde(default)]
    pub gap_ms: u64,
    /// Within how many milliseconds it presents by itself what a certificate file holds anew, so that a renewal needs no
    /// activation; 0 where it has to be told.
    #[serde(default)]
    pub notices_ms: u64,
    /// How a copy of it is run in a room of its own; without it a rehearsal is refused, unless it is wished on a stand-in.
    pub rehearsal: Option<Rehearsal>,
    /// How many key types it can serve.
    pub holds: Holds,
    /// The first version that can; before it holds one only.
    #[serde(default, deserialize_with = "version")]
    pub holds_since: Option<Version>,
    /// Who must read the private key.
    pub key: Key,
}

/// One configuration file, or a directory of parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// Its path.
    pub path: Argument,
    /// The server's own edit lock on it.
    pub edit_lock: Option<Argument>,
    /// It may be missing; where a setting is wished for, it is created.
    #[serde(default)]
    pub optional: bool,
    /// A directory whose files are put together in the order of their names, those with letters, digits, `_` and `-` alone
    /// (run-parts(8)); `NAME.rul` comes in the place of `NAME`.
    #[serde(default)]
    pub parts: bool,
    /// A setting that is nowhere yet goes here.
    #[serde(default)]
    pub new_settings: bool,
}

/// One setting that the plan wants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// The value to write where the present one is not at least as strong; `{live}` is the file of key and chain.
    pub want: String,
    /// What counts as at least as strong.
    pub at_least: AtLeast,
    /// The first version that knows it.
    #[serde(default, deserialize_with = "version")]
    pub since: Option<Version>,
    /// The first version for which it is no longer the way.
    #[serde(default, deserialize_with = "version")]
    pub until: Option<Version>,
    /// Only for services of these roles; empty means for the whole server.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Written only where it is set already, for there it would stand against the others.
    #[serde(default)]
    pub if_set: bool,
    /// Never written by us, only told.
    #[serde(default)]
    pub propose: bool,
    /// Why, in one sentence.
    pub why: String,
    /// Where that is written.
    pub reference: String,
}

/// How a copy of a server is run, at the same paths, where nobody else sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rehearsal {
    /// Says values as `name = value`, a line each; `{name}` stands for the value in the paths and commands here.
    pub asks: Option<Argv>,
    /// Starts the copy in the background.
    pub start: Argv,
    /// Ends it at once.
    pub stop: Argv,
    /// What becomes of mail that it takes, as part of a sentence.
    pub mail: String,
    /// Where it works beside its configuration; its queue first.
    #[serde(rename = "directory", deserialize_with = "some")]
    pub directories: Vec<Working>,
}

/// A directory in which a server works, and which its copy gets anew.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Working {
    /// Its path; one that is no path from `/` on is left out, `..` at its end stands for its parent.
    pub path: Argument,
    /// The user who owns it, by name or id.
    pub owner: Argument,
    /// What the copy finds in it.
    #[serde(default)]
    pub copied: Copied,
    /// Of a directory whose rest is copied: what the server makes by itself.
    #[serde(default)]
    pub made: Vec<String>,
}

/// What a copy of a server finds in a working directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copied {
    /// Nothing.
    #[default]
    Nothing,
    /// All but what the server makes by itself.
    Rest,
    /// Everything.
    All,
}

/// How many key types a server can serve, and from how many files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// ECDSA and RSA side by side in one file.
    Both,
    /// ECDSA and RSA side by side, in a file each.
    FileEach,
    /// One only.
    One,
}

/// Who must read the private key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Key {
    /// The id of its owner; root's where nothing is said.
    #[serde(default)]
    pub uid: u32,
    /// Its group, by name or id.
    pub group: Argument,
    /// Its permission bits in octal, such as `0600`.
    #[serde(deserialize_with = "octal")]
    pub mode: u32,
}

fn octal<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|m| *m <= 0o640)
        .ok_or_else(|| D::Error::custom(format!("`{text}` is no mode for a private key: write it in octal, at most 0640")))
}

fn plain_word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let word = String::deserialize(from)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if word.is_empty() || word.starts_with('-') || word.len() > 40 || !word.bytes().all(fits) {
        return Err(D::Error::custom(format!("{word:?} is no id: write small letters, digits and hyphens, at most 40")));
    }
    Ok(word)
}

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Version>, D::Error> {
    let text = String::deserialize(from)?;
    let version = Version::from(text.clone());
    if version.0.is_empty() {
        Err(D::Error::custom(format!("{text:?} is no version: write one such as \"3.4\"")))
    } else {
        Ok(Some(version))
    }
}

fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(from)?;
    if list.is_empty() { Err(D::Error::custom("there must be at least one")) } else { Ok(list) }
}

/// A profile that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}:{line}: {why}")]
pub struct BadProfile {
    origin: String,
    line: usize,
    span: Option<Range<usize>>,
    why: String,
}

impl BadProfile {
    /// Which bytes are wrong, where one place is.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// What is wrong, in the words of whoever reads TOML.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl Profile {
    /// Reads a profile; `origin` is its file, for the error.
    ///
    /// # Errors
    /// When it is no TOML, holds an unknown key or a wrong value; file and line are named.
    pub fn read(text: &str, origin: &str) -> Result<Self, BadProfile> {
        toml_edit::de::from_str(text).map_err(|e| {
            let line = e.span().and_then(|s| text.get(..s.start)).map_or(0, |before| before.matches('\n').count() + 1);
            BadProfile { origin: origin.to_owned(), line, span: e.span(), why: e.message().to_owned() }
        })
    }

    /// The profiles that are compiled in.
    ///
    /// # Errors
    /// Never in a release: the tests read them all.
    pub fn built_in() -> Result<Vec<Self>, BadProfile> {
        [
            ("postfix.toml", include_str!("../../mta-profiles/postfix.toml")),
            ("exim-debian.toml", include_str!("../../mta-profiles/exim-debian.toml")),
            ("exim-debian-split.toml", include_str!("../../mta-profiles/exim-debian-split.toml")),
            ("exim.toml", include_str!("../../mta-profiles/exim.toml")),
            ("opensmtpd.toml", include_str!("../../mta-profiles/opensmtpd.toml")),
            ("sendmail.toml", include_str!("../../mta-profiles/sendmail.toml")),
        ]
        .iter()
        .map(|(origin, text)| Self::read(text, origin))
        .collect()
    }

    /// How many key types a server of `version` can serve.
    #[must_use]
    pub fn holds(&self, version: &Version) -> Holds {
        if self.holds_since.as_ref().is_none_or(|since| version >= since) { self.holds } else { Holds::One }
    }

    /// The setting of this name that is meant for `version`.
    #[must_use]
    pub fn setting(&self, name: &str, version: &Version) -> Option<&Setting> {
        self.settings.iter().find(|s| s.name == name && s.is_for(version))
    }
}

impl Setting {
    /// Whether a server of `version` knows it and it is still the way.
    #[must_use]
    pub fn is_for(&self, version: &Version) -> bool {
        self.since.as_ref().is_none_or(|v| version >= v) && self.until.as_ref().is_none_or(|v| version < v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_profiles_are_sound() {
        let all = Profile::built_in().expect("profiles");
        let ids: Vec<_> = all.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["postfix", "exim-debian", "exim-debian-split", "exim", "opensmtpd", "sendmail"]);
        for profile in &all {
            assert!(!profile.files.is_empty() && !profile.activate.is_empty());
            for setting in &profile.settings {
                assert!(setting.why.ends_with('.') && !setting.reference.is_empty(), "{}", setting.name);
            }
        }
    }

    #[test]
    fn a_bad_profile_names_file_and_line() {
        let good = include_str!("../../mta-profiles/postfix.toml");
        for (from, to, says) in [
            ("holds = \"both\"", "hold = \"both\"", "hold"),
            ("{config_dir}/main.cf\"", "{dir}/main.cf\"", "{dir}"),
            ("mode = \"0600\"", "mode = \"0644\"", "0644"),
            ("at-least = \"level\"", "at-least = \"best\"", "best"),
            ("activation = \"reload\"", "activation = ", ""),
        ] {
            assert!(good.contains(from), "{from}");
            let bad = good.replacen(from, to, 1);
            let line = good.split(from).next().expect("a head").matches('\n').count() + 1;
            let e = Profile::read(&bad, "p.toml").expect_err(from).to_string();
            assert!(e.starts_with("p.toml:") && e.contains(says), "{e}");
            if from.starts_with("mode") || from.starts_with("activation") {
                assert!(e.starts_with(&format!("p.toml:{line}:")), "{line}: {e}");
            }
        }
    }
}
