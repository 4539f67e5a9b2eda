//! The policies that a setup begins: each domain of this host that has none gets one in mode testing, by which senders report and
//! deliver all the same. What goes wrong is a finding: nothing that was proved is taken back.

use super::{
    super::{Trouble, place, place::Site},
    Seen, to_serve, wish,
};
use crate::{
    facts::{DomainFacts, Facts, Known},
    finding::{Finding, Remedy, Subject, Verdict},
    policy::{Published, mta_sts::StsRecord, sts_policy::Mode},
    publish::{PolicySeen, PolicyWish, Step, Wished, domains_here, policies, wished},
    report::Progress,
    settings::Settings,
    world,
};

/// Begins them, one domain after the other.
pub(in super::super) async fn all(site: &Site, settings: &Settings, facts: &Facts, progress: &Progress) -> Vec<Finding> {
    let mut findings = Vec::new();
    for about in domains_here(facts, &site.place.mx) {
        let alone = Facts { domains: vec![about.clone()], ..facts.clone() };
        match one(site, settings, alone, about, progress).await {
            Ok(said) => findings.extend(said),
            Err(why) => findings.push(not_begun(about, &why.says)),
        }
    }
    findings
}

async fn one(site: &Site, settings: &Settings, facts: Facts, about: &DomainFacts, progress: &Progress) -> Result<Vec<Finding>, Trouble> {
    let _lock = place::lock(&site.store.path(""))?;
    if policies::load(&site.store, &about.domain).map_err(Trouble::state)?.is_some() {
        return Ok(Vec::new());
    }
    let seen = Seen::look(site, facts).await;
    let about = seen.facts.domains.first().unwrap_or(about).clone();
    let served = seen.sight.policies.get(&about.domain);
    if served.and_then(|s| s.value()?.strict()).is_some_and(|p| p.mode != Mode::None) {
        return Ok(Vec::new());
    }
    // Senders may hold the domain to a policy that cannot be fetched just now.
    match &about.mta_sts {
        Known::Seen { value, .. } if matches!(StsRecord::published(&value.records), Published::Absent) => {}
        Known::Seen { .. } => return Ok(vec![not_begun(&about, "a record announces another one, which cannot be read")]),
        Known::Unknown { why } => return Ok(vec![not_begun(&about, &format!("whether it has one could not be looked up: {why}"))]),
    }
    let hosts = seen.hosts(site, &about, None).await;
    let host = wish::policy_host(settings, None, settings, &seen, &about)?;
    let view = PolicySeen { domain: &about.domain, mx: &about.mx, served, record: &about.mta_sts, hosts: &hosts };
    let Wished { kept, mut notes } = match wished(None, &view, &PolicyWish::Testing { weaken: false }, &host, world::now()) {
        Ok(wished) => wished,
        Err(why) => return Ok(why),
    };
    let (_, kept, more) = wish::enact(site, settings, kept, seen, progress).await?;
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
    Finding::new("policy-not-begun", Verdict::Warn, Subject::Domain(about.domain.clone()), says)
        .seen(why)
        .means("the certificate is served and proved all the same; by MTA-STS nobody is told of it")
        .remedy(Remedy::Command(format!("mxseal policy testing {}", about.domain)))
}
