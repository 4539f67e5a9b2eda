//! What the world is told in DNS: of each domain its MX and policies, of each MX name its addresses, keys and CAA. Every
//! question is asked at once, within bounds.

use super::host::private;
use crate::{
    dns::Resolver,
    facts::{Answer, DomainFacts, Here, Known, MxFacts, NameFacts},
    name::DnsName,
    record::Text,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

/// Questions in flight: a resolver on the same small host answers them all.
const AT_ONCE: usize = 64;
/// How long all questions of one kind may take together: a host with thousands of domains and a dead resolver ends too.
const LIMIT: Duration = Duration::from_secs(20);

/// What the resolver says of the domains.
pub(super) async fn domains(resolver: &Resolver, domains: &BTreeSet<DnsName>) -> Vec<DomainFacts> {
    each(resolver, domains, |resolver, domain| async move {
        let (sts, rpt) = (domain.under("_mta-sts"), domain.under("_smtp._tls"));
        let policy_host = async {
            match domain.under("mta-sts") {
                Ok(host) => resolver.addresses(&host).await,
                Err(e) => Known::unknown(e.to_string()),
            }
        };
        let (mx, mta_sts, tls_rpt, policy_host) =
            tokio::join!(resolver.mx(&domain), text(&resolver, sts), text(&resolver, rpt), policy_host);
        DomainFacts { domain, mx, mta_sts, tls_rpt, policy_host }
    })
    .await
    .into_iter()
    .map(|(domain, facts)| {
        facts.unwrap_or_else(|| DomainFacts {
            domain,
            mx: out_of_time(),
            mta_sts: out_of_time(),
            tls_rpt: out_of_time(),
            policy_host: out_of_time(),
        })
    })
    .collect()
}

/// What the resolver says of the MX names.
pub(super) async fn mx_hosts(resolver: &Resolver, names: &BTreeSet<DnsName>, own: &[IpAddr]) -> Vec<MxFacts> {
    let answers = each(resolver, names, |resolver, name| async move {
        let records = name.under("_25._tcp");
        let tlsa = async {
            match &records {
                Ok(owner) => resolver.tlsa(owner).await,
                Err(e) => Known::unknown(e.to_string()),
            }
        };
        let (addresses, tlsa, caa) = tokio::join!(resolver.addresses(&name), tlsa, resolver.caa(&name));
        (addresses, tlsa, caa)
    })
    .await;
    let facts = |(name, answer): (DnsName, Option<_>)| {
        let (addresses, tlsa, caa) = answer.unwrap_or_else(|| (out_of_time(), out_of_time(), out_of_time()));
        MxFacts { here: here(&name, &addresses, own), name, addresses, tlsa, caa }
    };
    answers.into_iter().map(facts).collect()
}

/// Whether names that are no MX names are this host's.
pub(super) async fn other_names(resolver: &Resolver, names: &BTreeSet<DnsName>, own: &[IpAddr]) -> Vec<NameFacts> {
    let answers = each(resolver, names, |resolver, name| async move { resolver.addresses(&name).await }).await;
    answers.into_iter().map(|(name, a)| NameFacts { here: here(&name, &a.unwrap_or_else(out_of_time), own), name }).collect()
}

/// Whether a name points at this host (RFC 5321 §5.1). A public address that no interface has, on a host that has only
/// private ones of its family, may be this host's behind NAT: nobody on the inside can tell.
pub(super) fn here(name: &DnsName, addresses: &Known<Answer<IpAddr>>, own: &[IpAddr]) -> Known<Here> {
    let (answer, at) = match addresses {
        Known::Seen { value, at } => (value, at),
        Known::Unknown { why } => return Known::unknown(format!("the addresses of {name} are not known: {why}")),
    };
    let (mut ours, mut others) = (0, 0);
    for address in &answer.records {
        let family: Vec<&IpAddr> = own.iter().filter(|a| a.is_ipv4() == address.is_ipv4()).collect();
        if own.contains(address) || address.is_loopback() {
            ours += 1;
        } else if !private(address) && !family.is_empty() && family.iter().all(|a| private(a)) {
            return Known::unknown(format!(
                "{name} points at {address}, and this host has only private addresses: behind NAT it cannot see whether that is its own; \
                 name it with --mx if it is"
            ));
        } else {
            others += 1;
        }
    }
    let value = match (ours, others) {
        (0, _) => Here::No,
        (_, 0) => Here::Yes,
        _ => Here::Partly,
    };
    Known::seen(value, format!("{at}, compared with the interfaces of this host"))
}

/// The domains where no resolver can be asked, and why.
pub(super) fn unasked_domains(domains: &BTreeSet<DnsName>, why: &str) -> Vec<DomainFacts> {
    let unknown = |domain: &DnsName| DomainFacts {
        domain: domain.clone(),
        mx: Known::unknown(why),
        mta_sts: Known::unknown(why),
        tls_rpt: Known::unknown(why),
        policy_host: Known::unknown(why),
    };
    domains.iter().map(unknown).collect()
}

/// The MX names where no resolver can be asked, and why.
pub(super) fn unasked_hosts(names: &BTreeSet<DnsName>, why: &str) -> Vec<MxFacts> {
    let unknown = |name: &DnsName| MxFacts {
        name: name.clone(),
        addresses: Known::unknown(why),
        here: Known::unknown(why),
        tlsa: Known::unknown(why),
        caa: Known::unknown(why),
    };
    names.iter().map(unknown).collect()
}

fn out_of_time<T>() -> Known<T> {
    Known::unknown(format!("DNS took more than {} s for all names together, so this one was left", LIMIT.as_secs()))
}

async fn text(resolver: &Resolver, name: Result<DnsName, crate::name::NotADnsName>) -> Known<Answer<Text>> {
    match name {
        Ok(name) => resolver.txt(&name).await,
        Err(e) => Known::unknown(e.to_string()),
    }
}

/// Asks for every name at once; in the order of the names. `None` for what was not answered within the limit.
pub(super) async fn each<T, F>(
    resolver: &Resolver,
    names: &BTreeSet<DnsName>,
    ask: impl Fn(Resolver, DnsName) -> F,
) -> Vec<(DnsName, Option<T>)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (gate, until) = (Arc::new(Semaphore::new(AT_ONCE)), Instant::now() + LIMIT);
    let mut asked = JoinSet::new();
    for name in names {
        let (gate, answer, name) = (gate.clone(), ask(resolver.clone(), name.clone()), name.clone());
        asked.spawn(async move {
            let bounded = async {
                let _turn = gate.acquire().await;
                answer.await
            };
            (name, tokio::time::timeout_at(until, bounded).await.ok())
        });
    }
    let mut answers: BTreeMap<DnsName, Option<T>> = names.iter().map(|n| (n.clone(), None)).collect();
    while let Some(done) = asked.join_next().await {
        if let Ok((name, answer)) = done {
            answers.insert(name, answer);
        }
    }
    answers.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Security;

    #[test]
    fn only_what_the_interfaces_show_is_here() {
        let private_host = ["10.0.0.5", "fd00::5"];
        let public_host = ["198.51.100.5", "10.0.0.5", "2001:db8::5"];
        let v4_only = ["198.51.100.5"];
        for (own, points_at, expected) in [
            (&public_host[..], &["198.51.100.5"][..], Some(Here::Yes)),
            (&public_host, &["198.51.100.5", "2001:db8::5"], Some(Here::Yes)),
            (&public_host, &["198.51.100.5", "203.0.113.9"], Some(Here::Partly)),
            (&public_host, &["203.0.113.9"], Some(Here::No)),
            (&public_host, &[], Some(Here::No)),
            (&v4_only, &["198.51.100.5", "2001:db8::5"], Some(Here::Partly)),
            (&private_host, &["203.0.113.9"], None),
            (&private_host, &["2001:db8::5"], None),
            (&private_host, &["10.0.0.5"], Some(Here::Yes)),
            (&private_host, &["10.0.0.6"], Some(Here::No)),
            (&private_host, &["10.0.0.5", "203.0.113.9"], None),
            (&[], &["127.0.0.1"], Some(Here::Yes)),
        ] {
            let own: Vec<IpAddr> = own.iter().map(|a| a.parse().unwrap()).collect();
            let records = points_at.iter().map(|a| a.parse().unwrap()).collect();
            let answer = Known::seen(Answer { records, security: Security::Secure, ttl: 1 }, "test");
            assert_eq!(here(&"mx.example".parse().unwrap(), &answer, &own).value(), expected.as_ref(), "{own:?} {points_at:?}");
        }
    }
}
