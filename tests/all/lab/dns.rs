//! A private DNS on loopback: Knot signs and serves, unbound validates from the lab's own root anchor. Each one has its
//! own loopback address, so tests run side by side. Every zone hangs directly below the root.

use super::{
    ports::free_port_of,
    process::{Daemon, run, wait_for, within},
};
use mxseal::world::Net;
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

/// How a zone hangs below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Signed, with its DS in the root.
    Yes,
    /// The same; what is not there is proved by NSEC3.
    Nsec3,
    /// Unsigned, proven so by the root.
    No,
    /// Signed, with a wrong DS in the root: a validating resolver answers SERVFAIL.
    Wrong,
}

/// The lab's DNS; its daemons end with it.
pub struct Dns {
    /// The validating resolver: what `--resolver` gets.
    pub resolver: SocketAddr,
    /// The authoritative server.
    pub authority: SocketAddr,
    place: Place,
    home: PathBuf,
    _daemons: (Daemon, Daemon),
    _dir: tempfile::TempDir,
}

/// Where the servers run.
pub struct Place {
    /// The authoritative server's address.
    pub authority: SocketAddr,
    /// The words before a command that run it beside the authoritative server: none for loopback.
    pub authority_prefix: Vec<String>,
    /// The resolver's address.
    pub resolver: SocketAddr,
    /// The words before a command that run it beside the resolver.
    pub resolver_prefix: Vec<String>,
}

impl Place {
    /// A loopback address of one's own. Whoever follows the names of name servers asks at port 53, and waits for seconds where
    /// nobody is.
    pub fn loopback() -> Self {
        let host = own_loopback();
        Self { authority: (host, 53).into(), authority_prefix: Vec::new(), resolver: free_port_of(host), resolver_prefix: Vec::new() }
    }
}

impl Dns {
    /// Starts both servers on loopback; see [`start_at`](Self::start_at).
    pub fn start(zones: &[(&str, &str, Signed)]) -> Self {
        Self::start_at(Place::loopback(), zones)
    }

    /// Starts both servers for `zones`: name, records in zone-file form relative to it (TTL 300 where none is given;
    /// SOA and NS are added), and how it is signed. Panics with the servers' logs when they do not come up.
    pub fn start_at(place: Place, zones: &[(&str, &str, Signed)]) -> Self {
        let dir = tempfile::Builder::new().prefix("mxseal-dns").tempdir().expect("a directory");
        let home = dir.path().to_owned();
        let (authority, resolver) = (place.authority, place.resolver);
        let host = authority.ip();
        let conf = knot_conf(&home, authority, zones);
        fs::create_dir(home.join("zones")).expect("a directory");
        let mut root = format!("$ORIGIN .\n$TTL 300\n@ SOA ns.lab. hostmaster.lab. 1 3600 600 86400 5\n@ NS ns.lab.\nns.lab. A {host}\n");
        for (zone, records, signed) in zones {
            let text = format!(
                "$ORIGIN {zone}.\n$TTL 300\n@ SOA ns.lab. hostmaster.lab. 1 3600 600 86400 5\n@ NS ns.lab.\n{}\n",
                records.lines().map(|l| if l.starts_with(' ') { l.trim_start() } else { l }).collect::<Vec<_>>().join("\n")
            );
            fs::write(home.join("zones").join(format!("{zone}.zone")), text).expect("a zone file");
            writeln!(root, "{zone}. NS ns.lab.").expect("text");
            if *signed != Signed::No {
                make_key(&conf, &format!("{zone}."));
                let mut ds = ds(&conf, &format!("{zone}."));
                if *signed == Signed::Wrong {
                    ds.replace_range(ds.len() - 8.., "00000000");
                }
                writeln!(root, "{ds}").expect("text");
            }
        }
        make_key(&conf, ".");
        fs::write(home.join("zones/root.zone"), root).expect("a zone file");
        let key = run(Command::new("keymgr").arg("-c").arg(&conf).args([".", "dnskey"])).replacen(" DNSKEY ", " IN DNSKEY ", 1);
        fs::write(home.join("root.key"), key).expect("an anchor");
        let unbound_conf = unbound_conf(&home, authority, resolver, zones);
        let knot = Daemon::start(within(&place.authority_prefix, "knotd").arg("-c").arg(&conf), &home.join("knot.log"));
        // A resolver that finds nobody there would hold that against the server for a while.
        for zone in zones.iter().map(|(zone, ..)| *zone).chain(["."]) {
            wait_for(&format!("Knot to serve {zone}:\n{}", knot.log()), Duration::from_secs(15), || {
                dig(&place.resolver_prefix, authority, &[zone, "SOA"]).contains("Flags: qr aa")
            });
        }
        let unbound =
            Daemon::start(within(&place.resolver_prefix, "unbound").arg("-d").arg("-c").arg(&unbound_conf), &home.join("unbound.log"));
        let this = Self { resolver, authority, place, home, _daemons: (knot, unbound), _dir: dir };
        for (zone, _, signed) in zones.iter().copied().chain([(".", "", Signed::Yes)]) {
            let what = format!("the lab's DNS to serve {zone}:\n{}{}", this._daemons.0.log(), this._daemons.1.log());
            let (wanted, question) = match signed {
                Signed::Yes | Signed::Nsec3 => (" ad", "SOA"),
                Signed::No => ("NOERROR", "SOA"),
                Signed::Wrong => ("SERVFAIL", "SOA"),
            };
            wait_for(&what, Duration::from_secs(15), || {
                let heard = this.dig(&[zone, question]);
                match wanted {
                    " ad" => heard.lines().any(|l| l.starts_with(";; Flags") && l.contains(" ad")),
                    status => heard.contains(status),
                }
            });
            this.forget();
        }
        this
    }

    /// Replaces the records of `owner` (relative to `zone`; `@` for itself) and `kind`; an empty list removes them. The
    /// resolver knows it when this returns.
    pub fn set(&self, zone: &str, owner: &str, kind: &str, ttl: u32, values: &[&str]) {
        let ttl = ttl.to_string();
        self.knotc(&["zone-begin", zone]);
        // Unsetting what is not there is refused, which is fine.
        let _ = Command::new("knotc").arg("-s").arg(self.home.join("knot.sock")).args(["zone-unset", zone, owner, kind]).output();
        for value in values {
            let mut line = vec!["zone-set", zone, owner, &ttl, kind];
            line.extend(value.split(' '));
            self.knotc(&line);
        }
        self.knotc(&["-b", "zone-commit", zone]);
        self.forget();
    }

    /// The root's key: what `--dnssec-anchor` gets.
    pub fn anchor(&self) -> PathBuf {
        self.home.join("root.key")
    }

    /// The same network, in which DNSSEC may start from the lab's root.
    pub fn net(&self, mut net: Net) -> Net {
        net.dns_roots = net.dns_roots.and_of(&self.anchor()).expect("the lab's root key");
        net
    }

    /// A zone below the root that another server serves, and signs where there is a DS.
    pub fn delegate(&self, zone: &str, server: SocketAddr, ds: &str) {
        self.set(".", zone, "NS", 300, &["ns.lab."]);
        self.set(".", zone, "DS", 300, &[ds]);
        let at = format!("{}@{}", server.ip(), server.port());
        run(Command::new("unbound-control").arg("-c").arg(self.home.join("unbound.conf")).args(["stub_add", zone, &at]));
        self.forget();
    }

    /// Empties the resolver's caches.
    pub fn forget(&self) {
        run(Command::new("unbound-control").arg("-c").arg(self.home.join("unbound.conf")).args(["flush_zone", "."]));
    }

    fn knotc(&self, arguments: &[&str]) {
        run(Command::new("knotc").arg("-s").arg(self.home.join("knot.sock")).args(arguments));
    }

    fn dig(&self, question: &[&str]) -> String {
        dig(&self.place.resolver_prefix, self.resolver, question)
    }
}

fn dig(prefix: &[String], server: SocketAddr, question: &[&str]) -> String {
    let out = within(prefix, "kdig")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string(), "+timeout=1", "+retry=0", "+adflag"])
        .args(question)
        .output()
        .unwrap_or_else(|e| panic!("kdig: {e}; tests/run installs what is needed"));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A loopback address that no other test of this machine uses: from our PID and a counter.
pub fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high % 200 + 20, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn knot_conf(home: &Path, at: SocketAddr, zones: &[(&str, &str, Signed)]) -> PathBuf {
    let h = home.display();
    let mut text = format!(
        "server:\n    rundir: {h}\n    listen: {}@{}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
         control:\n    listen: {h}/knot.sock\nlog:\n  - target: stdout\n    any: info\ndatabase:\n    storage: {h}\n\
         acl:\n  - id: anybody\n    action: update\npolicy:\n  - id: lab\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: off\n  \
         - id: nsec3\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: on\n    nsec3-salt-length: 0\n\
         template:\n  - id: default\n    storage: {h}/zones\n    zonefile-sync: -1\n    acl: anybody\nzone:\n  - domain: .\n    file: root.zone\n    \
         dnssec-signing: on\n    dnssec-policy: lab\n",
        at.ip(),
        at.port()
    );
    for (zone, _, signed) in zones {
        writeln!(text, "  - domain: {zone}.\n    file: {zone}.zone").expect("text");
        if *signed != Signed::No {
            let policy = if *signed == Signed::Nsec3 { "nsec3" } else { "lab" };
            writeln!(text, "    dnssec-signing: on\n    dnssec-policy: {policy}").expect("text");
        }
    }
    let path = home.join("knot.conf");
    fs::write(&path, text).expect("knot.conf");
    path
}

fn unbound_conf(home: &Path, authority: SocketAddr, at: SocketAddr, zones: &[(&str, &str, Signed)]) -> PathBuf {
    let h = home.display();
    let mut text = format!(
        "server:\n directory: \"{h}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n verbosity: 1\n \
         num-threads: 1\n interface: {}\n port: {}\n access-control: 127.0.0.0/8 allow\n access-control: 198.18.0.0/15 allow\n do-ip6: no\n do-not-query-localhost: no\n \
         trust-anchor-file: \"{h}/root.key\"\n module-config: \"validator iterator\"\n local-zone: \"test.\" nodefault\n \
         local-zone: \"example.\" nodefault\n local-zone: \"invalid.\" nodefault\n qname-minimisation: no\n aggressive-nsec: no\n \
         infra-host-ttl: 1\nremote-control:\n control-enable: yes\n control-use-cert: no\n control-interface: {h}/unbound.sock\n",
        at.ip(),
        at.port()
    );
    for zone in zones.iter().map(|(z, ..)| format!("{z}.")).chain([".".to_owned()]) {
        writeln!(text, "stub-zone:\n name: \"{zone}\"\n stub-addr: {}@{}", authority.ip(), authority.port()).expect("text");
    }
    let path = home.join("unbound.conf");
    fs::write(&path, text).expect("unbound.conf");
    path
}

fn make_key(conf: &Path, zone: &str) {
    run(Command::new("keymgr").arg("-c").arg(conf).args([zone, "generate", "algorithm=ECDSAP256SHA256", "ksk=yes", "zsk=yes"]));
}

/// The SHA-256 DS of a zone as a line of its parent's zone file.
fn ds(conf: &Path, zone: &str) -> String {
    let all = run(Command::new("keymgr").arg("-c").arg(conf).args([zone, "ds"]));
    let line = all.lines().find(|l| l.split_whitespace().nth(4) == Some("2")).unwrap_or_else(|| panic!("no SHA-256 DS in {all:?}"));
    line.replacen(" DS ", " 300 IN DS ", 1)
}
