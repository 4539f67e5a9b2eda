//! A certificate for each MX name, chosen by the name that a sender sends: on booted hosts, through setup, renewal, the way to
//! one certificate for all, and back.

use crate::lab::{
    host::{Host, Server, differences, text},
    internet::Internet,
    renewal::{days_later, ids, renew, served},
    setup::{VERIFIED, contents, outcome, setup},
};

const NAMES: [&str; 2] = ["mx1.example.test", "mx2.example.test"];

/// The host under two names.
fn host(internet: &Internet, server: Server) -> Host {
    let dns = &internet.dns;
    dns.set("example.test", "mx2", "A", 60, &["198.18.0.25"]);
    dns.set("example.test", "mx2", "AAAA", 60, &["fd00::25"]);
    dns.set("example.test", "@", "MX", 60, &["10 mx1", "20 mx2"]);
    internet.mail_host_with(server)
}

/// Serial and key of what is shown to who sends this name.
fn shown(internet: &Internet, name: &str) -> (String, String) {
    served(internet, &["-servername", name])
}

/// Whether who sends `name` can verify it, by both families and with both key types.
fn verifies(internet: &Internet, name: &str) -> bool {
    let look = |address: &str, cipher: &str| {
        let cipher = format!("ECDHE-{cipher}-AES128-GCM-SHA256");
        let asks = ["-connect", address, "-tls1_2", "-cipher", &cipher, "-servername", name, "-verify_hostname", name];
        internet.s_client(&asks).contains(VERIFIED)
    };
    ["198.18.0.25:25", "[fd00::25]:25"].iter().all(|address| ["ECDSA", "RSA"].iter().all(|cipher| look(address, cipher)))
}

fn each_then_one_then_back(server: Server) {
    let internet = Internet::start();
    let host = host(&internet, server);
    let configuration = || contents(&host.tree(host.etc()));
    let before = configuration();

    let planned = outcome(&setup(&host, &["--certificates", "each", "--dry-run"]), 0);
    assert!(planned["plan"].to_string().contains("mx2.example.test.pem"), "{server:?}: {planned:#}");
    let done = outcome(&setup(&host, &["--certificates", "each"]), 0);
    assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
    assert_eq!(internet.ca_log().matches("Added order ").count(), 4, "{server:?}: two names, two key types");
    let [first, second] = NAMES.map(|name| shown(&internet, name));
    assert_ne!(first.1, second.1, "{server:?}: a key for each name");
    assert!(NAMES.iter().all(|name| verifies(&internet, name)), "{server:?}");
    assert_eq!(shown(&internet, "MX2.example.test"), second, "{server:?}: names have no case");
    // A client's word is a word, whatever it is.
    for other in ["other.test", "1", "-1"] {
        assert_eq!(shown(&internet, other), first, "{server:?}: {other}");
    }
    // GnuTLS ends the handshake itself where the name cannot be one.
    for never in ["../../etc/passwd", "${run{/bin/false}}", "mx2.example.test}{"] {
        let seen = internet.s_client(&["-servername", never, "-verify_hostname", NAMES[0]]);
        assert!(seen.contains(VERIFIED) || server != Server::Postfix && seen.contains("alert"), "{server:?}: {never}: {seen}");
    }
    assert_eq!(served(&internet, &["-noservername"]), first, "{server:?}");
    for cipher in ["ECDSA", "RSA"] {
        let cipher = format!("ECDHE-{cipher}-AES128-GCM-SHA256");
        let seen = internet.s_client(&["-tls1_2", "-cipher", &cipher, "-noservername", "-verify_hostname", NAMES[0]]);
        assert!(seen.contains(VERIFIED), "{server:?}: without a name, {cipher}: {seen}");
    }

    let standing = configuration();
    assert_eq!(outcome(&setup(&host, &[]), 0)["outcome"], "nothing-to-do", "{server:?}: the settings remember it");
    let status = text(&host.run(&["mxseal", "status"]));
    assert!(NAMES.iter().all(|name| status.contains(name)), "{server:?}: {status}");
    let done = renew(&host, &["--force"], 0);
    assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
    for (name, old) in NAMES.iter().zip([&first, &second]) {
        let new = shown(&internet, name);
        assert!(new.0 != old.0 && new.1 == old.1, "{server:?}: {name} is renewed with its key");
        assert!(verifies(&internet, name), "{server:?}: {name}");
    }
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do", "{server:?}");
    assert_eq!(differences(&standing, &configuration()), Vec::<String>::new(), "{server:?}: nothing but key and chain");

    let done = outcome(&setup(&host, &["--certificates", "one"]), 0);
    assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
    assert_eq!(shown(&internet, NAMES[0]), shown(&internet, NAMES[1]), "{server:?}");
    assert!(NAMES.iter().all(|name| verifies(&internet, name)), "{server:?}");

    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(shown(&internet, NAMES[1]).1, second.1, "{server:?}");
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(differences(&before, &configuration()), Vec::<String>::new(), "{server:?}");
}

#[test]
fn postfix_shows_each_name_its_certificate() {
    each_then_one_then_back(Server::Postfix);
}

#[test]
fn exim_shows_each_name_its_certificate() {
    each_then_one_then_back(Server::EximSplit);
}

/// A roll-over of one name leaves the other alone; DNS has the keys of both.
#[test]
fn one_name_goes_over_to_its_next_keys_on_exim() {
    let internet = Internet::start();
    let host = host(&internet, Server::EximSplit);
    let way = ["--certificates", "each", "--resolver", "198.18.0.54", "--publish", "rfc2136", "--tell", "dane"];
    let done = outcome(&setup(&host, &way), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    internet.dns.forget();
    let rollover = |name: &str, code| outcome(&host.run(&["mxseal", "rollover", name, "--json", "--yes"]), code);
    for name in NAMES {
        let early = rollover(name, 1);
        assert_eq!(ids(&early), ["rollover-too-new"], "{early:#}");
    }
    NAMES.iter().for_each(|name| days_later(&host.path("/var/lib/mxseal"), name, 2));
    let [first, second] = NAMES.map(|name| shown(&internet, name));
    let done = rollover(NAMES[1], 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert_eq!(shown(&internet, NAMES[0]), first, "the other one stays");
    assert_ne!(shown(&internet, NAMES[1]).1, second.1);
    assert_eq!(served(&internet, &["-noservername"]), first);
    assert!(NAMES.iter().all(|name| verifies(&internet, name)));
    let done = rollover(NAMES[0], 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert!(shown(&internet, NAMES[0]).1 != first.1 && NAMES.iter().all(|name| verifies(&internet, name)));
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");
}

/// Where a server cannot choose, that is said before anything is ordered.
#[test]
fn a_server_that_cannot_choose_is_left_alone() {
    let internet = Internet::start();
    let host = host(&internet, Server::OpenSmtpd);
    let held = outcome(&setup(&host, &["--certificates", "each"]), 1);
    assert_eq!(held["outcome"], "held", "{held:#}");
    assert!(held["findings"].to_string().contains("certificates-each"), "{held:#}");
    assert_eq!(internet.ca_log().matches("Added order ").count(), 0);
}
