//! A private copy of a configuration directory, for trying a change on it.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

/// Files larger than this are lookup tables, which no check of a configuration reads.
const LARGEST: u64 = 1 << 20;
/// A configuration has fewer entries than this.
const MOST_ENTRIES: usize = 5000;

/// Copies one file, or a directory: regular files with owner and mode, links followed, folders to a depth of eight. Sockets, pipes, dead links and
/// large files are left out.
///
/// # Errors
/// When something cannot be read or written, or there is more than a configuration holds.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let about = fs::metadata(from)?;
    if about.is_file() {
        fs::copy(from, to)?;
        return std::os::unix::fs::chown(to, Some(about.uid()), Some(about.gid()));
    }
    let mut left = MOST_ENTRIES;
    copy(from, to, 8, &mut left)
}

fn copy(from: &Path, to: &Path, depth: u8, left: &mut usize) -> io::Result<()> {
    let about = fs::metadata(from)?;
    DirBuilder::new().mode(0o700).create(to)?;
    fs::set_permissions(to, about.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        *left =
            left.checked_sub(1).ok_or_else(|| io::Error::other(format!("{} holds more than {MOST_ENTRIES} entries", from.display())))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let about = match fs::metadata(&source) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() && depth > 0 {
            copy(&source, &target, depth - 1, left)?;
        } else if about.is_file() && about.len() <= LARGEST {
            fs::copy(&source, &target)?;
            std::os::unix::fs::chown(&target, Some(about.uid()), Some(about.gid()))?;
        }
    }
    Ok(())
}

/// Removes a directory with everything in it; a missing one is fine.
///
/// # Errors
/// When something stays.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
