//! The bytes of a configuration file inside the facts.

use super::{
    exim::redacted as exim, lines, main_cf, master_cf, sendmail::redacted as sendmail, settings::is_ours, smtpd::redacted as smtpd,
};
use crate::change::Raw;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Write as _, path::Path};

/// Configuration text. In memory every byte; serialised, the values of settings that are none of our business are hidden and
/// comments are emptied: configurations hold passwords. No digest stands in their place, for a weak password could be guessed
/// from it. What is left has the same lines and parses again, so that a plan can be made from the facts of another machine.
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
    let other = exim::redacted(bytes, HIDDEN).or_else(|| sendmail::redacted(bytes)).or_else(|| smtpd::redacted(bytes, HIDDEN));
    if let Some(text) = other {
        return text;
    }
    let kept = kept_names(bytes);
    let value_of = |name: &str, value: &str| match value {
        "" => String::new(),
        _ if name.contains("tls") && kept.contains(name) => value.to_owned(),
        _ if kept.contains(name) => named(value),
        _ => HIDDEN.to_owned(),
    };
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
                let _ = write!(out, " {HIDDEN}");
            }
        } else {
            out.push_str(HIDDEN);
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

/// A value with the names of its tables, but not what is written out in it: `inline:{a = b}` and its like, `static:b`.
#[must_use]
pub fn named(value: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0_usize);
    for c in value.chars() {
        let in_table = out.ends_with(':') && !out.trim_end_matches(':').ends_with(['}', ')']);
        match c {
            '{' if depth > 0 || in_table => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    out.push_str(&format!("{{{HIDDEN}}}"));
                }
            }
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    let word = |w: &str| match w.split_once("static:") {
        Some((before, _)) => format!("{before}static:{HIDDEN}"),
        None => w.to_owned(),
    };
    out.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

const HIDDEN: &str = "hidden";

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        let json = serde_json::to_string(&ConfigText::of(text.into())).expect("json");
        let back: ConfigText = serde_json::from_str(&json).expect("a text");
        String::from_utf8(back.0.0).expect("text")
    }

    #[test]
    fn a_table_is_named_and_its_content_is_not() {
        for (value, expected) in [
            ("hash:/etc/postfix/virtual, mysql:/etc/my.cf", "hash:/etc/postfix/virtual, mysql:/etc/my.cf"),
            ("inline:{ {a.example = hunter2}, b=c } x.example", "inline:{hidden} x.example"),
            ("unionmap:{static:{hunter2},inline:{a=hunter2}}", "unionmap:{hidden}"),
            ("static:hunter2 proxy:static:hunter2", "static:hidden proxy:static:hidden"),
            ("${a?{b.example}:{c.example}} $d ${e:f}", "${a?{b.example}:{c.example}} $d ${e:f}"),
            ("regexp:{{/x/ hunter2", "regexp:"),
        ] {
            assert_eq!(named(value), expected, "{value}");
            assert_eq!(named(expected), expected);
        }
    }

    #[test]
    fn passwords_stay_at_home() {
        let main = "# the password is hunter2\nsmtp_sasl_password = hunter2\nsmtpd_tls_cert_file=$dir/c.pem\ndir = /etc/ssl\n\nsmtpd_tls_key_file =\n  # hunter2\n  /k.pem\nnonsense hunter2\n";
        let master = "smtp inet n - y - - smtpd -v\n  -o smtpd_tls_security_level=may -o { policy = a hunter2 }\n# x\nvmail unix - n n - - pipe\n  flags=R argv=/bin/x --secret hunter2\n";
        for (text, names) in [
            (
                main,
                &["smtpd_tls_cert_file = $dir/c.pem", "\ndir = /etc/ssl", "smtpd_tls_key_file = /k.pem", "smtp_sasl_password = hidden"][..],
            ),
            (master, &["smtp inet n - y - - smtpd", "-o { smtpd_tls_security_level = may }", "-o { policy = hidden }", "pipe hidden"][..]),
        ] {
            let got = round(text);
            assert!(!got.contains("hunter2"), "{got}");
            assert_eq!(got.lines().count(), text.lines().count(), "{got}");
            for name in names {
                assert!(got.contains(name), "{name:?} in {got}");
            }
            assert_eq!(round(&got), got, "parses again");
        }
        let (a, b) = (main.replace("nonsense hunter2\n", ""), round(main).replace("\nhidden\n", "\n"));
        let lines = |t: &str| {
            main_cf::read(Path::new(""), t.as_bytes()).map(|all| all.iter().map(|e| (e.name.clone(), e.line)).collect::<Vec<_>>())
        };
        assert_eq!(lines(&a), lines(b.lines().take(8).collect::<Vec<_>>().join("\n").as_str()), "the same names in the same lines");
    }
}
