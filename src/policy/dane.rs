//! TLSA records at `_25._tcp.MX` (RFC 6698, RFC 7671, RFC 7672): which keys an MX host may present.
//!
//! We publish `3 1 1` alone: the SHA-256 of the host's own key, which outlives its certificates.

use super::{Remark, Remarks};
use crate::certificate::Digest;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The SHA-256 of nothing: what scripts publish whose extraction of the key failed.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A TLSA record (RFC 6698 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 is DANE-EE; 0 and 1 are ignored by mail senders (RFC 7672 §3.1.3).
    pub usage: u8,
    /// 0 the whole certificate, 1 its key.
    pub selector: u8,
    /// 0 the bytes themselves, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// The data, in lower-case hexadecimal.
    pub data: String,
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, self.data)
    }
}

/// The SHA-256 of a public key: never of nothing, never of another length. Only this can become a record of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDigest(String);

/// Why a digest is none of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeyDigest {
    /// The digest of no bytes at all.
    #[error("this is the SHA-256 of nothing, not of a key: DANE senders would find no key that matches and defer their mail")]
    OfNothing,
    /// Not 64 hexadecimal digits.
    #[error("{0:?} is no SHA-256 in hexadecimal")]
    NotADigest(String),
}

impl TryFrom<&Digest> for KeyDigest {
    type Error = NotAKeyDigest;

    fn try_from(digest: &Digest) -> Result<Self, NotAKeyDigest> {
        let text = digest.0.to_ascii_lowercase();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAKeyDigest::NotADigest(digest.0.clone()));
        }
        if text == OF_NOTHING { Err(NotAKeyDigest::OfNothing) } else { Ok(Self(text)) }
    }
}

impl From<KeyDigest> for Tlsa {
    /// The record of a host's own key, DANE-EE(3) SPKI(1) SHA2-256(1) (RFC 7672 §3.1.1).
    fn from(KeyDigest(data): KeyDigest) -> Self {
        Self { usage: 3, selector: 1, matching: 1, data }
    }
}

/// Why a text is no TLSA record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no TLSA record: {why} (RFC 6698 section 2.2)")]
pub struct NotTlsa {
    text: String,
    why: &'static str,
}

impl FromStr for Tlsa {
    type Err = NotTlsa;

    /// As in a zone file: three numbers, then hexadecimal digits that white space may part; or RFC 3597's `\# LENGTH HEX`.
    fn from_str(text: &str) -> Result<Self, NotTlsa> {
        let wrong = |why| NotTlsa { text: text.to_owned(), why };
        let mut words = text.split_ascii_whitespace();
        let hex = |words: std::str::SplitAsciiWhitespace<'_>| {
            let digits = words.collect::<String>().to_ascii_lowercase();
            data_encoding::HEXLOWER.decode(digits.as_bytes()).map_err(|_| wrong("its data is not hexadecimal"))
        };
        if text.trim_start().starts_with("\\#") {
            let length: usize = words.nth(1).and_then(|w| w.parse().ok()).ok_or_else(|| wrong("no length follows \\#"))?;
            let bytes = hex(words)?;
            let ([usage, selector, matching, data @ ..], true) = (bytes.as_slice(), bytes.len() == length) else {
                return Err(wrong("it has not the length that it says"));
            };
            return Ok(Self { usage: *usage, selector: *selector, matching: *matching, data: data_encoding::HEXLOWER.encode(data) });
        }
        let mut number =
            || words.next().and_then(|w| w.parse().ok()).ok_or_else(|| wrong("it does not begin with three numbers up to 255"));
        let (usage, selector, matching) = (number()?, number()?, number()?);
        Ok(Self { usage, selector, matching, data: data_encoding::HEXLOWER.encode(&hex(words)?) })
    }
}

impl Tlsa {
    /// The data of the record in the form of any unknown type: `\# LENGTH HEX` (RFC 3597 §5).
    #[must_use]
    pub fn generic(&self) -> String {
        let head = data_encoding::HEXLOWER.encode(&[self.usage, self.selector, self.matching]);
        format!("\\# {} {head}{}", 3 + self.data.len() / 2, self.data)
    }

    /// What is to be said of the record at `_25._tcp` of an MX name, whatever that host presents.
    #[must_use]
    pub fn lint(&self) -> Vec<Remark> {
        let mut remarks = Remarks::default();
        let length = self.data.len() / 2;
        match self.usage {
            2 | 3 => {}
            0 | 1 => remarks.fail(
                0,
                "RFC 7672 section 3.1.3",
                format!("usage {} is not for mail: senders pass over it, or take the host for one that nothing matches", self.usage),
            ),
            other => remarks.fail(0, "RFC 7218 section 2.1", format!("usage {other} means nothing")),
        }
        if self.selector > 1 {
            remarks.fail(0, "RFC 7218 section 2.2", format!("selector {} means nothing", self.selector));
        }
        match (self.matching, length) {
            (1, 32) | (2, 64) => {}
            (1, _) => remarks.fail(0, "RFC 6698 section 2.1.3", format!("a SHA-256 has 32 bytes, and this has {length}")),
            (2, _) => remarks.fail(0, "RFC 6698 section 2.1.3", format!("a SHA-512 has 64 bytes, and this has {length}")),
            (0, 0) => remarks.fail(0, "RFC 6698 section 2.1", "it has no data"),
            (0, _) => {
                remarks.warn(0, "RFC 7671 section 10.1.2", "the whole certificate or key in DNS makes large answers: publish its SHA-256");
            }
            (other, _) => remarks.fail(0, "RFC 7218 section 2.3", format!("matching type {other} means nothing")),
        }
        if self.data == OF_NOTHING {
            remarks.fail(0, "RFC 6698 section 2.1", "this is the SHA-256 of nothing: whoever made it did not get hold of the key");
        } else if !self.data.is_empty() && self.data.bytes().all(|b| b == b'0') {
            remarks.fail(0, "RFC 6698 section 2.1", "the data is all zeroes");
        }
        if self.usage == 3 && self.selector == 0 {
            remarks.warn(0, "RFC 7672 section 3.1.1", "it names one certificate: the next renewal breaks it, even with the same key");
        }
        if self.usage == 2 {
            remarks.warn(
                0,
                "RFC 7671 section 5.2.2",
                "it names a CA: a renewal under another one breaks it, and the host must send that CA's certificate",
            );
        }
        remarks.0
    }

    /// Whether senders can use it at all (RFC 7672 §3.1): a set of none but others asks for TLS, and authenticates nobody.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.lint().iter().any(|r| r.fails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::chance::Chance;

    #[test]
    fn a_record_of_ours_is_never_of_nothing() {
        assert_eq!(KeyDigest::try_from(&Digest::of(b"")), Err(NotAKeyDigest::OfNothing));
        assert_eq!(KeyDigest::try_from(&Digest(OF_NOTHING.to_uppercase())), Err(NotAKeyDigest::OfNothing));
        for short in ["", "00", "e3b0", &"0".repeat(63), &"g".repeat(64)] {
            assert!(matches!(KeyDigest::try_from(&Digest(short.into())), Err(NotAKeyDigest::NotADigest(_))), "{short}");
        }
        let digest = Digest::of(b"a key");
        let record = Tlsa::from(KeyDigest::try_from(&digest).unwrap());
        assert_eq!(record.to_string(), format!("3 1 1 {digest}"));
        assert_eq!(record.lint(), Vec::new());
    }

    #[test]
    fn records_are_read_in_both_forms() {
        let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: key.into() };
        for text in [
            format!("3 1 1 {key}"),
            format!("3\t1  1 {}", key.to_uppercase()),
            format!("3 1 1 {} {}", &key[..10], &key[10..]),
            format!("\\# 35 030101{key}"),
            format!("\\# 35 03 01 01 {}  {}", &key[..32], &key[32..]),
        ] {
            assert_eq!(text.parse::<Tlsa>().as_ref(), Ok(&record), "{text}");
        }
        assert_eq!(record.generic(), format!("\\# 35 030101{key}"));
        for text in ["", "3 1", "3 1 1 0g", "3 1 1 000", "256 1 1 00", "\\# 36 030101", "\\#", "\\# 2 0301", "-1 1 1 00"] {
            assert!(text.parse::<Tlsa>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_record_has_its_verdict() {
        let (sha256, sha512) = ("ab".repeat(32), "ab".repeat(64));
        let nothing = OF_NOTHING.to_owned();
        for (usage, selector, matching, data, usable, remarks) in [
            // RFC 7672 §3.1.1, §3.1.2.
            (3, 1, 1, &sha256, true, 0),
            (3, 1, 2, &sha512, true, 0),
            (3, 0, 1, &sha256, true, 1),
            (3, 1, 0, &sha512, true, 1),
            (2, 1, 1, &sha256, true, 1),
            (2, 0, 1, &sha256, true, 1),
            // §3.1.3 and the registries of RFC 7218.
            (0, 1, 1, &sha256, false, 1),
            (1, 1, 1, &sha256, false, 1),
            (4, 1, 1, &sha256, false, 1),
            (255, 1, 1, &sha256, false, 1),
            (3, 2, 1, &sha256, false, 1),
            (3, 1, 3, &sha256, false, 1),
            // RFC 6698 §2.1.
            (3, 1, 1, &sha512, false, 1),
            (3, 1, 2, &sha256, false, 1),
            (3, 1, 0, &String::new(), false, 1),
            (3, 1, 1, &String::new(), false, 1),
            (3, 1, 1, &nothing, false, 1),
            (3, 1, 1, &"0".repeat(64), false, 1),
        ] {
            let record = Tlsa { usage, selector, matching, data: data.clone() };
            assert_eq!((record.is_usable(), record.lint().len()), (usable, remarks), "{record}");
        }
    }

    #[test]
    fn any_text_is_read_and_what_is_understood_is_printed_as_it_reads() {
        let mut chance = Chance::new();
        for _ in 0..20_000 {
            let text = chance.text(&["3 1 1 ", "\\# ", "35 ", "0", "ab", "FF", " ", "2 0 1 ", "x", "\u{fc}", "\t"], 10);
            if let Ok(record) = text.parse::<Tlsa>() {
                assert_eq!(record.to_string().parse::<Tlsa>().as_ref(), Ok(&record), "{text:?}");
                assert_eq!(record.generic().parse::<Tlsa>().as_ref(), Ok(&record), "{text:?}");
            }
        }
    }
}
