//! The edit lock that a mail server's own tools take before they change a file (Postfix: edit_file(3), `main.cf.tmp`).

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Held while it lives. The file goes when we made it; whoever waits on it finds it gone and opens it anew.
#[derive(Debug)]
pub struct EditLock {
    file: File,
    path: PathBuf,
    ours: bool,
}

impl EditLock {
    /// Takes the lock, waiting at most `limit` for another editor.
    pub(super) fn take(path: &Path, limit: Duration) -> io::Result<Self> {
        let until = Instant::now() + limit;
        loop {
            let (file, ours) = open(path)?;
            let lock = Self { file, path: path.to_owned(), ours };
            if !wait(&lock.file, until)? {
                lock.let_go();
                let why = format!("another program has kept it locked for {} s", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            if lock.still_there()? {
                return Ok(lock);
            }
            // Another editor renamed what we opened into place: it is not ours to remove any more.
            lock.let_go();
        }
    }

    /// Removes a lock file that a killed run left: only when it is empty and nobody holds it.
    pub(super) fn clear(path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let mut lock = Self { file, path: path.to_owned(), ours: false };
        if lock.file.metadata()?.len() == 0 && lock.file.try_lock().is_ok() && lock.still_there()? {
            lock.ours = true;
        }
        Ok(())
    }

    fn still_there(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            named => named.map(|n| (n.dev(), n.ino()) == (held.dev(), held.ino())),
        }
    }

    fn let_go(mut self) {
        self.ours = false;
    }
}

impl Drop for EditLock {
    fn drop(&mut self) {
        if self.ours {
            // A name that stays is an empty file, which the next edit uses and recovery removes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<(File, bool)> {
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => Ok((file, true)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => open(path),
            opened => Ok((opened?, false)),
        },
        Err(e) => Err(e),
    }
}

fn wait(file: &File, until: Instant) -> io::Result<bool> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(false),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
        }
    }
}
