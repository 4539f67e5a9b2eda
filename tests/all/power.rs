//! A power cut in the middle of a change: the host boots on the old configuration, whole, before the mail server starts.

use crate::lab::{
    host::{Host, differences, text},
    internet::Internet,
    process::{run, wait_for},
    setup::{ANSWERS, SNAKE_OIL, VERIFIED, assert_verifiable, contents, kill, outcome, setup, start, until_changed},
};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// What setup installs, as a package would.
const UNITS: [(&str, &str); 3] = [
    ("mxseal-recover.service", include_str!("../../packaging/systemd/mxseal-recover.service")),
    ("mxseal-renew.service", include_str!("../../packaging/systemd/mxseal-renew.service")),
    ("mxseal-renew.timer", include_str!("../../packaging/systemd/mxseal-renew.timer")),
];
/// The first line of those that setup wrote.
const MARK: &str = "# mxseal wrote this file, and takes it away with the last change.\n";
/// What enables them.
const LINKS: [&str; 2] = ["multi-user.target.wants/mxseal-recover.service", "timers.target.wants/mxseal-renew.timer"];

/// What lies of all that where an admin's units do.
fn units(host: &Host) -> Vec<&'static str> {
    let all = UNITS.iter().map(|(name, _)| *name).chain(LINKS);
    all.filter(|name| host.path(&format!("/etc/systemd/system/{name}")).symlink_metadata().is_ok()).collect()
}

fn all_units() -> Vec<&'static str> {
    UNITS.iter().map(|(name, _)| *name).chain(LINKS).collect()
}

fn property(host: &Host, unit: &str, name: &str) -> String {
    host.ok(&["systemctl", "show", "--value", "-p", name, unit]).trim().to_owned()
}

#[test]
fn the_units_are_sound() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for (name, unit) in UNITS {
        // The program is not installed where the tests run.
        std::fs::write(file(name), unit.replace("/usr/bin/mxseal", env!("CARGO_BIN_EXE_mxseal"))).unwrap();
    }
    let said = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(UNITS.map(|(name, _)| file(name))).output();
    let said = String::from_utf8_lossy(&said.expect("systemd-analyze").stderr).into_owned();
    assert!(!said.contains("mxseal-re"), "{said}");
    // No more than the manual says, in tenths.
    for (name, exposure) in [("mxseal-recover.service", 34), ("mxseal-renew.service", 42)] {
        let mut analyze = Command::new("systemd-analyze");
        run(analyze.args(["security", "--offline=true", "--no-pager", &format!("--threshold={exposure}")]).arg(file(name)));
    }
}

#[test]
fn after_a_power_cut_the_mail_server_starts_on_the_old_configuration() {
    let internet = Internet::start();
    let mut host = internet.mail_host();
    let before = contents(&host.tree("/etc/postfix"));
    let main = host.read("/etc/postfix/main.cf");
    let mut running = start(&host);
    until_changed(&host, &mut running, &main);
    // The guard dies with everybody else.
    host.cut_power();
    running.wait().expect("nsenter ends");

    assert_eq!(differences(&before, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new(), "{}", journal(&host));
    assert!(!host.path("/var/lib/mxseal/journal/open").exists());
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
    assert!(journal(&host).contains("which does not run, will read them when it starts"), "{}", journal(&host));
    assert_eq!(property(&host, "mxseal-recover", "Result"), "success");
    let at = |unit, name| property(&host, unit, name).parse::<u64>().expect("microseconds");
    // Its private /dev is made in /tmp, which is emptied at boot.
    let (cleaned, awake) =
        (at("systemd-tmpfiles-setup", "ExecMainExitTimestampMonotonic"), at("mxseal-recover", "ExecMainStartTimestampMonotonic"));
    assert!(cleaned > 0 && cleaned <= awake, "/tmp was clean at {cleaned}, the unit began at {awake}");
    let (settled, started) = (at("mxseal-recover", "ExecMainExitTimestampMonotonic"), at("postfix@-", "ExecMainStartTimestampMonotonic"));
    let began = if started == 0 { at("postfix@-", "InactiveExitTimestampMonotonic") } else { started };
    assert!(settled > 0 && settled < began, "settled at {settled}, Postfix began at {began}");

    outcome(&setup(&host, &[]), 0);
    assert_verifiable(&internet);
    // Once more, with nothing to settle and everything in place: the unit does not even start.
    host.cut_power();
    assert_eq!(property(&host, "mxseal-recover", "ConditionResult"), "no");
    assert!(internet.s_client(&[]).contains(VERIFIED));
}

/// The units come with the first change, stay while one stands, and go when none does: also when it was put back.
#[test]
fn the_units_come_and_go_with_the_change() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = contents(&host.tree("/etc/systemd"));
    let done = outcome(&setup(&host, &["--dry-run"]), 0);
    assert!(done["findings"].to_string().contains("a timer and a boot unit"), "{done:#}");
    assert_eq!(units(&host), [""; 0]);

    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(units(&host), all_units());
    for (name, text) in UNITS {
        assert_eq!(host.read(&format!("/etc/systemd/system/{name}")), format!("{MARK}{text}"));
    }
    assert_eq!(host.ok(&["systemctl", "is-enabled", "mxseal-recover.service", "mxseal-renew.timer"]), "enabled\nenabled\n", "{done:#}");
    assert_eq!(property(&host, "mxseal-renew.timer", "ActiveState"), "active");
    assert_eq!(property(&host, "mxseal-renew.service", "ActiveState"), "inactive", "not while setup runs");
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(units(&host), [""; 0]);
    assert_eq!(property(&host, "mxseal-renew.timer", "LoadState"), "not-found");
    assert_eq!(property(&host, "mxseal-renew.timer", "ActiveState"), "inactive");
    assert!(!host.path("/var/lib/systemd/timers/stamp-mxseal-renew.timer").exists());

    // A run that dies leaves them to its guard, which is the last to leave.
    let main = host.read("/etc/postfix/main.cf");
    let mut running = start(&host);
    until_changed(&host, &mut running, &main);
    assert_eq!(units(&host), all_units());
    kill(running);
    wait_for("the guard", Duration::from_secs(30), || units(&host).is_empty());
    assert_eq!(host.read("/etc/postfix/main.cf"), main);
    assert_eq!(differences(&before, &contents(&host.tree("/etc/systemd"))), Vec::<String>::new());

    // So does one that dies before it changed anything, while systemd is told: that goes on without it, and comes too late.
    let late = "#!/bin/sh\ncase \"$*\" in\n*' enable '*) >/run/asked; until [ -e /run/go ]; do sleep 0.1; done; \
                /usr/bin/systemctl \"$@\" >/dev/null 2>&1; >/run/told;;\n*) exec /usr/bin/systemctl \"$@\";;\nesac\n";
    host.write("/usr/local/bin/systemctl", late);
    host.ok(&["chmod", "755", "/usr/local/bin/systemctl"]);
    let running = start(&host);
    wait_for("systemctl enable", Duration::from_secs(60), || host.path("/run/asked").exists());
    assert_eq!(units(&host), UNITS.map(|(name, _)| name));
    host.write("/etc/systemd/system/mxseal-recover.service.mxseal", "half of it");
    kill(running);
    wait_for("the guard", Duration::from_secs(30), || units(&host).is_empty());
    host.write("/run/go", "");
    wait_for("the end of systemctl", Duration::from_secs(30), || host.path("/run/told").exists());
    assert_eq!(host.read("/etc/postfix/main.cf"), main);
    assert_eq!(differences(&before, &contents(&host.tree("/etc/systemd"))), Vec::<String>::new());
    host.ok(&["rm", "/usr/local/bin/systemctl"]);

    // A unit that the admin has masked stays so.
    let mask = "/etc/systemd/system/mxseal-renew.timer";
    host.ok(&["ln", "-s", "/dev/null", mask]);
    let done = outcome(&setup(&host, &[]), 0);
    assert!(!done["findings"].to_string().contains("could not be installed"), "{done:#}");
    assert_eq!(units(&host), [UNITS[0].0, UNITS[1].0, UNITS[2].0, LINKS[0]]);
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(units(&host), [UNITS[2].0]);
    host.ok(&["rm", mask]);

    // A folder that cannot be written is no reason to stay without TLS.
    host.ok(&["sh", "-c", "mount --bind -o ro /etc/systemd /etc/systemd"]);
    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert!(done["findings"].to_string().contains("could not be installed"), "{done:#}");
}

/// Root's timer never starts what another than root could exchange: that is said before, and setup goes on without.
#[test]
fn a_program_that_others_may_write_gets_no_timer() {
    let internet = Internet::start();
    let host = internet.mail_host();
    host.ok(&["sh", "-c", "mkdir /srv/bin && cp /usr/bin/mxseal /srv/bin && chown nobody /srv/bin"]);
    let from_there = |more: &[&str]| outcome(&host.run(&[&["/srv/bin/mxseal", "setup", "--json"], ANSWERS, more].concat()), 0);
    let told = |done: &serde_json::Value| {
        let findings: Vec<_> = done["findings"].as_array().expect("findings").iter().filter(|f| f["id"] == "units").cloned().collect();
        assert_eq!(findings.len(), 1, "{done:#}");
        findings[0].to_string()
    };
    let planned = told(&from_there(&["--dry-run"]));
    assert!(planned.contains("others than root may write /srv/bin\"") && planned.contains("sudo install -m 755"), "{planned}");
    let done = from_there(&[]);
    assert_eq!((done["outcome"].as_str(), units(&host)), (Some("proved"), vec![]), "{done:#}");
    assert_eq!(told(&done), planned);
    assert_eq!(told(&from_there(&[])), planned, "again, as long as nobody renews");

    // From where only root writes it, the same command brings them.
    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!((done["outcome"].as_str(), units(&host)), (Some("nothing-to-do"), all_units()), "{done:#}");
    assert!(told(&done).contains("come now"), "{done:#}");
    // The admin's own unit in our place stays.
    let own = "/etc/systemd/system/mxseal-renew.timer";
    host.write(own, format!("# mine\n{}", UNITS[2].1));
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert_eq!(units(&host), [UNITS[2].0, LINKS[1]]);
}

/// By hand on a running server, under the unit's own restrictions: the server is told.
#[test]
fn the_unit_may_do_all_that_its_work_needs() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = contents(&host.tree("/etc/postfix"));
    let main = host.read("/etc/postfix/main.cf");
    let mut running = host
        .command(&[&["sh", "-c", "mxseal setup --json \"$@\" & echo $! >/run/setup.pid; wait", "sh"], ANSWERS].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nsenter");
    until_changed(&host, &mut running, &main);
    // Guard and setup, stopped before they are killed: neither sees the other die.
    let kill_both = "p=$(cat /run/setup.pid); all=\"$p $(cat /proc/$p/task/*/children)\"; kill -STOP $all; kill -KILL $all";
    host.ok(&["sh", "-c", kill_both]);
    running.wait().expect("nsenter ends");
    assert!(host.path("/var/lib/mxseal/journal/open").exists(), "nobody settled it");
    let started = host.run(&["systemctl", "start", "mxseal-recover"]);
    assert!(started.status.success(), "{}{}", text(&started), journal(&host));
    assert!(journal(&host).contains("every file is as before\n"), "{}", journal(&host));
    assert_eq!(differences(&before, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new());
    wait_for("the old certificate", Duration::from_secs(10), || internet.s_client(&[]).contains(SNAKE_OIL));
}

fn journal(host: &Host) -> String {
    host.ok(&["journalctl", "--no-pager", "--output=cat", "-u", "mxseal-recover"])
}
