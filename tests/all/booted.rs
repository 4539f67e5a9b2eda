//! What the whole program promises to the admin of a stock Debian mail host, on a booted one.

use crate::lab::{
    internet::Internet,
    load::{self, Load},
};

#[test]
fn a_stock_host_presents_the_distributions_certificate() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = host.tree("/etc");
    assert!(host.read("/etc/postfix/main.cf").contains("smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem"));
    assert_eq!(host.ok(&["postconf", "-h", "mydestination"]).trim(), "mx1.example.test, example.test, localhost");
    let seen = internet.s_client(&[]);
    assert!(seen.contains("self-signed certificate"), "{seen}");
    let log = internet.sender("may").send("root@example.test");
    assert!(log.contains("Untrusted TLS connection established to mx1.example.test") && log.contains("status=sent"), "{log}");
    host.ok(&["mxseal", "--version"]);
    host.ok(&["systemctl", "reload", "postfix"]);
    assert!(host.mail_log().contains("reload"), "{}", host.mail_log());
    assert_eq!(host.tree("/etc"), before, "a reload touches nothing");
}

/// The lab's own proof that it can count: a reload is Postfix's affair, so what goes wrong here is not ours.
#[test]
fn reloads_under_load_lose_nothing() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let load = Load::start(&internet.net);
    for _ in 0..3 {
        host.ok(&["systemctl", "reload", "postfix"]);
    }
    let sent = load.finish(1000);
    assert_eq!(sent.complaints, Vec::<String>::new());
    assert_eq!(load::delivered(&host), (sent.accepted, sent.accepted), "every accepted message is delivered once");
}

/// ... and that a refusal is seen.
#[test]
fn a_stop_under_load_is_noticed() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let load = Load::start(&internet.net);
    host.ok(&["systemctl", "stop", "postfix"]);
    let sent = load.finish(usize::MAX);
    assert!(sent.complaints.iter().any(|c| c.contains("refused") || c.contains("lost connection")), "{sent:?}");
}
