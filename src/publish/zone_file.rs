//! A zone's master file (RFC 1035 §5), edited so that only lines of our own come and go. What cannot be read is refused with its
//! line. Pure, on bytes.

use super::{Exchange, InTheWay};
use crate::{
    facts::Tlsa,
    moment::Moment,
    policy::caa::Caa,
    record::{Data, Record},
};
use std::ops::Range;
use time::OffsetDateTime;

/// Why a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unedited {
    /// It is not what can be edited.
    #[error("line {line}: {why}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// It has no SOA record whose serial could be raised.
    #[error("it has no SOA record of {0}")]
    NoSoa(String),
    /// Somebody else's record is in the way.
    #[error(transparent)]
    InTheWay(#[from] InTheWay),
}

/// The file after the exchange, and what of it was left to do; the same bytes where nothing was.
///
/// # Errors
/// When it cannot be edited, or a record of somebody else's is in the way.
pub fn edited(file: &[u8], exchange: &Exchange, now: Moment) -> Result<(Vec<u8>, Exchange), Unedited> {
    let entries = entries(file)?;
    let zone = exchange.zone.absolute();
    let lines = read(file, &entries, &zone)?;
    let owners: Vec<String> = exchange.add.iter().chain(&exchange.remove).map(|r| r.owner.absolute()).collect();
    let held: Vec<(usize, Record)> =
        lines.iter().filter(|l| owners.contains(&l.owner)).filter_map(|l| Some((l.entry, l.record()?))).collect();
    let found: Vec<Record> = held.iter().map(|(_, record)| record.clone()).collect();
    let left = exchange.left(&found)?;
    if left.is_empty() {
        return Ok((file.to_vec(), left));
    }
    let soa = lines.iter().find(|l| l.kind == "SOA" && l.owner == zone).ok_or_else(|| Unedited::NoSoa(exchange.zone.to_string()))?;
    let serial = soa.data.get(2).ok_or_else(|| line(&entries[soa.entry], "the SOA record has no serial number"))?;
    let old: u32 = text(file, serial).parse().map_err(|_| line(&entries[soa.entry], "the serial number of the SOA record is none"))?;

    let mut edits: Vec<(Range<usize>, Vec<u8>)> = vec![(serial.clone(), raised(old, now).to_string().into_bytes())];
    for (at, _) in held.iter().filter(|(_, record)| left.remove.iter().any(|r| r.is(record))) {
        edits.push((entries[*at].range.clone(), Vec::new()));
        // Who stood below it without a name of its own had its name.
        if let (false, Some(heir)) = (entries[*at].inherits, entries.get(at + 1).filter(|e| e.inherits)) {
            let owner = lines.iter().find(|l| l.entry == *at).map_or_else(String::new, |l| l.owner.clone());
            edits.push((heir.range.start..heir.range.start, owner.into_bytes()));
        }
    }
    let mut out = file.to_vec();
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    for (range, new) in edits.into_iter().rev() {
        out.splice(range, new);
    }
    if out.last().is_some_and(|b| *b != b'\n') {
        out.push(b'\n');
    }
    for record in &left.add {
        // All of a set have one TTL (RFC 2181 §5.2).
        let beside = found.iter().find(|f| f.owner == record.owner && f.data.kind() == record.data.kind());
        let record = Record { ttl: beside.map_or(record.ttl, |b| b.ttl), ..record.clone() };
        out.extend_from_slice(format!("{record}\n").as_bytes());
    }
    Ok((out, left))
}

/// The serial that follows, by the convention of the one that is there: the date with two digits, the time of Unix, or a count.
fn raised(old: u32, now: Moment) -> u32 {
    let date = |moment: Moment| {
        let day = OffsetDateTime::from_unix_timestamp(i64::try_from(moment.0).unwrap_or(0)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        u32::try_from(day.year()).unwrap_or(0) * 1_000_000 + u32::from(u8::from(day.month())) * 10_000 + u32::from(day.day()) * 100
    };
    let (year, month, day) = (old / 1_000_000, old / 10_000 % 100, old / 100 % 100);
    let clock = u32::try_from(now.0).unwrap_or(0);
    let least = if (1980..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day) {
        date(now)
    } else if (1_000_000_000..=clock).contains(&old) {
        clock
    } else {
        0
    };
    // Zero is skipped: it has a meaning of its own in some servers.
    least.max(old.wrapping_add(1)).max(1)
}

/// One entry: a line, or several that are held together by parentheses.
struct Entry {
    /// The first line, from 1.
    line: usize,
    /// Its bytes, the line's end among them.
    range: Range<usize>,
    /// It begins with white space: the name is that of the entry before.
    inherits: bool,
    /// Its words, quotes included.
    words: Vec<Range<usize>>,
}

fn line(entry: &Entry, why: impl Into<String>) -> Unedited {
    Unedited::Line { line: entry.line, why: why.into() }
}

/// Every entry that has words.
fn entries(file: &[u8]) -> Result<Vec<Entry>, Unedited> {
    let (mut entries, mut at, mut number) = (Vec::new(), 0, 1);
    while at < file.len() {
        let begins = number;
        let mut entry = Entry { line: number, range: at..at, inherits: matches!(file[at], b' ' | b'\t'), words: Vec::new() };
        let mut open = 0_usize;
        loop {
            match file.get(at) {
                None => break,
                Some(b'\n') => {
                    (at, number) = (at + 1, number + 1);
                    if open == 0 {
                        break;
                    }
                }
                Some(b' ' | b'\t' | b'\r') => at += 1,
                Some(b';') => at += file[at..].iter().take_while(|b| **b != b'\n').count(),
                Some(b'(') => (at, open) = (at + 1, open + 1),
                Some(b')') => {
                    let why = "a parenthesis is closed that was not opened";
                    (at, open) = (at + 1, open.checked_sub(1).ok_or_else(|| Unedited::Line { line: number, why: why.into() })?);
                }
                Some(_) => {
                    let end = word(file, at).map_err(|why| Unedited::Line { line: number, why: why.into() })?;
                    entry.words.push(at..end);
                    at = end;
                }
            }
        }
        if open != 0 {
            return Err(Unedited::Line { line: begins, why: "a parenthesis is opened and not closed".into() });
        }
        entry.range.end = at;
        if !entry.words.is_empty() {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Where the word that begins here ends.
fn word(file: &[u8], start: usize) -> Result<usize, &'static str> {
    let quoted = file[start] == b'"';
    let mut at = start + usize::from(quoted);
    loop {
        match file.get(at) {
            Some(b'\\') if matches!(file.get(at + 1), None | Some(b'\n')) => return Err("a backslash stands before the end of the line"),
            Some(b'\\') => at += 2,
            Some(b'\n') | None if quoted => return Err("a quotation mark is opened and not closed"),
            Some(b'"') if quoted => return Ok(at + 1),
            Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"') | None if !quoted => return Ok(at.min(file.len())),
            _ => at += 1,
        }
    }
}

fn text<'a>(file: &'a [u8], word: &Range<usize>) -> std::borrow::Cow<'a, str> {
    String::from_utf8_lossy(&file[word.clone()])
}

/// A record as it stands in the file.
struct Line {
    entry: usize,
    /// Absolute, in lower case.
    owner: String,
    ttl: u32,
    /// In upper case.
    kind: String,
    data: Vec<Range<usize>>,
    /// What it says, where it is of a type that we write.
    says: Option<Data>,
}

impl Line {
    fn record(&self) -> Option<Record> {
        Some(Record { owner: self.owner.parse().ok()?, ttl: self.ttl, data: self.says.clone()? })
    }
}

/// The records of all entries.
fn read(file: &[u8], entries: &[Entry], zone: &str) -> Result<Vec<Line>, Unedited> {
    let (mut origin, mut ttl, mut owner) = (zone.to_owned(), super::TTL, None::<String>);
    let mut lines = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut words = entry.words.iter();
        let first = text(file, &entry.words[0]);
        if first.starts_with('$') {
            let value = entry.words.get(1).map(|w| text(file, w)).unwrap_or_default();
            match first.to_ascii_uppercase().as_str() {
                "$ORIGIN" => origin = absolute(&value, &origin),
                "$TTL" => ttl = seconds(&value).ok_or_else(|| line(entry, format!("{value:?} is no TTL")))?,
                other => return Err(line(entry, format!("{other} is not followed: name the file with the records, or use another way"))),
            }
            continue;
        }
        if !entry.inherits {
            owner = Some(absolute(&first, &origin));
            words.next();
        }
        let mut own = ttl;
        let kind = loop {
            let word = words.next().ok_or_else(|| line(entry, "a record without a type"))?;
            let word = text(file, word).to_ascii_uppercase();
            match seconds(&word) {
                Some(seconds) => own = seconds,
                None if word == "IN" => {}
                None if word.starts_with(|c: char| c.is_ascii_alphabetic())
                    && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
                {
                    break word;
                }
                None => return Err(line(entry, format!("{word:?} is no record type"))),
            }
        };
        if ["RRSIG", "NSEC", "NSEC3", "NSEC3PARAM"].contains(&kind.as_str()) {
            return Err(line(entry, "the file is signed: edit the one that it is made from, or use --publish rfc2136"));
        }
        let owner = owner.clone().ok_or_else(|| line(entry, "a record without a name, and none before it has one"))?;
        let data: Vec<Range<usize>> = words.cloned().collect();
        let says: Vec<_> = data.iter().map(|w| text(file, w).into_owned()).collect();
        let says = says_what(&kind, &says, &origin).map_err(|why| line(entry, why))?;
        lines.push(Line { entry: index, owner, ttl: own, kind, data, says });
    }
    Ok(lines)
}

/// A name of the file as a whole one, in lower case.
fn absolute(name: &str, origin: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "@" => origin.to_owned(),
        whole if whole.ends_with('.') => name,
        _ if origin == "." => format!("{name}."),
        _ => format!("{name}.{origin}"),
    }
}

/// Seconds, or BIND's `1w2d3h4m5s`.
fn seconds(word: &str) -> Option<u32> {
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (mut sum, mut number) = (0_u32, 0_u32);
    for c in word.chars() {
        let unit = match c.to_ascii_lowercase() {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            digit => {
                number = number.checked_mul(10)?.checked_add(digit.to_digit(10)?)?;
                continue;
            }
        };
        (sum, number) = (sum.checked_add(number.checked_mul(unit)?)?, 0);
    }
    sum.checked_add(number)
}

/// The data of a type that we write; `None` of another.
fn says_what(kind: &str, words: &[String], origin: &str) -> Result<Option<Data>, String> {
    let wrong = || format!("a {kind} record that cannot be read");
    let number = |at: usize| words.get(at).and_then(|w| w.parse::<u8>().ok()).ok_or_else(wrong);
    Ok(Some(match kind {
        "CNAME" => match absolute(words.first().ok_or_else(wrong)?, origin).parse() {
            Ok(target) => Data::Cname(target),
            Err(_) => return Ok(None),
        },
        "TXT" => {
            let mut bytes = Vec::new();
            for word in words {
                bytes.extend(unescaped(word).ok_or_else(wrong)?);
            }
            Data::Txt(String::from_utf8_lossy(&bytes).into_owned())
        }
        "TLSA" => Data::Tlsa(Tlsa {
            usage: number(0)?,
            selector: number(1)?,
            matching: number(2)?,
            data: words[3..].concat().to_ascii_lowercase(),
        }),
        "CAA" => {
            let value = unescaped(words.get(2).ok_or_else(wrong)?).and_then(|v| String::from_utf8(v).ok()).ok_or_else(wrong)?;
            Data::Caa(Caa { flags: number(0)?, tag: words[1].to_ascii_lowercase(), value })
        }
        "TYPE52" | "TYPE257" => {
            // RFC 3597 §5: \# length hexadecimal
            let bytes = words.get(2..).map(|w| w.concat().to_ascii_lowercase()).unwrap_or_default();
            let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).map_err(|_| wrong())?;
            match (kind, bytes.as_slice()) {
                ("TYPE52", [usage, selector, matching, data @ ..]) => {
                    let data = data_encoding::HEXLOWER.encode(data);
                    Data::Tlsa(Tlsa { usage: *usage, selector: *selector, matching: *matching, data })
                }
                ("TYPE257", [flags, length, rest @ ..]) if rest.len() >= usize::from(*length) => {
                    let (tag, value) = rest.split_at(usize::from(*length));
                    let word = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| wrong());
                    Data::Caa(Caa { flags: *flags, tag: word(tag)?, value: word(value)? })
                }
                _ => return Err(wrong()),
            }
        }
        _ => return Ok(None),
    }))
}

/// The bytes of a word, without quotes and escapes (RFC 1035 §5.1).
fn unescaped(word: &str) -> Option<Vec<u8>> {
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(word);
    let (mut bytes, mut rest) = (Vec::new(), inner.bytes());
    while let Some(b) = rest.next() {
        bytes.push(match b {
            b'\\' => match rest.next()? {
                first if first.is_ascii_digit() => {
                    let digits = [first, rest.next()?, rest.next()?];
                    std::str::from_utf8(&digits).ok()?.parse().ok()?
                }
                escaped => escaped,
            },
            plain => plain,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
