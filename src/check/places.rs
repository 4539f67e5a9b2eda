//! Where to ask: every own address and port on which the server declares a service. Pure.

use super::baseline_probes;
use crate::{
    facts::{Facts, Here, Service},
    name::DnsName,
    view::{Probe, Wire},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// One place where a service can be asked from this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Address and port to connect to.
    pub addr: SocketAddr,
    /// How TLS begins there.
    pub wire: Wire,
    /// The service.
    pub service: &'a Service,
}

/// Every place of every service: a service that listens on all addresses is asked on loopback and on each own address.
/// Where sockets listen on its port, only what one of them takes counts, so that a host without IPv6 is not asked over it;
/// where none does, the server is down, and all that it declares counts. Several services may answer at one address, as
/// behind postscreen; where a service declares a host name alone, its sockets count.
#[must_use]
pub fn places(facts: &Facts) -> Vec<Place<'_>> {
    let Some(server) = facts.server.value() else { return Vec::new() };
    let mut all: Vec<Place<'_>> = Vec::new();
    for service in &server.services {
        let of_service = facts.listeners.iter().filter(|l| l.service.as_ref() == Some(&service.name)).map(|l| l.addr);
        let listens = if service.listens.is_empty() { of_service.collect() } else { service.listens.clone() };
        let own = &facts.host.addresses;
        let every = listens.iter().flat_map(|l| asked(l.ip(), own).into_iter().map(|ip| SocketAddr::new(ip, l.port())));
        let addrs: BTreeSet<SocketAddr> = every.filter(|addr| taken(facts, *addr)).collect();
        all.extend(addrs.into_iter().map(|addr| Place { addr, wire: service.wire(), service }));
    }
    all
}

fn taken(facts: &Facts, addr: SocketAddr) -> bool {
    let mut sockets = facts.listeners.iter().map(|l| l.addr).filter(|s| s.port() == addr.port()).peekable();
    let takes = |s: SocketAddr| s.ip() == addr.ip() || (s.ip().is_unspecified() && (s.is_ipv6() || addr.is_ipv4()));
    sockets.peek().is_none() || sockets.any(takes)
}

/// The addresses of this host at which a socket can be asked: each of them where it listens on all.
#[must_use]
pub fn own_addresses(listens: SocketAddr, own: &[IpAddr]) -> Vec<SocketAddr> {
    asked(listens.ip(), own).into_iter().map(|ip| SocketAddr::new(ip, listens.port())).collect()
}

fn asked(listens: IpAddr, own: &[IpAddr]) -> Vec<IpAddr> {
    let loopback = match listens {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    if !listens.is_unspecified() {
        return vec![listens];
    }
    std::iter::once(loopback).chain(own.iter().copied().filter(|ip| ip.is_ipv4() == listens.is_ipv4())).collect()
}

/// The probes of a survey: what each place presents now.
#[must_use]
pub fn survey_probes(facts: &Facts) -> Vec<Probe> {
    let Some(name) = name(facts) else { return Vec::new() };
    let domain = facts.domains.first().map(|d| &d.domain);
    let mut asked = BTreeSet::new();
    let first = places(facts).into_iter().filter(|p| asked.insert(p.addr));
    first.flat_map(|p| baseline_probes(p.addr, p.wire, &name, domain)).collect()
}

/// The MX name that a sender would ask for; the server's own name where DNS names none.
fn name(facts: &Facts) -> Option<DnsName> {
    let here = facts.mx_hosts.iter().find(|m| m.here.value() == Some(&Here::Yes)).or(facts.mx_hosts.first()).map(|m| m.name.clone());
    here.or_else(|| facts.server.value().and_then(|s| s.hostname.value().cloned())).or_else(|| facts.host.hostname.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Host, Known, Listener, Role, Server, Version},
        moment::Moment,
    };
    use std::{collections::BTreeMap, path::PathBuf};

    fn facts(listens: &[&str], sockets: &[&str], own: &[&str]) -> Facts {
        let service = Service {
            name: "smtp/inet".into(),
            at: (PathBuf::from("master.cf"), 1),
            program: "smtpd".into(),
            listens: listens.iter().map(|l| l.parse().expect("an address")).collect(),
            role: Role::Mx,
            wire: None,
            tests_strangers: false,
            chroot: false,
            settings: BTreeMap::new(),
        };
        let server = Server {
            profile: "postfix".into(),
            version: Version::default(),
            config_dir: PathBuf::new(),
            instances: Vec::new(),
            running: Known::unknown(""),
            files: Vec::new(),
            defaults: BTreeMap::new(),
            hostname: Known::unknown(""),
            receives_for: Known::unknown(""),
            services: vec![service],
        };
        let listener = |s: &&str| Listener { addr: s.parse().expect("an address"), owner: Known::unknown(""), service: None };
        let addresses = own.iter().map(|a| a.parse().expect("an address")).collect();
        let host = Host { hostname: String::new(), addresses, os: String::new(), root: true, clock_off: Known::unknown("") };
        Facts { server: Known::seen(server, ""), listeners: sockets.iter().map(listener).collect(), ..Facts::unseen(host, Moment(0)) }
    }

    #[test]
    fn places_are_where_a_socket_takes_connections() {
        for (listens, sockets, own, expected) in [
            (
                &["0.0.0.0:25", "[::]:25"][..],
                &["0.0.0.0:25", "[::]:25"][..],
                &["192.0.2.1"][..],
                &["127.0.0.1:25", "192.0.2.1:25", "[::1]:25"][..],
            ),
            (&["0.0.0.0:25", "[::]:25"], &["0.0.0.0:25"], &["192.0.2.1", "2001:db8::1"], &["127.0.0.1:25", "192.0.2.1:25"]),
            (&["0.0.0.0:25"], &["[::]:25"], &["192.0.2.1"], &["127.0.0.1:25", "192.0.2.1:25"]),
            (&["0.0.0.0:25"], &[], &["192.0.2.1"], &["127.0.0.1:25", "192.0.2.1:25"]),
            (&["0.0.0.0:25", "127.0.0.1:25"], &["0.0.0.0:25"], &[], &["127.0.0.1:25"]),
            (&["192.0.2.1:25"], &["127.0.0.1:25"], &["192.0.2.1"], &[]),
        ] {
            let facts = facts(listens, sockets, own);
            let got: Vec<String> = places(&facts).iter().map(|p| p.addr.to_string()).collect();
            assert_eq!(got, expected, "{listens:?} {sockets:?} {own:?}");
        }
    }

    #[test]
    fn a_service_that_declares_a_host_name_is_asked_where_its_sockets_are() {
        let mut facts = facts(&[], &["192.0.2.1:465", "192.0.2.2:465"], &[]);
        facts.listeners[0].service = Some("smtp/inet".into());
        let Known::Seen { value, .. } = &mut facts.server else { panic!("a server") };
        value.services[0].role = Role::Submissions;
        assert_eq!(
            places(&facts).iter().map(|p| (p.addr.to_string(), p.wire)).collect::<Vec<_>>(),
            [("192.0.2.1:465".into(), Wire::Implicit)]
        );
        // STARTTLS on port 465, because the service says so.
        let Known::Seen { value, .. } = &mut facts.server else { panic!("a server") };
        value.services[0].wire = Some(Wire::StartTls);
        assert_eq!(places(&facts)[0].wire, Wire::StartTls);
    }
}
