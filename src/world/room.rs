//! A room of our own: namespaces (namespaces(7)) in which the paths of this host lead to private copies and the network leads
//! nowhere. Whatever is done inside reaches nobody, and when the room's first process ends, in whatever way, the kernel ends
//! all others and drops every mount: nothing is left to tidy.

use nix::mount::{MsFlags, mount};
use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufRead as _, Read as _, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _, chown},
        net::UnixDatagram,
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::UNIX_EPOCH,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
};

/// What makes a room differ from its host.
const NAMESPACES: [&str; 3] = ["/proc/self/ns/mnt", "/proc/self/ns/net", "/proc/self/ns/pid"];
/// Lives in memory, as everything inside does.
const MEMORY: &str = "/run";
/// Our own place in it.
const OWN: &str = "/run/mxseal";

/// The first process: what runs for as long as we do and waits for everybody else, as init does. A daemon that ends and that
/// nobody waits for would still be found by its process id.
const FIRST: &str = "\"$0\" \"$@\"; exit $?";

/// A room, seen from outside.
#[derive(Debug)]
pub struct Room {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Room {
    /// Starts our own program again with `arguments` in a new room, and gives it `brief`, one line; what
    /// it prints goes to our standard output, or is kept for [`Room::end`].
    ///
    /// # Errors
    /// When it cannot be started. That namespaces are refused shows only in how it ends.
    pub async fn open(arguments: &[&str], brief: &str, keep_output: bool) -> io::Result<Self> {
        let mut process = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", "--"])
            .args(["sh", "-c", FIRST])
            .arg(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(if keep_output { Stdio::piped() } else { Stdio::inherit() })
            .kill_on_drop(true)
            .spawn()?;
        let mut pipe = process.stdin.take();
        if let Some(pipe) = &mut pipe {
            // One that is gone already tells why by its end.
            let _ = pipe.write_all(format!("{}\n", brief.replace('\n', " ")).as_bytes()).await;
        }
        Ok(Self { process, pipe })
    }

    /// Waits for its end; what it printed, where that was kept.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn end(mut self) -> io::Result<(ExitStatus, String)> {
        let mut said = Vec::new();
        if let Some(mut out) = self.process.stdout.take() {
            tokio::io::AsyncReadExt::read_to_end(&mut out, &mut said).await?;
        }
        let status = self.process.wait().await?;
        drop(self.pipe.take());
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Whether this host can make a room at all.
    ///
    /// # Errors
    /// Why not, as the system says it.
    pub async fn possible() -> io::Result<()> {
        let tried = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", "--", "ip", "link", "set", "lo", "up"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&tried.stderr);
        if tried.status.success() { Ok(()) } else { Err(io::Error::other(said.trim().to_owned())) }
    }
}

/// Our own program once more, as a process that can be killed; what it prints is not kept.
///
/// # Errors
/// When it cannot be started.
pub fn actor(arguments: &[String]) -> io::Result<Child> {
    Command::new("/proc/self/exe").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
}

/// The namespaces that a process lives in, so that a room can tell that it is one.
///
/// # Errors
/// When `/proc` does not say.
pub fn namespaces() -> io::Result<Vec<PathBuf>> {
    NAMESPACES.iter().map(fs::read_link).collect()
}

/// The brief of the room that we were started for. From here on we end when whoever opened it does.
///
/// # Errors
/// When it does not come.
pub fn brief() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    #[expect(clippy::exit, reason = "our end is the end of the room, in whatever state")]
    thread::Builder::new().name("door".into()).spawn(|| {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(130);
    })?;
    Ok(line)
}

/// A room, seen from inside: what its paths lead to.
#[derive(Debug)]
pub struct Inside {
    bound: Vec<PathBuf>,
}

impl Inside {
    /// Makes the first private place, where every program of the host would look for the sockets of others: in memory, and
    /// empty. `host` are the [`namespaces`] outside.
    ///
    /// # Errors
    /// When this is no room: nothing is mounted then.
    pub fn enter(host: &[PathBuf]) -> io::Result<Self> {
        let here = namespaces()?;
        if here.len() != host.len() || here.iter().zip(host).any(|(ours, theirs)| ours == theirs) {
            return Err(io::Error::other("this process is not in namespaces of its own; nothing was mounted"));
        }
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        mount(Some("tmpfs"), MEMORY, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))?;
        DirBuilder::new().mode(0o700).create(OWN)?;
        Ok(Self { bound: vec![PathBuf::from(MEMORY)] })
    }

    /// A path of our own, below which everything is private and in memory.
    #[must_use]
    pub fn own(&self, below: impl AsRef<Path>) -> PathBuf {
        Path::new(OWN).join(below)
    }

    /// Whether what lies at `path` is private already.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.bound.iter().any(|b| path.starts_with(b))
    }

    /// From now on `path` leads to `private`.
    ///
    /// # Errors
    /// When one of the two is missing.
    pub fn bind(&mut self, private: &Path, path: &Path) -> io::Result<()> {
        mount(Some(private), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        self.bound.push(path.to_owned());
        Ok(())
    }

    /// A new directory of our own; from `/` on, one below something that is private already.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self, below: &Path, mode: u32, owner: Option<u32>) -> io::Result<PathBuf> {
        let path = self.own(below);
        if !self.has(&path) {
            return Err(io::Error::other(format!("{} is the host's own", path.display())));
        }
        DirBuilder::new().recursive(true).create(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        chown(&path, owner, None)?;
        Ok(path)
    }

    /// Other bytes in a private file: owner, mode and attributes stay, and it looks old, for Postfix dozes over a young one.
    ///
    /// # Errors
    /// When it is not private, missing, or cannot be written.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).truncate(true).open(self.private(path)?)?;
        file.write_all(bytes)?;
        file.set_modified(UNIX_EPOCH)
    }

    /// A private file that all may read, in place of whatever is there; a link is not followed.
    ///
    /// # Errors
    /// When its directory is not private, or it cannot be written.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.private(path.parent().unwrap_or(Path::new("/")))?;
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => fs::write(path, bytes)?,
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    }

    /// A private file of our own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, below: impl AsRef<Path>, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.own(below);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Lets a file of our own be run.
    ///
    /// # Errors
    /// When it is missing or not private.
    pub fn executable(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(self.private(path)?, fs::Permissions::from_mode(0o755))
    }

    fn private(&self, path: &Path) -> io::Result<PathBuf> {
        let real = path.canonicalize()?;
        if self.has(&real) { Ok(real) } else { Err(io::Error::other(format!("{} is the host's own", real.display()))) }
    }

    /// From now on everything that is not private can only be read.
    ///
    /// # Errors
    /// When a mount cannot be made so.
    pub fn seal(&self) -> io::Result<()> {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        let kernel = ["/proc", "/sys", "/dev"].map(Path::new);
        for at in table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped) {
            if self.has(&at) || kernel.iter().any(|k| at.starts_with(k)) {
                continue;
            }
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            match mount(None::<&str>, &at, None::<&str>, flags, None::<&str>) {
                // Hidden below another mount, or not ours to look at: nobody inside comes there.
                Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT | nix::errno::Errno::EACCES) | Ok(()) => {}
                Err(e) => return Err(io::Error::other(format!("{} cannot be made read-only: {e}", at.display()))),
            }
        }
        Ok(())
    }

    /// Hears what programs inside tell the system's log, instead of the host's.
    ///
    /// # Errors
    /// When the place of the log's socket cannot be made private.
    pub fn log(&mut self) -> io::Result<Log> {
        let public = Path::new("/dev/log");
        let linked = fs::read_link(public).ok().map(|target| Path::new("/dev").join(target));
        let socket = match linked {
            Some(target) if target.starts_with(MEMORY) => {
                DirBuilder::new().recursive(true).create(target.parent().unwrap_or(Path::new(MEMORY)))?;
                UnixDatagram::bind(&target)?
            }
            _ => {
                let ours = self.own("log");
                let socket = UnixDatagram::bind(&ours)?;
                if public.exists() {
                    self.bind(&ours, public)?;
                }
                socket
            }
        };
        let log = Log::default();
        let lines = log.0.clone();
        thread::Builder::new().name("log".into()).spawn(move || {
            let mut message = vec![0; 8192];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        })?;
        Ok(log)
    }
}

/// What was told to the system's log inside.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// The lines so far, without priority and time.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|l| l.split_once(": ").map_or(l.as_str(), |_| l.get(20..).unwrap_or(l)).trim().to_owned()).collect()
    }
}

/// Octal escapes of proc_pid_mountinfo(5).
fn unescaped(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}
