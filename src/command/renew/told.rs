//! What the world was told, looked at again: cheaply, and only where something was told.

use crate::{
    acme,
    change::Receipt,
    claims::{Claim, Claims},
    command::{
        Trouble,
        place::Site,
        rollover::{keys, retire},
    },
    facts::{Lineage, Security},
    finding::Finding,
    maintain::{PublishedNow, ToldAsked, drift, retire_due},
    name::DnsName,
    publish::told,
    survey, world,
};
use std::collections::BTreeSet;

const ASKED: &str = "watch/told.json";

/// What drifted. Claims follow what is seen, so that what somebody withdrew is forgotten in time, and what somebody published binds.
pub(super) async fn again(site: &Site, receipt: &Receipt, lineages: &[Lineage]) -> Result<Vec<Finding>, Trouble> {
    let now = world::now();
    let claims = told::claims(&site.store).map_err(Trouble::state)?;
    let standing = || claims.counting(now).filter(|c| c.until().is_none());
    let names: BTreeSet<DnsName> =
        standing().filter_map(|c| if let Claim::Tlsa { mx, .. } = c { Some(mx.clone()) } else { None }).collect();
    let domains: BTreeSet<DnsName> =
        standing().filter_map(|c| if let Claim::Sts { domain, .. } = c { Some(domain.clone()) } else { None }).collect();
    if names.is_empty() && domains.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(asked) = site.store.load::<ToldAsked>(ASKED).ok().flatten().filter(|asked| !asked.is_old(now)) {
        return Ok(asked.findings);
    }
    let (tlsa, policies) = tokio::join!(survey::tlsa(&site.net, &names), survey::policies(&site.net, &domains));
    let published = PublishedNow { tlsa, policies };
    let mut findings = drift(&claims, &published, lineages, now);
    let claims = told::tell(&site.store, now, |claims| see(claims, &published, now)).map_err(Trouble::state)?;
    for lineage in lineages.iter().filter(|l| l.adopted.is_empty() && !keys::names(receipt, l).is_disjoint(&names)) {
        if lineage.former.is_empty() {
            keys::look(site, receipt, lineage, true).await?;
            continue;
        }
        let left = retire::look(site, receipt, lineage).await;
        acme::forget_former(&site.store, &lineage.name, &left.gone).map_err(Trouble::state)?;
        if let Some(due) = retire_due(lineage, &claims, now).filter(|_| !left.there.is_empty()) {
            let against = retire::elsewhere(site, receipt, lineage).await;
            findings.extend(if against.is_empty() { vec![due] } else { against });
        }
    }
    let _ = site.store.save(ASKED, &ToldAsked { at: now, findings: findings.clone() });
    Ok(findings)
}

fn see(claims: &mut Claims, published: &PublishedNow, now: crate::moment::Moment) {
    for (name, answer) in &published.tlsa {
        // Where there is none any more the claim still has to run out; that it is missing is told until somebody settles it.
        if let Some(answer) = answer.value().filter(|a| a.security != Security::Bogus && !a.records.is_empty()) {
            claims.see_tlsa(name, &answer.records, answer.ttl, now);
        }
    }
    for (domain, fetched) in &published.policies {
        if let Some(policy) = fetched.strict() {
            claims.tell_policy(domain, Some(policy), now);
        }
    }
}
