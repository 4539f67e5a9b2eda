//! Network namespaces on one bridge that has no uplink: what a test says there stays there. Each [`Net`] has a prefix of
//! its own, so the same addresses serve many tests at once.

use super::process::run;
use nix::sched::{CloneFlags, setns};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

/// Hosts on one wire: `198.18.0.N/24` and `fd00::N/64`.
pub struct Net {
    prefix: String,
    hosts: Vec<String>,
}

/// The address of host `n`.
pub fn v4(n: u8) -> String {
    format!("198.18.0.{n}")
}

/// The IPv6 address of host `n`, with the same digits.
pub fn v6(n: u8) -> String {
    format!("fd00::{n}")
}

impl Net {
    /// The bridge alone. Namespaces of test runs that were killed are removed first.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        assert!(nix::unistd::geteuid().is_root(), "the lab makes namespaces: run it as root, `sudo tests/run`");
        let first = {
            let _turn = ONE_AT_A_TIME.lock();
            sweep();
            let prefix = format!("mxseal-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let net = Self { prefix, hosts: Vec::new() };
            let switch = net.namespace("switch");
            ip(&["netns", "add", &switch]);
            net
        };
        let switch = first.namespace("switch");
        ip(&["-n", &switch, "link", "set", "lo", "up"]);
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "br0", "up"]);
        first
    }

    /// Adds a host with the addresses of `n` on `eth0`, and `198.18.0.54` as its resolver.
    pub fn plug(&mut self, host: &str, n: u8) {
        let (switch, here, port) = (self.namespace("switch"), self.namespace(host), format!("p{n}"));
        ip(&["netns", "add", &here]);
        self.hosts.push(host.to_owned());
        let etc = Path::new("/etc/netns").join(&here);
        fs::create_dir_all(&etc).expect("/etc/netns can be written");
        fs::write(etc.join("resolv.conf"), "nameserver 198.18.0.54\noptions trust-ad timeout:2 attempts:2\n").expect("resolv.conf");
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n").expect("hosts");
        ip(&["link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "eth0", "netns", &here]);
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
        ip(&["-n", &here, "link", "set", "lo", "up"]);
        ip(&["-n", &here, "addr", "add", &format!("{}/24", v4(n)), "dev", "eth0"]);
        // Without nodad the address is of no use for its first second.
        ip(&["-n", &here, "addr", "add", &format!("{}/64", v6(n)), "dev", "eth0", "nodad"]);
        ip(&["-n", &here, "link", "set", "eth0", "up"]);
    }

    /// The name of a host's namespace, for `ip netns exec` and `/run/netns`.
    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// `program` in a host's namespace, with the `/etc/resolv.conf` of that host.
    pub fn command(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// A port in a host's namespace, for a server that the test itself is.
    pub fn listen(&self, host: &str, at: SocketAddr) -> TcpListener {
        let namespace = fs::File::open(Path::new("/run/netns").join(self.namespace(host))).expect("a namespace");
        let within = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root enters it");
            TcpListener::bind(at).unwrap_or_else(|e| panic!("{at}: {e}"))
        };
        // This thread alone enters it, and ends.
        std::thread::spawn(within).join().expect("a listener")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in self.hosts.iter().map(String::as_str).chain(["switch"]) {
            remove(&self.namespace(host));
        }
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

/// Removes a namespace of ours; what is still running in it belongs to the lab.
fn remove(namespace: &str) {
    let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
    let pids = pids.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    for pid in pids.lines().filter_map(|p| p.trim().parse().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    let _ = Command::new("ip").args(["netns", "del", namespace]).output();
    let _ = fs::remove_dir_all(Path::new("/etc/netns").join(namespace));
    let _ = fs::remove_dir("/etc/netns");
}

/// A test run that was killed could not clean up: the process id in the name tells whose the namespace was.
fn sweep() {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix("mxseal-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && !PathBuf::from("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
