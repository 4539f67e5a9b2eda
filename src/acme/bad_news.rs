//! Why there is no certificate, as the admin's sentence with the next step. What a CA says is quoted, bounded and without
//! control characters: it is text from the network.

use crate::{facts::Known, intent::ChallengeType, moment::Moment, name::DnsName, topics::Explained};
use serde_json::Value;
use std::{fmt, io, net::IpAddr, path::PathBuf, time::Duration};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The directory URL cannot be used.
    #[error("{url} is not the directory of a certificate authority: {why}; check --acme-directory")]
    Directory {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The CA's host cannot be reached.
    #[error("{host} cannot be reached: {why}; {next}")]
    Unreachable {
        /// Its host and port.
        host: String,
        /// What the system says.
        why: String,
        /// The next step.
        next: String,
    },
    /// The certificate of the CA's API is not to be trusted.
    #[error("the certificate of {host} does not verify: {why}; {next}")]
    Untrusted {
        /// Its host and port.
        host: String,
        /// What is wrong with it.
        why: String,
        /// The next step.
        next: String,
    },
    /// This host's clock is the likely reason.
    #[error("{why}; the clock of this host is {} (it says {now}): set it, for example with `timedatectl set-ntp true`, and run this again", off(*.ahead))]
    Clock {
        /// What failed.
        why: String,
        /// Seconds that this host is ahead (+) or behind (−).
        ahead: i64,
        /// What this host's clock says.
        now: Moment,
    },
    /// The terms of service wait for agreement.
    #[error("the certificate authority asks for agreement to its terms of service, {url}: read them and add --agree-tos")]
    Terms {
        /// Where they are.
        url: String,
    },
    /// The CA wants an account of its own kind first.
    #[error(
        "{directory} needs an account that was made at its web site: get a key id and an HMAC key there and give them with --eab-kid and --eab-hmac-key-file"
    )]
    Binding {
        /// The directory URL.
        directory: String,
    },
    /// The CA has no such profile.
    #[error("{directory} offers no profile {asked:?}; {}", offers(.offered))]
    Profile {
        /// The directory URL.
        directory: String,
        /// What was asked for.
        asked: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// Too much was asked in a time; never waited for longer than a wait may be.
    #[error("the certificate authority refuses for now, a rate limit: {says}; {}", .until.map_or_else(|| "its words say when to try again; nothing is lost, the keys are kept".to_owned(), |u| format!("run the same command again after {u}; nothing is lost, the keys are kept")))]
    RateLimited {
        /// The CA's words.
        says: String,
        /// When it ends, where it said so.
        until: Option<Moment>,
    },
    /// The CA refuses.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refusal>),
    /// The CA answers, but not as one.
    #[error(
        "{url} does not answer as a certificate authority should: {says}; try again later, an order that began goes on where it stopped"
    )]
    Broken {
        /// What was asked.
        url: String,
        /// What came.
        says: String,
    },
    /// A wait came to its bound.
    #[error("gave up after {} s waiting for {on}; run the same command again, an order that began goes on where it stopped", .after.as_secs())]
    Late {
        /// What was waited for.
        on: String,
        /// The bound.
        after: Duration,
    },
    /// CAA records forbid it; nothing was ordered.
    #[error(
        "the CAA records that govern {name} ({}) do not let this certificate authority issue for it by {}, so nothing was ordered: add {add} to them, choose another way with --challenge, or a certificate authority that they name with --acme-directory",
        .governing.join(", "), .method.name()
    )]
    Caa {
        /// The name.
        name: DnsName,
        /// The records, as in a zone file.
        governing: Vec<String>,
        /// A record that would let it issue.
        add: String,
        /// How it would check.
        method: ChallengeType,
    },
    /// Nobody can answer the CA's challenge.
    #[error("port {port} cannot be opened for the certificate authority's question ({why}); {next}")]
    Listen {
        /// The port.
        port: u16,
        /// The system's answer.
        why: String,
        /// The next step.
        next: String,
    },
    /// The answer would be a record, and nobody may publish one.
    #[error(
        "dns-01 needs a way to publish records, and none is configured for the zone: name one with the key publish in mxseal.toml, or use --challenge http-01 or tls-alpn-01"
    )]
    NoPublisher,
    /// The answer could not be put into DNS.
    #[error("the certificate authority cannot be answered in DNS: {0}")]
    Dns(String),
    /// The challenge's answer cannot be put where a web server serves it.
    #[error("{}: {source}; check that --webroot is the directory that the web server serves for this name", .path.display())]
    Webroot {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A private key cannot be used.
    #[error("{what}: {why}")]
    Key {
        /// Which one: a file or what it is for.
        what: String,
        /// Why not.
        why: String,
    },
    /// What another program keeps cannot be served.
    #[error("the certificate that {keeper} keeps in {} cannot be served: {why}; what was served before stays", .file.display())]
    Kept {
        /// The program.
        keeper: String,
        /// Its chain file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// A certificate came that must not be used.
    #[error("the certificate that came is not what was ordered: {0}; it is not used. Report this to the certificate authority")]
    Arrived(String),
    /// Our own directory.
    #[error("the state directory: {0}")]
    Store(#[from] io::Error),
}

impl Trouble {
    /// A key that cannot be used, and why.
    pub(super) fn key(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Key { what: what.into(), why: why.into() }
    }

    /// The kinds of refusal (the last words of the CA's error types); empty for every other trouble.
    #[must_use]
    pub fn kinds(&self) -> Vec<&str> {
        match self {
            Self::Refused(all) => all.iter().map(|r| r.kind.as_str()).collect(),
            Self::RateLimited { .. } => vec!["rateLimited"],
            _ => Vec::new(),
        }
    }
}

impl Explained for Trouble {
    fn topic(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "ca-directory",
            Self::Unreachable { .. } => "ca-unreachable",
            Self::Untrusted { .. } => "ca-untrusted",
            Self::Clock { .. } => "clock-off",
            Self::Terms { .. } => "ca-terms",
            Self::Binding { .. } => "ca-account",
            Self::Profile { .. } => "ca-profile",
            Self::RateLimited { .. } => "ca-rate-limit",
            Self::Refused(all) => all.first().map_or("ca-refused", |refusal| match refusal.kind.as_str() {
                "connection" => "challenge-unreachable",
                "dns" => "challenge-dns",
                "unauthorized" | "incorrectResponse" if refusal.name.is_some() => "challenge-answer",
                "caa" => "challenge-caa",
                "rejectedIdentifier" | "unsupportedIdentifier" => "ca-name-refused",
                "externalAccountRequired" => "ca-account",
                "invalidProfile" => "ca-profile",
                _ => "ca-refused",
            }),
            Self::Caa { .. } => "challenge-caa",
            Self::Broken { .. } => "ca-broken",
            Self::Late { .. } => "ca-late",
            Self::Listen { .. } => "challenge-port",
            Self::NoPublisher => "challenge-chosen",
            Self::Dns(_) => "challenge-publish",
            Self::Webroot { .. } => "challenge-webroot",
            Self::Key { .. } => "key-unusable",
            Self::Kept { .. } => "adopt-unusable",
            Self::Arrived(_) => "certificate-wrong",
            Self::Store(_) => "state-unusable",
        }
    }
}

fn off(ahead: i64) -> String {
    let (seconds, side) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead" });
    match seconds {
        0..=7199 => format!("{seconds} s {side}"),
        7200..=172_799 => format!("{} hours {side}", seconds / 3600),
        _ => format!("{} days {side}", seconds / 86_400),
    }
}

fn offers(offered: &[String]) -> String {
    if offered.is_empty() { "it has none: leave --acme-profile out".to_owned() } else { format!("it has: {}", offered.join(", ")) }
}

/// One refusal: for which name, in the CA's words, what it reached, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name, where one is meant.
    pub name: Option<String>,
    /// The last word of the error type (RFC 8555 §6.7), such as `connection` or `rejectedIdentifier`.
    pub kind: String,
    /// The CA's words.
    pub says: String,
    /// The addresses that it used, as it said.
    pub reached: Vec<IpAddr>,
    /// Who asked our own listener for the answer; unknown where a web server answers.
    pub asked_by: Known<Vec<IpAddr>>,
    /// The next step.
    pub next: String,
}

impl Refusal {
    /// From the body of an answer that is a problem document, or none at all.
    #[must_use]
    pub fn read(body: &[u8], names: &[String], port: u16) -> Vec<Self> {
        Self::all(&serde_json::from_slice(body).unwrap_or_default(), names, port)
    }

    /// From a problem document (RFC 7807), perhaps with sub-problems (RFC 8555 §6.7.1): one a name, else one for `names`.
    pub(super) fn all(problem: &Value, names: &[String], port: u16) -> Vec<Self> {
        let subs = problem["subproblems"].as_array().map(Vec::as_slice).unwrap_or_default();
        if subs.is_empty() {
            let says = words(problem);
            let meant: Vec<_> = names.iter().filter(|n| mentions(&says, n)).collect();
            let name = match (meant.as_slice(), names) {
                ([one], _) => Some((*one).clone()),
                ([], [one]) => Some(one.clone()),
                _ => None,
            };
            let mut one = Self::one(problem, name, port);
            if one.kind == "unauthorized" {
                // Said of a request, not of a challenge: the account is meant (RFC 8555 §7.3.6).
                one.next = "it does not accept our account for this; do what its words say, or remove the account's two files below accounts/ in the state directory to begin with a new one".into();
            }
            return vec![one];
        }
        subs.iter().map(|sub| Self::one(sub, sub["identifier"]["value"].as_str().map(said), port)).collect()
    }

    /// From one problem about one name.
    pub(super) fn one(problem: &Value, name: Option<String>, port: u16) -> Self {
        let kind = said(problem["type"].as_str().unwrap_or("").rsplit(':').next().unwrap_or_default());
        let says = words(problem);
        let reached = addresses(&says);
        let next = next_step(&kind, port).to_owned();
        Self { name, kind, says, reached, asked_by: Known::unknown("not asked for"), next }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.name {
            Some(name) => write!(f, "the certificate authority refuses {name}: {}", self.says)?,
            None => write!(f, "the certificate authority refuses: {}", self.says)?,
        }
        if !self.kind.is_empty() {
            write!(f, " ({})", self.kind)?;
        }
        if !self.reached.is_empty() {
            write!(f, "; it used the address {}", list(&self.reached))?;
        }
        match self.asked_by.value() {
            Some(all) if all.is_empty() => f.write_str("; nobody asked this host for the answer")?,
            Some(all) => write!(f, "; this host was asked by {}", list(all))?,
            None => {}
        }
        write!(f, ". Next: {}", self.next)
    }
}

/// What an admin can do about an error type (RFC 8555 §6.7).
fn next_step(kind: &str, port: u16) -> &'static str {
    match kind {
        // The port of name servers: it looked for a text.
        "connection" | "dns" | "unauthorized" | "incorrectResponse" if port == 53 => {
            "it saw no text of ours below the name, or one from before: when every server of the zone can be asked from everywhere and caches have forgotten, which takes a minute, run this again"
        }
        "connection" if port == 80 => {
            "let port 80 of that address reach this host from everywhere (firewall, provider's security group, port forwarding), or correct the name's A and AAAA records"
        }
        "connection" if port == 443 => {
            "let port 443 of that address reach this host from everywhere, use port 80 with --challenge http-01, or correct the name's A and AAAA records"
        }
        "connection" => "let the certificate authority reach this host, or correct the name's A and AAAA records",
        "dns" => {
            "give the name an A or AAAA record that the whole Internet can see; if it has one, wait until every server of the zone knows it"
        }
        "tls" => {
            "something between the CA and port 443 of this host ends TLS: let it pass through, or use port 80 with --challenge http-01"
        }
        "unauthorized" | "incorrectResponse" => {
            "another web server answered: correct the name's A and AAAA records if that is not this host, or give the directory that it serves with --webroot"
        }
        "caa" => {
            "a CAA record of the name or a domain above it names other certificate authorities: add this one to it, or use one that it names"
        }
        "rejectedIdentifier" => {
            "this certificate authority never certifies that name: leave it out, or choose another with --acme-directory"
        }
        "unsupportedIdentifier" | "malformed" => {
            "check the names; if they are right, choose another certificate authority with --acme-directory"
        }
        "invalidContact" | "unsupportedContact" => "correct --email, or use --no-email",
        "externalAccountRequired" => "get a key id and an HMAC key at its web site and give them with --eab-kid and --eab-hmac-key-file",
        "userActionRequired" => "open the page that it names, do what it asks, then run this again",
        "accountDoesNotExist" => "run this again: a new account is made",
        "badPublicKey" | "badCSR" => "order with another key: --key-type, or without the key that is reused",
        "invalidProfile" => "choose another --acme-profile, or leave it out",
        "serverInternal" => "try again later: an order that began goes on where it stopped",
        _ => "do what its words say, then run this again",
    }
}

/// Text of the network, for a reader: no control characters, one line, at most 600 characters.
pub(super) fn said(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() > 600 { words.chars().take(600).chain(['…']).collect() } else { words }
}

/// The words of a problem document.
pub(super) fn words(problem: &Value) -> String {
    let text = problem["detail"].as_str().or_else(|| problem["title"].as_str()).unwrap_or("it gives no reason");
    said(text).trim_end_matches('.').to_owned()
}

/// Whether a name stands in a text as a whole.
fn mentions(text: &str, name: &str) -> bool {
    text.to_ascii_lowercase().split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).any(|w| w.trim_matches('.') == name)
}

/// Every address literal in a text, each once.
fn addresses(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for word in text.split(|c: char| !(c.is_ascii_hexdigit() || ":.[]".contains(c))) {
        let word = word.trim_end_matches([':', '.']);
        let addr = word.parse::<std::net::SocketAddr>().map(|a| a.ip()).or_else(|_| word.trim_matches(['[', ']']).parse::<IpAddr>());
        if let Ok(addr) = addr
            && !found.contains(&addr)
            && !addr.is_unspecified()
        {
            found.push(addr);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_found_in_the_words_of_cas() {
        for (text, want) in [
            (r#"Get "http://mx.example.test:5002/x": dial tcp 127.0.0.1:5002: connect: connection refused"#, vec!["127.0.0.1"]),
            ("2001:db8::25: Fetching http://mx.example.org/.well-known/acme-challenge/x: Timeout", vec!["2001:db8::25"]),
            ("dial tcp [2001:db8::1]:80: i/o timeout; 192.0.2.7: Invalid response", vec!["2001:db8::1", "192.0.2.7"]),
            ("no valid A records found for mx.example.org", vec![]),
        ] {
            let want: Vec<IpAddr> = want.iter().map(|a| a.parse().expect("an address")).collect();
            assert_eq!(addresses(text), want, "{text}");
        }
    }

    #[test]
    fn a_refusal_names_its_name() {
        let names = ["mx.example.org".to_owned(), "example.org".to_owned()];
        let plain =
            json!({"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Order included blocked \"mx.example.org\"."});
        let all = Refusal::all(&plain, &names, 80);
        assert_eq!((all[0].name.as_deref(), all[0].kind.as_str()), (Some("mx.example.org"), "rejectedIdentifier"));
        let subs = json!({"type": "t:compound", "detail": "d", "subproblems": [
            {"type": "t:caa", "detail": "CAA forbids", "identifier": {"type": "dns", "value": "example.org"}},
            {"type": "t:dns", "detail": "no A", "identifier": {"type": "dns", "value": "mx.example.org"}}]});
        let all = Refusal::all(&subs, &names, 80);
        assert_eq!(
            all.iter().map(|r| (r.name.as_deref().unwrap_or(""), r.kind.as_str())).collect::<Vec<_>>(),
            [("example.org", "caa"), ("mx.example.org", "dns")]
        );
        let text = Trouble::Refused(all).to_string();
        assert!(text.contains("refuses example.org: CAA forbids (caa). Next: a CAA record"), "{text}");
    }

    #[test]
    fn what_to_do_fits_the_challenge() {
        for (kind, port, expected) in [
            ("unauthorized", 80, "another web server answered"),
            ("unauthorized", 53, "it saw no text of ours"),
            ("dns", 80, "A or AAAA record"),
            ("dns", 53, "it saw no text of ours"),
            ("caa", 53, "a CAA record"),
            ("connection", 443, "let port 443"),
        ] {
            assert!(next_step(kind, port).contains(expected), "{kind} {port}");
        }
    }

    #[test]
    fn words_of_the_network_are_one_clean_line() {
        assert_eq!(said("a\u{1b}[31m\nb\t c"), "a [31m b c");
        assert_eq!(said(&"x".repeat(5000)).chars().count(), 601);
    }

    #[test]
    fn a_rate_limit_says_when_it_ends() {
        let text = Trouble::RateLimited { says: "too many".into(), until: Some(Moment(86_400)) }.to_string();
        assert!(text.contains("after 1970-01-02T00:00:00Z"), "{text}");
    }
}
