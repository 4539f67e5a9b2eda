//! Booted hosts on which the mail server is not where, or what, one expects, and one whose clock is wrong.

use crate::lab::{
    host::{differences, text},
    internet::Internet,
    process::{run, wait_for},
    setup::{ANSWERS, SNAKE_OIL, VERIFIED, assert_verifiable, contents, outcome, setup},
};
use std::{process::Command, time::Duration};

/// The common layout with a null client for the host's own mail: another instance owns port 25.
#[test]
fn the_instance_that_receives_is_the_one_that_is_changed() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let script = "postmulti -e init
        postmulti -I postfix-in -G mta -e create
        # What a new instance is given against accidents.
        postmulti -i postfix-in -x postconf -e 'inet_interfaces = all' 'inet_protocols = all' 'authorized_submit_users = static:anyone' master_service_disable= \
          'mydestination = example.test' 'smtpd_tls_cert_file = /etc/ssl/certs/ssl-cert-snakeoil.pem' \
          'smtpd_tls_key_file = /etc/ssl/private/ssl-cert-snakeoil.key' smtpd_tls_security_level=may \
          'local_recipient_maps =' 'alias_maps = hash:/etc/aliases'
        postconf -e master_service_disable=inet
        postmulti -i postfix-in -e enable
        systemctl daemon-reload
        systemctl restart postfix";
    host.ok(&["sh", "-ec", script]);
    wait_for("the second instance", Duration::from_secs(20), || internet.s_client(&[]).contains(SNAKE_OIL));
    let (outer, inner) = (host.tree("/etc/postfix"), contents(&host.tree("/etc/postfix-in")));

    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert_verifiable(&internet);
    assert_eq!(differences(&outer, &host.tree("/etc/postfix")), Vec::<String>::new(), "the instance that only sends is not ours");
    assert!(host.read("/etc/postfix-in/main.cf").contains("/etc/mxseal/live/mx1.example.test.pem"));
    let log = host.mail_log();
    let reloads: Vec<_> = log.lines().filter(|l| l.starts_with("reload ")).collect();
    assert!(matches!(reloads[..], [one] if one.contains("/etc/postfix-in")), "{reloads:?}");

    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    assert_eq!(differences(&inner, &contents(&host.tree("/etc/postfix-in"))), Vec::<String>::new());
    wait_for("the old certificate", Duration::from_secs(10), || internet.s_client(&[]).contains(SNAKE_OIL));
}

/// Runs `arguments` on the host: ends with `code`, says `words`, and leaves `/etc` as it is.
fn refuses(host: &crate::lab::host::Host, before: &[&str], code: i32, words: &[&str]) {
    let tree = host.tree("/etc");
    let done = host.run(&[before, &["mxseal", "setup"], ANSWERS].concat());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "{said}{}", text(&done));
    assert!(words.iter().all(|w| said.contains(w)), "{words:?} are not all in: {said}");
    assert_eq!(differences(&tree, &host.tree("/etc")), Vec::<String>::new());
}

#[test]
fn a_host_without_a_mail_server_that_is_known() {
    let internet = Internet::start();
    let host = internet.mail_host();
    host.ok(&["sh", "-ec", "systemctl stop postfix postfix@-; mv /usr/sbin/postconf /usr/sbin/postconf.away"]);
    refuses(&host, &[], 1, &["no mail server that mxseal knows is installed", "it knows: postfix"]);

    host.ok(&["systemd-run", "--quiet", "--unit=stranger", "smtp-sink", "-u", "nobody", ":25", "10"]);
    wait_for("the stranger", Duration::from_secs(20), || text(&host.run(&["ss", "-Hltnp", "sport = :25"])).contains("smtp-sink"));
    refuses(&host, &[], 1, &["port 25 belongs to smtp-sink", "that mxseal does not know"]);
}

/// A certificate that seems expired is more often a clock that is off: the CA is asked what time it is.
#[test]
fn a_clock_that_is_off() {
    let internet = Internet::start();
    let host = internet.mail_host();
    assert!(run(Command::new("faketime").args(["2001-01-01 00:00:00", "date", "+%Y"])).starts_with("2001"), "faketime does not work here");
    for (time, word) in [("2001-01-01 00:00:00", "behind"), ("2090-01-01 00:00:00", "ahead")] {
        refuses(&host, &["faketime", time], 1, &["clock", word, "timedatectl"]);
    }
    assert!(internet.s_client(&[]).contains(SNAKE_OIL) && !internet.s_client(&[]).contains(VERIFIED));
}
