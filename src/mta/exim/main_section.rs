//! The main section of Exim's configuration, read as Exim reads it: macros replaced inside words, conditions, files that
//! are included, until the first `begin` (Exim specification, chapter 6). Options of the same name below it belong to drivers.

use super::lines::{Kind, directive, entry, joined, logical};
use crate::{
    facts::ConfigFile,
    mta::{lines::Unreadable, main_cf::Entry},
};
use std::{collections::BTreeSet, path::PathBuf};

/// Files within files go no deeper.
const DEPTH: usize = 20;

/// One macro or option that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its name.
    pub(super) name: String,
    /// Its value with every macro in it replaced.
    pub(super) value: String,
    /// The file, as the server names it.
    pub(super) path: PathBuf,
    /// Its line, from 1.
    pub(super) line: usize,
    is_macro: bool,
}

/// What counts in the main section.
#[derive(Debug, Default)]
pub(super) struct MainSection {
    definitions: Vec<Definition>,
    /// Included files that are not among those given.
    pub(super) missing: Vec<PathBuf>,
    known: BTreeSet<String>,
    conditions: Vec<Condition>,
    visited: BTreeSet<PathBuf>,
    ended: bool,
}

#[derive(Debug)]
struct Condition {
    holds: bool,
    held: bool,
}

impl MainSection {
    /// Reads the files in their order; those that another one includes are read there. `known` are macros that are defined
    /// elsewhere.
    pub(super) fn read<'a>(files: &[ConfigFile], known: impl IntoIterator<Item = &'a str>) -> Result<Self, Unreadable> {
        let mut section = Self { known: known.into_iter().map(ToOwned::to_owned).collect(), ..Self::default() };
        for file in files {
            // What another one includes was read there: it comes behind that one.
            if !section.visited.contains(&file.path) {
                section.file(file, files, 0)?;
            }
        }
        Ok(section)
    }

    /// What counts for a name: of a macro its last definition, of an option its only one.
    pub(super) fn get(&self, name: &str) -> Option<&Definition> {
        self.definitions.iter().rfind(|d| d.name == name)
    }

    fn file(&mut self, file: &ConfigFile, all: &[ConfigFile], depth: usize) -> Result<(), Unreadable> {
        self.visited.insert(file.path.clone());
        let bytes = &file.text.0.0;
        let wrong = |line: usize, why: String| Unreadable { path: file.path.clone(), line, why };
        for line in logical(bytes) {
            if self.ended {
                return Ok(());
            }
            let text = joined(bytes, &line);
            if let Some((word, rest)) = directive(&text) {
                self.condition(word, rest).map_err(|why| wrong(line.line, why))?;
                if !word.starts_with(".include") || !self.counts() {
                    continue;
                }
                let path = PathBuf::from(self.replaced(rest));
                match all.iter().find(|f| f.path == path) {
                    _ if depth == DEPTH => return Err(wrong(line.line, "files are included without end".into())),
                    Some(within) => self.file(within, all, depth + 1)?,
                    None => self.missing.push(path),
                }
                continue;
            }
            if !self.counts() {
                continue;
            }
            if text.split_whitespace().next() == Some("begin") {
                self.ended = true;
            } else if let Some((kind, entry)) = entry(bytes, line) {
                self.define(kind, &entry, file)?;
            }
        }
        Ok(())
    }

    fn define(&mut self, kind: Kind, entry: &Entry, file: &ConfigFile) -> Result<(), Unreadable> {
        if kind != Kind::MacroAgain
            && let Some(first) = self.definitions.iter().find(|d| d.name == entry.name)
        {
            let why = format!("{} is set a second time (first in {}:{}), which Exim refuses", entry.name, first.path.display(), first.line);
            return Err(Unreadable { path: file.path.clone(), line: entry.line, why });
        }
        let is_macro = kind != Kind::Option;
        let value = self.replaced(&entry.value);
        let value = if is_macro { value } else { value.trim_matches('"').to_owned() };
        self.definitions.push(Definition { name: entry.name.clone(), value, path: file.path.clone(), line: entry.line, is_macro });
        Ok(())
    }

    /// Every macro replaced, wherever its name stands.
    fn replaced(&self, text: &str) -> String {
        let mut text = text.trim().to_owned();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for (place, one) in self.definitions.iter().enumerate().filter(|(_, d)| d.is_macro) {
            let last = !self.definitions[place + 1..].iter().any(|d| d.name == one.name);
            if last && done.insert(&one.name) && text.contains(&one.name) {
                text = text.replace(&one.name, &one.value);
            }
        }
        text
    }

    fn condition(&mut self, word: &str, rest: &str) -> Result<(), String> {
        // A condition asks whether a macro stands in it, as a part of a word too.
        let is_defined = || {
            self.known.iter().any(|m| rest.contains(m.as_str())) || self.definitions.iter().any(|d| d.is_macro && rest.contains(&d.name))
        };
        match word {
            ".ifdef" | ".ifndef" => {
                let holds = self.counts() && is_defined() == (word == ".ifdef");
                // Within what does not count nothing does, `.else` included.
                let held = holds || !self.counts();
                self.conditions.push(Condition { holds, held });
            }
            ".elifdef" | ".elifndef" => {
                let defined = is_defined() == (word == ".elifdef");
                let one = self.conditions.last_mut().ok_or_else(|| format!("{word} without .ifdef"))?;
                one.holds = defined && !one.held;
                one.held |= one.holds;
            }
            ".else" => {
                let one = self.conditions.last_mut().ok_or(".else without .ifdef")?;
                one.holds = !one.held;
                one.held = true;
            }
            ".endif" => {
                self.conditions.pop().ok_or(".endif without .ifdef")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn counts(&self) -> bool {
        self.conditions.iter().all(|c| c.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::postfix::tests::file;

    fn read(files: &[(&str, &str)], name: &str) -> Option<(String, String)> {
        let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
        let section = MainSection::read(&files, ["_HAVE_TLS"]).unwrap_or_else(|e| panic!("{e}"));
        section.get(name).map(|d| (d.value.clone(), format!("{}:{}", d.path.display(), d.line)))
    }

    #[test]
    fn the_main_section_is_read_as_exim_does() {
        for (text, value, line) in [
            ("tls_certificate = /a\n", "/a", 1),
            ("  tls_certificate=/a", "/a", 1),
            ("tls_certificate = /a : \\\n # between\n   /b\n", "/a : /b", 1),
            ("DIR = /etc\nCERT = DIR/x\ntls_certificate = CERT.pem\n", "/etc/x.pem", 3),
            ("A = 1\n.ifdef A\ntls_certificate = /a\n.else\ntls_certificate = /b\n.endif\n", "/a", 3),
            (".ifdef A\ntls_certificate = /a\n.elifdef _HAVE_TLS\ntls_certificate = /b\n.else\ntls_certificate = /c\n.endif\n", "/b", 4),
            (".ifdef A\n.ifndef B\ntls_certificate = /a\n.else\ntls_certificate = /b\n.endif\n.endif\ntls_certificate = /c\n", "/c", 8),
            (".ifndef A\nA = /x\n.endif\nA == /y\ntls_certificate = A\n", "/y", 5),
            ("tls_certificate = /a\nbegin transports\nx:\n  tls_certificate = /b\n", "/a", 1),
            ("tls_certificate = \"/a\"\n", "/a", 1),
        ] {
            assert_eq!(read(&[("/c", text)], "tls_certificate"), Some((value.into(), format!("/c:{line}"))), "{text:?}");
        }
        assert_eq!(read(&[("/c", "begin acl\ntls_certificate = /a\n")], "tls_certificate"), None);
        let included = [("/m", "D = /etc\n.include_if_exists D/x\n.include /t\nbegin acl\n"), ("/t", "tls_certificate = D/a\n")];
        assert_eq!(read(&included, "tls_certificate"), Some(("/etc/a".into(), "/t:1".into())));
        let files = [file("/m", "D = /etc\n.include_if_exists D/x\n")];
        assert_eq!(MainSection::read(&files, []).expect("read").missing, [PathBuf::from("/etc/x")]);
    }

    #[test]
    fn what_exim_refuses_is_said_with_its_line() {
        for (text, says) in [
            ("A = 1\nA = 2\n", "/c:2: A is set a second time (first in /c:1)"),
            ("tls_certificate = /a\ntls_certificate = /b\n", "/c:2: tls_certificate is set a second time"),
            (".endif\n", "/c:1: .endif without .ifdef"),
        ] {
            let e = MainSection::read(&[file("/c", text)], []).expect_err(text).to_string();
            assert!(e.starts_with(says), "{e}");
        }
        assert!(MainSection::read(&[file("/c", "message_size_limit = 1\nhost_lookup = *\n")], []).is_ok());
    }
}
