//! What the whole program promises to the admin of Sendmail, on booted hosts.

use crate::lab::{
    host::{Host, Server, differences},
    internet::Internet,
    load::{self, Load},
    setup::{NO_TLS, assert_a_kill_is_put_back, assert_put_back, assert_verifiable, contents, outcome, setup},
};
use std::{collections::BTreeMap, path::PathBuf};

/// Both files and all beside them, each with content, owner and mode.
fn configuration(host: &Host) -> BTreeMap<PathBuf, (String, u32, (u32, u32))> {
    contents(&host.tree("/etc/mail"))
}

fn offers_tls(internet: &Internet) -> bool {
    internet.s_client(&[]).contains("BEGIN CERTIFICATE")
}

#[test]
fn setup_is_proved_and_undo_puts_every_byte_back() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Sendmail);
    let before = configuration(&host);
    assert!(!offers_tls(&internet), "no TLS yet");

    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert!(done["findings"].to_string().contains("activation-gap"), "{done:#}");
    assert_verifiable(&internet);
    let log = internet.sender("may").send("root@example.test");
    assert!(log.contains("Trusted TLS connection established to mx1.example.test") && log.contains("status=sent"), "{log}");
    let built = host.ok(&["sh", "-c", "m4 /etc/mail/sendmail.mc | grep -v '^#####'"]);
    let lies = host.ok(&["sh", "-c", "grep -v '^#####' /etc/mail/sendmail.cf"]);
    assert!(built == lies, "what is built next is what lies there");

    let (changed, orders) = (configuration(&host), internet.ca_log());
    let again = outcome(&setup(&host, &[]), 0);
    assert_eq!(again["outcome"], "nothing-to-do", "{again:#}");
    assert_eq!((differences(&changed, &configuration(&host)), internet.ca_log()), (vec![], orders), "a second setup");

    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    assert_eq!(differences(&before, &configuration(&host)), Vec::<String>::new());
    assert!(!offers_tls(&internet));
}

/// The certificates are new, the daemon that starts itself anew serves them, and no option is written.
#[test]
fn a_renewal_is_served() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Sendmail);
    outcome(&setup(&host, &[]), 0);
    let status = || outcome(&host.run(&["mxseal", "status", "--live", "--json", "--trust-anchor", "/root/root.pem"]), 0);
    let shown = status();
    let installed: Vec<String> = serde_json::from_value(shown["changes"][0]["installed"].clone()).expect("paths");
    let live = || -> Vec<String> { installed.iter().map(|path| host.read(path)).collect() };
    let (before, files) = (live(), configuration(&host));
    assert_eq!((before.len(), shown["lineages"][0]["deployment"].as_str()), (2, Some("proved")), "one file for each type: {shown:#}");
    for pem in &before {
        internet.hurry(&pem[pem.find("-----BEGIN CERTIFICATE").expect("a chain")..]);
    }
    let renewed = outcome(&host.run(&["mxseal", "renew", "--json"]), 0);
    assert!(before.iter().zip(live()).all(|(old, new)| *old != new), "{renewed:#}");
    assert_eq!(differences(&files, &configuration(&host)), Vec::<String>::new());
    assert_verifiable(&internet);
    let shown = status();
    assert_eq!((&shown["findings"], shown["lineages"][0]["deployment"].as_str()), (&serde_json::json!([]), Some("proved")), "{shown:#}");
    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    assert!(!offers_tls(&internet) && installed.iter().all(|path| !host.path(path).exists()));
}

/// Who comes while the daemon starts itself anew comes again; what was taken over is delivered.
#[test]
fn mail_flows_through_setup_and_undo() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Sendmail);
    let load = Load::patient(&internet.net);
    outcome(&setup(&host, &[]), 0);
    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    let sent = load.finish(100);
    assert_eq!(sent.complaints, Vec::<String>::new());
    assert_eq!(load::delivered(&host), (sent.accepted, sent.accepted), "every accepted message is delivered once");
    eprintln!("{} messages delivered, {} refused for the moment", sent.accepted, sent.refused);
}

/// SIGKILL once the configuration is changed and not yet proved: the guard puts it back with nobody's help.
#[test]
fn a_kill_in_the_middle_leaves_the_host_as_it_was() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Sendmail);
    assert_a_kill_is_put_back(&internet, &host, configuration, NO_TLS);
    assert_verifiable(&internet);
}

/// Each of these ends with a sentence, and with the host as it was.
#[test]
fn what_cannot_work_is_put_back() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Sendmail);
    let check = |prepare: &[&str], words: &str, mend: &[&str]| assert_put_back(&host, configuration, prepare, words, mend);
    let (cf, mc) = ("/etc/mail/sendmail.cf", "/etc/mail/sendmail.mc");
    check(&["sed", "-i", "1i O NonsenseOption=1", cf], "unknown option name NonsenseOption", &["sed", "-i", "1d", cf]);
    // What sendmail.mc builds would not be what is proved.
    let late = "pushdef(`confSERVER_CERT', `/elsewhere')dnl";
    check(&["sed", "-i", &format!("$a {late}"), mc], "builds other options", &["sed", "-i", "/^pushdef/d", mc]);
    host.ok(&["cp", "/bin/true", "/usr/local/sbin/pkill"]);
    check(&["chmod", "755", "/usr/local/sbin/pkill"], "put-back", &["rm", "/usr/local/sbin/pkill"]);
    outcome(&setup(&host, &[]), 0);
    assert_verifiable(&internet);
}
