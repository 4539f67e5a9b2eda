//! A booted stock Debian mail host: systemd, journald and Postfix as the package configures it, on a copy-on-write view of
//! this machine's own root, or of another Debian's. Nothing that a test does there outlives it.

use super::{
    net::Net,
    process::{copy_program, run, wait_for},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, OnceLock},
    time::Duration,
};
use tempfile::TempDir;

const SCRIPT: &str = include_str!("host.sh");

/// The program under test, as the host finds it.
pub const MXSEAL: &str = "/usr/bin/mxseal";

/// Which mail server a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Postfix,
    /// Exim with Debian's configuration in one file.
    Exim,
    /// Exim with Debian's configuration in many files.
    EximSplit,
    /// Exim with one file of the admin's own, after upstream's.
    EximOwn,
    /// OpenSMTPD as Debian 12 delivers it, receiving for `example.test`.
    OpenSmtpdOld,
    /// The same from Debian's backports.
    OpenSmtpd,
    /// Sendmail as Debian delivers it, receiving for `example.test`.
    Sendmail,
}

impl Server {
    /// What the host's layer is made of: a word of host.sh.
    const fn kind(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Exim | Self::EximSplit | Self::EximOwn => "exim",
            Self::OpenSmtpdOld => "opensmtpd-old",
            Self::OpenSmtpd => "opensmtpd",
            Self::Sendmail => "sendmail",
        }
    }
}

/// Where `tests/run` puts the packages of mail servers that cannot be installed beside Postfix, a folder each.
const PACKAGES: &str = "/var/cache/mxseal-tests";

/// Where `tests/run` puts Debian 13. The packages of its other mail servers are beside it, in `trixie-exim`.
pub const TRIXIE: &str = "/var/cache/mxseal-tests/trixie";

/// A running host. It ends when dropped.
pub struct Host {
    nspawn: Child,
    leader: u32,
    server: Server,
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
    /// Boots in the namespace of `host` and waits until systemd is done. The Debian is this machine's own, or that in the folder
    /// which `MXSEAL_LAB_ROOT` names.
    pub fn boot(net: &Net, host: &str, server: Server) -> Self {
        let root = std::env::var_os("MXSEAL_LAB_ROOT").filter(|root| !root.is_empty());
        Self::boot_over(root.as_deref().map(Path::new), net, host, server)
    }

    /// The same over the Debian in the folder `root`; none is this machine's own.
    pub fn boot_over(root: Option<&Path>, net: &Net, host: &str, server: Server) -> Self {
        assert!(root.is_none_or(Path::is_dir), "there is no {root:?}: tests/run makes Debian 13");
        let folder = folder();
        let name = net.namespace(host);
        let console = File::create(folder.path().join("console")).expect("a console log");
        let nspawn = script(&["boot"])
            .env("MXSEAL_LAB_ROOT", root.unwrap_or(Path::new("")))
            .arg(folder.path())
            .args([layer(root, server).as_os_str(), name.as_ref(), name.as_ref()])
            .arg(format!("--bind-ro={}:{MXSEAL}", program().display()))
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a second handle"))
            .stderr(console)
            .spawn()
            .expect("unshare is in util-linux");
        let mut host = Self { nspawn, leader: 0, server, name, folder };
        host.wait_for_boot();
        host.configure();
        host
    }

    /// From the package's configuration to another one that admins have.
    fn configure(&self) {
        match self.server {
            Server::Postfix | Server::Exim | Server::OpenSmtpdOld | Server::OpenSmtpd | Server::Sendmail => return,
            Server::EximSplit => {
                self.ok(&["sed", "-i", "s/^dc_use_split_config=.*/dc_use_split_config='true'/", "/etc/exim4/update-exim4.conf.conf"]);
            }
            Server::EximOwn => self.write("/etc/exim4/exim4.conf", EXIM_OWN),
        }
        self.ok(&["systemctl", "restart", "exim4"]);
        self.wait_for_smtp();
    }

    /// The directory of the mail server's configuration.
    pub fn etc(&self) -> &'static str {
        match self.server {
            Server::Postfix => "/etc/postfix",
            Server::Exim | Server::EximSplit | Server::EximOwn => "/etc/exim4",
            Server::OpenSmtpdOld | Server::OpenSmtpd => "/etc",
            Server::Sendmail => "/etc/mail",
        }
    }

    /// The configuration that the running server has read.
    pub fn in_force(&self) -> &'static str {
        match self.server {
            Server::Postfix => "/etc/postfix/main.cf",
            Server::Exim | Server::EximSplit => "/var/lib/exim4/config.autogenerated",
            Server::EximOwn => "/etc/exim4/exim4.conf",
            Server::OpenSmtpdOld | Server::OpenSmtpd => "/etc/smtpd.conf",
            Server::Sendmail => "/etc/mail/sendmail.cf",
        }
    }

    /// Every message that was delivered here, with its header, in no order.
    pub fn mailbox(&self) -> String {
        match self.server {
            Server::Postfix | Server::Sendmail => self.read("/var/mail/everything"),
            _ => self.ok(&["sh", "-c", "find /var/mail/everything/Maildir/new -type f -exec cat {} +"]),
        }
    }

    /// Whether nothing waits in the queue.
    pub fn queue_is_empty(&self) -> bool {
        match self.server {
            Server::Postfix => self.ok(&["postqueue", "-j"]).is_empty(),
            Server::Exim | Server::EximSplit | Server::EximOwn => self.ok(&["exim4", "-bpc"]).trim() == "0",
            Server::OpenSmtpdOld | Server::OpenSmtpd => self.ok(&["smtpctl", "show", "queue"]).is_empty(),
            Server::Sendmail => self.ok(&["mailq"]).contains("is empty"),
        }
    }

    /// Ends every process at once, as a power cut does, and boots again on what the disk holds.
    pub fn cut_power(&mut self) {
        // The mounts live as long as somebody holds their namespace.
        let mounts = File::open(format!("/proc/{}/ns/mnt", self.nspawn.id())).expect("the host's mount namespace");
        self.kill();
        self.nspawn.wait().expect("systemd-nspawn ends with its host");
        self.leader = 0;
        let console = File::options().append(true).open(self.folder.path().join("console")).expect("the console log");
        self.nspawn = Command::new("nsenter")
            .arg(format!("--mount=/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&mounts)))
            .args(["sh", "-c", SCRIPT, "host.sh", "again"])
            .arg(self.folder.path())
            .args([&self.name, &self.name])
            .arg(format!("--bind-ro={}:{MXSEAL}", program().display()))
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a second handle"))
            .stderr(console)
            .spawn()
            .expect("nsenter is in util-linux");
        self.wait_for_boot();
    }

    /// Ends every process: they end with the first of them.
    fn kill(&self) {
        let Ok(init @ 1..) = i32::try_from(self.leader) else { return };
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), nix::sys::signal::Signal::SIGKILL);
    }

    /// Waits until systemd is done, and the mail server listens.
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
        // Not a program of the same name that this machine has somewhere else.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
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

    /// What the mail server has logged since boot, a line each.
    pub fn mail_log(&self) -> String {
        if self.server.kind() == "exim" {
            return self.read("/var/log/exim4/mainlog");
        }
        self.ok(&["journalctl", "--sync"]);
        self.ok(&["journalctl", "--output=cat", "--output-fields=MESSAGE", "--no-pager", "SYSLOG_FACILITY=2"])
    }

    /// Every file below `folder`.
    pub fn tree(&self, folder: &str) -> BTreeMap<PathBuf, Entry> {
        let (top, mut found) = (self.path(folder), BTreeMap::new());
        let mut folders = vec![top.clone()];
        while let Some(next) = folders.pop() {
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
        // Nothing of it is kept, so nobody waits for its services to end.
        self.kill();
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

/// After the file that Exim's authors deliver, with local delivery to one mailbox.
const EXIM_OWN: &str = "\
# The admin's own configuration.
domainlist local_domains = @ : example.test
domainlist relay_to_domains =
hostlist   relay_from_hosts = localhost

acl_smtp_rcpt = acl_check_rcpt

# tls_advertise_hosts = *
# tls_certificate = /etc/ssl/exim.crt

never_users = root
keep_environment =

begin acl

acl_check_rcpt:
  accept  hosts = :
  deny    domains = +local_domains
          local_parts = ^[.] : ^.*[@%!/|]
  accept  hosts = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  accept

begin routers

everything:
  driver = accept
  domains = +local_domains
  transport = box

begin transports

box:
  driver = appendfile
  directory = /var/mail/everything/Maildir
  maildir_format
  create_directory
  user = everything

begin retry

* * F,2h,15m
";

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

/// The program under test, as a package would bring it: root's alone, whoever built it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_mxseal"));
        let about = fs::metadata(&built).expect("the program under test");
        if about.uid() == 0 && about.mode() & 0o022 == 0 {
            return built;
        }
        let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mxseal");
        let mine = copy.with_extension(std::process::id().to_string());
        copy_program(&built, &mine);
        fs::set_permissions(&mine, fs::Permissions::from_mode(0o755)).and_then(|()| fs::rename(&mine, &copy)).expect("a copy of it");
        copy
    })
}

/// The stock host's difference from the Debian in the folder `root`, or from this machine, made once a run.
fn layer(root: Option<&Path>, server: Server) -> PathBuf {
    static MADE: Mutex<BTreeMap<PathBuf, PathBuf>> = Mutex::new(BTreeMap::new());
    let kind = server.kind();
    let beside = |root: &Path| root.with_file_name(format!("{}-{kind}", root.file_name().unwrap_or_default().to_string_lossy()));
    let packages = root.map_or_else(|| Path::new(PACKAGES).join(kind), beside);
    // A test that failed to make one leaves the others theirs.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    made.entry(packages)
        .or_insert_with_key(|packages| {
            let there = server == Server::Postfix || packages.is_dir();
            assert!(there, "there is no {}: tests/run fetches the packages of {kind}", packages.display());
            let name = packages.file_name().unwrap_or_default().to_string_lossy();
            let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-layer-{name}.tar"));
            let work = folder();
            let layer = work.path().join("layer.tar");
            run(script(&["layer"]).env("MXSEAL_LAB_ROOT", root.unwrap_or(Path::new(""))).arg(&layer).arg(kind).arg(packages));
            // Renamed into place, so that two runs at once are both served a whole one.
            let mine = file.with_extension(std::process::id().to_string());
            fs::copy(&layer, &mine).and_then(|_| fs::rename(&mine, &file)).expect("the layer can be kept beside the tests");
            file
        })
        .clone()
}
