//! What records are compared with, beyond the survey: policy hosts, policies, the domains that reports go to, and the zones.

use super::published::{self, each};
use crate::{
    dns::Resolver,
    facts::{Answer, DomainFacts, Facts, Known, MxFacts, Tlsa, Whereabouts},
    name::DnsName,
    policy::{
        Fetched,
        tls_rpt::{Rua, TlsRptRecord},
    },
    publish::{Asked, Sight, fetch},
    world::Net,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Looks up what a [`sheet`](crate::publish::sheet) of these facts needs.
pub async fn sight(net: &Net, facts: &Facts, asked: &Asked) -> Sight {
    let domains: BTreeSet<DnsName> = facts.domains.iter().map(|d| d.domain.clone()).collect();
    let resolver = match Resolver::new(net) {
        Ok(resolver) => resolver,
        Err(e) => {
            let policies = domains.into_iter().map(|domain| (domain, Fetched::Untold(e.to_string()))).collect();
            return Sight { policies, ..Sight::default() };
        }
    };
    let caa = asked.caa.is_some();
    let (net, mut sight) = (net.clone(), Sight::default());
    let hosts = each(&resolver, &domains, |resolver, domain| {
        let net = net.clone();
        async move {
            let host = match domain.under("mta-sts") {
                Ok(host) => host,
                Err(e) => return (Known::unknown(e.to_string()), None, Fetched::Nothing(e.to_string())),
            };
            let addresses = resolver.addresses_now(&host).await;
            let governing = if caa { Some(resolver.caa(&host).await) } else { None };
            let policy = fetched(&net, &domain, &addresses).await;
            (addresses, governing, policy)
        }
    })
    .await;
    for (domain, host) in hosts {
        let (addresses, governing, policy) = host.unwrap_or_else(|| (late(), None, Fetched::Untold(LATE.to_owned())));
        sight.policies.insert(domain.clone(), policy);
        sight.policy_caa.extend(governing.map(|c| (domain.clone(), c)));
        sight.policy_hosts.insert(domain, addresses);
    }
    let has_tlsa = |m: &&MxFacts| m.tlsa.value().is_some_and(|a| !a.records.is_empty());
    let owners = facts.mx_hosts.iter().filter(has_tlsa).filter_map(|m| m.name.under("_25._tcp").ok()).collect();
    let wildcards = each(&resolver, &owners, |resolver, owner| async move {
        match resolver.tlsa_of_wildcard(&owner).await {
            Ok(is) => Known::seen(is, "a name below it"),
            Err(why) => Known::unknown(why),
        }
    })
    .await;
    sight.wildcards = wildcards.into_iter().map(|(owner, is)| (owner, is.unwrap_or_else(late))).collect();
    let named = report_domains(facts, asked);
    let mx = each(&resolver, &named, |resolver, domain| async move { resolver.mx(&domain).await }).await;
    sight.report_mx = mx.into_iter().map(|(domain, mx)| (domain, mx.unwrap_or_else(late))).collect();
    sight
}

/// What DNS says of these domains, the records of their policies by the zones' own servers.
pub async fn domains(net: &Net, names: &BTreeSet<DnsName>) -> Vec<DomainFacts> {
    let Ok(resolver) = Resolver::new(net) else { return Vec::new() };
    let mut domains = published::domains(&resolver, names).await;
    let owners: BTreeSet<DnsName> = names.iter().filter_map(|name| name.under("_mta-sts").ok()).collect();
    let places = whereabouts(net, &owners).await;
    ask(net, &mut domains, &mut [], &places, &owners).await;
    domains
}

/// Where the records of these names lie.
pub async fn whereabouts(net: &Net, owners: &BTreeSet<DnsName>) -> BTreeMap<DnsName, Known<Whereabouts>> {
    let Ok(resolver) = Resolver::new(net) else { return BTreeMap::new() };
    let found = each(&resolver, owners, |resolver, owner| async move { resolver.whereabouts(&owner).await }).await;
    found.into_iter().map(|(owner, w)| (owner, w.unwrap_or_else(late))).collect()
}

/// The TLSA records of MX names as the zones' own servers have them, which know of a withdrawal before any cache; where those
/// cannot be asked, as the resolver has them.
pub async fn tlsa(net: &Net, names: &BTreeSet<DnsName>) -> BTreeMap<DnsName, Known<Answer<Tlsa>>> {
    let Ok(resolver) = Resolver::new(net) else { return BTreeMap::new() };
    let found = each(&resolver, names, |resolver, name| async move {
        let owner = match name.under("_25._tcp") {
            Ok(owner) => owner,
            Err(e) => return Known::unknown(e.to_string()),
        };
        let mut answer = resolver.tlsa(&owner).await;
        if answer.value().is_some()
            && let Some(at) = resolver.whereabouts(&owner).await.value()
            && let Some(authority) = resolver.of_zone(&at.zone).await
        {
            renew(&mut answer, authority.tlsa(&at.owner).await);
        }
        answer
    })
    .await;
    found.into_iter().map(|(name, answer)| (name, answer.unwrap_or_else(late))).collect()
}

/// The policies that are served for domains.
pub async fn policies(net: &Net, domains: &BTreeSet<DnsName>) -> BTreeMap<DnsName, Fetched> {
    let Ok(resolver) = Resolver::new(net) else { return BTreeMap::new() };
    let found = each(&resolver, domains, |resolver, domain| {
        let net = net.clone();
        async move {
            match domain.under("mta-sts") {
                Ok(host) => fetched(&net, &domain, &resolver.addresses_now(&host).await).await,
                Err(e) => Fetched::Nothing(e.to_string()),
            }
        }
    })
    .await;
    found.into_iter().map(|(domain, policy)| (domain, policy.unwrap_or_else(|| Fetched::Untold(LATE.to_owned())))).collect()
}

async fn fetched(net: &Net, domain: &DnsName, host: &Known<Answer<IpAddr>>) -> Fetched {
    match host {
        Known::Seen { value, .. } => fetch::policy(net, domain, &value.records).await,
        Known::Unknown { why } => Fetched::Untold(format!("the addresses of mta-sts.{domain} could not be looked up: {why}")),
    }
}

/// What the name servers of the zones say of the records at these names, in place of what caches may still believe. Where
/// they cannot be asked, what was seen stays. DNSSEC states stay: only a validating resolver knows them.
pub async fn ask_authorities(net: &Net, facts: &mut Facts, places: &BTreeMap<DnsName, Known<Whereabouts>>, stale: &BTreeSet<DnsName>) {
    ask(net, &mut facts.domains, &mut facts.mx_hosts, places, stale).await;
}

async fn ask(
    net: &Net,
    domains: &mut [DomainFacts],
    mx_hosts: &mut [MxFacts],
    places: &BTreeMap<DnsName, Known<Whereabouts>>,
    stale: &BTreeSet<DnsName>,
) {
    let Ok(resolver) = Resolver::new(net) else { return };
    let place = |name: Result<DnsName, _>| stale.get(&name.ok()?).and_then(|owner| places.get(owner)?.value());
    let mut zones: BTreeMap<DnsName, Option<Resolver>> = BTreeMap::new();
    for zone in stale.iter().filter_map(|owner| places.get(owner)?.value()).map(|w| &w.zone) {
        if !zones.contains_key(zone) {
            zones.insert(zone.clone(), resolver.of_zone(zone).await);
        }
    }
    let authority = |at: &Whereabouts| zones.get(&at.zone).and_then(Option::as_ref);
    for domain in domains {
        let name = domain.domain.clone();
        for (texts, owner) in [(&mut domain.mta_sts, name.under("_mta-sts")), (&mut domain.tls_rpt, name.under("_smtp._tls"))] {
            if let Some(at) = place(owner)
                && let Some(authority) = authority(at)
            {
                renew(texts, authority.txt(&at.owner).await);
            }
        }
    }
    for mx in mx_hosts {
        if let Some(at) = place(mx.name.under("_25._tcp"))
            && let Some(authority) = authority(at)
        {
            renew(&mut mx.tlsa, authority.tlsa(&at.owner).await);
        }
    }
}

fn renew<T>(seen: &mut Known<Answer<T>>, now: Known<Answer<T>>) {
    if let (Known::Seen { value, at }, Known::Seen { value: newer, at: from }) = (seen, now) {
        (value.records, *at) = (newer.records, from);
    }
}

const LATE: &str = "it took too long together with all other names";

fn late<T>() -> Known<T> {
    Known::unknown(LATE)
}

/// The domains that reports are mailed to, now or by wish.
fn report_domains(facts: &Facts, asked: &Asked) -> BTreeSet<DnsName> {
    let texts = facts.domains.iter().filter_map(|d| d.tls_rpt.value()).flat_map(|a| &a.records);
    let now: Vec<Rua> = texts.filter_map(|t| TlsRptRecord::read(t.as_str()).value).flat_map(|r| r.rua).collect();
    now.iter().chain(&asked.rua).filter_map(|r| r.mail_domain().cloned()).collect()
}
