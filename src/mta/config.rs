//! The bytes of a configuration file inside the facts.

use super::{lines, main_cf, master_cf, settings::is_ours};
use crate::{certificate::Digest, change::Raw};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Write as _, path::Path};

/// Configuration text. In memory every byte; serialised, the values of settings that are none of our business are replaced by
/// their digests and comments are emptied: configurations hold passwords. What is left has the same lines and parses again, so
/// that a plan can be made from the facts of another machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Raw", into = "Raw")]
pub struct ConfigText(pub Raw);

impl ConfigText {
    /// The text of these bytes.
    #[must_use]
    pub const fn of(bytes: Vec<u8>) -> Self {
        Self(Raw(bytes))
    }
}

impl From<Raw> for ConfigText {
    fn from(raw: Raw) -> Self {
        Self(raw)
    }
}

impl From<ConfigText> for Raw {
    fn from(text: ConfigText) -> Self {
        Self(redacted(&text.0.0).into_bytes())
    }
}

fn redacted(bytes: &[u8]) -> String {
    let kept = kept_names(bytes);
    let value_of = |name: &str, value: &str| if kept.contains(name) || value.is_empty() { value.to_owned() } else { digest(value) };
    let (mut out, mut line) = (String::new(), 1);
    for whole in lines::logical(bytes) {
        while line < whole.line {
            out.push_str("#\n");
            line += 1;
        }
        let text = &bytes[whole.span()];
        let path = Path::new("");
        // One of the two forms; what is neither stays something that no server can read.
        if let Ok([setting]) = main_cf::read(path, text).as_deref() {
            let _ = write!(out, "{} = {}", setting.name, value_of(&setting.name, &setting.value));
        } else if let Ok([service]) = master_cf::read(path, text).as_deref() {
            let fields: Vec<String> = text.split(|b| lines::is_space(*b)).filter(|w| !w.is_empty()).take(8).map(lines::words).collect();
            out.push_str(&fields.join(" "));
            for option in &service.options {
                let _ = write!(out, " -o {{ {} = {} }}", option.name, value_of(&option.name, &option.value));
            }
            let rest: Vec<String> = lines::words(text).split(' ').skip(8).map(ToOwned::to_owned).collect();
            if service.options.is_empty() && !rest.is_empty() {
                let _ = write!(out, " {}", digest(&rest.join(" ")));
            }
        } else {
            out.push_str(&digest(&lines::words(text)));
        }
        out.push('\n');
        line += 1;
    }
    let all = bytes.split_inclusive(|b| *b == b'\n').count();
    while line <= all {
        out.push_str("#\n");
        line += 1;
    }
    out
}

/// Our settings, and those that their values refer to.
fn kept_names(bytes: &[u8]) -> BTreeSet<String> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for whole in lines::logical(bytes) {
        let text = &bytes[whole.span()];
        let path = Path::new("");
        settings.extend(main_cf::read(path, text).into_iter().flatten().map(|e| (e.name, e.value)));
        settings.extend(master_cf::read(path, text).into_iter().flatten().flat_map(|s| s.options).map(|o| (o.name, o.value)));
    }
    let mut kept: BTreeSet<String> = settings.iter().map(|(n, _)| n.clone()).filter(|n| is_ours(n)).collect();
    loop {
        let values: Vec<&String> = settings.iter().filter(|(n, _)| kept.contains(n)).map(|(_, v)| v).collect();
        let named = |name: &str| values.iter().any(|v| refers_to(v, name));
        let more: Vec<String> = settings.iter().map(|(n, _)| n).filter(|n| !kept.contains(*n) && named(n)).cloned().collect();
        if more.is_empty() {
            return kept;
        }
        kept.extend(more);
    }
}

fn refers_to(value: &str, name: &str) -> bool {
    value.match_indices(name).any(|(at, _)| {
        let before = value[..at].trim_end_matches(['{', '(']).ends_with('$');
        before && !value[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn digest(value: &str) -> String {
    if value.strip_prefix("sha256:").is_some_and(|d| d.len() == 8) {
        return value.to_owned();
    }
    format!("sha256:{}", Digest::of(value.as_bytes()).short())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        let json = serde_json::to_string(&ConfigText::of(text.into())).expect("json");
        let back: ConfigText = serde_json::from_str(&json).expect("a text");
        String::from_utf8(back.0.0).expect("text")
    }

    #[test]
    fn passwords_stay_at_home() {
        let main = "# the password is hunter2\nsmtp_sasl_password = hunter2\nsmtpd_tls_cert_file=$dir/c.pem\ndir = /etc/ssl\n\nsmtpd_tls_key_file =\n  # hunter2\n  /k.pem\nnonsense hunter2\n";
        let master = "smtp inet n - y - - smtpd -v\n  -o smtpd_tls_security_level=may -o { policy = a hunter2 }\n# x\nvmail unix - n n - - pipe\n  flags=R argv=/bin/x --secret hunter2\n";
        for (text, names) in [
            (
                main,
                &[
                    "smtpd_tls_cert_file = $dir/c.pem",
                    "\ndir = /etc/ssl",
                    "smtpd_tls_key_file = /k.pem",
                    "smtp_sasl_password = sha256:f52fbd32",
                ][..],
            ),
            (master, &["smtp inet n - y - - smtpd", "-o { smtpd_tls_security_level = may }", "-o { policy = sha256:", "pipe sha256:"][..]),
        ] {
            let got = round(text);
            assert!(!got.contains("hunter2"), "{got}");
            assert_eq!(got.lines().count(), text.lines().count(), "{got}");
            for name in names {
                assert!(got.contains(name), "{name:?} in {got}");
            }
            assert_eq!(round(&got), got, "parses again");
        }
        let (a, b) = (main.replace("nonsense hunter2\n", ""), round(main).replace("sha256:3e87d8d7", ""));
        let lines = |t: &str| {
            main_cf::read(Path::new(""), t.as_bytes()).map(|all| all.iter().map(|e| (e.name.clone(), e.line)).collect::<Vec<_>>())
        };
        assert_eq!(lines(&a), lines(b.lines().take(8).collect::<Vec<_>>().join("\n").as_str()), "the same names in the same lines");
    }
}
