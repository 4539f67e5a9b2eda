//! The form that the TXT records of MTA-STS and TLSRPT share: a version, then fields between semicolons.

use super::Remarks;

/// One field, without the white space around it.
pub(super) type Field<'a> = (&'a str, &'a str);

const fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Whether a text is a record of this version at all: others at the same name are not looked at (RFC 8461 §3.1, RFC 8460 §3).
pub(super) fn begins(text: &str, version: &str) -> bool {
    text.strip_prefix(version).is_some_and(|rest| rest.trim_start_matches(blank).starts_with(';'))
}

/// The fields of a record that [`begins`] so. What is no field is told and left out.
pub(super) fn fields<'a>(text: &'a str, version: &str, section: &'static str, remarks: &mut Remarks) -> Vec<Field<'a>> {
    let rest = text.strip_prefix(version).unwrap_or(text);
    if rest.starts_with(blank) {
        remarks.warn(
            0,
            section,
            format!("there is white space between {version} and its semicolon: the grammar allows it, but senders that look for \"{version};\" discard the record"),
        );
    }
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(';').unwrap_or(rest);
    let mut parts: Vec<&str> = rest.split(';').collect();
    let last = parts.pop().unwrap_or_default();
    let last_trimmed = last.trim_matches(blank);
    // Nothing but white space behind the final semicolon belongs to that semicolon.
    if !last_trimmed.is_empty() {
        if last.ends_with(blank) {
            remarks.fail(0, section, "there is white space behind the last field: strict senders refuse that, though most accept it");
        }
        parts.push(last);
    }
    if parts.is_empty() {
        remarks.fail(0, section, "there is no field behind the version");
    }
    let mut found = Vec::new();
    for part in parts {
        let field = part.trim_matches(blank);
        match field.split_once('=') {
            _ if field.is_empty() => remarks.fail(0, section, "there is an empty field, two semicolons in a row"),
            Some((name, value)) if is_name(name) => found.push((name, value)),
            Some((name, _)) => remarks.fail(0, section, format!("{name:?} is no name of a field")),
            None => remarks.fail(0, section, format!("{field:?} is no field: it has no \"=\"")),
        }
    }
    found
}

/// The name of an extension field: a letter or digit, then at most 31 of those, `_`, `-` and `.`.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() <= 32
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The value of an extension field: printable, without `;` and `=`.
pub(super) fn is_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| matches!(b, 0x21..=0x3a | 0x3c | 0x3e..=0x7e))
}
