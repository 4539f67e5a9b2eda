//! What the whole program promises to the admin of OpenSMTPD, on booted hosts.

use crate::lab::{
    host::{Host, Server, text},
    internet::Internet,
    load::{self, Load},
    setup::{NO_TLS, VERIFIED, assert_a_kill_is_put_back, assert_put_back, assert_verifiable_with, outcome, setup},
};
use std::{collections::BTreeMap, path::PathBuf};

const CONF: &str = "/etc/smtpd.conf";
const LIVE: &str = "/etc/mxseal/live/mx1.example.test.pem";

/// The configuration with owner and mode.
fn configuration(host: &Host) -> BTreeMap<PathBuf, String> {
    BTreeMap::from([(CONF.into(), host.read(CONF) + &host.ok(&["stat", "-c", "%U:%G %a", CONF]))])
}

fn starts(host: &Host) -> String {
    host.ok(&["systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", "opensmtpd"])
}

#[test]
fn setup_is_proved_and_undo_puts_every_byte_back() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::OpenSmtpd);
    let before = configuration(&host);
    assert!(!internet.s_client(&[]).contains("BEGIN CERTIFICATE"), "no TLS yet: {}", internet.s_client(&[]));

    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    let gap = done["findings"].as_array().into_iter().flatten().find(|f| f["id"] == "activation-gap");
    assert!(gap.is_some_and(|f| f.to_string().contains("it is restarted")), "{done:#}");
    assert_verifiable_with(&internet, &["RSA"]);
    let log = internet.sender("may").send("root@example.test");
    assert!(log.contains("Trusted TLS connection established to mx1.example.test") && log.contains("status=sent"), "{log}");
    assert_eq!(host.ok(&["stat", "-c", "%U:%G %a", LIVE]).trim(), "root:root 600");
    let pair =
        format!("pki mx1.example.test cert \"{LIVE}\"\npki mx1.example.test key \"{LIVE}\"\nlisten on 0.0.0.0 tls pki mx1.example.test\n");
    assert!(host.read(CONF).contains(&pair), "{}", host.read(CONF));
    let status = outcome(&host.run(&["mxseal", "status", "--json", "--trust-anchor", "/root/root.pem"]), 0);
    assert_eq!(status["changes"][0]["installed"], serde_json::json!([LIVE]), "{status:#}");

    let (changed, since, orders) = (configuration(&host), starts(&host), internet.ca_log());
    let again = outcome(&setup(&host, &[]), 0);
    assert_eq!(again["outcome"], "nothing-to-do", "{again:#}");
    assert_eq!((configuration(&host), starts(&host), internet.ca_log()), (changed, since, orders), "a second setup");

    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    assert_eq!(configuration(&host), before);
    assert!(!internet.s_client(&[]).contains("BEGIN CERTIFICATE"));
}

/// The key stays, the certificate is new, and the server is restarted because it reads its files at no other time.
#[test]
fn a_renewal_is_served() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::OpenSmtpd);
    outcome(&setup(&host, &[]), 0);
    let (conf, before) = (configuration(&host), host.read(LIVE));
    internet.hurry(&before[before.find("-----BEGIN CERTIFICATE").expect("a chain")..]);
    let renewed = outcome(&host.run(&["mxseal", "renew", "--json"]), 0);
    assert_ne!(host.read(LIVE), before, "{renewed:#}");
    assert_eq!(configuration(&host), conf);
    assert_verifiable_with(&internet, &["RSA"]);
    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    assert!(!host.path(LIVE).exists());
}

/// Who comes during the restart comes again; what was taken over is delivered.
#[test]
fn mail_flows_through_setup_and_undo() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::OpenSmtpd);
    let load = Load::very_patient(&internet.net);
    outcome(&setup(&host, &[]), 0);
    assert!(load.accepted() > 0);
    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    let sent = load.finish(200);
    assert_eq!(sent.complaints, Vec::<String>::new());
    let (all, different) = load::delivered(&host);
    // A server that ends in the middle of a delivery delivers again: twice at times, and never not.
    assert!(different >= sent.accepted, "{sent:?}: {all} delivered, {different} different");
    eprintln!("{all} messages delivered, {} accepted, {} refused for the moment", sent.accepted, sent.refused);
}

/// SIGKILL once the configuration is changed and not yet proved: the guard puts it back with nobody's help.
#[test]
fn a_kill_in_the_middle_leaves_the_host_as_it_was() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::OpenSmtpd);
    assert_a_kill_is_put_back(&internet, &host, configuration, NO_TLS);
    assert_verifiable_with(&internet, &["RSA"]);
}

/// Each of these ends with a sentence, and with the host as it was.
#[test]
fn what_cannot_work_is_put_back() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::OpenSmtpd);
    let check = |prepare: &[&str], words: &str, mend: &[&str]| assert_put_back(&host, configuration, prepare, words, mend);
    // The server refuses what the admin left half done, before anything live is touched.
    check(&["sed", "-i", "1i nonsense here", CONF], "/etc/smtpd.conf:1: syntax error", &["sed", "-i", "1d", CONF]);
    // A line that we would not read as the server does.
    check(&["sed", "-i", "1i listen on $nowhere", CONF], "/etc/smtpd.conf:1: the macro nowhere", &["sed", "-i", "1d", CONF]);
    // The service is told, and goes on as it was.
    host.ok(&["cp", "/bin/true", "/usr/local/sbin/service"]);
    check(&["chmod", "755", "/usr/local/sbin/service"], "put-back", &["rm", "/usr/local/sbin/service"]);
    outcome(&setup(&host, &[]), 0);
    assert!(internet.s_client(&[]).contains(VERIFIED));
}

/// Debian 12's own speaks no TLS at all: that is said before anything is ordered.
#[test]
fn a_version_without_tls_is_told() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::OpenSmtpdOld);
    let before = configuration(&host);
    let failed = setup(&host, &[]);
    assert!(text(&failed).contains("OpenSMTPD 6.8 is installed, and this is for 7.3 and newer"), "{}", text(&failed));
    assert_ne!(failed.status.code(), Some(0));
    assert_eq!(configuration(&host), before);
    let listed = text(&host.run(&["mxseal", "profiles"]));
    assert!(listed.contains("bookworm-backports"), "{listed}");
}
