//! A name server that takes signed updates of one zone and no others: Knot or BIND, on loopback.

use super::{
    dns::own_loopback,
    ports::{free_port, free_port_of},
    process::{Daemon, copy_program, run, wait_for},
};
use std::{fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

/// The secret of the key `mx.key`, as tsig-keygen makes one.
pub const SECRET: &str = "yCLaUvyUnyJcmWD4ZkcqcWTkU3fMuoIJ+CO7ZvFZmdo=";

/// How BIND signs a zone.
const SIGNING: &str = "dnssec-policy default; inline-signing yes;";

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Knot,
    Bind,
}

/// The server, which ends with its value.
pub struct Primary {
    pub addr: SocketAddr,
    /// The file of its key, as `nsupdate -k` reads it.
    pub key: PathBuf,
    pub dir: tempfile::TempDir,
    zone: String,
    daemon: Daemon,
}

impl Primary {
    /// Serves `zone` with these records (SOA and NS are added) at a port of its own.
    pub fn start(make: Make, zone: &str, records: &str) -> Self {
        // BIND listens on addresses of interfaces alone.
        let addr = if make == Make::Bind { free_port() } else { free_port_of(own_loopback()) };
        Self::start_at(addr, make, zone, 1, records)
    }

    /// BIND serves `zone`, and signs it with a key that it makes itself.
    pub fn start_signed(zone: &str, records: &str) -> Self {
        let this = Self::begin(free_port(), Make::Bind, zone, 1, records, SIGNING);
        wait_for("BIND's signatures", Duration::from_secs(30), || this.ask(zone, "RRSIG").contains("SOA ") && !this.ds().is_empty());
        this
    }

    /// The data of the DS record of its key; empty where the zone is not signed.
    pub fn ds(&self) -> String {
        let keys = fs::read_dir(self.dir.path()).expect("its directory").map(|e| e.expect("a file").path());
        let key = keys.into_iter().find(|p| p.extension().is_some_and(|e| e == "key"));
        let Some(key) = key else { return String::new() };
        let ds = run(Command::new("dnssec-dsfromkey").arg("-2").arg(key));
        ds.split_once(" DS ").map(|(_, data)| data.trim().to_owned()).unwrap_or_default()
    }

    /// The same at a place and with a serial number that the test chooses.
    pub fn start_at(addr: SocketAddr, make: Make, zone: &str, serial: u32, records: &str) -> Self {
        Self::begin(addr, make, zone, serial, records, "")
    }

    fn begin(addr: SocketAddr, make: Make, zone: &str, serial: u32, records: &str, signing: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("mxseal-primary").tempdir().expect("a directory");
        let home = dir.path();
        let h = home.display();
        let text = format!("$ORIGIN {zone}.\n$TTL 300\n@ SOA ns.lab. hostmaster.lab. {serial} 3600 600 86400 5\n@ NS ns.lab.\n{records}\n");
        fs::write(home.join("zone"), text).expect("a zone file");
        let key = home.join("key");
        fs::write(&key, format!("key \"mx.key\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n")).expect("a key");
        let (ip, port) = (addr.ip(), addr.port());
        let mut command = match make {
            Make::Knot => {
                let conf = format!(
                    "server:\n    rundir: {h}\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
                     control:\n    listen: {h}/knot.sock\nlog:\n  - target: stdout\n    any: info\ndatabase:\n    storage: {h}\n\
                     key:\n  - id: mx.key\n    algorithm: hmac-sha256\n    secret: {SECRET}\nacl:\n  - id: ours\n    key: mx.key\n    action: update\n\
                     template:\n  - id: default\n    storage: {h}\n    zonefile-sync: -1\nzone:\n  - domain: {zone}.\n    file: zone\n    acl: ours\n"
                );
                fs::write(home.join("conf"), conf).expect("a configuration");
                let mut command = Command::new("knotd");
                command.arg("-c").arg(home.join("conf"));
                command
            }
            Make::Bind => {
                let conf = format!(
                    "include \"{h}/key\";\noptions {{ directory \"{h}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }}; pid-file none;\n\
                     session-keyfile \"{h}/session\"; recursion no; notify no; dnssec-validation no; }};\ncontrols {{ }};\n\
                     zone \"{zone}\" {{ type primary; file \"{h}/zone\"; allow-update {{ key mx.key; }}; {signing} }};\n"
                );
                fs::write(home.join("conf"), conf).expect("a configuration");
                // Where AppArmor knows the program by its path it may not read our files.
                let program = home.join("named");
                copy_program("/usr/sbin/named", &program);
                let mut command = Command::new(program);
                command.args(["-g", "-n", "1", "-c"]).arg(home.join("conf"));
                command
            }
        };
        let daemon = Daemon::start(&mut command, &home.join("log"));
        let mut this = Self { addr, key, dir, zone: zone.to_owned(), daemon };
        wait_for(&format!("{make:?} to serve {zone}"), Duration::from_secs(15), || {
            assert!(this.daemon.is_running(), "{make:?} ended:\n{}", this.daemon.log());
            let said = this.ask(zone, "SOA");
            // Signing counts as a change.
            said.contains(&format!(" {serial} ")) || !signing.is_empty() && said.contains("hostmaster")
        });
        this
    }

    /// What it says of a name: the data of its records, a line each, sorted.
    pub fn ask(&self, name: &str, kind: &str) -> String {
        let out = Command::new("kdig")
            .arg(format!("@{}", self.addr.ip()))
            .args(["-p", &self.addr.port().to_string(), "+short", "+timeout=2", "+retry=0", name, kind])
            .output()
            .unwrap_or_else(|e| panic!("kdig: {e}; tests/run installs it"));
        let mut lines: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(|l| l.trim_end().to_owned()).collect();
        lines.sort();
        lines.join("\n")
    }

    /// Somebody else's update, in the words of nsupdate.
    pub fn update(&self, words: &str) {
        let file = self.dir.path().join("update");
        fs::write(&file, format!("server {} {}\nzone {}.\n{words}\nsend\n", self.addr.ip(), self.addr.port(), self.zone)).expect("a file");
        run(Command::new("knsupdate").args(["-y", &format!("hmac-sha256:mx.key:{SECRET}")]).arg(&file));
    }
}
