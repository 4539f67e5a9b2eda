//! The certificates that the host shall have: one with every name, or one for each MX name.

use super::{
    KeyChoice, Obtain,
    adopt::Adoption,
    bundles, is_of,
    keys::{self, Keys},
    live_files,
    names::Names,
    order,
};
use crate::{
    certificate::Digest,
    facts::{Facts, Lineage, Server},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::{Certificates, Intent},
    maintain::{self, Due},
    mta::profile::Profile,
    name::DnsName,
};
use std::path::PathBuf;

/// One certificate, with a key of each type.
pub(super) struct Planned<'a> {
    /// What it is called: its first name.
    pub(super) name: DnsName,
    /// The MX names for which it is presented.
    pub(super) mx: Vec<DnsName>,
    /// Every name in it.
    pub(super) names: Vec<DnsName>,
    /// What there is of it already.
    pub(super) lineage: Option<&'a Lineage>,
    pub(super) keys: Keys,
    /// The file of all keys.
    pub(super) one_file: PathBuf,
    /// The files that the server shall name.
    pub(super) live: Vec<PathBuf>,
}

/// All of them. Who sends no name is shown the first; it also holds what is no MX name.
pub(super) fn all<'a>(
    facts: &'a Facts,
    intent: &Intent,
    profile: &Profile,
    server: &Server,
    names: &Names,
    adoption: Option<&Adoption<'_>>,
) -> Vec<Planned<'a>> {
    let shares: Vec<(Vec<DnsName>, Vec<DnsName>)> = match intent.certificates {
        Certificates::One => vec![(names.mx.clone(), names.all.clone())],
        Certificates::Each => {
            let others = || names.all.iter().filter(|name| !names.mx.contains(name)).cloned();
            let share = |(place, name): (usize, &DnsName)| {
                (vec![name.clone()], std::iter::once(name.clone()).chain(others().filter(|_| place == 0)).collect())
            };
            names.mx.iter().enumerate().map(share).collect()
        }
    };
    let one = |(mx, all): (Vec<DnsName>, Vec<DnsName>)| {
        let name = mx.first()?.clone();
        let lineage = facts.lineages.iter().find(|l| l.name == name);
        let keys = match adoption {
            Some(adoption) => adoption.keys(facts, intent, &all, &mx),
            None => keys::choose(facts, intent, profile, server, lineage, &mx),
        };
        let one_file = lineage.map_or_else(|| intent.live_dir.join(format!("{name}.pem")), |l| l.live.clone());
        let types: Vec<_> = keys.choices.iter().map(|k| k.key_type).collect();
        let live = live_files(profile.holds(&server.version), &one_file, &types);
        Some(Planned { name, mx, names: all, lineage, keys, one_file, live })
    };
    shares.into_iter().filter_map(one).collect()
}

impl Planned<'_> {
    /// What is in hand and may be served as it is, with the content of each file: CAs count orders.
    pub(super) fn made(&self, facts: &Facts, intent: &Intent, adoption: Option<&Adoption<'_>>) -> Option<(&Lineage, Vec<Digest>)> {
        let lineage = self.lineage.filter(|l| match adoption {
            Some(adoption) => adoption.is_in(l),
            None => l.adopted.is_empty() && self.is_good(l, facts, intent),
        })?;
        Some((lineage, bundles(lineage, &self.live)?))
    }

    fn is_good(&self, lineage: &Lineage, facts: &Facts, intent: &Intent) -> bool {
        let fits = |choice: &KeyChoice| {
            lineage.keys.iter().any(|k| {
                let leaf = k.leaf.as_ref().filter(|c| self.names.iter().all(|n| c.covers(n)));
                k.key_type == choice.key_type && leaf.is_some() && choice.reuse.as_ref().is_none_or(|(_, spki)| *spki == k.spki)
            })
        };
        let same_keys = lineage.keys.len() == self.keys.choices.len() && self.keys.choices.iter().all(fits);
        same_keys && matches!(maintain::lineage_due(lineage, facts.now), Due::Later(_)) && is_of(lineage, intent)
    }

    /// The order of it.
    pub(super) fn order(&self, facts: &Facts, intent: &Intent) -> Obtain {
        let (names, keys) = (self.names.clone(), self.keys.choices.clone());
        order(facts.now, intent, self.lineage, self.name.clone(), names, keys, self.one_file.clone())
    }
}

/// What stands against a certificate for each name.
pub(super) fn against_each(intent: &Intent, profile: &Profile, server: &Server, adopts: bool) -> Option<Finding> {
    let wrong = |says: String| Finding::new("certificates-each", Verdict::Fail, Subject::Host, says);
    let one = || Remedy::Do("take one certificate for all names: --certificates one".into());
    match intent.certificates {
        Certificates::One => None,
        Certificates::Each if !profile.dialect.chooses_by_name(&server.version) => {
            let says =
                format!("mxseal cannot let {} {} choose a certificate by the name that a sender sends", profile.title, server.version);
            Some(wrong(says).remedy(one()))
        }
        Certificates::Each if adopts => Some(
            wrong("another program keeps the certificate, and one for each name would be orders of our own".into())
                .remedy(Remedy::Do("say so with --take-over, or keep what is served with --certificates one".into())),
        ),
        Certificates::Each => None,
    }
}

/// What senders that send no name will see.
pub(super) fn note(planned: &[Planned<'_>]) -> Option<Finding> {
    let (first, rest) = planned.split_first()?;
    let others: Vec<&str> = rest.iter().map(|p| p.name.as_str()).collect();
    let says = format!("who sends no name is shown the certificate of {}, also at {}", first.name, others.join(", "));
    let means = "senders that verify a name and do not send it cannot verify the others; DANE and MTA-STS senders must send it (RFC 7672 section 8.1, RFC 8461 section 4.1)";
    (!rest.is_empty()).then(|| Finding::new("certificates-each", Verdict::Warn, Subject::Mx(first.name.clone()), says).means(means))
}
