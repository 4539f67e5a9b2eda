//! `mxseal setup` as a test calls it, and how its end is judged.

use super::{
    host::{Entry, Host, differences, text},
    internet::{DIRECTORY, Internet},
    process::wait_for,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::PathBuf,
    process::{Child, Output, Stdio},
    time::Duration,
};

/// The answers to all questions, for the CA of the lab.
pub const ANSWERS: &[&str] = &[
    "--non-interactive",
    "--yes",
    "--agree-tos",
    "--no-email",
    "--acme-directory",
    DIRECTORY,
    "--acme-ca-file",
    "/root/api-ca.pem",
    "--trust-anchor",
    "/root/root.pem",
    "--dnssec-anchor",
    "/root/root.key",
];

/// What openssl says of the distribution's certificate.
pub const SNAKE_OIL: &str = "self-signed certificate";
/// What openssl says where no TLS is spoken.
pub const NO_TLS: &str = "find STARTTLS in server response";
/// What openssl says when all is well.
pub const VERIFIED: &str = "Verify return code: 0 (ok)";

/// Runs `mxseal setup --json` with all answers.
pub fn setup(host: &Host, more: &[&str]) -> Output {
    host.run(&[&["mxseal", "setup", "--json"], ANSWERS, more].concat())
}

/// Starts the same without waiting for its end.
pub fn start(host: &Host) -> Child {
    let argv = [&["mxseal", "setup", "--json"], ANSWERS].concat();
    host.command(&argv).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsenter is in util-linux")
}

/// Waits until a running setup has changed the configuration from `main`; it is not proved yet.
pub fn until_changed(host: &Host, running: &mut Child, main: &str) {
    wait_for("the change", Duration::from_secs(60), || {
        assert!(matches!(running.try_wait(), Ok(None)), "setup ended before it changed anything");
        host.read(host.in_force()) != main
    });
}

/// SIGKILL to a running setup, and to nothing else in the host.
pub fn kill(mut running: Child) {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id())).expect("nsenter's child");
    let setup = nix::unistd::Pid::from_raw(children.trim().parse().expect("one child"));
    nix::sys::signal::kill(setup, nix::sys::signal::Signal::SIGKILL).expect("a running setup");
    running.wait().expect("nsenter ends");
}

/// SIGKILL once the configuration is changed and not yet proved: the guard puts it back with nobody's help, openssl says `presented`
/// again, and the next setup goes well.
pub fn assert_a_kill_is_put_back<T: PartialEq>(internet: &Internet, host: &Host, files: impl Fn(&Host) -> T, presented: &str) {
    let (before, in_force) = (files(host), host.read(host.in_force()));
    let mut running = start(host);
    until_changed(host, &mut running, &in_force);
    kill(running);
    wait_for("the guard to put everything back", Duration::from_secs(60), || files(host) == before);
    wait_for(presented, Duration::from_secs(60), || internet.s_client(&[]).contains(presented));
    outcome(&setup(host, &[]), 0);
}

/// A setup that cannot work after `prepare` ends with a sentence that holds `words`, and with the host as it was.
pub fn assert_put_back<T: PartialEq + Debug>(
    host: &Host,
    files: impl Fn(&Host) -> BTreeMap<PathBuf, T>,
    prepare: &[&str],
    words: &str,
    mend: &[&str],
) {
    host.ok(prepare);
    let before = files(host);
    let failed = setup(host, &[]);
    assert_eq!(failed.status.code(), Some(1), "{words}: {}", text(&failed));
    assert!(text(&failed).contains(words), "{words}: {}", text(&failed));
    assert_eq!(differences(&before, &files(host)), Vec::<String>::new(), "{words}");
    host.ok(mend);
}

/// The document that a verb printed, when it ended with `code`.
pub fn outcome(output: &Output, code: i32) -> Value {
    let said = format!("{}{}", text(output), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_str(&text(output)).unwrap_or_else(|e| panic!("not one JSON document ({e}): {said}"))
}

/// Content, owner and mode: what is compared when files were put back.
pub fn contents(tree: &BTreeMap<PathBuf, Entry>) -> BTreeMap<PathBuf, (String, u32, (u32, u32))> {
    tree.iter().map(|(path, e)| (path.clone(), (e.content.clone(), e.mode, e.owner))).collect()
}

/// How often Postfix reloaded since boot.
pub fn reloads(host: &Host) -> usize {
    host.mail_log().lines().filter(|l| l.starts_with("reload ")).count()
}

/// A verifying client finds both key types, by both families, with SNI and without.
pub fn assert_verifiable(internet: &Internet) {
    assert_verifiable_with(internet, &["ECDSA", "RSA"]);
}

/// The same with these key types.
pub fn assert_verifiable_with(internet: &Internet, types: &[&str]) {
    for signature in types {
        let cipher = format!("ECDHE-{signature}-AES128-GCM-SHA256");
        for address in ["198.18.0.25:25", "[fd00::25]:25"] {
            for name in [&["-servername", "mx1.example.test"][..], &["-noservername"]] {
                let seen = internet.s_client(&[&["-connect", address, "-tls1_2", "-cipher", &cipher], name].concat());
                assert!(
                    seen.contains(VERIFIED) && seen.contains(&format!("Peer signature type: {signature}")),
                    "{address} {name:?}: {seen}"
                );
            }
        }
    }
}
