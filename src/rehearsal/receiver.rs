//! A stand-in for a mail server, where none is installed or none may be copied: a process of our own program that reads
//! Postfix's files, listens where they say, and talks and does TLS as they say. It takes no message. Like the real one it is
//! asked and told things with commands, so that survey, plan, apply and proof meet nothing that is made for it.

mod dialogue;
mod planned;

use super::Fault;
use crate::world::{Look, Machine};
use planned::Planned;
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
    sync::{Notify, Semaphore, oneshot},
    time::timeout,
};

/// The version of Postfix whose files it understands.
pub const VERSION: &str = "3.7.11";
/// What it says once it listens.
pub const READY: &str = "listening\n";
/// Where it is told things, in its queue.
const DOOR: &str = "public/stand-in";
/// Conversations at a time.
const CONVERSATIONS: usize = 64;
/// It answers at once, or it is not well.
const ANSWER: Duration = Duration::from_secs(5);

/// What it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Read your files again.
    Reload,
    /// Are you there?
    Status,
}

impl Word {
    const fn text(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Status => "status",
        }
    }
}

/// What it does wrong, if anything.
struct Behaviour {
    planned: Mutex<Arc<Planned>>,
    fault: Option<Fault>,
    over: Notify,
}

/// Listens as the files of `dir` say, until standard input ends; `ready` is called once it does. Its working directory is the
/// queue.
///
/// # Errors
/// When the files cannot be read or an address is taken, as a sentence.
pub async fn serve(dir: &Path, fault: Option<Fault>, ready: impl FnOnce()) -> Result<(), String> {
    let planned = Arc::new(Planned::read(&Machine, dir)?);
    let door = UnixListener::bind(DOOR).map_err(|e| format!("{DOOR}: {e}"))?;
    let behaviour = Arc::new(Behaviour { planned: Mutex::new(planned.clone()), fault, over: Notify::new() });
    for desk in &planned.desks {
        let listener = TcpListener::bind(desk.addr).await.map_err(|e| format!("{} cannot be listened on: {e}", desk.addr))?;
        tokio::spawn(receive(listener, desk.addr, behaviour.clone()));
    }
    ready();
    let (ends, ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(ends);
    });
    tokio::select! {
        _ = ended => {}
        () = behaviour.over.notified() => {}
        () = obey(&door, dir, &behaviour) => {}
    }
    Ok(())
}

async fn receive(listener: TcpListener, addr: SocketAddr, behaviour: Arc<Behaviour>) {
    let gate = Arc::new(Semaphore::new(CONVERSATIONS));
    loop {
        let Ok(turn) = gate.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let planned = behaviour.planned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(desk) = planned.desks.iter().find(|d| d.addr == addr).cloned() else { continue };
        tokio::spawn(async move {
            // Whatever breaks a conversation is seen on its other side.
            let _ = dialogue::serve(stream, desk, planned).await;
            drop(turn);
        });
    }
}

/// Does what it is told through its door, one word at a time.
async fn obey(door: &UnixListener, dir: &Path, behaviour: &Behaviour) {
    loop {
        let Ok((mut stream, _)) = door.accept().await else { return };
        let mut word = [0; 16];
        let Ok(Ok(length)) = timeout(ANSWER, stream.read(&mut word)).await else { continue };
        let word = String::from_utf8_lossy(word.get(..length).unwrap_or_default()).into_owned();
        let reload = word == Word::Reload.text();
        let answer = match (reload, behaviour.fault) {
            (false, _) | (true, Some(Fault::ReloadIgnored | Fault::ServerDies)) => "ok".to_owned(),
            (true, _) => match Planned::read(&Machine, dir) {
                Ok(planned) => {
                    *behaviour.planned.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(planned);
                    "ok".to_owned()
                }
                Err(why) => why,
            },
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        if reload && behaviour.fault == Some(Fault::ServerDies) {
            behaviour.over.notify_one();
        }
    }
}

/// Tells the stand-in of a configuration something.
///
/// # Errors
/// When it does not run, or its own words where it refuses.
pub fn tell(dir: &Path, word: Word) -> Result<(), String> {
    let exchange = || -> io::Result<String> {
        // By its directory's descriptor: a socket's path holds 108 bytes only (unix(7)).
        let queue = File::open(queue(&Machine, dir).map_err(io::Error::other)?)?;
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/{DOOR}", queue.as_raw_fd()))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(word.text().as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match exchange() {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(why) => Err(why),
        Err(e) => Err(format!("the stand-in does not run: {e}")),
    }
}

/// Whether the files can be read at all; certificates are not looked at, as Postfix's own check does not.
///
/// # Errors
/// What is wrong, with its file and line.
pub fn check(dir: &Path) -> Result<(), String> {
    Planned::read(&Machine, dir).map(drop)
}

/// The values of settings as Postfix would expand them, one a line.
///
/// # Errors
/// When the files cannot be read.
pub fn values(dir: &Path, names: &[String]) -> Result<String, String> {
    planned::values(&Machine, dir, names)
}

fn queue(look: &dyn Look, dir: &Path) -> Result<PathBuf, String> {
    let line = planned::values(look, dir, &["queue_directory".to_owned()])?;
    Ok(line.trim_start_matches("queue_directory =").trim().into())
}
