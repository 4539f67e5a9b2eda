//! Statements of smtpd.conf(5) with their places. A backslash at the end of a line goes on with the next one, in comments
//! too; within braces a line end is a blank; smtpd reads no carriage returns.

use crate::mta::lines::Unreadable;
use std::{ops::Range, path::Path};

/// One word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Its text without quotes; of a macro its name behind a `$`.
    pub(super) text: String,
    /// Its bytes in the file, quotes included.
    pub(super) at: Range<usize>,
    pub(super) quoted: bool,
}

impl Word {
    /// The name of the macro that stands here.
    pub(super) fn macro_name(&self) -> Option<&str> {
        self.text.strip_prefix('$').filter(|_| !self.quoted)
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its first line, from 1.
    pub(super) line: usize,
    /// Its whole lines, comments behind it and the last line end included.
    pub(super) span: Range<usize>,
    pub(super) words: Vec<Word>,
}

impl Statement {
    /// Whether the statement begins with these words.
    pub(super) fn begins(&self, with: &[&str]) -> bool {
        self.words.len() >= with.len() && with.iter().zip(&self.words).all(|(a, b)| b.text == *a && !b.quoted)
    }

    /// What `listen on` is followed by, where the statement is one of a network socket.
    pub(super) fn listens(&self) -> Option<&[Word]> {
        let rest = self.words.get(2..).filter(|_| self.begins(&["listen", "on"]))?;
        rest.first().filter(|w| w.text != "socket").map(|_| rest)
    }

    /// The server has no name for a listener: its address, family and port, as they are written.
    pub(super) fn listener(&self) -> Option<String> {
        let words = self.listens()?;
        let mut name = format!("listen on {}", words.first()?.text);
        for (place, word) in words.iter().enumerate().skip(1) {
            match word.text.as_str() {
                "inet4" | "inet6" | "smtps" => name.push_str(&format!(" {}", word.text)),
                "port" => name.push_str(&format!(" port {}", words.get(place + 1).map_or("", |w| w.text.as_str()))),
                _ => {}
            }
        }
        Some(name)
    }
}

/// Every statement in order.
///
/// # Errors
/// When smtpd would not read the file either; the line is named.
pub(super) fn statements(path: &Path, bytes: &[u8]) -> Result<Vec<Statement>, Unreadable> {
    let (mut all, mut words): (Vec<Statement>, Vec<Word>) = (Vec::new(), Vec::new());
    let (mut at, mut depth, mut begun) = (0, 0_usize, 0);
    let line_of = |at: usize| bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
    let wrong = |at: usize, why: &str| Unreadable { path: path.to_owned(), line: line_of(at), why: why.to_owned() };
    loop {
        let next = bytes.get(at).copied();
        let Some(first) = next.filter(|b| *b != b'\n' || depth > 0) else {
            let end = (at + 1).min(bytes.len());
            if !words.is_empty() {
                all.push(Statement { line: line_of(begun), span: line_start(bytes, begun)..end, words: std::mem::take(&mut words) });
            }
            match next {
                None if depth > 0 => return Err(wrong(begun, "a brace is opened and not closed")),
                None => return Ok(all),
                Some(_) => at = end,
            }
            continue;
        };
        match first {
            _ if folded(bytes, at) => at += 2,
            b' ' | b'\t' | b'\n' => at += 1,
            b'\r' => return Err(wrong(at, "the line ends with a carriage return, which smtpd does not read")),
            b'#' => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += if folded(bytes, at) { 2 } else { 1 };
                }
            }
            _ => {
                let word = word(bytes, at).ok_or_else(|| wrong(at, "a quotation mark is opened and not closed"))?;
                match first {
                    b'{' => depth += 1,
                    b'}' => depth = depth.checked_sub(1).ok_or_else(|| wrong(at, "a brace is closed and not opened"))?,
                    _ => {}
                }
                if words.is_empty() {
                    begun = at;
                }
                at = word.at.end;
                words.push(word);
            }
        }
    }
}

fn folded(bytes: &[u8], at: usize) -> bool {
    bytes[at.min(bytes.len())..].starts_with(b"\\\n")
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1)
}

/// The word that begins there; `None` where its quotes do not end in the line.
fn word(bytes: &[u8], at: usize) -> Option<Word> {
    const ALONE: &[u8] = b"(){}<>!=,";
    let text = |range: Range<usize>| String::from_utf8_lossy(&bytes[range]).into_owned();
    let first = bytes[at];
    if first == b'"' || first == b'\'' {
        let end = at + 1 + bytes[at + 1..].iter().take_while(|b| **b != b'\n').position(|b| *b == first)?;
        return Some(Word { text: text(at + 1..end), at: at..end + 1, quoted: true });
    }
    if ALONE.contains(&first) {
        return Some(Word { text: text(at..at + 1), at: at..at + 1, quoted: false });
    }
    let ends = |place: usize| {
        let b = bytes[place];
        b == b'#' || b.is_ascii_whitespace() || ALONE.contains(&b) || folded(bytes, place)
    };
    let end = (at + 1..bytes.len()).find(|place| ends(*place)).unwrap_or(bytes.len());
    Some(Word { text: text(at..end), at: at..end, quoted: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(usize, String)> {
        let all = statements(Path::new("/c"), text.as_bytes()).expect(text);
        all.iter().map(|s| (s.line, s.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join("|"))).collect()
    }

    #[test]
    fn statements_are_those_of_smtpd() {
        for (text, expected) in [
            ("", vec![]),
            ("# listen on all\n\nlisten on lo # tls\n", vec![(3, "listen|on|lo")]),
            ("# goes on \\\nlisten on eth0\nlisten on lo", vec![(3, "listen|on|lo")]),
            (
                "listen on \\\n  lo \\\n\ttls\nmatch for any action \"a b\"\n",
                vec![(1, "listen|on|lo|tls"), (4, "match|for|any|action|a b")],
            ),
            ("table t {\n a, # one\n \"b\"\n}\nx=\"y\"\n", vec![(1, "table|t|{|a|,|b|}"), (5, "x|=|y")]),
            (
                "pki mx.example.org key '/k.pem'\nlisten on $if port 587",
                vec![(1, "pki|mx.example.org|key|/k.pem"), (2, "listen|on|$if|port|587")],
            ),
            ("match !from any for domain <d>", vec![(1, "match|!|from|any|for|domain|<|d|>")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(line, text)| (line, text.to_owned())).collect();
            assert_eq!(words(text), expected, "{text:?}");
        }
        for (text, why) in [
            ("listen on lo\r\n", "/c:1: the line ends with a carriage return, which smtpd does not read"),
            ("\ntable t { a\n", "/c:2: a brace is opened and not closed"),
            ("a }\n", "/c:1: a brace is closed and not opened"),
            ("a\npki x cert \"/c\n", "/c:2: a quotation mark is opened and not closed"),
        ] {
            assert_eq!(statements(Path::new("/c"), text.as_bytes()).expect_err(text).to_string(), why);
        }
    }
}
