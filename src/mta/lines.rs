//! Logical lines as Postfix reads them: a line that begins with whitespace continues the one before; comments and blank lines
//! between the two end nothing; an indented line with nothing to continue is ignored (postconf(5), master(5)).

use crate::change::{Raw, SettingChange};
use std::{ops::Range, path::PathBuf};

/// A configuration file that cannot be read as its server reads it, or not be edited without loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {why}", .path.display())]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Its line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong, in one sentence.
    pub why: String,
}

/// One logical line and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logical {
    /// Its first line, from 1.
    pub(super) line: usize,
    /// The lines that count, each with its line end.
    pub(super) parts: Vec<Range<usize>>,
}

impl Logical {
    /// From the first byte to the last that counts, comments between included.
    pub(super) fn span(&self) -> Range<usize> {
        self.parts.first().map_or(0, |p| p.start)..self.parts.last().map_or(0, |p| p.end)
    }

    /// The offsets of its text in the file, line ends left out.
    pub(super) fn offsets(&self, bytes: &[u8]) -> Vec<usize> {
        self.parts.iter().flat_map(|p| p.start..p.end).filter(|i| bytes[*i] != b'\n').collect()
    }

    /// The bytes between its parts: comments and blank lines that are not ours.
    pub(super) fn between(&self, bytes: &[u8]) -> Vec<u8> {
        self.parts.windows(2).flat_map(|w| bytes[w[0].end..w[1].start].to_vec()).collect()
    }

    /// The number of the line in which `offset` lies.
    pub(super) fn line_of(&self, bytes: &[u8], offset: usize) -> usize {
        self.line + bytes[self.span().start..offset].iter().filter(|b| **b == b'\n').count()
    }
}

/// Every logical line, in order.
pub(super) fn logical(bytes: &[u8]) -> Vec<Logical> {
    let mut all: Vec<Logical> = Vec::new();
    let mut at = 0;
    for (number, text) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let part = at..at + text.len();
        at = part.end;
        match text.iter().find(|b| !is_space(**b)) {
            None | Some(b'#') => {}
            Some(_) if !is_space(text[0]) => all.push(Logical { line: number + 1, parts: vec![part] }),
            Some(_) => {
                if let Some(last) = all.last_mut() {
                    last.parts.push(part);
                }
            }
        }
    }
    all
}

/// What `isspace` says in the C locale.
pub(super) const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The line end that ends `line`; empty at the end of a file without one.
pub(super) fn line_end(line: &[u8]) -> &'static [u8] {
    match line {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    }
}

/// The line end that a new line of this file takes.
pub(super) fn line_end_of(bytes: &[u8]) -> &'static [u8] {
    bytes.split_inclusive(|b| *b == b'\n').next().map_or(b"\n", |first| match line_end(first) {
        b"" => b"\n",
        end => end,
    })
}

/// `bytes` with a range replaced.
pub(super) fn spliced(bytes: &[u8], range: Range<usize>, by: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], by, &bytes[range.end..]].concat()
}

/// Bytes as text: UTF-8 where they are, Latin-1 where not, whitespace at the ends cut and within made one space.
pub(super) fn words(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect(), ToOwned::to_owned);
    text.split(|c: char| c.is_ascii() && is_space(c as u8)).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Takes back a change whose pieces are whole lines. `now` is the line where the setting is, and `home` where one returns
/// that was taken away.
pub(super) fn restore_line(bytes: &[u8], change: &SettingChange, now: Option<usize>, home: usize) -> Restored {
    let find = |text: &Raw| found(bytes, text.0.trim_ascii());
    let was = change.was.as_ref();
    match change.becomes.as_ref().map(find) {
        None => match was {
            Some(line) if find(line).is_none() => Restored::Done(spliced(bytes, home..home, &line.0)),
            _ => Restored::Already,
        },
        Some(Some(span)) => {
            let (ours, left) = (&bytes[span.clone()], change.becomes.as_ref().map_or(&b""[..], |r| &r.0));
            // A piece that was put behind a file without a final line end begins with one.
            let lead = if left.starts_with(b"\r\n") { 2 } else { usize::from(left.starts_with(b"\n")) };
            let Some(line) = was else {
                let start = if bytes[..span.start].ends_with(&left[..lead]) { span.start - lead } else { span.start };
                return Restored::Done(spliced(bytes, start..span.end, b""));
            };
            // The last line of the file may have won or lost its end.
            let back = [line.0.strip_suffix(line_end(&line.0)).unwrap_or(&line.0), line_end(ours)].concat();
            Restored::Done(spliced(bytes, span, &back))
        }
        Some(None) if was.map_or(now.is_none(), |line| find(line).is_some()) => Restored::Already,
        Some(None) => Restored::Conflict(now.unwrap_or(0)),
    }
}

/// The whole lines that hold this text and nothing else but blanks around it.
fn found(bytes: &[u8], text: &[u8]) -> Option<Range<usize>> {
    let mut starts = 0;
    loop {
        let at = starts + bytes[starts..].windows(text.len().max(1)).position(|w| w == text)?;
        let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let end = at + text.len();
        let stop = end + bytes[end..].iter().position(|b| *b == b'\n').map_or(bytes.len() - end, |p| p + 1);
        if bytes[start..at].trim_ascii().is_empty() && bytes[end..stop].trim_ascii().is_empty() {
            return Some(start..stop);
        }
        starts = at + 1;
    }
}

/// The way back of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The file with the setting as it was.
    Done(Vec<u8>),
    /// It is as it was already.
    Already,
    /// Someone changed it since: it stays; the line where it is now, 0 where it is gone.
    Conflict(usize),
}
