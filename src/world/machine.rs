//! This machine.

use super::{
    edit_lock::EditLock,
    hands::{Failure, Hands, Kind, Look, Output},
    run::run,
    store::Lock,
};
use crate::change::{Command, Meta, Raw};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, FileTimes, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
    time::Duration,
};
use xattr::FileExt as _;
use zeroize::Zeroizing;

/// The real machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Machine {
    /// The content of a file that may be of any size, as far as one byte behind `largest`; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is no regular file.
    pub fn read_as_far_as(&self, path: &Path, largest: usize) -> io::Result<Option<Vec<u8>>> {
        let Some((file, _)) = opened(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(largest as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Runs a command as [`Look::run`] does, with `input` to read and more environment.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time. A bad exit code is no error here.
    pub fn feed(&self, command: &Command, input: &[u8], environment: &[(&str, String)], limit: Duration) -> Result<Output, Failure> {
        let memory = || {
            let mut file = File::from(memfd_create("mxseal", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(input)?;
            file.rewind()?;
            Ok(Stdio::from(file))
        };
        run(command, limit, memory().map_err(Failure::file("holding what a command shall read"))?, environment)
    }
}

/// A file to read, and what is known of it; `None` where there is none.
fn opened(path: &Path) -> io::Result<Option<(File, fs::Metadata)>> {
    // Without O_NONBLOCK a pipe in a file's place would keep us for ever.
    let file = match OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(Some((file, about)))
}

impl Look for Machine {
    fn read(&self, path: &Path) -> io::Result<Option<(Vec<u8>, Meta)>> {
        let Some((mut file, about)) = opened(path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1);
        file.read_to_end(&mut bytes)?;
        Ok(Some((bytes, meta_of(&file, &about)?)))
    }

    fn run(&self, command: &Command, limit: Duration) -> Result<Output, Failure> {
        run(command, limit, Stdio::null(), &[])
    }
}

impl Hands for Machine {
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let about = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            about => about?,
        };
        Ok(Some(match about.file_type() {
            t if t.is_file() => Kind::File,
            t if t.is_dir() => Kind::Directory,
            t if t.is_symlink() => Kind::Link,
            _ => Kind::Other,
        }))
    }

    fn keep(&mut self, path: &Path, link: &Path) -> io::Result<()> {
        self.unlink(link)?;
        match fs::hard_link(path, link) {
            Err(e) if [Errno::EPERM, Errno::EMLINK, Errno::EOPNOTSUPP].map(|no| Some(no as i32)).contains(&e.raw_os_error()) => {
                copy(path, link)?;
            }
            linked => linked?,
        }
        flush_folder(link)
    }

    fn stage(&mut self, path: &Path, bytes: &[u8], meta: &Meta) -> io::Result<()> {
        self.unlink(path)?;
        write_new(path, bytes, meta)?.sync_all()?;
        flush_folder(path)
    }

    fn swap(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        flush_folder(to)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(e) if is_missing(path, &e) => Ok(()),
            Err(e) => Err(e),
            Ok(()) => flush_folder(path),
        }
    }

    fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
            made => made?,
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        flush_folder(path)
    }

    fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        match fs::remove_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty || is_missing(path, &e) => Ok(()),
            Err(e) => Err(e),
            Ok(()) => flush_folder(path),
        }
    }

    fn lock_edit(&mut self, path: &Path, limit: Duration) -> io::Result<EditLock> {
        EditLock::take(path, limit)
    }

    fn clear_edit_lock(&mut self, path: &Path) -> io::Result<()> {
        EditLock::clear(path)
    }

    fn act(&mut self, command: &Command, limit: Duration, busy: Option<&Lock>) -> Result<(), Failure> {
        let stdin = busy.and_then(|lock| lock.share().ok()).map_or_else(Stdio::null, Stdio::from);
        let output = run(command, limit, stdin, &[])?;
        match output.code {
            0 => Ok(()),
            code => Err(Failure::Command { command: command.to_string(), code, said: last_words(&output) }),
        }
    }
}

/// 0600 until owner and attributes are right and nothing but the mode is left: a key is never readable by the wrong user.
fn write_new(path: &Path, bytes: &[u8], meta: &Meta) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    std::os::unix::fs::fchown(&file, Some(meta.uid), Some(meta.gid))?;
    for (name, value) in &meta.xattrs {
        file.set_xattr(name, &value.0)?;
    }
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(meta.mode))?;
    Ok(file)
}

fn copy(path: &Path, to: &Path) -> io::Result<()> {
    let mut original = File::open(path)?;
    let about = original.metadata()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1));
    original.read_to_end(&mut bytes)?;
    let file = write_new(to, &bytes, &meta_of(&original, &about)?)?;
    file.set_times(FileTimes::new().set_accessed(about.accessed()?).set_modified(about.modified()?))?;
    file.sync_all()
}

/// A file system that cannot be written refuses to remove even what is not there.
fn is_missing(path: &Path, error: &io::Error) -> bool {
    let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    gone(error) || error.kind() == io::ErrorKind::ReadOnlyFilesystem && fs::symlink_metadata(path).is_err_and(|e| gone(&e))
}

fn flush_folder(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn meta_of(file: &File, about: &fs::Metadata) -> io::Result<Meta> {
    Ok(Meta { uid: about.uid(), gid: about.gid(), mode: about.mode() & 0o7777, xattrs: xattrs_of(file)? })
}

fn xattrs_of(file: &File) -> io::Result<BTreeMap<String, Raw>> {
    let names = match file.list_xattr() {
        // A file system without extended attributes has none.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
        names => names?,
    };
    let mut found = BTreeMap::new();
    for name in names {
        // The kernel's own seals over the bytes: it makes new ones for new bytes.
        if name == "security.ima" || name == "security.evm" {
            continue;
        }
        if let Some(value) = file.get_xattr(&name)? {
            found.insert(name.to_string_lossy().into_owned(), Raw(value));
        }
    }
    Ok(found)
}

/// The end of what a failed command said: its standard error, or else its output.
fn last_words(output: &Output) -> String {
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let lines: Vec<&str> = said.trim().lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
