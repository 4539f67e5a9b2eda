//! A mail host that an admin made in an own way: a private Postfix on the real ports of the MX host's place, with its own
//! certificate, and the whole program let loose on it.

use super::{
    authority::self_signed,
    host::text,
    internet::{DIRECTORY, Internet, MX, SENDER},
    postfix::Postfix,
    process::{run, wait_for},
    setup::VERIFIED,
};
use mxseal::certificate::KeyType;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

/// The MX host's addresses, as openssl takes them.
pub const V4: &str = "198.18.0.25:25";
pub const V6: &str = "[fd00::25]:25";

/// What most of these hosts have in main.cf. `$dir` is the configuration directory.
pub const OLD: &str = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/old.pem\nsmtpd_tls_key_file = $dir/old.key\n";
/// A stock port 25.
pub const SMTP: &str = "smtp inet n - y - - smtpd\n";

/// The internet around the odd hosts, our own directories, and the certificate that the first setup obtained.
pub struct Odd {
    pub internet: Internet,
    home: tempfile::TempDir,
}

/// What a file is: type and mode, owner, extended attributes, and its content or where it leads.
pub type Image = (u32, (u32, u32), BTreeMap<String, Vec<u8>>, Vec<u8>);

impl Odd {
    pub fn new() -> Self {
        let internet = Internet::start();
        // Where many warnings come at once, a postlogd that starts waits for itself (the queue holds 10 by default).
        run(internet.net.command(MX, "sysctl").args(["-qw", "net.unix.max_dgram_qlen=512"]));
        let home = tempfile::Builder::new().prefix("mxseal-odd-").tempdir().expect("a folder");
        fs::write(home.path().join("api-ca.pem"), internet.api_ca()).expect("the API's root");
        fs::write(home.path().join("root.pem"), internet.root()).expect("the CA's root");
        Self { internet, home }
    }

    /// A host with these lines in main.cf and these network services, not started yet. Its own certificate, RSA and
    /// self-signed, is `old.pem` with `old.key` in its configuration directory, and `both.pem` holds the two.
    pub fn host(&self, main: &str, master: &str) -> Postfix {
        let within = ["ip", "netns", "exec", &self.internet.net.namespace(MX)].map(str::to_owned).to_vec();
        let postfix = Postfix::new("mx1.example.test").within(within);
        let dir = postfix.etc().display().to_string();
        let postfix = postfix.master(&master.replace("$dir", &dir)).written();
        let base = [("mydestination", "example.test"), ("inet_interfaces", "all"), ("inet_protocols", "all")];
        let mut text: String =
            postfix.read_config("main.cf").split_inclusive('\n').filter(|l| !base.iter().any(|(n, _)| l.starts_with(n))).collect();
        for (name, value) in base.iter().filter(|(name, _)| !main.contains(name)) {
            text += &format!("{name} = {value}\n");
        }
        postfix.write_config("main.cf", &(text + &main.replace("$dir", &dir)));
        let old = self_signed(&["mx1.example.test"], KeyType::Rsa, false);
        for (name, pem) in [("old.key", &old.key), ("old.pem", &old.chain), ("both.pem", &old.bundle)] {
            fs::write(postfix.etc().join(name), pem).expect("the old certificate");
        }
        postfix
    }

    /// Starts a host and waits until something listens on port 25 of its place.
    pub fn launch(&self, postfix: &mut Postfix) {
        wait_for("the ports of the host before this one", Duration::from_secs(30), || self.listening().is_empty());
        postfix.launch();
        wait_for("port 25 of the odd host", Duration::from_secs(30), || self.listening().contains(":25 "));
    }

    fn listening(&self) -> String {
        run(self.internet.net.command(MX, "ss").args(["-Hltn", "sport = :25 or sport = :465 or sport = :587"]))
    }

    /// A verb of the program under test in the MX host's place, with its directories in this folder.
    pub fn verb(&self, words: &[&str]) -> Command {
        let mut command = self.internet.net.command(MX, env!("CARGO_BIN_EXE_mxseal"));
        command.args(["--json", "--state-dir"]).arg(self.home.path().join("state"));
        command.arg("--config").arg(self.home.path().join("mxseal.toml")).args(words).stdin(Stdio::null());
        command
    }

    /// `mxseal setup --yes` with all answers.
    pub fn setup(&self, postfix: &Postfix, more: &[&str]) -> Output {
        self.setup_command(postfix, more).output().expect("ip is in iproute2")
    }

    /// The same, for a test that runs it in its own way.
    pub fn setup_command(&self, postfix: &Postfix, more: &[&str]) -> Command {
        let mut command = self.verb(&["setup", "--non-interactive", "--yes", "--agree-tos", "--no-email", "--acme-directory", DIRECTORY]);
        command.arg("--acme-ca-file").arg(self.home.path().join("api-ca.pem"));
        command.arg("--trust-anchor").arg(self.home.path().join("root.pem"));
        command.arg("--mta-config").arg(postfix.etc()).args(more);
        command
    }

    /// `mxseal undo --yes`.
    pub fn undo(&self) -> Output {
        self.verb(&["undo", "--non-interactive", "--yes"]).output().expect("ip is in iproute2")
    }

    /// What a stranger sees at an address: the leaf as PEM, or nothing; and all that openssl said. Port 465 is TLS from
    /// the first byte.
    pub fn seen(&self, address: &str, options: &[&str]) -> (String, String) {
        let mut client = self.internet.net.command(SENDER, "timeout");
        client.args(["20", "openssl", "s_client", "-connect", address, "-verify_hostname", "mx1.example.test", "-CAfile"]);
        client.arg(self.home.path().join("root.pem")).args(options).stdin(Stdio::null());
        if !address.ends_with(":465") {
            client.args(["-starttls", "smtp"]);
        }
        let out = client.output().expect("openssl; tests/run installs what is needed");
        let said = text(&out) + &String::from_utf8_lossy(&out.stderr);
        let leaf = said.split_once("-----BEGIN").and_then(|(_, rest)| rest.split_once("-----END")).map(|(pem, _)| pem.to_owned());
        (leaf.unwrap_or_default(), said)
    }

    /// A stranger can verify the host at an address, with certificates of both key types.
    pub fn verified(&self, address: &str) -> Result<(), String> {
        for (cipher, signature) in [("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA"), ("ECDHE-RSA-AES128-GCM-SHA256", "RSA")] {
            let (_, said) = self.seen(address, &["-tls1_2", "-cipher", cipher, "-servername", "mx1.example.test"]);
            if !said.contains(VERIFIED) || !said.contains(&format!("Peer signature type: {signature}")) {
                return Err(format!("{signature} at {address}: {said}"));
            }
        }
        Ok(())
    }
}

/// Every file of a host's configuration, also where a test moved it to `srv`.
pub fn images(postfix: &Postfix) -> BTreeMap<PathBuf, Image> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![postfix.etc(), postfix.dir().join("srv")]);
    folders.retain(|f| f.is_dir());
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(&next).expect("a folder").map(|e| e.expect("an entry").path()) {
            let about = fs::symlink_metadata(&path).expect("a file");
            let content = if about.is_symlink() {
                fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
            } else if about.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).expect("a file")
            };
            let names = xattr::list(&path).expect("extended attributes");
            let xattrs = names.filter_map(|n| Some((n.to_string_lossy().into_owned(), xattr::get(&path, &n).ok()??))).collect();
            found.insert(path.clone(), (about.mode(), (about.uid(), about.gid()), xattrs, content));
        }
    }
    found
}

/// The document that a verb printed, where it ended with `code`.
pub fn ended(output: &Output, code: i32) -> Result<Value, String> {
    let said = format!("{}{}", text(output), String::from_utf8_lossy(&output.stderr));
    if output.status.code() != Some(code) {
        return Err(format!("ended with {:?} instead of {code}: {said}", output.status.code()));
    }
    serde_json::from_str(&text(output)).map_err(|e| format!("not one JSON document ({e}): {said}"))
}

/// A process of a test that stands still, until this value goes.
pub struct Paused(nix::unistd::Pid);

impl Paused {
    pub fn new(pid: u32) -> Self {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("a process of ours");
        Self(pid)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.0, nix::sys::signal::Signal::SIGCONT);
    }
}
