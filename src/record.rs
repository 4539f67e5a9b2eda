//! A record of DNS as a value: what we propose, publish, look for and take away.

use crate::{
    name::DnsName,
    policy::{caa::Caa, dane::Tlsa, quoted},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// Another name, whose records count here.
    Cname(DnsName),
    /// A text.
    Txt(String),
    /// A key.
    Tlsa(Tlsa),
    /// A CA that may issue.
    Caa(Caa),
}

impl Data {
    /// The record type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cname(_) => "CNAME",
            Self::Txt(_) => "TXT",
            Self::Tlsa(_) => "TLSA",
            Self::Caa(_) => "CAA",
        }
    }
}

impl fmt::Display for Data {
    /// As in a zone file: names absolute, a text in strings of at most 255 bytes (RFC 1035 §3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cname(name) => f.write_str(&name.absolute()),
            Self::Txt(text) => write!(f, "{}", Text::from(text.as_str())),
            Self::Tlsa(tlsa) => write!(f, "{tlsa}"),
            Self::Caa(caa) => write!(f, "{caa}"),
        }
    }
}

/// A text as it stands in DNS: strings of at most 255 bytes (RFC 1035 §3.3.14), which readers put together. Who takes it away must
/// name it in the strings in which it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Text {
    whole: String,
    /// The length of each string in bytes; together they are the whole.
    strings: Vec<usize>,
}

/// How facts write a text: as one, unless it is cut otherwise than we would.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(String),
    Cut(String, Vec<usize>),
}

impl Text {
    /// The strings of a record. What is no UTF-8 is nothing that is looked for here, and cannot be named as it stands.
    #[must_use]
    pub fn of_strings<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
        for string in strings {
            bytes.extend_from_slice(string);
            lengths.push(string.len());
        }
        match String::from_utf8(bytes) {
            Ok(whole) => Self { whole, strings: lengths },
            Err(e) => String::from_utf8_lossy(e.as_bytes()).as_ref().into(),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.whole
    }
}

impl From<&str> for Text {
    /// Cut as we cut.
    fn from(whole: &str) -> Self {
        let strings: Vec<usize> = whole.as_bytes().chunks(255).map(<[u8]>::len).collect();
        Self { whole: whole.to_owned(), strings: if strings.is_empty() { vec![0] } else { strings } }
    }
}

impl From<Written> for Text {
    fn from(written: Written) -> Self {
        match written {
            Written::Cut(whole, strings) if strings.iter().sum::<usize>() == whole.len() => Self { whole, strings },
            Written::Whole(whole) | Written::Cut(whole, _) => whole.as_str().into(),
        }
    }
}

impl From<Text> for Written {
    fn from(text: Text) -> Self {
        if text == text.whole.as_str().into() { Self::Whole(text.whole) } else { Self::Cut(text.whole, text.strings) }
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.whole
    }
}

impl fmt::Display for Text {
    /// As in a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut between) = (self.whole.as_bytes(), "");
        for &length in &self.strings {
            let (string, after) = rest.split_at(length.min(rest.len()));
            write!(f, "{between}{}", quoted(string))?;
            (rest, between) = (after, " ");
        }
        Ok(())
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name: the end of a CNAME chain, where there is one.
    pub owner: DnsName,
    /// How long caches may keep it, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

impl Record {
    /// The same record, whatever its TTL: as DNS tells records apart (RFC 2136 §1.1).
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.owner == other.owner && self.data == other.data
    }
}

impl fmt::Display for Record {
    /// As in a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} IN {} {}", self.owner.absolute(), self.ttl, self.data.kind(), self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_named_in_the_strings_in_which_it_stands() {
        let long = "x".repeat(256);
        for (strings, whole, named, kept) in [
            (&["v=STSv1; id=1;"][..], "v=STSv1; id=1;", "\"v=STSv1; id=1;\"".to_owned(), "\"v=STSv1; id=1;\"".to_owned()),
            (
                &["v=STSv1;", "", " id=\"1\";"],
                "v=STSv1; id=\"1\";",
                r#""v=STSv1;" "" " id=\"1\";""#.into(),
                r#"["v=STSv1; id=\"1\";",[8,0,8]]"#.into(),
            ),
            (&[], "", String::new(), r#"["",[]]"#.into()),
            (&[""], "", "\"\"".into(), "\"\"".into()),
            (&[&long[..255], "x"], &long, format!("\"{}\" \"x\"", &long[..255]), format!("\"{long}\"")),
        ] {
            let text = Text::of_strings(strings.iter().map(|s| s.as_bytes()));
            let json = serde_json::to_string(&text).expect("JSON");
            assert_eq!((text.as_str(), text.to_string(), &json), (whole, named, &kept), "{strings:?}");
            assert_eq!(serde_json::from_str::<Text>(&json).ok(), Some(text), "{strings:?}");
        }
        // A character that is cut is whole again; what is no text is one in our strings.
        assert_eq!(
            Text::of_strings(["\u{e4}".as_bytes().split_at(1).0, "\u{e4}".as_bytes().split_at(1).1]).to_string(),
            r#""\195" "\164""#
        );
        assert_eq!(Text::of_strings([b"a\xff".as_slice()]).as_str(), "a\u{fffd}");
        assert_eq!(serde_json::from_str::<Text>(r#"["abc",[9]]"#).expect("a text"), Text::from("abc"));
    }
}
