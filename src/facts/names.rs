//! What DNS says of names, and how far that is to be trusted.

use super::Known;
use crate::{name::DnsName, policy::dane::Tlsa, record::Text};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where a record of some owner name really lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The name at the end of its CNAME chain: where records are added.
    pub owner: DnsName,
    /// The apex of the zone that holds that name.
    pub zone: DnsName,
}

/// What DNS says, with whether the answer was authentic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The records; empty where the name or type does not exist.
    pub records: Vec<T>,
    /// DNSSEC state of the answer.
    pub security: Security,
    /// The smallest TTL among them, in seconds.
    pub ttl: u32,
}

/// DNSSEC state of an answer (RFC 4033 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Validated: a resolver on loopback, or one that the admin named, says AD, and our own validation agrees.
    Secure,
    /// Proven to be unsigned.
    Insecure,
    /// Signed and wrong.
    Bogus,
    /// Nobody that we may believe could tell, or two disagree.
    Unknown,
}

/// One mail domain in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFacts {
    /// The domain.
    pub domain: DnsName,
    /// Its MX records: preference and name. `.` (null MX, RFC 7505) is left out of the list.
    pub mx: Known<Answer<(u16, DnsName)>>,
    /// `_mta-sts` TXT texts.
    pub mta_sts: Known<Answer<Text>>,
    /// `_smtp._tls` TXT texts.
    pub tls_rpt: Known<Answer<Text>>,
    /// Addresses of `mta-sts.` of the domain, from where senders fetch its policy.
    #[serde(default = "not_surveyed")]
    pub policy_host: Known<Answer<IpAddr>>,
}

/// What facts of an older release do not say.
fn not_surveyed<T>() -> Known<T> {
    Known::unknown("it was not surveyed")
}

/// Whether a name points at this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Here {
    /// Every address of it is this host's.
    Yes,
    /// Some are, some are not.
    Partly,
    /// None is.
    No,
}

/// One MX name in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MxFacts {
    /// The name.
    pub name: DnsName,
    /// Its addresses.
    pub addresses: Known<Answer<IpAddr>>,
    /// Whether it is this host's; behind NAT this is unknown.
    pub here: Known<Here>,
    /// TLSA records of `_25._tcp.` of the name.
    pub tlsa: Known<Answer<Tlsa>>,
    /// CAA records that govern the name (RFC 8659 §3), in zone-file form.
    pub caa: Known<Answer<String>>,
}

/// A name that is no MX name, in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameFacts {
    /// The name.
    pub name: DnsName,
    /// Whether it is this host's; behind NAT this is unknown.
    pub here: Known<Here>,
}
