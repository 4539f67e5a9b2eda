//! How far each certificate got, told by the receipts: a kill between a change and this record loses nothing.

use super::{Trouble, door::SERVED};
use crate::{
    acme, apply,
    change::{Change, Presented, Receipt, Want},
    facts::{Deployment, Lineage},
    world::Store,
};

/// Records it for every lineage; what is recorded already is not written again.
pub(super) fn record(store: &Store) -> Result<(), Trouble> {
    let receipts = apply::receipts(store).map_err(Trouble::state)?;
    let standing = apply::standing(&receipts);
    for lineage in acme::load_lineages(store).map_err(Trouble::state)? {
        let rolled = |receipt: &&Receipt| lineage.successor.as_ref().is_some_and(|next| is_promised(next, &receipt.change));
        if standing.filter(rolled).is_some() {
            acme::promote(store, &lineage.name).map_err(Trouble::state)?;
        }
    }
    for lineage in acme::load_lineages(store).map_err(Trouble::state)? {
        let is = deployment(&lineage, &receipts);
        if is != lineage.deployment {
            acme::mark(store, &lineage.name, is).map_err(Trouble::state)?;
        }
        if let (Deployment::Proved, Some(receipt)) = (is, standing) {
            acme::left(store, &lineage.name, receipt.proved).map_err(Trouble::state)?;
        }
    }
    Ok(())
}

/// Proved while a change stands that promised these certificates; back to issued when it is undone, or they were renewed.
pub(super) fn deployment(lineage: &Lineage, receipts: &[Receipt]) -> Deployment {
    match (apply::standing(receipts), lineage.deployment) {
        (Some(receipt), _) if is_promised(lineage, &receipt.change) => {
            if receipt.unproved {
                Deployment::Installed
            } else {
                Deployment::Proved
            }
        }
        // No change lays what the policy host serves.
        (_, as_recorded) if lineage.live.ends_with(SERVED) => as_recorded,
        (_, Deployment::Installed | Deployment::Proved) => Deployment::Issued,
        (_, as_recorded) => as_recorded,
    }
}

/// Whether the change promises to present this lineage's certificates.
pub(super) fn is_promised(lineage: &Lineage, change: &Change) -> bool {
    let mut promised = change.prove.iter().filter_map(|e| match &e.want {
        Want::Ours(all) => Some(all),
        Want::Unchanged | Want::Former(_) => None,
    });
    let is_ours =
        |p: &Presented| lineage.keys.iter().any(|k| k.leaf.as_ref().is_some_and(|l| (&l.spki, &l.serial) == (&p.spki, &p.serial)));
    promised.any(|all| all.iter().all(is_ours))
}
