//! A booted stock Debian mail host: systemd, journald and Postfix as the package configures it, on a copy-on-write view of
//! this machine's own root. Nothing that a test does there outlives it.

use super::{
    net::Net,
    process::{run, wait_for},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};
use tempfile::TempDir;

const SCRIPT: &str = include_str!("host.sh");

/// The program under test, as the host finds it.
pub const MXSEAL: &str = "/usr/bin/mxseal";

/// A running host. It is powered off when dropped.
pub struct Host {
    nspawn: Child,
    leader: u32,
    name: String,
    folder: TempDir,
}

/// What a file is, so that two times can be compared: content, owner, mode, inode and time of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Digest of the content, or the target of a link.
    pub content: String,
    /// Mode with the type of file.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Inode.
    pub inode: u64,
    /// Modified, seconds and nanoseconds.
    pub modified: (i64, i64),
}

impl Host {
    /// Boots in the namespace of `host` and waits until systemd is done.
    pub fn boot(net: &Net, host: &str) -> Self {
        let folder = folder();
        let name = net.namespace(host);
        let console = File::create(folder.path().join("console")).expect("a console log");
        let nspawn = script(&["boot"])
            .arg(folder.path())
            .args([layer().as_os_str(), name.as_ref(), name.as_ref()])
            .arg(format!("--bind-ro={}:{MXSEAL}", env!("CARGO_BIN_EXE_mxseal")))
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a second handle"))
            .stderr(console)
            .spawn()
            .expect("unshare is in util-linux");
        let mut host = Self { nspawn, leader: 0, name, folder };
        host.wait_for_boot();
        host
    }

    /// Ends every process at once, as a power cut does, and boots again on what the disk holds.
    pub fn cut_power(&mut self) {
        // The mounts live as long as somebody holds their namespace.
        let mounts = File::open(format!("/proc/{}/ns/mnt", self.nspawn.id())).expect("the host's mount namespace");
        let init = nix::unistd::Pid::from_raw(i32::try_from(self.leader).expect("a process id"));
        nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).expect("the host's init");
        self.nspawn.wait().expect("systemd-nspawn ends with its host");
        self.leader = 0;
        let console = File::options().append(true).open(self.folder.path().join("console")).expect("the console log");
        self.nspawn = Command::new("nsenter")
            .arg(format!("--mount=/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&mounts)))
            .args(["sh", "-c", SCRIPT, "host.sh", "again"])
            .arg(self.folder.path())
            .args([&self.name, &self.name])
            .arg(format!("--bind-ro={}:{MXSEAL}", env!("CARGO_BIN_EXE_mxseal")))
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a second handle"))
            .stderr(console)
            .spawn()
            .expect("nsenter is in util-linux");
        self.wait_for_boot();
    }

    /// Waits until systemd is done, and Postfix listens.
    fn wait_for_boot(&mut self) {
        let host = self;
        let children = format!("/proc/{0}/task/{0}/children", host.nspawn.id());
        wait_for("systemd in the host; inside a chroot systemd-nspawn cannot boot one", Duration::from_secs(60), || {
            assert!(matches!(host.nspawn.try_wait(), Ok(None)), "the host did not boot:\n{}", host.console());
            host.leader = fs::read_to_string(&children).ok().and_then(|c| c.trim().parse().ok()).unwrap_or(0);
            host.leader != 0 && host.run(&["test", "-S", "/run/systemd/private"]).status.success()
        });
        let state = host.run(&["systemctl", "is-system-running", "--wait"]);
        let failed = host.run(&["systemctl", "list-units", "--failed", "--no-legend"]);
        assert!(state.status.success(), "booted {}with failed units:\n{}{}", text(&state), text(&failed), host.console());
        host.wait_for_smtp();
    }

    /// Runs a command as root in the host, to its end.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.command(argv).stdin(Stdio::null()).output().expect("nsenter is in util-linux")
    }

    /// Like [`run`](Self::run), where failure is the test's failure; gives standard output.
    pub fn ok(&self, argv: &[&str]) -> String {
        run(&mut self.command(argv))
    }

    /// A command in the host, for a test that wants to talk to it.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader.to_string(), "-m", "-u", "-i", "-n", "-p", "-C", "--"]).args(argv);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command
    }

    /// Where a file of the host is seen from outside. Absolute links in it point to the wrong root.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.leader.to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// The content of a file of the host.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path} in the host: {e}"))
    }

    /// Writes a file of the host.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(path), content).unwrap_or_else(|e| panic!("{path} in the host: {e}"));
    }

    /// What Postfix has logged since boot, a line each.
    pub fn mail_log(&self) -> String {
        self.ok(&["journalctl", "--sync"]);
        self.ok(&["journalctl", "--output=cat", "--output-fields=MESSAGE", "--no-pager", "SYSLOG_FACILITY=2"])
    }

    /// Every file below `folder`.
    pub fn tree(&self, folder: &str) -> BTreeMap<PathBuf, Entry> {
        let (top, mut found) = (self.path(folder), BTreeMap::new());
        let mut folders = vec![top.clone()];
        while let Some(next) = folders.pop() {
            // The lab's own folder of the machine below, which changes while other tests run.
            if next.ends_with("etc/netns") {
                continue;
            }
            for path in fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())).map(|e| e.expect("an entry").path()) {
                // A file that went since it was listed is not there.
                let Ok(about) = fs::symlink_metadata(&path) else { continue };
                let content = if about.is_symlink() {
                    fs::read_link(&path).expect("a link").to_string_lossy().into_owned()
                } else if about.is_file() {
                    let Ok(bytes) = fs::read(&path) else { continue };
                    format!("{:x}", Sha256::digest(bytes))
                } else {
                    String::new()
                };
                if about.is_dir() {
                    folders.push(path.clone());
                }
                let name = path.strip_prefix(&top).expect("below the folder").to_owned();
                let (owner, modified) = ((about.uid(), about.gid()), (about.mtime(), about.mtime_nsec()));
                found.insert(name, Entry { content, mode: about.mode(), owner, inode: about.ino(), modified });
            }
        }
        found
    }

    /// What the host's console said.
    pub fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("console")).unwrap_or_default()
    }

    fn wait_for_smtp(&self) {
        wait_for("port 25 of the host", Duration::from_secs(20), || text(&self.run(&["ss", "-Hltn", "sport", "=", ":25"])).contains(":25"));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() && self.leader != 0 {
            eprintln!("the host's mail log ends with:\n{}", last_lines(&text(&self.run(&["journalctl", "--no-pager", "-n", "40"])), 40));
        }
        let _ = self.run(&["systemctl", "poweroff"]);
        let until = std::time::Instant::now() + Duration::from_secs(15);
        while matches!(self.nspawn.try_wait(), Ok(None)) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        // A group goes when the last process in it is reaped, a moment after the container's init.
        for tree in ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"] {
            let group = Path::new(tree).join(&self.name);
            for _ in 0..50 {
                let _ = Command::new("find").arg(&group).args(["-depth", "-type", "d", "-delete"]).output();
                if !group.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The files that are not the same in both, with what they were and are.
pub fn differences<T: PartialEq + std::fmt::Debug>(before: &BTreeMap<PathBuf, T>, after: &BTreeMap<PathBuf, T>) -> Vec<String> {
    let all: BTreeSet<_> = before.keys().chain(after.keys()).filter(|path| !path.starts_with("netns")).collect();
    all.into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| format!("{}: {:?} became {:?}", path.display(), before.get(path), after.get(path)))
        .collect()
}

/// Standard output of a command that ran.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn folder() -> TempDir {
    // Not /tmp: where that is in memory, so would be the host's console and layer.
    tempfile::Builder::new().prefix("mxseal-host-").tempdir_in("/var/tmp").expect("a folder in /var/tmp")
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", SCRIPT, "host.sh"]).args(arguments);
    command
}

/// The stock host's difference from this machine, made once a run.
fn layer() -> &'static Path {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    LAYER.get_or_init(|| {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lab-layer.tar");
        let work = folder();
        let made = work.path().join("layer.tar");
        run(script(&["layer"]).arg(&made));
        // Renamed into place, so that two runs at once are both served a whole one.
        let mine = file.with_extension(std::process::id().to_string());
        fs::copy(&made, &mine).and_then(|_| fs::rename(&mine, &file)).expect("the layer can be kept beside the tests");
        file
    })
}
