//! A settings file that cannot be used, shown where it is wrong.

use crate::topics::Explained;
use std::{fmt, io, ops::Range, path::PathBuf};

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{}: {source}; give another file with {flag}", .path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// The flag that names it.
        flag: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}:{place}\nThe keys and their values are described in mxseal.toml(5).", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        place: Place,
    },
}

impl Explained for Unusable {
    fn topic(&self) -> &'static str {
        "settings-unusable"
    }
}

/// A place in a text, and what is wrong there. Shown as line and column, both from 1, with the line and a caret below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    line: usize,
    column: usize,
    shown: String,
    carets: usize,
    why: String,
}

impl Place {
    /// The place of these bytes in `text`; `None` is its end.
    pub(crate) fn of(text: &str, span: Option<Range<usize>>, why: impl Into<String>) -> Self {
        let span = span.unwrap_or(text.len()..text.len());
        let before = text.get(..span.start).unwrap_or(text);
        let begins = before.rfind('\n').map_or(0, |at| at + 1);
        let shown = text[begins..].lines().next().unwrap_or_default();
        let meant = text.get(span).and_then(|t| t.lines().next()).unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: before[begins..].chars().count() + 1,
            shown: shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
            carets: meant.chars().count().max(1),
            why: why.into().trim().replace('\n', ", "),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, shown, carets, why } = self;
        let (number, blank) = (line.to_string(), " ".repeat(column - 1));
        let margin = " ".repeat(number.len());
        write!(f, "{line}:{column}: {why}\n {margin} |\n {number} | {shown}\n {margin} | {blank}{}", "^".repeat(*carets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below() {
        for (text, span, expected) in [
            ("a = 1\nbü = zz\n", Some(12..14), "2:6: no\n   |\n 2 | bü = zz\n   |      ^^"),
            ("a = 1", Some(0..0), "1:1: no\n   |\n 1 | a = 1\n   | ^"),
            ("a = [\n1,\n", None, "3:1: no\n   |\n 3 | \n   | ^"),
            ("a =\t1\r\n", Some(4..5), "1:5: no\n   |\n 1 | a = 1\n   |     ^"),
            ("a = [\n1,\n]\n", Some(4..10), "1:5: no\n   |\n 1 | a = [\n   |     ^"),
        ] {
            assert_eq!(Place::of(text, span, "no").to_string(), expected, "{text:?}");
        }
    }
}
