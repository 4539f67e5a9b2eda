//! `mxseal policy`: the MTA-STS policy of a domain, from the first try to the end of it. Each verb says what is wished; what comes
//! next is a step between what is kept and what senders see, so that the same verb goes on from wherever the last run came to.

mod announce;
pub(super) mod begin;
mod host;
mod page;
mod seen;
mod wish;

use super::{Trouble, interrupt, place, place::Site, senders};
use crate::{
    cli::{Global, Policy, PolicyMx, PolicyShow},
    finding::{Finding, Remedy},
    publish::{Asked, PolicyWish, policies, sheet},
    report::json::PolicyDoc,
    world,
};
use seen::Seen;

pub(super) async fn run(policy: &Policy, global: &Global) -> Result<u8, Trouble> {
    match policy {
        Policy::Show(args) => show(args, global).await,
        Policy::Testing(t) => wish::run(t.of.domain.as_ref(), &PolicyWish::Testing { weaken: t.weaken }, &t.of.how, global).await,
        Policy::Enforce(e) => wish::run(e.of.domain.as_ref(), &PolicyWish::Enforce { max_age: e.max_age }, &e.of.how, global).await,
        Policy::Leave(of) => wish::run(of.domain.as_ref(), &PolicyWish::Leave, &of.how, global).await,
        Policy::Mx(PolicyMx::Add(of)) => wish::run(of.domain.as_ref(), &PolicyWish::Add(of.host.clone()), &of.how, global).await,
        Policy::Mx(PolicyMx::Remove(of)) => wish::run(of.domain.as_ref(), &PolicyWish::Remove(of.host.clone()), &of.how, global).await,
    }
}

async fn show(args: &PolicyShow, global: &Global) -> Result<u8, Trouble> {
    let settings = place::settings(global)?;
    let site = Site::of(&args.place, &[], &settings, global)?;
    interrupt::last_words("policy", &site.store, global);
    let facts = senders::told(&site, false).await?;
    let seen = Seen::look(&site, facts).await;
    let asked = Asked { mx: site.place.mx.clone(), ..Asked::default() };
    let mut shown = Vec::new();
    for domain in &seen.facts.domains {
        let kept = policies::load(&site.store, &domain.domain).map_err(Trouble::state)?;
        let kept = kept.map(|k| seen.keep(&site, k)).transpose()?;
        shown.push(page::document(domain, &seen.sight, kept.as_ref(), world::now()));
    }
    let mut findings = sheet(&seen.facts, &seen.sight, &asked).findings;
    findings.retain(|f| f.id.starts_with("mta-sts-") || f.id == "dns-not-ours");
    let kept = |f: &Finding| shown.iter().any(|p: &PolicyDoc| p.kept.is_some() && f.subject.to_string() == p.domain);
    for finding in findings.iter_mut().filter(|f| matches!(f.remedy, Remedy::Command(_)) && !kept(f)) {
        finding.remedy = Remedy::Do("serve the text above at that address, then publish the record".into());
    }
    let exit = page::exit(&shown, &findings);
    page::tell(global, exit, false, shown, findings, Vec::new());
    Ok(exit)
}
