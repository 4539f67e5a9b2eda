//! The policy file of MTA-STS (RFC 8461 §3.2), which senders fetch from `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`.

use super::{Reading, Remarks, fields, mta_sts::StsRecord};
use crate::{certificate::Digest, name::DnsName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const SECTION: &str = "RFC 8461 section 3.2";
/// Senders need not read more (RFC 8461 §3.3), in bytes.
pub const LARGEST: usize = 64 * 1024;
/// The longest that a policy may ask to be kept, in seconds.
pub const LONGEST: u32 = 31_557_600;
/// `max_age` of a policy that is being tried, in seconds.
pub const TESTING_AGE: u32 = 86_400;
/// The least `max_age` of a policy that is to protect, in seconds: two weeks.
pub const ENFORCE_AGE: u32 = 1_209_600;

/// What senders shall do where the server does not live up to the policy (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Do not deliver.
    Enforce,
    /// Deliver, and report.
    Testing,
    /// As if there were no policy: how a domain leaves (§8.3).
    None,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        })
    }
}

/// A name of an MX host, or `*.` before one for exactly one label more (RFC 8461 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MxPattern {
    any_label: bool,
    name: DnsName,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an MX host, nor \"*.\" before one")]
pub struct NotAPattern(String);

impl MxPattern {
    /// Whether a host of this name is meant.
    #[must_use]
    pub fn matches(&self, mx: &DnsName) -> bool {
        if self.any_label { mx.parent().as_ref() == Some(&self.name) } else { *mx == self.name }
    }

    /// The pattern of a single host.
    #[must_use]
    pub const fn of(name: DnsName) -> Self {
        Self { any_label: false, name }
    }

    /// The single host that is meant; `None` for a pattern of many.
    #[must_use]
    pub fn single(&self) -> Option<&DnsName> {
        (!self.any_label).then_some(&self.name)
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.any_label { "*." } else { "" }, self.name)
    }
}

impl FromStr for MxPattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let (any_label, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        match rest.parse() {
            // `DnsName` knows `_` and the final dot; a Domain (RFC 5321 §4.1.2) knows neither.
            Ok(name) if !rest.contains('_') && !rest.ends_with('.') => Ok(Self { any_label, name }),
            _ => Err(NotAPattern(text.to_owned())),
        }
    }
}

/// The policy. Kept as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StsPolicy {
    /// What senders shall do.
    pub mode: Mode,
    /// The MX hosts that mail may go to.
    pub mx: Vec<MxPattern>,
    /// How long senders keep it, in seconds.
    pub max_age: u32,
}

impl StsPolicy {
    /// Whether mail may go to a host of this name.
    #[must_use]
    pub fn covers(&self, mx: &DnsName) -> bool {
        self.mx.iter().any(|p| p.matches(mx))
    }

    /// The file, exactly.
    #[must_use]
    pub fn text(&self) -> String {
        let mx: String = self.mx.iter().map(|p| format!("mx: {p}\n")).collect();
        format!("version: STSv1\nmode: {}\n{mx}max_age: {}\n", self.mode, self.max_age)
    }

    /// The record that announces this content: another content has another id, and the same content the same.
    #[must_use]
    pub fn record(&self) -> StsRecord {
        let Digest(digest) = Digest::of(self.text().as_bytes());
        StsRecord { id: digest.chars().take(32).collect() }
    }

    /// Reads the bytes of a policy file.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let mut remarks = Remarks::default();
        if bytes.len() > LARGEST {
            remarks.fail(0, "RFC 8461 section 3.3", format!("it has {} bytes, and senders need not read more than {LARGEST}", bytes.len()));
            return Reading { value: None, remarks: remarks.0 };
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            remarks.fail(0, SECTION, "it is not UTF-8");
            return Reading { value: None, remarks: remarks.0 };
        };
        let mut seen = Seen::default();
        let body = text.strip_suffix('\n').unwrap_or(text);
        for (at, line) in body.split('\n').enumerate() {
            seen.line(at + 1, line.strip_suffix('\r').unwrap_or(line), &mut remarks);
        }
        Reading { value: seen.policy(&mut remarks), remarks: remarks.0 }
    }
}

/// A text that was kept as a policy and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no MTA-STS policy")]
pub struct NotAPolicy;

impl TryFrom<String> for StsPolicy {
    type Error = NotAPolicy;

    fn try_from(text: String) -> Result<Self, NotAPolicy> {
        Self::read(text.as_bytes()).value.ok_or(NotAPolicy)
    }
}

impl From<StsPolicy> for String {
    fn from(policy: StsPolicy) -> Self {
        policy.text()
    }
}

/// What was read so far. Of a field that may stand once, the first counts (§3.2, last paragraph).
#[derive(Default)]
struct Seen {
    version: Option<String>,
    mode: Option<Option<Mode>>,
    mx: Vec<MxPattern>,
    max_age: Option<Option<u32>>,
}

impl Seen {
    fn line(&mut self, at: usize, line: &str, remarks: &mut Remarks) {
        let field = line.trim_end_matches([' ', '\t']);
        if field.is_empty() {
            remarks.fail(at, SECTION, "the line is empty: some senders pass over it, others refuse the policy");
            return;
        }
        let Some((name, value)) = field.split_once(':').filter(|(name, _)| fields::is_name(name)) else {
            remarks.fail(at, SECTION, format!("{field:?} is no \"name: value\""));
            return;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let again = match name {
            "version" => self.version.is_some(),
            "mode" => self.mode.is_some(),
            "max_age" => self.max_age.is_some(),
            _ => false,
        };
        if again {
            remarks.warn(at, SECTION, format!("{name} stands there again: the first counts, but some senders take the last"));
            return;
        }
        match name {
            "version" => {
                if value != "STSv1" {
                    remarks.fail(at, SECTION, format!("the version is {value:?}, not STSv1"));
                }
                self.version = Some(value.to_owned());
            }
            "mode" => {
                self.mode = Some(match value {
                    "enforce" => Some(Mode::Enforce),
                    "testing" => Some(Mode::Testing),
                    "none" => Some(Mode::None),
                    _ => {
                        remarks.fail(at, SECTION, format!("the mode {value:?} is none of enforce, testing and none"));
                        None
                    }
                });
            }
            "mx" => match value.parse::<MxPattern>() {
                Ok(pattern) => {
                    if !pattern.name.as_str().contains('.') {
                        remarks.warn(at, SECTION, format!("{pattern} has a single label, which no host on the Internet has"));
                    }
                    if !self.mx.contains(&pattern) {
                        self.mx.push(pattern);
                    }
                }
                Err(why) => remarks.fail(at, "RFC 8461 section 4.1", why.to_string()),
            },
            "max_age" => self.max_age = Some(age(at, value, remarks)),
            _ => extension(at, name, value, remarks),
        }
    }

    fn policy(self, remarks: &mut Remarks) -> Option<StsPolicy> {
        for (name, missing) in [("version", self.version.is_none()), ("mode", self.mode.is_none()), ("max_age", self.max_age.is_none())] {
            if missing {
                remarks.fail(0, SECTION, format!("{name} is missing"));
            }
        }
        let (mode, max_age) = (self.mode??, self.max_age??);
        if self.mx.is_empty() && mode != Mode::None {
            remarks.fail(0, SECTION, format!("it has no mx, so in mode {mode} no host is right"));
        }
        if mode == Mode::Enforce && max_age < ENFORCE_AGE {
            remarks.warn(
                0,
                SECTION,
                format!("senders forget it after {max_age} s: whoever blocks them that long can have mail in clear again"),
            );
        }
        Some(StsPolicy { mode, mx: self.mx, max_age })
    }
}

fn age(at: usize, value: &str, remarks: &mut Remarks) -> Option<u32> {
    if value.is_empty() || value.len() > 10 || !value.bytes().all(|b| b.is_ascii_digit()) {
        remarks.fail(at, SECTION, format!("max_age {value:?} is not a number of seconds in at most 10 digits"));
        return None;
    }
    match value.parse::<u32>() {
        Ok(seconds) if seconds <= LONGEST => {
            if seconds == 0 {
                remarks.warn(at, SECTION, "max_age is 0: nobody keeps the policy, so it protects nothing");
            }
            Some(seconds)
        }
        _ => {
            remarks.fail(at, SECTION, format!("max_age is more than {LONGEST}, a year"));
            Some(LONGEST)
        }
    }
}

fn extension(at: usize, name: &str, value: &str, remarks: &mut Remarks) {
    if value.is_empty() || value.chars().any(char::is_control) {
        remarks.fail(at, SECTION, format!("the value of {name} is empty or holds what it may not"));
    } else if name.to_ascii_lowercase().contains("mx") || ["Version", "Mode", "MODE", "Max_Age", "max-age", "maxage"].contains(&name) {
        remarks.warn(at, SECTION, format!("{name} means nothing to senders: is another field meant? Names are in lower case"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::chance::Chance;

    const HEAD: &str = "version: STSv1\nmode: enforce\n";
    const TAIL: &str = "mx: mail.example.com\nmax_age: 1209600\n";

    /// `ok`, `warn`; `lenient` refused by strict senders alone; `invalid` by all.
    fn verdict(bytes: &[u8]) -> &'static str {
        let reading = StsPolicy::read(bytes);
        match (&reading.value, reading.strict()) {
            (Some(_), Some(_)) if reading.remarks.is_empty() => "ok",
            (Some(_), Some(_)) => "warn",
            (Some(_), None) => "lenient",
            (None, _) => "invalid",
        }
    }

    #[test]
    fn every_form_has_its_verdict() {
        let whole = format!("{HEAD}{TAIL}");
        let with = |line: &str| format!("{HEAD}{line}\n{TAIL}");
        let table: Vec<(String, &str)> = vec![
            // RFC 8461 §3.2, erratum 6253: LF or CRLF.
            (whole.clone(), "ok"),
            (whole.replace('\n', "\r\n"), "ok"),
            (whole.replacen('\n', "\r\n", 1), "ok"),
            (whole.trim_end().into(), "ok"),
            (whole.replace('\n', " \t\n"), "ok"),
            (whole.replace(": ", ":"), "ok"),
            (whole.replace(": ", ": \t "), "ok"),
            (whole.replace("mode:", "mode :"), "invalid"),
            (whole.lines().map(|l| format!("      {l}\n")).collect(), "invalid"),
            (format!("\u{feff}{whole}"), "lenient"),
            (whole.replace("enforce", "enforce;"), "invalid"),
            (whole.replace('\n', "\r"), "invalid"),
            (whole.replace("mail", "ma\0il"), "lenient"),
            (with(""), "lenient"),
            (format!("{whole}\n"), "lenient"),
            (with("# a comment"), "lenient"),
            (with("no field"), "lenient"),
            ("<!doctype html>\n<html></html>\n".into(), "invalid"),
            ("{\"version\": \"STSv1\"}".into(), "invalid"),
            (String::new(), "invalid"),
            (whole.replace('\n', " "), "invalid"),
            // Names and words are case-sensitive.
            (whole.replace("version", "Version"), "lenient"),
            (whole.replace("enforce", "Enforce"), "invalid"),
            (whole.replace("STSv1", "stsv1"), "lenient"),
            (whole.replace("STSv1", "STSv2"), "lenient"),
            (whole.replace("enforce", "report"), "invalid"),
            (whole.replace("enforce", "[enforce]"), "invalid"),
            // What must be there.
            (whole.replace("version: STSv1\n", ""), "lenient"),
            (whole.replace("mode: enforce\n", ""), "invalid"),
            (whole.replace("max_age: 1209600\n", ""), "invalid"),
            (whole.replace("mx: mail.example.com\n", ""), "lenient"),
            (whole.replace("mx: mail.example.com\n", "").replace("enforce", "testing"), "lenient"),
            ("version: STSv1\nmode: none\nmax_age: 86400\n".into(), "ok"),
            ("version: STSv1\nmode: none\nmx: a.example\nmax_age: 86400\n".into(), "ok"),
            // The first counts.
            (with("version: STSv2"), "warn"),
            (with("mode: none"), "warn"),
            (format!("{whole}max_age: 1\n"), "warn"),
            (format!("{TAIL}{HEAD}"), "ok"),
            (with("mx: mail.example.com"), "ok"),
            // Extensions.
            (with("note: gr\u{fc}\u{df}e an alle"), "ok"),
            (with("note:"), "lenient"),
            (with("_note: x"), "lenient"),
            (with("-note: x"), "lenient"),
            (with(&format!("{}: x", "n".repeat(33))), "lenient"),
            (with("nmx: mail.example.com"), "warn"),
            (whole.replace("\nmx:", "\nnmx:"), "lenient"),
        ];
        for (text, expected) in table {
            assert_eq!(verdict(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(verdict(b"version: STSv1\xff\n"), "invalid");
        let large = with(&format!("note: {}", "x".repeat(LARGEST)));
        assert_eq!(verdict(large.as_bytes()), "invalid");
        let first = StsPolicy::read(with("mode: none").as_bytes()).value.map(|p| p.mode);
        assert_eq!(first, Some(Mode::Enforce));
    }

    #[test]
    fn every_age_has_its_verdict() {
        for (age, expected) in [
            ("0086400", "ok"),
            ("31557600", "ok"),
            ("0", "warn"),
            ("31557601", "lenient"),
            ("9999999999", "lenient"),
            ("12345678901", "invalid"),
            ("-1", "invalid"),
            ("+1", "invalid"),
            ("1.5", "invalid"),
            ("1e5", "invalid"),
            ("86400s", "invalid"),
            ("86 400", "invalid"),
            ("", "invalid"),
        ] {
            let text = format!("version: STSv1\nmode: testing\nmx: a.example\nmax_age: {age}\n");
            assert_eq!(verdict(text.as_bytes()), expected, "{age:?}");
        }
        assert_eq!(verdict(format!("{HEAD}mx: a.example\nmax_age: 86400\n").as_bytes()), "warn");
    }

    #[test]
    fn every_pattern_has_its_verdict() {
        for good in ["mail.example.com", "*.example.com", "MAIL.Example.COM", "xn--bcher-kva.example", "localhost"] {
            assert!(good.parse::<MxPattern>().is_ok(), "{good}");
        }
        for bad in [
            "*",
            "*.*.example.com",
            "mail.*.example.com",
            "ma*.example.com",
            ".example.com",
            "mail.example.com.",
            "_mail.example.com",
            "b\u{fc}cher.example",
            "[192.0.2.1]",
            "192.0.2.1",
            "a.example, b.example",
            "a.example b.example",
            "mail.example.com:25",
            "10 mail.example.com",
            "mail.example.com # ours",
            "",
            "-a.example",
            "a..example",
        ] {
            assert!(bad.parse::<MxPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_hosts_of_exactly_its_form() {
        for (pattern, mx, expected) in [
            ("mail.example.com", "mail.example.com", true),
            ("mail.example.com", "MAIL.EXAMPLE.COM.", true),
            ("mail.example.com", "mailXexample.com", false),
            ("mail.example.com", "a.mail.example.com", false),
            ("*.example.com", "mail.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.mx.microsoft", "x.h-v1.mx.microsoft", false),
            ("*.google.com", "alt1.aspmx.l.google.com", false),
            ("*.example.com", "mail.example.com.evil.example", false),
        ] {
            assert_eq!(pattern.parse::<MxPattern>().unwrap().matches(&mx.parse().unwrap()), expected, "{pattern} {mx}");
        }
    }

    #[test]
    fn an_id_follows_the_content() {
        let policy = StsPolicy { mode: Mode::Testing, mx: vec!["mx.example.org".parse().unwrap()], max_age: TESTING_AGE };
        assert_eq!(policy.text(), "version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n");
        assert_eq!(policy.record(), policy.clone().record());
        assert_ne!(policy.record(), StsPolicy { mode: Mode::Enforce, ..policy.clone() }.record());
        assert!(StsRecord::read(&policy.record().text()).strict().is_some());
    }

    #[test]
    fn any_bytes_are_read_and_what_is_understood_is_printed_as_it_reads() {
        let mut chance = Chance::new();
        for _ in 0..20_000 {
            let pieces = [
                "version: STSv1\n",
                "mode: testing\n",
                "mode: none\n",
                "mx: *.example.com\n",
                "mx: a.example\n",
                "max_age: 86400\n",
                "\n",
                "\r\n",
                ":",
                " ",
                "x: y\n",
                "\u{fc}",
                "\0",
                "max_age: 99999999999\n",
                "mx",
            ];
            let text = chance.text(&pieces, 9);
            if let Some(policy) = StsPolicy::read(text.as_bytes()).strict() {
                assert_eq!(StsPolicy::read(policy.text().as_bytes()).strict(), Some(policy), "{text:?}");
            }
        }
    }
}
