//! The whole way in a signed zone that takes updates, on a booted host: told by one setup, renewed, and taken back again, with
//! all that others put there left alone.

use crate::lab::{
    host::{Host, text},
    internet::{Internet, SENDER},
    process::run,
    renewal::{days_later, ids, renew, served},
    setup::{outcome, setup},
    terminal::Terminal,
};
use serde_json::Value;

const TLSA: &str = "_25._tcp.mx1.example.test";

/// What the zone's own server says, a line a record.
fn zone(internet: &Internet, name: &str, kind: &str) -> Vec<String> {
    let said = run(internet.net.command(SENDER, "kdig").args(["@198.18.0.53", "+short", name, kind]));
    let mut lines: Vec<String> = said.lines().map(str::to_ascii_lowercase).collect();
    lines.sort();
    lines
}

fn told(host: &Host) -> Vec<String> {
    let status = outcome(&host.run(&["mxseal", "status", "--json"]), 0);
    let told = status["told"].as_array().unwrap_or_else(|| panic!("{status:#}"));
    told.iter().filter_map(|t| t["kind"].as_str()).map(ToOwned::to_owned).collect()
}

#[test]
fn one_setup_tells_the_world_and_undo_takes_back_what_it_told() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let way = ["--resolver", "198.18.0.54", "--publish", "rfc2136", "--tell", "dane,tls-rpt"];
    let done = outcome(&setup(&host, &way), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    internet.dns.forget();
    let ours = zone(&internet, TLSA, "TLSA");
    assert!(ours.len() == 4 && ours.iter().all(|r| r.starts_with("3 1 1 ")), "{ours:?}");
    assert_eq!(zone(&internet, "_smtp._tls.example.test", "TXT"), ["\"v=tlsrptv1; rua=mailto:postmaster@example.test;\""]);
    let seen = outcome(&host.run(&["mxseal", "dns", "--wait", "--public-resolver", "198.18.0.54", "--timeout", "2m", "--json"]), 0);
    assert_eq!(seen["wait"]["outlook"], "done", "{seen:#}");
    assert!(told(&host).contains(&"tlsa".to_owned()));

    // Others put theirs beside ours.
    let (second, ca) = (format!("3 1 1 {}", "ab".repeat(32)), format!("2 1 1 {}", "cd".repeat(32)));
    let all: Vec<&str> = ours.iter().map(String::as_str).chain([second.as_str(), ca.as_str()]).collect();
    internet.dns.set("example.test", "_25._tcp.mx1", "TLSA", 60, &all);

    // A renewal keeps the keys, so that no sender is turned away by what it was told.
    let sender = internet.sender("dane");
    let verified = |when: &str| {
        let log = sender.send("postmaster@example.test");
        assert!(log.contains("Verified TLS connection established to mx1.example.test") && log.contains("status=sent"), "{when}: {log}");
    };
    verified("told");
    let before = served(&internet, &[]);
    let done = renew(&host, &["--force"], 0);
    assert!(!ids(&done).iter().any(|id| id.starts_with("published-")), "{done:#}");
    let after = served(&internet, &[]);
    assert!(before.0 != after.0 && before.1 == after.1, "{before:?} {after:?}");
    verified("renewed");

    // The way back begins with the records, and ours alone.
    let files = host.read(host.in_force());
    let held: Value = outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 1);
    assert_eq!(held["outcome"], "held", "{held:#}");
    let mut theirs = vec![second, ca];
    theirs.sort();
    assert_eq!(zone(&internet, TLSA, "TLSA"), theirs, "{held:#}");
    assert_eq!(host.read(host.in_force()), files, "no file goes back while senders may go by what they were told");
    assert!(text(&host.run(&["mxseal", "status"])).contains("mx1.example.test"));
}

#[test]
fn a_sender_by_dane_verifies_before_between_and_after_a_roll_over() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let way = ["--resolver", "198.18.0.54", "--publish", "rfc2136", "--tell", "dane"];
    let done = outcome(&setup(&host, &way), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    internet.dns.forget();
    let sender = internet.sender("dane");
    let verified = |when: &str| {
        let log = sender.send("postmaster@example.test");
        assert!(log.contains("Verified TLS connection established to mx1.example.test") && log.contains("status=sent"), "{when}: {log}");
    };
    verified("before");
    let (first, before) = (zone(&internet, TLSA, "TLSA"), served(&internet, &[]));
    // The timer sees that everybody has the records; that is not long enough.
    renew(&host, &[], 0);
    let rollover = |code| outcome(&host.run(&["mxseal", "rollover", "--json", "--yes"]), code);
    let early = rollover(1);
    assert!(early["outcome"] == "held" && ids(&early) == ["rollover-too-new"], "{early:#}");
    let status = text(&host.run(&["mxseal", "status"])).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains("Next keys") && status.contains(", can be used from 20"), "{status}");

    days_later(&host.path("/var/lib/mxseal"), "mx1.example.test", 2);
    // While a person thinks, the timer may work: what was seen before it counts no more.
    let mut session = Terminal::start(|argv| host.command(argv), "mxseal rollover");
    session.until("Go over to these keys?");
    assert_eq!(renew(&host, &["--force"], 0)["outcome"], "proved");
    session.answer("Go over to these keys?", "y\n");
    let (code, said) = session.end();
    assert!(code == 1 && said.contains("another run changed this host meanwhile") && served(&internet, &[]).1 == before.1, "{said}");
    let done = rollover(0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    let after = served(&internet, &[]);
    assert!(before.1 != after.1, "{before:?} {after:?}");
    verified("between");
    assert_eq!(zone(&internet, TLSA, "TLSA"), first, "what was told stays");

    // The keys that follow are told; two days after the proof those before go.
    let told = outcome(&host.run(&["mxseal", "dns", "--publish", "--json"]), 0);
    assert_eq!(told["zones"][0]["added"].as_array().map(Vec::len), Some(2), "{told:#}");
    internet.dns.forget();
    verified("and told");
    assert_eq!(rollover(1)["outcome"], "held");
    days_later(&host.path("/var/lib/mxseal"), "mx1.example.test", 2);
    assert_eq!(rollover(0)["outcome"], "retired");
    internet.dns.forget();
    let last = zone(&internet, TLSA, "TLSA");
    assert!(last.len() == 4 && last.iter().filter(|r| first.contains(r)).count() == 2, "{first:?} {last:?}");
    verified("after");
    assert_eq!(served(&internet, &[]), after);
    let good = renew(&host, &[], 0);
    assert!(!ids(&good).iter().any(|id| id.starts_with("published-")), "{good:#}");
}
