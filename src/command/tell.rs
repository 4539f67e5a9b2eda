//! The end of a setup: what senders are told, once the wire has proved that it is true. A problem here takes nothing back.

use super::{
    bring::{became, bring},
    interrupt::{Reached, reached},
    place::Site,
    policy, senders,
    wait::{self, Patience},
};
use crate::{
    claims::Claims,
    cli::{Global, WaitFor},
    dns::Resolver,
    facts::Facts,
    finding::{Finding, Remedy, Subject, Verdict},
    intent::Tell,
    name::DnsName,
    publish::{
        self, Asked, Exchange, Ours, Prospect, Refused, Sheet, Wanted,
        dialect::Dialect,
        exchanges, policy_notes,
        publisher::{How, Publisher},
        told,
    },
    report::{
        self, Event, Observer as _, Progress, Style, Terminal,
        json::{self, Outcome, WaitDoc, ZoneDoc},
    },
    settings::Settings,
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::time::{sleep, timeout};

/// How long the world is waited for where nobody says.
const USUAL_WAIT: Duration = Duration::from_secs(120);
/// How long the zone's own servers are waited for where the world is not: what they have is enough to go on with.
const SHORT_WAIT: Duration = Duration::from_secs(10);
/// How often a name is looked up that shall be found.
const LOOK: Duration = Duration::from_secs(1);
/// What is told in a first round may let a policy host be found, whose policy is told of in the second.
const ROUNDS: usize = 2;

/// What a plan says of it.
pub(super) fn notes(facts: &Facts, mx: &[DnsName], settings: &Settings, prospects: &BTreeMap<DnsName, Prospect>) -> Vec<Finding> {
    if settings.tell.contains(&Tell::Nothing) {
        return Vec::new();
    }
    let how = match settings.way.publish {
        usual if settings.zone.values().any(|zone| zone.publish.is_some_and(|how| Some(how) != usual)) => {
            "the records of each zone go the way that the settings say, and where they say none are printed; --tell nothing leaves it out"
        }
        None | Some(How::Manual) => "the records are printed for your zone, and nothing is sent anywhere; --tell nothing leaves it out",
        Some(How::Zonefile) => "the records are put into the zone's file; --tell nothing leaves it out",
        Some(How::Rfc2136) => "the records are sent to the zone's server; --tell nothing leaves it out",
        Some(How::Hook) => "the records are given to your program; --tell nothing leaves it out",
        Some(How::Api) => "the records are given to your DNS company; --tell nothing leaves it out",
    };
    let served: Vec<&DnsName> =
        prospects.iter().filter(|(_, p)| matches!(p, Prospect::There | Prospect::Begin(_))).map(|(domain, _)| domain).collect();
    let told = publish::outlook(facts, mx, &settings.tell, &served, how);
    let mut notes: Vec<Finding> = told.into_iter().collect();
    if Tell::MtaSts.is_in(&settings.tell) {
        let (told, by_hand) = prospects.clone().into_iter().partition(|(domain, _)| publishes(settings, domain));
        notes.extend(policy_notes(&told, facts, mx, true));
        notes.extend(policy_notes(&by_hand, facts, mx, false));
    }
    notes
}

/// Whether mxseal brings the records of this domain into DNS, by the closest zone of which the settings say something.
fn publishes(settings: &Settings, domain: &DnsName) -> bool {
    let above = |zone: &&DnsName| domain == *zone || domain.as_str().ends_with(&format!(".{zone}"));
    let zone = settings.zone.keys().filter(above).max_by_key(|zone| zone.as_str().len()).unwrap_or(domain);
    settings.publishing(zone).publish.is_some_and(|how| how != How::Manual)
}

/// What is asked for. Where nobody says, nothing is told of policies that this host has no part in.
pub(super) fn asked(site: &Site, settings: &Settings, prospects: &BTreeMap<DnsName, Prospect>) -> Asked {
    let mut tell = settings.tell.clone();
    if tell.is_empty() && !prospects.values().any(Prospect::concerns_us) {
        tell = vec![Tell::TlsRpt, Tell::Dane];
    }
    Asked { mx: site.place.mx.clone(), rua: settings.rua.clone(), caa: None, tell }
}

/// How senders are told.
pub(super) struct Telling<'a> {
    pub(super) site: &'a Site,
    pub(super) settings: &'a Settings,
    pub(super) global: &'a Global,
    pub(super) progress: &'a Progress,
    /// Nobody approved that anything is begun or published: it is shown.
    pub(super) show_only: bool,
    /// How long the world is waited for; `None` is as long as is usual where mxseal publishes.
    pub(super) wait: Option<WaitFor>,
    /// The public resolver that is asked then.
    pub(super) public: Option<SocketAddr>,
}

/// What came of it.
#[derive(Default)]
struct Told {
    records: Vec<Wanted>,
    /// What became of policies and zones.
    findings: Vec<Finding>,
    /// What was seen of all the rest at last.
    seen: Vec<Finding>,
    zones: Vec<ZoneDoc>,
    wait: Option<WaitDoc>,
}

impl Telling<'_> {
    /// Tells them, or prints what is left to a person.
    pub(super) async fn senders(&self, mut facts: Facts, outcome: &mut Outcome) {
        if self.settings.tell.contains(&Tell::Nothing) {
            return;
        }
        let mut told = Told::default();
        for round in 1..=ROUNDS {
            match self.round(facts, &mut told).await {
                Ok(Some(seen)) if round < ROUNDS => facts = seen,
                Ok(_) => break,
                Err(finding) => {
                    self.print(&report::findings(Style::of_stdout(), std::slice::from_ref(&finding)));
                    told.findings.push(finding);
                    break;
                }
            }
        }
        let exit = u8::from(told.findings.iter().any(|f| f.verdict == Verdict::Fail));
        let (records, findings) = (told.records.iter().collect::<Vec<_>>(), [&told.seen[..], &told.findings].concat());
        outcome.dns = Some(json::DnsDoc { zones: told.zones, wait: told.wait, ..json::DnsDoc::of(&records, &findings, exit) });
        outcome.findings.extend(told.findings);
        outcome.exit = outcome.exit.max(exit);
    }

    /// Policies are begun, records published, and the world is waited for; the facts where a policy can be begun that could not
    /// before.
    async fn round(&self, mut facts: Facts, told: &mut Told) -> Result<Option<Facts>, Finding> {
        let Self { site, settings, progress, .. } = self;
        let mut prospects = policy::begin::outlook(site, settings, &facts);
        let begun = if self.show_only || !Tell::MtaSts.is_in(&settings.tell) {
            Vec::new()
        } else {
            policy::begin::all(site, settings, &facts, &mut prospects, progress).await
        };
        progress.see(Event::Started("compare what senders are told with what is true now".into()));
        // What cannot be kept in mind must not be told.
        facts.claims = told::see(&site.store, &facts).map_err(|e| unkept(&e))?;
        let asked = asked(site, settings, &prospects);
        let (facts, sheet) = senders::compared(site, facts, &asked).await;
        progress.see(Event::Done(format!("{} to add", count(sheet.open().count(), "record", "records"))));
        let (zones, by_hand) = self.publish(&facts, &sheet).await;
        let published: usize = zones.iter().filter(|z| z.state == "published").map(|z| z.added.len()).sum();
        let done = |w: &Wanted| zones.iter().any(|z| z.is_told(&w.into()));
        let (told_now, open): (Vec<&Wanted>, Vec<&Wanted>) = sheet.open().partition(|w| done(w));
        // What a second round did not publish was waited for in the first.
        let patience = self.patience(published > 0).filter(|_| published > 0 || told.wait.is_none());
        self.print(&report::findings(Style::of_stdout(), &begun));
        self.print(&self.page(&open, &sheet, published, patience.is_some()));
        self.print(&report::findings(Style::of_stdout(), &by_hand));
        let waited = match patience {
            Some(patience) => Some(self.wait(patience, &sheet, (published > 0).then_some(&zones)).await),
            None => None,
        };

        let names: Vec<&DnsName> = told_now.iter().map(|w| &w.owner).filter(|name| name.as_str().starts_with("mta-sts.")).collect();
        let (again, at_most) = match patience {
            _ if names.is_empty() => (false, SHORT_WAIT),
            Some(patience) => (waited.as_ref().is_some_and(|w| w.exit == 0), patience.timeout),
            None if published > 0 && self.wait.is_none() => (wait::authorities(site, &sheet, &zones, SHORT_WAIT).await, SHORT_WAIT),
            None => (false, SHORT_WAIT),
        };
        if again {
            self.found(&names, at_most).await;
        }
        let later =
            if again || !Tell::MtaSts.is_in(&asked.tell) { Vec::new() } else { policy::begin::later(&prospects, !self.show_only, &names) };
        self.print(&report::findings(Style::of_stdout(), &later));
        let new = |w: &&Wanted| !told.records.iter().any(|r| (&r.owner, &r.data) == (&w.owner, &w.data));
        let records: Vec<Wanted> = sheet.open().filter(new).cloned().collect();
        told.records.extend(records);
        told.findings.extend(begun.into_iter().chain(by_hand).chain(later));
        told.seen = sheet.findings;
        told.zones.extend(zones);
        told.wait = waited.or(told.wait.take());
        Ok(again.then_some(facts))
    }

    /// What became of each zone that mxseal brings records into, and what is left to a person.
    async fn publish(&self, facts: &Facts, sheet: &Sheet) -> (Vec<ZoneDoc>, Vec<Finding>) {
        let ours: Ours = self.site.store.load(Ours::FILE).ok().flatten().unwrap_or_default();
        let (all, mut by_hand) = exchanges(sheet, &ours);
        let mut zones = Vec::new();
        for exchange in all.iter().filter(|_| !self.show_only) {
            let Some(way) = self.settings.publishing(&exchange.zone).by_itself() else { continue };
            let what = count(exchange.add.len(), "record", "records");
            self.progress.see(Event::Started(format!("publish {what} in {}", exchange.zone)));
            let promise = |claims: &mut Claims| told::promise_keys(claims, facts, sheet, exchange);
            let zone = match way {
                Ok(publisher) => became(exchange, &publisher, false, bring(self.site, &publisher, exchange, promise).await),
                Err(why) => became(exchange, &Publisher::Manual, false, Err(Refused::Failed(why))),
            };
            self.progress.see(Event::Done(if zone.error.is_none() { "done".into() } else { "not done".into() }));
            by_hand.extend(zone.error.as_deref().map(|why| not_published(exchange, why)));
            zones.push(zone);
        }
        (zones, by_hand)
    }

    /// How the world is waited for, if it is.
    fn patience(&self, published: bool) -> Option<Patience> {
        let quiet = self.global.json;
        let timeout = match self.wait {
            Some(WaitFor(at_most)) => at_most?,
            None if published && !quiet => USUAL_WAIT,
            None => return None,
        };
        Some(Patience { timeout, public: self.public, quiet })
    }

    /// Waits for what was published, or else for everything. Whoever stops it loses nothing.
    async fn wait(&self, patience: Patience, sheet: &Sheet, zones: Option<&Vec<ZoneDoc>>) -> WaitDoc {
        reached(Reached::Told);
        let on = "To go on waiting: mxseal dns --wait";
        let waited = wait::run(patience, self.site, sheet, zones.map(Vec::as_slice)).await;
        reached(Reached::End);
        if let Some(why) = &waited.why {
            self.print(&report::row(Style::of_stdout(), "", &format!("Who sees the records could not be told: {why}. {on}")));
        } else if waited.exit != 0 {
            self.print(&report::row(Style::of_stdout(), "", &format!("Not everybody sees the records yet. {on}")));
        }
        waited
    }

    /// Waits until this host's resolver finds these names: it may remember that they led nowhere, and a CA may ask the same one. Whoever
    /// asks the zone's own servers knows better, so that nothing fails where the time is over.
    async fn found(&self, names: &[&DnsName], at_most: Duration) {
        let Ok(resolver) = Resolver::new(&self.site.net) else { return };
        let all = async {
            for name in names {
                while resolver.addresses(name).await.value().is_none_or(|a| a.records.is_empty()) {
                    sleep(LOOK).await;
                }
            }
        };
        self.progress.see(Event::Started("wait until this host finds its policy host".into()));
        let found = timeout(at_most, all).await;
        self.progress.see(Event::Done(if found.is_ok() { "found".into() } else { "not yet".into() }));
    }

    fn page(&self, open: &[&Wanted], sheet: &Sheet, published: usize, waits: bool) -> String {
        let mut out = String::new();
        let one = open.windows(2).all(|two| two[0].zone() == two[1].zone());
        let zones = if one { "your zone" } else { "your zones" };
        if !open.is_empty() {
            out.push_str(&format!("\nWhat senders should be told, for {zones}:\n\n"));
            out.push_str(&Dialect::Zone.text(open));
        }
        let right = sheet.wanted.len() - sheet.open().count();
        let wait = if waits { "" } else { " To wait until the world sees them: mxseal dns --wait" };
        let by_itself = || open.iter().all(|w| w.zone().is_some_and(|zone| self.settings.publishing(zone).by_itself().is_some()));
        let says = match (open.len(), published) {
            (0, 0) if right == 0 => "Nothing can be told to senders yet; why: mxseal dns".to_owned(),
            (0, 0) => format!("Senders are told what they should be ({}).", count(right, "record", "records")),
            (0, n) => format!("{} published.{wait}", count(n, "record is", "records are")),
            (_, 0) if self.show_only && by_itself() => "To put them there: mxseal dns --publish".to_owned(),
            (_, 0) => format!("Put these into {zones}, then run: mxseal dns --wait"),
            (_, n) => format!("{} published; put these into {zones}, then run: mxseal dns --wait", count(n, "record is", "records are")),
        };
        out.push_str(&format!("\n{}", report::row(Style::of_stdout(), "", &says)));
        out
    }

    fn print(&self, page: &str) {
        if !self.global.json {
            Terminal::print(page);
        }
    }
}

fn not_published(exchange: &Exchange, why: &str) -> Finding {
    let says = format!("the records of {} are not published", exchange.zone);
    Finding::new("publish-failed", Verdict::Fail, Subject::Domain(exchange.zone.clone()), says)
        .seen(why)
        .means("the certificate is served and proved all the same; senders are not told of it yet")
        .remedy(Remedy::Command("mxseal dns --publish".into()))
}

fn unkept(e: &std::io::Error) -> Finding {
    Finding::new("publish-failed", Verdict::Fail, Subject::Host, "what senders are told could not be noted, so they were told nothing")
        .seen(e.to_string())
        .means("the certificate is served and proved all the same")
        .remedy(Remedy::Command("mxseal dns".into()))
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Publishing;

    #[test]
    fn a_domain_goes_the_way_of_its_closest_zone() {
        let name = |text: &str| text.parse::<DnsName>().expect("a name");
        let way = |how| Publishing { publish: Some(how), ..Publishing::default() };
        let zone = [(name("a.example"), way(How::Rfc2136)), (name("b.a.example"), way(How::Manual))].into();
        let settings = Settings { zone, ..Settings::default() };
        for (domain, expected) in [("a.example", true), ("x.a.example", true), ("x.b.a.example", false), ("za.example", false)] {
            assert_eq!(publishes(&settings, &name(domain)), expected, "{domain}");
        }
        assert!(publishes(&Settings { way: way(How::Hook), ..Settings::default() }, &name("a.example")));
    }
}
