//! Whether the world sees what was published, judged from what every server says. Pure.
//!
//! Authoritative servers come first. Who asks a resolver for a record that one of them does not have yet makes it remember for
//! a while that there is none.

use crate::{facts::Security, name::DnsName, record::Record};
use serde::Serialize;
use std::{fmt, net::SocketAddr};

/// A record that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The apex of its zone.
    pub zone: DnsName,
    /// The record.
    pub record: Record,
    /// It shall be there; else it shall be gone.
    pub there: bool,
}

/// Whose view it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// An address of a name server of the zone.
    Authority(DnsName, SocketAddr),
    /// A resolver that everybody may ask.
    Public(SocketAddr),
    /// A resolver of this host.
    Local(SocketAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |addr: &SocketAddr| if addr.port() == 53 { addr.ip().to_string() } else { addr.to_string() };
        match self {
            Self::Authority(name, addr) => write!(f, "{name} {}", at(addr)),
            Self::Public(addr) => write!(f, "public resolver {}", at(addr)),
            Self::Local(addr) => write!(f, "this host's resolver {}", at(addr)),
        }
    }
}

/// What one server says of the records of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Who says it.
    pub who: Who,
    /// The zone.
    pub zone: DnsName,
    /// The serial number of the zone, where it said one.
    pub serial: Option<u32>,
    /// What it says, or why that is not known.
    pub says: Says,
}

/// What a server says of the records that are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nobody asked it yet.
    NotAsked,
    /// So many of `of` are as they shall be.
    Seen {
        /// As they shall be.
        right: usize,
        /// Those that are waited for.
        of: usize,
        /// How long it may go on saying so, in seconds: the largest TTL, where some are not right the time until it must look
        /// again.
        ttl: u32,
        /// Whether it vouches for the signatures, and our own validation agrees.
        security: Security,
    },
    /// It did not say.
    Silent(String),
    /// It cannot be reached from a host without IPv6, or IPv4.
    NoRoute,
}

impl View {
    /// Everything is as it shall be.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        matches!(self.says, Says::Seen { right, of, .. } if right == of)
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outlook {
    /// Authoritative servers are behind, or silent: ask them again, and no resolver.
    Authorities,
    /// All of them have it: ask the resolvers.
    Resolvers,
    /// Everybody has it.
    Done,
    /// All servers have it, and what the resolvers see cannot be told.
    Untold,
}

/// How often a resolver may be silent before it is not waited for.
pub const PATIENCE: u32 = 3;

/// What is to be done after `round` rounds of questions in which resolvers were asked.
#[must_use]
pub fn outlook(views: &[View], round: u32) -> Outlook {
    let (authorities, resolvers): (Vec<&View>, Vec<&View>) = views.iter().partition(|v| matches!(v.who, Who::Authority(..)));
    // An address of the other family says nothing about a server that answers at this one.
    let answers_elsewhere = |view: &View| match &view.who {
        Who::Authority(name, _) => authorities.iter().any(|v| {
            v.zone == view.zone && matches!(&v.who, Who::Authority(other, _) if other == name) && matches!(v.says, Says::Seen { .. })
        }),
        _ => false,
    };
    if authorities.is_empty() || !authorities.iter().all(|v| v.is_right() || v.says == Says::NoRoute && answers_elsewhere(v)) {
        return Outlook::Authorities;
    }
    if resolvers.iter().all(|v| v.is_right()) {
        return Outlook::Done;
    }
    let silent = |v: &&&View| matches!(v.says, Says::Silent(_) | Says::NoRoute);
    let waited_for = resolvers.iter().filter(|v| !v.is_right()).count();
    if round >= PATIENCE && resolvers.iter().filter(silent).count() == waited_for { Outlook::Untold } else { Outlook::Resolvers }
}

/// The exit status of a wait that ended: 0 everybody has it, 1 somebody is known not to, 3 it could not be told.
#[must_use]
pub fn exit(views: &[View], outlook: Outlook) -> u8 {
    let behind = |v: &View| matches!(v.says, Says::Seen { right, of, .. } if right < of);
    match outlook {
        Outlook::Done => 0,
        _ if views.iter().any(behind) => 1,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(who: Who, says: Says) -> View {
        View { who, zone: "a.example".parse().expect("a name"), serial: None, says }
    }

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 53))
    }

    #[test]
    fn authorities_come_first_and_silence_is_no_answer() {
        let ns = |name: &str, last, says| view(Who::Authority(format!("{name}.example").parse().expect("a name"), at(last)), says);
        let (public, local) = (|says| view(Who::Public(at(9)), says), |says| view(Who::Local(at(10)), says));
        let seen = |right, of| Says::Seen { right, of, ttl: 60, security: Security::Secure };
        let silent = || Says::Silent("no answer".into());
        for (what, views, round, expected, code) in [
            ("nobody is known", vec![], 0, Outlook::Authorities, 3),
            ("a resolver alone", vec![local(seen(1, 1))], 9, Outlook::Authorities, 3),
            ("one server lags", vec![ns("a", 1, seen(2, 2)), ns("b", 2, seen(1, 2)), local(Says::NotAsked)], 0, Outlook::Authorities, 1),
            ("one server is silent", vec![ns("a", 1, seen(2, 2)), ns("b", 2, silent()), local(seen(2, 2))], 9, Outlook::Authorities, 3),
            ("all servers have it", vec![ns("a", 1, seen(2, 2)), public(Says::NotAsked), local(Says::NotAsked)], 0, Outlook::Resolvers, 3),
            ("a resolver remembers", vec![ns("a", 1, seen(2, 2)), public(seen(2, 2)), local(seen(0, 2))], 9, Outlook::Resolvers, 1),
            ("a resolver is silent", vec![ns("a", 1, seen(2, 2)), public(silent()), local(seen(2, 2))], 2, Outlook::Resolvers, 3),
            ("it stays so", vec![ns("a", 1, seen(2, 2)), public(silent()), local(seen(2, 2))], 3, Outlook::Untold, 3),
            ("one silent, one behind", vec![ns("a", 1, seen(2, 2)), public(silent()), local(seen(0, 2))], 9, Outlook::Resolvers, 1),
            ("everybody", vec![ns("a", 1, seen(2, 2)), public(seen(2, 2)), local(seen(2, 2))], 0, Outlook::Done, 0),
            ("no resolver is to be asked", vec![ns("a", 1, seen(2, 2))], 0, Outlook::Done, 0),
            ("IPv6 from a host without", vec![ns("a", 1, seen(2, 2)), ns("a", 2, Says::NoRoute)], 0, Outlook::Done, 0),
            ("a server with IPv6 alone", vec![ns("a", 1, seen(2, 2)), ns("b", 2, Says::NoRoute)], 0, Outlook::Authorities, 3),
        ] {
            let next = outlook(&views, round);
            assert_eq!((next, exit(&views, next)), (expected, code), "{what}");
        }
    }
}
