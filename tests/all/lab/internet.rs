//! A small internet: signed DNS with a validating resolver, a CA at `https://acme.test/dir` that validates on port 80, the
//! place of an MX host, and a sender. `example.test` is signed, `plain.test` is not; both receive at `mx1.example.test`.

use super::{
    dns::{Dns, Place, Signed},
    host::{Host, Server, TRIXIE},
    net::{self, Net},
    pebble::new_pebble,
    postfix::Postfix,
    process::{Daemon, run, wait_for, within},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// The CA's directory.
pub const DIRECTORY: &str = "https://acme.test/dir";
/// The MX host's place: `198.18.0.25` and `fd00::25`.
pub const MX: &str = "mx1";
/// The sender's place: `198.18.0.26` and `fd00::26`.
pub const SENDER: &str = "sender";

const ZONES: &[(&str, &str, Signed)] = &[
    ("example.test", "@ 60 MX 10 mx1\nmx1 60 A 198.18.0.25\nmx1 60 AAAA fd00::25", Signed::Yes),
    ("plain.test", "@ 60 MX 10 mx1.example.test.", Signed::No),
    ("acme.test", "@ 60 A 198.18.0.14", Signed::Yes),
    ("sender.test", "@ 60 MX 10 @\n@ 60 A 198.18.0.26", Signed::Yes),
];

/// The internet of one test. All of it ends with its value, the wire last.
pub struct Internet {
    ca: Option<Daemon>,
    /// [`Dns::set`] changes a record at run time.
    pub dns: Dns,
    folder: TempDir,
    /// The wire.
    pub net: Net,
}

impl Internet {
    /// Everything is up when this returns: DNS validates, the CA answers.
    pub fn start() -> Self {
        let mut net = Net::new();
        for (host, n) in [("dns", 53), ("resolver", 54), ("ca", 14), (MX, 25), (SENDER, 26)] {
            net.plug(host, n);
        }
        let within = |host: &str| ["ip", "netns", "exec", &net.namespace(host)].map(str::to_owned).to_vec();
        let at = |n| SocketAddr::new(net::v4(n).parse().expect("an address"), 53);
        let place = Place { authority: at(53), authority_prefix: within("dns"), resolver: at(54), resolver_prefix: within("resolver") };
        let dns = Dns::start_at(place, ZONES);
        let folder = tempfile::Builder::new().prefix("mxseal-internet-").tempdir().expect("a folder");
        let mut internet = Self { ca: None, dns, folder, net };
        internet.certify_ca();
        internet.start_ca(|_| {});
        internet
    }

    /// Starts the CA anew, with a root of its own, after `change` had its say about Pebble's configuration.
    pub fn start_ca(&mut self, change: impl FnOnce(&mut Value)) {
        self.ca = None;
        let mut config = json!({
            "listenAddress": "198.18.0.14:443", "managementListenAddress": "198.18.0.14:15000",
            "certificate": self.file("api.pem"), "privateKey": self.file("api.key"),
            "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": 7_776_000,
            "profiles": { "default": { "description": "90 days", "validityPeriod": 7_776_000 } },
        });
        change(&mut config);
        fs::write(self.file("pebble.json"), json!({ "pebble": config }).to_string()).expect("Pebble's configuration");
        let mut pebble = self.net.command("ca", "env");
        pebble.args(["PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"]).arg(new_pebble());
        pebble.arg("-config").arg(self.file("pebble.json")).args(["-strict=true", "-dnsserver", "198.18.0.54:53"]);
        let daemon = Daemon::start(&mut pebble, &self.file("pebble.log"));
        wait_for(&format!("the CA ({})", new_pebble().display()), Duration::from_secs(15), || {
            let root = self.curl("https://acme.test:15000/roots/0").output().expect("curl; tests/run installs what is needed");
            let up = root.status.success() && self.curl(DIRECTORY).output().is_ok_and(|o| o.status.success());
            fs::write(self.file("root.pem"), root.stdout).expect("the CA's root");
            up
        });
        self.ca = Some(daemon);
    }

    /// Stops the CA: connections to it are refused.
    pub fn stop_ca(&mut self) {
        self.ca = None;
    }

    /// Lets the CA hang in the middle of whatever it does, or go on.
    pub fn hang_ca(&self, hang: bool) {
        use nix::sys::signal::{Signal, kill};
        let pid = i32::try_from(self.ca.as_ref().expect("a CA").pid()).expect("a process id");
        kill(nix::unistd::Pid::from_raw(pid), if hang { Signal::SIGSTOP } else { Signal::SIGCONT }).expect("our process");
    }

    /// From now on whoever asks for the CA's directory comes to a door that gives this answer, as HTTP writes it. Ends with
    /// the value and [`open_door`](Self::open_door).
    pub fn turn_away(&self, answer: &str) -> Daemon {
        const DOOR: &str = "198.18.0.15";
        let folder = self.file("door");
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("dir"), answer)).expect("the door's answer");
        run(Command::new("ip").args(["-n", &self.net.namespace("ca"), "addr", "replace", &format!("{DOOR}/24"), "dev", "eth0"]));
        let mut door = self.net.command("ca", "openssl");
        door.args(["s_server", "-HTTP", "-accept", &format!("{DOOR}:443"), "-cert"]).arg(self.file("api.pem")).arg("-key");
        let door = Daemon::start(door.arg(self.file("api.key")).current_dir(&folder), &self.file("door.log"));
        wait_for("the CA's door", Duration::from_secs(15), || {
            let mut ask = self.curl(DIRECTORY);
            ask.args(["--resolve", &format!("acme.test:443:{DOOR}"), "-o", "/dev/null", "-w", "%{http_code}"]);
            ask.output().is_ok_and(|out| answer.contains(&format!(" {} ", String::from_utf8_lossy(&out.stdout))))
        });
        self.dns.set("acme.test", "@", "A", 60, &[DOOR]);
        door
    }

    /// The CA itself is found again.
    pub fn open_door(&self) {
        self.dns.set("acme.test", "@", "A", 60, &["198.18.0.14"]);
    }

    /// What the CA logged.
    pub fn ca_log(&self) -> String {
        self.ca.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// What the CA suggests from now on for one of its certificates (PEM): a window that ended an hour ago.
    pub fn hurry(&self, certificate: &str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
        let at = |hours: u64| mxseal::moment::Moment(now - hours * 3600).to_string();
        let window = json!({"suggestedWindow": {"start": at(3), "end": at(1)}});
        let body = json!({"certificate": certificate, "ariResponse": window.to_string()});
        run(self.curl("https://acme.test:15000/set-renewal-info/").args(["--data", &body.to_string()]));
    }

    /// The root of the CA's own API, as PEM: what `--acme-ca-file` gets.
    pub fn api_ca(&self) -> String {
        fs::read_to_string(self.file("api-ca.pem")).expect("the API's root")
    }

    /// The root that certificates end in, as PEM: what `--trust-anchor` gets.
    pub fn root(&self) -> String {
        fs::read_to_string(self.file("root.pem")).expect("the CA's root")
    }

    /// A stock Debian mail host in the MX host's place, with the CA's files at `/root/api-ca.pem` and `/root/root.pem`, and the
    /// DNS root's key at `/root/root.key`.
    pub fn mail_host(&self) -> Host {
        self.mail_host_with(Server::Postfix)
    }

    /// The same with another mail server.
    pub fn mail_host_with(&self, server: Server) -> Host {
        self.with_roots(Host::boot(&self.net, MX, server))
    }

    /// The same as Debian 13 delivers it.
    pub fn trixie_host(&self, server: Server) -> Host {
        self.with_roots(Host::boot_over(Some(Path::new(TRIXIE)), &self.net, MX, server))
    }

    fn with_roots(&self, host: Host) -> Host {
        host.write("/root/api-ca.pem", self.api_ca());
        host.write("/root/root.pem", self.root());
        host.write("/root/root.key", fs::read(self.dns.anchor()).expect("the root's key"));
        host
    }

    /// A Postfix in the sender's place, that trusts the CA: `level` is `may`, `dane` or `secure`.
    pub fn sender(&self, level: &str) -> Sender {
        self.sender_with(level, "", None)
    }

    /// The same, going by MTA-STS; policies come from hosts whose certificates end in `roots` (PEM) or in the CA.
    pub fn sender_by_sts(&self, roots: &str) -> Sender {
        fs::write(self.file("web.pem"), self.root() + roots).expect("roots");
        let settings = "host: 127.0.0.1\nport: 8461\ncache: { type: internal, options: { cache_size: 100 } }\ncache_grace: 0\n\
                        default_zone: { strict_testing: false, timeout: 4 }\n";
        fs::write(self.file("sts.yml"), settings).expect("its settings");
        let mut resolver = self.net.command(SENDER, "env");
        resolver.arg(format!("SSL_CERT_FILE={}", self.file("web.pem").display())).args(["mta-sts-daemon", "-c"]).arg(self.file("sts.yml"));
        let daemon = Daemon::start(&mut resolver, &self.file("sts.log"));
        wait_for("the MTA-STS resolver", Duration::from_secs(15), || daemon.log().contains("Server started"));
        self.sender_with("may", "smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:postfix", Some(daemon))
    }

    fn sender_with(&self, level: &str, more: &str, policies: Option<Daemon>) -> Sender {
        let within = ["ip", "netns", "exec", &self.net.namespace(SENDER)].map(str::to_owned).to_vec();
        let mut postfix = Postfix::new("sender.test")
            .within(within.clone())
            .main(&format!(
                // One refused attempt is no reason to try nothing for a while.
                "default_destination_concurrency_failed_cohort_limit = 0\n{more}\n\
                 disable_dns_lookups = no\nsmtp_dns_support_level = dnssec\nsmtp_tls_security_level = {level}\nsmtp_tls_loglevel = 1\n\
                 smtp_tls_CAfile = {}\nsmtp_tls_secure_cert_match = nexthop, hostname\nmydestination = sender.test",
                self.file("root.pem").display()
            ))
            .written();
        // A chrooted client would not find the namespace's resolv.conf.
        run(&mut postfix.command("postconf", &["-F", "*/*/chroot=n"]));
        postfix.age("master.cf");
        postfix.launch();
        Sender { postfix, within, _policies: policies }
    }

    /// What a verifying client sees on port 25 of the MX host: `openssl s_client`, its output whole.
    pub fn s_client(&self, options: &[&str]) -> String {
        self.tls(&[&["-starttls", "smtp", "-connect", "198.18.0.25:25"], options].concat())
    }

    /// The same of any port, from the first byte where nothing else is said.
    pub fn tls(&self, options: &[&str]) -> String {
        let mut client = self.net.command(SENDER, "openssl");
        client.args(["s_client", "-verify_hostname", "mx1.example.test"]);
        client.arg("-CAfile").arg(self.file("root.pem")).args(options).stdin(Stdio::null());
        let out = client.output().expect("openssl; tests/run installs what is needed");
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    }

    fn curl(&self, url: &str) -> Command {
        let mut curl = self.net.command(SENDER, "curl");
        curl.args(["-sf", "--max-time", "5", "--cacert"]).arg(self.file("api-ca.pem")).arg(url);
        curl
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certify_ca(&self) {
        let (root_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "lab API root");
        let root_pem = root.self_signed(&root_key).expect("a root").pem();
        let api = CertificateParams::new(["acme.test".to_owned()]).expect("a name");
        let api = api.signed_by(&key, &Issuer::new(root, root_key)).expect("a certificate");
        for (name, text) in [("api-ca.pem", root_pem), ("api.pem", api.pem()), ("api.key", key.serialize_pem())] {
            fs::write(self.file(name), text).expect("a file of the CA");
        }
    }
}

/// A sending Postfix.
pub struct Sender {
    postfix: Postfix,
    within: Vec<String>,
    _policies: Option<Daemon>,
}

impl Sender {
    /// Sends one message and gives what was logged until it was delivered, deferred or bounced.
    pub fn send(&self, to: &str) -> String {
        self.send_text(to, "")
    }

    /// The same with something to read in it.
    pub fn send_text(&self, to: &str, text: &str) -> String {
        let before = self.postfix.log().len();
        let mut sendmail = Command::new("sendmail");
        sendmail.arg("-C").arg(self.postfix.etc()).args(["-f", "a@sender.test", to]).env("MAIL_CONFIG", self.postfix.etc());
        let mut sendmail = sendmail.stdin(Stdio::piped()).spawn().expect("sendmail comes with Postfix");
        sendmail.stdin.take().expect("a pipe").write_all(format!("Subject: lab\n\n{text}\n").as_bytes()).expect("a message");
        assert!(sendmail.wait().expect("sendmail").success(), "sendmail takes the message");
        let heard = || self.postfix.log().split_off(before);
        wait_for("the message's fate", Duration::from_secs(30), || heard().lines().any(|l| l.contains(to) && l.contains("status=")));
        heard()
    }

    /// Tries again what waits, until nothing waits for `to`.
    pub fn flush(&self, to: &str) {
        run(&mut self.postfix.command("postqueue", &["-f"]));
        wait_for("the queue", Duration::from_secs(30), || !run(&mut self.postfix.command("postqueue", &["-j"])).contains(to));
    }

    /// What posttls-finger sees at this TLS level.
    pub fn finger(&self, level: &str, domain: &str) -> String {
        let mut finger = within(&self.within, "posttls-finger");
        let out = finger.env("MAIL_CONFIG", self.postfix.etc()).args(["-c", "-l", level, "-Lsummary", domain]).output();
        let out = out.expect("posttls-finger comes with Postfix");
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    }
}
