//! Macros of `sendmail.mc`. m4 expands them when it has read all of the file, so the last definition counts; what stands behind
//! `dnl` is nothing.

use crate::{
    change::{Raw, SettingChange},
    mta::lines::{self, Restored, Unreadable, line_end, line_end_of, spliced},
};
use std::{ops::Range, path::Path};

/// One `define(`NAME', `VALUE')` that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Define {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
    /// Its whole lines.
    span: Range<usize>,
    /// The value between its quotes.
    value_at: Range<usize>,
}

/// What of the file counts: definitions, where files are included, and where the mailers begin.
#[derive(Debug, Default)]
struct Read {
    defines: Vec<Define>,
    /// Definitions of another shape, by name and line.
    strange: Vec<(String, usize)>,
    last_tls_include: usize,
    mailers: Option<usize>,
}

fn read(bytes: &[u8]) -> Read {
    let (mut found, mut at) = (Read::default(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let begins = |word: &[u8]| rest.starts_with(word) && !bytes[..at].last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let is_name = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if (begins(b"dnl") && !is_name(rest.get(3))) || begins(b"#") {
            at += line_length(rest);
        } else if begins(b"define(`") {
            at = define(bytes, at, &mut found);
        } else if begins(b"include(`") {
            let end = quoted(bytes, at + 8).map_or(at + 9, |q| q.end + 1);
            if bytes[at..end].windows(8).any(|w| w == b"starttls") {
                found.last_tls_include = at;
            }
            at = end;
        } else if begins(b"MAILER") && (rest.starts_with(b"MAILER(") || rest.starts_with(b"MAILER_DEFINITIONS")) {
            found.mailers.get_or_insert(line_start(bytes, at));
            at += 6;
        } else if rest[0] == b'`' {
            at = quoted(bytes, at).map_or(at + 1, |q| q.end + 1);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one definition; gives where to go on.
fn define(bytes: &[u8], at: usize, found: &mut Read) -> usize {
    let line = bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
    let Some(name) = quoted(bytes, at + 7) else { return at + 8 };
    let text = |range: Range<usize>| String::from_utf8_lossy(&bytes[range]).into_owned();
    let mut next = name.end + 1;
    if bytes.get(next) == Some(&b',') {
        next += 1;
        loop {
            let blanks = bytes[next..].iter().take_while(|b| b.is_ascii_whitespace()).count();
            next += blanks;
            if !bytes[next..].starts_with(b"dnl") {
                break;
            }
            next += line_length(&bytes[next..]);
        }
        if bytes.get(next) == Some(&b'`')
            && let Some(value) = quoted(bytes, next)
            && bytes[value.end + 1..].trim_ascii_start().starts_with(b")")
        {
            let close = value.end + 1 + bytes[value.end + 1..].iter().take_while(|b| **b != b')').count() + 1;
            let span = line_start(bytes, at)..close + line_length(&bytes[close..]);
            found.defines.push(Define { name: text(name), value: text(value.clone()), line, span, value_at: value });
            return close;
        }
    }
    found.strange.push((text(name), line));
    next
}

/// What stands between the quotes that begin there, which may nest.
fn quoted(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let mut depth = 0_usize;
    for (place, b) in bytes.iter().enumerate().skip(at) {
        match b {
            b'`' => depth += 1,
            b'\'' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1..place);
                }
            }
            _ => {}
        }
    }
    None
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1)
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1)
}

/// Sets a macro: in its last definition, unless Debian's file of TLS macros comes behind that, else before the mailers.
pub(super) fn set(path: &Path, bytes: &[u8], name: &str, value: &str, why: &str) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let found = read(bytes);
    if let Some((_, line)) = found.strange.iter().find(|(n, _)| n == name) {
        let why = format!("{name} is defined in a way that mxseal does not read; write define(`{name}', `…')dnl");
        return Err(Unreadable { path: path.to_owned(), line: *line, why });
    }
    let change = |was: Option<&[u8]>, becomes: &[u8]| SettingChange {
        service: None,
        name: name.to_owned(),
        was: was.map(|w| Raw(w.to_vec())),
        becomes: Some(Raw(becomes.to_vec())),
        why: why.to_owned(),
    };
    if let Some(last) = found.defines.iter().rfind(|d| d.name == name && d.span.start >= found.last_tls_include) {
        if last.value == value {
            return Ok((bytes.to_vec(), None));
        }
        let was = &bytes[last.span.clone()];
        let line = spliced(was, last.value_at.start - last.span.start..last.value_at.end - last.span.start, value.as_bytes());
        return Ok((spliced(bytes, last.span.clone(), &line), Some(change(Some(was), &line))));
    }
    let end = line_end_of(bytes);
    let line = [format!("define(`{name}', `{value}')dnl").as_bytes(), end].concat();
    let closed = bytes.is_empty() || !line_end(bytes).is_empty();
    let (at, line) = match found.mailers {
        Some(at) => (at, line),
        None if closed => (bytes.len(), line),
        None => (bytes.len(), [end, &line[..line.len() - end.len()]].concat()),
    };
    Ok((spliced(bytes, at..at, &line), Some(change(None, &line))))
}

pub(super) fn restore(bytes: &[u8], change: &SettingChange) -> Restored {
    let found = read(bytes);
    let now = found.defines.iter().rfind(|d| d.name == change.name).map(|d| d.line);
    lines::restore_line(bytes, change, now, found.mailers.unwrap_or(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_set_where_they_count() {
        let name = "confSERVER_CERT";
        for (before, after) in [
            ("OSTYPE(`debian')dnl\nMAILER(`smtp')dnl\n", "OSTYPE(`debian')dnl\ndefine(`confSERVER_CERT', `/l')dnl\nMAILER(`smtp')dnl\n"),
            ("A\nMAILER_DEFINITIONS\nMAILER(`smtp')dnl", "A\ndefine(`confSERVER_CERT', `/l')dnl\nMAILER_DEFINITIONS\nMAILER(`smtp')dnl"),
            ("dnl MAILER(`smtp')\nA", "dnl MAILER(`smtp')\nA\ndefine(`confSERVER_CERT', `/l')dnl"),
            ("A\r\n", "A\r\ndefine(`confSERVER_CERT', `/l')dnl\r\n"),
            (
                "define(`confSERVER_CERT',     `/old')dnl   # <= EDIT\nMAILER(`smtp')",
                "define(`confSERVER_CERT',     `/l')dnl   # <= EDIT\nMAILER(`smtp')",
            ),
            ("define(`confSERVER_CERT',dnl\n`/old')dnl\nx\n", "define(`confSERVER_CERT',dnl\n`/l')dnl\nx\n"),
            (
                "dnl define(`confSERVER_CERT', `/old')dnl\nMAILER(`smtp')\n",
                "dnl define(`confSERVER_CERT', `/old')dnl\ndefine(`confSERVER_CERT', `/l')dnl\nMAILER(`smtp')\n",
            ),
            ("# define(`confSERVER_CERT', `/old')dnl\n", "# define(`confSERVER_CERT', `/old')dnl\ndefine(`confSERVER_CERT', `/l')dnl\n"),
            (
                "define(`confSERVER_CERT', `/a')dnl\ndefine(`confSERVER_CERT', `/b')",
                "define(`confSERVER_CERT', `/a')dnl\ndefine(`confSERVER_CERT', `/l')",
            ),
            (
                "define(`confSERVER_CERT', `/a')dnl\ninclude(`/etc/mail/tls/starttls.m4')dnl\nMAILER(`local')\n",
                "define(`confSERVER_CERT', `/a')dnl\ninclude(`/etc/mail/tls/starttls.m4')dnl\ndefine(`confSERVER_CERT', `/l')dnl\nMAILER(`local')\n",
            ),
            (
                "define(`confX', `a `nested' b')dnl\nMAILER(`x')\n",
                "define(`confX', `a `nested' b')dnl\ndefine(`confSERVER_CERT', `/l')dnl\nMAILER(`x')\n",
            ),
        ] {
            let (got, change) = set(Path::new("/m"), before.as_bytes(), name, "/l", "why").expect(before);
            assert_eq!(String::from_utf8_lossy(&got), after, "{before:?}");
            assert_eq!(restore(&got, &change.expect("a change")), Restored::Done(before.into()), "{before:?}");
            assert_eq!(set(Path::new("/m"), &got, name, "/l", "why").expect("again").1, None, "{before:?}");
        }
        let strange = "A\ndefine(`confSERVER_CERT', confMY_CERT)dnl\n";
        let wrong = set(Path::new("/m"), strange.as_bytes(), name, "/l", "why").expect_err("strange").to_string();
        assert!(wrong.starts_with("/m:2: confSERVER_CERT is defined in a way"), "{wrong}");
    }
}
