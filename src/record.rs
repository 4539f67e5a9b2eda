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
            Self::Txt(text) => {
                let strings: Vec<String> = text.as_bytes().chunks(255).map(quoted).collect();
                f.write_str(&if strings.is_empty() { quoted(b"") } else { strings.join(" ") })
            }
            Self::Tlsa(tlsa) => write!(f, "{tlsa}"),
            Self::Caa(caa) => write!(f, "{caa}"),
        }
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
