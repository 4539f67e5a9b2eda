//! The guard: a process of our own program that recovers when we die, in whatever way. It sleeps on a pipe that only we
//! hold open. It lives in a session of its own, so that neither Ctrl-C nor the end of the terminal reaches it.

use super::{
    Recovered, Stuck,
    recover::{Server, settle},
    units::remove_units,
};
use crate::world::{Companion, Hands, Store};
use nix::unistd::{dup2_stdout, setsid};
use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};

/// What the guard says when nothing but SIGKILL can end it any more.
const READY: &[u8] = b"on guard\n";

/// A guard at work. Start it before the change; when this value goes, the guard recovers what is still open and ends.
#[derive(Debug)]
pub struct Guard {
    _process: Companion,
}

impl Guard {
    /// Starts `program` with `arguments`, which must lead to [`stand_guard`] on the same Store, and waits until it is ready.
    /// Its standard error stays ours, so that the admin reads what became of an interrupted run.
    ///
    /// # Errors
    /// When it cannot be started or does not get ready. Nothing should be changed without it.
    pub fn start(program: &Path, arguments: &[impl AsRef<OsStr>]) -> io::Result<Self> {
        // It ends as soon as it finds nothing to recover.
        Companion::start(program, arguments, Path::new("/"), READY).map(|process| Self { _process: process })
    }
}

/// The guard's life, the whole of its process (the path of the Store must be absolute): ready, asleep until our standard input ends, then what [`recover`](super::recover) does, for a server that ran a moment ago. Where no change of ours stands then, the units go too.
///
/// # Errors
/// As [`recover`](super::recover); or when it could not get ready, which its parent sees.
pub fn stand_guard(hands: &mut dyn Hands, store: &Store) -> Result<Option<Recovered>, Stuck> {
    get_ready().map_err(Stuck::Journal)?;
    // Whatever ends the pipe, the end of our parent or an error, means the same.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let settled = settle(hands, store, Server::Ran);
    // The last to leave. A unit that stays has nothing to do.
    let _ = remove_units(hands, store);
    settled
}

#[expect(clippy::disallowed_methods, reason = "/dev/null")]
fn get_ready() -> io::Result<()> {
    setsid()?;
    // Handlers instead of "ignore", which commands would inherit. They stay when the runtime is gone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::hangup(), SignalKind::terminate(), SignalKind::quit()] {
        let _ = signal(kind)?;
    }
    io::stdout().write_all(READY)?;
    io::stdout().flush()?;
    // Whoever reads what we say must not wait for our end.
    dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?;
    Ok(())
}
