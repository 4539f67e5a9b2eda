//! What senders know of next keys: asked, and kept with the time since when.

use super::super::{Trouble, place::Site};
use crate::{
    certificate::Digest,
    change::{Receipt, Want},
    claims::Claims,
    facts::{Lineage, Security},
    maintain::{KeySight, SeenKeys, next_keys},
    name::DnsName,
    publish::told,
    survey,
    view::Wire,
    world::{self, Store},
};
use std::collections::{BTreeMap, BTreeSet};

const SEEN: &str = "watch/keys.json";

/// The MX names for which a certificate is presented to other servers.
pub(in crate::command) fn names(receipt: &Receipt, lineage: &Lineage) -> BTreeSet<DnsName> {
    // Those do not come to the ports of users.
    let to_servers = receipt.change.prove.iter().filter(|e| e.wire == Wire::StartTls && e.addr.port() != 587);
    let holds = |spki: &Digest| lineage.keys.iter().any(|k| k.spki == *spki);
    let ours = to_servers.filter(|e| matches!(&e.want, Want::Ours(all) if all.iter().any(|p| holds(&p.spki))));
    ours.map(|e| e.name.clone()).collect()
}

/// Since when next keys are seen.
pub(in crate::command) fn seen(store: &Store) -> Result<SeenKeys, Trouble> {
    Ok(store.load(SEEN).map_err(Trouble::state)?.unwrap_or_default())
}

/// What was seen just now, with what is known of the past.
pub(in crate::command) struct Sighted {
    pub(in crate::command) sights: Vec<KeySight>,
    pub(in crate::command) seen: SeenKeys,
    pub(in crate::command) claims: Claims,
}

/// Asks what senders know of the next keys of a lineage; it is taken in, and kept where that is wanted.
pub(in crate::command) async fn look(site: &Site, receipt: &Receipt, lineage: &Lineage, keep: bool) -> Result<Sighted, Trouble> {
    let keys = next_keys(lineage);
    let asked: BTreeMap<DnsName, Vec<Digest>> = names(receipt, lineage).into_iter().map(|mx| (mx, keys.clone())).collect();
    let sights = survey::key_sights(&site.net, &asked).await;
    let now = world::now();
    let see = |claims: &mut Claims| {
        for sight in &sights {
            if let Some(answer) = sight.records.value().filter(|a| a.security != Security::Bogus) {
                claims.see_tlsa(&sight.mx, &answer.records, answer.ttl, now);
            }
        }
    };
    let mut seen = seen(&site.store)?;
    let before = seen.clone();
    sights.iter().for_each(|sight| seen.see(&keys, sight, now));
    if !keep {
        let mut claims = told::claims(&site.store).map_err(Trouble::state)?;
        see(&mut claims);
        return Ok(Sighted { sights, seen, claims });
    }
    if seen != before {
        site.store.save(SEEN, &seen).map_err(Trouble::state)?;
    }
    let claims = told::tell(&site.store, now, see).map_err(Trouble::state)?;
    Ok(Sighted { sights, seen, claims })
}

/// Forgets what was seen of keys that are nobody's next ones any more.
pub(in crate::command) fn forget(store: &Store, lineages: &[Lineage]) -> Result<(), Trouble> {
    let mut kept = seen(store)?;
    let before = kept.clone();
    kept.keep_only(lineages);
    if kept == before { Ok(()) } else { store.save(SEEN, &kept).map_err(Trouble::state) }
}
