//! What the whole program promises to the admin of a stock Debian mail host, on a booted one.

use crate::lab::internet::Internet;

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
