//! A mail server as data: how to recognise it, what to set and why, how to check and activate, who reads the key. There is
//! no expression language: comparators are names of Rust functions, commands are arguments with known placeholders, and an
//! unknown key is an error.

use crate::{
    change::{Activation, Command, Trial},
    facts::{Role, Server, Version},
    mta::syntax::Dialect,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

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
    /// How many key types it can serve.
    pub holds: Holds,
    /// The first version that can; before it holds one only.
    #[serde(default, deserialize_with = "version")]
    pub holds_since: Option<Version>,
    /// Who must read the private key.
    pub key: Key,
}

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

/// Comparators: is the present value at least as strong as the wanted one?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtLeast {
    /// Only the same text is.
    Same,
    /// `none` < `may` < `encrypt`; legacy switches are counted in.
    Level,
    /// A number that is not smaller.
    Number,
    /// Whatever is set.
    Set,
    /// A list of hosts that holds `*`.
    Everyone,
    /// A list of protocols that admits nothing older than the wanted one.
    Floor,
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

fn absolute<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths: Vec<PathBuf> = some(from)?;
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(D::Error::custom(format!("{:?} is no absolute path", path.display().to_string()))),
        None => Ok(paths),
    }
}

/// The placeholders of paths and commands.
const PLACEHOLDERS: [&str; 6] = ["config_dir", "config_file", "live", "pid_file_path", "exim_user", "exim_group"];

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

impl AtLeast {
    /// Whether the present value is at least as strong as the wanted one; `None` is not set.
    #[must_use]
    pub fn holds(self, present: Option<&str>, want: &str) -> bool {
        let present = present.unwrap_or_default();
        let number = |t: &str| t.trim().parse::<u32>().ok();
        match self {
            Self::Same => present == want,
            Self::Set => !present.is_empty(),
            Self::Everyone => present.split([':', ';', ' ']).any(|item| item == "*"),
            Self::Number => number(present) >= number(want),
            Self::Level => rank(present) >= rank(want),
            Self::Floor => modern_only(present),
        }
    }
}

fn rank(level: &str) -> u8 {
    match level {
        "may" => 1,
        "encrypt" => 2,
        _ => 0,
    }
}

/// Whether a list of protocols admits nothing older than TLS 1.2 (postconf(5) smtpd_tls_mandatory_protocols).
fn modern_only(list: &str) -> bool {
    let words: Vec<&str> = list.split([' ', ',', ':', '\t']).filter(|w| !w.is_empty()).collect();
    let has = |w: &str| words.iter().any(|x| x.eq_ignore_ascii_case(w));
    if has(">=TLSv1.2") || has(">=TLSv1.3") {
        return true;
    }
    let admits = words.iter().filter(|w| !w.starts_with(['!', '>', '<'])).count();
    if admits > 0 {
        return words
            .iter()
            .filter(|w| !w.starts_with(['!', '>', '<']))
            .all(|w| w.eq_ignore_ascii_case("TLSv1.2") || w.eq_ignore_ascii_case("TLSv1.3"));
    }
    has("!TLSv1") && has("!TLSv1.1") && has("!SSLv3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_profiles_are_sound() {
        let all = Profile::built_in().expect("profiles");
        let ids: Vec<_> = all.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["postfix", "exim-debian", "exim-debian-split", "exim"]);
        for profile in &all {
            assert!(!profile.files.is_empty() && !profile.activate.is_empty());
            for setting in &profile.settings {
                assert!(setting.why.ends_with('.') && !setting.reference.is_empty(), "{}", setting.name);
            }
        }
    }

    #[test]
    fn stronger_values_stay() {
        for (how, present, want, holds) in [
            (AtLeast::Same, Some("/a"), "/a", true),
            (AtLeast::Same, None, "/a", false),
            (AtLeast::Set, Some("no"), "yes", true),
            (AtLeast::Set, None, "yes", false),
            (AtLeast::Everyone, Some("!192.0.2.1 : *"), "*", true),
            (AtLeast::Everyone, Some("192.0.2.0/24 : *.example.org"), "*", false),
            (AtLeast::Number, Some("2"), "1", true),
            (AtLeast::Number, Some("0"), "1", false),
            (AtLeast::Level, Some("encrypt"), "may", true),
            (AtLeast::Level, Some(""), "may", false),
            (AtLeast::Floor, Some(">=TLSv1.2"), ">=TLSv1.2", true),
            (AtLeast::Floor, Some(">=TLSv1"), ">=TLSv1.2", false),
            (AtLeast::Floor, Some("!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"), ">=TLSv1.2", true),
            (AtLeast::Floor, Some("!SSLv2, !SSLv3"), ">=TLSv1.2", false),
            (AtLeast::Floor, Some("TLSv1.2, TLSv1.3"), ">=TLSv1.2", true),
            (AtLeast::Floor, Some("TLSv1, TLSv1.2"), ">=TLSv1.2", false),
            (AtLeast::Floor, Some(""), ">=TLSv1.2", false),
        ] {
            assert_eq!(how.holds(present, want), holds, "{how:?} {present:?}");
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
