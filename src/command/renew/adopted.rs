//! What others keep: whether they renewed it, and whether that may be served.

use crate::{
    acme,
    change::Receipt,
    command::{Trouble, place::Site, standing::ours},
    facts::{ForeignLineage, Lineage, Source},
    finding::{Finding, Remedy, Subject, Verdict},
    name::DnsName,
    plan::{self, Adopt},
    survey,
    world::{self, Machine},
};

/// The lineage as its keepers' files are today, where they were renewed and nothing speaks against serving them; as it was
/// otherwise, with what has to be looked at.
pub(super) async fn look(site: &Site, receipt: &Receipt, lineage: Lineage, findings: &mut Vec<Finding>) -> Result<Lineage, Trouble> {
    let now = world::now();
    let lies = |source: &Source| survey::kept(&Machine, &site.net, source, now);
    let found: Vec<Option<ForeignLineage>> = lineage.adopted.iter().map(lies).collect();
    let held = |found: &ForeignLineage| lineage.keys.iter().any(|k| k.leaf.as_ref().is_some_and(|leaf| leaf.digest == found.leaf.digest));
    if found.iter().flatten().count() == lineage.adopted.len() && found.iter().flatten().all(held) {
        findings.extend(plan::overdue(&lineage, now));
        return Ok(lineage);
    }
    let mut names: Vec<DnsName> = ours(receipt).map(|(e, _)| e.name.clone()).collect();
    names.sort();
    names.dedup();
    let mut against = Vec::new();
    // A staging CA's, or one whose root is not known here: what is served is better as long as it is good.
    let good = plan::overdue(&lineage, now).is_empty();
    against.extend(found.iter().flatten().filter(|f| !f.trusted && !held(f) && good).map(untrusted));
    let new_key = |f: &&ForeignLineage| lineage.keys.iter().all(|k| k.spki != f.leaf.spki);
    if found.iter().flatten().any(|f| new_key(&f)) {
        let facts = site.survey(false).await?;
        let asked = found.iter().flatten().filter(new_key).filter_map(|f| plan::may_be_served(&facts, &names, f).err());
        against.extend(asked.flatten());
    }
    if against.is_empty() {
        let wanted = Adopt { lineage: lineage.name.clone(), names, sources: lineage.adopted.clone(), live: lineage.live.clone() };
        match acme::adopt(&site.store, &wanted) {
            Ok(renewed) => return Ok(renewed),
            Err(trouble) => against.push(unusable(&lineage, &trouble)),
        }
    }
    findings.extend(against);
    findings.extend(plan::overdue(&lineage, now));
    Ok(lineage)
}

fn untrusted(found: &ForeignLineage) -> Finding {
    let says = format!("{} renewed the certificate, and the new one ends in no root that is trusted here", found.keeper);
    Finding::new("adopt-untrusted", Verdict::Fail, Subject::File { path: found.chain.clone(), line: 0 }, says)
        .seen(format!("issuer {}, until {}", found.leaf.issuer, found.leaf.not_after))
        .means("what is served stays as long as it is good")
        .remedy(Remedy::Do("see which CA it orders from; where that CA is meant, name its root with trust-anchor in mxseal.toml".into()))
}

fn unusable(lineage: &Lineage, trouble: &acme::Trouble) -> Finding {
    Finding::new("adopt-unusable", Verdict::Fail, Subject::Mx(lineage.name.clone()), trouble.to_string())
        .remedy(Remedy::Do("mend it there, or order one of our own: mxseal setup --take-over".into()))
}
