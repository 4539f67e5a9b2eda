//! PowerDNS, whose records are changed over HTTP.

use super::{
    dns::own_loopback,
    ports::free_port_of,
    process::{Daemon, wait_for},
};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What opens its interface.
pub const KEY: &str = "the-key-of-the-lab/+%";

/// The server, which ends with its value.
pub struct PowerDns {
    /// Where it answers questions.
    pub addr: SocketAddr,
    /// Where its interface is.
    pub api: SocketAddr,
    /// The credentials file.
    pub credentials: PathBuf,
    dir: tempfile::TempDir,
    zone: String,
    daemon: Daemon,
}

impl PowerDns {
    /// Serves `zone` at port 53 of an address of its own, with these records: name relative to it, type, value.
    pub fn start(zone: &str, records: &[(&str, &str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("mxseal-powerdns").tempdir().expect("a directory");
        let home = dir.path();
        let (h, host) = (home.display(), own_loopback());
        let api = free_port_of(host);
        let conf = format!(
            "launch=lmdb\nlmdb-filename={h}/db\nlmdb-shards=1\nlocal-address={host}\nlocal-port=53\napi=yes\napi-key={KEY}\n\
             webserver=yes\nwebserver-address={host}\nwebserver-port={}\nwebserver-allow-from=127.0.0.0/8\nsocket-dir={h}\n\
             security-poll-suffix=\nreceiver-threads=1\ndistributor-threads=1\n",
            api.port()
        );
        fs::write(home.join("pdns.conf"), conf).expect("a configuration");
        let mut command = Command::new("pdns_server");
        command.args(["--daemon=no", "--guardian=no", &format!("--config-dir={h}")]);
        let daemon = Daemon::start(&mut command, &home.join("log"));
        let credentials = credentials(home, &format!("api-key = '{KEY}'\nendpoint = 'http://{api}'\n"));
        let mut this = Self { addr: SocketAddr::from((host, 53)), api, credentials, dir, zone: zone.to_owned(), daemon };
        wait_for("PowerDNS", Duration::from_secs(20), || {
            assert!(this.daemon.is_running(), "PowerDNS ended:\n{}", this.daemon.log());
            this.call("GET", "", "").is_ok()
        });
        let ns = format!("ns.{zone}.");
        let create = format!("{{\"name\":\"{zone}.\",\"kind\":\"Native\",\"nameservers\":[\"{ns}\"]}}");
        this.call("POST", "", &create).expect("a zone");
        this.set("ns", "A", 300, &[&host.to_string()]);
        for (name, kind, value) in records {
            this.set(name, kind, 300, &[value]);
        }
        this
    }

    /// Its directory.
    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    /// Somebody else sets the records of a name, relative to the zone, and type.
    pub fn set(&self, name: &str, kind: &str, ttl: u32, values: &[&str]) {
        let all: Vec<String> =
            values.iter().map(|v| format!("{{\"content\":\"{}\",\"disabled\":false}}", v.replace('"', "\\\""))).collect();
        let zone = &self.zone;
        let body = format!(
            "{{\"rrsets\":[{{\"name\":\"{name}.{zone}.\",\"type\":\"{kind}\",\"ttl\":{ttl},\"changetype\":\"REPLACE\",\"records\":[{}]}}]}}",
            all.join(",")
        );
        self.call("PATCH", &format!("/{zone}."), &body).unwrap_or_else(|e| panic!("{body}: {e}"));
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<(), String> {
        let url = format!("http://{}/api/v1/servers/localhost/zones{path}", self.api);
        let key = format!("X-API-Key: {KEY}");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "-X", method, "-H", &key, &url]);
        if !body.is_empty() {
            curl.args(["-d", body]);
        }
        let out = curl.output().unwrap_or_else(|e| panic!("curl: {e}; tests/run installs it"));
        if out.status.success() { Ok(()) } else { Err(format!("{out:?}")) }
    }

    /// What it says of a name: the data of its records, a line each, sorted.
    pub fn ask(&self, name: &str, kind: &str) -> String {
        let out = Command::new("kdig")
            .args([&format!("@{}", self.addr.ip()), "+short", "+timeout=2", "+retry=1", name, kind])
            .output()
            .unwrap_or_else(|e| panic!("kdig: {e}; tests/run installs it"));
        let mut lines: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(|l| l.trim_end().to_owned()).collect();
        lines.sort();
        lines.join("\n")
    }
}

/// A credentials file that nobody else may read.
pub fn credentials(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("credentials.toml");
    fs::write(&file, text).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    file
}
