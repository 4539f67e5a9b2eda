//! One update of one zone: single records to add, and single records of ours to take away. What others put there stays, the
//! other records of the same name and type too. Pure.

use super::{Data, Record, Sheet, State, TTL, Wanted};
use crate::{
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{mta_sts::StsRecord, tls_rpt::TlsRptRecord},
};
use serde::{Deserialize, Serialize};

impl From<&Wanted> for Record {
    fn from(wanted: &Wanted) -> Self {
        Self { owner: wanted.at().clone(), ttl: TTL, data: wanted.data.clone() }
    }
}

/// One update of one zone, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The apex of the zone.
    pub zone: DnsName,
    /// Records to add.
    pub add: Vec<Record>,
    /// Records of ours to take away.
    pub remove: Vec<Record>,
}

impl Exchange {
    /// Nothing to do in this zone.
    #[must_use]
    pub const fn none(zone: DnsName) -> Self {
        Self { zone, add: Vec::new(), remove: Vec::new() }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// What of it is no part of another.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let but = |all: &[Record], part: &[Record]| all.iter().filter(|r| !part.contains(r)).cloned().collect();
        Self { zone: self.zone.clone(), add: but(&self.add, &part.add), remove: but(&self.remove, &part.remove) }
    }

    /// What takes it back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { zone: self.zone, add: self.remove, remove: self.add }
    }

    /// What is left to do where the zone holds these records at the names of the exchange.
    ///
    /// # Errors
    /// When another record is in the way: then nothing of it may be done.
    pub fn left(&self, found: &[Record]) -> Result<Self, InTheWay> {
        let is_there = |record: &&Record| found.iter().any(|f| f.is(record));
        let add: Vec<Record> = self.add.iter().filter(|r| !is_there(r)).cloned().collect();
        let remove: Vec<Record> = self.remove.iter().filter(is_there).cloned().collect();
        for new in &add {
            let stays = |f: &&Record| f.owner == new.owner && !remove.iter().any(|r| r.is(f));
            if let Some(other) = found.iter().filter(stays).find(|f| collide(&f.data, &new.data)) {
                return Err(InTheWay { new: Box::new(new.clone()), other: Box::new(other.clone()) });
            }
        }
        Ok(Self { zone: self.zone.clone(), add, remove })
    }
}

/// Whether two records of one name cannot stand side by side: a CNAME beside anything (RFC 1034 §3.6.2), two texts of which
/// senders want one (RFC 8461 §3.1, RFC 8460 §3).
fn collide(one: &Data, other: &Data) -> bool {
    match (one, other) {
        (Data::Cname(_), _) | (_, Data::Cname(_)) => true,
        (Data::Txt(one), Data::Txt(other)) => [StsRecord::is, TlsRptRecord::is].iter().any(|is| is(one) && is(other)),
        _ => false,
    }
}

/// A record that is not ours is where one of ours should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{new}` cannot stand beside `{other}`, which mxseal did not put there; nothing was written")]
pub struct InTheWay {
    new: Box<Record>,
    other: Box<Record>,
}

/// The records that we published, kept so that nobody else's is ever taken away. One is noted before the world is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ours(pub Vec<Told>);

/// A record of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The apex of its zone.
    pub zone: DnsName,
    /// The record.
    pub record: Record,
    /// When it was noted.
    pub since: Moment,
}

impl Ours {
    /// Where the Store keeps them.
    pub const FILE: &str = "published.json";

    /// Whether we put this record there.
    #[must_use]
    pub fn has(&self, record: &Record) -> bool {
        self.0.iter().any(|told| told.record.is(record))
    }

    /// From now on these are ours.
    pub fn note(&mut self, zone: &DnsName, records: &[Record], now: Moment) {
        for record in records.iter().filter(|r| !self.has(r)).cloned().collect::<Vec<_>>() {
            self.0.push(Told { zone: zone.clone(), record, since: now });
        }
    }

    /// These are ours no more: they were never written, or are gone.
    pub fn forget(&mut self, records: &[Record]) {
        self.0.retain(|told| !records.iter().any(|r| r.is(&told.record)));
    }
}

/// What publishing the open records of a sheet comes to: an exchange for each zone, and why a record is left to its owner.
#[must_use]
pub fn exchanges(sheet: &Sheet, ours: &Ours) -> (Vec<Exchange>, Vec<Finding>) {
    let (mut exchanges, mut findings): (Vec<Exchange>, Vec<Finding>) = (Vec::new(), Vec::new());
    for wanted in sheet.open() {
        let Some(zone) = wanted.zone() else {
            findings.push(left(
                wanted,
                Verdict::Unknown,
                "the zone that it belongs to could not be told",
                "repair DNS on this host, or name a resolver with --resolver",
            ));
            continue;
        };
        let old: Vec<Record> = match &wanted.state {
            State::Instead { old, .. } => old.iter().map(|data| Record { data: data.clone(), ..wanted.into() }).collect(),
            State::Missing | State::Right => Vec::new(),
        };
        if let Some(other) = old.iter().find(|r| !ours.has(r)) {
            let why = format!("it takes the place of {} {}, which mxseal did not put there", other.data.kind(), other.data);
            findings.push(left(wanted, Verdict::Warn, &why, "exchange it where it was put, as `mxseal dns --format nsupdate` says"));
            continue;
        }
        let at = exchanges.iter().position(|e| e.zone == *zone).unwrap_or_else(|| {
            exchanges.push(Exchange::none(zone.clone()));
            exchanges.len() - 1
        });
        exchanges[at].add.push(wanted.into());
        exchanges[at].remove.extend(old);
    }
    (exchanges, findings)
}

fn left(wanted: &Wanted, verdict: Verdict, why: &str, next: &str) -> Finding {
    let says = format!("the record {} of {} is not published by mxseal: {why}", wanted.data.kind(), wanted.owner);
    Finding::new("dns-left-to-you", verdict, Subject::Domain(wanted.owner.clone()), says).remedy(Remedy::Do(next.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Need;

    fn txt(owner: &str, text: &str) -> Record {
        Record { owner: owner.parse().expect("a name"), ttl: TTL, data: Data::Txt(text.to_owned()) }
    }

    fn cname(owner: &str, target: &str) -> Record {
        Record { owner: owner.parse().expect("a name"), ttl: TTL, data: Data::Cname(target.parse().expect("a name")) }
    }

    #[test]
    fn only_what_is_left_is_done_and_nothing_beside_what_is_in_the_way() {
        let (new, old) = (txt("_mta-sts.a.example", "v=STSv1; id=2;"), txt("_mta-sts.a.example", "v=STSv1; id=1;"));
        let other = txt("_mta-sts.a.example", "something else");
        let alias = cname("mta-sts.a.example", "mx.a.example");
        for (what, add, remove, found, expected) in [
            ("an empty place", vec![&new], vec![], vec![], Some((1, 0))),
            ("there already", vec![&new], vec![], vec![&new], Some((0, 0))),
            ("of another kind", vec![&new], vec![], vec![&other], Some((1, 0))),
            ("ours goes", vec![&new], vec![&old], vec![&old, &other], Some((1, 1))),
            ("ours is gone already", vec![&new], vec![&old], vec![], Some((1, 0))),
            ("somebody else's", vec![&new], vec![], vec![&old], None),
            ("an alias where something is", vec![&alias], vec![], vec![&txt("mta-sts.a.example", "x")], None),
            ("something where an alias is", vec![&txt("mta-sts.a.example", "x")], vec![], vec![&alias], None),
            ("the alias of another name", vec![&new], vec![], vec![&alias], Some((1, 0))),
        ] {
            let all = |records: Vec<&Record>| records.into_iter().cloned().collect::<Vec<_>>();
            let exchange = Exchange { zone: "a.example".parse().expect("a name"), add: all(add), remove: all(remove) };
            let left = exchange.left(&all(found)).ok().map(|e| (e.add.len(), e.remove.len()));
            assert_eq!(left, expected, "{what}");
        }
    }

    #[test]
    fn what_is_not_ours_is_left_to_its_owner() {
        let (mine, theirs) =
            (txt("_smtp._tls.a.example", "v=TLSRPTv1; rua=mailto:a@a.example"), txt("_smtp._tls.a.example", "v=TLSRPTv1;"));
        let mut ours = Ours::default();
        ours.note(&"a.example".parse().expect("a name"), std::slice::from_ref(&mine), Moment(1));
        ours.note(&"a.example".parse().expect("a name"), std::slice::from_ref(&mine), Moment(2));
        assert_eq!(ours.0.len(), 1);
        let instead = |of: &[&Record]| State::Instead { old: of.iter().map(|r| r.data.clone()).collect(), set: Vec::new() };
        for (what, state, zone, expected) in [
            ("missing", State::Missing, true, (1, 0, 0)),
            ("right", State::Right, true, (0, 0, 0)),
            ("in place of ours", instead(&[&mine]), true, (1, 1, 0)),
            ("in place of theirs", instead(&[&theirs]), true, (0, 0, 1)),
            ("in place of both", instead(&[&mine, &theirs]), true, (0, 0, 1)),
            ("in no zone", State::Missing, false, (0, 0, 1)),
        ] {
            let whereabouts =
                zone.then(|| crate::facts::Whereabouts { owner: mine.owner.clone(), zone: "a.example".parse().expect("a name") });
            let wanted = Wanted {
                owner: mine.owner.clone(),
                data: Data::Txt("v=TLSRPTv1; rua=mailto:b@a.example".into()),
                need: Need::Recommended,
                state,
                why: String::new(),
                whereabouts,
            };
            let (exchanges, findings) = exchanges(&Sheet { wanted: vec![wanted], findings: vec![] }, &ours);
            let of = exchanges.first();
            assert_eq!((of.map_or(0, |e| e.add.len()), of.map_or(0, |e| e.remove.len()), findings.len()), expected, "{what}");
            assert!(findings.iter().all(|f| crate::topics::topic(&f.id).is_some()));
        }
        ours.forget(&[mine]);
        assert_eq!(ours, Ours::default());
    }
}
