//! What of smtpd.conf(5) may leave the host: listeners, `pki` statements, rules, and the macros in them. Tables may hold
//! passwords, and keys for other purposes stand in the file: of these only the first word stays.

use super::lines::{Statement, Word, statements};
use std::{fmt::Write as _, path::Path};

const STATEMENTS: [&str; 17] = [
    "action", "admd", "bounce", "ca", "filter", "include", "listen", "match", "mda", "mta", "pki", "proc", "queue", "reject", "smtp",
    "srs", "table",
];

/// The text with what is none of our business replaced by `hidden`, in the same lines; `None` where it is no such file.
pub(in crate::mta) fn redacted(bytes: &[u8], hidden: &str) -> Option<String> {
    let all = statements(Path::new(""), bytes).ok()?;
    // The first service of master.cf has the name of a statement.
    let of_master = |s: &Statement| s.begins(&["smtp", "inet"]) || s.begins(&["smtp", "unix"]);
    let begins = |s: &Statement| s.words.first().is_some_and(|w| STATEMENTS.contains(&w.text.as_str()));
    let is_known = |s: &Statement| begins(s) && !defines(s) && !of_master(s);
    if !all.iter().any(is_known) || !all.iter().all(|s| is_known(s) || defines(s)) {
        return None;
    }
    let is_ours = |s: &&Statement| ["include", "listen", "match", "pki"].iter().any(|word| s.begins(&[word]));
    let used: Vec<&str> = all.iter().filter(is_ours).flat_map(|s| &s.words).filter_map(Word::macro_name).collect();
    let (mut out, mut number) = (String::new(), 1);
    for statement in &all {
        while number < statement.line {
            out.push_str("#\n");
            number += 1;
        }
        let first = statement.words.first().map_or("", |w| w.text.as_str());
        let names = statement.words.windows(2).find(|w| w[0].text == "pki" && !w[0].quoted).map(|w| &w[1]);
        let _ = match names {
            _ if is_ours(&statement) || (defines(statement) && used.contains(&first)) => writeln!(out, "{}", written(&statement.words)),
            Some(pki) if first == "action" => writeln!(out, "action {hidden} relay pki {}", written(std::slice::from_ref(pki))),
            _ if defines(statement) => writeln!(out, "{first} = {hidden}"),
            _ => writeln!(out, "{first} {hidden}"),
        };
        number += 1;
    }
    let lines = bytes.split_inclusive(|b| *b == b'\n').count();
    while number <= lines {
        out.push_str("#\n");
        number += 1;
    }
    Some(out)
}

/// Whether it defines a macro.
fn defines(statement: &Statement) -> bool {
    statement.words.get(1).is_some_and(|w| w.text == "=" && !w.quoted)
}

fn written(words: &[Word]) -> String {
    let one = |w: &Word| if w.quoted { format!("\"{}\"", w.text) } else { w.text.clone() };
    words.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_at_home() {
        let text = "# hunter2\nif = eth0\npw = \"hunter2\"\ntable creds {\n  a = hunter2 }\nsrs key hunter2\npki \"a\" cert \"/c\"\n\
                    action r relay host x auth <hunter2> pki a\nlisten on $if \\\n tls pki a\nmatch from any for domain a.example action r\n";
        let got = redacted(text.as_bytes(), "hidden").expect("smtpd.conf");
        let expected = "#\nif = eth0\npw = hidden\ntable hidden\n#\nsrs hidden\npki \"a\" cert \"/c\"\naction hidden relay pki a\n\
                        listen on $if tls pki a\n#\nmatch from any for domain a.example action r\n";
        assert_eq!(got, expected);
        assert_eq!(redacted(got.as_bytes(), "hidden").as_deref(), Some(expected));
        for other in [
            "smtpd_tls_cert_file = /c\n",
            "smtp inet n - y - - smtpd\n  -o a=b\nx unix - - - - - y\n",
            "smtp inet n - y - - smtpd\n",
            "begin acl\n",
            "",
        ] {
            assert_eq!(redacted(other.as_bytes(), "hidden"), None, "{other}");
        }
    }
}
