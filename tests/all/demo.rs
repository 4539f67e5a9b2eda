//! `tests/run demo`: the main job from the self-signed certificate to a proven one and back, told to a newcomer.

use crate::lab::{
    host::{Host, text},
    internet::{DIRECTORY, Internet},
};

fn step(title: &str) {
    eprintln!("\n== {title}");
}

/// Runs a command in the host as an admin would see it.
fn admin(host: &Host, argv: &[&str]) {
    eprintln!("mx1# {}", argv.join(" "));
    // Both outputs in the order in which a terminal shows them.
    let out = host.run(&[&["sh", "-c", "exec \"$@\" 2>&1", "sh"], argv].concat());
    eprint!("{}", text(&out));
    assert!(out.status.success(), "ended with {}", out.status);
}

/// What senders make of it; `verified` is what they should.
fn senders(internet: &Internet, verified: bool) {
    for (key, cipher) in [("ECDSA", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("RSA", "ECDHE-RSA-AES128-GCM-SHA256")] {
        let seen = internet.s_client(&["-tls1_2", "-cipher", cipher]);
        let line = |start: &str| seen.lines().map(str::trim).find(|l| l.starts_with(start)).unwrap_or("no TLS session").to_owned();
        let none = seen.contains("no peer certificate available");
        eprintln!("openssl, {key:<5}  {}", if none { "no certificate of this type".to_owned() } else { line("Verify return code") });
        assert!(!verified || seen.contains("Verify return code: 0 (ok)"), "{seen}");
    }
    let log = internet.sender("may").send("root@example.test");
    for line in log.lines().filter(|l| l.contains("TLS connection established") || l.contains("status=")) {
        eprintln!("Postfix         {}", line.split_once("]: ").map_or(line, |(_, said)| said).split(" using ").next().unwrap_or_default());
    }
    assert_eq!(log.contains("Trusted TLS connection"), verified, "{log}");
}

#[test]
fn demo() {
    let internet = Internet::start();
    let host = internet.mail_host();
    step("A stock Debian mail host, just booted; beside it signed DNS, a CA (Pebble) and a sender. What senders see:");
    senders(&internet, false);
    step("What mxseal sees");
    admin(&host, &["mxseal", "survey", "--trust-anchor", "/root/root.pem"]);
    step("The main job");
    let answers = ["--non-interactive", "--yes", "--agree-tos", "--no-email"];
    let lab = ["--acme-directory", DIRECTORY, "--acme-ca-file", "/root/api-ca.pem", "--trust-anchor", "/root/root.pem"];
    let setup = [&["mxseal", "setup"][..], &answers, &lab].concat();
    admin(&host, &setup);
    step("What senders see now");
    senders(&internet, true);
    step("Once more: nothing to do");
    admin(&host, &setup);
    step("What is installed");
    admin(&host, &["mxseal", "status", "--trust-anchor", "/root/root.pem"]);
    step("And back");
    admin(&host, &["mxseal", "undo", "--non-interactive", "--yes"]);
    senders(&internet, false);
}
