//! The TXT record at `_smtp._tls.DOMAIN` (RFC 8460 §3): where senders report how their TLS sessions went.

use super::{Published, Reading, Remarks, fields};
use crate::name::DnsName;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const VERSION: &str = "v=TLSRPTv1";
const SECTION: &str = "RFC 8460 section 3";

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRptRecord {
    /// Where reports go, in order.
    pub rua: Vec<Rua>,
}

/// One place for reports: a `mailto:` or `https:` URI, in which `,`, `;` and `!` are percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rua {
    uri: String,
    /// The domain of a mail address; `None` for a web address.
    mail_domain: Option<DnsName>,
}

/// Why a text is no place for reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{uri:?} is no place for TLS reports: {why} (RFC 8460 section 3)")]
pub struct NotARua {
    uri: String,
    why: &'static str,
}

impl Rua {
    /// The domain that its reports are mailed to; `None` for a web address.
    #[must_use]
    pub const fn mail_domain(&self) -> Option<&DnsName> {
        self.mail_domain.as_ref()
    }
}

impl fmt::Display for Rua {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl From<Rua> for String {
    fn from(rua: Rua) -> Self {
        rua.uri
    }
}

impl TryFrom<String> for Rua {
    type Error = NotARua;

    fn try_from(uri: String) -> Result<Self, NotARua> {
        uri.parse()
    }
}

impl FromStr for Rua {
    type Err = NotARua;

    fn from_str(uri: &str) -> Result<Self, NotARua> {
        let wrong = |why| Err(NotARua { uri: uri.to_owned(), why });
        if let Some(bad) = uri.chars().find(|c| matches!(c, ',' | ';' | '!') || !c.is_ascii_graphic()) {
            return wrong(match bad {
                ',' | ';' | '!' => "a comma, a semicolon and an exclamation mark in it must be written %2C, %3B and %21",
                _ => "it holds white space, or what is not ASCII",
            });
        }
        let Some((scheme, rest)) = uri.split_once(':') else { return wrong("it begins with neither mailto: nor https:") };
        match scheme.to_ascii_lowercase().as_str() {
            "mailto" => {
                // RFC 6068: one address; what follows a question mark are header fields.
                let address = rest.split('?').next().unwrap_or_default();
                let Some((local, domain)) = address.rsplit_once('@') else { return wrong("there is no @ in its address") };
                match domain.parse() {
                    Ok(domain) if !local.is_empty() => Ok(Self { uri: uri.to_owned(), mail_domain: Some(domain) }),
                    _ => wrong("its address has no name before the @, or no domain behind it"),
                }
            }
            "https" => {
                let host = rest.strip_prefix("//").unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
                if host.is_empty() { wrong("it names no host") } else { Ok(Self { uri: uri.to_owned(), mail_domain: None }) }
            }
            _ => wrong("it begins with neither mailto: nor https:"),
        }
    }
}

impl TlsRptRecord {
    /// Reads one text, the strings of the TXT record put together.
    #[must_use]
    pub fn read(text: &str) -> Reading<Self> {
        let mut remarks = Remarks::default();
        if !fields::begins(text, VERSION) {
            remarks.fail(0, SECTION, format!("it does not begin with {VERSION:?} and a semicolon, so senders discard it"));
            return Reading { value: None, remarks: remarks.0 };
        }
        let (mut rua, mut seen) = (Vec::new(), false);
        for (at, (name, value)) in fields::fields(text, VERSION, SECTION, &mut remarks).into_iter().enumerate() {
            match name {
                "rua" if seen => remarks.warn(0, SECTION, "there is more than one rua: some senders take the first, some take all"),
                "rua" => {
                    seen = true;
                    if at > 0 {
                        remarks.warn(0, SECTION, "rua is not the first field behind the version: at least one sender then reports nothing");
                    }
                    rua = places(value, &mut remarks);
                }
                _ if !fields::is_value(value) => remarks.fail(0, SECTION, format!("the value of {name} is empty or holds what it may not")),
                _ => {}
            }
        }
        if !seen {
            remarks.fail(0, SECTION, "there is no rua, so nobody knows where to report to");
        }
        Reading { value: (!rua.is_empty()).then_some(Self { rua }), remarks: remarks.0 }
    }

    /// What the TXT records at `_smtp._tls.DOMAIN` come to.
    #[must_use]
    pub fn published<S: AsRef<str>>(texts: &[S]) -> Published<Self> {
        Published::of(texts, Self::is, Self::read)
    }

    /// Whether a text is such a record at all, right or wrong.
    #[must_use]
    pub fn is(text: &str) -> bool {
        fields::begins(text, VERSION)
    }

    /// The text to publish: no white space round the commas, which one reporter does not trim.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{VERSION}; rua={};", self.rua.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

fn places(value: &str, remarks: &mut Remarks) -> Vec<Rua> {
    let mut all = Vec::new();
    for part in value.split(',') {
        let uri = part.trim_matches([' ', '\t']);
        if uri != part {
            remarks.warn(0, SECTION, "there is white space beside a comma: at least one sender does not expect it");
        }
        match uri.parse::<Rua>() {
            Ok(rua) => {
                if !uri.starts_with("mailto:") && !uri.starts_with("https:") {
                    remarks.warn(0, "RFC 3986 section 3.1", "mailto and https are better written in lower case");
                }
                all.push(rua);
            }
            Err(why) => remarks.fail(0, SECTION, why.to_string()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::chance::Chance;

    fn verdict(text: &str) -> &'static str {
        TlsRptRecord::published(&[text.to_owned()]).verdict()
    }

    #[test]
    fn every_case_has_its_verdict() {
        for (text, expected) in [
            // RFC 8460 §3, the grammar.
            ("v=TLSRPTv1; rua=mailto:reports@example.com", "ok"),
            ("v=TLSRPTv1;rua=mailto:reports@example.com;", "ok"),
            ("v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", "ok"),
            ("v=TLSRPTv1; rua=mailto:a@example.com,https://example.net/", "ok"),
            ("v=TLSRPTv1; rua=mailto:a@example.com; ext=1", "ok"),
            ("v=TLSRPTv1; rua=mailto:a%2Cb@example.com", "ok"),
            ("v=TLSRPTv1; rua=mailto:a@elsewhere.example", "ok"),
            // Legal, and not understood by all.
            ("v=TLSRPTv1; rua=mailto:a@example.com , https://example.net/", "warn"),
            ("v=TLSRPTv1; ext=1; rua=mailto:a@example.com", "warn"),
            ("v=TLSRPTv1; rua=mailto:a@example.com; rua=mailto:b@example.com", "warn"),
            ("v=TLSRPTv1; rua=MAILTO:a@example.com", "warn"),
            ("v=TLSRPTv1 ; rua=mailto:a@example.com", "warn"),
            // No place for reports.
            ("v=TLSRPTv1; rua=http://example.com/", "invalid"),
            ("v=TLSRPTv1; rua=a@example.com", "invalid"),
            ("v=TLSRPTv1; rua=mailto:", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@", "invalid"),
            ("v=TLSRPTv1; rua=mailto:@example.com", "invalid"),
            ("v=TLSRPTv1; rua=https:", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@example.com mailto:b@example.com", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@example.com,", "invalid"),
            ("v=TLSRPTv1; rua=", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@example.com!10m", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a!b@example.com", "invalid"),
            ("v=TLSRPTv1;", "invalid"),
            ("v=TLSRPTv1; RUA=mailto:a@example.com", "invalid"),
            ("v=TLSRPTv1;; rua=mailto:a@example.com", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@example.com; more=", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@example.com; test==", "invalid"),
            ("v=TLSRPTv1; rua=mailto:a@example.com ", "invalid"),
            // No such record.
            ("v=tlsrptv1; rua=mailto:a@example.com", "none"),
            ("v=TLSRPTv2; rua=mailto:a@example.com", "none"),
            ("rua=mailto:a@example.com; v=TLSRPTv1", "none"),
            ("v=TLSRPTv1", "none"),
        ] {
            assert_eq!(verdict(text), expected, "{text:?}");
        }
        let twice = ["v=TLSRPTv1; rua=mailto:a@example.com".to_owned(), "v=TLSRPTv1; rua=mailto:b@example.com".to_owned()];
        assert_eq!(TlsRptRecord::published(&twice), Published::Several(2));
    }

    #[test]
    fn the_domain_of_a_mail_address_is_known() {
        for (uri, domain) in [
            ("mailto:a@example.com", Some("example.com")),
            ("mailto:a%40b@Example.COM?subject=x", Some("example.com")),
            ("https://a@example.com/", None),
        ] {
            assert_eq!(uri.parse::<Rua>().unwrap().mail_domain().map(DnsName::as_str), domain, "{uri}");
        }
    }

    #[test]
    fn any_bytes_are_read_and_what_is_understood_is_printed_as_it_reads() {
        let mut chance = Chance::new();
        for _ in 0..20_000 {
            let pieces = ["rua=", "mailto:", "a@example.com", "https://", "b.example/", ",", ";", " ", "!", "x=y", "\u{fc}", "@", ":"];
            let text = format!("v=TLSRPTv1;{}", chance.text(&pieces, 10));
            if let Some(record) = TlsRptRecord::read(&text).strict() {
                assert_eq!(TlsRptRecord::read(&record.text()).strict(), Some(record), "{text:?}");
            }
        }
    }
}
