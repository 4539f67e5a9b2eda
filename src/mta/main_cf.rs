//! `main.cf`, read as Postfix reads it and edited without touching a byte that is not meant (postconf(5)).

use super::lines::{self, Logical, Restored, Unreadable, is_space, line_end, spliced};
use crate::change::{Raw, SettingChange};
use std::path::Path;

/// One `name = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The value, not expanded; whitespace at line ends made one space.
    pub value: String,
    /// Its first line, from 1.
    pub line: usize,
    pub(super) at: Logical,
    /// Offset in the file where the value begins; the end of the first line where that holds none.
    pub(super) value_at: usize,
}

/// Every setting in order; of several with one name the last counts.
///
/// # Errors
/// When a line is no setting: Postfix refuses such a file too.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    each(path, bytes).collect()
}

fn each(path: &Path, bytes: &[u8]) -> impl Iterator<Item = Result<Entry, Unreadable>> {
    lines::logical(bytes).into_iter().map(|at| {
        let offsets = at.offsets(bytes);
        let text: Vec<u8> = offsets.iter().map(|i| bytes[*i]).collect();
        let wrong = |why: &str| Unreadable { path: path.to_owned(), line: at.line, why: why.to_owned() };
        let equals = text.iter().position(|b| *b == b'=').ok_or_else(|| wrong("no `=` after the name of the setting"))?;
        let name = text[..equals].trim_ascii_end();
        if name.is_empty() || name.iter().any(|b| is_space(*b)) {
            return Err(wrong("no single name before the `=`"));
        }
        let first_end = at.parts[0].end - line_end(&bytes[at.parts[0].clone()]).len();
        let value_at = (equals + 1..text.len()).find(|i| !is_space(text[*i])).map_or(first_end, |i| offsets[i].min(first_end));
        let (name, value) = (lines::words(name), lines::words(&text[equals + 1..]));
        Ok(Entry { name, value, line: at.line, at, value_at })
    })
}

/// Sets one value: in the last, effective line of that name, or in a new line at the end. `None` where it is so already.
/// The piece that is recorded holds the comments between the lines of a longer value too; they are kept behind the new line.
///
/// # Errors
/// When the file cannot be read, or the value cannot stand in a line.
pub fn set(path: &Path, bytes: &[u8], name: &str, value: &str, why: &str) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(Unreadable { path: path.to_owned(), line: 0, why: format!("the value of {name} would not stay in one line") });
    }
    Ok(set_in(&read(path, bytes)?, bytes, name, value, why))
}

/// The same for any file of `name = value` lines.
pub(super) fn set_in(entries: &[Entry], bytes: &[u8], name: &str, value: &str, why: &str) -> (Vec<u8>, Option<SettingChange>) {
    let change = |was: Option<&[u8]>, becomes: &[u8]| SettingChange {
        service: None,
        name: name.to_owned(),
        was: was.map(|w| Raw(w.to_vec())),
        becomes: Some(Raw(becomes.to_vec())),
        why: why.to_owned(),
    };
    let Some(entry) = entries.iter().rfind(|e| e.name == name) else {
        let end = lines::line_end_of(bytes);
        let line = format!("{name} = {value}").into_bytes();
        let closed = bytes.is_empty() || bytes.ends_with(b"\n");
        let piece = if closed { [&line, end].concat() } else { [end, &line].concat() };
        return ([bytes, &piece].concat(), Some(change(None, &piece)));
    };
    if entry.value == value {
        return (bytes.to_vec(), None);
    }
    let span = entry.at.span();
    let (first, last) = (&bytes[entry.at.parts[0].clone()], &bytes[entry.at.parts[entry.at.parts.len() - 1].clone()]);
    let head = bytes[span.start..entry.value_at].trim_ascii_end();
    let gap = &bytes[span.start + head.len()..entry.value_at];
    let between = entry.at.between(bytes);
    let mut piece = head.to_vec();
    // The sign may stand in a line below the name's.
    if !piece.contains(&b'=') {
        piece.extend(b" =");
    }
    if !value.is_empty() {
        piece.extend(if gap.is_empty() && piece.ends_with(b" =") { b" " } else { gap });
        piece.extend(value.as_bytes());
    }
    if between.is_empty() {
        piece.extend(line_end(last));
    } else {
        piece.extend(line_end(first));
        piece.extend(&between);
        if line_end(last).is_empty() {
            piece.truncate(piece.len() - line_end(&between).len());
        }
    }
    let edited = spliced(bytes, span.clone(), &piece);
    (edited, Some(change(Some(&bytes[span]), &piece)))
}

/// Takes one change back, where the setting still is as the change left it. Lines that cannot be read are passed over: undo
/// works on a broken file.
#[must_use]
pub fn restore(path: &Path, bytes: &[u8], change: &SettingChange) -> Restored {
    restore_in(&each(path, bytes).flatten().collect::<Vec<_>>(), bytes, change)
}

/// The same for any file of `name = value` lines.
pub(super) fn restore_in(entries: &[Entry], bytes: &[u8], change: &SettingChange) -> Restored {
    let now = entries.iter().rfind(|e| e.name == change.name);
    let was = change.was.as_ref().map(|r| r.0.as_slice());
    let Some(left) = change.becomes.as_ref().map(|r| r.0.as_slice()) else {
        return match (now, was) {
            (None, Some(was)) => {
                let gap: &[u8] = if bytes.is_empty() || bytes.ends_with(b"\n") { b"" } else { lines::line_end_of(bytes) };
                Restored::Done([bytes, gap, was].concat())
            }
            (Some(e), _) => Restored::Conflict(e.line),
            (None, None) => Restored::Already,
        };
    };
    let Some(now) = now else { return if was.is_none() { Restored::Already } else { Restored::Conflict(0) } };
    let span = now.at.span();
    if was.is_some_and(|w| bytes[span.clone()] == *w) {
        return Restored::Already;
    }
    // A piece that was put behind a file without a final line end begins with one.
    let lead = if left.starts_with(b"\r\n") { 2 } else { usize::from(left.starts_with(b"\n")) };
    let core = &left[lead..];
    let with_lead = span.start - if bytes[..span.start].ends_with(&left[..lead]) { lead } else { 0 };
    let ends_there = |end: usize| end >= span.end || (end == span.end - line_end(&bytes[span.clone()]).len());
    if bytes[span.start..].starts_with(core) && ends_there(span.start + core.len()) {
        return Restored::Done(spliced(bytes, with_lead..span.start + core.len(), was.unwrap_or_default()));
    }
    // The line is ours, what stands around it is not any more: the setting goes back, its surroundings stay.
    let mine = core.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
    if now.at.parts.len() == 1 && bytes[span.clone()].trim_ascii_end() == mine.trim_ascii_end() {
        let back: Vec<u8> =
            was.map_or_else(Vec::new, |w| lines::logical(w).iter().flat_map(|l| l.parts.clone()).flat_map(|p| w[p].to_vec()).collect());
        let (start, end) = if was.is_none() {
            (with_lead, span.end - if with_lead < span.start { line_end(&bytes[span]).len() } else { 0 })
        } else {
            (span.start, span.end)
        };
        return Restored::Done(spliced(bytes, start..end, &back));
    }
    Restored::Conflict(now.line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(text: &str, name: &str, value: &str) -> (String, SettingChange) {
        let (bytes, change) = set(Path::new("main.cf"), text.as_bytes(), name, value, "why").expect("an edit");
        (String::from_utf8(bytes).expect("text"), change.expect("a change"))
    }

    #[test]
    fn values_are_those_of_postfix() {
        let text = b" indented = ignored\n\tstill ignored\nfoo = a\n# c\n\n  b\r\nbar=${x}\n  \n\tmore \nempty =\nfoo2=\xe4\nfoo = last";
        let got: Vec<_> = read(Path::new("main.cf"), text).expect("settings").into_iter().map(|e| (e.name, e.value, e.line)).collect();
        let want = [("foo", "a b", 3), ("bar", "${x} more", 7), ("empty", "", 10), ("foo2", "ä", 11), ("foo", "last", 12)];
        assert_eq!(got, want.map(|(n, v, l)| (n.to_owned(), v.to_owned(), l)));
        let e = read(Path::new("/x/main.cf"), b"a = b\nnonsense\n").expect_err("no setting").to_string();
        assert_eq!(e, "/x/main.cf:2: no `=` after the name of the setting");
    }

    #[test]
    fn edits_touch_their_own_line() {
        for (before, after) in [
            ("", "k = new\n"),
            ("a = b", "a = b\nk = new"),
            ("a = b\r\nc = d", "a = b\r\nc = d\r\nk = new"),
            ("a = b\r\n", "a = b\r\nk = new\r\n"),
            ("k\n = old\n", "k = new\n"),
            ("k\n# c\n\t=\n old\n", "k = new\n# c\n"),
            ("k=old\n#c\n", "k=new\n#c\n"),
            ("k = 1\nx = y\nk =  2\nz = 1\n", "k = 1\nx = y\nk =  new\nz = 1\n"),
            ("k =\n  /a,\n# the other\n\n  /b\nz = 1\n", "k = new\n# the other\n\nz = 1\n"),
            ("k =\r\n  /a\r\nz = 1", "k = new\r\nz = 1"),
            ("k = /a\n# c\n  /b", "k = new\n# c"),
            ("k =", "k = new"),
            (" k = ignored\n", " k = ignored\nk = new\n"),
        ] {
            let (got, change) = put(before, "k", "new");
            assert_eq!(got, after, "{before:?}");
            assert_eq!(restore(Path::new("main.cf"), got.as_bytes(), &change), Restored::Done(before.into()), "{before:?}");
        }
        assert_eq!(set(Path::new("m"), b"k = a\n\t b\n", "k", "a b", "").expect("same").1, None);
        assert!(set(Path::new("m"), b"", "k", "a\nevil = 1", "").is_err());
    }

    #[test]
    fn undo_keeps_what_others_changed() {
        let was = "k = old\nx = 1\n";
        let (_, replaced) = put(was, "k", "new");
        let (_, added) = put("x = 1", "k", "new");
        let (_, long) = put("k = a\n# c\n b\n", "k", "new");
        let done = |t: &str| Restored::Done(t.into());
        for (now, change, want) in [
            ("k = new\nx = 2\ny = 3\n", &replaced, done("k = old\nx = 2\ny = 3\n")),
            ("k = other\nx = 1\n", &replaced, Restored::Conflict(1)),
            ("k = new\n  , more\nx = 1\n", &replaced, Restored::Conflict(1)),
            ("k = new\nx = 1\nk = late\n", &replaced, Restored::Conflict(3)),
            ("x = 1\n", &replaced, Restored::Conflict(0)),
            ("k = old\nx = 1\n", &replaced, Restored::Already),
            ("x = 1\nk = new\ny = 2\n", &added, done("x = 1\ny = 2\n")),
            ("x = 1\n# why\nk = new\ny = 2\n", &added, done("x = 1\n# why\ny = 2\n")),
            ("x = 1\n", &added, Restored::Already),
            ("nonsense\nk = new\nx = 1\n", &replaced, done("nonsense\nk = old\nx = 1\n")),
            ("k = new\n# changed comment\nz = 1\n", &long, done("k = a\n b\n# changed comment\nz = 1\n")),
        ] {
            assert_eq!(restore(Path::new("main.cf"), now.as_bytes(), change), want, "{now:?}");
        }
    }

    fn lines_of_a_file() -> impl Strategy<Value = Vec<u8>> {
        let pieces: [&[u8]; 11] =
            [b"k = v", b"k=", b"x = \xe4 y", b"  cont", b"\tk = v", b"# c", b"  # c", b"", b"  ", b"k =  a,b", b"kk=${k}"];
        let ends: [&[u8]; 3] = [b"\n", b"\n", b"\r\n"];
        let (piece, end) = (prop::sample::select(pieces.to_vec()), prop::sample::select(ends.to_vec()));
        (prop::collection::vec((piece, end), 0..8), any::<bool>()).prop_map(|(lines, closed)| {
            let mut all: Vec<u8> = lines.iter().flat_map(|(p, e)| [*p, *e].concat()).collect();
            if !closed {
                let cut = line_end(&all).len();
                all.truncate(all.len() - cut);
            }
            all
        })
    }

    proptest! {
        #[test]
        fn set_then_undo_is_identity(file in lines_of_a_file(), value in "[a-z/]{0,4}") {
            let path = Path::new("main.cf");
            let (edited, change) = set(path, &file, "k", &value, "why").expect("an edit");
            let got = read(path, &edited).expect("still readable");
            prop_assert_eq!(got.iter().rfind(|e| e.name == "k").map(|e| e.value.clone()), Some(value));
            let others = |b: &[u8]| read(path, b).expect("readable").into_iter().filter(|e| e.name != "k").map(|e| (e.name, e.value)).collect::<Vec<_>>();
            prop_assert_eq!(others(&file), others(&edited));
            if let Some(change) = change {
                prop_assert_eq!(restore(path, &edited, &change), Restored::Done(file));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused_in_peace(file: Vec<u8>) {
            let all = lines::logical(&file);
            prop_assert!(all.windows(2).all(|w| w[0].span().end <= w[1].span().start));
            if let Ok((edited, Some(change))) = set(Path::new("main.cf"), &file, "k", "v", "why") {
                prop_assert_eq!(restore(Path::new("main.cf"), &edited, &change), Restored::Done(file));
            }
        }
    }
}
