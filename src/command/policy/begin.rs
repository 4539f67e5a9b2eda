//! The policies that a setup begins: each domain of this host that has none gets one in mode testing, by which senders report and
//! deliver all the same. What goes wrong is a finding: nothing that was proved is taken back.

use super::{
    super::{Trouble, place, place::Site},
    host,
    page::to_serve,
    seen::Seen,
};
use crate::{
    facts::{DomainFacts, Facts},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    policy::{Fetched, sts_policy::Mode},
    publish::{PolicySeen, PolicyWish, Prospect, ServedBy, Step, Wished, policies, prospects, wished},
    report::Progress,
    settings::Settings,
    world,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is to come of the policy of each domain here.
pub(in super::super) fn outlook(site: &Site, settings: &Settings, facts: &Facts) -> BTreeMap<DnsName, Prospect> {
    let kept = policies::all(&site.store).unwrap_or_default();
    let kept: BTreeSet<DnsName> = kept.into_iter().map(|k| k.domain).collect();
    prospects(facts, &site.place.mx, settings.policy_host, &kept)
}

/// Those that are left to a later run: that could be begun, where nobody `approved` that they are, or once a name leads here. `named`
/// are the names that this run told the world of.
pub(in super::super) fn later(prospects: &BTreeMap<DnsName, Prospect>, approved: bool, named: &[&DnsName]) -> Vec<Finding> {
    let left = |p: &Prospect| matches!(p, Prospect::Nameless(_)) || !approved && matches!(p, Prospect::Begin(_));
    let offer = |(domain, prospect): (&DnsName, &Prospect)| {
        let host = format!("mta-sts.{domain}");
        let once = if matches!(prospect, Prospect::Begin(_)) { String::new() } else { format!(", once {host} leads here") };
        let next =
            if named.iter().any(|n| n.as_str() == host) { "mxseal setup".to_owned() } else { format!("mxseal policy testing {domain}") };
        let says = format!("an MTA-STS policy of {domain} can be begun{once}");
        Finding::new("policy-planned", Verdict::Pass, Subject::Domain(domain.clone()), says).remedy(Remedy::Command(next))
    };
    prospects.iter().filter(|(_, p)| left(p)).map(offer).collect()
}

/// Begins those whose host's name leads here, one domain after the other, with all that is seen of each now.
pub(in super::super) async fn all(
    site: &Site,
    settings: &Settings,
    facts: &Facts,
    prospects: &mut BTreeMap<DnsName, Prospect>,
    progress: &Progress,
) -> Vec<Finding> {
    let may_be = |p: &Prospect| matches!(p, Prospect::Begin(_) | Prospect::Nameless(_));
    if !prospects.values().any(may_be) {
        return Vec::new();
    }
    let seen = Seen::look(site, facts.clone()).await;
    *prospects = outlook(site, settings, &seen.facts);
    let mut findings = Vec::new();
    for (domain, prospect) in &*prospects {
        let Prospect::Begin(by) = prospect else { continue };
        let Some(about) = seen.facts.domains.iter().find(|d| d.domain == *domain) else { continue };
        match one(site, settings, *by, &seen, about, progress).await {
            Ok(said) => findings.extend(said),
            Err(why) => findings.push(not_begun(about, &why.says)),
        }
    }
    findings
}

async fn one(
    site: &Site,
    settings: &Settings,
    by: ServedBy,
    seen: &Seen,
    about: &DomainFacts,
    progress: &Progress,
) -> Result<Vec<Finding>, Trouble> {
    let _lock = place::lock(&site.store.path(""))?;
    let served = seen.sight.policies.get(&about.domain);
    // One that nobody announces binds nobody, and is somebody's all the same.
    if served.and_then(Fetched::strict).is_some_and(|p| p.mode != Mode::None) {
        return Ok(Vec::new());
    }
    let said = Settings { policy_host: Some(by), ..Settings::default() };
    let by = host::chosen(&said, None, settings, seen, about)?;
    let hosts = seen.hosts(site, about, None).await;
    let view = PolicySeen { domain: &about.domain, mx: &about.mx, served, record: &about.mta_sts, hosts: &hosts };
    let Wished { kept, mut notes } = match wished(None, &view, &PolicyWish::Testing { weaken: false }, &by, world::now()) {
        Ok(wished) => wished,
        Err(why) => return Ok(why),
    };
    let alone = Seen { facts: Facts { domains: vec![about.clone()], ..seen.facts.clone() }, sight: seen.sight.clone() };
    let (_, kept, more) = host::enact(site, settings, kept, alone, progress).await?;
    let says = format!("{} has an MTA-STS policy in mode testing from now on", about.domain);
    let mut begun = Finding::new("policy-begun", Verdict::Pass, Subject::Domain(about.domain.clone()), says);
    if kept.step(world::now()) == Step::Serve {
        begun = begun.remedy(Remedy::Do(format!("so that senders can fetch it, {}", to_serve(&kept))));
    }
    notes.push(begun);
    notes.extend(more);
    Ok(notes)
}

fn not_begun(about: &DomainFacts, why: &str) -> Finding {
    let says = format!("no MTA-STS policy of {} was begun", about.domain);
    Finding::new("policy-not-begun", Verdict::Fail, Subject::Domain(about.domain.clone()), says)
        .seen(why)
        .means("the certificate is served and proved all the same; by MTA-STS nobody is told of it")
        .remedy(Remedy::Command(format!("mxseal policy testing {}", about.domain)))
}
