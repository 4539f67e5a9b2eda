//! One change as a transaction: journal, swap, activate, prove, commit or put back. Sync, no network, no clock.
//!
//! [`apply`] lays everything beside its place while it can still fail without a trace, then renames, checks and activates.
//! What it gives is [`Live`]: on this host, and not yet proved. [`Live::commit`] with a proof keeps it, [`Live::roll_back`]
//! puts every byte, mode, owner, time and inode back. Between the first rename and the proof a [`Guard`] watches us: when
//! we die in any way it calls [`recover`], as the next run and the boot unit ([`install_units`]) do.
//!
//! The order for a caller: [`recover`], take the run lock, survey and plan again, start the guard, [`apply`].

mod beside;
mod guard;
#[allow(clippy::disallowed_methods, reason = "our own directory, with steps finer than Store's: renamed whole, overwritten in place")]
mod journal;
mod outcome;
mod recover;
#[allow(clippy::disallowed_methods, reason = "writes in a copy that it made in our own directory, and nowhere else")]
mod trial;
mod units;

pub use guard::{Guard, stand_guard};
pub use outcome::{Conflict, Recovered, Stuck, Told, Undone};
pub use recover::recover;
pub use trial::try_on_a_copy;
pub use units::{install_units, policy_host_reload, start_policy_host, stop_policy_host, units_note};

use crate::{
    change::{Change, Content, Edit, Receipt},
    check::Proof,
    view::EndpointView,
    world::{Failure, Hands, Kind, Lock, Store},
};
use beside::{Side, beside};
use journal::{Journal, Phase};
use recover::Server;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// A check or an activation that takes longer than this has failed.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Another program that edits the same file is waited for this long.
const EDIT_LIMIT: Duration = Duration::from_secs(10);

/// A change that is on this host and not yet proved.
#[must_use = "a live change must be committed with a proof or rolled back"]
pub struct Live<'a> {
    hands: &'a mut dyn Hands,
    store: &'a Store,
    journal: Journal,
    _lock: Lock,
}

/// Makes a change, all or nothing. Everything that can fail for want of space, permission or because the host is not as
/// planned happens before the first visible effect; what fails after it is put back at once.
///
/// # Errors
/// Why nothing was changed, or was changed and put back.
pub fn apply<'a>(hands: &'a mut dyn Hands, store: &'a Store, lock: Lock, change: Change) -> Result<Live<'a>, Undone> {
    let journal = match begin(hands, store, change) {
        Ok(journal) => journal,
        Err(cause) => return Err(Undone { cause, put_back: Ok(()) }),
    };
    match lay_out(hands, store, &journal).and_then(|()| swap(hands, &journal)).and_then(|()| take_into_service(hands, &journal)) {
        Ok(()) => Ok(Live { hands, store, journal, _lock: lock }),
        Err(cause) => Err(Undone { cause, put_back: recover::restore(hands, store, journal, Server::Ran).map(drop) }),
    }
}

impl Live<'_> {
    /// The change.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.journal.change
    }

    /// Tells the server of what it was to notice by itself and did not.
    ///
    /// # Errors
    /// When one of its commands fails.
    pub fn tell(&mut self) -> Result<(), Failure> {
        activate(self.hands, &self.journal, Duration::ZERO)
    }

    /// Keeps the change and its receipt, with what the listeners presented before it. What then cannot be tidied is tidied by
    /// the next recovery.
    ///
    /// # Errors
    /// When the proof could not be recorded; everything was put back then.
    pub fn commit(self, proof: &Proof, baseline: Vec<EndpointView>) -> Result<Receipt, Undone> {
        let change = self.journal.change.clone();
        let receipt = Receipt { id: change.id.clone(), change, proved: proof.at(), baseline, unproved: proof.is_last_resort() };
        match self.journal.prove(&receipt) {
            Ok(()) => {
                let _ = recover::finish(self.hands, self.store, self.journal);
                Ok(receipt)
            }
            Err(cause) => Err(Undone { cause, put_back: recover::restore(self.hands, self.store, self.journal, Server::Ran).map(drop) }),
        }
    }

    /// Puts everything back.
    ///
    /// # Errors
    /// When something stands in the way, or the server could not be told.
    pub fn roll_back(self) -> Result<(), Stuck> {
        recover::restore(self.hands, self.store, self.journal, Server::Ran).map(drop)
    }
}

/// The receipts of all changes that stand, by id.
///
/// # Errors
/// When one cannot be read.
pub fn receipts(store: &Store) -> io::Result<Vec<Receipt>> {
    let names = store.list("receipts")?;
    names
        .iter()
        .filter(|n| n.ends_with(".json") && !n.starts_with('.'))
        .filter_map(|n| store.load(format!("receipts/{n}")).transpose())
        .collect()
}

/// Removes the receipts of earlier renewals of the same change: only the last one stands for what is served.
///
/// # Errors
/// When one cannot be read or removed.
pub fn forget_renewals_before(store: &Store, last: &Receipt) -> io::Result<()> {
    let lies = |path: &Path| last.change.edits.iter().any(|e| e.path == path);
    let earlier = |r: &Receipt| {
        let of_the_same = r.change.renews.is_some() && r.change.renews == last.change.renews && r.id < last.id;
        of_the_same && r.change.edits.iter().all(|e| lies(&e.path))
    };
    receipts(store)?.iter().filter(|r| earlier(r)).try_for_each(|r| store.remove(format!("receipts/{}.json", r.id)))
}

/// The last change that stands: neither undone, nor itself an undo.
#[must_use]
pub fn standing(receipts: &[Receipt]) -> Option<&Receipt> {
    receipts.iter().rev().find(|r| stands(r, receipts))
}

/// Whether it is neither undone by another of these, nor itself an undo.
#[must_use]
pub fn stands(receipt: &Receipt, receipts: &[Receipt]) -> bool {
    receipt.change.undoes.is_none() && !is_undone(receipt, receipts)
}

/// Whether another of these undid it, or what it is undone with.
#[must_use]
pub fn is_undone(receipt: &Receipt, receipts: &[Receipt]) -> bool {
    lies_on(receipt, receipts).iter().any(|id| receipts.iter().any(|r| r.change.undoes.as_ref() == Some(id)))
}

/// What renewed a change, or replaced its certificate where it lies, and is undone with it.
pub fn on_top<'a>(below: &'a Receipt, receipts: &'a [Receipt]) -> impl Iterator<Item = &'a Receipt> {
    receipts.iter().filter(|r| r.id != below.id && r.change.undoes.is_none() && lies_on(r, receipts).contains(&&below.id))
}

/// The change that stands, where this one does no more than to replace its certificate where it lies.
#[must_use]
pub fn replaced_by(change: &Change, receipts: &[Receipt]) -> Option<String> {
    let below = lies_on(standing(receipts)?, receipts);
    let laid = receipts.iter().filter(|r| below.contains(&&r.id)).flat_map(|r| &r.change.edits);
    let laid: BTreeSet<&Path> = laid.filter(|e| e.settings.is_empty()).map(|e| e.path.as_path()).collect();
    let replaces = |e: &Edit| e.was.is_some() && e.becomes.is_some() && laid.contains(e.path.as_path());
    let alone = change.edits.iter().all(|e| e.settings.is_empty()) && change.edits.iter().any(replaces);
    below.last().filter(|_| alone).map(|id| (*id).clone())
}

/// The change itself, and those below it down to the one that it is undone with.
fn lies_on<'a>(receipt: &'a Receipt, receipts: &'a [Receipt]) -> Vec<&'a String> {
    let below = |r: &'a Receipt| r.change.renews.as_ref().or(r.change.replaces.as_ref());
    let (mut all, mut next) = (vec![&receipt.id], below(receipt));
    while let Some(id) = next.filter(|id| !all.contains(id)) {
        all.push(id);
        next = receipts.iter().find(|r| r.id == *id).and_then(below);
    }
    all
}

/// The id of the change that is open: being made now, or interrupted.
///
/// # Errors
/// When the journal cannot be read.
pub fn open_change(store: &Store) -> io::Result<Option<String>> {
    Ok(Journal::load(store)?.map(|journal| journal.change.id))
}

/// The host must be as planned; then the journal is opened.
fn begin(hands: &dyn Hands, store: &Store, change: Change) -> Result<Journal, Failure> {
    let mut new_dirs = Vec::new();
    for (place, edit) in change.edits.iter().enumerate() {
        if !edit.path.is_absolute() || change.edits[..place].iter().any(|other| other.path == edit.path) {
            let why = "a change names each file once and in full";
            return Err(Failure::File { what: edit.path.display().to_string(), source: io::Error::new(io::ErrorKind::InvalidInput, why) });
        }
        as_planned(hands, edit)?;
        for dir in missing_dirs(hands, &edit.path)? {
            if !new_dirs.contains(&dir) {
                new_dirs.push(dir);
            }
        }
    }
    Journal::begin(store, change, new_dirs)
}

/// Originals get a second name, new files are written beside their place.
fn lay_out(hands: &mut dyn Hands, store: &Store, journal: &Journal) -> Result<(), Failure> {
    for dir in &journal.new_dirs {
        hands.make_dir(dir).map_err(Failure::file(format!("making {}", dir.display())))?;
    }
    for edit in &journal.change.edits {
        let id = &journal.change.id;
        if let Some(was) = &edit.was {
            let original = beside(&edit.path, id, Side::Was);
            hands.keep(&edit.path, &original).map_err(|e| match e.kind() {
                // Replaced in this very moment: a name cannot be added to an inode that has lost its last one.
                io::ErrorKind::NotFound => Failure::Drift(edit.path.clone()),
                _ => Failure::file(format!("keeping the original of {}", edit.path.display()))(e),
            })?;
            if image(hands, &original)?.as_ref() != Some(was) {
                return Err(Failure::Drift(edit.path.clone()));
            }
        }
        let new = beside(&edit.path, id, Side::New);
        let failed = Failure::file(format!("writing {}", new.display()));
        match (&edit.becomes, &edit.was) {
            (Some(target), _) => {
                let bytes = Zeroizing::new(match &target.content {
                    Content::Text(raw) => raw.0.clone(),
                    Content::Stored { digest, .. } => store.get(digest).map_err(Failure::file("reading what shall be installed"))?,
                });
                hands.stage(&new, &bytes, &target.meta).map_err(failed)?;
            }
            // A removal has nothing to put into place. An empty file says, as for the others, that it is still to come.
            (None, Some(was)) => hands.stage(&new, b"", &was.meta).map_err(failed)?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// The visible part: one rename a file, each after a last look that nobody was faster.
fn swap(hands: &mut dyn Hands, journal: &Journal) -> Result<(), Failure> {
    journal.enter(Phase::Swapping)?;
    for edit in &journal.change.edits {
        let failed = || Failure::file(format!("replacing {}", edit.path.display()));
        let _lock = match &edit.edit_lock {
            Some(path) => {
                Some(hands.lock_edit(path, EDIT_LIMIT).map_err(Failure::file(format!("taking the edit lock {}", path.display())))?)
            }
            None => None,
        };
        as_planned(hands, edit)?;
        let new = beside(&edit.path, &journal.change.id, Side::New);
        match edit.becomes {
            Some(_) => hands.swap(&new, &edit.path).map_err(failed())?,
            None => {
                hands.unlink(&edit.path).map_err(failed())?;
                hands.unlink(&new).map_err(failed())?;
            }
        }
    }
    Ok(())
}

fn take_into_service(hands: &mut dyn Hands, journal: &Journal) -> Result<(), Failure> {
    for command in &journal.change.check {
        hands.act(command, COMMAND_LIMIT, None)?;
    }
    journal.enter(Phase::Activating)?;
    if journal.change.is_noticed_within().is_some() {
        return Ok(());
    }
    activate(hands, journal, Duration::ZERO)
}

/// Repeats harmlessly. Waits at most `stray` for a command that a dead run left behind, so that ours is the last word.
fn activate(hands: &mut dyn Hands, journal: &Journal, stray: Duration) -> Result<(), Failure> {
    let busy = journal.busy(stray).map_err(Failure::file("locking the activation"))?;
    journal.change.activate.iter().try_for_each(|command| hands.act(command, COMMAND_LIMIT, busy.as_ref()))
}

fn as_planned(hands: &dyn Hands, edit: &Edit) -> Result<(), Failure> {
    let kind = hands.kind(&edit.path).map_err(Failure::file(format!("looking at {}", edit.path.display())))?;
    // A link is never replaced by a file: the plan names what it leads to.
    let same = match (kind, &edit.was) {
        (None, None) => true,
        (Some(Kind::File), Some(was)) => image(hands, &edit.path)?.as_ref() == Some(was),
        _ => false,
    };
    same.then_some(()).ok_or_else(|| Failure::Drift(edit.path.clone()))
}

fn missing_dirs(hands: &dyn Hands, path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut missing = Vec::new();
    for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        if hands.kind(dir).map_err(Failure::file(format!("looking at {}", dir.display())))?.is_some() {
            break;
        }
        missing.push(dir.to_owned());
    }
    missing.reverse();
    Ok(missing)
}

fn image(hands: &dyn Hands, path: &Path) -> Result<Option<crate::change::Image>, Failure> {
    hands.image(path).map_err(Failure::file(format!("reading {}", path.display())))
}
