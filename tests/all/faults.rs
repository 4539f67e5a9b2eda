//! What may go wrong on a real host while it is changed. Each ends as if setup had never run, or as if nothing had gone
//! wrong.

use crate::lab::{
    host::{Host, differences, text},
    internet::Internet,
    process::wait_for,
    setup::{SNAKE_OIL, assert_verifiable, contents, kill, outcome, setup, start, until_changed},
};
use std::time::Duration;

/// Setup failed with a sentence that holds `words`, and the host is as it was.
fn assert_put_back(internet: &Internet, host: &Host, prepare: &[&str], words: &str) {
    host.ok(prepare);
    let before = contents(&host.tree("/etc/postfix"));
    let failed = setup(host, &[]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    assert!(text(&failed).contains(words), "{words}: {}", text(&failed));
    assert_eq!(differences(&before, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new());
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
}

#[test]
fn a_full_disk_changes_nothing() {
    let internet = Internet::start();
    let host = internet.mail_host();
    for folder in ["/var/lib/mxseal", "/etc/mxseal"] {
        host.ok(&["mkdir", "-p", folder]);
        assert_put_back(&internet, &host, &["mount", "-t", "tmpfs", "-o", "size=4k,mode=755", "tmpfs", folder], "No space left");
        host.ok(&["umount", folder]);
    }
    outcome(&setup(&host, &[]), 0);
    assert_verifiable(&internet);
}

#[test]
fn a_file_that_cannot_be_replaced_changes_nothing() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let main = "/etc/postfix/main.cf";
    assert_put_back(&internet, &host, &["mount", "--bind", main, main], main);
    host.ok(&["umount", main]);
    outcome(&setup(&host, &[]), 0);
    assert_verifiable(&internet);
}

/// Old processes go on with the old certificate: what is proved is what all of them present.
#[test]
fn a_server_that_ignores_the_reload_is_proved_or_put_back() {
    let internet = Internet::start();
    let host = internet.mail_host();
    host.ok(&["mv", "/usr/sbin/postfix", "/usr/sbin/postfix.real"]);
    host.write(
        "/usr/sbin/postfix",
        "#!/bin/sh\nfor word; do [ \"$word\" != reload ] || exit 0; done\nexec /usr/sbin/postfix.real \"$@\"\n",
    );
    host.ok(&["chmod", "755", "/usr/sbin/postfix"]);
    let before = contents(&host.tree("/etc/postfix"));
    // A process that has loaded the old certificate, and waits for its next client.
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
    let ran = setup(&host, &[]);
    match ran.status.code() {
        Some(0) => assert_verifiable(&internet),
        Some(1) => assert_eq!(differences(&before, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new(), "{}", text(&ran)),
        other => panic!("ended with {other:?}: {}", text(&ran)),
    }
}

/// The CA goes away in the middle of an order; the next run finishes it.
#[test]
fn a_ca_that_vanishes_is_asked_again() {
    let mut internet = Internet::start();
    let host = internet.mail_host();
    let before = contents(&host.tree("/etc/postfix"));
    let running = start(&host);
    wait_for("an order", Duration::from_secs(30), || internet.ca_log().contains("new-order") || internet.ca_log().contains("order-plz"));
    internet.stop_ca();
    let ran = running.wait_with_output().expect("setup ends");
    assert!(matches!(ran.status.code(), Some(0 | 1)), "{}", text(&ran));
    if ran.status.code() == Some(1) {
        assert_eq!(differences(&before, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new(), "{}", text(&ran));
        internet.start_ca(|_| {});
        host.write("/root/root.pem", internet.root());
        outcome(&setup(&host, &[]), 0);
    }
    assert_verifiable(&internet);
}

/// SIGKILL once the configuration is changed and not yet proved: the guard puts it back with nobody's help.
#[test]
fn a_kill_in_the_middle_leaves_the_host_as_it_was() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let (before, main) = (contents(&host.tree("/etc/postfix")), host.read("/etc/postfix/main.cf"));
    let mut running = start(&host);
    until_changed(&host, &mut running, &main);
    kill(running);
    wait_for("the guard to put everything back", Duration::from_secs(5), || contents(&host.tree("/etc/postfix")) == before);
    wait_for("the old certificate", Duration::from_secs(10), || internet.s_client(&[]).contains(SNAKE_OIL));
    outcome(&setup(&host, &[]), 0);
    assert_verifiable(&internet);
}
