//! Bad input: one sentence with the next step, the exit status that belongs to it, the same as a document with `--json`,
//! and nothing changed.

use crate::lab::{
    host::{Host, differences, text},
    internet::{DIRECTORY, Internet, MX},
    pebble::api_certificate,
    ports::free_port,
    process::{Daemon, copy_program, wait_for},
    setup::{ANSWERS, SNAKE_OIL, contents, outcome, reloads, setup},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

/// The refusal in both forms: a sentence on standard error, a document on standard output.
fn refused(case: &str, plain: &Output, document: &Output, code: i32, words: &[&str]) {
    for output in [plain, document] {
        assert_eq!(output.status.code(), Some(code), "{case}: {}{}", text(output), String::from_utf8_lossy(&output.stderr));
    }
    let said = String::from_utf8_lossy(&plain.stderr);
    let value: Value = serde_json::from_slice(&document.stdout).unwrap_or_else(|e| panic!("{case}: no document ({e}): {}", text(document)));
    let error = value["error"].as_str().unwrap_or_default();
    for word in words {
        assert!(said.contains(word), "{case}: {word:?} is not in {said}");
        assert!(error.contains(word), "{case}: {word:?} is not in {value:#}");
    }
    assert_eq!((&value["version"], &value["exit"]), (&1.into(), &code.into()), "{case}: {value:#}");
    assert!(!said.contains("panicked"), "{case}: {said}");
    assert!(said.lines().filter(|l| l.starts_with("mxseal: ")).count() <= 1, "{case}: one sentence, not {said}");
}

/// Command lines and settings that say nothing: refused before this host is looked at.
#[test]
fn the_command_line_and_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("mistyped.toml", "# mine\nemial = 'a@example.org'\n"),
        ("wrong.toml", "mx = []\nkey-type = 'dsa'\n"),
        ("broken.toml", "mx = [\n"),
        ("key", "not base64url!\n"),
        ("empty", ""),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let before = listing(dir.path());
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["survey", "--frobnicate"], 2, &["--frobnicate"]),
        (&["--publish", "manual"], 2, &["--publish", "it is a flag of setup"]),
        (&["serve"], 2, &["serve"]),
        (&["survey", "--mx", "a b"], 2, &["--mx", "a b", "not a DNS name"]),
        (&["survey", "--mx", "192.0.2.1 "], 2, &["--mx", "not a DNS name"]),
        (&["survey", "--domain", ""], 2, &["--domain"]),
        (&["survey", "--resolver", "dns.example"], 2, &["--resolver", "192.0.2.53"]),
        (&["survey", "--mta", "nonsense"], 2, &["nonsense", "--mta", "postfix, exim-debian"]),
        (&["setup", "--mta", "nonsense"], 2, &["nonsense", "--mta", "postfix, exim-debian"]),
        (&["survey", "--mta-config", "nowhere"], 2, &["--mta-config", "/nowhere", "no such directory"]),
        (&["survey", "--trust-anchor", "nowhere.pem"], 2, &["--trust-anchor nowhere.pem", "No such file"]),
        (&["status", "--trust-anchor", "key"], 2, &["--trust-anchor key", "no certificate"]),
        (&["setup", "--acme-ca-file", "empty"], 2, &["--acme-ca-file", "/empty", "no certificate"]),
        (&["survey", "--config", "mistyped.toml"], 2, &["mistyped.toml:2:1:", "do you mean email?", "^^^^^", "mxseal.toml(5)"]),
        (&["status", "--config", "wrong.toml"], 2, &["wrong.toml:2:12:", "dsa", "^^^^^"]),
        (&["undo", "--config", "broken.toml"], 2, &["broken.toml:1:7:", "^"]),
        (&["setup", "--config", "."], 2, &["directory", "--config"]),
        (&["setup", "--from", "nowhere.toml"], 2, &["nowhere.toml", "No such file", "--from"]),
        (&["setup", "--from", "mistyped.toml"], 2, &["mistyped.toml:2:1:", "emial"]),
        (&["setup", "--webroot", "nowhere"], 2, &["--webroot", "/nowhere", "no such directory"]),
        (&["setup", "--email", "a@example.org", "--no-email"], 2, &["--email", "--no-email"]),
        (&["setup", "--email", "postmaster"], 2, &["--email", "postmaster", "no mail address"]),
        (&["setup", "--dry-run", "--print-only"], 2, &["--dry-run", "--print-only"]),
        (&["setup", "--key-type", "dsa"], 2, &["--key-type", "ecdsa"]),
        (&["setup", "--challenge", "dns-01"], 2, &["--challenge", "http-01"]),
        (&["setup", "--eab-kid", "k"], 2, &["--eab-hmac-key-file"]),
        (&["setup", "--eab-hmac-key-file", "key"], 2, &["--eab-kid"]),
        (&["setup", "--eab-kid", "k", "--eab-hmac-key-file", "nowhere"], 2, &["--eab-hmac-key-file", "/nowhere", "No such file"]),
        (&["setup", "--eab-kid", "k", "--eab-hmac-key-file", "key"], 2, &["--eab-hmac-key-file", "/key", "base64url"]),
        (&["setup", "--acme-directory", "http://ca.example/dir"], 2, &["http://ca.example/dir", "https://", "--acme-directory"]),
        (&["setup", "--acme-directory", "ca"], 2, &["ca", "--acme-directory"]),
        (&["setup", "--state-dir", "key"], 1, &["/key", "--state-dir"]),
        (&["setup", "--state-dir", "/proc/mxseal"], 1, &["/proc/mxseal", "--state-dir"]),
        (&["undo", "--state-dir", "key"], 1, &["/key"]),
        (&["undo"], 1, &["nothing to undo"]),
        (&["undo", "20260101"], 2, &["20260101"]),
    ];
    for (arguments, code, words) in cases {
        let run = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mxseal"));
            command.current_dir(dir.path()).args(*arguments).args(more);
            for (flag, value) in [("--state-dir", "state"), ("--config", "mxseal.toml")] {
                if !arguments.contains(&flag) {
                    command.args([flag, value]);
                }
            }
            command.stdin(Stdio::null()).output().unwrap()
        };
        refused(&format!("{arguments:?}"), &run(&[]), &run(&["--json"]), *code, words);
        assert_eq!(listing(dir.path()), before, "{arguments:?}");
    }
}

/// Who is not root may look, and is told how to do more.
#[test]
fn without_root() {
    // The build may lie where nobody else may look.
    let dir = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let program = dir.path().join("mxseal");
    copy_program(env!("CARGO_BIN_EXE_mxseal"), &program);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).args(["--state-dir", "/var/lib/mxseal-nowhere", "--resolver", "127.0.0.1:9"]);
        command.current_dir("/").stdin(Stdio::null()).uid(65534).gid(65534).output().unwrap()
    };
    refused("setup", &run(&["setup", "--yes"]), &run(&["setup", "--yes", "--json"]), 2, &["root", "sudo"]);
    let seen = run(&["survey", "--json"]);
    assert!(matches!(seen.status.code(), Some(0 | 3)), "{}", text(&seen));
    let facts: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(facts["host"]["root"], false, "{facts:#}");
    assert!(!Path::new("/var/lib/mxseal-nowhere").exists());
}

fn listing(dir: &Path) -> Vec<String> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

/// A host whose answers must be the same before and after.
struct Bench {
    internet: Internet,
    host: Host,
}

impl Bench {
    fn new() -> Self {
        let internet = Internet::start();
        let host = internet.mail_host();
        host.write("/root/postfix.good", host.read("/etc/postfix/main.cf"));
        Self { internet, host }
    }

    /// Runs `arguments` in both forms on the host as `prepare` (of a shell) made it.
    fn refuses(&self, case: &str, prepare: &str, arguments: &[&str], code: i32, words: &[&str]) {
        self.host.ok(&["sh", "-c", prepare]);
        let tree = || contents(&self.host.tree("/etc/postfix"));
        let (before, reloaded, orders) = (tree(), reloads(&self.host), self.orders());
        let run = |more: &[&str]| self.host.run(&[arguments, more].concat());
        refused(case, &run(&[]), &run(&["--json"]), code, words);
        assert_eq!(differences(&before, &tree()), Vec::<String>::new(), "{case}");
        assert_eq!(reloads(&self.host), reloaded, "{case}");
        // A CA that still holds the authorizations asks nobody: a port that is taken shows only after the order.
        assert!(case == "port 80" || self.orders() == orders, "{case}: an order was made");
        assert!(!self.host.path("/etc/mxseal").exists(), "{case}: a live file was made");
    }

    fn orders(&self) -> usize {
        self.internet.ca_log().matches("Added order ").count()
    }
}

/// `mxseal setup` with the lab's answers but those that `without` names.
fn answers<'a>(without: &[&str], more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["mxseal", "setup"];
    let mut words = ANSWERS.iter();
    while let Some(word) = words.next() {
        let value = ["--acme-directory", "--acme-ca-file", "--trust-anchor"].contains(word).then(|| words.next()).flatten();
        if !without.contains(word) {
            all.extend([word].into_iter().chain(value));
        }
    }
    all.extend(more);
    all
}

#[test]
fn a_configuration_that_cannot_be_used() {
    let bench = Bench::new();
    let all = answers(&[], &[]);
    let lines = |file: &str| bench.host.read(file).lines().count();
    let (main, master) = (lines("/etc/postfix/main.cf"), lines("/etc/postfix/master.cf"));
    let at = |file: &str, line: usize| format!("/etc/postfix/{file}:{line}");
    bench.refuses("main.cf", "echo smtpd_tls_loglevel >>/etc/postfix/main.cf", &all, 1, &[&at("main.cf", main + 1), "nothing was changed"]);
    bench.refuses("no main.cf", "rm /etc/postfix/main.cf", &all, 1, &["/etc/postfix/main.cf", "does not exist"]);
    bench.refuses("a directory", "mkdir /etc/postfix/main.cf", &all, 1, &["/etc/postfix/main.cf", "not a regular file"]);
    let mended = "rmdir /etc/postfix/main.cf; cp /root/postfix.good /etc/postfix/main.cf; cp -p /etc/postfix/master.cf /root/master.good; \
                  echo 'submission inet n' >>/etc/postfix/master.cf";
    bench.refuses("master.cf", mended, &all, 1, &[&at("master.cf", master + 1), "nothing was changed"]);
    bench.host.ok(&["cp", "-p", "/root/master.good", "/etc/postfix/master.cf"]);

    // Names.
    bench.refuses("no MX", ":", &answers(&[], &["--domain", "mx1.example.test"]), 1, &["mx1.example.test", "MX record", "--mx"]);
    bench.refuses(
        "MX elsewhere",
        ":",
        &answers(&[], &["--domain", "sender.test"]),
        1,
        &["sender.test", "no MX name points at this host", "--mx"],
    );

    // A server that does not run is no place for a proof; what it would come to can be seen.
    bench.refuses("stopped", "systemctl stop postfix", &all, 1, &["Postfix does not run", "start it first"]);
    assert_eq!(outcome(&setup(&bench.host, &["--dry-run"]), 0)["outcome"], "planned");
    bench.host.ok(&["systemctl", "start", "postfix"]);

    // Two runs at once, and a port that is taken.
    let lock = fs::File::open(bench.host.path("/etc/postfix")).unwrap();
    lock.lock().unwrap();
    bench.refuses("two runs", ":", &all, 1, &["another mxseal works on /etc/postfix", "run this again"]);
    // Also where another test's child, just forked, has it still.
    lock.unlock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let _web = page(&bench, dir.path(), 80, (2000, 4000), "");
    let _tls = page(&bench, dir.path(), 443, (2000, 4000), "");
    bench.refuses("port 80", ":", &all, 1, &["port 80", "--webroot"]);
    assert!(bench.internet.s_client(&[]).contains(SNAKE_OIL));
}

/// A web server in the host's place on loopback that answers `https://localhost:PORT/dir` with `answer`.
fn page(bench: &Bench, dir: &Path, port: u16, years: (i32, i32), answer: &str) -> Daemon {
    let root = api_certificate(dir, years);
    bench.host.write("/root/other-ca.pem", fs::read(root).unwrap());
    fs::write(dir.join("dir"), answer).unwrap();
    let mut server = bench.internet.net.command(MX, "openssl");
    server.args(["s_server", "-HTTP", "-cert", "api.crt", "-key", "api.key", "-accept", &port.to_string()]).current_dir(dir);
    let daemon = Daemon::start(&mut server, &dir.join("log"));
    wait_for("the web server", Duration::from_secs(20), || {
        text(&bench.host.run(&["ss", "-Hltn", "sport", "=", &format!(":{port}")])).contains(&port.to_string())
    });
    daemon
}

#[test]
fn an_authority_that_is_none_and_answers_that_are_missing() {
    let bench = Bench::new();
    let url = ["--acme-directory"];
    let at = |directory: &'static str| answers(&url, &["--acme-directory", directory]);
    bench.refuses("404", ":", &at("https://acme.test/nowhere"), 1, &["https://acme.test/nowhere", "404", "--acme-directory"]);
    bench.refuses("closed", ":", &at("https://acme.test:444/dir"), 1, &["acme.test:444", "--acme-directory"]);
    bench.refuses("no such name", ":", &at("https://ca.example.test/dir"), 1, &["ca.example.test", "--acme-directory"]);
    bench.refuses("unknown root", ":", &answers(&["--acme-ca-file"], &[]), 1, &["acme.test", "does not verify", "--acme-ca-file"]);
    bench.refuses("unknown profile", ":", &answers(&[], &["--acme-profile", "fast"]), 1, &[DIRECTORY, "fast", "default"]);

    let html = "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>It works!</html>\n";
    for (case, years, answer, words) in [
        ("a page", (2000, 4000), html, &["is not the directory", "no JSON", "--acme-directory"][..]),
        ("expired", (2000, 2001), html, &["localhost", "does not verify", "expired", "`date`", "renew"]),
    ] {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port().port());
        let _server = page(&bench, dir.path(), port, years, answer);
        let directory = format!("https://localhost:{port}/dir");
        let arguments = answers(&["--acme-directory", "--acme-ca-file"], &["--acme-ca-file", "/root/other-ca.pem"]);
        bench.refuses(case, ":", &[&arguments[..], &["--acme-directory", &directory]].concat(), 1, words);
    }

    // Nobody can be asked: every missing answer names its flag, all at once.
    let terms = "Give --agree-tos";
    let email = "Give --email ADDRESS or --no-email";
    let missing = |without: &[&str], words: &[&str]| bench.refuses(&format!("{without:?}"), ":", &answers(without, &[]), 2, words);
    missing(&["--yes", "--agree-tos", "--no-email"], &[terms, email, "--yes"]);
    missing(&["--yes", "--agree-tos", "--no-email", "--non-interactive"], &[terms, email, "--yes"]);
    missing(&["--no-email"], &[email]);
    missing(&["--agree-tos"], &[terms]);
    missing(&["--yes"], &["give --yes"]);
}

/// Staging with any CA: ordered, tried on a copy, and nothing else.
#[test]
fn staging_touches_nothing_that_is_live() {
    let Bench { internet, host } = Bench::new();
    let before = host.tree("/etc");
    // Also for whoever only wants to see the plan.
    assert_eq!(outcome(&setup(&host, &["--staging", "--dry-run"]), 0)["outcome"], "planned");
    assert!(!host.path("/var/lib/mxseal").exists());
    let checked = outcome(&setup(&host, &["--staging"]), 0);
    assert_eq!(checked["outcome"], "checked", "{checked:#}");
    assert_eq!(checked["certificate"]["name"], "mx1.example.test", "{checked:#}");
    assert_eq!(differences(&before, &host.tree("/etc")), Vec::<String>::new());
    assert_eq!(reloads(&host), 0);
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
    let names = |dir: &str| listing(&host.path(dir));
    assert_eq!(names("/var/lib/mxseal/lineages"), Vec::<String>::new(), "what was tried is kept apart");
    assert!(!names("/var/lib/mxseal/staging/lineages").is_empty());
    assert_eq!(names("/var/lib/mxseal/accounts"), Vec::<String>::new());
    // The real run begins anew.
    assert_eq!(outcome(&setup(&host, &[]), 0)["outcome"], "proved");
}

/// The guard lives in another directory: what it recovers is where the run's own words said.
#[test]
fn a_guard_finds_a_relative_state_directory() {
    let Bench { internet, host } = Bench::new();
    let (before, main) = (contents(&host.tree("/etc/postfix")), host.read("/etc/postfix/main.cf"));
    let words = answers(&[], &["--state-dir", "state", "--config", "conf/mxseal.toml"]).join(" ");
    let script = format!("mkdir -p /root/conf && cd /root && exec {words}");
    let mut running = host.command(&["sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the change", Duration::from_secs(60), || {
        assert!(matches!(running.try_wait(), Ok(None)), "setup ended before it changed anything");
        host.read("/etc/postfix/main.cf") != main
    });
    assert!(host.read("/etc/postfix/main.cf").contains("/root/conf/live/mx1.example.test.pem"));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id())).unwrap();
    let pid = nix::unistd::Pid::from_raw(children.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    running.wait().unwrap();
    wait_for("the guard to put everything back", Duration::from_secs(20), || contents(&host.tree("/etc/postfix")) == before);
    wait_for("the old certificate", Duration::from_secs(20), || internet.s_client(&[]).contains(SNAKE_OIL));
    // It is done when the server was told as well.
    wait_for("the end of the recovery", Duration::from_secs(60), || {
        let status = host.run(&["mxseal", "status", "--json", "--state-dir", "/root/state"]);
        serde_json::from_slice::<Value>(&status.stdout).is_ok_and(|document| document["open"].is_null())
    });
    assert!(reloads(&host) > 0, "{}", host.mail_log());
}

/// A server whose profile does not say how a copy is run: named, and a stand-in takes its place only for whoever asks.
#[test]
fn a_rehearsal_without_a_copy() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let profile = include_str!("../../mta-profiles/postfix.toml");
    let without = profile.split("[rehearsal]").next().expect("what comes before");
    assert_ne!(without, profile);
    host.ok(&["mkdir", "-p", "/etc/mxseal/mta-profiles"]);
    host.write("/etc/mxseal/mta-profiles/postfix.toml", without);
    let run = |more: &[&str]| host.run(&[&["mxseal", "rehearse"], more].concat());
    let words = ["not possible for Postfix,", "mxseal setup --dry-run", "mxseal rehearse --stand-in"];
    refused("Postfix", &run(&[]), &run(&["--json"]), 3, &words);
    let wished = outcome(&run(&["--stand-in", "--json"]), 0);
    assert_eq!((&wished["outcome"], &wished["stand_in"]["because"]), (&"proved".into(), &"--stand-in asks for it".into()), "{wished:#}");
}
