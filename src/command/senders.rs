//! What senders are told, compared with what is true here.

use super::{Trouble, deployed, place::Site};
use crate::{
    apply,
    facts::Facts,
    name::DnsName,
    publish::{Asked, Sheet, policies, sheet, told},
    survey,
};
use std::collections::BTreeSet;

/// The facts, with how far each certificate really got and, where asked for, what is served. Our keys are root's to see.
pub(super) async fn told(site: &Site, served: bool) -> Result<Facts, Trouble> {
    site.needs_owner()?;
    let mut facts = site.survey(served).await?;
    let receipts = apply::receipts(&site.store).map_err(Trouble::state)?;
    facts.lineages.iter_mut().for_each(|l| l.deployment = deployed::deployment(l, &receipts));
    // Where nothing of ours stands, nothing binds us.
    if apply::standing(&receipts).is_some() {
        facts.claims = told::see(&site.store, &facts).map_err(Trouble::state)?;
    }
    Ok(facts)
}

/// What is wanted, compared with what DNS says. What seems to be missing is asked of the zone's own servers, so that nobody has
/// to wait for caches after publishing it.
pub(super) async fn compared(site: &Site, mut facts: Facts, asked: &Asked) -> (Facts, Sheet) {
    let mut sight = survey::sight(&site.net, &facts, asked).await;
    let kept = policies::all(&site.store).unwrap_or_default();
    sight.kept = kept.into_iter().map(|k| (k.domain.clone(), k)).collect();
    let mut seen = sheet(&facts, &sight, asked);
    let owners: BTreeSet<DnsName> = seen.wanted.iter().map(|w| w.owner.clone()).collect();
    let places = survey::whereabouts(&site.net, &owners).await;
    let open: BTreeSet<DnsName> = seen.open().map(|w| w.owner.clone()).collect();
    if !open.is_empty() {
        survey::ask_authorities(&site.net, &mut facts, &places, &open).await;
        seen = sheet(&facts, &sight, asked);
    }
    seen.place(&places);
    (facts, seen)
}
