//! Whether the world is still told what it was told, and whether that is still true. What drifted is found before a sender is.

use crate::{
    claims::{Claim, Claims},
    facts::{Answer, Known, Lineage, Security, Tlsa},
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{Fetched, sts_policy::Mode},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Nothing is asked more often where all was well.
const OFTEN: Duration = Duration::from_secs(20 * 3600);

/// What was found when DNS was asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When.
    pub at: Moment,
    /// What was not as it should be.
    pub findings: Vec<Finding>,
}

impl Asked {
    /// Whether it is time to ask again: once a day, and at each run until what was found is settled.
    #[must_use]
    pub fn is_old(&self, now: Moment) -> bool {
        self.findings.iter().any(|f| f.verdict != Verdict::Pass) || now.since(self.at) >= OFTEN || now < self.at
    }
}

/// What is published now of what is claimed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// TLSA records, by MX name.
    pub tlsa: BTreeMap<DnsName, Known<Answer<Tlsa>>>,
    /// What senders get of policies, by domain.
    pub policies: BTreeMap<DnsName, Fetched>,
}

/// What is not as it was told. `claims` are those that stood before this look; what could not be asked says nothing, for the next
/// run asks again.
#[must_use]
pub fn drift(claims: &Claims, published: &Published, lineages: &[Lineage], now: Moment) -> Vec<Finding> {
    let standing = claims.counting(now).filter(|c| c.until().is_none());
    let mut all: Vec<Finding> = Vec::new();
    for claim in standing {
        match claim {
            Claim::Tlsa { mx, seen, .. } => {
                if let Some(answer) = published.tlsa.get(mx).and_then(Known::value).filter(|a| a.security != Security::Bogus) {
                    // One of its own, or the one that all names share.
                    let lineage = lineages.iter().find(|l| l.name == *mx).or_else(|| lineages.first());
                    all.extend(lineage.and_then(|lineage| keys(mx, &answer.records, *seen, lineage)));
                }
            }
            Claim::Sts { domain, mode, mx, max_age, seen, .. } if *mode != Mode::None => {
                if let Some(fetched) = published.policies.get(domain) {
                    let told = (mode, mx.as_slice(), max_age);
                    all.extend(policy(domain, told, fetched, *seen));
                }
            }
            Claim::Sts { .. } | Claim::Listed { .. } => {}
        }
    }
    all
}

/// Records that are gone, or that name other keys than are served.
fn keys(mx: &DnsName, records: &[Tlsa], seen: Moment, lineage: &Lineage) -> Option<Finding> {
    let usable: Vec<&Tlsa> = records.iter().filter(|r| r.is_usable()).collect();
    if usable.is_empty() {
        let says = format!("_25._tcp.{mx} has no TLSA records any more; there were some on {}", seen.day());
        return Some(
            Finding::new("published-gone", Verdict::Warn, Subject::Mx(mx.clone()), says)
                .means("senders do not verify this host by DANE any more")
                .remedy(Remedy::Command("mxseal dns".into())),
        );
    }
    // A record of another kind may fit what a claim cannot say.
    if usable.iter().any(|r| (r.usage, r.selector, r.matching) != (3, 1, 1)) {
        return None;
    }
    let unknown = lineage.keys.iter().filter(|k| !usable.iter().any(|r| r.data.eq_ignore_ascii_case(&k.spki.0)));
    let unknown: Vec<String> = unknown.map(|k| format!("{} {}", k.key_type, k.spki)).collect();
    if unknown.is_empty() {
        return None;
    }
    let mut finding = Finding::new(
        "published-other",
        Verdict::Fail,
        Subject::Mx(mx.clone()),
        format!("the TLSA records of {mx} do not name every key that this host serves"),
    );
    finding.evidence.extend(unknown.into_iter().map(|key| format!("not named: {key}")));
    finding.evidence.extend(usable.iter().map(|r| format!("published: {r}")));
    Some(finding.means("DANE senders that meet such a key keep the mail (RFC 7672)").remedy(Remedy::Command("mxseal dns".into())))
}

/// A policy that is served no more, or another one.
fn policy(domain: &DnsName, told: (&Mode, &[String], &u32), fetched: &Fetched, seen: Moment) -> Option<Finding> {
    let at = Subject::Domain(domain.clone());
    let show = Remedy::Command(format!("mxseal policy show --domain {domain}"));
    let served = match fetched {
        Fetched::Policy { reading, .. } => reading.strict(),
        Fetched::Untold(_) => return None,
        Fetched::Nothing(why) => {
            let says = format!("the MTA-STS policy of {domain} cannot be fetched any more; it could on {}", seen.day());
            let finding = Finding::new("published-gone", Verdict::Warn, at, says).seen(why);
            return Some(finding.means("senders go by what they remember, until that is too old; then they see no policy").remedy(show));
        }
    };
    let same = served
        .is_some_and(|p| (&p.mode, &p.max_age) == (told.0, told.2) && p.mx.iter().map(ToString::to_string).eq(told.1.iter().cloned()));
    if same {
        return None;
    }
    let says = format!("another MTA-STS policy is served for {domain} than was on {}", seen.day());
    let means = "senders go by the new one as soon as the record announces it, and by the old one until then";
    Some(Finding::new("published-other", Verdict::Warn, at, says).means(means).remedy(show))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::{Digest, KeyType},
        facts::{Deployment, LineageKey},
        policy::sts_policy::{MxPattern, StsPolicy},
    };

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn lineage() -> Lineage {
        let key = |key_type, key: &str| LineageKey { key_type, spki: Digest::of(key.as_bytes()), leaf: None, bundle: None, window: None };
        Lineage {
            keys: vec![key(KeyType::Ecdsa, "ecdsa"), key(KeyType::Rsa, "rsa")],
            deployment: Deployment::Proved,
            ..Lineage::begun(name("mx.example.org"), "/etc/mxseal/live/mx.example.org.pem".into())
        }
    }

    #[test]
    fn what_is_gone_or_another_is_found() {
        let tlsa = |key: &str| Tlsa { usage: 3, selector: 1, matching: 1, data: Digest::of(key.as_bytes()).0 };
        let other_kind = Tlsa { usage: 2, ..tlsa("a CA") };
        let seen = |records, security| Known::seen(Answer { records, security, ttl: 60 }, "test");
        let mut claims = Claims::default();
        claims.tell_tlsa(&name("mx.example.org"), &[Digest::of(b"ecdsa"), Digest::of(b"rsa")], 60, Moment(0));
        for (what, answer, expected) in [
            ("as it was", seen(vec![tlsa("ecdsa"), tlsa("rsa"), tlsa("next")], Security::Secure), None),
            ("gone", seen(vec![], Security::Secure), Some("published-gone")),
            ("one key type alone", seen(vec![tlsa("ecdsa")], Security::Secure), Some("published-other")),
            ("others", seen(vec![tlsa("x")], Security::Insecure), Some("published-other")),
            ("a CA's", seen(vec![tlsa("x"), other_kind], Security::Secure), None),
            ("forged", seen(vec![tlsa("x")], Security::Bogus), None),
            ("not answered", Known::unknown("test"), None),
        ] {
            let published = Published { tlsa: BTreeMap::from([(name("mx.example.org"), answer)]), ..Published::default() };
            let found = drift(&claims, &published, &[lineage()], Moment(1));
            assert_eq!(found.first().map(|f| f.id.as_str()), expected, "{what}");
            assert!(drift(&Claims::default(), &published, &[lineage()], Moment(1)).is_empty(), "{what}: nobody told anything");
        }
    }

    #[test]
    fn a_policy_that_changed_under_us_is_found() {
        let policy = |mode| StsPolicy { mode, mx: vec![MxPattern::of(name("mx.example.org"))], max_age: 86400 };
        let served = |policy: &StsPolicy| Fetched::from_all(policy.text().as_bytes());
        let mut claims = Claims::default();
        claims.tell_policy(&name("example.org"), Some(&policy(Mode::Testing)), Moment(0));
        for (what, fetched, expected) in [
            ("as it was", served(&policy(Mode::Testing)), None),
            ("stricter", served(&policy(Mode::Enforce)), Some("published-other")),
            ("unreadable", Fetched::from_all(b"nonsense"), Some("published-other")),
            ("not served", Fetched::Nothing("connection refused".into()), Some("published-gone")),
            ("nothing leads there", Fetched::Untold("no way".into()), None),
        ] {
            let published = Published { policies: BTreeMap::from([(name("example.org"), fetched)]), ..Published::default() };
            let found = drift(&claims, &published, &[lineage()], Moment(1));
            assert_eq!(found.first().map(|f| f.id.as_str()), expected, "{what}");
        }
    }

    #[test]
    fn nothing_is_asked_too_often() {
        let fine = Asked { at: Moment(100_000), findings: Vec::new() };
        let wrong = Asked { findings: vec![Finding::new("published-gone", Verdict::Warn, Subject::Host, "")], ..fine.clone() };
        for (asked, now, old) in [(&fine, 100_001, false), (&fine, 100_000 + 72_000, true), (&fine, 99_000, true), (&wrong, 100_001, true)]
        {
            assert_eq!(asked.is_old(Moment(now)), old, "{now}");
        }
    }
}
