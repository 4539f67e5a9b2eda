//! The policies of this host, looked after beside the certificates: what it serves itself is kept up, and what is due is told.

use crate::{
    cli::{Global, Renew, Where},
    command::{Trouble, place, place::Site, policy_host, show},
    finding::{Finding, Verdict},
    maintain::{ToldAsked, policy_due},
    name::DnsName,
    policy::Fetched,
    publish::{policies, told},
    report::{Progress, json::Outcome},
    survey,
    world::{self, Store},
};
use std::{collections::BTreeSet, time::Duration};

/// Whoever changes a policy is soon done, or asks a person.
const PATIENCE: Duration = Duration::from_secs(15);
const ASKED: &str = "watch/policies.json";

/// Serves what this host serves itself, with certificates that are good, and says what is due.
pub(super) async fn look_after(args: &Renew, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    if policies::all(&Store::at(&global.state_dir)).map_err(Trouble::state)?.is_empty() {
        return Ok(());
    }
    // Whoever changes a policy just now looks after all of them.
    let Some(_lock) = Store::lock_within(&global.state_dir, PATIENCE).map_err(Trouble::state)? else { return Ok(()) };
    let settings = place::settings(global)?;
    let mut site = Site::of(&Where::default(), &settings.acme_ca_file, &settings, global)?;
    site.open_store(&global.state_dir)?;
    let all = policies::all(&site.store).map_err(Trouble::state)?;
    let mut findings = policy_host::keep(&site, &settings, &all, args.force, &Progress::new(global.json)).await?;
    findings.extend(due(&site).await?);
    show(global, &findings);
    if findings.iter().any(|f| f.verdict == Verdict::Fail || f.id == "policy-due") {
        outcome.exit = outcome.exit.max(1);
    }
    outcome.findings.extend(findings);
    Ok(())
}

/// What senders see of the policies, looked at once a day and until what is due is done, and what is due then. DNS is told nothing
/// from here: a policy changes when a human says so.
async fn due(site: &Site) -> Result<Vec<Finding>, Trouble> {
    let now = world::now();
    if let Some(asked) = site.store.load::<ToldAsked>(ASKED).ok().flatten().filter(|asked| !asked.is_old(now)) {
        return Ok(asked.findings);
    }
    let mut all = policies::all(&site.store).map_err(Trouble::state)?;
    let domains: BTreeSet<DnsName> = all.iter().map(|kept| kept.domain.clone()).collect();
    let (told, served) = tokio::join!(survey::domains(&site.net, &domains), survey::policies(&site.net, &domains));
    for kept in &mut all {
        let Some(domain) = told.iter().find(|d| d.domain == kept.domain) else { continue };
        let served = served.get(&kept.domain);
        if let Some(policy) = served.and_then(Fetched::strict) {
            told::tell(&site.store, now, |claims| claims.tell_policy(&kept.domain, Some(policy), now)).map_err(Trouble::state)?;
        }
        *kept = kept.clone().seen(served, &domain.mta_sts, &domain.mx, now);
        policies::save(&site.store, kept).map_err(Trouble::state)?;
    }
    let findings: Vec<Finding> = all.iter().filter_map(|kept| policy_due(kept, now)).collect();
    let _ = site.store.save(ASKED, &ToldAsked { at: now, findings: findings.clone() });
    Ok(findings)
}
