//! The wire to resolvers: answers that carry their DNSSEC state.
//!
//! One resolver does the work of following the tree; we ask it plainly and listen to its AD bit (RFC 6840 §5.7). The bit
//! counts from a resolver on loopback or one that the admin named, for nobody else stands between; and an answer is *secure*
//! only where our own validation agrees. The absence of the bit says *insecure* only where the resolver has shown that it
//! validates: it says AD for the root. Names are asked as absolute ones, `/etc/hosts` is never read, and every question ends
//! in time.

mod ask;
mod one;
mod reading;
mod tsig;
mod update;
mod validate;

pub use one::{One, Unheard};
pub use tsig::Key;
pub use update::{NotDone, Primary, Seen};

use crate::{
    facts::{Answer, Known, Security, Tlsa, Whereabouts},
    name::DnsName,
    record::Text,
    world::{Net, RootKeys},
};
use ask::{Heard, ask};
use hickory_proto::{
    op::Message,
    rr::{RData, RecordType},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::sync::OnceCell;
use validate::Validator;

/// So many name servers of a zone are asked at most.
const MOST_SERVERS: usize = 4;

/// Asks the resolvers of this host, or the one that the admin named. Cheap to clone; clones share what was learnt of the
/// resolvers.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    servers: Vec<Arc<Server>>,
    /// From which our own validation starts.
    roots: RootKeys,
}

/// One resolver, with what we know of it.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    /// On loopback, or given by the admin: its AD bit counts.
    believed: bool,
    /// Whether it says AD for the root; asked once, when first needed.
    validates: OnceCell<bool>,
    /// Our own validation through it, where its word alone would count.
    validator: Option<Validator>,
}

impl Server {
    /// One whose word counts where `roots` are given, from which our own validation starts.
    fn new(addr: SocketAddr, roots: Option<&RootKeys>) -> Self {
        let validator = roots.map(|roots| Validator::new(addr, roots));
        Self { addr, believed: validator.is_some(), validates: OnceCell::new(), validator }
    }

    /// What it said, and what may be believed of that: *secure* is what our own validation agrees to, else *unknown*, with why as
    /// the end of a sentence.
    async fn agreed(&self, said: Message, security: Security, kind: RecordType) -> (Message, Security, Option<String>) {
        match &self.validator {
            Some(validator) if security == Security::Secure => match validator.answer(&said, kind).await {
                Ok(followed) => (followed, Security::Secure, None),
                Err(why) => (said, Security::Unknown, Some(why)),
            },
            _ => (said, security, None),
        }
    }
}

/// No resolver is known.
#[derive(Debug, thiserror::Error)]
#[error("no resolver is known: {0}; name one with --resolver ADDR")]
pub struct NoResolver(String);

impl Resolver {
    /// The resolver of `net`, else those of `/etc/resolv.conf`.
    ///
    /// # Errors
    /// When none is given and `/etc/resolv.conf` cannot be read or names none.
    pub fn new(net: &Net) -> Result<Self, NoResolver> {
        let addrs = match net.resolver {
            Some(given) => vec![given],
            None => {
                let (config, _) =
                    hickory_resolver::system_conf::read_system_conf().map_err(|e| NoResolver(format!("/etc/resolv.conf: {e}")))?;
                let mut addrs: Vec<SocketAddr> = Vec::new();
                for server in &config.name_servers {
                    let addr = SocketAddr::new(server.ip, server.connections.first().map_or(53, |c| c.port));
                    if !addrs.contains(&addr) {
                        addrs.push(addr);
                    }
                }
                addrs
            }
        };
        if addrs.is_empty() {
            return Err(NoResolver("/etc/resolv.conf names none".into()));
        }
        let believed = |a: &SocketAddr| net.resolver.is_some() || a.ip().is_loopback();
        let servers = addrs.into_iter().map(|addr| Arc::new(Server::new(addr, believed(&addr).then_some(&net.dns_roots)))).collect();
        Ok(Self(Arc::new(Inner { servers, roots: net.dns_roots.clone() })))
    }

    /// The MX records of a domain: preference and name, best first. A null MX (RFC 7505) is left out.
    pub async fn mx(&self, domain: &DnsName) -> Known<Answer<(u16, DnsName)>> {
        let mut answer = self
            .get(domain, RecordType::MX, |data| match data {
                RData::MX(mx) if mx.exchange.is_root() => Ok(None),
                RData::MX(mx) => reading::host(&mx.exchange).map(|name| Some((mx.preference, name))),
                _ => Ok(None),
            })
            .await;
        if let Known::Seen { value, .. } = &mut answer {
            value.records.sort();
        }
        answer
    }

    /// The IPv4 and IPv6 addresses of a host. Unknown when either is: half an answer would read as a whole one.
    pub async fn addresses(&self, host: &DnsName) -> Known<Answer<IpAddr>> {
        let (v4, v6) = tokio::join!(
            self.get(host, RecordType::A, |data| Ok(if let RData::A(a) = data { Some(IpAddr::V4(a.0)) } else { None })),
            self.get(host, RecordType::AAAA, |data| Ok(if let RData::AAAA(a) = data { Some(IpAddr::V6(a.0)) } else { None })),
        );
        match (v4, v6) {
            (Known::Seen { value: v4, at }, Known::Seen { value: v6, at: other }) => {
                // Where one of them is less than secure, that is the one to tell of.
                let at = if v4.security == Security::Secure { other } else { at };
                Known::seen(reading::joined(v4, v6), at)
            }
            (Known::Unknown { why }, _) | (_, Known::Unknown { why }) => Known::Unknown { why },
        }
    }

    /// The same; where there seem to be none, what the servers of the zone say, which know what was published before any cache does.
    pub async fn addresses_now(&self, host: &DnsName) -> Known<Answer<IpAddr>> {
        let cached = self.addresses(host).await;
        if cached.value().is_none_or(|a| !a.records.is_empty()) {
            return cached;
        }
        let Known::Seen { value: at, .. } = self.whereabouts(host).await else { return cached };
        let Some(authority) = self.of_zone(&at.zone).await else { return cached };
        match authority.addresses(host).await {
            Known::Seen { value, at } if !value.records.is_empty() => Known::seen(value, at),
            _ => cached,
        }
    }

    /// The TLSA records at `name`, such as `_25._tcp.mx.example.org`.
    pub async fn tlsa(&self, name: &DnsName) -> Known<Answer<Tlsa>> {
        self.get(name, RecordType::TLSA, |data| Ok(if let RData::TLSA(t) = data { Some(reading::tlsa(t)) } else { None })).await
    }

    /// The TXT records at `name`, each with its strings joined (RFC 7208 §3.3, RFC 8461 §3.1).
    pub async fn txt(&self, name: &DnsName) -> Known<Answer<Text>> {
        self.get(name, RecordType::TXT, |data| Ok(if let RData::TXT(t) = data { Some(reading::txt(t)) } else { None })).await
    }

    /// The CAA records that govern `name`, in zone-file form: those of the closest name up the tree that has any
    /// (RFC 8659 §3). A governing set with an unknown answer below it is unknown.
    pub async fn caa(&self, name: &DnsName) -> Known<Answer<String>> {
        let mut asked = Vec::new();
        let mut next = Some(name.clone());
        while let Some(level) = next {
            next = level.parent();
            let this = self.clone();
            asked.push(tokio::spawn(async move {
                this.get(&level, RecordType::CAA, |data| Ok(if let RData::CAA(c) = data { Some(reading::caa(c)) } else { None })).await
            }));
        }
        let mut climbed: Option<Answer<String>> = None;
        let mut where_seen = String::new();
        for level in asked {
            let answer = level.await.unwrap_or_else(|e| Known::unknown(format!("the question for CAA of {name} was lost: {e}")));
            let Known::Seen { value, at } = answer else { return answer };
            where_seen = at;
            let joined = match climbed {
                None => value,
                Some(below) => reading::joined(below, value),
            };
            if !joined.records.is_empty() {
                return Known::seen(joined, where_seen);
            }
            climbed = Some(joined);
        }
        climbed.map_or_else(|| Known::unknown("no name to ask CAA of"), |answer| Known::seen(answer, where_seen))
    }

    /// The name servers of a zone themselves, which know what changed before any cache does; nothing is believed of them but
    /// what they say. `None` where their addresses cannot be told.
    pub async fn of_zone(&self, zone: &DnsName) -> Option<Self> {
        let names = self.name_servers(zone).await;
        let mut servers = Vec::new();
        for name in names.value()?.records.iter().take(MOST_SERVERS) {
            let addresses = self.addresses(name).await;
            let addrs = addresses.value().into_iter().flat_map(|a| &a.records).map(|ip| SocketAddr::new(*ip, 53));
            servers.extend(addrs.map(|addr| Arc::new(Server::new(addr, None))));
        }
        (!servers.is_empty()).then(|| Self(Arc::new(Inner { servers, roots: self.0.roots.clone() })))
    }

    /// Each resolver by itself.
    #[must_use]
    pub fn each(&self) -> Vec<One> {
        self.0.servers.iter().cloned().map(One).collect()
    }

    /// Another one by itself, which the admin named.
    #[must_use]
    pub fn beside(&self, addr: SocketAddr) -> One {
        One(Arc::new(Server::new(addr, Some(&self.0.roots))))
    }

    /// The names of a zone's servers.
    pub async fn name_servers(&self, zone: &DnsName) -> Known<Answer<DnsName>> {
        self.get(zone, RecordType::NS, |data| Ok(if let RData::NS(ns) = data { reading::host(&ns.0).ok() } else { None })).await
    }

    /// The primary server of a zone, as its SOA record names it.
    ///
    /// # Errors
    /// A sentence: there is no such record, or no answer.
    pub async fn primary(&self, zone: &DnsName) -> Result<DnsName, String> {
        let read = |data: &RData| Ok(if let RData::SOA(soa) = data { reading::host(&soa.mname).ok() } else { None });
        match self.get(zone, RecordType::SOA, read).await {
            Known::Seen { value, .. } => value.records.into_iter().next().ok_or_else(|| format!("{zone} names no primary server")),
            Known::Unknown { why } => Err(why),
        }
    }

    /// Where the records of `name` lie: the end of its CNAME chain, and the zone of that (RFC 1035 §3.3.13, RFC 2308 §2). An alias
    /// that a wildcard makes is nobody's: records of the name lie at the name itself.
    pub async fn whereabouts(&self, name: &DnsName) -> Known<Whereabouts> {
        let own = async {
            let (found, from) = self.authority_over(name).await?;
            if found.owner == *name || !self.is_from_wildcard(name, RecordType::SOA).await? {
                return Ok((found, from));
            }
            let mut next = name.parent();
            while let Some(above) = next {
                let (found, from) = self.authority_over(&above).await?;
                if found.owner == above {
                    return Ok((Whereabouts { owner: name.clone(), zone: found.zone }, from));
                }
                next = above.parent();
            }
            Err(format!("every name above {name} is an alias"))
        };
        match own.await {
            Ok((found, from)) => Known::seen(found, format!("SOA of {name} from {from}")),
            Err(why) => Known::unknown(why),
        }
    }

    /// The end of the CNAME chain of a name with its zone, and who says so.
    async fn authority_over(&self, name: &DnsName) -> Result<(Whereabouts, SocketAddr), String> {
        let Heard { message, from, .. } = ask(&self.0.servers, name, RecordType::SOA).await?;
        let found = reading::whereabouts(&message, name);
        found.map(|found| (found, from)).map_err(|why| format!("the zone of {name} could not be told from what {from} says: {why}"))
    }

    /// Whether the TLSA records of a name come from a wildcard.
    ///
    /// # Errors
    /// A sentence: no answer.
    pub async fn tlsa_of_wildcard(&self, name: &DnsName) -> Result<bool, String> {
        self.is_from_wildcard(name, RecordType::TLSA).await
    }

    /// Whether what is said of a name comes from a wildcard: then a name below it, which nobody has, has the same.
    async fn is_from_wildcard(&self, name: &DnsName, kind: RecordType) -> Result<bool, String> {
        let below = name.under(reading::NOBODYS).map_err(|e| e.to_string())?;
        Ok(reading::is_from_wildcard(&ask(&self.0.servers, &below, kind).await?.message))
    }

    /// Asks one question and reads every record of the kind that the name's CNAME chain ends in.
    async fn get<T>(&self, name: &DnsName, kind: RecordType, read: impl Fn(&RData) -> Result<Option<T>, String>) -> Known<Answer<T>> {
        let Heard { message, security, from } = match ask(&self.0.servers, name, kind).await {
            Ok(heard) => heard,
            Err(why) => return Known::unknown(why),
        };
        let mut at = format!("{kind} of {name} from {from}");
        let (message, security, differs) = match self.0.servers.iter().find(|s| s.addr == from) {
            Some(server) => server.agreed(message, security, kind).await,
            None => (message, Security::Unknown, None),
        };
        if let Some(why) = differs {
            at += &format!(", which says that it is signed; our own validation {why}");
        }
        match reading::answer(&message, name, kind, security, read) {
            Ok(answer) => Known::seen(answer, at),
            Err(why) => Known::unknown(format!("{kind} of {name} from {from}: {why}")),
        }
    }
}

/// The weaker of two states: what a whole made of both can claim.
pub(crate) const fn weaker(a: Security, b: Security) -> Security {
    match (a, b) {
        (Security::Bogus, _) | (_, Security::Bogus) => Security::Bogus,
        (Security::Unknown, _) | (_, Security::Unknown) => Security::Unknown,
        (Security::Insecure, _) | (_, Security::Insecure) => Security::Insecure,
        (Security::Secure, Security::Secure) => Security::Secure,
    }
}
