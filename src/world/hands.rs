//! What a machine can be asked and told. [`Look`] cannot change it; only `apply` is given [`Hands`].

use super::{edit_lock::EditLock, store::Lock};
use crate::{
    certificate::Digest,
    change::{Command, Image, Meta},
    moment::Moment,
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// Its standard output, at most 1 MiB of it.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

/// Why the machine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file operation failed.
    #[error("{what}: {source}")]
    File {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A command could not be started.
    #[error("`{command}` could not be started: {source}")]
    Start {
        /// The command.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A command ended badly.
    #[error("`{command}` ended with {code}: {said}")]
    Command {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of what it said.
        said: String,
    },
    /// A command did not end in time and was ended with its children.
    #[error("`{command}` did not end within {} s and was stopped", .limit.as_secs())]
    Deadline {
        /// The command.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// A file is not as it was when the plan was made.
    #[error("{} changed since the plan was made; nothing was done, run mxseal again", .0.display())]
    Drift(PathBuf),
}

impl Failure {
    /// A file failure, for `map_err`.
    pub fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }
}

/// Reading: files and commands that change nothing.
pub trait Look {
    /// Bytes and metadata of a regular file; `None` where there is none. Links are followed.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    fn read(&self, path: &Path) -> io::Result<Option<(Vec<u8>, Meta)>>;

    /// Runs a command to its end: no shell, no terminal, `LC_ALL=C`, a fixed `PATH`, its own process group; ended with
    /// its children after `limit`.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time. A bad exit code is no error here.
    fn run(&self, command: &Command, limit: Duration) -> Result<Output, Failure>;

    /// The paths in a directory, sorted; empty where it is missing.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut paths = entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    /// The path with every link followed.
    ///
    /// # Errors
    /// When a part of it is missing or may not be entered.
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    /// What a symbolic link says, not followed.
    ///
    /// # Errors
    /// When it is no link or may not be read.
    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    /// Device and inode, links followed: equal for two paths that lead to the same thing.
    ///
    /// # Errors
    /// When it is missing or may not be reached.
    fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        let about = fs::metadata(path)?;
        Ok((about.dev(), about.ino()))
    }

    /// The first part of an absolute path, from the root to the file, links followed, that others than root may write;
    /// `None` where whatever lies there is root's alone.
    ///
    /// # Errors
    /// When a part is missing or may not be seen.
    fn first_open_to_others(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let real = path.canonicalize()?;
        let mut parts: Vec<&Path> = real.ancestors().collect();
        parts.reverse();
        for part in parts {
            let about = fs::metadata(part)?;
            // In a directory with this bit nobody takes away what is root's, and the next part must be.
            let guarded = about.is_dir() && about.mode() & 0o1000 != 0;
            // Where an access list lets others write, the bits of the group show it (acl(5)).
            if about.uid() != 0 || about.mode() & 0o022 != 0 && !guarded {
                return Ok(Some(part.to_owned()));
            }
        }
        Ok(None)
    }

    /// When its content changed last, and the user who owns it; links followed.
    ///
    /// # Errors
    /// When it is missing or may not be reached.
    fn changed(&self, path: &Path) -> io::Result<(Moment, u32)> {
        let about = fs::metadata(path)?;
        Ok((Moment(u64::try_from(about.mtime()).unwrap_or(0)), about.uid()))
    }

    /// The image of a file; `None` where there is none.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    fn image(&self, path: &Path) -> io::Result<Option<Image>> {
        Ok(self.read(path)?.map(|(bytes, meta)| Image { digest: Digest::of(&Zeroizing::new(bytes)), meta }))
    }
}

/// What a path names, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Other,
}

/// Changing: each a single durable step that can be repeated.
pub trait Hands: Look {
    /// What a path names, links not followed; `None` where there is nothing.
    ///
    /// # Errors
    /// When it cannot be seen.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;

    /// A second name for the original inode; where the file system has no such names (EPERM, EMLINK), a copy with owner,
    /// mode, attributes and times. Replaces what an earlier try left at `link`.
    ///
    /// # Errors
    /// When neither can be made.
    fn keep(&mut self, path: &Path, link: &Path) -> io::Result<()>;

    /// A new file beside its place: its mode right from the first byte, then owner, xattrs, content, flushed.
    ///
    /// # Errors
    /// When it cannot be written; a half-written file may stay at `path`.
    fn stage(&mut self, path: &Path, bytes: &[u8], meta: &Meta) -> io::Result<()>;

    /// Renames and flushes the directory.
    ///
    /// # Errors
    /// When the rename fails.
    fn swap(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes and flushes the directory; a missing file is fine.
    ///
    /// # Errors
    /// When it is there and stays.
    fn unlink(&mut self, path: &Path) -> io::Result<()>;

    /// Makes one directory (0755, whatever the umask); one that is there is fine.
    ///
    /// # Errors
    /// When it cannot be made.
    fn make_dir(&mut self, path: &Path) -> io::Result<()>;

    /// Removes a directory if it is empty; a missing one is fine.
    ///
    /// # Errors
    /// When it is empty and stays.
    fn remove_dir(&mut self, path: &Path) -> io::Result<()>;

    /// Takes the mail server's own edit lock, waiting at most `limit`.
    ///
    /// # Errors
    /// When another program keeps it, or it cannot be made.
    fn lock_edit(&mut self, path: &Path, limit: Duration) -> io::Result<EditLock>;

    /// Removes an edit lock that a killed run left: empty and held by nobody.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn clear_edit_lock(&mut self, path: &Path) -> io::Result<()>;

    /// Runs a command that changes something, as [`Look::run`] does. Its standard input is `busy`, an empty file, so that
    /// this lock outlives us for as long as the command runs.
    ///
    /// # Errors
    /// When it cannot be started, fails or does not end in time.
    fn act(&mut self, command: &Command, limit: Duration, busy: Option<&Lock>) -> Result<(), Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Machine;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    #[test]
    fn what_others_could_exchange_is_seen() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        // The way from the root: /tmp lets everybody write, and guards what is there.
        let (folder, file) = (dir.path().join("bin"), dir.path().join("bin/program"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "").unwrap();
        let cases = [
            (0o755, 0, 0o755, 0, None),
            (0o700, 0, 0o500, 0, None),
            (0o755, 0, 0o775, 0, Some(&file)),
            (0o755, 0, 0o757, 0, Some(&file)),
            (0o755, 0, 0o700, 65534, Some(&file)),
            (0o775, 0, 0o755, 0, Some(&folder)),
            (0o755, 65534, 0o755, 0, Some(&folder)),
            (0o1777, 0, 0o755, 0, None),
            (0o1777, 65534, 0o755, 0, Some(&folder)),
            (0o1777, 0, 0o755, 65534, Some(&file)),
        ];
        for (folder_mode, folder_owner, file_mode, file_owner, open) in cases {
            for (path, mode, owner) in [(&folder, folder_mode, folder_owner), (&file, file_mode, file_owner)] {
                chown(path, Some(owner), None).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let at = format!("{folder_mode:o} of {folder_owner}, {file_mode:o} of {file_owner}");
            assert_eq!(Machine.first_open_to_others(&file).unwrap().as_ref(), open, "{at}");
        }
        assert!(Machine.first_open_to_others(&dir.path().join("nothing")).is_err());
    }
}
