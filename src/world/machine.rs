//! This machine. [`Look`] cannot change it; only `apply` is given [`Hands`].

use crate::{
    certificate::Digest,
    change::{Command, Image, Meta, Raw},
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::{
        fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

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

/// No more than this many bytes of a command's output are kept.
const OUTPUT_LIMIT: u64 = 1 << 20;

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

    /// The image of a file; `None` where there is none.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    fn image(&self, path: &Path) -> io::Result<Option<Image>> {
        Ok(self.read(path)?.map(|(bytes, meta)| Image { digest: Digest::of(&bytes), meta }))
    }
}

/// Changing: each a single durable step that can be repeated.
pub trait Hands: Look {
    /// A second name for the original inode.
    ///
    /// # Errors
    /// When the link cannot be made.
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

    /// Makes a directory and its parents (0755), flushed.
    ///
    /// # Errors
    /// When it cannot be made.
    fn make_dir(&mut self, path: &Path) -> io::Result<()>;
}

/// The real machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Look for Machine {
    fn read(&self, path: &Path) -> io::Result<Option<(Vec<u8>, Meta)>> {
        let mut file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let xattrs = xattrs_of(path)?;
        Ok(Some((bytes, Meta { uid: about.uid(), gid: about.gid(), mode: about.mode() & 0o7777, xattrs })))
    }

    fn run(&self, command: &Command, limit: Duration) -> Result<Output, Failure> {
        let start = |source| Failure::Start { command: command.to_string(), source };
        let (program, arguments) = command.0.split_first().ok_or_else(|| start(io::Error::other("no program is named")))?;
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(start)?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let (said, complained) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let began = Instant::now();
        // Polling: a wait with a deadline needs a signal handler or a thread that outlives us.
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(start)? {
                break status;
            }
            if began.elapsed() > limit {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.wait();
                return Err(Failure::Deadline { command: command.to_string(), limit });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let code = status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0));
        Ok(Output { code, stdout: said.get(), stderr: complained.get() })
    }
}

impl Hands for Machine {
    fn keep(&mut self, path: &Path, link: &Path) -> io::Result<()> {
        fs::hard_link(path, link)
    }

    fn stage(&mut self, path: &Path, bytes: &[u8], meta: &Meta) -> io::Result<()> {
        self.unlink(path)?;
        // 0600 until owner and attributes are right: a key is never readable by the wrong user.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        std::os::unix::fs::fchown(&file, Some(meta.uid), Some(meta.gid))?;
        for (name, value) in &meta.xattrs {
            xattr::set(path, name, &value.0)?;
        }
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(meta.mode))?;
        file.sync_all()
    }

    fn swap(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        flush_folder(to)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => flush_folder(path),
        }
    }

    fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        flush_folder(path)
    }
}

fn flush_folder(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn xattrs_of(path: &Path) -> io::Result<BTreeMap<String, Raw>> {
    let names = match xattr::list_deref(path) {
        // A file system without extended attributes has none.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
        names => names?,
    };
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(value) = xattr::get_deref(path, &name)? {
            found.insert(name.to_string_lossy().into_owned(), Raw(value));
        }
    }
    Ok(found)
}

/// Reads a pipe in a thread, so that a chatty command never blocks. A daemon that inherits the pipe keeps it open:
/// what came within a moment of the command's end is what counts.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Collected {
    let (sender, receiver) = std::sync::mpsc::channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            let mut left = OUTPUT_LIMIT;
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                let keep = n.min(usize::try_from(left).unwrap_or(0));
                left -= keep as u64;
                if sender.send(chunk[..keep].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    Collected(receiver)
}

struct Collected(std::sync::mpsc::Receiver<Vec<u8>>);

impl Collected {
    fn get(self) -> String {
        let mut all = Vec::new();
        let until = Instant::now() + Duration::from_millis(200);
        while let Ok(chunk) = self.0.recv_timeout(until.saturating_duration_since(Instant::now())) {
            all.extend(chunk);
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}
