//! Going over to the next keys, as a sequence of states: a key that senders may not know yet is never served, and the record of one
//! that they may still be shown is never taken away (RFC 7671 §8.1). Pure: told what DNS says, what was kept of it, and the time.

use crate::{
    certificate::Digest,
    claims::{Claims, hold},
    facts::{Answer, Deployment, Known, Lineage, Security, Tlsa},
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::{Due, lineage_due, retired_from},
    moment::Moment,
    name::DnsName,
    publish::wait::{Says, View, Who},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What DNS says of the keys of an MX name.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySight {
    /// The MX name.
    pub mx: DnsName,
    /// Whether its zone is signed.
    pub zone: Known<Security>,
    /// Its TLSA records as this host's resolver has them, validated by ourselves too.
    pub records: Known<Answer<Tlsa>>,
    /// How many of the records of the next keys each name server of their zone has.
    pub servers: Known<Vec<View>>,
}

/// Since when records of keys are seen at every server, and validated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenKeys(pub Vec<SeenKey>);

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenKey {
    /// The MX name.
    pub mx: DnsName,
    /// The key.
    pub spki: Digest,
    /// Since when.
    pub since: Moment,
    /// The largest TTL that was seen, in seconds.
    pub ttl: u32,
}

impl SeenKey {
    /// From when on no cache can have an answer without it.
    #[must_use]
    pub fn known_from(&self) -> Moment {
        self.since.after(hold(self.ttl))
    }
}

/// How DNS stands to the next keys.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing binds: the zone is proved to be unsigned, and there is no TLSA record.
    Free,
    /// Every server has every record, and the validated answer too; the largest TTL.
    There(u32),
    /// Somebody is known not to have them.
    Missing(Vec<String>),
    /// It could not be told.
    Untold(String),
}

impl KeySight {
    fn standing(&self, keys: &[Digest]) -> Standing {
        let records = match &self.records {
            Known::Seen { value, .. } => value,
            Known::Unknown { why } => return Standing::Untold(why.clone()),
        };
        let untold = |s: &Security| match s {
            Security::Bogus => Some("DNSSEC says that the answer is forged or broken"),
            Security::Unknown => Some("whether the answer is authentic is not known: no resolver that validates can be asked"),
            Security::Secure | Security::Insecure => None,
        };
        if let Some(why) = untold(&records.security) {
            return Standing::Untold(why.to_owned());
        }
        match &self.zone {
            Known::Seen { value: Security::Insecure, .. } if records.records.is_empty() && records.security == Security::Insecure => {
                return Standing::Free;
            }
            Known::Seen { value, .. } => {
                if let Some(why) = untold(value) {
                    return Standing::Untold(why.to_owned());
                }
            }
            Known::Unknown { why } => return Standing::Untold(why.clone()),
        }
        let views = match &self.servers {
            Known::Seen { value, .. } => value,
            Known::Unknown { why } => return Standing::Untold(why.clone()),
        };
        let (mut ttl, mut missing, mut silent) = (records.ttl, Vec::new(), Vec::new());
        for view in views {
            match &view.says {
                Says::Seen { right, of, ttl: here, .. } if right == of => ttl = ttl.max(*here),
                Says::Seen { right, of, .. } => missing.push(format!("{} has {right} of {of}", view.who)),
                Says::NoRoute if answers_elsewhere(view, views) => {}
                Says::NoRoute => silent.push(format!("{} cannot be reached from this host", view.who)),
                Says::Silent(why) => silent.push(format!("{}: {why}", view.who)),
                Says::NotAsked => silent.push(format!("{} was not asked", view.who)),
            }
        }
        let has = |key: &Digest| records.records.iter().any(|r| (r.usage, r.selector, r.matching) == (3, 1, 1) && r.data == key.0);
        let known = keys.iter().filter(|key| has(key)).count();
        if known < keys.len() {
            missing.push(format!("this host's resolver has {known} of {}", keys.len()));
        }
        match (missing.is_empty(), silent.is_empty() && !views.is_empty()) {
            (false, _) => Standing::Missing(missing),
            (true, true) => Standing::There(ttl),
            (true, false) => Standing::Untold(if silent.is_empty() { "no name server is known".to_owned() } else { silent.join("; ") }),
        }
    }
}

/// An address of the other family says nothing about a server that answers at this one.
fn answers_elsewhere(view: &View, views: &[View]) -> bool {
    let Who::Authority(name, _) = &view.who else { return false };
    views.iter().any(|v| matches!(&v.who, Who::Authority(other, _) if other == name) && matches!(v.says, Says::Seen { .. }))
}

impl SeenKeys {
    /// Takes in what was seen: the time begins where every server has the records, and begins anew where one is known to lack them.
    /// Where nobody could tell, it neither begins nor ends.
    pub fn see(&mut self, keys: &[Digest], sight: &KeySight, now: Moment) {
        let of = |k: &SeenKey| k.mx == sight.mx && keys.contains(&k.spki);
        match sight.standing(keys) {
            Standing::Untold(_) => {}
            Standing::Free | Standing::Missing(_) => self.0.retain(|k| !of(k)),
            Standing::There(ttl) => {
                self.0.iter_mut().filter(|k| of(k)).for_each(|k| k.ttl = k.ttl.max(ttl));
                for spki in keys.iter().filter(|key| self.of(&sight.mx, key).is_none()).cloned().collect::<Vec<_>>() {
                    self.0.push(SeenKey { mx: sight.mx.clone(), spki, since: now, ttl });
                }
            }
        }
    }

    /// What is kept of a key.
    #[must_use]
    pub fn of(&self, mx: &DnsName, spki: &Digest) -> Option<&SeenKey> {
        self.0.iter().find(|k| k.mx == *mx && k.spki == *spki)
    }

    /// Leaves out keys that are nobody's next ones any more.
    pub fn keep_only(&mut self, lineages: &[Lineage]) {
        self.0.retain(|k| lineages.iter().flat_map(next_keys).any(|next| next == k.spki));
    }

    /// From when on every one of these keys is known to everybody who looks up one of these names; `None` where one is not seen.
    #[must_use]
    pub fn known_from(&self, keys: &[Digest], mx: &BTreeSet<DnsName>) -> Option<Moment> {
        let each = mx.iter().flat_map(|mx| keys.iter().map(|key| self.of(mx, key).map(SeenKey::known_from)));
        each.collect::<Option<Vec<Moment>>>()?.into_iter().max()
    }
}

/// The keys that follow those in use.
#[must_use]
pub fn next_keys(lineage: &Lineage) -> Vec<Digest> {
    lineage.next_keys().map(|n| n.spki.clone()).collect()
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollOver {
    /// The keys in use are not proved, or others keep them: not before that is settled.
    Refuse(Box<Finding>),
    /// The records of the keys that left stay until then.
    Hold(Moment),
    /// The records of the keys that left may be taken away.
    Retire,
    /// Not everybody knows the next keys; from then on, where that is known.
    Wait {
        /// What is missing, by MX name.
        lacks: Vec<Finding>,
        /// From when on nothing is, where it is time alone.
        until: Option<Moment>,
    },
    /// The next keys may be served, and need a certificate.
    Certify {
        /// Nobody is told of keys, so that nothing had to be waited for.
        untold: bool,
    },
    /// They have one: it may take the place of what is served.
    Deploy {
        /// Nobody is told of keys, so that nothing had to be waited for.
        untold: bool,
    },
}

/// The next step of a roll-over, whatever was interrupted before.
#[must_use]
pub fn roll_over(lineage: &Lineage, sights: &[KeySight], seen: &SeenKeys, claims: &Claims, now: Moment) -> RollOver {
    let subject = || Subject::Mx(lineage.name.clone());
    if let Some(source) = lineage.adopted.first() {
        let says = format!("{} keeps the certificate of {}, and its key", source.keeper, lineage.name);
        let finding = Finding::new("rollover-not-ours", Verdict::Fail, subject(), says);
        let finding =
            finding.means("whoever keeps a key says which one follows").remedy(Remedy::Command("mxseal setup --take-over".into()));
        return RollOver::Refuse(Box::new(finding));
    }
    if lineage.deployment != Deployment::Proved {
        let says = format!("the certificate of {} is not proved on the wire", lineage.name);
        let finding = Finding::new("rollover-not-proved", Verdict::Fail, subject(), says);
        let finding =
            finding.means("a key is left only where the wire shows which one is served").remedy(Remedy::Command("mxseal renew".into()));
        return RollOver::Refuse(Box::new(finding));
    }
    if !lineage.former.is_empty() {
        return match retired_from(lineage, claims) {
            Some(at) if at <= now => RollOver::Retire,
            Some(at) => RollOver::Hold(at),
            None => RollOver::Hold(now.after(hold(0))),
        };
    }
    let keys = next_keys(lineage);
    let (mut lacks, mut until, mut untold) = (Vec::new(), Vec::new(), true);
    for sight in sights {
        let told = keys.iter().flat_map(|key| claims.broken_by(&sight.mx, key, now));
        until.extend(told.map(|c| c.until().unwrap_or_else(|| now.after(hold(0)))));
        match sight.standing(&keys) {
            Standing::Free => untold &= claims.broken_by(&sight.mx, &Digest(String::new()), now).is_empty(),
            Standing::There(_) => {
                untold = false;
                let known = |key: &Digest| seen.of(&sight.mx, key).map_or_else(|| now.after(hold(0)), SeenKey::known_from);
                until.extend(keys.iter().map(known).filter(|at| *at > now));
            }
            Standing::Missing(who) => lacks.push(missing(&sight.mx, who)),
            Standing::Untold(why) => lacks.push(unknown(&sight.mx, &why)),
        }
    }
    if let (Some(until), true) = (until.iter().max(), lacks.is_empty()) {
        lacks.push(too_new(lineage, *until));
        return RollOver::Wait { lacks, until: Some(*until) };
    }
    if sights.is_empty() {
        lacks.push(unknown(&lineage.name, "no listener that other mail servers come to presents the certificate"));
    }
    if keys.len() < lineage.keys.len() {
        lacks.push(unknown(&lineage.name, "not every key in use has one that follows; mxseal rollover without --dry-run makes them"));
    }
    if !lacks.is_empty() {
        return RollOver::Wait { lacks, until: None };
    }
    if lineage.successor.as_ref().is_some_and(|s| fits(s, lineage, &keys, now)) {
        RollOver::Deploy { untold }
    } else {
        RollOver::Certify { untold }
    }
}

/// Whether the certificate of the next keys can take the place of what is served: the same keys and names, from the same CA, and not
/// due itself.
fn fits(successor: &Lineage, lineage: &Lineage, keys: &[Digest], now: Moment) -> bool {
    let names = |l: &Lineage| -> BTreeSet<String> { l.keys.iter().filter_map(|k| k.leaf.as_ref()).flat_map(|l| l.names.clone()).collect() };
    let of = (&successor.directory, &successor.acme_profile, &successor.live);
    of == (&lineage.directory, &lineage.acme_profile, &lineage.live)
        && successor.keys.len() == keys.len()
        && successor.keys.iter().all(|k| keys.contains(&k.spki))
        && names(successor) == names(lineage)
        && matches!(lineage_due(successor, now), Due::Later(_))
}

fn missing(mx: &DnsName, who: Vec<String>) -> Finding {
    let says = format!("not every name server of {mx} has the records of the next keys");
    let mut finding = Finding::new("rollover-not-told", Verdict::Warn, Subject::Mx(mx.clone()), says);
    finding.evidence.extend(who);
    let means = "DANE senders that do not know the next key would keep the mail (RFC 7672), so the keys in use stay";
    finding.means(means).remedy(Remedy::Command("mxseal dns --wait".into()))
}

fn unknown(mx: &DnsName, why: &str) -> Finding {
    Finding::new(
        "rollover-unknown",
        Verdict::Unknown,
        Subject::Mx(mx.clone()),
        format!("whether senders to {mx} know the next keys could not be told"),
    )
    .seen(why)
    .means("the keys in use stay")
    .remedy(Remedy::Do("repair DNS on this host, or name a validating resolver with the setting resolver".into()))
}

fn too_new(lineage: &Lineage, until: Moment) -> Finding {
    let says = format!("the records of the next keys of {} are everywhere, and not long enough", lineage.name);
    Finding::new("rollover-too-new", Verdict::Warn, Subject::Mx(lineage.name.clone()), says)
        .means("caches may still have an answer without them: twice the largest TTL, and two days at least, have to pass")
        .remedy(Remedy::Do(format!("run mxseal rollover again from {until} on")))
}

#[cfg(test)]
mod tests;
