//! A second instance of this host's Postfix, at the same paths: inside a [room](crate::world::room) those lead to a copy of the
//! configuration and to an empty queue, and whatever delivers mail is `discard`.

use crate::{
    change::Command,
    mta::{dialect::Unreadable, harmless},
    rehearsal::Fault,
    world::{Failure, Look, room::Inside},
};
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What Postfix makes by itself in a queue (postfix-files(5)); the rest is what a chroot needs.
const QUEUE: [&str; 15] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private", "public", "saved",
    "trace", "dev",
];
/// Copying takes no longer.
const COPY_LIMIT: Duration = Duration::from_secs(60);
/// Starting takes no longer; Postfix programs doze for two seconds when main.cf is young.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A configuration holds fewer entries than this.
const MOST_ENTRIES: usize = 50_000;

/// Why there is no second instance.
#[derive(Debug, thiserror::Error)]
pub enum NoInstance {
    /// A file or a command failed.
    #[error("the copy of the mail server could not be made: {0}")]
    Failure(#[from] Failure),
    /// A configuration file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// A directory holds more than a configuration does.
    #[error("{} holds more than {MOST_ENTRIES} entries, too many for a copy in memory", .0.display())]
    TooLarge(PathBuf),
    /// It does not start.
    #[error("the copy of Postfix does not start: {0}")]
    Start(Failure),
}

/// Where the mail server works, outside as well as inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Its configuration directory.
    pub config: PathBuf,
    /// Its queue.
    pub queue: PathBuf,
    /// Its caches and locks.
    pub data: PathBuf,
    owner: String,
}

impl Places {
    /// Asks Postfix for them.
    ///
    /// # Errors
    /// When it does not say.
    pub fn of(look: &dyn Look, config: &Path) -> Result<Self, Failure> {
        let dir = config.display().to_string();
        let names = ["queue_directory", "data_directory", "mail_owner"];
        let command = Command(["postconf", "-c", &dir, "-x"].iter().chain(&names).map(ToString::to_string).collect());
        let said = succeed(look, command, COPY_LIMIT)?;
        let value = |name: &str| {
            let line = said.lines().find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix('='));
            line.unwrap_or_default().trim().to_owned()
        };
        Ok(Self { config: config.to_owned(), queue: value(names[0]).into(), data: value(names[1]).into(), owner: value(names[2]) })
    }
}

/// Makes the copies inside, and everything else read-only. `files` are the configuration files, links followed; `ours` is
/// where our own files for mail servers will lie, `state` our own directory.
///
/// # Errors
/// When a copy cannot be made.
pub fn settle(
    look: &dyn Look,
    inside: &mut Inside,
    places: &Places,
    files: &[PathBuf],
    ours: &Path,
    state: &Path,
) -> Result<(), NoInstance> {
    let mut wanted = vec![PathBuf::from("/etc"), places.config.clone()];
    wanted.extend(files.iter().filter_map(|f| f.parent()).map(Path::to_owned));
    wanted.extend(ours.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned));
    for (number, dir) in wanted.iter().enumerate() {
        let real = dir.canonicalize().map_err(Failure::file(format!("finding {}", dir.display())))?;
        if !inside.has(&real) {
            copied(look, inside, &real, &inside.own(&number.to_string()))?;
        }
    }
    let made = |what: &str| Failure::file(format!("making {what} of the copy"));
    let queue = inside.directory("queue", 0o755, None).map_err(made("the queue"))?;
    let chroot = look.list(&places.queue).map_err(Failure::file(format!("listing {}", places.queue.display())))?;
    for entry in chroot.iter().filter(|p| p.file_name().is_some_and(|n| !QUEUE.iter().any(|q| n == OsStr::new(q)))) {
        copy(look, entry, &queue)?;
    }
    let owner = nix::unistd::User::from_name(&places.owner).ok().flatten().map(|user| user.uid.as_raw());
    let data = inside.directory("data", 0o700, owner).map_err(made("the data directory"))?;
    for (private, path) in [(&queue, &places.queue), (&data, &places.data)] {
        inside.bind(private, path).map_err(Failure::file(format!("replacing {}", path.display())))?;
    }
    if state.is_dir() {
        copy(look, state, &inside.own("state"))?;
    }
    // The copy asks nobody outside; a question then ends at once instead of in time.
    let resolv = Path::new("/etc/resolv.conf");
    inside
        .replace(resolv, b"nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
        .map_err(Failure::file("writing the copy's resolv.conf"))?;
    inside.seal().map_err(Failure::file("closing the room"))?;
    Ok(())
}

/// Makes the copied configuration harmless.
///
/// # Errors
/// When a file cannot be read or written.
pub fn disarm(inside: &Inside, files: &[PathBuf]) -> Result<(), NoInstance> {
    for path in files {
        let bytes = fs::read(path).map_err(Failure::file(format!("reading {}", path.display())))?;
        let becomes = match path.file_name().and_then(OsStr::to_str) {
            Some("master.cf") => harmless::master_cf(path, &bytes)?,
            _ => harmless::main_cf(path, &bytes)?,
        };
        inside.overwrite(path, &becomes).map_err(Failure::file(format!("writing the copy of {}", path.display())))?;
    }
    Ok(())
}

/// Starts the instance; every service listens then.
///
/// # Errors
/// What Postfix says.
pub fn start(look: &dyn Look, places: &Places) -> Result<(), NoInstance> {
    let command = ["postfix", "-c", &places.config.display().to_string(), "start"].map(ToOwned::to_owned).to_vec();
    succeed(look, Command(command), START_LIMIT).map(drop).map_err(NoInstance::Start)
}

/// Puts a script in the place of the program that tells Postfix to reload, for the faults that are the server's. It plays its
/// part once; after that everything is as on any other day.
///
/// # Errors
/// When it cannot be put there.
pub fn arm(inside: &mut Inside, fault: Fault) -> Result<(), NoInstance> {
    let part = match fault {
        Fault::ReloadIgnored => "exit 0",
        Fault::ServerDies => "\"$real\" \"$@\" >/dev/null 2>&1; \"$real\" -c \"$2\" abort; exit 0",
        _ => return Ok(()),
    };
    let Some(program) =
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].iter().map(|d| Path::new(d).join("postfix")).find(|p| p.exists())
    else {
        return Ok(());
    };
    let failed = || Failure::file("preparing the fault");
    let real = inside.file("postfix", &fs::read(&program).map_err(failed())?).map_err(failed())?;
    let once = inside.own("once");
    let script = format!(
        "#!/bin/sh\nreal={0}\nif [ \"$3\" = reload ] && [ ! -e {1} ]; then : >{1}; {part}; fi\nexec \"$real\" \"$@\"\n",
        real.display(),
        once.display()
    );
    let script = inside.file("script", script.as_bytes()).map_err(failed())?;
    for path in [&real, &script] {
        inside.executable(path).map_err(failed())?;
    }
    inside.bind(&script, &program).map_err(failed())?;
    Ok(())
}

fn copied(look: &dyn Look, inside: &mut Inside, from: &Path, to: &Path) -> Result<(), NoInstance> {
    let mut left = MOST_ENTRIES;
    if !fits(from, &mut left).map_err(Failure::file(format!("looking at {}", from.display())))? {
        return Err(NoInstance::TooLarge(from.to_owned()));
    }
    copy(look, from, to)?;
    inside.bind(to, from).map_err(Failure::file(format!("replacing {}", from.display())))?;
    Ok(())
}

/// With owners, modes, times, links and attributes.
fn copy(look: &dyn Look, from: &Path, to: &Path) -> Result<(), Failure> {
    let words = ["cp", "-a", "-T"].map(ToOwned::to_owned).to_vec();
    let target = if to.is_dir() { to.join(from.file_name().unwrap_or_default()) } else { to.to_owned() };
    let paths = [from, &target].map(|p| p.display().to_string());
    succeed(look, Command([words, paths.to_vec()].concat()), COPY_LIMIT).map(drop)
}

fn fits(dir: &Path, left: &mut usize) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Some(fewer) = left.checked_sub(1) else { return Ok(false) };
        *left = fewer;
        if entry.file_type()?.is_dir() && !fits(&entry.path(), left)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn succeed(look: &dyn Look, command: Command, limit: Duration) -> Result<String, Failure> {
    let out = look.run(&command, limit)?;
    match out.code {
        0 => Ok(out.stdout),
        code => Err(Failure::Command { command: command.to_string(), code, said: out.stderr.trim().to_owned() }),
    }
}
