//! What the made-up DNS says, as a value.

use crate::{facts::Tlsa, name::DnsName};
use hickory_proto::{
    ProtoError,
    rr::{
        Name, RData,
        rdata::{
            A, AAAA, CAA, CNAME, MX, TLSA, TXT,
            tlsa::{CertUsage, Matching, Selector},
        },
    },
};
use std::{collections::BTreeMap, net::IpAddr, str::FromStr as _};

/// How a zone hangs below the root, which is always signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Signed, with its DS in the root.
    Signed,
    /// Unsigned, proven so by the root.
    Unsigned,
    /// Signed, but the root's DS is of another key: a validating resolver answers SERVFAIL.
    Bogus,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// MX: preference and host (RFC 5321 §5.1).
    Mx(u16, DnsName),
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(DnsName),
    /// TXT; a longer text is cut into strings of 255 bytes (RFC 7208 §3.3).
    Txt(String),
    /// TLSA (RFC 6698).
    Tlsa(Tlsa),
    /// CAA: critical, tag and value (RFC 8659 §4).
    Caa(bool, String, String),
}

/// Zones and the records in them. A record outside every zone is the root's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Each zone hangs directly below the root.
    pub zones: BTreeMap<DnsName, Signing>,
    /// The records of each name.
    pub records: BTreeMap<DnsName, Vec<Record>>,
}

impl Table {
    /// Adds a zone.
    #[must_use]
    pub fn zone(mut self, name: &DnsName, signing: Signing) -> Self {
        self.zones.insert(name.clone(), signing);
        self
    }

    /// Adds a record.
    #[must_use]
    pub fn record(mut self, name: &DnsName, record: Record) -> Self {
        self.records.entry(name.clone()).or_default().push(record);
        self
    }
}

/// A name as the wire has it.
pub(super) fn absolute(name: &DnsName) -> Result<Name, ProtoError> {
    Name::from_str(&name.absolute())
}

impl Record {
    pub(super) fn data(&self) -> Result<RData, ProtoError> {
        Ok(match self {
            Self::Mx(preference, host) => RData::MX(MX::new(*preference, absolute(host)?)),
            Self::Address(IpAddr::V4(ip)) => RData::A(A(*ip)),
            Self::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA(*ip)),
            Self::Alias(target) => RData::CNAME(CNAME(absolute(target)?)),
            Self::Txt(text) => RData::TXT(TXT::from_bytes(text.as_bytes().chunks(255).collect())),
            Self::Tlsa(Tlsa { usage, selector, matching, data }) => {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(data.as_bytes());
                let bytes = bytes.map_err(|e| ProtoError::from(format!("the data of a TLSA record: {e}")))?;
                RData::TLSA(TLSA::new(CertUsage::from(*usage), Selector::from(*selector), Matching::from(*matching), bytes))
            }
            Self::Caa(critical, tag, value) => {
                let mut caa = CAA::new_issue(*critical, None, Vec::new());
                caa.tag.clone_from(tag);
                caa.value = value.clone().into_bytes();
                RData::CAA(caa)
            }
        })
    }
}
