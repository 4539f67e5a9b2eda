//! Our own directory: keys, orders, receipts and the journal. Private to root, written atomically, never read by a mail
//! server.

use crate::certificate::Digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// `/var/lib/mxseal`, or where `--state-dir` says.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Held while it lives; the kernel lets go when we die.
#[derive(Debug)]
pub struct Lock(File);

#[derive(Deserialize)]
struct Head {
    version: u16,
}

impl Lock {
    /// The locked file. A process that inherits it shares the lock, which then lasts as long as the longest of us.
    ///
    /// # Errors
    /// When no handle is left.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

impl Store {
    /// The store at `root`, made with mode 0700 where it is missing.
    ///
    /// # Errors
    /// When it can be neither found nor made.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        for dir in ["", "objects", "journal", "receipts", "accounts", "lineages", "orders"] {
            DirBuilder::new().recursive(true).mode(0o700).create(root.join(dir))?;
        }
        if fs::metadata(&root)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700))?;
        }
        Ok(Self { root })
    }

    /// The store at `root` without making anything: for verbs that only look.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The place that units and packages know. Another one is somebody's experiment, of which nobody else is told.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        self.root == Path::new("/var/lib/mxseal")
    }

    /// A path inside the store.
    #[must_use]
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// Keeps bytes by their digest (0600); keeping them twice is once.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        // Present is not enough: a damaged object is written again.
        if self.get(&digest).map(Zeroizing::new).is_err() {
            replace(&self.root.join("objects").join(&digest.0), bytes, 0o600)?;
        }
        Ok(digest)
    }

    /// The bytes of a digest, checked against it.
    ///
    /// # Errors
    /// When they are missing or damaged.
    pub fn get(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let path = self.root.join("objects").join(&digest.0);
        let bytes = fs::read(&path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        if Digest::of(&bytes) != *digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} does not hold what its name says", path.display())));
        }
        Ok(bytes)
    }

    /// Removes the bytes of a digest; missing ones are fine.
    ///
    /// # Errors
    /// When they are there and stay.
    pub fn forget(&self, digest: &Digest) -> io::Result<()> {
        remove_file(&self.root.join("objects").join(&digest.0))
    }

    /// Reads a JSON value; `None` where the file does not exist.
    ///
    /// # Errors
    /// When it cannot be read or holds something else; the text names file and place.
    pub fn load<T: DeserializeOwned>(&self, below: impl AsRef<Path>) -> io::Result<Option<T>> {
        let path = self.root.join(below);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => Zeroizing::new(read.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display())))
    }

    /// [`Store::load`] of a value that has the number of its format beside it, `version`, which is read before the rest.
    ///
    /// # Errors
    /// As [`Store::load`], and when the value is of another format, so that another release wrote it.
    pub fn load_format<T: DeserializeOwned>(&self, below: impl AsRef<Path>, format: u16) -> io::Result<Option<T>> {
        let Some(Head { version }) = self.load(&below)? else { return Ok(None) };
        if version == format {
            return self.load(below);
        }
        let says = format!(
            "{} was written by another release (format {version}, this one reads {format}): use that release of mxseal",
            self.path(below).display()
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, says))
    }

    /// Writes a JSON value whole or not at all (0600).
    ///
    /// # Errors
    /// When it cannot be written; the old value then stays.
    pub fn save<T: Serialize>(&self, below: impl AsRef<Path>, value: &T) -> io::Result<()> {
        self.save_bytes(below, &Zeroizing::new(serde_json::to_vec_pretty(value)?))
    }

    /// Writes bytes whole or not at all (0600), making the folder (0700).
    ///
    /// # Errors
    /// When they cannot be written; the old bytes then stay.
    pub fn save_bytes(&self, below: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(below);
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        replace(&path, bytes, 0o600)
    }

    /// Removes a file; a missing one is fine.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove(&self, below: impl AsRef<Path>) -> io::Result<()> {
        remove_file(&self.root.join(below))
    }

    /// The names in one of our folders, sorted; empty where the folder is missing.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self, below: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(below)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read?,
        };
        let mut names = entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// A file for the log of a run (0600), `log/<name>`; of older logs the newest stay, so that there are `most` of them.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_log(&self, name: &str, most: usize) -> io::Result<(PathBuf, File)> {
        let dir = self.root.join("log");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let names = self.list("log")?;
        for old in names.iter().take((names.len() + 1).saturating_sub(most)) {
            self.remove(Path::new("log").join(old))?;
        }
        let path = dir.join(name);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// [`Store::lock`], waiting at most `limit` for another mxseal that is about to end.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn lock_within(path: &Path, limit: Duration) -> io::Result<Option<Lock>> {
        let until = Instant::now() + limit;
        loop {
            match Self::lock(path)? {
                None if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                held_or_late => return Ok(held_or_late),
            }
        }
    }

    /// Locks a file or directory for us alone; `None` when another mxseal holds it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
        let file = File::open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

/// Puts bytes in the place of a file that everybody may read, whole or not at all.
///
/// # Errors
/// When it cannot be written; the old bytes then stay.
pub fn put_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o644)
}

/// New file beside, flushed, renamed into place, directory flushed.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file of the store has a folder"))?;
    let name = path.file_name().ok_or_else(|| io::Error::other("a file of the store has a name"))?;
    let beside = dir.join(format!(".{}.new", name.to_string_lossy()));
    remove_file(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
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

    #[test]
    fn a_bounded_number_of_logs_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path().join("state")).expect("a store");
        for name in ["1", "2", "3", "4"] {
            let (path, mut file) = store.new_log(name, 2).expect("a log");
            file.write_all(name.as_bytes()).expect("a line");
            assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(store.list("log").expect("the logs"), ["3", "4"]);
    }
}
