//! After a roll-over, once no sender can need them any more: the records of the keys that left are taken away. Ours by us, those
//! of others by whoever put them there.

use super::{
    super::{Trouble, bring::bring, place::Site},
    keys::names,
};
use crate::{
    acme,
    certificate::Digest,
    change::Receipt,
    facts::{Lineage, Security, Tlsa},
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::served_elsewhere,
    name::DnsName,
    publish::{Data, Exchange, Ours, Record, publisher::Publisher},
    report::{Event, Observer as _, Progress},
    settings::Settings,
    survey,
};
use std::collections::BTreeMap;

/// What DNS says of the keys that left.
pub(in crate::command) struct Left {
    /// Records that are there still, by MX name.
    pub(in crate::command) there: Vec<(DnsName, Digest)>,
    /// Keys that no record names any more.
    pub(in crate::command) gone: Vec<Digest>,
}

/// Which records of keys that left are there still. What could not be asked counts as there.
pub(in crate::command) async fn look(site: &Site, receipt: &Receipt, lineage: &Lineage) -> Left {
    let mut left = Left { there: Vec::new(), gone: Vec::new() };
    let answers = survey::tlsa(&site.net, &names(receipt, lineage)).await;
    for key in &lineage.former {
        let there = answers.iter().filter(|(_, answer)| {
            answer.value().is_none_or(|a| a.security == Security::Bogus || a.records.iter().any(|r| is_of(r, &key.spki)))
        });
        let there: Vec<_> = there.map(|(mx, _)| (mx.clone(), key.spki.clone())).collect();
        if there.is_empty() && !answers.is_empty() {
            left.gone.push(key.spki.clone());
        }
        left.there.extend(there);
    }
    left
}

/// What stands against taking them away at addresses of the MX names that are not this host's.
pub(in crate::command) async fn elsewhere(site: &Site, receipt: &Receipt, lineage: &Lineage) -> Vec<Finding> {
    let proved = receipt.change.prove.iter().map(|e| e.addr.ip()).collect();
    served_elsewhere(lineage, &survey::elsewhere(&site.net, &names(receipt, lineage), &proved).await)
}

fn is_of(record: &Tlsa, spki: &Digest) -> bool {
    (record.usage, record.selector, record.matching) == (3, 1, 1) && record.data == spki.0
}

/// How the records are taken away.
pub(super) struct Way {
    exchange: Exchange,
    publisher: Publisher,
}

impl Way {
    /// The records that go, as in a zone file.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.exchange.remove.iter().map(|record| format!("- {record}\n"))
    }
}

/// The zones in which mxseal can take away what it put there.
pub(super) fn ways(site: &Site, settings: &Settings, lineage: &Lineage) -> Result<Vec<Way>, Trouble> {
    let ours: Ours = site.store.load(Ours::FILE).map_err(Trouble::state)?.unwrap_or_default();
    let leaves = |r: &Record| matches!(&r.data, Data::Tlsa(tlsa) if lineage.former.iter().any(|k| is_of(tlsa, &k.spki)));
    let mut zones: BTreeMap<DnsName, Exchange> = BTreeMap::new();
    for told in ours.0.into_iter().filter(|told| leaves(&told.record)) {
        zones.entry(told.zone.clone()).or_insert_with(|| Exchange::none(told.zone.clone())).remove.push(told.record);
    }
    let way = |exchange: Exchange| {
        let publisher = settings.publishing(&exchange.zone).by_itself()?;
        Some(publisher.map(|publisher| Way { exchange, publisher }).map_err(Trouble::usage))
    };
    zones.into_values().filter_map(way).collect()
}

/// Takes them away.
pub(super) async fn withdraw(site: &Site, ways: &[Way], progress: &Progress) -> Result<(), Trouble> {
    for Way { exchange, publisher } in ways {
        progress.see(Event::Started(format!("withdraw {} records from {}", exchange.remove.len(), exchange.zone)));
        bring(site, publisher, exchange, |_| ()).await.map_err(Trouble::human)?;
        progress.see(Event::Done("done".into()));
    }
    Ok(())
}

/// Notes which are gone, and says of the others who has to take them away.
pub(super) async fn settle(site: &Site, receipt: &Receipt, lineage: &Lineage) -> Result<Option<Finding>, Trouble> {
    let left = look(site, receipt, lineage).await;
    acme::forget_former(&site.store, &lineage.name, &left.gone).map_err(Trouble::state)?;
    if left.there.is_empty() {
        return Ok(None);
    }
    let says = format!("records of keys that {} does not use any more are there still", lineage.name);
    let mut finding = Finding::new("rollover-retire", Verdict::Warn, Subject::Mx(lineage.name.clone()), says);
    finding.evidence.extend(left.there.iter().map(|(mx, spki)| format!("_25._tcp.{mx}. IN TLSA 3 1 1 {spki}")));
    let means = "whoever holds such a key can go on passing for this host to DANE senders";
    let remedy = "take these records away where they were put, and leave the others; then run mxseal rollover again";
    Ok(Some(finding.means(means).remedy(Remedy::Do(remedy.into()))))
}
