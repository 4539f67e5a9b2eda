//! One conversation with one address, as it went. Survey, proof and check judge the same value; it can be kept and
//! judged again.

use crate::{certificate::Certificate, certificate::KeyType, known::Known, moment::Moment, name::DnsName};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How TLS begins on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// After STARTTLS (RFC 3207): ports 25 and 587.
    StartTls,
    /// From the first byte (RFC 8314): port 465.
    Implicit,
    /// IMAP, after STARTTLS (RFC 9051 §6.2.1): port 143.
    Imap,
    /// IMAP in TLS from the first byte: port 993.
    Imaps,
    /// POP3, after STLS (RFC 2595 §4): port 110.
    Pop3,
    /// POP3 in TLS from the first byte: port 995.
    Pop3s,
}

impl Wire {
    /// Whether the conversation begins in clear and asks for TLS.
    #[must_use]
    pub const fn begins_in_clear(self) -> bool {
        matches!(self, Self::StartTls | Self::Imap | Self::Pop3)
    }

    /// As a reader knows it.
    #[must_use]
    pub const fn called(self) -> &'static str {
        match self {
            Self::StartTls => "STARTTLS",
            Self::Implicit => "TLS",
            Self::Imap => "IMAP",
            Self::Imaps => "IMAPS",
            Self::Pop3 => "POP3",
            Self::Pop3s => "POP3S",
        }
    }
}

/// What our side offers in its ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offer {
    /// Everything we speak: TLS 1.3 and 1.2, both key types.
    Any,
    /// Signatures with RSA only: shows the RSA certificate, where there is one.
    Rsa,
    /// Signatures with ECDSA only: shows the ECDSA certificate, where there is one.
    Ecdsa,
    /// A bare ClientHello of TLS 1.0 with old suites: shows whether an old sender still gets TLS. No session follows.
    Legacy,
}

impl Offer {
    /// The key type that this offer asks for.
    #[must_use]
    pub const fn key_type(self) -> Option<KeyType> {
        match self {
            Self::Rsa => Some(KeyType::Rsa),
            Self::Ecdsa => Some(KeyType::Ecdsa),
            Self::Any | Self::Legacy => None,
        }
    }
}

/// What to ask of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Address and port.
    pub addr: SocketAddr,
    /// How TLS begins there.
    pub wire: Wire,
    /// The name that the certificate should cover.
    pub name: DnsName,
    /// Whether to send that name as SNI.
    pub sni: bool,
    /// What to offer.
    pub offer: Offer,
    /// The domain whose postmaster is asked for in RCPT; `None` ends the dialogue after the second EHLO.
    pub postmaster_of: Option<DnsName>,
}

/// A reply of an SMTP server: its code and its text lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// The lines after the code, at most 100 of them.
    pub lines: Vec<String>,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// What was asked.
    pub probe: Probe,
    /// When.
    pub taken: Moment,
    /// Milliseconds from connecting to the end.
    pub took_ms: u64,
    /// The server said something: a greeting or, with implicit TLS, an answer to our hello.
    pub answered: bool,
    /// The greeting; for implicit TLS the one inside TLS.
    pub greeting: Known<Reply>,
    /// The capabilities of the first EHLO (before TLS with STARTTLS), upper case keywords with their arguments.
    pub offers: Vec<String>,
    /// The reply to STARTTLS; `None` with implicit TLS or where it was not offered.
    pub starttls: Option<Reply>,
    /// The TLS session.
    pub tls: Known<TlsView>,
    /// Verb and reply code of each step inside TLS (in clear where TLS is not offered): EHLO, MAIL, RCPT, RSET, QUIT.
    pub steps: Vec<(String, u16)>,
    /// Why the conversation ended early, as a sentence; `None` when it went to its end.
    pub broke: Option<String>,
}

impl EndpointView {
    /// A conversation that begins: nothing of it was seen yet.
    #[must_use]
    pub fn begun(probe: Probe, taken: Moment) -> Self {
        let why = "the conversation did not get there";
        Self {
            probe,
            taken,
            took_ms: 0,
            answered: false,
            greeting: Known::unknown(why),
            offers: Vec::new(),
            starttls: None,
            tls: Known::unknown(why),
            steps: Vec::new(),
            broke: None,
        }
    }
}

/// One TLS session as it was agreed, with the verdicts that did not stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsView {
    /// Such as `TLS1.3`.
    pub protocol: String,
    /// Cipher suite, in the RFC's name.
    pub suite: String,
    /// Key exchange group; empty where unknown.
    pub group: String,
    /// The chain as presented, leaf first.
    pub chain: Vec<Certificate>,
    /// Does the chain end in a root that we accept for verdicts (RFC 5280)?
    pub trusted: Known<Judged>,
    /// Does the leaf cover the name (RFC 6125)?
    pub named: Known<Judged>,
}

/// A verdict of the verifier, which reports and goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// Yes.
    Good,
    /// No, and why, in words for an admin.
    Bad(String),
}

impl EndpointView {
    /// The leaf that was presented.
    #[must_use]
    pub fn leaf(&self) -> Option<&Certificate> {
        self.tls.value().and_then(|t| t.chain.first())
    }

    /// The server greeted us with something else than 220 (RFC 5321 section 3.1).
    #[must_use]
    pub fn turned_away(&self) -> bool {
        self.greeting.value().is_some_and(|greeting| greeting.code != 220)
    }

    /// Nobody answered: no connection, or not a word on it.
    #[must_use]
    pub const fn silent(&self) -> bool {
        !self.answered
    }
}
