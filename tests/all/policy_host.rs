//! The policy host, and the verbs that bring it up: on a booted host under systemd, and alone against clients that mean no good.

use crate::lab::{
    authority::Authority,
    dns::own_loopback,
    host::{Host, text},
    household::MXSEAL,
    internet::{Internet, SENDER},
    process::{Daemon, wait_for},
    setup::{outcome, setup},
};
use mxseal::{
    certificate::KeyType,
    facts::Known,
    policy::{Fetched, sts_policy::StsPolicy},
    publish::fetch,
    serve::{Served, ServedHost},
    world::Net,
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

const POLICY: &str = "version: STSv1\nmode: testing\nmx: mx.example.test\nmax_age: 86400\n";
const NAME: &str = "mta-sts.example.test";
/// How much memory the server may take at most, in KiB, in a build without optimisation.
const MEMORY: u64 = 64 << 10;

/// `mxseal serve` on an address of its own.
struct Server {
    daemon: Daemon,
    host: Ipv4Addr,
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let (host, authority, dir) = (own_loopback(), Authority::new(), tempfile::tempdir().unwrap());
        write(dir.path(), &[(NAME, POLICY)], &authority);
        let mut command = Command::new(MXSEAL);
        command.args(["serve", "--listen", &format!("{host}:443"), "--file"]).arg(dir.path().join("served.json"));
        let daemon = Daemon::start(&mut command, &dir.path().join("log"));
        let server = Self { daemon, host, authority, dir };
        wait_for("the policy host", Duration::from_secs(10), || {
            server.daemon.log().contains("serving") && server.fetch().value().is_some()
        });
        server
    }

    /// The policy as a sender fetches it.
    fn fetch(&self) -> Known<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let net: Net = self.authority.net();
        let fetched = runtime.block_on(fetch::policy(&net, &"example.test".parse().unwrap(), &[self.host.into()]));
        match fetched {
            Fetched::Policy { reading, .. } => Known::seen(reading.strict().map(StsPolicy::text).expect("a policy"), "https"),
            Fetched::Nothing(why) | Fetched::Untold(why) => Known::unknown(why),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from((self.host, 443))).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn tls(&self) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        self.tls_of(NAME)
    }

    fn tls_of(&self, name: &'static str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(self.authority.net().verdict_roots).with_no_client_auth();
        let client = rustls::ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        rustls::StreamOwned::new(client, self.connect())
    }

    /// Everything that is answered to these bytes by TLS for `name`.
    fn answer(&self, name: &'static str, request: &str) -> String {
        let (mut stream, mut said) = (self.tls_of(name), Vec::new());
        if stream.write_all(request.as_bytes()).is_ok() {
            let _ = stream.read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// KiB of memory: what it holds now, and at most ever held.
    fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).unwrap();
        let of = |what: &str| status.lines().find_map(|l| l.strip_prefix(what)?.split_whitespace().next()?.parse().ok()).unwrap();
        (of("VmRSS:"), of("VmHWM:"))
    }
}

/// A policy for each name, each with a new certificate, in place of what was served.
fn write(dir: &Path, policies: &[(&str, &str)], authority: &Authority) {
    let host = |(name, policy): &(&str, &str)| {
        let bundle = authority.issue(&[name], KeyType::Ecdsa).bundle;
        (name.parse().unwrap(), ServedHost { policy: (*policy).to_owned(), bundle })
    };
    let served = Served::new(policies.iter().map(host).collect());
    fs::write(dir.join("new"), serde_json::to_vec(&served).unwrap()).unwrap();
    fs::rename(dir.join("new"), dir.join("served.json")).unwrap();
}

/// What one connection of a client that means no good does; it does not wait for the end.
fn misbehave(server: &Server, kind: usize, from: Ipv4Addr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((server.host, 443)).into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    match kind {
        // Half open: nothing follows.
        0 => return Some(stream),
        // Another protocol, or none.
        1 => drop(stream.write_all(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.test\r\n\r\n")),
        2 => drop(stream.write_all(&[0x16, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xfb, 3, 3].repeat(40))),
        // The first bytes of a handshake, then silence.
        3 => {
            drop(stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]));
            return Some(stream);
        }
        // Gone in the middle.
        _ => {
            drop(stream.write_all(&[0x16, 3, 1]));
            drop(stream.shutdown(Shutdown::Both));
        }
    }
    None
}

/// Senders get the policy while others hold as many connections as they like, and memory stays where it was.
#[test]
fn ten_thousand_requests_of_all_kinds_leave_memory_as_it_was() {
    let server = Server::start();
    let mut held = std::collections::VecDeque::new();
    let mut early = None;
    for round in 0..500_u16 {
        // Everybody comes from elsewhere, and nobody is turned away for what others did.
        let [high, low] = round.to_be_bytes();
        for kind in 0..18 {
            held.extend(misbehave(&server, usize::from(kind) % 5, Ipv4Addr::new(127, 10 + kind, high, low)));
        }
        // More than there are seats.
        while held.len() > 600 {
            held.pop_front();
        }
        // By TLS: a head without end, and a request that is one.
        let mut huge = server.tls();
        let _ = huge.write_all(&[b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 20_000]].concat());
        let mut answer = server.tls();
        answer.write_all(format!("GET {} HTTP/1.1\r\nHost: {NAME}\r\n\r\n", fetch::PATH).as_bytes()).expect("a request");
        let mut said = String::new();
        answer.read_to_string(&mut said).unwrap_or_else(|e| panic!("round {round}: {e}: {said}"));
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with(POLICY), "round {round}: {said}");
        if round == 100 {
            early = Some(server.memory().0);
        }
    }
    let ((now, most), early) = (server.memory(), early.unwrap());
    eprintln!("memory after 2000 requests {early} KiB, after 10,000 {now} KiB, at most {most} KiB");
    assert!(most < MEMORY, "{most} KiB");
    assert!(now < early + early / 4, "{early} KiB became {now} KiB");
    assert_eq!(server.fetch().value().map(String::as_str), Some(POLICY));
}

/// Somebody slow is left, whatever it is that does not come.
#[test]
fn whoever_is_slow_is_left() {
    let server = Server::start();
    let mut silent = server.connect();
    let mut halfway = server.connect();
    halfway.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    let mut headless = server.tls();
    headless.write_all(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n").unwrap();
    for (what, stream) in [("silent", &mut silent), ("half a hello", &mut halfway)] {
        let ended = stream.read(&mut [0; 64]);
        assert!(
            matches!(ended, Ok(_) | Err(_)) && !ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
            "{what}: {ended:?}"
        );
    }
    let ended = headless.read_to_end(&mut Vec::new());
    assert!(!ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "half a head: {ended:?}");
    assert!(server.fetch().value().is_some());
}

/// Another file in its place is served at once; one that is damaged is passed over.
#[test]
fn what_is_served_changes_without_a_restart() {
    let server = Server::start();
    let other = POLICY.replace("testing", "none");
    write(server.dir.path(), &[(NAME, &other)], &server.authority);
    wait_for("the other policy", Duration::from_secs(10), || server.fetch().value() == Some(&other));
    fs::write(server.dir.path().join("new"), "nonsense").unwrap();
    fs::rename(server.dir.path().join("new"), server.dir.path().join("served.json")).unwrap();
    wait_for("a word about it", Duration::from_secs(10), || server.daemon.log().contains("is served on"));
    assert_eq!(server.fetch().value(), Some(&other));
    // No name, or another one, is shown no certificate.
    let at = format!("{}:443", server.host);
    for name in [&["-noservername"][..], &["-servername", "mta-sts.example.net"]] {
        let out =
            Command::new("openssl").args(["s_client", "-connect", &at]).args(name).stdin(std::process::Stdio::null()).output().unwrap();
        assert!(text(&out).contains("no peer certificate available"), "{name:?}: {}", text(&out));
    }
}

/// Whatever form a request has, the policy comes under its own name alone.
#[test]
fn every_form_of_request_has_its_answer() {
    let server = Server::start();
    let (theirs, second) = ("mta-sts.example.net", POLICY.replace("example.test", "example.net"));
    write(server.dir.path(), &[(NAME, POLICY), (theirs, &second)], &server.authority);
    wait_for("both", Duration::from_secs(10), || server.daemon.log().contains("mta-sts.example.net, mta-sts.example.test"));
    let path = fetch::PATH;
    for (request, status, body) in [
        (format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"), "1.1 200", POLICY),
        (format!("GET {path} HTTP/1.1\r\nhost:MTA-STS.Example.TEST.:443\r\nConnection: keep-alive\r\n\r\n"), "1.1 200", POLICY),
        (format!("GET {path} HTTP/1.0\r\n\r\n"), "1.0 200", POLICY),
        (format!("GET https://{NAME}{path} HTTP/1.1\r\nHost: x\r\n\r\n"), "1.1 200", POLICY),
        (format!("HEAD {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"), "1.1 200", ""),
        (format!("GET https://{theirs}{path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"), "1.1 421", ""),
        (format!("GET {path} HTTP/1.1\r\nHost: {theirs}\r\n\r\n"), "1.1 421", ""),
        (format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nHost: {theirs}\r\n\r\n"), "1.1 421", ""),
        (format!("POST {path} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 3\r\n\r\na=b"), "1.1 405", ""),
        (format!("GET /.well-known HTTP/1.1\r\nHost: {NAME}\r\n\r\n"), "1.1 404", ""),
        (format!("GET {path} nonsense\r\n\r\n"), "1.1 400", ""),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "", ""),
        // Whoever has had an answer is done.
        (format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n").repeat(2), "1.1 200", POLICY),
    ] {
        let said = server.answer(NAME, &request);
        let status = if status.is_empty() { String::new() } else { format!("HTTP/{status} ") };
        assert!(said.starts_with(&status), "{request:?}: {said}");
        assert_eq!(said.split_once("\r\n\r\n").map_or("", |(_, body)| body), body, "{request:?}: {said}");
        let about_it = said.to_ascii_lowercase();
        assert_eq!(about_it.contains(&format!("content-length: {}\r\n", POLICY.len())), status.contains("200"), "{request:?}: {said}");
    }
    let of = |name| format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n");
    assert!(server.answer(theirs, &of(theirs)).ends_with(&second));

    // One goes meanwhile; whoever was in the middle of it gets what he came for, unless he was too slow.
    let mut begun = server.tls_of(theirs);
    begun.write_all(b"GET ").and_then(|()| begun.flush()).unwrap();
    write(server.dir.path(), &[(NAME, POLICY)], &server.authority);
    wait_for("one alone", Duration::from_secs(10), || server.daemon.log().ends_with("from now on serving mta-sts.example.test\n"));
    let mut said = Vec::new();
    let _ = begun.write_all(&of(theirs).as_bytes()[4..]).and_then(|()| begun.read_to_end(&mut said));
    assert!(said.is_empty() || said.ends_with(second.as_bytes()), "{}", String::from_utf8_lossy(&said));
    assert_eq!(server.answer(theirs, &of(theirs)), "");
    assert!(server.answer(NAME, &of(NAME)).ends_with(POLICY));
}

/// Policies and certificates change under requests that run: each gets one policy whole, and none is refused.
#[test]
fn nobody_notices_that_what_is_served_changes() {
    let server = Server::start();
    let request = format!("GET {} HTTP/1.1\r\nHost: {NAME}\r\n\r\n", fetch::PATH);
    let mut asked = 0;
    for age in 86_401..86_404 {
        let next = POLICY.replace("86400", &age.to_string());
        write(server.dir.path(), &[(NAME, &next)], &server.authority);
        wait_for("the next", Duration::from_secs(10), || {
            let said = server.answer(NAME, &request);
            assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("max_age: 8640"), "{said}");
            asked += 1;
            said.ends_with(&next)
        });
    }
    eprintln!("{asked} requests while three changes were noticed");
}

#[test]
fn without_a_socket_or_a_file_nothing_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(MXSEAL)
            .arg("--state-dir")
            .arg(dir.path())
            .arg("serve")
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    };
    for (arguments, code, says) in [
        (&[][..], 2, "mxseal-policy.socket"),
        (&["--listen", &format!("{}:443", own_loopback())], 1, "policy-host/served.json cannot be served: there is no such file"),
        (&["--listen", "192.0.2.1:443"], 1, "--listen 192.0.2.1:443: "),
    ] {
        let out = run(arguments);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(code) && said.contains(says), "{arguments:?}: {said}");
    }
}

fn policy(host: &Host, words: &[&str], code: i32) -> Value {
    outcome(&host.run(&[&["mxseal", "policy", "--json"], words].concat()), code)
}

fn step(document: &Value) -> &str {
    document["policies"][0]["kept"]["step"].as_str().unwrap_or_else(|| panic!("{document:#}"))
}

fn findings(document: &Value) -> Vec<&str> {
    document["findings"].as_array().unwrap().iter().filter_map(|f| f["id"].as_str()).collect()
}

/// From nothing to a policy that binds, its renewal, and out of it: as an admin goes, on a stock host.
#[test]
fn a_policy_is_served_by_systemd_and_bound_and_left() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);

    // Without an address nothing is ordered, and the next step is said. A socket that is masked stays so.
    let orders = internet.ca_log();
    host.ok(&["systemctl", "mask", "mxseal-policy.socket"]);
    let masked = policy(&host, &["testing", "example.test", "--yes"], 1);
    let by_hand = masked["findings"].as_array().unwrap().iter().find(|f| f["id"] == "policy-host-units");
    assert!(by_hand.is_some_and(|f| f.to_string().contains("mxseal-policy.socket is masked")), "{masked:#}");
    assert_eq!(text(&host.run(&["systemctl", "is-enabled", "mxseal-policy.socket"])), "masked\n");
    host.ok(&["systemctl", "unmask", "mxseal-policy.socket"]);
    let unnamed = policy(&host, &["testing", "example.test", "--yes"], 1);
    assert!(step(&unnamed) == "serve" && findings(&unnamed).contains(&"mta-sts-not-served"), "{unnamed:#}");
    assert_eq!(internet.ca_log(), orders);

    internet.dns.set("example.test", "mta-sts", "A", 60, &["198.18.0.25"]);
    internet.dns.set("example.test", "mta-sts", "AAAA", 60, &["fd00::25"]);
    let served = policy(&host, &["testing", "example.test", "--yes"], 1);
    assert_eq!(step(&served), "announce", "{served:#}");
    let body = |family: &str| {
        let mut curl = internet.net.command(SENDER, "curl");
        let resolve = if family == "-4" { "198.18.0.25" } else { "[fd00::25]" };
        curl.args(["-sSf", "--max-time", "20", "--resolve", &format!("{NAME}:443:{resolve}")]);
        curl.arg("--cacert").arg(host.path("/root/root.pem")).arg(format!("https://{NAME}{}", fetch::PATH));
        let out = curl.output().expect("curl; tests/run installs what is needed");
        assert!(out.status.success(), "{family}: {}", String::from_utf8_lossy(&out.stderr));
        text(&out)
    };
    let expected = "version: STSv1\nmode: testing\nmx: mx1.example.test\nmax_age: 86400\n";
    assert_eq!((body("-4"), body("-6")), (expected.to_owned(), expected.to_owned()));

    // It is nobody, and can do nothing.
    let pid = host.ok(&["systemctl", "show", "--property=MainPID", "--value", "mxseal-policy.service"]);
    let status = host.read(&format!("/proc/{}/status", pid.trim()));
    let line = |what: &str| {
        status.lines().find(|l| l.starts_with(what)).unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_ne!(line("Uid:").split(' ').next(), Some("0"), "{status}");
    assert_eq!(
        (line("CapEff:"), line("CapBnd:"), line("NoNewPrivs:"), line("Seccomp:")),
        ("0".repeat(16), "0".repeat(16), "1".into(), "2".into())
    );
    let exposure = host.ok(&["systemd-analyze", "security", "--no-pager", "mxseal-policy.service"]);
    let exposure = exposure.lines().find_map(|l| l.split("mxseal-policy.service: ").nth(1)).unwrap_or_else(|| panic!("{exposure}"));
    eprintln!("exposure of mxseal-policy.service: {exposure}");
    let level: f32 = exposure.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= 1.5, "{exposure}");

    // Nobody may be held to what is not announced.
    let early = policy(&host, &["enforce", "example.test", "--yes"], 1);
    assert_eq!(findings(&early), ["mta-sts-not-announced"], "{early:#}");
    let announce = |document: &Value| {
        let record = document["policies"][0]["record"].as_str().unwrap().to_owned();
        internet.dns.set("example.test", "_mta-sts", "TXT", 60, &[&format!("\"{record}\"")]);
    };
    announce(&served);
    let stands = policy(&host, &["show", "--domain", "example.test"], 0);
    assert_eq!(step(&stands), "stands", "{stands:#}");

    // A second MX host that nobody can reach holds it up; it is named.
    internet.dns.set("example.test", "@", "MX", 60, &["10 mx1", "20 mx2"]);
    internet.dns.set("example.test", "mx2", "A", 60, &["198.18.0.99"]);
    let held = policy(&host, &["enforce", "example.test", "--yes"], 1);
    assert_eq!(findings(&held), ["mta-sts-uncovered", "mta-sts-mx-unreached"], "{held:#}");
    internet.dns.set("example.test", "@", "MX", 60, &["10 mx1"]);
    let bound = policy(&host, &["enforce", "example.test", "--yes"], 1);
    assert_eq!(step(&bound), "announce", "{bound:#}");
    assert!(body("-4").contains("mode: enforce") && body("-6").contains("max_age: 1209600"));
    // The record is wanted of the zone's keeper too, because the text changed.
    let dns = outcome(&host.run(&["mxseal", "dns", "--json", "--domain", "example.test"]), 1);
    let wanted =
        dns["records"].as_array().unwrap().iter().find(|r| r["name"] == "_mta-sts.example.test").unwrap_or_else(|| panic!("{dns:#}"));
    assert_eq!(wanted["value"], bound["policies"][0]["record"], "{dns:#}");
    announce(&bound);
    assert_eq!(step(&policy(&host, &["show", "--domain", "example.test"], 0)), "stands");
    let weaker = policy(&host, &["testing", "example.test", "--yes"], 1);
    assert_eq!(findings(&weaker), ["mta-sts-weaker"]);

    // The CA wants its certificate renewed: the timer's run does that, and the new one is served.
    let serial = || {
        let mut client = internet.net.command(SENDER, "openssl");
        client.args(["s_client", "-connect", "198.18.0.25:443", "-servername", NAME]).stdin(std::process::Stdio::null());
        let shown = text(&client.output().unwrap());
        shown[shown.find("-----BEGIN").unwrap_or_else(|| panic!("{shown}"))..]
            .split_inclusive("-----END CERTIFICATE-----")
            .next()
            .unwrap()
            .to_owned()
    };
    let before = serial();
    internet.hurry(&before);
    forget_window(&host);
    // Port 80 is somebody's who does not say what it serves: the policy host answers the CA on its own.
    let dark = ["--socket-property=ListenStream=80", "--socket-property=Accept=yes", "/bin/cat"];
    host.ok(&[&["systemd-run", "--unit=dark"][..], &dark].concat());
    host.ok(&["systemctl", "start", "mxseal-renew.service"]);
    host.ok(&["systemctl", "stop", "dark.socket"]);
    assert_ne!(serial(), before);
    assert!(body("-4").contains("mode: enforce"));
    let renewal = host.ok(&["journalctl", "--no-pager", "-o", "cat", "-u", "mxseal-renew.service"]);
    assert!(renewal.contains("to ask mta-sts.example.test on port 443"), "{renewal}");
    assert!(!host.read("/var/lib/mxseal/policy-host/served.json").contains("answers"));

    // Leaving takes as long as somebody may believe.
    let leaving = policy(&host, &["leave", "example.test", "--yes"], 1);
    assert_eq!(step(&leaving), "announce");
    announce(&leaving);
    let waiting = policy(&host, &["leave", "example.test", "--yes"], 0);
    assert!(step(&waiting) == "wait" && waiting["policies"][0]["kept"]["believed_until"].is_string(), "{waiting:#}");
    assert!(body("-6").contains("mode: none"));
}

/// What the CA said of when to renew is asked again.
fn forget_window(host: &Host) {
    let file = format!("/var/lib/mxseal/lineages/{NAME}.json");
    let mut lineage: Value = serde_json::from_str(&host.read(&file)).unwrap();
    for key in lineage["keys"].as_array_mut().unwrap() {
        key["window"] = Value::Null;
    }
    host.write(&file, lineage.to_string());
}
