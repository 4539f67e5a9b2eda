//! The last act of a rehearsal: what senders would be told is put into the made-up DNS, and looked for there. A policy is served in
//! the room, with a certificate of the made-up CA, and fetched as senders do before its record is put there. At last it is seen
//! whether a list would take the domains.

use crate::{
    check::{eligible, observe, sender_probes},
    cli::Global,
    command::{Trouble, door, enact::Ground, place::Site, policy, policy_host, senders, tell},
    facts::{DomainFacts, Facts},
    finding::{Finding, Verdict},
    intent::Tell,
    name::DnsName,
    publish::{
        Asked, Data, KeptPolicy, PolicyHost, PolicySeen, PolicyWish, Prospect, Sheet, State, Wanted, dialect::Dialect, policies, wished,
    },
    rehearsal::{Ca, Dns, DnsRecord},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    serve::serve,
    settings::Settings,
    survey, world,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// HTTPS.
const PORT: u16 = 443;
/// How long the conversation with an MX host may take.
const CONVERSATION: Duration = Duration::from_secs(30);

/// Where it is played.
pub(super) struct Act<'a> {
    pub(super) site: &'a Site,
    pub(super) dns: &'a Dns,
    pub(super) ca: &'a Ca,
    pub(super) ground: Ground,
    pub(super) global: &'a Global,
    pub(super) progress: &'a Progress,
}

impl Act<'_> {
    /// Tells senders there.
    pub(super) async fn senders(&self, facts: Facts, outcome: &mut Outcome) -> Result<(), Trouble> {
        let Self { site, progress, .. } = *self;
        let settings = Settings { acme_directory: Some(self.ca.directory.clone()), agree_tos: true, ..Settings::default() };
        let prospects = policy::begin::outlook(site, &settings, &facts);
        let mut asked = tell::asked(site, &settings, &prospects);
        // A stand-in has no port 443 of its own.
        if self.ground == Ground::StandIn {
            asked.tell = vec![Tell::TlsRpt, Tell::Dane];
        }
        progress.see(Event::Started("tell senders, in the made-up DNS".into()));
        let (_, sheet) = senders::compared(site, facts, &asked).await;
        let mut told = self.put(&sheet)?;
        progress.see(Event::Done(format!("{} records", told.len())));
        let serving = self.policies(&settings, &asked, &mut told).await?;

        progress.see(Event::Started("look for it as senders do".into()));
        let (facts, seen) = senders::compared(site, senders::told(site, false).await?, &asked).await;
        if let Some(serving) = serving {
            serving.abort();
        }
        let right = |w: &Wanted| seen.wanted.iter().any(|s| s.owner == w.owner && s.data == w.data && s.state == State::Right);
        // An alias that leads to a host is not wanted any more.
        let led = |w: &Wanted| matches!(w.data, Data::Cname(_)) && !seen.wanted.iter().any(|s| s.owner == w.owner);
        let there = told.iter().filter(|w| right(w) || led(w)).count();
        progress.see(Event::Done(format!("{there} of {} records are seen", told.len())));
        let open: Vec<&Wanted> = told.iter().collect();
        if !self.global.json && !open.is_empty() {
            let head = "\nWhat senders would be told, by records that setup prints or publishes:\n\n";
            let last = report::row(Style::of_stdout(), "", "The keys are the rehearsal's own, and so is the DNS that they were put into.");
            Terminal::print(&format!("{head}{}\n{last}", Dialect::Zone.text(&open)));
        }
        let list = self.list(&facts).await;
        if !self.global.json && !list.is_empty() {
            Terminal::print(&format!("\n{}", report::findings(Style::of_stdout(), &list)));
        }
        outcome.findings.extend(list);
        outcome.dns = Some(json::DnsDoc::of(&open, &sheet.findings, 0));
        Ok(())
    }

    /// Whether a list of domains would take these. Hosts elsewhere cannot be asked from here, and nothing is said of them.
    async fn list(&self, facts: &Facts) -> Vec<Finding> {
        // A stand-in has no port 25 either.
        if self.ground == Ground::StandIn {
            return Vec::new();
        }
        let views = observe(&self.site.net, &sender_probes(&facts.mx_hosts), CONVERSATION).await;
        let all = facts.domains.iter().flat_map(|domain| eligible(domain, &facts.mx_hosts, &views, None));
        all.filter(|f| f.verdict != Verdict::Unknown).collect()
    }

    /// Puts what is open into the made-up DNS.
    fn put(&self, sheet: &Sheet) -> Result<Vec<Wanted>, Trouble> {
        let open: Vec<Wanted> = sheet.open().cloned().collect();
        let change = self.dns.change(|table| {
            for wanted in &open {
                table.records.entry(wanted.at().clone()).or_default().push(record(&wanted.data));
            }
        });
        change.map_err(Trouble::human)?;
        Ok(open)
    }

    /// Begins the policies that setup would begin, serves them in the room, fetches them as senders do, and announces those that came.
    async fn policies(&self, settings: &Settings, asked: &Asked, told: &mut Vec<Wanted>) -> Result<Option<JoinHandle<()>>, Trouble> {
        let Self { site, progress, .. } = *self;
        let facts = senders::told(site, false).await?;
        let begun = |p: &Prospect| matches!(p, Prospect::Begin(_));
        let domains: BTreeSet<DnsName> =
            policy::begin::outlook(site, settings, &facts).into_iter().filter(|(_, p)| begun(p)).map(|(domain, _)| domain).collect();
        if domains.is_empty() || !Tell::MtaSts.is_in(&asked.tell) {
            return Ok(None);
        }
        let abouts: Vec<&DomainFacts> = facts.domains.iter().filter(|d| domains.contains(&d.domain)).collect();
        let kept: Vec<KeptPolicy> = abouts.iter().filter_map(|about| begin(about)).collect();
        let (served, _) = policy_host::certify(site, settings, &kept.iter().collect::<Vec<_>>(), true, progress).await?;
        for policy in &kept {
            policies::save(&site.store, policy).map_err(Trouble::state)?;
        }
        site.store.save(door::SERVED, &served).map_err(Trouble::state)?;
        let addresses: BTreeSet<IpAddr> =
            abouts.iter().filter_map(|d| d.policy_host.value()).flat_map(|a| a.records.iter().copied()).collect();
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.push(
                TcpListener::bind(SocketAddr::new(address, PORT))
                    .await
                    .map_err(|e| Trouble::human(format!("the policy host of the rehearsal could not begin: {e}")))?,
            );
        }
        let file = site.store.path(door::SERVED);
        let serving = tokio::spawn(async move {
            let _ = serve(listeners, &file, std::future::pending()).await;
        });
        progress.see(Event::Started("fetch the policy as senders do".into()));
        let fetched: BTreeMap<_, _> = survey::policies(&site.net, &domains).await;
        let as_kept = |k: &&KeptPolicy| fetched.get(&k.domain).is_some_and(|f| f.strict() == Some(&k.policy));
        let came = kept.iter().filter(as_kept).count();
        progress.see(Event::Done(format!("{came} of {} came over TLS that verifies", kept.len())));
        let (_, sheet) = senders::compared(site, senders::told(site, false).await?, asked).await;
        told.extend(self.put(&sheet)?);
        Ok(Some(serving))
    }
}

/// The policy of a domain as setup would begin it; the conversations with its MX hosts were had already.
fn begin(about: &DomainFacts) -> Option<KeptPolicy> {
    let seen = PolicySeen { domain: &about.domain, mx: &about.mx, served: None, record: &about.mta_sts, hosts: &[] };
    wished(None, &seen, &PolicyWish::Testing { weaken: false }, &PolicyHost::Builtin, world::now()).ok().map(|wished| wished.kept)
}

fn record(data: &Data) -> DnsRecord {
    match data {
        Data::Cname(name) => DnsRecord::Alias(name.clone()),
        Data::Txt(text) => DnsRecord::Txt(text.clone()),
        Data::Tlsa(tlsa) => DnsRecord::Tlsa(tlsa.clone()),
        Data::Caa(caa) => DnsRecord::Caa(caa.flags >= 128, caa.tag.clone(), caa.value.clone()),
    }
}
