//! `mxseal policy show`: the MTA-STS policy of each domain, what is served and what should be.

use super::{Trouble, dns, place, place::Site};
use crate::{
    cli::{Global, PolicyShow},
    facts::{DomainFacts, Known},
    finding::{Remedy, Verdict},
    name::DnsName,
    policy::{mta_sts::StsRecord, sts_policy::StsPolicy},
    publish::{Asked, Sight, policy_for, sheet},
    report::{
        self, Style, Terminal,
        json::{self, PolicyDoc},
    },
    survey,
};

pub(super) async fn show(args: &PolicyShow, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    let facts = dns::told(&site, false).await?;
    let asked = Asked { mx: site.place.mx.clone(), ..Asked::default() };
    let sight = survey::sight(&site.net, &facts, &asked).await;
    let policies: Vec<PolicyDoc> = facts.domains.iter().map(|d| of(d, &sight)).collect();
    let mut findings = sheet(&facts, &sight, &asked).findings;
    findings.retain(|f| f.id.starts_with("mta-sts-") || f.id == "dns-not-ours");
    for finding in findings.iter_mut().filter(|f| matches!(f.remedy, Remedy::Command(_))) {
        finding.remedy = Remedy::Do("serve the text above at that address, then publish the record".into());
    }
    let exit = match (policies.iter().all(|p| p.right), findings.iter().any(|f| f.verdict == Verdict::Unknown)) {
        _ if policies.is_empty() => 3,
        (true, false) => 0,
        (true, true) => 3,
        (false, _) => 1,
    };
    let document = json::PoliciesDoc { version: json::VERSION, exit, policies, findings };
    Terminal::print(&if global.json { json::text(&document) } else { report::policy_page(Style::of_stdout(), &document) });
    Ok(exit)
}

fn of(domain: &DomainFacts, sight: &Sight) -> PolicyDoc {
    let mx: Vec<DnsName> = domain.mx.value().into_iter().flat_map(|a| &a.records).map(|(_, name)| name.clone()).collect();
    let (served, why) = match sight.policies.get(&domain.domain) {
        Some(Known::Seen { value, .. }) => (value.value.clone(), None),
        Some(Known::Unknown { why }) => (None, Some(why.clone())),
        None => (None, Some(format!("mta-sts.{} has no address", domain.domain))),
    };
    let strict = sight.policies.get(&domain.domain).and_then(|p| p.value()?.strict());
    let wanted = policy_for(served.as_ref(), &mx);
    let id = domain.mta_sts.value().and_then(|a| StsRecord::published(&a.records).strict().map(|r| r.id.clone()));
    PolicyDoc {
        domain: domain.domain.to_string(),
        served: served.as_ref().map(StsPolicy::text),
        not_served: why,
        announced: id,
        right: strict == Some(&wanted),
        mx: mx
            .iter()
            .map(|name| json::CoverDoc { name: name.to_string(), covered: served.as_ref().is_some_and(|p| p.covers(name)) })
            .collect(),
        record: wanted.record().text(),
        text: wanted.text(),
    }
}
