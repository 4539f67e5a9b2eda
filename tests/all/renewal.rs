//! Renewal on a booted stock host: nobody is asked, nothing but key and chain is written, and the wire proves it.

use crate::lab::{
    host::{differences, text},
    internet::Internet,
    process::wait_for,
    renewal::{LIVE, hurry, ids, live, renew, renewals, served},
    setup::{SNAKE_OIL, assert_verifiable, contents, outcome, reloads, setup},
};
use std::time::Duration;

#[test]
fn what_is_due_is_renewed_with_the_same_keys() {
    let internet = Internet::start();
    let host = internet.mail_host();
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do", "on a host without anything of ours");
    let before = contents(&host.tree("/etc/postfix"));
    outcome(&setup(&host, &[]), 0);
    let (etc, reloaded, orders) = (host.tree("/etc"), reloads(&host), internet.ca_log().matches("Added order ").count());

    let done = renew(&host, &[], 0);
    assert_eq!((done["outcome"].as_str(), ids(&done)), (Some("nothing-to-do"), vec![]), "{done:#}");
    assert_eq!(differences(&etc, &host.tree("/etc")), Vec::<String>::new(), "no inode and no time changed");
    assert_eq!((reloads(&host), internet.ca_log().matches("Added order ").count()), (reloaded, orders));

    let rsa = ["-tls1_2", "-cipher", "aRSA"];
    let old = [served(&internet, &[]), served(&internet, &rsa)];
    let done = renew(&host, &["--force"], 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert_verifiable(&internet);
    let new = [served(&internet, &[]), served(&internet, &rsa)];
    for (old, new) in old.iter().zip(&new) {
        assert_ne!(old.0, new.0);
        assert_eq!(old.1, new.1, "a published TLSA record stays true");
    }
    let foreign: Vec<_> = differences(&etc, &host.tree("/etc")).into_iter().filter(|d| !d.contains("mxseal/live")).collect();
    assert_eq!(foreign, Vec::<String>::new(), "nothing but key and chain");
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");
    assert_eq!(outcome(&setup(&host, &[]), 0)["outcome"], "nothing-to-do");

    // One way back for both.
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(differences(&before, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new());
    assert!(internet.s_client(&[]).contains(SNAKE_OIL) && !host.path(LIVE).exists());
}

/// By the timer, under the unit's own restrictions, where the CA says that it is time.
#[test]
fn the_timer_renews() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = contents(&host.tree("/etc/systemd"));
    outcome(&setup(&host, &[]), 0);
    let etc = contents(&host.tree("/etc"));
    let old = served(&internet, &[]);
    hurry(&internet, &host);
    let started = host.run(&["systemctl", "start", "mxseal-renew.service"]);
    assert!(started.status.success(), "{}", renewals(&host));
    let by_hand = served(&internet, &[]);
    assert!(by_hand.0 != old.0 && by_hand.1 == old.1, "{}", renewals(&host));
    assert_verifiable(&internet);

    hurry(&internet, &host);
    let at_once = "[Timer]\nOnActiveSec=\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=1ms\n";
    host.ok(&["mkdir", "/run/systemd/system/mxseal-renew.timer.d"]);
    host.write("/run/systemd/system/mxseal-renew.timer.d/at-once.conf", at_once);
    host.ok(&["systemctl", "daemon-reload"]);
    host.ok(&["systemctl", "restart", "mxseal-renew.timer"]);
    wait_for("the timer's renewal", Duration::from_secs(90), || served(&internet, &[]).0 != by_hand.0);
    wait_for("its end", Duration::from_secs(60), || text(&host.run(&["systemctl", "is-active", "mxseal-renew.service"])) == "inactive\n");
    assert!(host.run(&["systemctl", "is-failed", "mxseal-renew.service"]).status.code() != Some(0), "{}", renewals(&host));
    assert_verifiable(&internet);
    let foreign: Vec<_> = differences(&etc, &contents(&host.tree("/etc"))).into_iter().filter(|d| !d.contains("mxseal/live")).collect();
    assert_eq!(foreign, Vec::<String>::new(), "nothing but key and chain");

    // Where a human is needed, the unit fails.
    host.ok(&["sh", "-c", "echo 'smtpd_banner = half finished' >>/etc/postfix/main.cf"]);
    hurry(&internet, &host);
    assert!(!host.run(&["systemctl", "start", "mxseal-renew.service"]).status.success());
    assert!(renewals(&host).contains("drift"), "{}", renewals(&host));

    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(differences(&before, &contents(&host.tree("/etc/systemd"))), Vec::<String>::new());
}

/// A configuration that nobody has proved is not activated in the night.
#[test]
fn a_half_finished_edit_is_not_activated() {
    let internet = Internet::start();
    let host = internet.mail_host();
    // Else each process serves a hundred clients.
    host.ok(&["postconf", "-e", "max_use = 2"]);
    outcome(&setup(&host, &[]), 0);
    let (reloaded, old) = (reloads(&host), served(&internet, &[]));
    host.ok(&["sh", "-c", "echo 'smtpd_banner = half finished' >>/etc/postfix/main.cf"]);
    let done = renew(&host, &["--force"], 1);
    assert_eq!((done["outcome"].as_str(), ids(&done)), (Some("installed"), vec!["drift"]), "{done:#}");
    assert_eq!(reloads(&host), reloaded);
    // Its processes are replaced one by one.
    wait_for("a process that reads the new file", Duration::from_secs(150), || served(&internet, &[]).0 != old.0);
    let again = renew(&host, &[], 1);
    assert_eq!((again["outcome"].as_str(), ids(&again)), (Some("nothing-to-do"), vec!["drift"]), "{again:#}");

    // Whoever has finished it says so.
    assert_eq!(renew(&host, &["--reload"], 0)["outcome"], "proved");
    assert!(reloads(&host) > reloaded);
    assert_eq!(ids(&renew(&host, &[], 0)), Vec::<&str>::new());
}

/// What somebody else put in our file's place is not written over, and what is served instead is said.
#[test]
fn what_somebody_else_put_there_stays() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    host.ok(&[
        "sh",
        "-c",
        &format!("cat /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem >{LIVE}; postfix reload"),
    ]);
    wait_for("the foreign certificate", Duration::from_secs(20), || internet.s_client(&[]).contains(SNAKE_OIL));
    let (theirs, orders) = (host.read(LIVE), internet.ca_log());
    let done = renew(&host, &[], 1);
    assert!(ids(&done).contains(&"live-changed") && ids(&done).contains(&"served-other"), "{done:#}");
    for finding in done["findings"].as_array().expect("findings").iter().filter(|f| f["id"] != "served-unknown") {
        let hand = finding["evidence"].as_array().expect("lines").iter().filter_map(serde_json::Value::as_str).any(|l| l.starts_with(LIVE));
        assert!(hand, "who changed it, and when: {finding:#}");
    }
    assert_eq!((host.read(LIVE), internet.ca_log().matches("Added order ").count()), (theirs, orders.matches("Added order ").count()));
}

/// A CA that is away is told in its words; what is served goes on being served.
#[test]
fn a_ca_that_is_away_changes_nothing() {
    let mut internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    let (etc, old) = (host.tree("/etc"), served(&internet, &[]));
    internet.stop_ca();
    assert_eq!(ids(&renew(&host, &[], 0)), ["window-unknown"], "nothing is due by its lifetime");
    let failed = renew(&host, &["--force"], 1);
    assert!(failed["error"].as_str().unwrap_or_default().contains("acme.test"), "{failed:#}");
    assert_eq!(differences(&etc, &host.tree("/etc")), Vec::<String>::new());
    assert_eq!(served(&internet, &[]), old);
}

/// The new files do not work and the old ones do: they return. A server that is down is no fault of the new ones: they stay,
/// and are proved when it is back.
#[test]
fn old_files_return_only_where_they_help() {
    let internet = Internet::start();
    let host = internet.mail_host();
    // Else a process that has served a hundred clients makes room for one that reads the new files.
    host.ok(&["postconf", "-e", "max_use = 10000"]);
    outcome(&setup(&host, &[]), 0);
    let (old, files) = (served(&internet, &[]), live(&host));
    let instead = |of_reload: &str| {
        let text = format!(
            "#!/bin/sh\nfor word; do [ \"$word\" != reload ] || {{ {of_reload}; exit 0; }}; done\nexec /usr/sbin/postfix.real \"$@\"\n"
        );
        host.ok(&["sh", "-c", "[ -e /usr/sbin/postfix.real ] || mv /usr/sbin/postfix /usr/sbin/postfix.real"]);
        host.write("/usr/sbin/postfix", text);
        host.ok(&["chmod", "755", "/usr/sbin/postfix"]);
    };
    // A reload that is ignored: processes that the look before has left go on with the old certificate.
    instead(":");
    let back = renew(&host, &["--force"], 1);
    assert_eq!(back["outcome"], "put-back", "{back:#}");
    assert_eq!(live(&host), files);

    instead("/usr/sbin/postfix.real -c /etc/postfix stop");
    let kept = renew(&host, &["--force"], 1);
    assert_eq!(kept["outcome"], "installed", "{kept:#}");
    host.ok(&["sh", "-c", "mv -f /usr/sbin/postfix.real /usr/sbin/postfix; systemctl restart postfix@-"]);
    wait_for("the server", Duration::from_secs(30), || text(&host.run(&["ss", "-Hltn", "sport = :25"])).contains(":25"));
    let done = renew(&host, &[], 0);
    assert_eq!(done["outcome"], "proved", "what was interrupted goes on: {done:#}");
    assert_ne!(served(&internet, &[]), old);
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");
}
