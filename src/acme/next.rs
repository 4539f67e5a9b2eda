//! The roll-over in the Store: the keys that follow are certified beside those in use, take their place once the wire has proved
//! them, and what they followed is forgotten when its records are gone. Each step is one file replaced.

use super::{
    Wishes, all_in_hand,
    bad_news::Trouble,
    issue,
    keys::{self, HeldKey},
    lineage::{self, load_lineage},
    make_next, replace, stored, watched,
};
use crate::{
    certificate::Digest,
    facts::{Deployment, FormerKey, Lineage},
    moment::Moment,
    name::DnsName,
    plan::Obtain,
    report::observer::Observer,
    world::{Net, Store},
};
use std::io;

/// Gets a certificate for the keys that follow, and keeps it as the lineage's successor, with the keys that follow those in their
/// turn. What is in use is not touched.
///
/// # Errors
/// As [`obtain`](super::obtain).
pub async fn certify_next(net: &Net, store: &Store, order: &Obtain, wishes: &Wishes, observer: &dyn Observer) -> Result<Lineage, Trouble> {
    watched(observer, wishes.at_most, async |say| {
        let was = known(store, &order.lineage)?;
        let keys = order.keys.iter().map(|choice| HeldKey::of(store, &order.lineage, Some(&was), choice)).collect::<Result<Vec<_>, _>>()?;
        let chains = match all_in_hand(store, order, &keys)? {
            Some(chains) => chains,
            None => issue(net, store, order, wishes, &keys, say).await?,
        };
        let left = was.keys.iter().map(|k| FormerKey { key_type: k.key_type, spki: k.spki.clone(), left: None });
        let mut successor = Lineage {
            directory: order.directory.clone(),
            acme_profile: order.acme_profile.clone(),
            next: was.successor.as_ref().map(|s| s.next.clone()).unwrap_or_default(),
            former: was.former.iter().cloned().chain(left).collect(),
            deployment: Deployment::Issued,
            ..Lineage::begun(was.name.clone(), was.live.clone())
        };
        stored(store, &mut successor, &keys, &chains)?;
        make_next(store, &mut successor)?;
        let lineage = Lineage { successor: Some(Box::new(successor)), ..was.clone() };
        replace(store, &was, &lineage)?;
        Ok(lineage)
    })
    .await
}

/// The keys that follow, of every type in use: made where a lineage of old has none.
///
/// # Errors
/// When the Store cannot be read or written.
pub fn next_of(store: &Store, name: &DnsName) -> Result<Lineage, Trouble> {
    let mut lineage = known(store, name)?;
    super::look_ahead(store, &mut lineage)?;
    Ok(lineage)
}

/// The successor takes the lineage's place: a change stands that presents it.
///
/// # Errors
/// When the Store cannot be read or written.
pub fn promote(store: &Store, name: &DnsName) -> io::Result<()> {
    let Some(was) = load_lineage(store, name)? else { return Ok(()) };
    let Some(successor) = was.successor.clone() else { return Ok(()) };
    replace(store, &was, &successor)
}

/// From when on the keys in use are proved, for those that left.
///
/// # Errors
/// When the Store cannot be read or written.
pub fn left(store: &Store, name: &DnsName, at: Moment) -> io::Result<()> {
    let Some(mut lineage) = load_lineage(store, name)? else { return Ok(()) };
    if lineage.former.iter().all(|k| k.left.is_some()) {
        return Ok(());
    }
    lineage.former.iter_mut().for_each(|k| k.left = k.left.or(Some(at)));
    lineage::save(store, &lineage)
}

/// These keys are in no record any more: nobody needs them.
///
/// # Errors
/// When the Store cannot be read or written.
pub fn forget_former(store: &Store, name: &DnsName, gone: &[Digest]) -> io::Result<()> {
    let Some(mut lineage) = load_lineage(store, name)? else { return Ok(()) };
    lineage.former.retain(|k| !gone.contains(&k.spki));
    lineage::save(store, &lineage)?;
    gone.iter().try_for_each(|spki| store.remove(keys::path(name, spki)))
}

fn known(store: &Store, name: &DnsName) -> Result<Lineage, Trouble> {
    let missing =
        || io::Error::new(io::ErrorKind::NotFound, format!("there is no certificate {name} in {}", store.path("lineages").display()));
    Ok(load_lineage(store, name)?.ok_or_else(missing)?)
}
