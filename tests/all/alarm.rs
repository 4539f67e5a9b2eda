//! Who hears when something needs a human, on a booted host: a letter that arrives, once; the journal; a file of metrics.

use crate::lab::{
    host::{Host, Server, text},
    internet::Internet,
    process::wait_for,
    renewal::age,
    setup::{outcome, reloads, setup},
};
use serde_json::Value;
use std::{
    process::{Child, Stdio},
    time::Duration,
};

fn ids(done: &Value) -> Vec<&str> {
    done["findings"].as_array().expect("findings").iter().filter_map(|f| f["id"].as_str()).collect()
}

fn renew(host: &Host, more: &[&str], code: i32) -> Value {
    outcome(&host.run(&[&["mxseal", "renew", "--json"], more].concat()), code)
}

/// How many letters of ours with these words in the subject lie in the mailbox.
pub fn letters(host: &Host, subject: &str) -> usize {
    let mailbox = host.mailbox();
    mailbox.lines().filter(|l| l.starts_with("Subject: [mxseal] mx1.example.test: ") && l.contains(subject)).count()
}

pub fn wait_for_letter(host: &Host, subject: &str) {
    wait_for(&format!("the letter {subject:?}"), Duration::from_secs(60), || letters(host, subject) > 0);
}

/// What the journal holds under our name.
fn journal(host: &Host, fields: &[&str]) -> String {
    host.ok(&["journalctl", "--sync"]);
    host.ok(&[&["journalctl", "--no-pager", "--output=cat", "SYSLOG_IDENTIFIER=mxseal"], fields].concat())
}

const DRIFT: &[&str] = &["sh", "-c", "echo 'smtpd_banner = half finished' >>/etc/postfix/main.cf"];

#[test]
fn what_changes_is_told_once() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let done = outcome(&setup(&host, &[]), 0);
    let test = done["findings"].as_array().unwrap().iter().rfind(|f| f["id"] == "alarm-test").expect("a test alarm");
    assert!(test["verdict"] == "pass" && test["evidence"][0].as_str().is_some_and(|l| l.contains("status=sent")), "{test:#}");
    wait_for_letter(&host, "a test alarm");
    assert_eq!(ids(&renew(&host, &[], 0)), Vec::<&str>::new());
    assert_eq!(letters(&host, ""), 1, "nothing is written while all is well");

    host.ok(DRIFT);
    assert_eq!(ids(&renew(&host, &[], 1)), ["drift"]);
    wait_for_letter(&host, "needs you: drift");
    let mailbox = host.mailbox();
    for line in [
        "From: \"mxseal on mx1.example.test\" <postmaster@example.test>",
        "To: <postmaster@example.test>",
        "Auto-Submitted: auto-generated",
        "Previously",
        "  all is well",
        "  mxseal renew --reload",
    ] {
        assert!(mailbox.lines().any(|l| l == line), "{line:?} in {mailbox}");
    }
    assert_eq!(outcome(&host.run(&["mxseal", "alarm", "--json"]), 0)["outcome"], "nothing-to-do");
    let status = outcome(&host.run(&["mxseal", "status", "--json"]), 1);
    assert_eq!(
        (status["run"]["findings"][0]["id"].as_str(), status["alarm"]["to"].as_str()),
        (Some("drift"), Some("postmaster@example.test"))
    );
    renew(&host, &[], 1);
    assert!(journal(&host, &["MXSEAL_FINDING=drift", "PRIORITY=4", "MXSEAL_LINEAGE=mx1.example.test"]).lines().count() == 2);

    renew(&host, &["--reload"], 0);
    wait_for_letter(&host, "all is well again");
    let page = text(&host.run(&["mxseal", "status"]));
    assert!(page.contains("TLS1.3 ecdsa mx1.example.test") && page.contains(" seconds ago (") && page.lines().count() < 24, "{page}");
    wait_for("an empty queue", Duration::from_secs(30), || host.queue_is_empty());
    assert_eq!((letters(&host, "drift"), letters(&host, "")), (1, 3), "{}", host.mailbox());

    // A timer that is dead cannot say so; whoever looks is told.
    outcome(&host.run(&["faketime", "-f", "+20h", "mxseal", "status", "--json"]), 0);
    let silent = outcome(&host.run(&["faketime", "-f", "+2d", "mxseal", "status", "--live", "--json"]), 1);
    assert_eq!(ids(&silent), ["watch-silent"], "{silent:#}");
}

/// A run that is ended from outside cannot tell; the unit that its failure starts does. A letter that nobody takes is told by
/// the journal, and is written by the next run.
#[test]
fn what_a_run_cannot_tell_is_told_for_it() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &["--alarm", "root@example.test"]), 0);
    assert!(host.read("/etc/mxseal/mxseal.toml").contains("alarm = \"root@example.test\""));

    host.ok(&["mkdir", "/run/systemd/system/mxseal-renew.service.d"]);
    host.write("/run/systemd/system/mxseal-renew.service.d/soon.conf", "[Service]\nTimeoutStartSec=1s\n");
    host.ok(&["systemctl", "daemon-reload"]);
    internet.hang_ca(true);
    assert!(!host.run(&["systemctl", "start", "mxseal-renew.service"]).status.success());
    wait_for_letter(&host, "needs you: run-died");
    internet.hang_ca(false);
    host.ok(&["rm", "-r", "/run/systemd/system/mxseal-renew.service.d"]);
    host.ok(&["systemctl", "daemon-reload"]);
    host.ok(&["systemctl", "start", "mxseal-renew.service"]);
    wait_for_letter(&host, "all is well again");

    host.ok(DRIFT);
    host.ok(&["mv", "/usr/sbin/sendmail", "/usr/sbin/sendmail.away"]);
    assert_eq!(ids(&renew(&host, &[], 1)), ["drift", "alarm-unsent"]);
    assert!(!journal(&host, &["MXSEAL_FINDING=drift", "PRIORITY=2"]).is_empty());
    host.ok(&["mv", "/usr/sbin/sendmail.away", "/usr/sbin/sendmail"]);
    assert_eq!(outcome(&host.run(&["mxseal", "alarm", "--json"]), 0)["outcome"], "told");
    wait_for_letter(&host, "needs you: drift");
    outcome(&host.run(&["mxseal", "alarm", "--json"]), 0);

    // Another address needs no other change.
    let done = outcome(&setup(&host, &["--alarm", "postmaster@example.test"]), 0);
    assert_eq!((done["outcome"].as_str(), ids(&done).contains(&"alarm-test")), (Some("nothing-to-do"), true), "{done:#}");
    assert!(host.read("/etc/mxseal/mxseal.toml").contains("alarm = \"postmaster@example.test\""));
    let again = outcome(&setup(&host, &["--alarm", "postmaster@example.test"]), 0);
    assert!(!ids(&again).contains(&"alarm-test"), "{again:#}");

    let refused = outcome(&host.run(&["mxseal", "setup", "--json", "--alarm", "two words"]), 2);
    assert!(refused["error"].as_str().is_some_and(|e| e.contains("is no address")), "{refused:#}");
    host.write(
        "/etc/mxseal/mxseal.toml",
        host.read("/etc/mxseal/mxseal.toml").replace("postmaster@example.test", "nobody-here@example.test"),
    );
    let back = outcome(&host.run(&["mxseal", "alarm", "--test", "--json"]), 1);
    assert!(back["findings"][0]["evidence"][0].as_str().is_some_and(|l| l.contains("status=bounced")), "{back:#}");
    wait_for("an empty queue", Duration::from_secs(30), || host.queue_is_empty());
    assert_eq!(letters(&host, "needs you: drift"), 1);
}

/// Under the unit's restrictions too.
#[test]
fn exim_delivers_an_alarm() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Exim);
    let done = outcome(&setup(&host, &[]), 0);
    let test = done["findings"].as_array().unwrap().iter().rfind(|f| f["id"] == "alarm-test").expect("a test alarm");
    assert!(test["verdict"] == "pass" && test["evidence"][0].as_str().is_some_and(|l| l.contains(" => ")), "{test:#}");
    host.ok(&["sh", "-c", "echo '# half finished' >>/etc/exim4/exim4.conf.template"]);
    assert!(!host.run(&["systemctl", "start", "mxseal-renew.service"]).status.success());
    wait_for_letter(&host, "needs you: drift");
}

/// A renewal that fails rests; who insists is heard; the CA's own wish is above both.
#[test]
fn a_renewal_that_fails_rests() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &["--textfile", "/root/mxseal.prom"]), 0);
    internet.dns.set("example.test", "mx1", "A", 60, &["198.18.0.26"]);
    internet.dns.set("example.test", "mx1", "AAAA", 60, &[]);
    let failed = renew(&host, &["--force"], 1);
    assert!(failed["error"].as_str().is_some_and(|e| e.contains("It failed once, and is tried again from")), "{failed:#}");
    wait_for_letter(&host, "needs you: renewal-failed");

    // Due, and not tried.
    age(&host);
    let asked = internet.ca_log().len();
    let rests = renew(&host, &[], 1);
    assert_eq!((rests["outcome"].as_str(), ids(&rests)), (Some("rests"), vec!["renewal-failed"]), "{rests:#}");
    assert_eq!(internet.ca_log().len(), asked, "the CA was not asked");
    let page = text(&host.run(&["mxseal", "status"]));
    assert!(page.contains("Renewal        failed 1 times, tried again from"), "{page}");

    internet.dns.set("example.test", "mx1", "A", 60, &["198.18.0.25"]);
    assert_eq!(renew(&host, &["--force"], 0)["outcome"], "proved");
    wait_for_letter(&host, "all is well again");
    assert_eq!(letters(&host, "renewal-failed"), 1);

    let metrics = host.read("/root/mxseal.prom");
    for served in ["ecdsa", "rsa"] {
        let line =
            format!("mxseal_served_not_after_seconds{{address=\"198.18.0.25:25\",name=\"mx1.example.test\",key_type=\"{served}\"}} 18");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(metrics.contains("\nmxseal_last_run_exit_status 0\n") && metrics.contains("\nmxseal_last_proof_seconds "), "{metrics}");
    assert_eq!(host.ok(&["stat", "-c", "%a", "/root/mxseal.prom"]), "644\n");
}

/// A program of the admin's that fails before a change stops it; one after it is owed until it ends well, whoever dies.
#[test]
fn hooks_run_beside_a_change() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let hook = |when: &str, script: &str| {
        host.ok(&["mkdir", "-p", &format!("/etc/mxseal/hooks/{when}.d")]);
        let path = format!("/etc/mxseal/hooks/{when}.d/10-test");
        host.write(&path, format!("#!/bin/sh\n{script}\n"));
        host.ok(&["chmod", "755", &path]);
    };
    hook("after", "echo $MXSEAL_EVENT $MXSEAL_SERVER $MXSEAL_NAMES $MXSEAL_CERTIFICATES >>/root/ran");
    outcome(&setup(&host, &[]), 0);
    let live = "/etc/mxseal/live/mx1.example.test.pem";
    assert_eq!(host.read("/root/ran"), format!("setup postfix mx1.example.test {live}\n"));

    hook("before", "echo not now; exit 4");
    let (before, reloaded) = (host.read(live), reloads(&host));
    let stopped = renew(&host, &["--force"], 1);
    assert!(stopped["topic"] == "hook-failed" && stopped["error"].as_str().unwrap().contains("ended with 4\nnot now"), "{stopped:#}");
    assert_eq!((host.read(live), reloads(&host)), (before.clone(), reloaded), "nothing was touched");
    host.ok(&["rm", "-r", "/etc/mxseal/hooks/before.d"]);

    hook("after", "exit 5");
    let done = renew(&host, &[], 1);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert!(ids(&done).contains(&"hook-failed"), "{done:#}");
    let proved = host.read(live);
    assert_ne!(proved, before);
    wait_for_letter(&host, "needs you: hook-failed");
    // A run that is killed in its hook leaves it owed.
    hook("after", "kill -KILL $PPID");
    assert!(!host.run(&["mxseal", "renew"]).status.success());
    hook("after", "echo $MXSEAL_EVENT again >>/root/ran");
    assert_eq!(ids(&renew(&host, &[], 0)), Vec::<&str>::new());
    assert!(host.read("/root/ran").ends_with("\nrenew again\n"), "{}", host.read("/root/ran"));
    renew(&host, &[], 0);
    assert_eq!((host.read("/root/ran").lines().count(), host.read(live)), (2, proved), "once, and nothing else is done again");

    host.ok(&["chmod", "o+w", "/etc/mxseal/hooks/after.d/10-test"]);
    assert_eq!(renew(&host, &["--force"], 1)["topic"], "hook-unsafe");
    host.ok(&["chmod", "o-w", "/etc/mxseal/hooks/after.d/10-test"]);
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert!(host.read("/root/ran").ends_with("\nundo again\n"), "{}", host.read("/root/ran"));
}

#[test]
fn one_run_at_a_time() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    internet.hang_ca(true);
    let mut first: Child = host
        .command(&["mxseal", "renew", "--json", "--force"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("nsenter is in util-linux");
    wait_for("a run at work", Duration::from_secs(30), || {
        assert!(matches!(first.try_wait(), Ok(None)), "it waits for the CA");
        host.path("/var/lib/mxseal/watch/run.json").exists()
    });
    let second = renew(&host, &[], 1);
    assert_eq!(second["topic"], "run-busy", "{second:#}");
    outcome(&host.run(&["mxseal", "alarm", "--json"]), 0);
    internet.hang_ca(false);
    assert!(first.wait_with_output().expect("its end").status.success());
    wait_for("an empty queue", Duration::from_secs(30), || host.queue_is_empty());
    assert_eq!((letters(&host, ""), reloads(&host)), (1, 2), "{}", host.mailbox());
}
