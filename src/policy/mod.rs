//! What the world can be told, as formats: MTA-STS records and policies (RFC 8461), TLSRPT records (RFC 8460), TLSA records
//! (RFC 6698), CAA records (RFC 8659), and policy lists. Each file reads, prints and lints one of them. Pure.
//!
//! A reading keeps two questions apart: what a lenient reader would understand, and whether a strict one refuses it.

pub mod caa;
pub mod dane;
mod fetched;
mod fields;
pub mod mta_sts;
pub mod policy_list;
pub mod sts_policy;
pub mod tls_rpt;

pub use fetched::Fetched;

/// Something to say of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// A sender that follows the text of the standard refuses it; otherwise it is understood, and merely worth a word.
    pub fails: bool,
    /// The line, from 1; 0 where the whole is meant.
    pub line: usize,
    /// The sentence.
    pub says: String,
    /// Where it is written.
    pub section: &'static str,
}

/// A text as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// What a lenient reader makes of it; `None` where nobody can make anything of it.
    pub value: Option<T>,
    /// What is to be said of it, in the order of the text.
    pub remarks: Vec<Remark>,
}

impl<T> Reading<T> {
    /// What every sender understands; `None` where a strict one refuses it.
    #[must_use]
    pub fn strict(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| !self.remarks.iter().any(|r| r.fails))
    }
}

/// What the TXT records at one name come to. Both RFC 8461 §3.1 and RFC 8460 §3 discard records of another kind, and take
/// several of theirs for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published<T> {
    /// None is of this kind.
    Absent,
    /// One is: its text and how it reads.
    One(String, Reading<T>),
    /// So many are: senders behave as if there were none.
    Several(usize),
}

impl<T> Published<T> {
    /// The records at one name; `is` tells which are of this kind.
    fn of<S: AsRef<str>>(texts: &[S], is: impl Fn(&str) -> bool, read: impl Fn(&str) -> Reading<T>) -> Self {
        let mut ours = texts.iter().map(AsRef::as_ref).filter(|t| is(t));
        match (ours.next(), ours.count()) {
            (None, _) => Self::Absent,
            (Some(text), 0) => Self::One(text.to_owned(), read(text)),
            (Some(_), more) => Self::Several(more + 1),
        }
    }

    /// What every sender understands.
    #[must_use]
    pub fn strict(&self) -> Option<&T> {
        match self {
            Self::One(_, reading) => reading.strict(),
            _ => None,
        }
    }
}

#[cfg(test)]
impl<T> Published<T> {
    /// The tables' word: `ok` all understand it, `warn` the same with a remark, `invalid` strict senders refuse it, `none` it is no
    /// such record.
    fn verdict(&self) -> &'static str {
        match self {
            Self::Absent => "none",
            Self::One(_, r) if r.strict().is_none() => "invalid",
            Self::One(_, r) if r.remarks.is_empty() => "ok",
            Self::One(..) => "warn",
            Self::Several(_) => "several",
        }
    }
}

/// Remarks while a text is read.
#[derive(Debug, Default)]
struct Remarks(Vec<Remark>);

impl Remarks {
    fn fail(&mut self, line: usize, section: &'static str, says: impl Into<String>) {
        self.0.push(Remark { fails: true, line, says: says.into(), section });
    }

    fn warn(&mut self, line: usize, section: &'static str, says: impl Into<String>) {
        self.0.push(Remark { fails: false, line, says: says.into(), section });
    }
}

/// Bytes as a quoted string of a zone file; those that would end it are escaped (RFC 1035 §5.1).
#[must_use]
pub fn quoted(bytes: &[u8]) -> String {
    let escaped: String = bytes
        .iter()
        .map(|&b| match b {
            b'"' | b'\\' => format!("\\{}", char::from(b)),
            0x20..=0x7e => char::from(b).to_string(),
            _ => format!("\\{b:03}"),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The text of a quoted string of a zone file, or of a bare word; `None` where it is neither, or no UTF-8.
fn unquoted(text: &str) -> Option<String> {
    let inner = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None if text.contains([' ', '\t', '"']) => return None,
        None => text,
    };
    let (mut bytes, mut rest) = (Vec::new(), inner.bytes());
    while let Some(b) = rest.next() {
        match b {
            b'"' => return None,
            b'\\' => match rest.next()? {
                d if d.is_ascii_digit() => {
                    let digits = [d, rest.next()?, rest.next()?];
                    bytes.push(std::str::from_utf8(&digits).ok()?.parse().ok()?);
                }
                other => bytes.push(other),
            },
            _ => bytes.push(b),
        }
    }
    String::from_utf8(bytes).ok()
}

/// What tests make foreign bytes from: a table of pieces, put together by a small generator, whose seed is printed.
#[cfg(test)]
mod chance {
    /// SplitMix64.
    pub(super) struct Chance(u64);

    impl Chance {
        /// From `MXSEAL_SEED`, else from the process id; a failing test shows which it was.
        pub(super) fn new() -> Self {
            let seed = std::env::var("MXSEAL_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()));
            println!("MXSEAL_SEED={seed}");
            Self(seed)
        }

        pub(super) fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((z ^ (z >> 31)) % end as u64).expect("small")
        }

        /// Up to `most` pieces in a row, some of them cut.
        pub(super) fn text(&mut self, pieces: &[&str], most: usize) -> String {
            let mut out = String::new();
            for _ in 0..self.below(most + 1) {
                let piece: Vec<char> = pieces[self.below(pieces.len())].chars().collect();
                let end = if self.below(4) == 0 { self.below(piece.len() + 1) } else { piece.len() };
                out.extend(&piece[..end]);
            }
            out
        }
    }
}
