//! From the keys in use to those that follow: not before every sender may know them, proved as a renewal is, and with the records
//! of the keys before kept as long as somebody may expect them.

use crate::{
    lab::{
        dns::{Signed, own_loopback},
        household::{Household, MX},
        postfix::Postfix,
        primary::{Make, Primary},
        process::{run, wait_for},
        renewal,
        transaction::{CHANGING, Call, calls},
    },
    retreat::{ids, told},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

const TLSA: &str = "_25._tcp.mx.example.test";
const DAY: u64 = 86_400;

/// What the zone's own server says of our keys.
pub(crate) fn zone(house: &Household) -> BTreeSet<String> {
    let said = run(Command::new("kdig").args([&format!("@{}", house.dns.authority.ip()), "+short", TLSA, "TLSA"]));
    said.lines().map(|l| l.to_ascii_lowercase().split_whitespace().skip(3).collect()).collect()
}

pub(crate) fn keys(document: &Value, which: &str) -> Vec<String> {
    let all = document["rollover"][0][which].as_array().unwrap_or_else(|| panic!("{which}: {document:#}"));
    let mut keys: Vec<String> = all.iter().map(|k| k["spki"].as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

pub(crate) fn days_later(house: &Household, days: u64) {
    renewal::days_later(&house.state(), MX, days);
}

pub(crate) fn held(house: &Household, code: i32, id: &str) -> Value {
    let served = house.served();
    let (exit, document) = told(house, "rollover", &[]);
    assert_eq!((exit, &document["outcome"]), (code, &"held".into()), "{document:#}");
    assert!(ids(&document).contains(&id), "no {id}: {document:#}");
    assert_eq!(house.served(), served, "nothing was changed");
    document
}

pub(crate) fn publish(house: &Household) {
    let (_, told) = told(house, "setup", &["--tell", "dane", "--publish", "rfc2136", "--dns-server", &house.dns.authority.to_string()]);
    house.dns.forget();
    assert_eq!(told["dns"]["zones"][0]["state"], "published", "{told:#}");
}

#[test]
fn keys_follow_one_another_and_every_sender_knows_each_in_time() {
    // Another host shares the name, and the keys.
    let other = own_loopback();
    let house = Household::with_servers(Signed::Yes, &format!("mx A {other}"));
    house.keep_port();
    let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "nothing"]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    let first = house.served();
    let (live, twin) = (house.root.join(format!("conf/live/{MX}.pem")), house.root.join("twin.pem"));
    fs::copy(&live, &twin).expect("key and chain");
    assert!(house.status()["rollover"][0].get("seen_since").is_none());

    // Nobody knows the next keys; then everybody does, and not for long enough.
    let missing = held(&house, 1, "rollover-not-told");
    assert!(missing["findings"][0]["evidence"].to_string().contains("has 0 of 2"), "{missing:#}");
    publish(&house);
    let early = held(&house, 1, "rollover-too-new");
    let next = keys(&early, "next");
    assert!(
        early["rollover"][0]["known_from"].as_u64() > early["rollover"][0]["seen_since"].as_u64().map(|s| s + 2 * DAY - 1),
        "{early:#}"
    );
    days_later(&house, 1);
    held(&house, 1, "rollover-too-new");

    // Two days later.
    days_later(&house, 1);
    let (code, planned) = told(&house, "rollover", &["--dry-run"]);
    assert!(code == 0 && planned["outcome"] == "planned" && house.served() == first, "{planned:#}");
    let (code, done) = told(&house, "rollover", &[MX]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    assert_eq!((house.served(), keys(&done, "former")), (next.clone(), first.clone()), "{done:#}");
    let followers = keys(&done, "next");
    assert!(followers.iter().all(|key| !next.contains(key) && !first.contains(key)), "{done:#}");
    assert!(done["proof"].as_array().is_some_and(|all| all.iter().all(|p| p["sessions"].as_u64() >= Some(18))), "{done:#}");

    // The records of the keys before stay; those of the keys that follow are wanted. A renewal keeps the keys.
    let before: BTreeSet<String> = first.iter().chain(&next).cloned().collect();
    assert_eq!(zone(&house), before);
    let (code, waits) = told(&house, "rollover", &[]);
    assert!(code == 1 && waits["outcome"] == "held" && waits["says"].to_string().contains("stay until"), "{waits:#}");
    publish(&house);
    assert_eq!(zone(&house), before.iter().chain(&followers).cloned().collect());
    let renewed = house.run(&[], "renew --force");
    assert!(renewed.0 == 0 && house.served() == next, "{}", renewed.1);

    // Two days after the proof nobody is shown them here. The other host still needs their records, which the timer tells too.
    days_later(&house, 2);
    let mut neighbour = Postfix::new(MX)
        .main(&format!("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {}", twin.display()))
        .master(&format!("{other}:25 inet n - y - - smtpd"));
    neighbour = neighbour.start();
    wait_for("the other host", Duration::from_secs(10), || TcpStream::connect((other, 25)).is_ok());
    let (before, timer) = (zone(&house), |id: &str| {
        let _ = fs::remove_file(house.state().join("watch/told.json"));
        let (code, run) = told(&house, "renew", &[]);
        assert!(code == 1 && ids(&run) == [id], "{id}: {run:#}");
    });
    let needed = held(&house, 1, "rollover-elsewhere");
    assert!(first.iter().any(|key| needed["findings"][0]["evidence"].to_string().contains(key)), "{needed:#}");
    timer("rollover-elsewhere");
    assert_eq!(zone(&house), before);
    neighbour.stop();
    fs::copy(&live, &twin).expect("key and chain");
    neighbour.launch();
    wait_for("the other host", Duration::from_secs(10), || TcpStream::connect((other, 25)).is_ok());
    timer("rollover-retire");

    // They go, and nothing else does.
    let theirs = "ab".repeat(32);
    let all: Vec<String> = zone(&house).into_iter().chain([theirs.clone()]).map(|key| format!("3 1 1 {key}")).collect();
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 300, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let by_hand = held(&house, 1, "rollover-retire");
    assert!(first.iter().all(|key| by_hand["findings"][0]["evidence"].to_string().contains(key)), "{by_hand:#}");
    let settings = house.root.join("conf/mxseal.toml");
    let kept = fs::read_to_string(&settings).expect("settings");
    fs::write(&settings, format!("publish = 'rfc2136'\ndns-server = '{}'\n{kept}", house.dns.authority)).expect("written");
    let (code, gone) = told(&house, "rollover", &[]);
    assert_eq!((code, &gone["outcome"]), (0, &"retired".into()), "{gone:#}");
    assert_eq!(zone(&house), next.iter().chain(&followers).chain([&theirs]).cloned().collect());
    assert!(gone["rollover"][0].get("former").is_none() && house.served() == next, "{gone:#}");
    let left: Vec<bool> = first.iter().map(|key| house.state().join(format!("lineages/{MX}/{key}.key")).exists()).collect();
    assert_eq!(left, [false, false], "nobody needs those keys");
}

#[test]
fn one_server_that_lags_or_is_silent_keeps_the_keys() {
    let second = own_loopback();
    let house = Household::with_servers(Signed::Yes, &format!("@ NS ns2\nns2 A {second}"));
    house.keep_port();
    let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "nothing"]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    publish(&house);
    let silent = held(&house, 3, "rollover-unknown");
    assert!(silent["findings"].to_string().contains("ns2.example.test"), "{silent:#}");
    let lagging = Primary::start_at(SocketAddr::from((second, 53)), Make::Knot, "example.test", 7, "mx A 127.0.0.1");
    let behind = held(&house, 1, "rollover-not-told");
    assert!(behind["findings"][0]["evidence"][0].as_str().is_some_and(|e| e.starts_with("ns2.example.test ")), "{behind:#}");
    for key in zone(&house) {
        lagging.update(&format!("update add {TLSA}. 60 TLSA 3 1 1 {key}"));
    }
    held(&house, 1, "rollover-too-new");
    days_later(&house, 3);
    // It loses them once more: the time begins anew.
    lagging.update(&format!("update delete {TLSA}. TLSA"));
    held(&house, 1, "rollover-not-told");
    for key in zone(&house) {
        lagging.update(&format!("update add {TLSA}. 60 TLSA 3 1 1 {key}"));
    }
    held(&house, 1, "rollover-too-new");
    days_later(&house, 3);
    // Somebody goes back before it is done: what is withdrawn is no longer told.
    house.dns.set("example.test", "_25._tcp.mx", "TLSA", 60, &[]);
    lagging.update(&format!("update delete {TLSA}. TLSA"));
    let (code, back) = told(&house, "undo", &[]);
    assert_eq!((code, &back["outcome"]), (1, &"held".into()), "{back:#}");
    held(&house, 1, "rollover-not-told");
}

#[test]
fn where_nobody_is_told_of_keys_there_is_nothing_to_wait_for() {
    let house = Household::with_servers(Signed::No, "");
    house.keep_port();
    let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "nothing"]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    let first = house.served();
    let said = house.run(&[], "rollover");
    assert!(said.0 == 0 && said.1.contains("no TLSA record is there"), "{}", said.1);
    let (code, again) = told(&house, "rollover", &[]);
    assert_eq!((code, &again["outcome"]), (0, &"proved".into()), "nothing is left of the one before: {again:#}");
    assert!(house.served().iter().all(|key| !first.contains(key)));
    // Keys of a kind that is served no more are followed by none; of one that is served again, by one.
    for (types, count) in [("rsa", 1), ("both", 2)] {
        let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "nothing", "--key-type", types]);
        assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{types}: {done:#}");
        let before = house.served();
        let (code, done) = told(&house, "rollover", &[]);
        assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{types}: {done:#}");
        let after: Vec<String> = house.served().into_iter().filter(|key| key != "none").collect();
        assert!(after.len() == count && after.iter().all(|key| !before.contains(key)), "{types}: {before:?} {after:?}");
        assert_eq!(keys(&done, "next").len(), count, "{types}: {done:#}");
        assert!(done["rollover"][0].get("former").is_none(), "no record names them: {done:#}");
    }
    let (code, wrong) = told(&house, "rollover", &["other.test"]);
    assert!(code == 2 && wrong["error"].as_str().is_some_and(|e| e.starts_with("other.test is in no certificate")), "{wrong:#}");
}

/// Killed anywhere: the keys before or the next ones are served, the timer goes over to nothing, and the same command goes on.
#[test]
fn a_roll_over_killed_anywhere_is_gone_on_with() {
    let house = Household::with_servers(Signed::No, "");
    house.keep_port();
    let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "nothing"]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    let (log, trace) = (house.root.join("trace"), format!("trace={}", CHANGING.replace("openat,", "")));
    // The first one does what later ones find done.
    assert_eq!(house.run(&[], "rollover").0, 0, "{}", house.said());
    let done = house.run(&["strace", "-qq", "-o", log.to_str().expect("UTF-8"), "-e", &trace], "rollover");
    assert_eq!(done.0, 0, "{}", done.1);
    let all: Vec<Call> = calls(&fs::read_to_string(&log).expect("a trace"));
    let mut tally = BTreeMap::<&str, usize>::new();
    let stride = std::env::var("MXSEAL_KILL_STRIDE").map_or(all.len().div_ceil(8), |s| s.parse().expect("a number"));
    for call in all.iter().skip((all.len() - 1) % stride).step_by(stride) {
        let ((_, issued), before, inject) = (house.counted(), house.served(), format!("inject={}", call.inject("signal=KILL")));
        let killed = house.run(&["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject], "rollover");
        let at = format!("killed at {call}");
        assert!(killed.0 == 137 || killed.0 == 0, "{at}: ended with {}: {}", killed.0, killed.1);
        wait_for(&format!("{at}: the guard\n{}", house.said()), Duration::from_secs(5), || !house.is_open());
        let timer = house.run(&[], "renew");
        assert_eq!(timer.0, 0, "{at}: {}", timer.1);
        let served = house.served();
        let went_over = served.iter().all(|key| !before.contains(key));
        assert!(went_over || served == before, "{at}: keys of both are served: {served:?} {before:?}");
        *tally.entry(if went_over { "went over" } else { "stayed" }).or_default() += 1;
        let (code, again) = told(&house, "rollover", &[]);
        assert_eq!((code, &again["outcome"]), (0, &"proved".into()), "{at}, the next run: {again:#}");
        assert!(house.served().iter().all(|key| !served.contains(key)), "{at}");
        // Two key types: what came before the kill is not ordered again.
        assert_eq!(house.counted().1 - issued, if went_over { 4 } else { 2 }, "{at}");
    }
    eprintln!("a roll-over killed at every {stride}th of {} calls: {tally:?}", all.len());
    assert!(tally.contains_key("went over") && tally.contains_key("stayed"), "{tally:?}");
}
