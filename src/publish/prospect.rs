//! The MTA-STS policy that a setup begins where a domain has none: who serves it, or what has to come first. Pure, and from facts
//! alone, so that a plan shows it before anything is done.

use super::{
    Data, Record, ServedBy, TTL, WebServer,
    outlook::{FEW, domains_here, ours},
};
use crate::{
    facts::{DomainFacts, Facts, Known, MxFacts},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{Published, mta_sts::StsRecord},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// What comes of the policy of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// There is one, or a record says so: it stays as it is.
    There,
    /// One is begun, and served so.
    Begin(ServedBy),
    /// One would be served here, and `mta-sts.DOMAIN` has no address yet.
    Nameless(ServedBy),
    /// `mta-sts.DOMAIN` leads to another host.
    Elsewhere,
    /// Port 443 is this program's, and no site can be printed for it.
    Taken(String),
    /// It could not be told, because of this.
    Unknown(String),
}

impl Prospect {
    /// This host has, or can have, a part in it.
    #[must_use]
    pub const fn concerns_us(&self) -> bool {
        matches!(self, Self::There | Self::Begin(_) | Self::Nameless(_))
    }
}

/// Of each domain whose mail comes to an MX name of this host, seen or said. `said` is who is to serve it; `kept` are the domains
/// whose policy this host keeps already.
#[must_use]
pub fn prospects(facts: &Facts, mx: &[DnsName], said: Option<ServedBy>, kept: &BTreeSet<DnsName>) -> BTreeMap<DnsName, Prospect> {
    let ours = ours(facts, mx);
    let of = |about: &&DomainFacts| {
        let prospect = if kept.contains(&about.domain) { Prospect::There } else { prospect(about, facts, &ours, said) };
        (about.domain.clone(), prospect)
    };
    domains_here(facts, mx).iter().map(of).collect()
}

fn prospect(about: &DomainFacts, facts: &Facts, ours: &[&MxFacts], said: Option<ServedBy>) -> Prospect {
    match &about.mta_sts {
        Known::Seen { value, .. } if matches!(StsRecord::published(&value.records), Published::Absent) => {}
        Known::Seen { .. } => return Prospect::There,
        Known::Unknown { why } => return Prospect::Unknown(why.clone()),
    }
    let by = match (said, by_port(facts)) {
        (Some(by @ (ServedBy::Export | ServedBy::None)), _) => return Prospect::Begin(by),
        (Some(ServedBy::Builtin), Ok(ServedBy::Snippet)) => return Prospect::Taken(program(facts)),
        (Some(ServedBy::Builtin) | None, Err(why @ Prospect::Taken(_))) | (None, Err(why)) => return why,
        (Some(by), _) | (None, Ok(by)) => by,
    };
    let addresses = match &about.policy_host {
        Known::Seen { value, .. } => &value.records,
        Known::Unknown { why } => return Prospect::Unknown(why.clone()),
    };
    // Behind NAT the addresses of its MX names are this host's.
    let of_mx = ours.iter().filter_map(|m| m.addresses.value()).flat_map(|a| &a.records);
    let here: BTreeSet<&IpAddr> = facts.host.addresses.iter().chain(of_mx).collect();
    match addresses.as_slice() {
        [] => Prospect::Nameless(by),
        all if all.iter().all(|a| a.is_loopback() || here.contains(a)) => Prospect::Begin(by),
        _ => Prospect::Elsewhere,
    }
}

/// Who serves it where nobody says: we do where port 443 is free or ours, else the web server there.
fn by_port(facts: &Facts) -> Result<ServedBy, Prospect> {
    match &facts.port443 {
        Known::Seen { value, .. } if value.pid == 0 || matches!(value.program.as_str(), "mxseal" | "systemd") => Ok(ServedBy::Builtin),
        Known::Seen { value, .. } if !value.elsewhere && WebServer::of(&value.program).is_some() => Ok(ServedBy::Snippet),
        Known::Seen { .. } => Err(Prospect::Taken(program(facts))),
        Known::Unknown { why } => Err(Prospect::Unknown(why.clone())),
    }
}

fn program(facts: &Facts) -> String {
    facts.port443.value().map(|owner| owner.program.clone()).unwrap_or_default()
}

/// The notes of a plan that say it: one for all domains of which the same is to be said. `publishes` says that mxseal brings
/// records into DNS itself.
#[must_use]
pub fn policy_notes(prospects: &BTreeMap<DnsName, Prospect>, facts: &Facts, mx: &[DnsName], publishes: bool) -> Vec<Finding> {
    let mut alike: BTreeMap<&Prospect, Vec<&DnsName>> = BTreeMap::new();
    for (domain, prospect) in prospects {
        alike.entry(prospect).or_default().push(domain);
    }
    alike.into_iter().filter_map(|(prospect, domains)| note(prospect, &domains, facts, mx, publishes)).collect()
}

fn note(prospect: &Prospect, domains: &[&DnsName], facts: &Facts, mx: &[DnsName], publishes: bool) -> Option<Finding> {
    let [first, more @ ..] = domains else { return None };
    let subject = if more.is_empty() { Subject::Domain((*first).clone()) } else { Subject::Host };
    let names = |before: &str| domains.iter().map(|d| format!("{before}{d}")).collect::<Vec<_>>().join(", ");
    let all = names("");
    let hosts = if domains.len() > FEW { "mta-sts.DOMAIN of each".to_owned() } else { names("mta-sts.") };
    let (lead, it_has) = if more.is_empty() { ("leads", "it has") } else { ("lead", "they have") };
    let planned = |verdict, says: String| Some(Finding::new("policy-planned", verdict, subject.clone(), says));
    let harmless = "in mode testing senders report what would fail, and deliver all the same; --tell without mta-sts leaves it out";
    let begin = || Remedy::Command(format!("mxseal policy testing {first}"));
    match prospect {
        Prospect::There => None,
        Prospect::Begin(by) => {
            let how = match by {
                ServedBy::Builtin => format!("mxseal serves it on port 443, with a certificate of its own for {hosts}"),
                ServedBy::Snippet => format!("{} serves it from a file, by a site that is printed", program(facts)),
                ServedBy::Export => "it is written to a file, for whoever serves it".to_owned(),
                ServedBy::None => "it is printed, for whoever serves it".to_owned(),
            };
            planned(Verdict::Pass, format!("an MTA-STS policy of {all} is begun: {how}"))?.means(harmless).into()
        }
        Prospect::Nameless(_) => {
            let note =
                planned(Verdict::Pass, format!("an MTA-STS policy of {all} is begun once {hosts} {lead} here: {it_has} no address yet"))?;
            let alias = |domain: &DnsName| {
                let about = facts.domains.iter().find(|d| d.domain == *domain)?;
                let receives = |name: &DnsName| about.mx.value().is_some_and(|a| a.records.iter().any(|(_, mx)| mx == name));
                let at = ours(facts, mx).into_iter().find(|mx| receives(&mx.name))?.name.clone();
                Some(Record { owner: domain.under("mta-sts").ok()?, ttl: TTL, data: Data::Cname(at) })
            };
            let first_of_all = if publishes { "published first" } else { "to be published first" };
            let aliases = domains.iter().filter_map(|domain| alias(domain));
            let note = aliases.fold(note.means(harmless), |note, alias| note.seen(format!("{first_of_all}: {alias}")));
            Some(match (publishes, more) {
                (true, _) => note,
                (false, []) => note.remedy(begin()),
                (false, _) => note.remedy(Remedy::Command("mxseal setup".to_owned())),
            })
        }
        Prospect::Elsewhere => planned(Verdict::Warn, format!("no MTA-STS policy of {all} is begun: {hosts} {lead} to another host"))?
            .remedy(Remedy::Command(format!("mxseal policy testing {first} --policy-host export")))
            .into(),
        Prospect::Taken(program) => planned(Verdict::Warn, format!("no MTA-STS policy of {all} is begun: {program} has port 443"))?
            .remedy(Remedy::Command(format!("mxseal policy testing {first} --policy-host export")))
            .into(),
        Prospect::Unknown(why) => {
            planned(Verdict::Unknown, format!("whether an MTA-STS policy of {all} can be begun is not known: {why}"))?
                .remedy(begin())
                .into()
        }
    }
}
