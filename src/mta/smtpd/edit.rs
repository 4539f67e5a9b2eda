//! Edits of one file: the value in its place, options behind a listener's own, new `pki` statements before the first listener,
//! for smtpd knows no name that is declared below it.

use super::lines::{Statement, Word, statements};
use crate::{
    change::{Raw, SettingChange},
    mta::lines::{Restored, Unreadable, restore_line, spliced},
};
use std::path::Path;

/// The setting of a listener that names its certificate.
pub(super) const PKI: &str = "pki";

/// Sets the file of `pki NAME cert` or `pki NAME key`; of a listener the name, with `tls` where it speaks none.
pub(in crate::mta) fn set(
    path: &Path,
    bytes: &[u8],
    service: Option<&str>,
    name: &str,
    value: &str,
    why: &str,
) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let wrong = |line: usize, why: String| Unreadable { path: path.to_owned(), line, why };
    if !value.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(&b)) {
        return Err(wrong(0, format!("the value of {name} could not stand between quotation marks; choose a plain path")));
    }
    let all = statements(path, bytes)?;
    let edited = match service {
        None => all.iter().rfind(|s| declares(s, name)).map(|statement| (statement, of_pki(bytes, statement, value))),
        Some(service) => {
            let mut those = all.iter().filter(|s| s.listener().as_deref() == Some(service));
            match (those.next(), those.next()) {
                (Some(statement), None) => Some((statement, of_listener(bytes, statement, value))),
                (Some(_), Some(second)) => return Err(wrong(second.line, format!("`{service}` stands here a second time"))),
                (None, _) => return Err(wrong(0, format!("`{service}` is not in it"))),
            }
        }
    };
    let change = |was: Option<&[u8]>, becomes: &[u8]| SettingChange {
        service: service.map(ToOwned::to_owned),
        name: name.to_owned(),
        was: was.map(|w| Raw(w.to_vec())),
        becomes: Some(Raw(becomes.to_vec())),
        why: why.to_owned(),
    };
    if let Some((statement, line)) = edited {
        let was = &bytes[statement.span.clone()];
        let same = was == line.as_slice();
        return Ok((spliced(bytes, statement.span.clone(), &line), (!same).then(|| change(Some(was), &line))));
    }
    let Some(first) = all.iter().find(|s| s.listens().is_some()) else {
        return Err(wrong(0, "it holds no listener before which a certificate could be declared".to_owned()));
    };
    let line = format!("{name} \"{value}\"\n").into_bytes();
    Ok((spliced(bytes, first.span.start..first.span.start, &line), Some(change(None, &line))))
}

/// Takes one change back, also in a file that smtpd would not read.
pub(in crate::mta) fn restore(path: &Path, bytes: &[u8], change: &SettingChange) -> Restored {
    let all = statements(path, bytes).unwrap_or_default();
    let home = all.iter().find(|s| s.listens().is_some()).map_or(bytes.len(), |s| s.span.start);
    restore_line(bytes, change, now(&all, change), home)
}

/// The line where the setting is now.
fn now(all: &[Statement], change: &SettingChange) -> Option<usize> {
    let is_it = |s: &&Statement| match &change.service {
        None => declares(s, &change.name),
        Some(service) => s.listener().as_ref() == Some(service),
    };
    all.iter().find(is_it).map(|s| s.line)
}

/// Whether a statement sets `pki NAME cert` or `pki NAME key`.
fn declares(statement: &Statement, name: &str) -> bool {
    let head: Vec<&str> = statement.words.iter().take(3).map(|w| w.text.as_str()).collect();
    statement.words.len() == 4 && head.join(" ").eq_ignore_ascii_case(name)
}

fn of_pki(bytes: &[u8], statement: &Statement, value: &str) -> Vec<u8> {
    match statement.words.get(3) {
        Some(word) if word.text != value => replaced(bytes, statement, word, &format!("\"{value}\"")),
        _ => bytes[statement.span.clone()].to_vec(),
    }
}

fn of_listener(bytes: &[u8], statement: &Statement, pki: &str) -> Vec<u8> {
    let words = statement.listens().unwrap_or_default();
    let named = words.iter().position(|w| w.text == "pki" && !w.quoted).and_then(|at| words.get(at + 1));
    match (named, words.last()) {
        (Some(word), _) => replaced(bytes, statement, word, pki),
        (None, Some(last)) => {
            let speaks = words.iter().skip(1).any(|w| ["tls", "tls-require", "smtps"].contains(&w.text.as_str()));
            let more = if speaks { format!(" pki {pki}") } else { format!(" tls pki {pki}") };
            let end = last.at.end - statement.span.start;
            spliced(&bytes[statement.span.clone()], end..end, more.as_bytes())
        }
        (None, None) => bytes[statement.span.clone()].to_vec(),
    }
}

fn replaced(bytes: &[u8], statement: &Statement, word: &Word, by: &str) -> Vec<u8> {
    let at = word.at.start - statement.span.start..word.at.end - statement.span.start;
    spliced(&bytes[statement.span.clone()], at, by.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "pki mx.example.org cert";

    fn edit(text: &str, service: Option<&str>, name: &str, value: &str) -> (String, Option<SettingChange>) {
        let (bytes, change) = set(Path::new("/c"), text.as_bytes(), service, name, value, "why").expect(text);
        (String::from_utf8(bytes).expect("text"), change)
    }

    #[test]
    fn edits_touch_their_own_statement_and_undo_brings_every_byte_back() {
        let on = |address: &'static str| (Some(address), PKI, "mx.example.org");
        let cert = (None, CERT, "/l.pem");
        for ((service, name, value), before, after) in [
            (cert, "listen on lo", "pki mx.example.org cert \"/l.pem\"\nlisten on lo"),
            (
                cert,
                "# c\ntable a b\n\nlisten on lo\nlisten on eth0\n",
                "# c\ntable a b\n\npki mx.example.org cert \"/l.pem\"\nlisten on lo\nlisten on eth0\n",
            ),
            (cert, "pki mx.example.org cert \"/old\" # ours\n", "pki mx.example.org cert \"/l.pem\" # ours\n"),
            (cert, "pki MX.example.org cert '/old'", "pki MX.example.org cert \"/l.pem\""),
            (cert, "pki \"mx.example.org\" \\\n  cert \\\n  $old\nx", "pki \"mx.example.org\" \\\n  cert \\\n  \"/l.pem\"\nx"),
            (
                cert,
                "pki other.example cert \"/o\"\nlisten on lo\n",
                "pki other.example cert \"/o\"\npki mx.example.org cert \"/l.pem\"\nlisten on lo\n",
            ),
            (
                cert,
                "pki mx.example.org cert \"/a\"\npki mx.example.org cert \"/b\"\n",
                "pki mx.example.org cert \"/a\"\npki mx.example.org cert \"/l.pem\"\n",
            ),
            (on("listen on all"), "listen on all\n", "listen on all tls pki mx.example.org\n"),
            (on("listen on all"), "listen on all # everywhere\n", "listen on all tls pki mx.example.org # everywhere\n"),
            (on("listen on all"), "listen on all \\\n\tfilter x", "listen on all \\\n\tfilter x tls pki mx.example.org"),
            (on("listen on all"), "listen on all tls pki old hostname a\n", "listen on all tls pki mx.example.org hostname a\n"),
            (on("listen on all"), "listen on all tls-require pki \"old\" pki b\n", "listen on all tls-require pki mx.example.org pki b\n"),
            (
                on("listen on all"),
                "listen on socket\nlisten on all port 587 auth\nlisten on all\n",
                "listen on socket\nlisten on all port 587 auth\nlisten on all tls pki mx.example.org\n",
            ),
            (on("listen on $if smtps"), "listen on $if smtps auth <p>\n", "listen on $if smtps auth <p> pki mx.example.org\n"),
        ] {
            let (got, change) = edit(before, service, name, value);
            assert_eq!(got, after, "{before:?}");
            let change = change.expect("a change");
            assert_eq!(restore(Path::new("/c"), got.as_bytes(), &change), Restored::Done(before.into()), "{before:?}");
            let (same, nothing) = edit(&got, service, name, value);
            assert_eq!((same, nothing), (got, None), "a second time");
        }
        for (service, name, value, before, why) in [
            (None, CERT, "/a b", "listen on lo\n", "/c: the value of pki mx.example.org cert could not stand between"),
            (None, CERT, "/l.pem", "match for any action x\n", "/c: it holds no listener"),
            (Some("listen on all"), PKI, "a.example", "listen on lo\n", "/c: `listen on all` is not in it"),
            (Some("listen on lo"), PKI, "a.example", "listen on lo\nlisten on lo tls\n", "/c:2: `listen on lo` stands here a second time"),
            (None, CERT, "/l.pem", "listen on lo\r\n", "/c:1: the line ends with a carriage return"),
        ] {
            let wrong = set(Path::new("/c"), before.as_bytes(), service, name, value, "why").expect_err(before).to_string();
            assert!(wrong.replace(":0:", ":").starts_with(why), "{wrong}");
        }
    }

    #[test]
    fn undo_keeps_what_others_changed() {
        let before = "listen on lo\nlisten on eth0\n";
        let (_, added) = edit(before, None, CERT, "/l.pem");
        let (_, named) = edit(before, Some("listen on eth0"), PKI, "mx.example.org");
        let (added, named) = (added.expect("a change"), named.expect("a change"));
        for (now, change, expected) in [
            ("x\npki mx.example.org cert \"/l.pem\"\ny\n", &added, Restored::Done("x\ny\n".into())),
            ("x\n", &added, Restored::Already),
            ("x\npki mx.example.org cert \"/other\"\n", &added, Restored::Conflict(2)),
            ("\tlisten on eth0 tls pki mx.example.org\n", &named, Restored::Done("listen on eth0\n".into())),
            ("listen on eth0 tls pki mx.example.org", &named, Restored::Done("listen on eth0".into())),
            ("listen on eth0\n", &named, Restored::Already),
            ("x\nlisten on eth0 tls pki mx.example.org filter y\n", &named, Restored::Conflict(2)),
            ("x\n", &named, Restored::Conflict(0)),
            ("a }\nlisten on eth0 tls pki mx.example.org\n", &named, Restored::Done("a }\nlisten on eth0\n".into())),
        ] {
            assert_eq!(restore(Path::new("/c"), now.as_bytes(), change), expected, "{now:?}");
        }
    }
}
