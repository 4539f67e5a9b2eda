//! The two ways out of an open journal: restore, up to the proof, and finish, after it. Each looks at what is there instead
//! of trusting how far the last try came, so that it can be interrupted and repeated.

use super::{
    Conflict, Recovered, Stuck, Told,
    beside::{Side, beside},
    journal::{Journal, Phase},
};
use crate::{
    change::{Activation, Edit, Image},
    world::{Failure, Hands, Kind, Store},
};
use std::{path::Path, time::Duration};

/// A dying run lets go of the configuration directory within this time.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// A command that a dead run left behind may take this long to end.
const STRAY_LIMIT: Duration = Duration::from_secs(10);
/// A server says at once whether it runs.
const RUNNING_LIMIT: Duration = Duration::from_secs(10);
/// Another program's edit is waited for this long; then the originals return without its leave.
const EDIT_LIMIT: Duration = Duration::from_secs(2);

/// What is known of the server when files are put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// It ran a moment ago: where it does not now, that is our doing.
    Ran,
    /// Nothing: at boot it is waiting for us, and to wait for it would be to wait for ever.
    MayBeDown,
}

/// Ends a change that a dead run left open: put back before it was proved, finished after. Called before every run takes the
/// run lock, and at boot; can itself be interrupted and called again. `None` when nothing was open.
///
/// # Errors
/// When the journal cannot be read, another run is still at work, or a file stands in the way; the journal then stays.
pub fn recover(hands: &mut dyn Hands, store: &Store) -> Result<Option<Recovered>, Stuck> {
    settle(hands, store, Server::MayBeDown)
}

/// The same, by whoever knows the server.
pub(super) fn settle(hands: &mut dyn Hands, store: &Store, server: Server) -> Result<Option<Recovered>, Stuck> {
    let Some(journal) = Journal::load(store).map_err(Stuck::Journal)? else { return Ok(None) };
    let dir = journal.change.config_dir;
    let _lock = match Store::lock_within(&dir, LOCK_LIMIT) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(Stuck::Busy(dir)),
        Err(e) => return Err(Stuck::Files(Failure::File { what: format!("locking {}", dir.display()), source: e })),
    };
    // While we waited for the lock its holder may have ended the change, or the guard have recovered it.
    let Some(journal) = Journal::load(store).map_err(Stuck::Journal)? else { return Ok(None) };
    let id = journal.change.id.clone();
    if journal.phase().map_err(Stuck::Journal)? == Phase::Proved {
        finish(hands, store, journal).map_err(Stuck::Files)?;
        return Ok(Some(Recovered::Finished { id }));
    }
    if originals_removed(hands, &journal)? {
        tidy(hands, &journal).map_err(Stuck::Files)?;
        journal.close(store).map_err(Stuck::Files)?;
        return Ok(Some(Recovered::Kept { id }));
    }
    match restore(hands, store, journal, server) {
        Ok(told) => Ok(Some(Recovered::Restored { id, server: Ok(told) })),
        Err(Stuck::Server(failure)) => Ok(Some(Recovered::Restored { id, server: Err(failure) })),
        Err(stuck) => Err(stuck),
    }
}

/// The change stands: only what it kept beside the files goes.
pub(super) fn finish(hands: &mut dyn Hands, store: &Store, journal: Journal) -> Result<(), Failure> {
    journal.keep_receipt(store).map_err(Failure::file("keeping the receipt of the change"))?;
    tidy(hands, &journal)?;
    journal.close(store)
}

/// Everything as it was before, in the opposite order, then the server on it again.
pub(super) fn restore(hands: &mut dyn Hands, store: &Store, journal: Journal, server: Server) -> Result<Told, Stuck> {
    let reached = journal.phase().map_err(Stuck::Journal)?;
    let mut seen = reached >= Phase::Activating;
    if matches!(reached, Phase::Swapping | Phase::Activating) {
        let conflicts = conflicts(hands, &journal)?;
        if !conflicts.is_empty() {
            return Err(Stuck::Conflict { id: journal.change.id, files: conflicts });
        }
        for edit in journal.change.edits.iter().rev() {
            if !untouched(hands, &journal, edit)? {
                seen = true;
                put_back(hands, &journal.change.id, edit).map_err(Stuck::Files)?;
            }
        }
        // From here on nobody looks at the files again. Where this cannot be written, the next try looks again.
        let _ = journal.enter(Phase::Restored);
    }
    tidy(hands, &journal).map_err(Stuck::Files)?;
    for dir in journal.new_dirs.iter().rev() {
        hands.remove_dir(dir).map_err(Failure::file(format!("removing {}", dir.display()))).map_err(Stuck::Files)?;
    }
    let told = match seen && activates(&journal, reached) {
        true => tell(hands, &journal, server),
        false => Ok(Told::Serves),
    };
    journal.close(store).map_err(Stuck::Files)?;
    told.map_err(Stuck::Server)
}

/// The server takes the files into service again; one that may be down, and is, does so when it starts.
fn tell(hands: &mut dyn Hands, journal: &Journal, server: Server) -> Result<Told, Failure> {
    let stopped = |command| hands.run(command, RUNNING_LIMIT).is_ok_and(|said| said.code != 0);
    if server == Server::MayBeDown && journal.change.running.as_ref().is_some_and(stopped) {
        return Ok(Told::NotRunning);
    }
    let activated = super::activate(hands, journal, STRAY_LIMIT).or_else(|failure| match failure {
        Failure::Deadline { .. } => Err(failure),
        // One more try: after this the server may run on files that are not there any more.
        _ => super::activate(hands, journal, STRAY_LIMIT),
    });
    activated.map(|()| Told::Serves)
}

/// Our turn at this file never came: what shall be put into place still lies beside it. What is there now is not our work.
fn untouched(hands: &dyn Hands, journal: &Journal, edit: &Edit) -> Result<bool, Stuck> {
    let waits = kind(hands, &beside(&edit.path, &journal.change.id, Side::New))?.is_some();
    Ok(waits && (edit.was.is_none() || kind(hands, &edit.path)?.is_some()))
}

/// A server that reads its files again by itself (a new smtpd does, before any reload) may have seen the new ones as soon as
/// they were there; one that must restart has not, and is not restarted without need.
fn activates(journal: &Journal, reached: Phase) -> bool {
    match journal.change.activation {
        Activation::None => false,
        Activation::Reload => reached >= Phase::Swapping,
        Activation::Restart => reached >= Phase::Activating,
    }
}

/// Files that hold neither what they held before nor what we wrote: somebody else changed them after us. One of them stops
/// the whole restoration: half of a change is no state to leave a host in.
fn conflicts(hands: &dyn Hands, journal: &Journal) -> Result<Vec<Conflict>, Stuck> {
    let mut found = Vec::new();
    for edit in &journal.change.edits {
        let original = beside(&edit.path, &journal.change.id, Side::Was);
        let (Some(was), Some(_), false) = (&edit.was, kind(hands, &original)?, untouched(hands, journal, edit)?) else { continue };
        let now = image(hands, &edit.path)?.map(|image| image.digest);
        if now.as_ref().is_some_and(|now| *now != was.digest && Some(now) != edit.becomes.as_ref().map(|t| t.content.digest()).as_ref()) {
            found.push(Conflict { path: edit.path.clone(), original });
        }
    }
    Ok(found)
}

/// The admin's answer to a conflict: an original is gone, and was not put back.
fn originals_removed(hands: &dyn Hands, journal: &Journal) -> Result<bool, Stuck> {
    if !matches!(journal.phase().map_err(Stuck::Journal)?, Phase::Swapping | Phase::Activating) {
        return Ok(false);
    }
    for edit in &journal.change.edits {
        let Some(was) = &edit.was else { continue };
        let gone = kind(hands, &beside(&edit.path, &journal.change.id, Side::Was))?.is_none();
        if gone && !untouched(hands, journal, edit)? && image(hands, &edit.path)?.is_none_or(|now| now.digest != was.digest) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn put_back(hands: &mut dyn Hands, id: &str, edit: &Edit) -> Result<(), Failure> {
    let failed = || Failure::file(format!("putting back {}", edit.path.display()));
    // Without the lock, if need be: that host must not stay between two states.
    let _lock = edit.edit_lock.as_ref().and_then(|path| hands.lock_edit(path, EDIT_LIMIT).ok());
    if edit.was.is_some() {
        let original = beside(&edit.path, id, Side::Was);
        if hands.kind(&original).map_err(failed())?.is_some() {
            // Two names of one inode: renaming does nothing, and tidying removes the second name.
            hands.swap(&original, &edit.path).map_err(failed())?;
        }
        return Ok(());
    }
    // A file that we made goes if it still holds what we wrote; another's stays.
    let now = hands.image(&edit.path).map_err(failed())?.map(|image| image.digest);
    if now.is_some() && now == edit.becomes.as_ref().map(|target| target.content.digest()) {
        hands.unlink(&edit.path).map_err(failed())?;
    }
    Ok(())
}

/// Removes everything that we laid beside the files.
fn tidy(hands: &mut dyn Hands, journal: &Journal) -> Result<(), Failure> {
    for edit in &journal.change.edits {
        for side in [Side::New, Side::Was] {
            let path = beside(&edit.path, &journal.change.id, side);
            hands.unlink(&path).map_err(Failure::file(format!("removing {}", path.display())))?;
        }
        if let Some(lock) = &edit.edit_lock {
            hands.clear_edit_lock(lock).map_err(Failure::file(format!("looking at {}", lock.display())))?;
        }
    }
    Ok(())
}

fn kind(hands: &dyn Hands, path: &Path) -> Result<Option<Kind>, Stuck> {
    hands.kind(path).map_err(Failure::file(format!("looking at {}", path.display()))).map_err(Stuck::Files)
}

fn image(hands: &dyn Hands, path: &Path) -> Result<Option<Image>, Stuck> {
    hands.image(path).map_err(Failure::file(format!("reading {}", path.display()))).map_err(Stuck::Files)
}
