//! What the world was told about us, and until when it may believe it. Nothing is served, undone or rolled over that
//! would break a claim.
//!
//! Whoever tells the world something new writes the claim first, so that a crash errs to the safe side. What is still
//! published has no end; what was withdrawn or replaced counts until the last cache has forgotten it.

use crate::{
    certificate::Digest,
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{
        dane::Tlsa,
        sts_policy::{Mode, MxPattern, StsPolicy},
    },
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Senders and resolvers may hold a TLSA record that long after it was withdrawn, whatever its TTL.
const LEAST_HOLD: Duration = Duration::from_secs(48 * 3600);

/// Every claim that may still be believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims(pub Vec<Claim>);

/// One thing that the world was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Claim {
    /// TLSA `3 1 1` records of an MX name, all of them together: a DANE sender accepts no other key (RFC 7672).
    Tlsa {
        /// The MX name.
        mx: DnsName,
        /// Every key that is published, sorted.
        spki: Vec<Digest>,
        /// The largest TTL that was seen, in seconds.
        ttl: u32,
        /// When it was seen last, or told.
        seen: Moment,
        /// When the last cache may forget it; `None` while it is published.
        until: Option<Moment>,
    },
    /// An MTA-STS policy (RFC 8461).
    Sts {
        /// The domain.
        domain: DnsName,
        /// What senders that know it do.
        mode: Mode,
        /// Its `mx` patterns.
        mx: Vec<String>,
        /// How long a sender keeps it after each fetch, in seconds.
        max_age: u32,
        /// When it was served last, or told.
        seen: Moment,
        /// When the last sender may forget it; `None` while it is served.
        until: Option<Moment>,
    },
    /// An entry in a policy list: senders that use the list hold the domain to TLS.
    Listed {
        /// The domain.
        domain: DnsName,
        /// Where the list lies.
        list: String,
        /// When it was seen last, or asked for.
        seen: Moment,
        /// When the last copy expires; `None` while it is there.
        until: Option<Moment>,
    },
}

/// What the port 25 of an MX name would present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presents {
    /// The MX name.
    pub mx: DnsName,
    /// The domains whose mail it takes.
    pub domains: Vec<DnsName>,
    /// The keys that a sender may be shown; none where it is not known which.
    pub spki: Vec<Digest>,
    /// Its chain verifies for its name.
    pub verified: bool,
}

/// A claim that would be broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken<'a> {
    /// The claim.
    pub claim: &'a Claim,
    /// What it says.
    pub says: String,
    /// What follows for mail.
    pub means: &'static str,
}

/// How long a TLSA record counts after it was withdrawn: twice its TTL, and two days at least.
#[must_use]
pub fn hold(ttl: u32) -> Duration {
    Duration::from_secs(2 * u64::from(ttl)).max(LEAST_HOLD)
}

impl Claim {
    /// Until when it may be believed; `None` for as long as it is published.
    #[must_use]
    pub const fn until(&self) -> Option<Moment> {
        match self {
            Self::Tlsa { until, .. } | Self::Sts { until, .. } | Self::Listed { until, .. } => *until,
        }
    }

    /// What the world was told, for the admin.
    #[must_use]
    pub fn says(&self) -> String {
        match self {
            Self::Tlsa { mx, spki, .. } => format!("{mx} presents one of {} keys (TLSA)", spki.len()),
            Self::Sts { domain, mode: Mode::None, .. } => format!("{domain} has no MTA-STS policy any more (mode none)"),
            Self::Sts { domain, mode, mx, .. } => format!("mail for {domain} goes to {}, by MTA-STS in mode {mode}", mx.join(", ")),
            Self::Listed { domain, list, .. } => format!("{domain} has TLS that verifies, by the list {list}"),
        }
    }

    /// When it was seen last, or told.
    #[must_use]
    pub const fn seen(&self) -> Moment {
        match self {
            Self::Tlsa { seen, .. } | Self::Sts { seen, .. } | Self::Listed { seen, .. } => *seen,
        }
    }

    /// Whether it may still be believed.
    #[must_use]
    pub fn counts(&self, now: Moment) -> bool {
        self.until().is_none_or(|until| until > now)
    }

    /// The same withdrawn at `now`; what was withdrawn before stays as it is.
    fn end(&mut self, now: Moment) {
        match self {
            Self::Tlsa { ttl, until, .. } => *until = until.or(Some(now.after(hold(*ttl)))),
            Self::Sts { max_age, until, .. } => *until = until.or(Some(now.after(Duration::from_secs((*max_age).into())))),
            Self::Listed { until, .. } => *until = until.or(Some(now)),
        }
    }
}

impl Claims {
    /// The claims that serving `spki` on `mx` would break at `now`. Asked by plan, undo, roll-back and proof.
    #[must_use]
    pub fn broken_by(&self, mx: &DnsName, spki: &Digest, now: Moment) -> Vec<&Claim> {
        let broken = |claim: &&Claim| matches!(claim, Claim::Tlsa { mx: name, spki: keys, .. } if name == mx && !keys.contains(spki));
        self.counting(now).filter(broken).collect()
    }

    /// Whether an MX host may present that.
    ///
    /// # Errors
    /// Every claim that it would break.
    pub fn allows(&self, would: &Presents, now: Moment) -> Result<(), Vec<Broken<'_>>> {
        let broken: Vec<Broken<'_>> = self.counting(now).filter_map(|claim| breaks(claim, would)).collect();
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }

    /// The domains whose policy is tried out (mode testing) and says more than the host would present: nothing is deferred for
    /// that, and every sender reports it.
    #[must_use]
    pub fn tried_in_vain(&self, would: &Presents, now: Moment) -> Vec<&DnsName> {
        let tried = |claim| match claim {
            &Claim::Sts { ref domain, mode: Mode::Testing, ref mx, until: None, .. } => misses(domain, mx, would).then_some(domain),
            _ => None,
        };
        self.counting(now).filter_map(tried).collect()
    }

    /// The world is told of these TLSA records, or was seen to be: the whole set of an MX name. A set that was told before and
    /// is another one counts on until caches have forgotten it. An empty set withdraws.
    pub fn tell_tlsa(&mut self, mx: &DnsName, spki: &[Digest], ttl: u32, now: Moment) {
        let mut keys = spki.to_vec();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        keys.dedup();
        let mut is_there = keys.is_empty();
        for claim in &mut self.0 {
            match claim {
                Claim::Tlsa { mx: name, spki, ttl: largest, seen, until } if name == mx && *spki == keys => {
                    (*largest, *seen, *until, is_there) = (ttl.max(*largest), now, None, true);
                }
                Claim::Tlsa { mx: name, .. } if name == mx => claim.end(now),
                _ => {}
            }
        }
        if !is_there {
            self.0.push(Claim::Tlsa { mx: mx.clone(), spki: keys, ttl, seen: now, until: None });
        }
    }

    /// The world was seen to be told of these records, by whomever. Only a set of `3 1 1` alone says which keys are accepted;
    /// records of another kind beside them say more than a claim can hold, and planning goes by what DNS says.
    pub fn see_tlsa(&mut self, mx: &DnsName, records: &[Tlsa], ttl: u32, now: Moment) {
        let by_key = |r: &Tlsa| (r.usage, r.selector, r.matching) == (3, 1, 1);
        if records.iter().filter(|r| matches!(r.usage, 2 | 3)).all(by_key) {
            let keys: Vec<Digest> = records.iter().filter(|r| by_key(r)).map(|r| Digest(r.data.to_ascii_lowercase())).collect();
            self.tell_tlsa(mx, &keys, ttl, now);
        }
    }

    /// The world is told of this policy, or was seen to be; one that was told before counts on until no sender may know it.
    /// `None` withdraws.
    pub fn tell_policy(&mut self, domain: &DnsName, policy: Option<&StsPolicy>, now: Moment) {
        let told = policy.map(|p| (p.mode, p.mx.iter().map(ToString::to_string).collect::<Vec<_>>(), p.max_age));
        let mut is_there = told.is_none();
        for claim in &mut self.0 {
            match claim {
                Claim::Sts { domain: of, mode, mx, max_age, seen, until }
                    if of == domain && told.as_ref().is_some_and(|told| (&told.0, &told.1, &told.2) == (mode, mx, max_age)) =>
                {
                    (*seen, *until, is_there) = (now, None, true);
                }
                Claim::Sts { domain: of, .. } if of == domain => claim.end(now),
                _ => {}
            }
        }
        if let Some((mode, mx, max_age)) = told.filter(|_| !is_there) {
            self.0.push(Claim::Sts { domain: domain.clone(), mode, mx, max_age, seen: now, until: None });
        }
    }

    /// The world is told of a domain by a list, or is not any more.
    pub fn tell_list(&mut self, domain: &DnsName, list: &str, listed: bool, now: Moment) {
        let same = |c: &&mut Claim| matches!(c, Claim::Listed { domain: of, list: there, .. } if of == domain && there == list);
        match (self.0.iter_mut().find(same), listed) {
            (Some(Claim::Listed { seen, until, .. }), true) => (*seen, *until) = (now, None),
            (Some(claim), _) => claim.end(now),
            (None, true) => {
                self.0.push(Claim::Listed { domain: domain.clone(), list: list.to_owned(), seen: now, until: None });
            }
            (None, false) => {}
        }
    }

    /// From when on nobody expects a key that was left at `left`: records that named it may be remembered until then.
    #[must_use]
    pub fn not_expected_from(&self, spki: &Digest, left: Moment) -> Moment {
        let names = |claim: &Claim| match claim {
            Claim::Tlsa { spki: keys, ttl, .. } if keys.contains(spki) => Some(*ttl),
            _ => None,
        };
        left.after(hold(self.0.iter().filter_map(names).max().unwrap_or(0)))
    }

    /// The policy claims of a domain that still count.
    pub fn policies<'a>(&'a self, domain: &'a DnsName, now: Moment) -> impl Iterator<Item = &'a Claim> {
        self.counting(now).filter(move |c| matches!(c, Claim::Sts { domain: of, .. } if of == domain))
    }

    /// Every claim that still counts.
    pub fn counting(&self, now: Moment) -> impl Iterator<Item = &Claim> {
        self.0.iter().filter(move |c| c.counts(now))
    }

    /// Leaves out what nobody can believe any more.
    pub fn forget_past(&mut self, now: Moment) {
        self.0.retain(|c| c.counts(now));
    }
}

/// Whether a sender that goes by the policy of `domain` finds less than it says.
fn misses(domain: &DnsName, mx: &[String], would: &Presents) -> bool {
    let covered = mx.iter().filter_map(|p| p.parse::<MxPattern>().ok()).any(|p| p.matches(&would.mx));
    (covered || would.domains.contains(domain)) && !(covered && would.verified)
}

fn breaks<'a>(claim: &'a Claim, would: &Presents) -> Option<Broken<'a>> {
    let (says, means) = match claim {
        Claim::Tlsa { mx, spki, .. } if *mx == would.mx => {
            if !would.spki.is_empty() && would.spki.iter().all(|key| spki.contains(key)) {
                return None;
            }
            (format!("TLSA records of {mx} name other keys (RFC 7672)"), "DANE senders would keep the mail until it bounces")
        }
        Claim::Sts { domain, mode: Mode::Enforce, mx, .. } => {
            if !misses(domain, mx, would) {
                return None;
            }
            let says = format!("the MTA-STS policy of {domain} is in mode enforce (RFC 8461)");
            (says, "senders that know it would keep the mail until it bounces")
        }
        Claim::Listed { domain, list, .. } if would.domains.contains(domain) && !would.verified => {
            let says = format!("the list {list} says that {domain} has TLS that verifies");
            (says, "senders that use it would keep the mail until it bounces")
        }
        _ => return None,
    };
    Some(Broken { claim, says, means })
}

impl Broken<'_> {
    /// For the admin: what stands against it, and from when on nothing does.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let (subject, withdraw) = match self.claim {
            Claim::Tlsa { mx, .. } => (Subject::Mx(mx.clone()), "withdraw the records first".to_owned()),
            Claim::Sts { domain, .. } => (Subject::Domain(domain.clone()), format!("leave the policy first: mxseal policy leave {domain}")),
            Claim::Listed { domain, list, .. } => (Subject::Domain(domain.clone()), format!("ask whoever keeps {list} to take it off")),
        };
        let remedy = match self.claim.until() {
            None => withdraw,
            Some(until) => format!("wait until {until}: it was withdrawn, and may be believed until then"),
        };
        Finding::new("claim-stands", Verdict::Fail, subject, self.says.clone()).means(self.means).remedy(Remedy::Do(remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn keys(names: &[&str]) -> Vec<Digest> {
        names.iter().map(|n| Digest::of(n.as_bytes())).collect()
    }

    fn policy(mode: Mode, max_age: u32) -> StsPolicy {
        StsPolicy { mode, mx: vec![MxPattern::of(name("mx.example.org"))], max_age }
    }

    fn presents(spki: &[&str], verified: bool) -> Presents {
        Presents { mx: name("mx.example.org"), domains: vec![name("example.org")], spki: keys(spki), verified }
    }

    #[test]
    fn every_set_counts_until_caches_have_forgotten_it() {
        let (mx, mut claims) = (name("mx.example.org"), Claims::default());
        claims.tell_tlsa(&mx, &keys(&["a", "b"]), 3600, Moment(0));
        claims.tell_tlsa(&mx, &keys(&["b", "a"]), 3600, Moment(10));
        assert_eq!(claims.0.len(), 1, "the same set in another order");
        // A set with one key more is another one: a key that only it names may not be served before the first is forgotten.
        claims.tell_tlsa(&mx, &keys(&["a", "b", "c"]), 3600, Moment(DAY));
        for (key, at, broken) in [("a", DAY, 0), ("b", DAY, 0), ("c", DAY, 1), ("c", 3 * DAY - 1, 1), ("c", 3 * DAY, 0), ("d", DAY, 2)] {
            assert_eq!(claims.broken_by(&mx, &Digest::of(key.as_bytes()), Moment(at)).len(), broken, "{key} at {at}");
        }
        assert!(claims.broken_by(&name("mx2.example.org"), &Digest::of(b"d"), Moment(DAY)).is_empty());

        claims.tell_tlsa(&mx, &[], 3600, Moment(10 * DAY));
        claims.tell_tlsa(&mx, &[], 3600, Moment(11 * DAY));
        assert_eq!(claims.broken_by(&mx, &Digest::of(b"d"), Moment(12 * DAY - 1)).len(), 1, "two days after the first withdrawal");
        assert_eq!(claims.broken_by(&mx, &Digest::of(b"d"), Moment(12 * DAY)).len(), 0);
        claims.forget_past(Moment(12 * DAY));
        assert_eq!(claims, Claims::default());
    }

    #[test]
    fn a_long_ttl_holds_longer() {
        let (mx, mut claims) = (name("mx.example.org"), Claims::default());
        claims.tell_tlsa(&mx, &keys(&["a"]), 3600, Moment(0));
        claims.tell_tlsa(&mx, &keys(&["a"]), 3 * 86400, Moment(1));
        claims.tell_tlsa(&mx, &keys(&["a"]), 60, Moment(2));
        claims.tell_tlsa(&mx, &[], 60, Moment(DAY));
        assert_eq!(claims.0[0].until(), Some(Moment(7 * DAY)), "twice the largest TTL");
    }

    #[test]
    fn only_records_of_keys_alone_say_which_keys_count() {
        let tlsa =
            |usage, selector, matching, key: &str| Tlsa { usage, selector, matching, data: Digest::of(key.as_bytes()).0.to_uppercase() };
        for (records, claimed) in [
            (vec![tlsa(3, 1, 1, "a"), tlsa(3, 1, 1, "b")], 1),
            (vec![tlsa(3, 1, 1, "a"), tlsa(1, 0, 1, "unusable")], 1),
            (vec![tlsa(3, 1, 1, "a"), tlsa(2, 1, 1, "an admin's own")], 0),
            (vec![tlsa(3, 0, 1, "a certificate")], 0),
            (vec![], 0),
        ] {
            let mut claims = Claims::default();
            claims.see_tlsa(&name("mx.example.org"), &records, 60, Moment(0));
            assert_eq!(claims.0.len(), claimed, "{records:?}");
            if claimed == 1 {
                assert!(claims.broken_by(&name("mx.example.org"), &Digest::of(b"a"), Moment(1)).is_empty());
            }
        }
    }

    #[test]
    fn a_policy_counts_for_its_age_after_it_was_replaced() {
        let (domain, mut claims) = (name("example.org"), Claims::default());
        claims.tell_policy(&domain, Some(&policy(Mode::Testing, 86400)), Moment(0));
        assert!(claims.allows(&presents(&["any"], false), Moment(1)).is_ok(), "testing binds nobody");
        assert_eq!(claims.tried_in_vain(&presents(&["any"], false), Moment(1)), [&domain], "and is reported");
        assert!(claims.tried_in_vain(&presents(&["any"], true), Moment(1)).is_empty(), "it keeps what it says");
        claims.tell_policy(&domain, Some(&policy(Mode::Enforce, 1_209_600)), Moment(DAY));
        let refused = |claims: &Claims, at| claims.allows(&presents(&["any"], false), Moment(at)).is_err();
        assert!(refused(&claims, 2 * DAY));
        assert!(claims.tried_in_vain(&presents(&["any"], false), Moment(2 * DAY)).is_empty(), "it is served no more");
        assert!(claims.allows(&presents(&["any"], true), Moment(2 * DAY)).is_ok(), "a certificate that verifies keeps it");
        let other = Presents { mx: name("mx2.example.org"), ..presents(&["any"], true) };
        assert!(claims.allows(&other, Moment(2 * DAY)).is_err(), "a host that it does not name");
        assert!(claims.allows(&Presents { domains: vec![], ..presents(&[], false) }, Moment(2 * DAY)).is_err(), "it names the host");
        assert!(claims.allows(&Presents { domains: vec![], ..other }, Moment(2 * DAY)).is_ok(), "another domain's host");

        claims.tell_policy(&domain, Some(&policy(Mode::None, 86400)), Moment(20 * DAY));
        assert!(refused(&claims, 34 * DAY - 1) && !refused(&claims, 34 * DAY), "two weeks after");
        assert_eq!(claims.policies(&domain, Moment(34 * DAY)).count(), 1, "the one that says that there is none");
        claims.tell_policy(&domain, None, Moment(34 * DAY));
        assert_eq!(claims.policies(&domain, Moment(35 * DAY)).count(), 0);
    }

    #[test]
    fn what_stands_against_it_is_named_with_its_end() {
        let mut claims = Claims::default();
        claims.tell_tlsa(&name("mx.example.org"), &keys(&["a"]), 3600, Moment(0));
        claims.tell_policy(&name("example.org"), Some(&policy(Mode::Enforce, 1_209_600)), Moment(0));
        claims.tell_list(&name("example.org"), "https://list.example/policy.json", true, Moment(0));
        let broken = |claims: &Claims| {
            claims.allows(&presents(&["b"], false), Moment(1)).map_err(|all| all.iter().map(Broken::finding).collect::<Vec<_>>())
        };
        let all = broken(&claims).expect_err("three");
        assert_eq!(all.len(), 3);
        assert!(all[1].remedy.to_string().contains("mxseal policy leave example.org"));
        assert!(claims.allows(&presents(&["a"], true), Moment(1)).is_ok());
        assert!(claims.allows(&presents(&[], true), Moment(1)).is_err(), "an unknown key is no promised one");
        claims.tell_tlsa(&name("mx.example.org"), &[], 0, Moment(1));
        let all = broken(&claims).expect_err("still three");
        assert!(all[0].remedy.to_string().contains("1970-01-03T00:00:01Z"), "{}", all[0].remedy);
        claims.tell_list(&name("example.org"), "https://list.example/policy.json", false, Moment(1));
        assert_eq!(broken(&claims).expect_err("two").len(), 2);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut claims = Claims::default();
        claims.tell_tlsa(&name("mx.example.org"), &keys(&["a"]), 3600, Moment(7));
        claims.tell_policy(&name("example.org"), Some(&policy(Mode::Testing, 86400)), Moment(7));
        claims.tell_list(&name("example.org"), "https://list.example/", true, Moment(7));
        let text = serde_json::to_string(&claims).expect("JSON");
        assert_eq!(serde_json::from_str::<Claims>(&text).expect("claims"), claims, "{text}");
    }
}
