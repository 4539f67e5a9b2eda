//! What a DNS company asks for before it lets anybody change a zone: a file of `key = "value"`, which others may not read.

use crate::world::{Look as _, Machine};
use std::{collections::BTreeMap, fmt::Write as _, path::Path, path::PathBuf};
use toml_edit::{Document, Item};
use zeroize::Zeroizing;

/// So many characters of what a company said are shown.
const SAID: usize = 600;

/// A key of its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) needed: bool,
    /// Nobody else may know its value.
    pub(super) secret: bool,
}

pub(super) const fn secret(name: &'static str) -> Key {
    Key { name, needed: true, secret: true }
}

pub(super) const fn plain(name: &'static str) -> Key {
    Key { name, needed: true, secret: false }
}

pub(super) const fn maybe(key: Key) -> Key {
    Key { needed: false, ..key }
}

/// Keys, as words.
pub(super) fn asks(keys: &[Key]) -> String {
    let of = |needed: bool| keys.iter().filter(|key| key.needed == needed).map(|key| key.name).collect::<Vec<_>>().join(", ");
    match (of(true), of(false)) {
        (needed, optional) if optional.is_empty() => needed,
        (needed, optional) => format!("{needed} and, where you like, {optional}"),
    }
}

/// The values of a file. They have no text form.
pub(super) struct Credentials {
    file: PathBuf,
    values: BTreeMap<&'static str, (Key, Zeroizing<String>)>,
}

impl Credentials {
    /// Reads a file, which has to hold what this company asks for and nothing else.
    ///
    /// # Errors
    /// A sentence with the file's name, and never what is in it.
    pub(super) fn read(file: &Path, company: &str, keys: &[Key]) -> Result<Self, String> {
        let wrong = |why: String| format!("the credentials {}: {why}", file.display());
        let (bytes, meta) = Machine.read(file).map_err(|e| wrong(e.to_string()))?.ok_or_else(|| wrong("there is no such file".into()))?;
        let bytes = Zeroizing::new(bytes);
        let us = nix::unistd::geteuid().as_raw();
        if meta.uid != us && meta.uid != 0 {
            return Err(wrong(format!("they belong to the user with the number {}: chown root, and make sure of what they say", meta.uid)));
        }
        if meta.mode & 0o077 != 0 {
            return Err(wrong(format!("others may read them: chmod 600 {}", file.display())));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("they are not text".into()))?;
        Self::of(text, company, keys).map(|values| Self { file: file.to_owned(), values }).map_err(wrong)
    }

    fn of(text: &str, company: &str, keys: &[Key]) -> Result<BTreeMap<&'static str, (Key, Zeroizing<String>)>, String> {
        let list = || format!("{company} asks for {}", asks(keys));
        // What the parser says of a line holds words of it.
        let document = Document::parse(text).map_err(|e| {
            let line = e.span().and_then(|s| text.get(..s.start)).map_or(0, |before| before.matches('\n').count()) + 1;
            format!("line {line} is not of the form key = \"value\"; {}", list())
        })?;
        let mut values = BTreeMap::new();
        for (name, item) in document.iter() {
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                return Err(format!("there is no key {}; {}", name.escape_default(), list()));
            };
            let value = item.as_str().map(str::trim).filter(|v| !v.is_empty() && !v.chars().any(char::is_control));
            let value = value.ok_or_else(|| format!("{name} is not of the form {name} = \"value\""))?;
            values.insert(key.name, (*key, Zeroizing::new(value.to_owned())));
        }
        match keys.iter().find(|key| key.needed && !document.get(key.name).is_some_and(Item::is_str)) {
            Some(missing) => Err(format!("{} is missing; {}", missing.name, list())),
            None => Ok(values),
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// A value; empty where it is left out.
    pub(super) fn get(&self, key: &str) -> &str {
        self.maybe(key).unwrap_or_default()
    }

    /// A value, where there is one.
    pub(super) fn maybe(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(_, value)| value.as_str())
    }

    /// What the library says of an error, on one line and without secrets: it may quote addresses and answers.
    pub(super) fn masked(&self, said: &str) -> String {
        // An answer that was understood to be good and could not be read may hold the pass of a session.
        let mut said = said.split_once(" (body: ").map_or(said, |(before, _)| before).to_owned();
        for (_, secret) in self.values.values().filter(|(key, _)| key.secret) {
            for form in forms(secret) {
                said = said.replace(form.as_str(), "***");
            }
        }
        let plain = said.chars().map(|c| if c.is_control() { ' ' } else { c });
        plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID).collect()
    }
}

/// A secret as it is, in a URL, in a form and in JSON.
fn forms(secret: &str) -> [Zeroizing<String>; 4] {
    let encoded = |blank: &str| {
        let mut out = Zeroizing::new(String::with_capacity(secret.len() * 3));
        for byte in secret.bytes() {
            match byte {
                b' ' => out.push_str(blank),
                byte if byte.is_ascii_alphanumeric() || b"-._*~".contains(&byte) => out.push(char::from(byte)),
                byte => drop(write!(out, "%{byte:02X}")),
            }
        }
        out
    };
    let json = serde_json::to_string(secret).map(Zeroizing::new).unwrap_or_default();
    [Zeroizing::new(secret.to_owned()), encoded("%20"), encoded("+"), Zeroizing::new(json.trim_matches('"').to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    const TOKEN: &[Key] = &[secret("token")];

    #[test]
    fn a_file_holds_what_is_asked_for_and_nothing_else() {
        for (text, expected) in [
            ("token = 'abc'\n# mine\n", Ok("abc")),
            ("token = ' abc '\n", Ok("abc")),
            ("", Err("token is missing; Cloudflare asks for token")),
            ("token = ''\n", Err("token is not of the form token = \"value\"")),
            ("token = 7\n", Err("token is not of the form")),
            ("token = \"a\\nb\"\n", Err("token is not of the form")),
            ("token = 'abc'\npassword = 'hidden'\n", Err("there is no key password; Cloudflare asks for token")),
            ("\ntoken = hidden\n", Err("line 2 is not of the form key = \"value\"; Cloudflare asks for token")),
            ("hidden", Err("line 1 is not of the form")),
        ] {
            match (Credentials::of(text, "Cloudflare", TOKEN), expected) {
                (Ok(values), Ok(token)) => assert_eq!(values["token"].1.as_str(), token, "{text}"),
                (Err(said), Err(expected)) => assert!(said.starts_with(expected) && !said.contains("hidden"), "{text}: {said}"),
                (Ok(_), Err(expected)) => panic!("{text}: {expected}"),
                (Err(said), Ok(_)) => panic!("{text}: {said}"),
            }
        }
        let asks = Credentials::of("", "OVH", &[plain("application-key"), secret("consumer-key"), maybe(plain("endpoint"))])
            .expect_err("a sentence");
        assert!(asks.ends_with("OVH asks for application-key, consumer-key and, where you like, endpoint"), "{asks}");
    }

    #[test]
    fn others_may_not_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("dns.toml");
        let missing = Credentials::read(&file, "Cloudflare", TOKEN).err().expect("a sentence");
        assert!(missing.contains("dns.toml: there is no such file"), "{missing}");
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::write(&file, "token = 'abc'\n").expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
            let read = Credentials::read(&file, "Cloudflare", TOKEN);
            assert_eq!(read.is_ok(), fine, "{mode:o}");
            assert!(read.err().is_none_or(|said| said.contains("others may read them: chmod 600 /")));
            fs::remove_file(&file).expect("a file");
        }
    }

    #[test]
    fn what_is_said_of_an_error_holds_no_secret() {
        let values =
            Credentials::of("auth-id = '4711'\nauth-password = 'q w/e\"r+t'\n", "ClouDNS", &[plain("auth-id"), secret("auth-password")])
                .expect("credentials");
        let credentials = Credentials { file: "/etc/mxseal/dns.toml".into(), values };
        for (said, expected) in [
            ("HTTP 500: \u{1b}[31mno\n", "HTTP 500: [31mno"),
            ("https://a.example/?auth-id=4711&auth-password=q+w%2Fe%22r%2Bt&x", "https://a.example/?auth-id=4711&auth-password=***&x"),
            ("https://a.example/q%20w%2Fe%22r%2Bt", "https://a.example/***"),
            ("{\"password\": \"q w/e\\\"r+t\"} q w/e\"r+t", "{\"password\": \"***\"} ***"),
            ("expected value (body: {\"session\":\"other\"})", "expected value"),
        ] {
            assert_eq!(credentials.masked(said), expected);
        }
        assert_eq!(credentials.masked(&"ab ".repeat(SAID)).chars().count(), SAID);
    }
}
