//! Dovecot beside Postfix, both as Debian delivers them: switched in the same change, proved on all its ports, renewed, undone;
//! and left alone where nobody asked, or where it cannot be.

use crate::lab::{
    host::{Host, differences, text},
    internet::Internet,
    process::wait_for,
    renewal::{days_later, ids, renew},
    setup::{ANSWERS, VERIFIED, assert_verifiable, contents, outcome, setup},
    terminal::{Terminal, lines},
};
use std::time::Duration;

/// Where `tests/run` puts its packages.
const PACKAGES: &str = "/var/cache/mxseal-tests/dovecot";

/// Each port, and how TLS begins there.
const PORTS: [&[&str]; 4] = [
    &["-starttls", "imap", "-connect", "198.18.0.25:143"],
    &["-connect", "[fd00::25]:993"],
    &["-starttls", "pop3", "-connect", "198.18.0.25:110"],
    &["-connect", "198.18.0.25:995"],
];

fn host(internet: &Internet) -> Host {
    let host = internet.mail_host();
    let packages = std::fs::read_dir(PACKAGES).unwrap_or_else(|e| panic!("{PACKAGES}: {e}: tests/run fetches what is needed"));
    host.ok(&["mkdir", "/root/dovecot"]);
    for package in packages.map(|e| e.expect("a package").path()) {
        let name = package.file_name().expect("a name").to_string_lossy().replace("%3a", "_");
        host.write(&format!("/root/dovecot/{name}"), std::fs::read(&package).expect("a package"));
    }
    host.ok(&["sh", "-c", "DEBIAN_FRONTEND=noninteractive dpkg -i /root/dovecot/*.deb"]);
    // It may have been started before the packages of its protocols were there.
    host.ok(&["systemctl", "restart", "dovecot"]);
    wait_for("Dovecot", Duration::from_secs(30), || PORTS.iter().all(|port| internet.tls(port).contains("-----BEGIN CERTIFICATE")));
    host
}

fn verified(internet: &Internet) -> usize {
    PORTS.iter().filter(|port| internet.tls(port).contains(VERIFIED)).count()
}

fn leaf(seen: &str) -> &str {
    seen.split("-----BEGIN CERTIFICATE").nth(1).and_then(|rest| rest.split("-----END").next()).unwrap_or_else(|| panic!("{seen}"))
}

#[test]
fn dovecot_is_switched_renewed_and_put_back_with_postfix() {
    let internet = Internet::start();
    let host = host(&internet);
    let configuration = || [contents(&host.tree("/etc/postfix")), contents(&host.tree("/etc/dovecot"))];
    let before = configuration();

    // Where it cannot be checked nothing is changed.
    let (conf, whole) = ("/etc/dovecot/dovecot.conf", host.read("/etc/dovecot/dovecot.conf"));
    host.write(conf, format!("{whole}nonsense_setting = 1\n"));
    let half_done = configuration();
    let failed = setup(&host, &["--with", "dovecot"]);
    assert!(failed.status.code() == Some(1) && text(&failed).contains("nonsense_setting"), "{}", text(&failed));
    assert_eq!(half_done, configuration());
    assert_eq!(verified(&internet), 0);
    host.write(conf, &whole);

    // A person is asked, and shown what would change; an empty line leaves Dovecot as it is.
    let words = format!("mxseal setup {} --tell nothing", ANSWERS[2..].join(" "));
    let mut session = Terminal::start(|argv| host.command(argv), &words);
    let flat = |shown: &str| lines(shown).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    let asked = flat(&session.answer("[nothing]:", "?\n"));
    assert!(asked.contains("that changes ssl_cert and ssl_key in /etc/dovecot/conf.d/10-ssl.conf."), "{asked}");
    assert!(flat(&session.answer("[nothing]:", "y\n")).contains("The flag for this question is --with SERVICE."));
    session.answer("[nothing]:", "dovecot\n");
    let planned = session.answer("? more [n]:", "b\n");
    assert!(planned.contains("-ssl_cert = </etc/dovecot/private/dovecot.pem"), "{planned}");
    session.answer("[dovecot]:", "nothing\n");
    let planned = session.answer("? more [n]:", "n\n");
    assert!(!planned.contains("-ssl_cert = ") && flat(&planned).contains("is read by Dovecot too, which goes on with it"), "{planned}");
    assert_eq!((session.end().0, configuration()), (1, before.clone()));

    let done = outcome(&setup(&host, &["--with", "dovecot"]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert_verifiable(&internet);
    assert_eq!(verified(&internet), 4, "{}", internet.tls(PORTS[0]));
    for port in ["127.0.0.1:143", "[fd00::25]:993", "198.18.0.25:110", "[::1]:995"] {
        assert!(
            done["proof"].as_array().expect("a proof").iter().any(|p| p["address"] == port && p["expected"] == "ours"),
            "{port}: {done:#}"
        );
    }
    let changed = differences(&before[1], &configuration()[1]);
    assert!(changed.len() == 1 && changed[0].starts_with("conf.d/10-ssl.conf"), "{changed:#?}");
    assert_eq!(outcome(&setup(&host, &[]), 0)["outcome"], "nothing-to-do", "the settings remember it");

    let (standing, old) = (configuration(), internet.tls(PORTS[1]));
    assert_eq!(renew(&host, &["--force"], 0)["outcome"], "proved");
    assert_ne!(leaf(&internet.tls(PORTS[1])), leaf(&old), "it was told of the new file");
    assert_eq!((verified(&internet), configuration()), (4, standing));
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");

    let status: serde_json::Value = serde_json::from_slice(&host.run(&["mxseal", "status", "--json"]).stdout).expect("a document");
    assert!(status["readers"].as_array().is_some_and(|all| all.iter().any(|r| r["program"] == "Dovecot" && r["setting"] == "ssl_cert")));

    // What somebody changes there since is told, and stays; no reload at night makes it true.
    let more = "ssl_min_protocol = TLSv1.2\n";
    host.write(conf, format!("{whole}{more}"));
    let status = host.run(&["mxseal", "status"]);
    assert!(
        status.status.code() == Some(1) && text(&status).contains("dovecot.conf") && text(&status).contains("drift"),
        "{}",
        text(&status)
    );
    let drifted = renew(&host, &["--force"], 1);
    assert_eq!((drifted["outcome"].as_str(), ids(&drifted)), (Some("installed"), vec!["drift"]), "{drifted:#}");
    let told = text(&host.run(&["mxseal", "status"]));
    assert_eq!(told.matches("[drift]").count(), 1, "{told}");
    assert_eq!(renew(&host, &["--reload"], 0)["outcome"], "proved");
    assert_eq!((verified(&internet), renew(&host, &[], 0)["outcome"].as_str()), (4, Some("nothing-to-do")));
    assert_eq!(renew(&host, &["--force"], 0)["outcome"], "proved", "what lies there is known after a proof that laid nothing");

    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(differences(&before[0], &configuration()[0]), Vec::<String>::new());
    assert_eq!(host.read(conf), format!("{whole}{more}"), "what somebody added stays");
    host.write(conf, &whole);
    assert_eq!(differences(&before[1], &configuration()[1]), Vec::<String>::new());
    assert_eq!(verified(&internet), 0);
    let left = host.run(&["find", "/etc/mxseal/live", "-type", "f"]);
    assert_eq!(text(&left), "", "no key stays behind");

    // A roll-over takes it along, and what the admin has run after a renewal.
    let way = ["--with", "dovecot", "--resolver", "198.18.0.54", "--publish", "rfc2136", "--tell", "dane"];
    assert_eq!(outcome(&setup(&host, &way), 0)["outcome"], "proved");
    internet.dns.forget();
    let rollover = |code| outcome(&host.run(&["mxseal", "rollover", "--json", "--yes"]), code);
    assert_eq!(ids(&rollover(1)), ["rollover-too-new"]);
    days_later(&host.path("/var/lib/mxseal"), "mx1.example.test", 2);
    host.ok(&["mkdir", "-p", "/etc/mxseal/hooks/after.d"]);
    host.write("/etc/mxseal/hooks/after.d/10-note", "#!/bin/sh\nenv >/root/hooked\n");
    host.ok(&["chmod", "755", "/etc/mxseal/hooks/after.d/10-note"]);
    let old = internet.tls(PORTS[1]);
    let done = rollover(0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert_ne!(leaf(&internet.tls(PORTS[1])), leaf(&old));
    assert_eq!(verified(&internet), 4);
    let hooked = host.read("/root/hooked");
    assert!(
        hooked.contains("MXSEAL_EVENT=renew\n") && hooked.contains("MXSEAL_CERTIFICATES=/etc/mxseal/live/mx1.example.test"),
        "{hooked}"
    );
}

/// Without the wish, and without a Dovecot.
#[test]
fn nobody_is_switched_unasked() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let held = outcome(&setup(&host, &["--with", "dovecot"]), 1);
    assert!(held["outcome"] == "held" && held["findings"].to_string().contains("companion-missing"), "{held:#}");
    assert!(!internet.ca_log().contains("Added order "));
}
