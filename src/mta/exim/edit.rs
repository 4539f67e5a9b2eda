//! Edits of one file of the main section. A macro or an option that is set twice is fatal, so one that is there is edited in
//! place; a new option comes before the first `begin`, for below it everything belongs to drivers.

use super::{by_name, is_plain, lines::entries, list};
use crate::{
    change::{Raw, SettingChange},
    mta::{
        lines::{Restored, Unreadable, line_end_of, spliced},
        main_cf,
    },
};
use std::path::Path;

/// Sets a macro (its name begins with a capital letter) or an option.
pub(in crate::mta) fn set(
    path: &Path,
    bytes: &[u8],
    name: &str,
    value: &str,
    why: &str,
) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let wrong = |line: usize, why: String| Unreadable { path: path.to_owned(), line, why };
    let parts = match by_name::read(value) {
        Some((by_name, others)) => by_name.into_iter().flat_map(|(name, files)| [name, files]).chain([others]).collect(),
        None => vec![value.to_owned()],
    };
    let plain = !value.contains(char::is_control)
        && parts.iter().flat_map(|part| list(part)).all(|item| ["*", "yes"].contains(&item.as_str()) || is_plain(Path::new(&item)));
    if !plain {
        let why = format!("the value of {name} would be expanded by Exim; choose a path of letters, digits, `/`, `.`, `_` and `-`");
        return Err(wrong(0, why));
    }
    let (all, end) = entries(bytes);
    let mut same = all.iter().filter(|e| e.name == name);
    if let (Some(_), Some(second)) = (same.next(), same.next()) {
        return Err(wrong(second.line, format!("{name} is set at several places under conditions; set TLS up by hand")));
    }
    if all.iter().any(|e| e.name == name) || end == bytes.len() {
        let (edited, change) = main_cf::set_in(&all, bytes, name, value, why);
        // What is written below a backslash is part of the line above.
        if !entries(&edited).0.iter().any(|e| e.name == name) {
            let last = bytes.split_inclusive(|b| *b == b'\n').count();
            return Err(wrong(last, format!("the file ends within a line that a backslash continues, so {name} cannot be set below it")));
        }
        return Ok((edited, change));
    }
    let line = [format!("{name} = {value}").as_bytes(), line_end_of(bytes)].concat();
    let change = SettingChange { service: None, name: name.to_owned(), was: None, becomes: Some(Raw(line.clone())), why: why.to_owned() };
    Ok((spliced(bytes, end..end, &line), Some(change)))
}

pub(in crate::mta) fn restore(bytes: &[u8], change: &SettingChange) -> Restored {
    main_cf::restore_in(&entries(bytes).0, bytes, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_edited_in_place_or_before_the_first_begin() {
        let path = Path::new("configure");
        for (name, before, after) in [
            ("M", "", "M = /x\n"),
            ("M", "# c\nA = b\n", "# c\nA = b\nM = /x\n"),
            ("M", "M=/old\nA = b\n", "M=/x\nA = b\n"),
            ("M", "M = /old\\\n  /older\nA = b", "M = /x\nA = b"),
            ("M", "M ==  /old\n", "M ==  /x\n"),
            ("o", "a = b\n\nbegin acl\no = /driver\n", "a = b\n\no = /x\nbegin acl\no = /driver\n"),
            ("o", "a = b\n  o =  /old\nbegin acl\n", "a = b\n  o =  /x\nbegin acl\n"),
            ("o", "hide o = /old\nbegin acl\n", "hide o = /x\nbegin acl\n"),
            ("o", "a = b\r\nbegin acl\r\n", "a = b\r\no = /x\r\nbegin acl\r\n"),
            ("o", "a = b", "a = b\no = /x"),
            ("o", "begin acl\no = /driver", "o = /x\nbegin acl\no = /driver"),
        ] {
            let (got, change) = set(path, before.as_bytes(), name, "/x", "why").expect("an edit");
            assert_eq!(String::from_utf8_lossy(&got), after, "{before:?}");
            assert_eq!(restore(&got, &change.expect("a change")), Restored::Done(before.into()), "{before:?}");
        }
        for open in [&b"a = b\\"[..], b"a = b \\\n", b"a = b \\\n# c\n"] {
            assert!(set(path, open, "o", "/x", "why").is_err(), "{:?}", String::from_utf8_lossy(open));
        }
        let (got, _) = set(path, b"o = /a\n", "o", "/x.rsa : /x.ec", "why").expect("an edit");
        assert_eq!(got, b"o = /x.rsa : /x.ec\n");
        let two = "${if eqi{$tls_in_sni}{mx2.example.org}{/b.ec : /b.rsa}{/a.ec : /a.rsa}}";
        assert_eq!(set(path, b"o = /a\n", "o", two, "why").expect("an edit").0, format!("o = {two}\n").as_bytes());
        for value in ["/x${run{/bin/sh}}", "/x\n", "/a b"] {
            assert!(set(path, b"", "M", value, "why").is_err(), "{value}");
        }
        assert!(set(path, b".ifdef A\no = /a\n.else\no = /b\n.endif\n", "o", "/x", "why").is_err());
    }
}
