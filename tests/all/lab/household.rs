//! A private Postfix with a certificate in hand, for the whole program: everything on loopback, nothing of the machine's own
//! mail server. `mxseal setup` needs no order here; `mxseal undo` takes it back.

use super::{
    authority::self_signed,
    dns::{Dns, Signed},
    pebble::{Options, Pebble},
    postfix::Postfix,
    process::within,
};
use mxseal::{
    acme::{self, Wishes},
    certificate::{Digest, KeyType},
    change::{Expect, Want},
    check::{observe, probes_for},
    plan::{KeyChoice, Obtain},
    report::observer::Nobody,
    view::{Offer, Wire},
    world::{Net, Store},
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The program under test.
pub const MXSEAL: &str = env!("CARGO_BIN_EXE_mxseal");
/// The one MX name.
pub const MX: &str = "mx.example.test";

/// Content, mode and owner of every file, by path.
pub type Tree = BTreeMap<PathBuf, (String, u32, u32, u32)>;

pub struct Household {
    pub postfix: Postfix,
    pub root: PathBuf,
    pub dns: Dns,
    pebble: Pebble,
    net: Net,
    _dir: tempfile::TempDir,
}

impl Household {
    pub fn new() -> Self {
        Self::in_zone(Signed::No)
    }

    /// The same, its zone signed or not.
    pub fn in_zone(signed: Signed) -> Self {
        Self::in_zones(&[("example.test", "@ MX 10 mx\nmx A 127.0.0.1", signed)])
    }

    /// The same in a tree of zones.
    pub fn in_zones(zones: &[(&str, &str, Signed)]) -> Self {
        let dns = Dns::start(zones);
        let dir = tempfile::Builder::new().prefix("mxseal-household-").tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let postfix = Postfix::new(MX);
        let old = self_signed(&[MX], KeyType::Rsa, false);
        for (name, text) in [("old.key", &old.key), ("old.pem", &old.chain)] {
            fs::write(postfix.etc().join(name), text).unwrap();
        }
        let etc = postfix.etc().display().to_string();
        let postfix = postfix
            .main(&format!("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {etc}/old.pem\nsmtpd_tls_key_file = {etc}/old.key"))
            .start();
        let pebble = Pebble::start(&Options::default());
        fs::write(root.join("root.pem"), pebble.root_pem()).unwrap();
        let mut net = Net::of_this_host(None, &[root.join("root.pem")], &[&pebble.api_ca]).unwrap();
        net.http_port = pebble.http_port;
        let this = Self { postfix, root, dns, pebble, net, _dir: dir };
        this.obtain();
        this
    }

    /// The same with `more` records, which name further name servers.
    pub fn with_servers(signed: Signed, more: &str) -> Self {
        Self::in_zones(&[("example.test", &format!("@ MX 10 mx\nmx A 127.0.0.1\n{more}"), signed)])
    }

    /// The certificate that setup finds in hand.
    fn obtain(&self) {
        let store = Store::open(self.state()).unwrap();
        let order = Obtain {
            lineage: MX.parse().unwrap(),
            names: vec![MX.parse().unwrap()],
            keys: [KeyType::Ecdsa, KeyType::Rsa].map(|key_type| KeyChoice { key_type, reuse: None, replaces: None }).to_vec(),
            directory: self.pebble.directory.clone(),
            acme_profile: None,
            live: self.root.join("conf/live").join(format!("{MX}.pem")),
        };
        let wishes = Wishes { agree_tos: true, ..Wishes::default() };
        wait(acme::obtain(&self.net, &store, &order, &wishes, &Nobody)).unwrap_or_else(|e| panic!("{e}"));
    }

    /// How many orders the CA took, and how many certificates it issued.
    pub fn counted(&self) -> (usize, usize) {
        (self.pebble.orders(), self.pebble.issued())
    }

    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Says in the settings where the CA looks for answers, for a renewal.
    pub fn keep_port(&self) {
        fs::create_dir_all(self.root.join("conf")).unwrap();
        fs::write(self.root.join("conf/mxseal.toml"), format!("http-port = {}\n", self.pebble.http_port)).unwrap();
    }

    /// The program with every answer for `setup`, or for `undo`; or for `renew`, perhaps with a flag.
    pub fn arguments(&self, verb: &str) -> Vec<String> {
        let path = |p: &Path| p.display().to_string();
        if verb.starts_with("renew") {
            let common = ["--state-dir".to_owned(), path(&self.state()), "--config".into(), path(&self.root.join("conf/mxseal.toml"))];
            return common.into_iter().chain(verb.split(' ').map(str::to_owned)).collect();
        }
        let mut all = vec![
            "--state-dir".to_owned(),
            path(&self.state()),
            "--config".into(),
            path(&self.root.join("conf/mxseal.toml")),
            verb.into(),
            "--yes".into(),
            "--non-interactive".into(),
        ];
        if verb == "setup" {
            let (etc, resolver) = (path(&self.postfix.etc()), self.dns.resolver.to_string());
            let (api, trusted, anchor) = (path(&self.pebble.api_ca), path(&self.root.join("root.pem")), path(&self.dns.anchor()));
            let flags = [
                ("--mta", "postfix"),
                ("--mta-config", &etc),
                ("--domain", "example.test"),
                ("--mx", MX),
                ("--resolver", &resolver),
                ("--acme-directory", &self.pebble.directory),
                ("--acme-ca-file", &api),
                ("--trust-anchor", &trusted),
                ("--dnssec-anchor", &anchor),
            ];
            all.extend(flags.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]));
            all.extend(["--agree-tos".to_owned(), "--no-email".to_owned()]);
        }
        all
    }

    /// Starts a program (mxseal, or one that is given mxseal to run) in a process group of its own, its words in
    /// [`said`](Self::said).
    pub fn start(&self, command: &mut Command) -> Child {
        // A file, not a pipe: the guard keeps a pipe open.
        let file = fs::File::create(self.root.join("said")).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}; tests/run installs what is needed"))
    }

    /// What the last one said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.root.join("said")).unwrap_or_default()
    }

    /// Runs the program behind the words of `prefix`; gives its exit code (128 + signal) and everything that it said.
    pub fn run(&self, prefix: &[&str], verb: &str) -> (i32, String) {
        let prefix: Vec<String> = prefix.iter().map(ToString::to_string).collect();
        let status = self.start(within(&prefix, MXSEAL).args(self.arguments(verb))).wait().unwrap();
        let code = status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap());
        (code, self.said())
    }

    /// What `mxseal status` says.
    pub fn status(&self) -> serde_json::Value {
        let out = Command::new(MXSEAL).args(&self.arguments("status")[..4]).args(["--json", "status"]).output().unwrap();
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"))
    }

    /// How far it says that the certificate got.
    pub fn deployment(&self) -> String {
        self.status()["lineages"][0]["deployment"].as_str().expect("a lineage").to_owned()
    }

    /// Everything that a change may touch: the server's configuration and the certificate's folder.
    pub fn tree(&self) -> Tree {
        let mut found = Tree::new();
        let mut todo = vec![self.postfix.etc(), self.root.join("conf/live")];
        while let Some(path) = todo.pop() {
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            if about.is_dir() {
                todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
                continue;
            }
            // Gone since it was listed, and so not there.
            let Ok(bytes) = fs::read(&path) else { continue };
            found.insert(path, (Digest::of(&bytes).0, about.mode(), about.uid(), about.gid()));
        }
        found
    }

    /// Whether a change is open.
    pub fn is_open(&self) -> bool {
        self.state().join("journal/open").exists()
    }

    /// Fingerprints of the keys that a new connection and one of each key type are shown, sorted; what failed otherwise.
    pub fn served(&self) -> Vec<String> {
        // Postfix waits two seconds with a file that is younger than that.
        self.postfix.age("main.cf");
        let expect = Expect {
            addr: self.postfix.addr("mx"),
            wire: Wire::StartTls,
            name: MX.parse().unwrap(),
            domain: None,
            want: Want::Unchanged,
            unnamed: Vec::new(),
        };
        let probes: Vec<_> = probes_for(&expect).into_iter().filter(|p| p.offer != Offer::Legacy).collect();
        let views = wait(observe(&self.net, &probes, Duration::from_secs(20)));
        let mut keys: Vec<String> = views.iter().map(|v| v.leaf().map_or_else(|| "none".to_owned(), |l| l.spki.0.clone())).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

fn wait<T>(of: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(of)
}
