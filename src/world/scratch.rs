//! A directory for what nobody needs tomorrow.

use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, geteuid},
};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

const PREFIX: &str = "mxseal-";

/// A directory of our own, which nobody else can look into; removed with its value. What a killed run left is removed by the
/// next one.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one where temporary files belong.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir();
        sweep(&folder);
        let mut taken = io::Error::other("no name is free");
        for number in 0..100 {
            let path = folder.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => taken = e,
                Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
            }
        }
        Err(taken)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = super::remove_tree(&self.0);
    }
}

/// The process id in the name tells whose a directory was.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()).map(Pid::from_raw);
        let ours = entry.metadata().is_ok_and(|about| about.is_dir() && about.uid() == geteuid().as_raw());
        if ours && owner.is_some_and(|pid| kill(pid, None) == Err(Errno::ESRCH)) {
            let _ = super::remove_tree(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_private_and_goes_with_its_value_or_with_the_next_run() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("file"), "x").unwrap();
        let other = Scratch::new().unwrap();
        assert_ne!(other.path(), path);
        drop(scratch);
        assert!(!path.exists());

        let dir = tempfile::tempdir().unwrap();
        // No process has this id (proc_sys_kernel(5): pid_max is 2^22 at most).
        let (left, ours) = (dir.path().join(format!("{PREFIX}4194305-0")), dir.path().join(format!("{PREFIX}{}-7", std::process::id())));
        for path in [&left, &ours] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        sweep(dir.path());
        assert!(!left.exists() && ours.exists());
    }
}
