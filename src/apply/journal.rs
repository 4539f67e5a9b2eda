//! The journal of one open change: a directory that exists whole or not at all.
//!
//! `change.json` never changes; `phase` is 4 KiB written beforehand, of which one line is overwritten in place, so that to
//! go on needs no space; `busy` is the standard input of every command, locked: whoever can lock it knows that no command
//! of a dead run is still at work.

use crate::{
    change::{Change, Receipt},
    world::{Failure, Lock, Store, remove_tree},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// What this release writes and reads.
pub(super) const VERSION: u16 = 1;
/// The room of the phase, written before anything visible happens.
const PHASE_ROOM: usize = 4096;
/// A phase is one line of this length.
const PHASE_LINE: usize = 16;

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Nothing visible has happened.
    Open,
    /// Files are being replaced.
    Swapping,
    /// The server may have taken the new files into service.
    Activating,
    /// Every file is as before; what lies beside them goes, and the server is told.
    Restored,
    /// The wire showed what was promised: from here on there is only forward.
    Proved,
}

const PHASES: [(Phase, &str); 5] = [
    (Phase::Open, "open"),
    (Phase::Swapping, "swapping"),
    (Phase::Activating, "activating"),
    (Phase::Restored, "restored"),
    (Phase::Proved, "proved"),
];

#[derive(Serialize, Deserialize)]
struct Head {
    version: u16,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u16,
    change: Change,
    /// Directories that were not there before, parents first.
    new_dirs: Vec<PathBuf>,
}

/// An open change on disk.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    pub(super) change: Change,
    pub(super) new_dirs: Vec<PathBuf>,
}

impl Journal {
    /// Opens a journal; there can be only one.
    pub(super) fn begin(store: &Store, change: Change, new_dirs: Vec<PathBuf>) -> Result<Self, Failure> {
        let (new, dir) = (store.path("journal/new"), store.path("journal/open"));
        let written = Written { version: VERSION, change, new_dirs };
        let write = || -> io::Result<()> {
            remove_tree(&store.path("journal/closed"))?;
            remove_tree(&new)?;
            DirBuilder::new().recursive(true).mode(0o700).create(&new)?;
            write_new(&new.join("change.json"), &serde_json::to_vec(&written)?)?;
            write_new(&new.join("phase"), &[line(Phase::Open).as_slice(), &[b'\n'; PHASE_ROOM - PHASE_LINE]].concat())?;
            write_new(&new.join("busy"), b"")?;
            flush(&new)?;
            // Never over another one: a directory that is not empty cannot be replaced.
            fs::rename(&new, &dir)?;
            flush(&store.path("journal")).inspect_err(|_| drop(fs::rename(&dir, &new)))
        };
        write().map_err(Failure::file(format!("opening the journal {}; nothing was changed", dir.display())))?;
        Ok(Self { dir, change: written.change, new_dirs: written.new_dirs })
    }

    /// The open journal; `None` where there is none.
    pub(super) fn load(store: &Store) -> io::Result<Option<Self>> {
        let Some(Head { version }) = store.load("journal/open/change.json")? else { return Ok(None) };
        if version != VERSION {
            let why = format!(
                "{} was written by another release (format {version}, this one reads {VERSION}); run `mxseal recover` of that release",
                store.path("journal/open").display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let written: Option<Written> = store.load("journal/open/change.json")?;
        Ok(written.map(|w| Self { dir: store.path("journal/open"), change: w.change, new_dirs: w.new_dirs }))
    }

    /// How far the change has come.
    pub(super) fn phase(&self) -> io::Result<Phase> {
        let bytes = fs::read(self.dir.join("phase"))?;
        PHASES
            .iter()
            .find(|(phase, _)| bytes.get(..PHASE_LINE) == Some(line(*phase).as_slice()))
            .map(|(phase, _)| *phase)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no known phase", self.dir.join("phase").display())))
    }

    /// Goes on to a phase, durably.
    pub(super) fn enter(&self, phase: Phase) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(self.dir.join("phase"))?;
            file.write_all_at(&line(phase), 0)?;
            file.sync_data()
        };
        write().map_err(Failure::file(format!("writing {}", self.dir.join("phase").display())))
    }

    /// The point of no return: the receipt is laid down first, because from here on nothing may need space.
    pub(super) fn prove(&self, receipt: &Receipt) -> Result<(), Failure> {
        let path = self.dir.join("receipt.json");
        let write = || -> io::Result<()> {
            remove_file(&path)?;
            write_new(&path, &serde_json::to_vec_pretty(receipt)?)?;
            flush(&self.dir)
        };
        write().map_err(Failure::file(format!("writing {}", path.display())))?;
        let Err(cause) = self.enter(Phase::Proved) else { return Ok(()) };
        // The line may have been written and not flushed. What it says now is what a recovery would read, so that decides.
        let _ = self.enter(Phase::Activating);
        match self.phase() {
            Ok(Phase::Proved) => Ok(()),
            _ => Err(cause),
        }
    }

    /// Moves the receipt to its place; doing it twice is once.
    pub(super) fn keep_receipt(&self, store: &Store) -> io::Result<()> {
        match fs::rename(self.dir.join("receipt.json"), store.path(receipt_path(&self.change.id))) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved.and_then(|()| flush(&store.path("receipts"))),
        }
    }

    /// The lock that is every command's standard input. Waits at most `limit` for a command that a dead run left behind;
    /// `None` when that one still runs.
    pub(super) fn busy(&self, limit: Duration) -> io::Result<Option<Lock>> {
        Store::lock_within(&self.dir.join("busy"), limit)
    }

    /// Ends the journal: it is gone whole.
    pub(super) fn close(self, store: &Store) -> Result<(), Failure> {
        let closed = store.path("journal/closed");
        let end = || -> io::Result<()> {
            remove_tree(&closed)?;
            fs::rename(&self.dir, &closed)?;
            flush(&store.path("journal"))
        };
        end().map_err(Failure::file(format!("closing the journal {}", self.dir.display())))?;
        // What stays of it is removed by the next one.
        let _ = remove_tree(&closed);
        Ok(())
    }
}

/// Where the receipt of a change is kept in the Store.
pub(super) fn receipt_path(id: &str) -> String {
    format!("receipts/{id}.json")
}

fn line(phase: Phase) -> [u8; PHASE_LINE] {
    let mut line = [b'\n'; PHASE_LINE];
    for (place, letter) in PHASES.iter().filter(|(p, _)| *p == phase).flat_map(|(_, name)| name.bytes()).enumerate() {
        line[place] = letter;
    }
    line
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn flush(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Activation;

    fn change() -> Change {
        Change {
            id: "7".into(),
            why: "test".into(),
            profile: "postfix".into(),
            config_dir: "/".into(),
            edits: vec![],
            trial: None,
            check: vec![],
            activation: Activation::None,
            activate: vec![],
            running: None,
            prove: vec![],
            undoes: None,
            renews: None,
            replaces: None,
            notices_ms: 0,
            config: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_phase_is_overwritten_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let journal = Journal::begin(&store, change(), vec![]).unwrap();
        for (phase, name) in PHASES {
            journal.enter(phase).unwrap();
            let bytes = fs::read(dir.path().join("journal/open/phase")).unwrap();
            assert_eq!((bytes.len(), journal.phase().unwrap()), (PHASE_ROOM, phase));
            assert_eq!(String::from_utf8(bytes).unwrap().trim_end(), name);
        }
        fs::write(dir.path().join("journal/open/phase"), "later\n").unwrap();
        assert!(journal.phase().unwrap_err().to_string().contains("no known phase"));
    }

    #[test]
    fn there_is_one_journal_and_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(Journal::load(&store).unwrap().is_none());
        let journal = Journal::begin(&store, change(), vec!["/new".into()]).unwrap();
        assert!(Journal::begin(&store, change(), vec![]).is_err(), "a second change while one is open");
        let again = Journal::load(&store).unwrap().unwrap();
        assert_eq!((again.change, again.new_dirs), (change(), vec!["/new".into()]));
        journal.close(&store).unwrap();
        assert!(Journal::load(&store).unwrap().is_none());
        Journal::begin(&store, change(), vec![]).unwrap();
    }

    #[test]
    fn a_journal_of_another_release_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        drop(Journal::begin(&store, change(), vec![]).unwrap());
        fs::write(dir.path().join("journal/open/change.json"), r#"{"version":2,"something":"else"}"#).unwrap();
        let refusal = Journal::load(&store).unwrap_err().to_string();
        assert!(refusal.contains("another release (format 2, this one reads 1)"), "{refusal}");
    }
}
