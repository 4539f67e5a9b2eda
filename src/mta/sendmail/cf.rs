//! Options of `sendmail.cf`. What m4 leaves unset stands there as a comment, and that is the place of the option.

use crate::{
    change::{Raw, SettingChange},
    mta::{
        lines::{self, Logical, Restored, Unreadable, line_end, spliced, words},
        main_cf::Entry,
    },
};
use std::path::Path;

/// The options that decide about TLS, with the macros of `sendmail.mc` that they are built of.
pub(super) const OPTIONS: [(&str, &str); 4] =
    [(CERT, "confSERVER_CERT"), (KEY, "confSERVER_KEY"), ("CACertFile", "confCACERT"), ("CACertPath", "confCACERT_PATH")];
/// Files of chains.
pub(super) const CERT: &str = "ServerCertFile";
/// Files of keys.
pub(super) const KEY: &str = "ServerKeyFile";

/// Every `O Name=value`, in order.
pub(super) fn options(bytes: &[u8]) -> Vec<Entry> {
    lines::logical(bytes).into_iter().filter_map(|at| option(bytes, at)).collect()
}

fn option(bytes: &[u8], at: Logical) -> Option<Entry> {
    let text = bytes[at.span()].strip_prefix(b"O ")?;
    let equals = text.iter().position(|b| *b == b'=')?;
    let value_at = at.span().start + 2 + equals + 1;
    Some(Entry { name: words(&text[..equals]), value: words(&text[equals + 1..]), line: at.line, at, value_at })
}

/// Sets an option where it is set last, else where its comment stands.
pub(super) fn set(path: &Path, bytes: &[u8], name: &str, value: &str, why: &str) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let present = options(bytes).into_iter().rfind(|o| o.name == name);
    if present.as_ref().is_some_and(|o| o.value == value) {
        return Ok((bytes.to_vec(), None));
    }
    let Some(span) = present.map(|o| o.at.span()).or_else(|| comment(bytes, name)) else {
        let why = format!("it has no place for the option {name}: build it of a newer sendmail.mc");
        return Err(Unreadable { path: path.to_owned(), line: 0, why });
    };
    let was = bytes[span.clone()].to_vec();
    let line = [format!("O {name}={value}").as_bytes(), line_end(&was)].concat();
    let change =
        SettingChange { service: None, name: name.to_owned(), was: Some(Raw(was)), becomes: Some(Raw(line.clone())), why: why.to_owned() };
    Ok((spliced(bytes, span, &line), Some(change)))
}

/// `#O Name` or `#O Name=value`.
fn comment(bytes: &[u8], name: &str) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    let mut found = None;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let rest = line.trim_ascii_end().strip_prefix(b"#O ").and_then(|l| l.strip_prefix(name.as_bytes()));
        if rest.is_some_and(|r| r.is_empty() || r.starts_with(b"=")) {
            found = Some(at..at + line.len());
        }
        at += line.len();
    }
    found
}

pub(super) fn restore(bytes: &[u8], change: &SettingChange) -> Restored {
    let now = options(bytes).into_iter().rfind(|o| o.name == change.name).map(|o| o.line);
    lines::restore_line(bytes, change, now, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_take_the_place_of_their_comment() {
        for (before, after) in [
            ("# cert\n#O ServerCertFile\n# key\n", "# cert\nO ServerCertFile=/l\n# key\n"),
            ("#O ServerCertFile=/example\r\nx\r\n", "O ServerCertFile=/l\r\nx\r\n"),
            ("O ServerCertFile=/old\nO x=y", "O ServerCertFile=/l\nO x=y"),
            ("O ServerCertFile=/a\nO ServerCertFile=/b", "O ServerCertFile=/a\nO ServerCertFile=/l"),
            ("O ServerCertFile=/a,\n\t/b\nx\n", "O ServerCertFile=/l\nx\n"),
        ] {
            let (got, change) = set(Path::new("/c"), before.as_bytes(), "ServerCertFile", "/l", "why").expect(before);
            assert_eq!(String::from_utf8_lossy(&got), after, "{before:?}");
            assert_eq!(restore(&got, &change.expect("a change")), Restored::Done(before.into()), "{before:?}");
            assert_eq!(set(Path::new("/c"), &got, "ServerCertFile", "/l", "why").expect("again").1, None);
        }
        let wrong = set(Path::new("/c"), b"#O ServerCertFileX\n", "ServerCertFile", "/l", "why").expect_err("no place").to_string();
        assert!(wrong.contains("has no place for the option ServerCertFile"), "{wrong}");
    }

    #[test]
    fn undo_keeps_what_others_changed() {
        let (_, change) = set(Path::new("/c"), b"#O ServerCertFile\n", "ServerCertFile", "/l", "why").expect("an edit");
        let change = change.expect("a change");
        for (now, expected) in [
            ("x\nO ServerCertFile=/l\ny\n", Restored::Done("x\n#O ServerCertFile\ny\n".into())),
            ("O ServerCertFile=/l", Restored::Done("#O ServerCertFile".into())),
            ("#O ServerCertFile\n", Restored::Already),
            ("x\nO ServerCertFile=/other\n", Restored::Conflict(2)),
            ("x\n", Restored::Conflict(0)),
        ] {
            assert_eq!(restore(now.as_bytes(), &change), expected, "{now:?}");
        }
    }
}
