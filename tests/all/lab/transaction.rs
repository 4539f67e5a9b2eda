//! A small host for transactions: configuration files, a "server" that serves what it read when it was last activated, and a
//! driver, which is this test binary again, so that it can be killed.

use super::process::wait_for;
use mxseal::{
    change::{Activation, Change, Command, Content, Edit, Meta, Raw, Target},
    world::{Lock, Look as _, Machine, Store},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

/// Every system call that changes something, or makes a process that may.
pub const CHANGING: &str = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,write,pwrite64,\
     fchmod,chmod,fchmodat,chown,fchown,fchownat,setxattr,fsetxattr,utimensat,openat,flock,clone,clone3,vfork,copy_file_range,ftruncate";

/// The variable that tells the driver what to do, and where.
pub const DRIVE: &str = "MXSEAL_TEST_DRIVE";
pub const ROOT: &str = "MXSEAL_TEST_ROOT";
/// The test that is the driver.
pub const DRIVER: &str = "kill_matrix::driver";

const MAIN: &[u8] = b"# caf\xe9\r\nmyhostname = mx.example.test\nsmtpd_tls_cert_file = /old.pem";
const MASTER: &[u8] = b"smtp inet n - y - - smtpd\n";

/// What a file looks like from outside: bytes, mode, owner, group, inode, time of change, attributes.
pub type Seen = (Vec<u8>, u32, u32, u32, u64, i128, BTreeMap<String, Raw>);

pub struct Scene {
    pub root: PathBuf,
    pub before: BTreeMap<PathBuf, Seen>,
    _dir: tempfile::TempDir,
}

pub fn sh(script: &str) -> Command {
    Command(vec!["/bin/sh".into(), "-c".into(), script.into()])
}

fn meta(mode: u32) -> Meta {
    Meta { uid: 0, gid: 0, mode, xattrs: BTreeMap::new() }
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let etc = root.join("etc");
        fs::create_dir(&etc).unwrap();
        for (name, bytes, mode) in [("main.cf", MAIN, 0o640), ("master.cf", MASTER, 0o644), ("old.map", b"gone soon\n".as_slice(), 0o600)] {
            let path = etc.join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, Some(0), Some(12)).unwrap();
            xattr::set(&path, "user.note", b"kept").unwrap();
            let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        }
        let mut scene = Self { root, before: BTreeMap::new(), _dir: dir };
        fs::write(scene.root.join("served"), scene.would_serve()).unwrap();
        scene.before = scene.look();
        let change = scene.change();
        scene.plan(&change);
        scene
    }

    pub fn etc(&self, name: &str) -> PathBuf {
        self.root.join("etc").join(name)
    }

    pub fn chain(&self) -> PathBuf {
        self.root.join("keys/live/chain.pem")
    }

    pub fn store(&self) -> Store {
        Store::open(self.root.join("state")).unwrap()
    }

    pub fn plan(&self, change: &Change) {
        fs::write(self.root.join("change.json"), serde_json::to_vec(change).unwrap()).unwrap();
    }

    pub fn edit(&self, path: PathBuf, becomes: Option<(Content, u32)>) -> Edit {
        let was = Machine.image(&path).unwrap();
        let becomes = becomes.map(|(content, mode)| Target { content, meta: was.as_ref().map_or_else(|| meta(mode), |w| w.meta.clone()) });
        Edit { path, was, becomes, edit_lock: None, settings: vec![] }
    }

    /// A secret in a new directory, two edits, one removal, check and activation.
    pub fn change(&self) -> Change {
        let text = |bytes: &[u8]| Content::Text(Raw(bytes.to_vec()));
        let digest = self.store().put(b"KEY AND CHAIN\n").unwrap();
        let new_main = [MAIN, b"\nsmtpd_tls_chain_files = chain.pem\n"].concat();
        let new_master = [MASTER, b"  -o smtpd_tls_chain_files=\n"].concat();
        let mut main = self.edit(self.etc("main.cf"), Some((text(&new_main), 0)));
        main.edit_lock = Some(self.etc("main.cf.tmp"));
        let root = self.root.display();
        Change {
            id: "0007".into(),
            why: "present a certificate that senders can verify".into(),
            profile: "test".into(),
            config_dir: self.root.join("etc"),
            edits: vec![
                self.edit(self.chain(), Some((Content::Stored { digest, secret: true }, 0o600))),
                main,
                self.edit(self.etc("master.cf"), Some((text(&new_master), 0))),
                self.edit(self.etc("old.map"), None),
            ],
            trial: None,
            check: vec![sh(&format!("cd {root}/etc && test -s main.cf && cat master.cf >/dev/null"))],
            activation: Activation::Reload,
            activate: vec![self.activation("")],
            running: None,
            prove: vec![],
            undoes: None,
            renews: None,
            replaces: None,
            notices_ms: 0,
            config: std::collections::BTreeMap::new(),
        }
    }

    /// Reads every file, then does `between`, then serves what was read.
    pub fn activation(&self, between: &str) -> Command {
        let root = self.root.display();
        let files = "etc/main.cf etc/master.cf etc/old.map keys/live/chain.pem";
        sh(&format!(
            "cd {root} && for f in {files}; do if test -e $f; then cat $f || exit 1; fi; done >served.$$ && {{ {between}\n mv served.$$ served; }}"
        ))
    }

    fn would_serve(&self) -> Vec<u8> {
        [self.etc("main.cf"), self.etc("master.cf"), self.etc("old.map"), self.chain()]
            .iter()
            .flat_map(|path| fs::read(path).unwrap_or_default())
            .collect()
    }

    /// Every file and directory below `etc` and `keys`.
    pub fn look(&self) -> BTreeMap<PathBuf, Seen> {
        let mut seen = BTreeMap::new();
        let mut todo = vec![self.root.join("etc"), self.root.join("keys")];
        while let Some(path) = todo.pop() {
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            if about.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                seen.insert(path, (vec![], about.mode(), about.uid(), about.gid(), 0, 0, BTreeMap::new()));
                continue;
            }
            let xattrs =
                xattr::list(&path).unwrap().map(|n| (n.to_string_lossy().into_owned(), Raw(xattr::get(&path, &n).unwrap().unwrap())));
            let time = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
            let xattrs = xattrs.collect();
            seen.insert(path.clone(), (fs::read(&path).unwrap(), about.mode(), about.uid(), about.gid(), about.ino(), time, xattrs));
        }
        seen
    }

    pub fn is_open(&self) -> bool {
        self.root.join("state/journal/open").exists()
    }

    pub fn is_before(&self) -> bool {
        self.look() == self.before
    }

    /// Wholly before or wholly after, and the server serves just that; panics with what is there otherwise.
    pub fn verdict(&self, at: &str) -> &'static str {
        let now = self.look();
        let served = fs::read(self.root.join("served")).unwrap();
        assert_eq!(String::from_utf8_lossy(&served), String::from_utf8_lossy(&self.would_serve()), "{at}: files and server differ");
        assert!(!self.is_open(), "{at}: the journal is still open");
        let receipt = self.root.join("state/receipts/0007.json");
        if now == self.before {
            assert!(!receipt.exists(), "{at}: a receipt for a change that was put back");
            return "before";
        }
        assert_eq!(fs::metadata(&receipt).unwrap_or_else(|e| panic!("{at}: {e}; {now:#?}")).mode() & 0o7777, 0o600);
        let change: Change = serde_json::from_slice(&fs::read(self.root.join("change.json")).unwrap()).unwrap();
        for edit in &change.edits {
            let image = Machine.image(&edit.path).unwrap();
            let target = edit.becomes.as_ref().map(|t| (t.content.digest(), t.meta.clone()));
            assert_eq!(image.map(|i| (i.digest, i.meta)), target, "{at}: {}", edit.path.display());
        }
        let wanted: Vec<PathBuf> = ["etc", "etc/main.cf", "etc/master.cf", "keys", "keys/live", "keys/live/chain.pem"]
            .iter()
            .map(|name| self.root.join(name))
            .collect();
        assert_eq!(now.into_keys().collect::<Vec<_>>(), wanted, "{at}: side files");
        "after"
    }

    /// Starts the driver; it waits at the gate.
    pub fn drive(&self, what: &str) -> Driver {
        let mut process = std::process::Command::new(std::env::current_exe().unwrap())
            .args([DRIVER, "--exact", "--nocapture"])
            .env(DRIVE, what)
            .env(ROOT, &self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.root.join("stderr")).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let gate = process.stdin.take();
        let thread = read_word(&mut output, "thread");
        Driver { process, output, gate, thread, strace: None }
    }

    /// Drives to the end with an injection at the main thread's calls; gives the exit code, 137 when killed.
    pub fn run(&self, what: &str, inject: Option<&str>) -> i32 {
        let mut driver = self.drive(what);
        if let Some(inject) = inject {
            driver.trace(&["-e", &format!("trace={CHANGING}"), "-e", &format!("inject={inject}"), "-o", "/dev/null"]);
        }
        driver.go();
        driver.end()
    }

    /// Drives to the end and gives the changing calls of the thread that makes the change.
    pub fn trace(&self, what: &str) -> (i32, Vec<Call>) {
        let (code, lines) = self.trace_lines(what, &["-e", &format!("trace={CHANGING}")]);
        (code, calls(&lines.join("\n")))
    }

    /// Drives to the end and gives what strace said of it, line by line.
    pub fn trace_lines(&self, what: &str, arguments: &[&str]) -> (i32, Vec<String>) {
        let log = self.root.join("trace");
        let mut driver = self.drive(what);
        driver.trace(&[arguments, &["-s", "0", "-o", log.to_str().unwrap()]].concat());
        driver.go();
        (driver.end(), fs::read_to_string(log).unwrap().lines().map(ToOwned::to_owned).collect())
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.root.join("stderr")).unwrap_or_default()
    }
}

/// One system call of a run: the `nth` of its name in its process, which is how strace counts.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub nth: usize,
}

impl Call {
    pub fn inject(&self, what: &str) -> String {
        format!("{}:{what}:when={}", self.name, self.nth)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.nth)
    }
}

/// The calls in a trace; with several processes in it, each (name, nth) once.
pub fn calls(trace: &str) -> Vec<Call> {
    let mut counts = BTreeMap::<(String, String), usize>::new();
    let mut found = Vec::<Call>::new();
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').filter(|(pid, _)| pid.bytes().all(|b| b.is_ascii_digit())).unwrap_or(("", line));
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        if !CHANGING.split(',').any(|known| known.trim() == name) {
            continue;
        }
        let nth = counts.entry((pid.into(), name.into())).or_default();
        *nth += 1;
        if !found.iter().any(|known| known.name == name && known.nth == *nth) {
            found.push(Call { name: name.into(), nth: *nth });
        }
    }
    found
}

/// The test binary as a program that makes one change.
pub struct Driver {
    pub process: Child,
    output: BufReader<ChildStdout>,
    gate: Option<ChildStdin>,
    thread: String,
    strace: Option<Child>,
}

impl Driver {
    /// Attaches strace to the thread that makes the change: neither the guard nor the server's commands are followed.
    pub fn trace(&mut self, arguments: &[&str]) {
        let mut strace = std::process::Command::new("strace")
            .args(["-p", &self.thread])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace, which tests/run installs");
        let mut said = BufReader::new(strace.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "strace: {line}");
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        self.strace = Some(strace);
    }

    pub fn go(&mut self) {
        self.gate.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits for a word of its output.
    pub fn says(&mut self, word: &str) -> String {
        read_word(&mut self.output, word)
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap())
    }

    pub fn children(&self) -> Vec<nix::unistd::Pid> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        tasks
            .flat_map(|task| {
                let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
                children.split_whitespace().map(|pid| nix::unistd::Pid::from_raw(pid.parse().unwrap())).collect::<Vec<_>>()
            })
            .collect()
    }

    pub fn end(mut self) -> i32 {
        let status = self.process.wait().unwrap();
        if let Some(mut strace) = self.strace.take() {
            strace.wait().unwrap();
        }
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_word(output: &mut impl std::io::BufRead, word: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the driver ended before it said {word:?}");
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
    }
}

/// The run lock of a configuration directory. A process that another test is just starting holds it for a moment more.
pub fn run_lock(config_dir: &Path) -> Lock {
    Store::lock_within(config_dir, Duration::from_secs(60)).expect("a directory to lock").expect("the run lock")
}

/// Waits until nothing is open any more, with nobody rerunning; gives how long that took.
pub fn until_closed(scene: &Scene, at: &str) -> Duration {
    let began = Instant::now();
    wait_for(&format!("{at}: the guard"), Duration::from_secs(60), || !scene.is_open() && !scene.root.join("guard").exists());
    began.elapsed()
}

/// What the driver's process is, for the guard's command line.
pub fn guard_arguments() -> (PathBuf, Vec<String>) {
    let exe = std::env::current_exe().unwrap();
    let arguments = [format!("{DRIVE}=guard"), exe.display().to_string(), DRIVER.into(), "--exact".into(), "--nocapture".into()];
    (Path::new("/usr/bin/env").to_owned(), arguments.into())
}
