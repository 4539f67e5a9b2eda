//! Many renewals in a row by the timer alone, while mail comes in and a sender goes by DANE.

use crate::lab::{
    host::{Host, Server, text},
    internet::Internet,
    load::{self, Load},
    process::wait_for,
    renewal::{hurry, live, renewals, served},
    setup::{assert_verifiable, outcome, setup},
};
use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// From now on a start of the timer starts its service at once.
const AT_ONCE: &str = "[Timer]\nOnActiveSec=\nOnCalendar=\nOnActiveSec=1ms\nRandomizedDelaySec=0\nAccuracySec=1ms\n";
const RSA: &[&str] = &["-tls1_2", "-cipher", "aRSA"];

#[test]
fn twelve_renewals_by_the_timer_lose_nothing_and_no_dane_sender() {
    renewals_by_the_timer(Server::Postfix, 12);
}

#[test]
fn on_exim_renewals_by_the_timer_lose_nothing_and_no_dane_sender() {
    renewals_by_the_timer(Server::Exim, 4);
}

fn renewals_by_the_timer(server: Server, rounds: usize) {
    let rounds = std::env::var("MXSEAL_RENEWALS").map_or(rounds, |n| n.parse().expect("MXSEAL_RENEWALS is a number"));
    let internet = Internet::start();
    let host = internet.mail_host_with(server);
    outcome(&setup(&host, &[]), 0);
    let mut seen = vec![[served(&internet, &[]), served(&internet, RSA)]];
    let records = seen[0].each_ref().map(|(_, spki)| format!("3 1 1 {spki}"));
    internet.dns.set("example.test", "_25._tcp.mx1", "TLSA", 60, &records.each_ref().map(String::as_str));
    // A timer that is awake would begin as soon as its times are read again.
    host.ok(&["systemctl", "stop", "mxseal-renew.timer"]);
    host.ok(&["mkdir", "/run/systemd/system/mxseal-renew.timer.d"]);
    host.write("/run/systemd/system/mxseal-renew.timer.d/at-once.conf", AT_ONCE);
    host.ok(&["systemctl", "daemon-reload"]);

    let sender = internet.sender("dane");
    let load = if server == Server::Postfix { Load::light(&internet.net) } else { Load::gentle(&internet.net) };
    let (done, mut kept) = (AtomicBool::new(false), Vec::new());
    let by_dane = thread::scope(|scope| {
        let by_dane = scope.spawn(|| {
            let mut logs = Vec::new();
            while !done.load(Ordering::SeqCst) {
                logs.push(sender.send("postmaster@example.test"));
            }
            logs
        });
        // Also where a round fails.
        let _end = End(&done);
        for _ in 0..rounds {
            let before = live(&host);
            hurry(&internet, &host);
            host.ok(&["systemctl", "restart", "mxseal-renew.timer"]);
            let renewed = wait_for_renewal(&host, &before);
            assert!(renewed, "{}\n{}", renewals(&host), host.ok(&["systemctl", "status", "mxseal-renew.timer"]));
            wait_for("its end", Duration::from_secs(60), || state(&host) != "activating");
            assert_eq!(state(&host), "inactive", "{}", renewals(&host));
            seen.push([served(&internet, &[]), served(&internet, RSA)]);
            kept.push(host.tree("/var/lib/mxseal").len());
        }
        done.store(true, Ordering::SeqCst);
        by_dane.join().expect("the DANE sender")
    });
    let sent = load.finish(1);
    assert_eq!(sent.complaints, Vec::<String>::new());
    assert_verifiable(&internet);
    let serials: HashSet<_> = seen.iter().flatten().map(|(serial, _)| serial).collect();
    assert_eq!(serials.len(), 2 * (rounds + 1), "each renewal is a new certificate of each key type");
    for [ecdsa, rsa] in &seen {
        assert_eq!((&ecdsa.1, &rsa.1), (&seen[0][0].1, &seen[0][1].1), "the keys stay");
    }
    let unverified: Vec<_> =
        by_dane.iter().filter(|log| !(log.contains("Verified TLS connection") && log.contains("status=sent"))).collect();
    assert!(unverified.is_empty() && by_dane.len() > rounds, "of {}: {unverified:#?}", by_dane.len());
    let all = sent.accepted + by_dane.len();
    assert_eq!(load::delivered(&host), (all, all), "every accepted message is delivered once");
    // What a renewal leaves replaces what the one before it left.
    assert_eq!(kept[1], kept[rounds - 1], "{kept:?}");
    eprintln!("{rounds} renewals: {} messages accepted and delivered, {} by DANE, all Verified", sent.accepted, by_dane.len());
}

fn wait_for_renewal(host: &Host, before: &str) -> bool {
    let until = std::time::Instant::now() + Duration::from_secs(300);
    while live(host) == before && std::time::Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    live(host) != before
}

fn state(host: &Host) -> String {
    text(&host.run(&["systemctl", "is-active", "mxseal-renew.service"])).trim().to_owned()
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
