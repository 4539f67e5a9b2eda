//! From what the admin wants of a domain's policy to the policy that may be served, or to every reason why not. Pure.

use super::{
    Data, KeptPolicy, PolicyHost, Record, TTL, Text, policy_for,
    sts::{unasked_of, untold},
};
use crate::{
    facts::{Answer, Known},
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    name::DnsName,
    policy::{
        Fetched,
        mta_sts::StsRecord,
        sts_policy::{Mode, MxPattern, StsPolicy, TESTING_AGE},
    },
};
use std::time::Duration;

/// A policy is tried that long before it is made to bind, unless somebody says so.
pub const TRIAL: Duration = Duration::from_secs(14 * 86_400);

/// What the admin wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyWish {
    /// A policy by which senders report, and deliver all the same.
    Testing {
        /// Although senders go by a stricter one now.
        weaken: bool,
    },
    /// One by which senders do not deliver where it is not kept.
    Enforce {
        /// Senders shall go by it for so many seconds at least after they fetched it (RFC 8461 §3.2).
        max_age: u32,
    },
    /// None, in the order that loses no mail.
    Leave,
    /// An MX host that DNS is to name soon.
    Add(DnsName),
    /// One that DNS does not name any more.
    Remove(DnsName),
}

/// What is seen of the domain.
#[derive(Clone, Copy, Debug)]
pub struct PolicySeen<'a> {
    /// The domain.
    pub domain: &'a DnsName,
    /// Its MX records.
    pub mx: &'a Known<Answer<(u16, DnsName)>>,
    /// What senders get from the policy host; `None` where it has no address.
    pub served: Option<&'a Fetched>,
    /// What stands at `_mta-sts`.
    pub record: &'a Known<Answer<Text>>,
    /// What the conversations with the MX hosts showed against them.
    pub hosts: &'a [Finding],
}

/// The policy from now on, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wished {
    /// As it is to be kept; the same as before where nothing changes.
    pub kept: KeptPolicy,
    /// What the admin should know.
    pub notes: Vec<Finding>,
}

/// What comes of a wish.
///
/// # Errors
/// Every reason why it would cut senders off, or could.
pub fn wished(
    kept: Option<KeptPolicy>,
    seen: &PolicySeen<'_>,
    wish: &PolicyWish,
    host: &PolicyHost,
    now: Moment,
) -> Result<Wished, Vec<Finding>> {
    let served = seen.served.and_then(Fetched::strict);
    let fresh = |policy| KeptPolicy::new(seen.domain.clone(), policy, host.clone(), now);
    // What somebody else served so far is believed on as what we served.
    let base = kept.or_else(|| served.filter(|p| p.mode != Mode::None).cloned().map(fresh));
    let names = match seen.mx {
        Known::Seen { value, .. } => value.records.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>(),
        Known::Unknown { why } if *wish != PolicyWish::Leave => {
            let says = format!("the MX records of {} could not be looked up: {why}", seen.domain);
            return Err(vec![finding("dns-unknown", Verdict::Unknown, seen, says).remedy(show(seen))]);
        }
        Known::Unknown { .. } => Vec::new(),
    };
    let becomes = |base: KeptPolicy, policy| KeptPolicy { host: host.clone(), ..base.becomes(policy, now) };
    match wish {
        PolicyWish::Testing { weaken } => {
            if names.is_empty() {
                let says = format!("{} has no MX record, so no policy can name one", seen.domain);
                return Err(vec![finding("dns-not-ours", Verdict::Fail, seen, says)]);
            }
            let binds = |b: &&KeptPolicy| b.policy.mode == Mode::Enforce;
            if let Some(strict) = base.as_ref().filter(binds).filter(|_| !weaken) {
                return Err(vec![weaker(seen, strict)]);
            }
            let before = base.as_ref().map(|b| &b.policy).filter(|p| p.mode != Mode::None);
            let policy = StsPolicy { mode: Mode::Testing, max_age: TESTING_AGE, ..policy_for(before, &names) };
            let notes = seen.hosts.to_vec();
            Ok(Wished { kept: base.map_or_else(|| fresh(policy.clone()), |b| becomes(b, policy.clone())), notes })
        }
        PolicyWish::Enforce { max_age } => {
            let Some(base) = base.filter(|b| b.policy.mode != Mode::None) else {
                let says = format!("no policy of {} was tried yet", seen.domain);
                let tried = finding("mta-sts-not-tried", Verdict::Fail, seen, says)
                    .means("in mode testing senders report what would fail, and deliver all the same")
                    .remedy(Remedy::Command(format!("mxseal policy testing {}", seen.domain)));
                return Err(vec![tried]);
            };
            let against = against(&base, seen, &names);
            if !against.is_empty() {
                return Err(against);
            }
            let mut notes: Vec<Finding> = seen.hosts.to_vec();
            if let Some(Fetched::Policy { unasked, .. }) = seen.served {
                notes.extend(unasked_of(seen.domain, unasked));
            }
            if base.policy.mode == Mode::Testing && now < base.since.after(TRIAL) {
                let says = format!("the policy of {} was tried since {}, and two weeks are usual", seen.domain, base.since.day());
                notes.push(finding("mta-sts-young", Verdict::Warn, seen, says).means(
                    "reports of senders that would fail may not have come yet; whoever enforces now goes by what was seen from here",
                ));
            }
            let policy = StsPolicy { mode: Mode::Enforce, max_age: base.policy.max_age.max(*max_age), ..base.policy.clone() };
            Ok(Wished { kept: becomes(base, policy), notes })
        }
        PolicyWish::Leave => {
            let Some(base) = base else {
                let says = format!("{} has no MTA-STS policy, so there is none to leave", seen.domain);
                return Err(vec![finding("mta-sts-not-served", Verdict::Warn, seen, says)]);
            };
            let policy = StsPolicy { mode: Mode::None, max_age: TESTING_AGE, ..base.policy.clone() };
            Ok(Wished { kept: becomes(base, policy), notes: Vec::new() })
        }
        PolicyWish::Add(name) => {
            let base = standing(base, seen)?;
            if base.policy.covers(name) {
                return Ok(Wished { kept: base, notes: Vec::new() });
            }
            let about: Vec<Finding> = seen.hosts.iter().filter(|f| f.subject == Subject::Mx(name.clone())).cloned().collect();
            let refuses = |f: &&Finding| base.policy.mode == Mode::Enforce && f.verdict >= Verdict::Fail;
            let against: Vec<Finding> = about.iter().filter(refuses).cloned().collect();
            if !against.is_empty() {
                return Err(against);
            }
            let mut policy = base.policy.clone();
            policy.mx.push(MxPattern::of(name.clone()));
            Ok(Wished { kept: becomes(base, policy), notes: about })
        }
        PolicyWish::Remove(name) => {
            let base = standing(base, seen)?;
            if !base.policy.mx.iter().any(|p| p.single() == Some(name)) {
                return Ok(Wished { kept: base, notes: Vec::new() });
            }
            if names.contains(name) {
                let says = format!("{name} is an MX host of {} still", seen.domain);
                let used = finding("mta-sts-mx-used", Verdict::Fail, seen, says)
                    .means("senders that verify would not deliver to it any more, and have the other hosts alone")
                    .remedy(Remedy::Do(format!(
                        "take it out of MX first, then run mxseal policy mx remove {name} --domain {}",
                        seen.domain
                    )));
                return Err(vec![used]);
            }
            if let Some(at) = base.may_leave(name).filter(|at| *at > now) {
                let says = format!("caches may know {name} as an MX host until {at}");
                let early = finding("mta-sts-mx-used", Verdict::Warn, seen, says)
                    .means("whoever has the old MX records would not deliver there, by the new policy")
                    .remedy(Remedy::Command(format!("mxseal policy mx remove {name} --domain {}", seen.domain)));
                return Err(vec![early]);
            }
            let mut policy = base.policy.clone();
            policy.mx.retain(|p| p.single() != Some(name));
            if policy.mx.is_empty() {
                let says = format!("{name} is the last name in the policy of {}", seen.domain);
                let last = finding("mta-sts-mx-used", Verdict::Fail, seen, says)
                    .means("a policy without names is none that senders take")
                    .remedy(Remedy::Command(format!("mxseal policy leave {}", seen.domain)));
                return Err(vec![last]);
            }
            Ok(Wished { kept: becomes(base, policy), notes: Vec::new() })
        }
    }
}

/// Everything that stands against making the policy bind: it is not served or announced as it is, leaves an MX host out, or a host
/// does not keep it, or nobody could tell.
fn against(base: &KeptPolicy, seen: &PolicySeen<'_>, names: &[DnsName]) -> Vec<Finding> {
    let mut all = Vec::new();
    let testing = || Remedy::Command(format!("mxseal policy {} {}", base.policy.mode, seen.domain));
    match seen.served {
        Some(Fetched::Policy { reading, .. }) if reading.strict() == Some(&base.policy) => {}
        Some(Fetched::Untold(why)) => all.push(untold(seen.domain, why)),
        Some(Fetched::Nothing(why)) => {
            let says = format!("the policy of {} cannot be fetched: {why}", seen.domain);
            all.push(finding("mta-sts-not-served", Verdict::Fail, seen, says).remedy(testing()));
        }
        None => {
            let says = format!("no policy is served for {}: mta-sts.{} has no address", seen.domain, seen.domain);
            all.push(finding("mta-sts-not-served", Verdict::Fail, seen, says).remedy(testing()));
        }
        Some(Fetched::Policy { .. }) => {
            let says = format!("another policy is served for {} than the one that is kept here", seen.domain);
            all.push(finding("mta-sts-served-other", Verdict::Fail, seen, says).remedy(testing()));
        }
    }
    match seen.record {
        Known::Seen { value, .. } if StsRecord::published(&value.records).strict().is_some() => {}
        Known::Seen { .. } => {
            let says = format!("no record announces the policy of {}", seen.domain);
            all.push(finding("mta-sts-not-announced", Verdict::Fail, seen, says).remedy(Remedy::Record(record_line(base))));
        }
        Known::Unknown { why } => {
            let says = format!("the record that announces the policy of {} could not be looked up: {why}", seen.domain);
            all.push(finding("dns-unknown", Verdict::Unknown, seen, says).remedy(show(seen)));
        }
    }
    if names.is_empty() {
        all.push(finding("dns-not-ours", Verdict::Fail, seen, format!("{} has no MX record", seen.domain)).remedy(show(seen)));
    }
    for name in names.iter().filter(|name| !base.policy.covers(name)) {
        let says = format!("the MTA-STS policy of {} does not name {name}", seen.domain);
        all.push(
            finding("mta-sts-uncovered", Verdict::Fail, seen, says)
                .means("senders that verify would not deliver to it")
                .remedy(Remedy::Command(format!("mxseal policy mx add {name} --domain {}", seen.domain))),
        );
    }
    all.extend(seen.hosts.iter().filter(|f| f.verdict >= Verdict::Fail).cloned());
    all
}

/// The record that announces a policy, in a zone file.
#[must_use]
pub fn record_line(kept: &KeptPolicy) -> String {
    let data = Data::Txt(kept.policy.record().text());
    let owner = kept.domain.under("_mta-sts");
    owner.map_or_else(|e| e.to_string(), |owner| Record { owner, ttl: TTL, data }.to_string())
}

fn standing(base: Option<KeptPolicy>, seen: &PolicySeen<'_>) -> Result<KeptPolicy, Vec<Finding>> {
    base.filter(|b| b.policy.mode != Mode::None).ok_or_else(|| {
        let says = format!("{} has no MTA-STS policy that could name an MX host", seen.domain);
        let remedy = Remedy::Command(format!("mxseal policy testing {}", seen.domain));
        vec![finding("mta-sts-not-tried", Verdict::Fail, seen, says).remedy(remedy)]
    })
}

fn weaker(seen: &PolicySeen<'_>, strict: &KeptPolicy) -> Finding {
    let says = format!("senders go by a policy of {} in mode enforce, and testing is weaker", seen.domain);
    finding("mta-sts-weaker", Verdict::Fail, seen, says)
        .means(format!("whoever has it goes on by it for up to {} s; then mail can be made to go in clear again", strict.policy.max_age))
        .remedy(Remedy::Do(format!(
            "to keep it: mxseal policy enforce {0}. Where mail waits because of it: mxseal policy testing {0} --weaken",
            seen.domain
        )))
}

fn finding(id: &str, verdict: Verdict, seen: &PolicySeen<'_>, says: String) -> Finding {
    Finding::new(id, verdict, Subject::Domain(seen.domain.clone()), says)
}

fn show(seen: &PolicySeen<'_>) -> Remedy {
    Remedy::Command(format!("mxseal policy show --domain {}", seen.domain))
}

#[cfg(test)]
mod tests;
