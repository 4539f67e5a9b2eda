//! What the whole program promises to the admin of a stock Debian mail host, on a booted one.

use crate::lab::{host::Host, net::Net};

#[test]
fn a_stock_host_presents_the_distributions_certificate() {
    let mut net = Net::new();
    net.plug("mx1", 25);
    let host = Host::boot(&net, "mx1");
    let before = host.tree("/etc");
    assert!(host.read("/etc/postfix/main.cf").contains("smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem"));
    assert_eq!(host.ok(&["postconf", "-h", "mydestination"]).trim(), "mx1.example.test, example.test, localhost");
    host.ok(&["mxseal", "--version"]);
    host.ok(&["systemctl", "reload", "postfix"]);
    assert!(host.mail_log().contains("reload"), "{}", host.mail_log());
    assert_eq!(host.tree("/etc"), before, "a reload touches nothing");
}
