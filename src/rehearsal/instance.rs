//! A second instance of this host's mail server, at the same paths: inside a [room](crate::world::room) those lead to a copy of
//! the configuration and to an empty queue, and nothing delivers mail. Its profile says where it works and how it is started.

use crate::{
    change::Command,
    facts::Server,
    mta::{
        dialect::{Dialect, Unreadable},
        profile::{Argv, Copied, Filling, Profile},
    },
    rehearsal::{Fault, Moves},
    world::{Failure, Look, room::Inside},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    thread::sleep,
    time::Duration,
};

/// Copying takes no longer.
const COPY_LIMIT: Duration = Duration::from_secs(60);
/// Starting takes no longer; Postfix programs doze for two seconds when main.cf is young.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks whether it runs.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Where programs put what they need for a moment.
const TEMPORARY: &str = "/tmp";
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
    #[error("the copy of the mail server does not start: {0}")]
    Start(Failure),
    /// It was started, and is not there.
    #[error("the copy of the mail server ends as soon as it is started with `{0}`")]
    Ends(Command),
}

/// Where the mail server works, outside as well as inside, and how its copy is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Its configuration directory.
    pub config: PathBuf,
    /// What becomes of mail that the copy takes, as part of a sentence.
    pub mail: String,
    directories: Vec<Place>,
    start: Command,
    stop: Command,
    running: Command,
    /// What tells it to take a change into service.
    tells: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    path: PathBuf,
    copied: Copied,
    made: Vec<String>,
    mode: u32,
    owner: Option<u32>,
}

impl Places {
    /// Asks the server's tools for them; `None` where its profile does not say how a copy is run.
    ///
    /// # Errors
    /// When they do not say.
    pub fn of(look: &dyn Look, server: &Server, profile: &Profile) -> Result<Option<Self>, Failure> {
        let (Some(rehearsal), Some(tells)) = (&profile.rehearsal, profile.activate.last()) else { return Ok(None) };
        let said = rehearsal.asks.as_ref().map_or(Ok(String::new()), |asks| succeed(look, asks.fill(server), COPY_LIMIT))?;
        let told = said.lines().filter_map(|l| l.split_once('=')).map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        let mut known: BTreeMap<String, String> = told.collect();
        known.extend(
            server.defaults.iter().filter(|(name, _)| !known.contains_key(*name)).map(|(n, v)| (n.clone(), v.clone())).collect::<Vec<_>>(),
        );
        let with = Filling::new(&server.config_dir, &known);
        let fill = |argv: &Argv| argv.fill(with);
        let place = |one: &crate::mta::profile::Working| {
            let path = plain(&one.path.path(with))?;
            let about = fs::metadata(&path).ok();
            let user = one.owner.fill(with);
            let owner = nix::unistd::User::from_name(&user).ok().flatten().map(|u| u.uid.as_raw()).or_else(|| user.parse().ok());
            Some(Place { path, copied: one.copied, made: one.made.clone(), mode: about.map_or(0o755, |a| a.mode() & 0o7777), owner })
        };
        Ok(Some(Self {
            config: server.config_dir.clone(),
            mail: rehearsal.mail.clone(),
            directories: rehearsal.directories.iter().filter_map(place).collect(),
            start: fill(&rehearsal.start),
            stop: fill(&rehearsal.stop),
            running: fill(&profile.recognise.running),
            tells: fill(tells),
        }))
    }

    /// Its queue.
    #[must_use]
    pub fn queue(&self) -> &Path {
        self.directories.first().map_or(&self.config, |d| &d.path)
    }

    /// Where it works beside its configuration, and how much moves there by itself.
    pub fn working(&self) -> impl Iterator<Item = (PathBuf, Moves)> {
        let moves = |d: &Place| match d.copied {
            Copied::Nothing => Moves::Everything,
            Copied::Rest => Moves::Mail(d.made.clone()),
            Copied::All => Moves::Nothing,
        };
        self.directories.iter().map(move |d| (d.path.clone(), moves(d)))
    }
}

/// A path from `/` on without `..`, with the links that are on the way followed; `None` for what is none.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(whole.pop()),
            other => whole.push(other),
        }
    }
    let real = |dir: &Path| {
        let real = dir.canonicalize().ok()?;
        Some(if dir == whole { real } else { real.join(whole.strip_prefix(dir).ok()?) })
    };
    (path.is_absolute() && whole.parent().is_some()).then(|| whole.ancestors().find_map(real).unwrap_or_else(|| whole.clone()))
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
    let mut wanted = vec![PathBuf::from("/etc")];
    wanted.extend(Some(places.config.clone()).filter(|config| config.is_dir()));
    wanted.extend(files.iter().filter_map(|f| f.parent()).map(Path::to_owned));
    wanted.extend(ours.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned));
    wanted.extend(places.directories.iter().filter(|d| d.copied == Copied::All).map(|d| d.path.clone()));
    for (number, dir) in wanted.iter().enumerate() {
        let real = dir.canonicalize().map_err(Failure::file(format!("finding {}", dir.display())))?;
        if !inside.has(&real) {
            copied(look, inside, &real, &inside.own(number.to_string()))?;
        }
    }
    for (number, place) in places.directories.iter().enumerate().filter(|(_, d)| d.copied != Copied::All) {
        works(look, inside, &format!("works-{number}"), place)?;
    }
    if state.is_dir() {
        copy(look, state, &inside.own("state"))?;
    }
    // Tools of the server may write there, as m4 does.
    if !wanted.iter().any(|dir| dir.starts_with(TEMPORARY)) {
        let own = inside.directory(Path::new("temporary"), 0o1777, None).map_err(Failure::file("making a private place for short"))?;
        inside.bind(&own, Path::new(TEMPORARY)).map_err(Failure::file(format!("replacing {TEMPORARY}")))?;
    }
    // The copy asks nobody outside; a question then ends at once instead of in time.
    let resolv = Path::new("/etc/resolv.conf");
    inside
        .replace(resolv, b"nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
        .map_err(Failure::file("writing the copy's resolv.conf"))?;
    inside.seal().map_err(Failure::file("closing the room"))?;
    Ok(())
}

/// A working directory, empty but for what the server does not make by itself.
fn works(look: &dyn Look, inside: &mut Inside, name: &str, place: &Place) -> Result<(), Failure> {
    let made = || Failure::file(format!("making {} of the copy", place.path.display()));
    if inside.has(&place.path) {
        return inside.directory(&place.path, place.mode, place.owner).map(drop).map_err(made());
    }
    let own = inside.directory(Path::new(name), place.mode, place.owner).map_err(made())?;
    if place.copied == Copied::Rest {
        let all = look.list(&place.path).map_err(Failure::file(format!("listing {}", place.path.display())))?;
        for entry in all.iter().filter(|p| p.file_name().is_some_and(|n| !place.made.iter().any(|made| n == OsStr::new(made)))) {
            copy(look, entry, &own)?;
        }
    }
    inside.bind(&own, &place.path).map_err(Failure::file(format!("replacing {}", place.path.display())))
}

/// Makes the copied configuration harmless.
///
/// # Errors
/// When a file cannot be read or written.
pub fn disarm(inside: &Inside, dialect: Dialect, files: &[PathBuf]) -> Result<(), NoInstance> {
    let read = |path: &PathBuf| Ok((path.clone(), fs::read(path).map_err(Failure::file(format!("reading {}", path.display())))?));
    let files: Vec<(PathBuf, Vec<u8>)> = files.iter().map(read).collect::<Result<_, Failure>>()?;
    for (path, becomes) in dialect.harmless(&files)? {
        inside.overwrite(&path, &becomes).map_err(Failure::file(format!("writing the copy of {}", path.display())))?;
    }
    Ok(())
}

/// Starts the instance; every service listens then.
///
/// # Errors
/// What the server says.
pub fn start(look: &dyn Look, places: &Places) -> Result<(), NoInstance> {
    succeed(look, places.start.clone(), START_LIMIT).map_err(NoInstance::Start)?;
    for _ in 0..START_LIMIT.as_millis() / LOOK_AGAIN.as_millis() {
        if look.run(&places.running, START_LIMIT)?.code == 0 {
            return Ok(());
        }
        sleep(LOOK_AGAIN);
    }
    Err(NoInstance::Ends(places.start.clone()))
}

/// Puts a script in the place of the program that tells the server of a change, for the faults that are the server's. It plays
/// its part once; after that everything is as on any other day.
///
/// # Errors
/// When it cannot be put there.
pub fn arm(inside: &mut Inside, places: &Places, fault: Fault) -> Result<(), NoInstance> {
    let part = match fault {
        Fault::ReloadIgnored => "exit 0".to_owned(),
        // A server that is told two things at once may forget the second: it is stopped until it runs no more.
        Fault::ServerDies => format!(
            "\"$real\" \"$@\" >/dev/null 2>&1; for n in 1 2 3 4 5 6 7 8 9; do {}; sleep 0.2; {} || exit 0; done; exit 0",
            quoted(&places.stop.0),
            quoted(&places.running.0)
        ),
        _ => return Ok(()),
    };
    let Some((word, told)) = places.tells.0.split_first() else { return Ok(()) };
    let Some(program) =
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].iter().map(|d| Path::new(d).join(word)).find(|p| p.exists())
    else {
        return Ok(());
    };
    let failed = || Failure::file("preparing the fault");
    let bytes = fs::read(&program).map_err(failed())?;
    let program = program.canonicalize().map_err(failed())?;
    let reals = inside.directory(Path::new("reals"), 0o755, None).map_err(failed())?;
    let shell = fs::read("/bin/sh").map_err(failed())?;
    // Where one program has two names, it does as it is called; the shell that plays the part may be that program.
    for (name, bytes) in [(OsStr::new("sh"), &shell), (OsStr::new(word), &bytes), (program.file_name().unwrap_or_default(), &bytes)] {
        let real = inside.file(Path::new("reals").join(name), bytes).map_err(failed())?;
        inside.executable(&real).map_err(failed())?;
    }
    let once = inside.own("once");
    let script = format!(
        "#!{0}/sh\nreal={0}/${{0##*/}}\nif [ \"$*\" = {1} ] && [ ! -e {2} ]; then : >{2}; {part}; fi\nexec \"$real\" \"$@\"\n",
        reals.display(),
        quoted(&[told.join(" ")]),
        once.display()
    );
    let script = inside.file("script", script.as_bytes()).map_err(failed())?;
    inside.executable(&script).map_err(failed())?;
    inside.bind(&script, &program).map_err(failed())?;
    Ok(())
}

/// Words as a shell takes them.
fn quoted(words: &[String]) -> String {
    words.iter().map(|w| format!("'{}'", w.replace('\'', "'\\''"))).collect::<Vec<_>>().join(" ")
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
