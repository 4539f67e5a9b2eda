//! The lines of a main section: macros, options and conditions, with their places, whether they count or not.

use crate::mta::{
    lines::{Logical, words},
    main_cf::Entry,
};

/// The option that names files with certificates.
pub(super) const CERTIFICATE: &str = "tls_certificate";
/// ... with their keys.
pub(super) const KEY: &str = "tls_privatekey";
/// ... whom TLS is offered.
pub(super) const ADVERTISE: &str = "tls_advertise_hosts";

/// The options that decide about TLS.
pub(super) const OPTIONS: [&str; 4] = [CERTIFICATE, KEY, ADVERTISE, "log_selector"];

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `NAME = value`.
    Macro,
    /// Defined with `==`: it may be defined already.
    MacroAgain,
    /// `name = value`.
    Option,
}

/// The macros and options of one file before its first `begin`, whether they count or not, with their places; and the offset
/// where that section ends.
pub(super) fn entries(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut found = Vec::new();
    for line in logical(bytes) {
        if joined(bytes, &line).split_whitespace().next() == Some("begin") {
            return (found, line.span().start);
        }
        found.extend(entry(bytes, line).map(|(_, entry)| entry));
    }
    (found, bytes.len())
}

/// What one logical line of a main section is.
pub(super) enum Line {
    /// `.ifdef` and its relatives.
    Directive(String),
    /// The end of the section.
    Begin(String),
    /// A macro or an option; `true` where it is set with `==`.
    Entry(Entry, bool),
    /// A list or another statement.
    Other,
}

/// The logical lines of a main section, each with its number from 1.
pub(super) fn lines(bytes: &[u8]) -> Vec<(usize, Line)> {
    let mut all = Vec::new();
    for line in logical(bytes) {
        let (text, number) = (joined(bytes, &line), line.line);
        if text.starts_with('.') {
            all.push((number, Line::Directive(text)));
        } else if text.split_whitespace().next() == Some("begin") {
            all.push((number, Line::Begin(text)));
            break;
        } else {
            all.push((number, entry(bytes, line).map_or(Line::Other, |(kind, e)| Line::Entry(e, kind == Kind::MacroAgain))));
        }
    }
    all
}

/// Words of conditions: what may be a macro that is defined elsewhere.
pub(super) fn conditions(bytes: &[u8]) -> String {
    let lines = logical(bytes).into_iter().map(|l| joined(bytes, &l));
    lines.filter(|l| l.starts_with(".if") || l.starts_with(".elif")).collect::<Vec<_>>().join(" ")
}

/// A line that begins with a dot: its word and the rest.
pub(super) fn directive(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    text.starts_with('.').then(|| text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim())))
}

/// Logical lines: a backslash at the end goes on with the next line; comments between are passed over.
pub(super) fn logical(bytes: &[u8]) -> Vec<Logical> {
    let (mut all, mut open): (Vec<Logical>, Option<Logical>) = (Vec::new(), None);
    let mut at = 0;
    for (number, text) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let part = at..at + text.len();
        at = part.end;
        let trimmed = text.trim_ascii();
        if trimmed.starts_with(b"#") || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let mut whole = open.take().unwrap_or(Logical { line: number + 1, parts: Vec::new() });
        whole.parts.push(part);
        if trimmed.ends_with(b"\\") {
            open = Some(whole);
        } else {
            all.push(whole);
        }
    }
    all.extend(open);
    all
}

/// The words of a logical line.
pub(super) fn joined(bytes: &[u8], line: &Logical) -> String {
    let part = |p: &std::ops::Range<usize>| {
        let text = bytes[p.clone()].trim_ascii();
        text.strip_suffix(b"\\").unwrap_or(text).to_vec()
    };
    words(&line.parts.iter().map(part).collect::<Vec<_>>().concat())
}

/// `NAME = value` or `name = value`; a capital letter begins the name of a macro. Lists and other statements are none.
pub(super) fn entry(bytes: &[u8], line: Logical) -> Option<(Kind, Entry)> {
    let first = &bytes[line.parts[0].clone()];
    let equals = first.iter().position(|b| *b == b'=')?;
    let left = words(&first[..equals]);
    let name = left.strip_prefix("hide ").unwrap_or(&left);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let kind = match (name.starts_with(|c: char| c.is_ascii_uppercase()), first.get(equals + 1)) {
        (true, Some(b'=')) => Kind::MacroAgain,
        (true, _) => Kind::Macro,
        (false, _) => Kind::Option,
    };
    let again = usize::from(kind == Kind::MacroAgain);
    let value = joined(bytes, &line).split_once('=').map(|(_, v)| v[again..].trim().to_owned())?;
    let rest = &first[equals + 1 + again..];
    let end = first.len() - rest.len() + rest.trim_ascii_end().len();
    let lead = rest.len() - rest.trim_ascii_start().len();
    let value_at = line.parts[0].start + (equals + 1 + again + lead).min(end.max(equals + 1 + again));
    Some((kind, Entry { name: name.to_owned(), value, line: line.line, at: line, value_at }))
}
