//! CAA records (RFC 8659): which CAs may issue for a name, and how they may check (RFC 8657).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caa {
    /// 128 is *critical*: a CA that does not know the tag must not issue.
    pub flags: u8,
    /// Such as `issue`, in lower case.
    pub tag: String,
    /// For `issue` the domain of a CA, then parameters.
    pub value: String,
}

/// Why a text is no CAA record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no CAA record: flags, tag and a value in quotes are expected (RFC 8659 section 4.1.1)")]
pub struct NotCaa(String);

impl Caa {
    /// The record that lets one CA issue, which checks by these methods alone (RFC 8657 §4).
    #[must_use]
    pub fn issue(issuer: &str, methods: &[&str]) -> Self {
        let how = if methods.is_empty() { String::new() } else { format!("; validationmethods={}", methods.join(",")) };
        Self { flags: 0, tag: "issue".to_owned(), value: format!("{issuer}{how}") }
    }

    /// The CA that an `issue` record names, with its parameters; `None` for other tags and for what cannot be read, which
    /// names nobody (RFC 8659 §4.2).
    fn issuer(&self) -> Option<(&str, Vec<(&str, &str)>)> {
        if self.tag != "issue" {
            return None;
        }
        let mut parts = self.value.split(';').map(str::trim);
        let issuer = parts.next().filter(|i| !i.is_empty())?;
        let parameters =
            parts.filter(|p| !p.is_empty()).map(|p| p.split_once('=').map(|(n, v)| (n.trim(), v.trim()))).collect::<Option<_>>()?;
        Some((issuer, parameters))
    }
}

/// Whether the records that govern a name let `issuer` issue by `method` (RFC 8659 §3 and §4.2, RFC 8657 §4). An account that
/// a record asks for is taken for ours.
#[must_use]
pub fn permits(governing: &[Caa], issuer: &str, method: &str) -> bool {
    let known = ["issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"];
    if governing.iter().any(|c| c.flags & 128 != 0 && !known.contains(&c.tag.as_str())) {
        return false;
    }
    let mut issue = governing.iter().filter(|c| c.tag == "issue").peekable();
    if issue.peek().is_none() {
        return true;
    }
    let by = |parameters: &[(&str, &str)]| {
        let methods = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("validationmethods"));
        methods.is_none_or(|(_, list)| list.split(',').any(|m| m.trim().eq_ignore_ascii_case(method)))
    };
    issue.filter_map(Caa::issuer).any(|(name, parameters)| name.eq_ignore_ascii_case(issuer) && by(&parameters))
}

impl fmt::Display for Caa {
    /// As in a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.flags, self.tag, super::quoted(self.value.as_bytes()))
    }
}

impl FromStr for Caa {
    type Err = NotCaa;

    /// As in a zone file, the value in quotes (RFC 1035 §5.1) or, where it has no white space, without.
    fn from_str(text: &str) -> Result<Self, NotCaa> {
        let wrong = || NotCaa(text.to_owned());
        let mut words = text.trim().splitn(3, [' ', '\t']);
        let (Some(flags), Some(tag), Some(value)) = (words.next(), words.next(), words.next()) else { return Err(wrong()) };
        let flags = flags.parse().map_err(|_| wrong())?;
        if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(wrong());
        }
        let value = super::unquoted(value.trim()).ok_or_else(wrong)?;
        Ok(Self { flags, tag: tag.to_ascii_lowercase(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_printed() {
        for (text, printed) in [
            ("0 issue \"letsencrypt.org\"", Some("0 issue \"letsencrypt.org\"")),
            ("0 ISSUE letsencrypt.org", Some("0 issue \"letsencrypt.org\"")),
            ("128 issue \"ca.example; validationmethods=http-01\"", Some("128 issue \"ca.example; validationmethods=http-01\"")),
            ("0 iodef \"a\\\"b\\\\c\\007\"", Some("0 iodef \"a\\\"b\\\\c\\007\"")),
            ("0 issue \"open", None),
            ("0 issue a\"b", None),
            ("256 issue \"a\"", None),
            ("0 is-sue \"a\"", None),
            ("0 issue", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Caa>().ok().map(|c| c.to_string()).as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn who_may_issue_is_judged_as_a_ca_does() {
        for (governing, issuer, expected) in [
            // RFC 8659 §3, §4.2.
            (&[][..], "ca.example", true),
            (&["0 iodef \"mailto:a@example.org\""], "ca.example", true),
            (&["0 issuewild \"other.example\""], "ca.example", true),
            (&["0 issue \"ca.example\""], "ca.example", true),
            (&["0 issue \"CA.example\""], "ca.example", true),
            (&["0 issue \"other.example\""], "ca.example", false),
            (&["0 issue \"other.example\"", "0 issue \"ca.example\""], "ca.example", true),
            (&["0 issue \";\""], "ca.example", false),
            (&["0 issue \"\""], "ca.example", false),
            (&["0 issue \"ca.example; %%%%%\""], "ca.example", false),
            (&["128 tbs \"unknown\""], "ca.example", false),
            (&["0 tbs \"unknown\""], "ca.example", true),
            // RFC 8657 §3, §4.
            (&["0 issue \"ca.example; accounturi=https://ca.example/1\""], "ca.example", true),
            (&["0 issue \"ca.example; validationmethods=dns-01,http-01\""], "ca.example", true),
            (&["0 issue \"ca.example; validationmethods=dns-01\""], "ca.example", false),
        ] {
            let records: Vec<Caa> = governing.iter().map(|t| t.parse().unwrap()).collect();
            assert_eq!(permits(&records, issuer, "http-01"), expected, "{governing:?}");
        }
        let ours = [Caa::issue("ca.example", &["http-01"])];
        assert!(permits(&ours, "ca.example", "http-01") && !permits(&ours, "ca.example", "dns-01"));
    }
}
