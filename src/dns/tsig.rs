//! The key that signs an update (RFC 8945), from the files in which such keys are handed out.

use hickory_proto::rr::{Name, TSigner, rdata::tsig::TsigAlgorithm};
use std::{fmt, path::Path, str::FromStr as _};

/// How far the clocks may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// A key with its name. Its secret has no text form.
#[derive(Clone)]
pub struct Key(pub(super) TSigner);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.signer_name().to_ascii().trim_end_matches('.'), self.0.algorithm())
    }
}

impl Key {
    /// Reads a file: a `key` statement as tsig-keygen(8) writes it, `[algorithm:]name:secret` on a line as knsupdate(1) takes it
    /// and keymgr(8) writes it in a comment, or a private key file of dnssec-keygen, whose name holds the key's.
    ///
    /// # Errors
    /// A sentence with the file's name, and never what is in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("the key {}: {e}", path.display()))?;
        let parts = statement(&text).or_else(|| private(path, &text)).or_else(|| line(&text)).ok_or_else(|| {
            format!("{} holds no key: a statement `key NAME {{ algorithm hmac-sha256; secret ...; }};` is expected", path.display())
        })?;
        Self::of(&parts).map_err(|why| format!("the key in {}: {why}", path.display()))
    }

    fn of(parts: &Parts) -> Result<Self, String> {
        let algorithm = match parts.algorithm.to_ascii_lowercase().as_str() {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            other => return Err(format!("{other} is not among hmac-sha256, hmac-sha384 and hmac-sha512; make one with tsig-keygen")),
        };
        let name = Name::from_str(&parts.name).map_err(|e| format!("its name cannot be read: {e}"))?;
        let secret = data_encoding::BASE64.decode(parts.secret.as_bytes()).map_err(|_| "its secret is not in base64".to_owned())?;
        if secret.is_empty() {
            return Err("its secret is empty".to_owned());
        }
        TSigner::new(secret, algorithm, name, FUDGE).map(Self).map_err(|e| e.to_string())
    }
}

struct Parts {
    name: String,
    algorithm: String,
    secret: String,
}

/// `key "name" { algorithm hmac-sha256; secret "..."; };`
fn statement(text: &str) -> Option<Parts> {
    let bare: String = text.lines().map(|l| format!("{}\n", without_comment(l))).collect();
    let spaced = bare.replace(['{', '}', ';'], " ");
    let mut words = spaced.split_whitespace().map(|w| w.trim_matches('"').to_owned());
    words.find(|w| w == "key")?;
    let name = words.next()?;
    let rest: Vec<String> = words.collect();
    let after = |word: &str| rest.iter().position(|w| w == word).and_then(|at| rest.get(at + 1)).cloned();
    Some(Parts { name, algorithm: after("algorithm")?, secret: after("secret")? })
}

/// The line up to a comment. A secret may hold `//`, and is quoted or follows a blank.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut before) = (false, ' ');
    for (at, c) in line.char_indices() {
        let begins = c == '#' || line[at..].starts_with("//");
        if begins && !quoted && (before.is_whitespace() || before == ';') {
            return &line[..at];
        }
        quoted ^= c == '"';
        before = c;
    }
    line
}

/// A file `Kname.+163+12345.private`, with lines `Algorithm: 163 (HMAC_SHA256)` and `Key: ...`.
fn private(path: &Path, text: &str) -> Option<Parts> {
    let file = path.file_name()?.to_str()?;
    let (name, _) = file.strip_prefix('K')?.split_once("+")?;
    let after = |head: &str| text.lines().find_map(|l| l.strip_prefix(head)).map(str::trim);
    let algorithm = match after("Algorithm:")?.split_whitespace().next()? {
        "163" => "hmac-sha256",
        "164" => "hmac-sha384",
        "165" => "hmac-sha512",
        other => other,
    };
    Some(Parts { name: name.to_owned(), algorithm: algorithm.to_owned(), secret: after("Key:")?.to_owned() })
}

/// `hmac-sha256:name:secret`, also behind a `#`.
fn line(text: &str) -> Option<Parts> {
    text.lines().map(|l| l.trim_start_matches(['#', ' ']).trim()).find_map(|l| {
        let fields: Vec<&str> = l.split(':').collect();
        match fields[..] {
            [algorithm, name, secret] if algorithm.starts_with("hmac-") => {
                Some(Parts { name: name.to_owned(), algorithm: algorithm.to_owned(), secret: secret.to_owned() })
            }
            [name, secret] if !name.is_empty() && !name.contains(' ') => {
                Some(Parts { name: name.to_owned(), algorithm: "hmac-sha256".to_owned(), secret: secret.to_owned() })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

    #[test]
    fn keys_are_read_as_they_are_handed_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let ok = |name: &str| Ok(name.to_owned());
        let wrong = |words: &'static str| Err(words);
        for (file, text, expected) in [
            ("a", format!("key \"mx.key\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n"), ok("mx.key (hmac-sha256)")),
            ("b", format!("// ours\nkey mx {{ secret {SECRET}; algorithm HMAC-SHA512; }};"), ok("mx (hmac-sha512)")),
            ("c", format!("hmac-sha384:mx.:{SECRET}\n"), ok("mx (hmac-sha384)")),
            ("d", format!("mx:{SECRET}\n"), ok("mx (hmac-sha256)")),
            (
                "e",
                format!("# hmac-sha256:mx:{SECRET}\nkey:\n- id: mx\n  algorithm: hmac-sha256\n  secret: {SECRET}\n"),
                ok("mx (hmac-sha256)"),
            ),
            (
                "Kmx.example.+163+00001.private",
                format!("Private-key-format: v1.3\nAlgorithm: 163 (HMAC_SHA256)\nKey: {SECRET}\nBits: AAA=\n"),
                ok("mx.example (hmac-sha256)"),
            ),
            ("f", format!("key mx {{ algorithm hmac-md5; secret \"{SECRET}\"; }};"), wrong("hmac-md5 is not among")),
            ("g", "key mx { algorithm hmac-sha256; secret \"###\"; };".into(), wrong("its secret is not in base64")),
            ("g", "key mx { algorithm hmac-sha256; secret \"\"; };".into(), wrong("its secret is empty")),
            ("g", "key mx { algorithm hmac-sha256; # secret c2Vj;\n };".into(), wrong("holds no key")),
            ("h", "key mx { algorithm hmac-sha256; secret \"a-b\"; };".into(), wrong("its secret is not in base64")),
            ("i", "nothing\n".into(), wrong("holds no key")),
        ] {
            let path = dir.path().join(file);
            std::fs::write(&path, &text).expect("a file");
            match (Key::read(&path), expected) {
                (Ok(key), Ok(name)) => {
                    assert_eq!(key.to_string(), name, "{text}");
                    assert_eq!(key.0.key(), data_encoding::BASE64.decode(SECRET.as_bytes()).expect("base64"));
                    assert!(!format!("{key:?}").contains("secret"));
                }
                (Err(said), Err(why)) => assert!(said.contains(why) && !said.contains(SECRET), "{said}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_comment_is_no_part_of_a_secret_and_no_secret_a_comment() {
        for (line, expected) in [
            ("secret \"ab//cd==\"; // ours", "secret \"ab//cd==\"; "),
            ("secret ab//cd==;# ours", "secret ab//cd==;"),
            ("# ours", ""),
            ("//", ""),
            ("", ""),
        ] {
            assert_eq!(without_comment(line), expected);
        }
    }
}
