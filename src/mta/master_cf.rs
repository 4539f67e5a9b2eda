//! `master.cf`: the services and their own settings, read as Postfix reads them and edited one `-o name=value` at a time
//! (master(5)).

use super::lines::{self, Logical, Restored, Unreadable, is_space, line_end, spliced};
use crate::change::{Raw, SettingChange};
use std::{ops::Range, path::Path};

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name and type, such as `submission/inet`: what the rest of the program calls it.
    pub id: String,
    /// Its name: a port, a host and port, or the name of a socket.
    pub name: String,
    /// Its type: `inet`, `unix`, `pass`, ….
    pub kind: String,
    /// Whether it runs in a chroot; `None` as the default says.
    pub chroot: Option<bool>,
    /// Its program.
    pub command: String,
    /// Its own settings, in order; of several with one name the last counts.
    pub options: Vec<Override>,
    /// Its first line, from 1.
    pub line: usize,
    at: Logical,
}

/// One setting of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The name.
    pub name: String,
    /// The value, not expanded.
    pub value: String,
    /// Its line, from 1.
    pub line: usize,
    /// The bytes of `name=value` or `{ name = value }` in the file.
    at: Range<usize>,
    /// Where `-o` begins.
    flag_at: usize,
}

/// Every service in order.
///
/// # Errors
/// When a line has too few fields: Postfix refuses such a file too.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    lines::logical(bytes).into_iter().map(|at| entry(path, bytes, at)).collect()
}

fn entry(path: &Path, bytes: &[u8], at: Logical) -> Result<Entry, Unreadable> {
    let wrong = |why: &str| Unreadable { path: path.to_owned(), line: at.line, why: why.to_owned() };
    let tokens = tokens(bytes, &at).ok_or_else(|| wrong("a `{` of this service has no `}`"))?;
    let text = |n: usize| tokens.get(n).map(|t| lines::words(&bytes[t.clone()]));
    let (Some(name), Some(kind), Some(chroot), Some(command)) = (text(0), text(1), text(4), text(7)) else {
        return Err(wrong("a service has eight fields: name, type, private, unprivileged, chroot, wake-up, limit and command"));
    };
    let chroot = match chroot.as_str() {
        "y" => Some(true),
        "n" => Some(false),
        "-" => None,
        _ => return Err(wrong("the chroot field is none of y, n and -")),
    };
    let mut options = Vec::new();
    let mut rest = tokens.iter().skip(8);
    while let Some(token) = rest.next() {
        let word = &bytes[token.clone()];
        let value = match word.strip_prefix(b"-o") {
            Some(b"") => rest.next().cloned(),
            Some(_) => Some(token.start + 2..token.end),
            None => None,
        };
        let Some(value) = value else { continue };
        let inner = lines::words(&bytes[value.clone()]);
        let inner = inner.strip_prefix('{').and_then(|i| i.strip_suffix('}')).map_or(inner.as_str(), str::trim);
        let Some((name, text)) = inner.split_once('=') else { continue };
        options.push(Override {
            name: name.trim().to_owned(),
            value: text.trim().to_owned(),
            line: at.line_of(bytes, value.start),
            at: value,
            flag_at: token.start,
        });
    }
    Ok(Entry { id: format!("{name}/{kind}"), name, kind, chroot, command, options, line: at.line, at })
}

/// Words, where one that begins with `{` goes on to its `}`; `None` where that is missing.
fn tokens(bytes: &[u8], at: &Logical) -> Option<Vec<Range<usize>>> {
    let mut all = Vec::new();
    let mut begin: Option<usize> = None;
    let mut depth = 0_usize;
    let mut last = 0;
    for i in at.offsets(bytes) {
        let b = bytes[i];
        // A word does not go over the end of its line, except inside braces.
        if depth == 0 && (is_space(b) || i > last + 1) {
            all.extend(begin.take().map(|s| s..last + 1));
        }
        if !is_space(b) {
            if begin.is_none() {
                begin = Some(i);
                depth = usize::from(b == b'{');
            } else if depth > 0 {
                match b {
                    b'{' => depth += 1,
                    b'}' => depth -= 1,
                    _ => {}
                }
            }
            last = i;
        } else if depth > 0 {
            last = i;
        }
    }
    all.extend(begin.map(|s| s..last + 1));
    (depth == 0).then_some(all)
}

/// Sets one `-o name=value` of one service: in the last, effective one of that name, or in a new line behind the service.
/// `None` where it is so already.
///
/// # Errors
/// When the file cannot be read, there is no such service, or the value cannot stand there.
pub fn set(
    path: &Path,
    bytes: &[u8],
    service: &str,
    name: &str,
    value: &str,
    why: &str,
) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let wrong = |line: usize, why: String| Unreadable { path: path.to_owned(), line, why };
    if value.contains(['\n', '\r', '\0', '{', '}']) {
        return Err(wrong(0, format!("the value of {name} cannot stand in a service's own setting")));
    }
    let edited = put(path, bytes, service, name, value, why)?;
    let stands = |e: &Entry| e.id == service && e.options.iter().rfind(|o| o.name == name).is_some_and(|o| o.value == value);
    if read(path, &edited.0)?.iter().rfind(|e| e.id == service).is_some_and(stands) {
        return Ok(edited);
    }
    Err(wrong(0, format!("{name} cannot be set for {service} without touching what stands around it")))
}

fn put(
    path: &Path,
    bytes: &[u8],
    service: &str,
    name: &str,
    value: &str,
    why: &str,
) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let entries = read(path, bytes)?;
    let wrong = |line: usize, why: String| Unreadable { path: path.to_owned(), line, why };
    let entry = entries.iter().rfind(|e| e.id == service).ok_or_else(|| wrong(0, format!("there is no service {service}")))?;
    let spaced = value.bytes().any(is_space);
    let change = |was: Option<&[u8]>, becomes: &[u8]| SettingChange {
        service: Some(service.to_owned()),
        name: name.to_owned(),
        was: was.map(|w| Raw(w.to_vec())),
        becomes: Some(Raw(becomes.to_vec())),
        why: why.to_owned(),
    };
    if let Some(present) = entry.options.iter().rfind(|o| o.name == name) {
        if present.value == value {
            return Ok((bytes.to_vec(), None));
        }
        let was = &bytes[present.at.clone()];
        let word = if was.starts_with(b"{") || spaced { format!("{{ {name} = {value} }}") } else { format!("{name}={value}") };
        let edited = spliced(bytes, present.at.clone(), word.as_bytes());
        return Ok((edited, Some(change(Some(was), word.as_bytes()))));
    }
    let end = entry.at.span().end;
    let indent = entry.options.iter().find_map(|o| own_line(bytes, o.flag_at)).unwrap_or(b"  ");
    let word = if spaced { format!("-o {{ {name} = {value} }}") } else { format!("-o {name}={value}") };
    let line = [indent, word.as_bytes()].concat();
    let closed = bytes[..end].ends_with(b"\n");
    let new_line = lines::line_end_of(bytes);
    let piece = if closed { [&line, new_line].concat() } else { [new_line, &line].concat() };
    Ok((spliced(bytes, end..end, &piece), Some(change(None, &piece))))
}

/// The same file with another program behind some services, without arguments.
///
/// # Errors
/// When the file cannot be read.
pub fn with_command(path: &Path, bytes: &[u8], which: &dyn Fn(&Entry) -> bool, command: &str) -> Result<Vec<u8>, Unreadable> {
    let mut edited = bytes.to_vec();
    // From the last to the first: what comes before keeps its place.
    for entry in read(path, bytes)?.iter().rev().filter(|e| which(e)) {
        let Some(word) = tokens(bytes, &entry.at).and_then(|all| all.get(7).cloned()) else { continue };
        let end = entry.at.span().end;
        let rest = word.start..end - line_end(&bytes[word.start..end]).len();
        edited = spliced(&edited, rest, command.as_bytes());
    }
    Ok(edited)
}

/// The whitespace before `at`, where nothing else stands before it in its line.
fn own_line(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let before = &bytes[start..at];
    (!before.is_empty() && before.iter().all(|b| is_space(*b))).then_some(before)
}

/// Takes one change back, where the setting still is as the change left it. Lines that cannot be read are passed over: undo
/// works on a broken file.
#[must_use]
pub fn restore(path: &Path, bytes: &[u8], change: &SettingChange) -> Restored {
    let entries: Vec<Entry> = lines::logical(bytes).into_iter().flat_map(|at| entry(path, bytes, at)).collect();
    let left = change.becomes.as_ref().map(|r| r.0.as_slice()).unwrap_or_default();
    let Some(entry) = entries.iter().rfind(|e| change.service.as_deref() == Some(&e.id)) else { return Restored::Conflict(0) };
    let Some(now) = entry.options.iter().rfind(|o| o.name == change.name) else {
        return if change.was.is_none() { Restored::Already } else { Restored::Conflict(entry.line) };
    };
    let word = &bytes[now.at.clone()];
    match &change.was {
        Some(was) if word == was.0 => Restored::Already,
        Some(was) if word == left => Restored::Done(spliced(bytes, now.at.clone(), &was.0)),
        None if left.trim_ascii().strip_prefix(b"-o ") == Some(word) => {
            let (lead, tail) = (line_lead(left), line_end(left).len());
            let line_start = now.flag_at - own_line(bytes, now.flag_at).map_or(0, <[u8]>::len);
            let alone = bytes[now.at.end..].split_inclusive(|b| *b == b'\n').next().is_none_or(|rest| rest.trim_ascii().is_empty());
            if own_line(bytes, now.flag_at).is_none() || !alone {
                let gap = bytes[..now.flag_at].iter().rposition(|b| !is_space(*b)).map_or(0, |i| i + 1);
                let from = if own_line(bytes, now.flag_at).is_some() { now.flag_at } else { gap };
                return Restored::Done(spliced(bytes, from..now.at.end, b""));
            }
            let range = if lead > 0 && bytes[..line_start].ends_with(&left[..lead]) {
                line_start - lead..now.at.end
            } else {
                let rest = &bytes[now.at.end..];
                let end = if tail > 0 || lead > 0 { rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |i| i + 1) } else { 0 };
                line_start..now.at.end + end
            };
            Restored::Done(spliced(bytes, range, b""))
        }
        _ => Restored::Conflict(now.line),
    }
}

fn line_lead(piece: &[u8]) -> usize {
    if piece.starts_with(b"\r\n") { 2 } else { usize::from(piece.starts_with(b"\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "smtp inet n - y - - smtpd\n# c\n\n  -o smtpd_tls_security_level=\n\t-o { a = b c }\nsubmission inet n - - - - smtpd -o x=y -v -oq=r\n  -o\n  z=1\n[::1]:465 inet n - n - - smtpd\nmaildrop unix - n n - - pipe\n  flags=DR user=vmail argv=/usr/bin/maildrop -d ${recipient}\n";

    #[test]
    fn services_are_those_of_postfix() {
        let all = read(Path::new("master.cf"), FILE.as_bytes()).expect("services");
        let got: Vec<_> = all.iter().map(|e| (e.id.as_str(), e.command.as_str(), e.chroot, e.line)).collect();
        assert_eq!(
            got,
            [
                ("smtp/inet", "smtpd", Some(true), 1),
                ("submission/inet", "smtpd", None, 6),
                ("[::1]:465/inet", "smtpd", Some(false), 9),
                ("maildrop/unix", "pipe", Some(false), 10)
            ]
        );
        let options = |n: usize| all[n].options.iter().map(|o| (o.name.as_str(), o.value.as_str(), o.line)).collect::<Vec<_>>();
        assert_eq!(options(0), [("smtpd_tls_security_level", "", 4), ("a", "b c", 5)]);
        assert_eq!(options(1), [("x", "y", 6), ("q", "r", 6), ("z", "1", 8)]);
        let e = read(Path::new("/p/master.cf"), b"# c\nsmtp inet n\n").expect_err("too short").to_string();
        assert!(e.starts_with("/p/master.cf:2: a service has eight fields"), "{e}");
    }

    #[test]
    fn edits_touch_their_own_word() {
        for (before, service, name, after) in [
            ("s inet n - y - - smtpd\n", "s/inet", "k", "s inet n - y - - smtpd\n  -o k=new\n"),
            ("s inet n - y - - smtpd", "s/inet", "k", "s inet n - y - - smtpd\n  -o k=new"),
            ("s inet n - y - - smtpd\r\n", "s/inet", "k", "s inet n - y - - smtpd\r\n  -o k=new\r\n"),
            (
                "s inet n - y - - smtpd\n\t-o a=b\n# -o k=old\n\nt unix - - - - - x\n",
                "s/inet",
                "k",
                "s inet n - y - - smtpd\n\t-o a=b\n\t-o k=new\n# -o k=old\n\nt unix - - - - - x\n",
            ),
            ("s inet n - y - - smtpd -o k=1 -o k=2 -v\n", "s/inet", "k", "s inet n - y - - smtpd -o k=1 -o k=new -v\n"),
            ("s inet n - y - - smtpd -ok=1\n", "s/inet", "k", "s inet n - y - - smtpd -ok=new\n"),
            ("s inet n - y - - smtpd\n -o { k = a b }\n", "s/inet", "k", "s inet n - y - - smtpd\n -o { k = new }\n"),
            ("s inet n - y - - smtpd\n -o\n# c\n k=1\n", "s/inet", "k", "s inet n - y - - smtpd\n -o\n# c\n k=new\n"),
        ] {
            let path = Path::new("master.cf");
            let (edited, change) = set(path, before.as_bytes(), service, name, "new", "why").expect("an edit");
            assert_eq!(String::from_utf8_lossy(&edited), after, "{before:?}");
            assert_eq!(restore(path, &edited, &change.expect("a change")), Restored::Done(before.into()), "{before:?}");
        }
        assert!(set(Path::new("m"), FILE.as_bytes(), "smtps/inet", "k", "v", "").is_err());
    }

    #[test]
    fn undo_keeps_what_others_changed() {
        let path = Path::new("master.cf");
        let before = "s inet n - y - - smtpd -o r=1\n";
        let added = set(path, before.as_bytes(), "s/inet", "k", "new", "").expect("an edit").1.expect("a change");
        let replaced = set(path, before.as_bytes(), "s/inet", "r", "2", "").expect("an edit").1.expect("a change");
        let done = |t: &str| Restored::Done(t.into());
        for (now, change, want) in [
            ("s inet n - y - - smtpd -o r=1\n  -o k=new\n  -o l=1\n", &added, done("s inet n - y - - smtpd -o r=1\n  -o l=1\n")),
            ("s inet n - y - - smtpd -o r=1\n  -o k=new -o l=1\n", &added, done("s inet n - y - - smtpd -o r=1\n   -o l=1\n")),
            ("s inet n - y - - smtpd -o r=1 -o k=new\n", &added, done("s inet n - y - - smtpd -o r=1\n")),
            ("s inet n - y - - smtpd -o r=1\n  -o k=other\n", &added, Restored::Conflict(2)),
            (before, &added, Restored::Already),
            ("t inet n - y - - smtpd\n", &added, Restored::Conflict(0)),
            ("s inet n - n - - smtpd -o r=2\n", &replaced, done("s inet n - n - - smtpd -o r=1\n")),
            ("s inet n - n - - smtpd -o r=3\n", &replaced, Restored::Conflict(1)),
            ("s inet n - n - - smtpd\n", &replaced, Restored::Conflict(1)),
        ] {
            assert_eq!(restore(path, now.as_bytes(), change), want, "{now:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_in_peace(file: Vec<u8>, tail in "[ \\t\\r\\n{}a-z=#o-]{0,30}") {
            let path = Path::new("master.cf");
            let _ = read(path, &file);
            let file = [b"s inet n - y - - smtpd ".as_slice(), tail.as_bytes()].concat();
            if let Ok((edited, Some(change))) = set(path, &file, "s/inet", "k", "v", "why") {
                prop_assert_eq!(restore(path, &edited, &change), Restored::Done(file));
            }
        }
    }
}
