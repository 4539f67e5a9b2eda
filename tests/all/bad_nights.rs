//! Nights in which a renewal cannot go well: each ends with a valid certificate on the wire and a word to the admin, and the
//! next good run repairs what is left.

use crate::{
    alarm::{letters, wait_for_letter},
    lab::{
        host::{Host, text},
        internet::Internet,
        process::wait_for,
        renewal::{age, hurry, ids, live, renew, renewals, served},
        setup::{assert_verifiable, outcome, setup},
    },
};
use serde_json::Value;
use std::{process::Stdio, time::Duration};

/// A run with a clock that is off by so much.
fn at(host: &Host, shift: &str, more: &[&str], code: i32) -> Value {
    outcome(&host.run(&[&["faketime", "-f", shift, "mxseal", "renew", "--json"], more].concat()), code)
}

fn says<'a>(done: &'a Value, what: &str) -> &'a str {
    let error = done["error"].as_str().unwrap_or_default();
    assert!(error.contains(what), "{done:#}");
    error
}

#[test]
fn a_ca_that_is_away_a_wrong_clock_a_full_disk_and_a_silent_server() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    let orders = || internet.ca_log().matches("Added order ").count();
    let (ordered, files) = (orders(), live(&host));
    let as_it_was = |night: &str| {
        assert_eq!(live(&host), files, "{night}");
        assert_verifiable(&internet);
    };

    // For days nobody reaches the CA.
    host.ok(&["ip", "route", "add", "unreachable", "198.18.0.14"]);
    assert_eq!(ids(&at(&host, "+10d", &[], 0)), ["window-unknown"]);
    for days in ["+61d", "+70d", "+85d"] {
        says(&at(&host, days, &[], 1), "acme.test");
    }
    as_it_was("the CA is away");
    host.ok(&["ip", "route", "del", "unreachable", "198.18.0.14"]);

    // A clock that is off by days is no reason to order.
    for shift in ["+88d", "-30d"] {
        let error = at(&host, shift, &[], 1);
        assert!(says(&error, "nothing was ordered").contains("timedatectl"), "{error:#}");
    }
    assert_eq!(orders(), ordered);
    as_it_was("the clock is off");
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");

    // No room for what is to be kept.
    let fill = "cp -a /var/lib/mxseal /root/state && mount -t tmpfs -o size=1M,mode=700 tmpfs /var/lib/mxseal && \
                cp -a /root/state/. /var/lib/mxseal && ! dd if=/dev/zero of=/var/lib/mxseal/full bs=1k 2>/dev/null";
    host.ok(&["sh", "-c", fill]);
    says(&renew(&host, &["--force"], 1), "No space left on device");
    as_it_was("the disk is full");
    host.ok(&["rm", "/var/lib/mxseal/full"]);
    assert_eq!(renew(&host, &["--force"], 0)["outcome"], "proved");
    host.ok(&[
        "sh",
        "-c",
        "rm -rf /root/state && cp -a /var/lib/mxseal /root/state && umount /var/lib/mxseal && cp -a /root/state/. /var/lib/mxseal",
    ]);

    // One listener does not answer any more: the others are served, and it is told.
    internet.dns.set("example.test", "mx1", "AAAA", 60, &[]);
    host.ok(&["ip", "addr", "del", "fd00::25/64", "dev", "eth0"]);
    let before = live(&host);
    let told = renew(&host, &["--force"], 0);
    assert!(live(&host) != before && ids(&told).contains(&"wire-silent-before"), "{told:#}");
    host.ok(&["ip", "addr", "add", "fd00::25/64", "dev", "eth0", "nodad"]);
    internet.dns.set("example.test", "mx1", "AAAA", 60, &["fd00::25"]);
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");
    assert_verifiable(&internet);

    // The server is stopped.
    host.ok(&["systemctl", "stop", "postfix@-"]);
    let told = renew(&host, &["--force"], 1);
    assert!(told["outcome"] == "installed" && ids(&told).contains(&"server-down"), "{told:#}");
    host.ok(&["systemctl", "start", "postfix@-"]);
    wait_for("the server", Duration::from_secs(30), || text(&host.run(&["ss", "-Hltn", "sport = :25"])).contains(":25"));
    assert_eq!(renew(&host, &[], 0)["outcome"], "proved");
    assert_verifiable(&internet);
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");
}

/// What the CA asks of who came too often: two hours.
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7200\r\nContent-Type: application/problem+json\r\n\
    Connection: close\r\n\r\n{\"type\": \"urn:ietf:params:acme:error:rateLimited\", \"detail\": \"too many requests\"}";
const REST: &str = "/var/lib/mxseal/watch/rest-mx1.example.test.json";

/// Nights of the timer's own service.
#[test]
fn a_busy_ca_a_hook_that_fails_and_a_reload_that_is_ignored() {
    let internet = Internet::start();
    let host = internet.mail_host();
    // Else a process that has served a hundred clients makes room for one that reads the new files.
    host.ok(&["postconf", "-e", "max_use = 10000"]);
    outcome(&setup(&host, &[]), 0);
    let night = |what: &str, good: bool| {
        // More of them in ten seconds than systemd would start.
        let _ = host.run(&["systemctl", "reset-failed", "mxseal-renew.service", "mxseal-alarm.service"]);
        let ended = host.run(&["systemctl", "start", "mxseal-renew.service"]);
        assert_eq!(ended.status.success(), good, "{what}: {}", renewals(&host));
        assert_verifiable(&internet);
    };

    // The CA turns everybody away, and is not asked before the time that it said.
    let (first, files) = (served(&internet, &[]), live(&host));
    hurry(&internet, &host);
    age(&host);
    let door = internet.turn_away(BUSY);
    let rested = |failures: u64, hours: u64| {
        night("the CA is busy", false);
        let mut rest: Value = serde_json::from_str(&host.read(REST)).expect("a rest");
        let (failed, until) = (rest["failed"].as_u64().expect("a moment"), rest["until"].as_u64().expect("a moment"));
        assert_eq!((rest["failures"].as_u64(), rest["asked"].as_bool()), (Some(failures), Some(true)), "{rest:#}");
        assert!((hours * 3600 - 5..=hours * 3600).contains(&(until - failed)), "{rest:#}");
        let insists = renew(&host, &["--force"], 1);
        assert_eq!(insists["outcome"], "rests", "{insists:#}");
        // As if the time had gone by.
        rest["until"] = failed.into();
        host.write(REST, rest.to_string());
    };
    rested(1, 2);
    assert_eq!(letters(&host, "needs you"), 0, "most troubles of a night end in it");
    rested(2, 3);
    wait_for_letter(&host, "needs you: renewal-failed");
    rested(3, 3);
    assert_eq!((live(&host), served(&internet, &[])), (files, first.clone()));
    drop(door);
    internet.open_door();
    night("the CA has time", true);
    wait_for_letter(&host, "all is well again");
    assert_eq!(letters(&host, "needs you"), 1, "{}", host.mailbox());
    let second = served(&internet, &[]);
    assert!(second.0 != first.0 && !host.path(REST).exists());

    // A program of the admin's fails after the change.
    let hook = |script: &str| {
        host.ok(&["mkdir", "-p", "/etc/mxseal/hooks/after.d"]);
        host.write("/etc/mxseal/hooks/after.d/10-test", format!("#!/bin/sh\n{script}\n"));
        host.ok(&["chmod", "755", "/etc/mxseal/hooks/after.d/10-test"]);
    };
    hook("exit 5");
    hurry(&internet, &host);
    night("a hook fails", false);
    wait_for_letter(&host, "needs you: hook-failed");
    assert_ne!(served(&internet, &[]).0, second.0, "what was proved stands");
    hook("touch $MXSEAL_CERTIFICATES.seen");
    hurry(&internet, &host);
    night("the hook is repaired", true);
    assert!(host.path("/etc/mxseal/live/mx1.example.test.pem.seen").exists());
    wait_for("the letter", Duration::from_secs(60), || letters(&host, "all is well again") == 2);

    // The server says that it has read its files again, and goes on with the old ones.
    let (old, files) = (served(&internet, &[]), live(&host));
    host.ok(&["mv", "/usr/sbin/postfix", "/usr/sbin/postfix.real"]);
    let deaf = "#!/bin/sh\nfor word; do [ \"$word\" != reload ] || exit 0; done\nexec /usr/sbin/postfix.real \"$@\"\n";
    host.write("/usr/sbin/postfix", deaf);
    host.ok(&["chmod", "755", "/usr/sbin/postfix"]);
    hurry(&internet, &host);
    night("a reload is ignored", false);
    assert_eq!(live(&host), files);
    wait_for("the letter", Duration::from_secs(60), || letters(&host, "needs you") == 3);
    let orders = internet.ca_log().matches("Added order ").count();
    host.ok(&["mv", "/usr/sbin/postfix.real", "/usr/sbin/postfix"]);
    night("it is heard again", true);
    assert_ne!(served(&internet, &[]).0, old.0);
    assert_eq!(internet.ca_log().matches("Added order ").count(), orders, "what was issued is not ordered again");
}

/// The power goes while a renewal is being proved, and nobody runs anything afterwards.
#[test]
fn after_a_power_cut_in_a_renewal_a_valid_certificate_is_served() {
    let internet = Internet::start();
    let mut host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    let before = live(&host);
    let mut running = host
        .command(&["mxseal", "renew", "--force"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nsenter is in util-linux");
    wait_for("the renewed files", Duration::from_secs(60), || {
        assert!(matches!(running.try_wait(), Ok(None)), "it ended before");
        live(&host) != before
    });
    assert!(host.path("/var/lib/mxseal/journal/open").exists());
    host.cut_power();
    running.wait().expect("nsenter ends");
    assert!(!host.path("/var/lib/mxseal/journal/open").exists());
    assert_verifiable(&internet);
    // What was issued is not ordered again.
    let orders = internet.ca_log().matches("Added order ").count();
    assert_eq!(renew(&host, &[], 0)["outcome"], "proved");
    assert_eq!(internet.ca_log().matches("Added order ").count(), orders);
    assert_verifiable(&internet);
}
