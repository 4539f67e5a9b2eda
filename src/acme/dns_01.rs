//! The answer to dns-01 (RFC 8555 §8.4): a text below each name, published as other records are, seen by every name server
//! before the CA is told to look, and taken away afterwards, however it ends. What a killed run left is taken away by the next.

use super::{Say, bad_news::Trouble};
use crate::{
    dns::Resolver,
    facts::Known,
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    publish::{
        Data, Exchange, Ours, Record,
        audience::Audience,
        publisher::Publishers,
        wait::{Awaited, Outlook, outlook},
    },
    report::observer::Event,
    world::{self, Net, Store},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Nobody needs it for long, in seconds.
const TTL: u32 = 60;
/// The texts that stand there for a CA, in the Store before DNS is told of them.
const KEPT: &str = "challenges.json";
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The texts of one errand.
pub(super) struct Texts<'a> {
    net: &'a Net,
    store: &'a Store,
    publishers: &'a Publishers,
    say: &'a Say,
}

impl<'a> Texts<'a> {
    /// None yet.
    pub(super) const fn new(net: &'a Net, store: &'a Store, publishers: &'a Publishers, say: &'a Say) -> Self {
        Self { net, store, publishers, say }
    }

    /// Publishes a text for each name: what name servers have to show from then on.
    pub(super) async fn show(&self, answers: &[(DnsName, String)]) -> Result<Vec<Awaited>, Trouble> {
        self.withdraw().await;
        if !self.publishers.any() {
            return Err(Trouble::NoPublisher);
        }
        let resolver = Resolver::new(self.net).map_err(|e| Trouble::Dns(e.to_string()))?;
        let mut zones: BTreeMap<DnsName, Vec<Record>> = BTreeMap::new();
        for (name, text) in answers {
            let owner = name.under("_acme-challenge").map_err(|e| Trouble::Dns(e.to_string()))?;
            match resolver.whereabouts(&owner).await {
                Known::Seen { value, .. } => {
                    let record = Record { owner: value.owner, ttl: TTL, data: Data::Txt(text.clone()) };
                    zones.entry(value.zone).or_default().push(record);
                }
                Known::Unknown { why } => return Err(Trouble::Dns(why)),
            }
        }
        for (zone, records) in &zones {
            let publisher = self.publishers.of(zone).ok_or(Trouble::NoPublisher)?;
            let now = world::now();
            let mut kept: Ours = self.store.load(KEPT)?.unwrap_or_default();
            kept.note(zone, records, now);
            self.store.save(KEPT, &kept)?;
            let _ = self.say.send(Event::Started(format!("publish the CA's texts in {zone}")));
            let exchange = Exchange { zone: zone.clone(), add: records.clone(), remove: Vec::new() };
            publisher.publish(self.net, self.store, &exchange, now).await.map_err(|e| Trouble::Dns(e.to_string()))?;
            let _ = self.say.send(Event::Done("done".into()));
        }
        let awaited = |(zone, records): (&DnsName, &Vec<Record>)| {
            records.iter().map(|record| Awaited { zone: zone.clone(), record: record.clone(), there: true }).collect::<Vec<_>>()
        };
        Ok(zones.iter().flat_map(awaited).collect())
    }

    /// Waits until every name server has them. No resolver is asked, for it would remember for a while that there is none.
    pub(super) async fn seen_by_all(&self, awaited: &[Awaited], patience: Duration) -> Result<(), Trouble> {
        let resolver = Resolver::new(self.net).map_err(|e| Trouble::Dns(e.to_string()))?;
        let zones: BTreeSet<DnsName> = awaited.iter().map(|a| a.zone.clone()).collect();
        let audience = Audience::of(&resolver, &zones, None).await.map_err(Trouble::Dns)?;
        let on = "every name server to have the CA's texts";
        let _ = self.say.send(Event::Waiting { on: on.to_owned(), at_most: patience });
        let (end, mut pause) = (Instant::now() + patience, PAUSE);
        while outlook(&audience.views(awaited, false).await, 0) == Outlook::Authorities {
            if Instant::now() + pause > end {
                return Err(Trouble::Late { on: on.to_owned(), after: patience });
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Takes away every text that stands there for a CA, this run's and what an earlier one left.
    pub(super) async fn withdraw(&self) {
        let Ok(Some(mut kept)) = self.store.load::<Ours>(KEPT) else { return };
        let mut zones: BTreeMap<DnsName, Vec<Record>> = BTreeMap::new();
        for told in &kept.0 {
            zones.entry(told.zone.clone()).or_default().push(told.record.clone());
        }
        for (zone, records) in zones {
            let exchange = Exchange { zone: zone.clone(), add: Vec::new(), remove: records.clone() };
            let gone = match self.publishers.of(&zone) {
                Some(publisher) => publisher.publish(self.net, self.store, &exchange, world::now()).await.map_err(|e| e.to_string()),
                None => Err("no way to publish there is configured any more".to_owned()),
            };
            match gone {
                Ok(_) => kept.forget(&records),
                Err(why) => drop(self.say.send(Event::Note(left(zone, &records, why)))),
            }
        }
        // What cannot be noted as gone is looked for once more by the next run.
        let _ = if kept.0.is_empty() { self.store.remove(KEPT) } else { self.store.save(KEPT, &kept) };
    }
}

/// The texts that stand there for a CA, as in a zone file, by what the Store knows.
#[must_use]
pub fn texts_left(store: &Store) -> Vec<String> {
    let kept: Ours = store.load(KEPT).ok().flatten().unwrap_or_default();
    kept.0.iter().map(|told| told.record.to_string()).collect()
}

fn left(zone: DnsName, records: &[Record], why: String) -> Finding {
    let says = format!("texts for the CA are still in the zone {zone}, and the next run takes them away: {why}");
    let mut finding = Finding::new("challenge-left", Verdict::Warn, Subject::Domain(zone), says);
    finding.evidence.extend(records.iter().map(ToString::to_string));
    finding.remedy(Remedy::Do("repair the way to publish, or remove them by hand".into()))
}
