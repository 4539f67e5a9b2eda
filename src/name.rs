//! Names as DNS knows them. The only text from the network that may reach a configuration line is a [`DnsName`].

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A host or domain name: letters, digits, hyphens (and `_` as a first character of a label, for `_25._tcp`), lower case,
/// without a final dot, at most 253 bytes in labels of at most 63 (RFC 1035 §2.3.4, RFC 5890 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

/// Why a text is no [`DnsName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a DNS name: {why}")]
pub struct NotADnsName {
    name: String,
    why: &'static str,
}

impl DnsName {
    /// The name as text, without a final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with its final dot, as resolvers want it (no search list).
    #[must_use]
    pub fn absolute(&self) -> String {
        format!("{}.", self.0)
    }

    /// `label` put before this name, such as `_25._tcp`.
    ///
    /// # Errors
    /// When the result is longer than a name may be.
    pub fn under(&self, label: &str) -> Result<Self, NotADnsName> {
        format!("{label}.{}", self.0).parse()
    }

    /// The name without its first label; `None` for a single label.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.to_owned()))
    }

    /// Whether a certificate's DNS name covers this name: equal, or a wildcard for exactly the first label (RFC 6125 §6.4.3).
    #[must_use]
    pub fn covered_by(&self, pattern: &str) -> bool {
        let pattern = pattern.trim_end_matches('.').to_ascii_lowercase();
        match pattern.strip_prefix("*.") {
            Some(rest) => self.0.split_once('.').is_some_and(|(_, tail)| tail == rest),
            None => self.0 == pattern,
        }
    }
}

impl FromStr for DnsName {
    type Err = NotADnsName;

    fn from_str(text: &str) -> Result<Self, NotADnsName> {
        let fail = |why| Err(NotADnsName { name: text.to_owned(), why });
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return fail("it is empty");
        }
        if name.len() > 253 {
            return fail("it is longer than 253 bytes");
        }
        for label in name.split('.') {
            let body = label.strip_prefix('_').unwrap_or(label);
            if body.is_empty() || label.len() > 63 {
                return fail("a label is empty or longer than 63 bytes");
            }
            if !body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return fail("a label holds something other than letters, digits and hyphens (write it in its xn-- form)");
            }
            if body.starts_with('-') || body.ends_with('-') {
                return fail("a label begins or ends with a hyphen");
            }
        }
        if name.parse::<std::net::IpAddr>().is_ok() {
            return fail("it is an address");
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for DnsName {
    type Error = NotADnsName;

    fn try_from(text: String) -> Result<Self, NotADnsName> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dns_names_pass() {
        for good in ["mx.example.org", "MX.Example.ORG.", "_25._tcp.mx.example.org", "xn--bcher-kva.example", "localhost"] {
            assert!(good.parse::<DnsName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "${run{/bin/sh}}",
            "a b",
            "mx.example.org\nevil = 1",
            "192.0.2.1",
            "-a.example",
            "a-.example",
            "bücher.example",
        ] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad:?}");
        }
        assert!(format!("{}.example", "a".repeat(64)).parse::<DnsName>().is_err());
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let name: DnsName = "mx1.example.org".parse().expect("a name");
        assert!(name.covered_by("*.example.org") && name.covered_by("MX1.example.org."));
        assert!(!name.covered_by("*.org") && !name.covered_by("example.org"));
    }
}
