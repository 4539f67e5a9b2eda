//! Where to ask: every own address and port on which the server declares a service. Pure.

use super::baseline_probes;
use crate::{
    facts::{Facts, Here, Role, Service},
    name::DnsName,
    view::{Probe, Wire},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
#[must_use]
pub fn places(facts: &Facts) -> Vec<Place<'_>> {
    let Some(server) = facts.server.value() else { return Vec::new() };
    let mut all: Vec<Place<'_>> = Vec::new();
    for service in &server.services {
        let wire = if service.role == Role::Submissions { Wire::Implicit } else { Wire::StartTls };
        for listens in &service.listens {
            for ip in asked(listens.ip(), &facts.host.addresses) {
                let addr = SocketAddr::new(ip, listens.port());
                if !all.iter().any(|p| p.addr == addr) {
                    all.push(Place { addr, wire, service });
                }
            }
        }
    }
    all
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
    places(facts).iter().flat_map(|p| baseline_probes(p.addr, p.wire, &name, domain)).collect()
}

/// The MX name that a sender would ask for; the server's own name where DNS names none.
fn name(facts: &Facts) -> Option<DnsName> {
    let here = facts.mx_hosts.iter().find(|m| m.here.value() == Some(&Here::Yes)).or(facts.mx_hosts.first()).map(|m| m.name.clone());
    here.or_else(|| facts.server.value().and_then(|s| s.hostname.value().cloned())).or_else(|| facts.host.hostname.parse().ok())
}
