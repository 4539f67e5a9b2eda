//! What the whole program promises to the admin of a stock Debian mail host, on a booted one.

use crate::lab::{
    host::{Entry, differences, text},
    internet::Internet,
    load::{self, Load},
    setup::{SNAKE_OIL, VERIFIED, assert_verifiable, contents, outcome, reloads, setup},
    terminal::{Terminal, lines},
};
use std::{collections::BTreeMap, path::PathBuf};

#[test]
fn setup_is_proved_and_undo_puts_every_byte_back() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = host.tree("/etc");
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));

    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    let ids: Vec<_> = done["findings"].as_array().expect("findings").iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!(ids.iter().filter(|id| **id == "outside-unknown").count(), 1, "{ids:?}");
    assert_verifiable(&internet);
    let log = internet.sender("may").send("root@example.test");
    assert!(log.contains("Trusted TLS connection established to mx1.example.test") && log.contains("status=sent"), "{log}");
    let changed = host.tree("/etc");
    let foreign: Vec<_> = changed
        .iter()
        .filter(|(path, e)| before.get(*path) != Some(e) && !path.starts_with("mxseal") && !path.starts_with("netns"))
        .collect();
    // Its unit for the boot lies among systemd's.
    let known = |path: &PathBuf| path.starts_with("postfix") || path.starts_with("systemd/system");
    assert!(foreign.iter().all(|(path, _)| known(path)), "{foreign:#?}");
    for (path, entry) in changed.iter().filter(|(_, e)| e.mode & 0o170_000 == 0o100_000) {
        let secret = std::fs::read(host.path("/etc").join(path)).expect("a file").windows(11).any(|w| w == b"PRIVATE KEY");
        assert!(!secret || entry.mode & 0o007 == 0, "{} holds a key and is {:o}", path.display(), entry.mode);
    }
    let status = outcome(&host.run(&["mxseal", "status", "--json", "--trust-anchor", "/root/root.pem"]), 0);
    assert!(status.to_string().contains("mx1.example.test"), "{status:#}");

    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    let after = contents(&host.tree("/etc/postfix"));
    assert_eq!(differences(&contents(&before.into_iter().filter_map(below_postfix).collect()), &after), Vec::<String>::new());
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
}

fn below_postfix((path, entry): (PathBuf, Entry)) -> Option<(PathBuf, Entry)> {
    path.strip_prefix("postfix").ok().filter(|p| *p != PathBuf::new()).map(|p| (p.to_owned(), entry))
}

#[test]
fn a_second_setup_touches_nothing() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    let (etc, live, reloads_before, orders) = (host.tree("/etc"), internet.s_client(&[]), reloads(&host), internet.ca_log());
    let again = outcome(&setup(&host, &[]), 0);
    assert_eq!(again["outcome"], "nothing-to-do", "{again:#}");
    assert_eq!(differences(&etc, &host.tree("/etc")), Vec::<String>::new(), "no inode and no time changed");
    assert_eq!(reloads(&host), reloads_before);
    assert_eq!(internet.ca_log(), orders, "the CA was not asked");
    assert!(live.contains(VERIFIED), "{live}");

    // What was answered is kept, so that no flag is needed any more.
    let kept = host.read("/etc/mxseal/mxseal.toml");
    let bare = outcome(&host.run(&["mxseal", "setup", "--json", "--non-interactive", "--yes"]), 0);
    assert_eq!(bare["outcome"], "nothing-to-do", "{bare:#}");
    for line in ["agree-tos = true", "email = \"\"", "acme-ca-file = [\"/root/api-ca.pem\"]", "trust-anchor = [\"/root/root.pem\"]"] {
        assert!(kept.lines().any(|l| l == line), "{line:?} in {kept}");
    }
}

#[test]
fn a_certificate_that_somebody_else_keeps_is_left_alone() {
    let internet = Internet::start();
    let host = internet.mail_host();
    outcome(&setup(&host, &[]), 0);
    // The same certificate in other hands, and no memory of it.
    host.ok(&["cp", "/etc/mxseal/live/mx1.example.test.pem", "/etc/ssl/private/by-hand.pem"]);
    host.ok(&["rm", "-r", "/etc/mxseal", "/var/lib/mxseal"]);
    host.ok(&["postconf", "-e", "smtpd_tls_chain_files = /etc/ssl/private/by-hand.pem"]);
    host.ok(&["systemctl", "reload", "postfix"]);
    let (etc, reloads_before, orders) = (host.tree("/etc"), reloads(&host), internet.ca_log());
    let again = outcome(&setup(&host, &[]), 0);
    assert_eq!(again["outcome"], "nothing-to-do", "{again:#}");
    let said = again["findings"][0]["says"].as_str().unwrap_or_default();
    assert!(again["findings"][0]["id"] == "good-already" && said.contains("/etc/ssl/private/by-hand.pem"), "{again:#}");
    assert_eq!(differences(&etc, &host.tree("/etc")), Vec::<String>::new());
    assert_eq!((reloads(&host), internet.ca_log()), (reloads_before, orders));

    // A person on a terminal is told, and asked nothing.
    let wizard = "mxseal setup --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem";
    let (code, seen) = Terminal::start(|argv| host.command(argv), wizard).end();
    let said = lines(&seen).join(" ");
    assert!(code == 0 && !said.contains('?'), "{seen}");
    for what in ["Somebody else keeps a good certificate here, so nothing was changed.", "mxseal setup --dry-run"] {
        assert!(said.contains(what), "no {what:?} in {seen}");
    }
}

#[test]
fn a_dry_run_and_a_print_leave_the_mail_server_alone() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = host.tree("/etc");
    let planned = outcome(&setup(&host, &["--dry-run"]), 0);
    assert_eq!(planned["outcome"], "planned", "{planned:#}");
    assert_eq!(differences(&before, &host.tree("/etc")), Vec::<String>::new());
    let printed = outcome(&setup(&host, &["--print-only"]), 0);
    assert_eq!(printed["outcome"], "printed", "{printed:#}");
    let postfix = |tree: BTreeMap<PathBuf, Entry>| tree.into_iter().filter_map(below_postfix).collect::<BTreeMap<_, _>>();
    assert_eq!(differences(&postfix(before), &postfix(host.tree("/etc"))), Vec::<String>::new());
    assert_eq!(reloads(&host), 0);
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
}

/// A CA that is not there, does not want, or is not who it should be: a sentence that says so, and nothing changed.
#[test]
fn a_ca_that_fails_changes_nothing() {
    let mut internet = Internet::start();
    let host = internet.mail_host();
    let before = host.tree("/etc");
    let check = |internet: &Internet, case: &str, words: &[&str]| {
        let failed = outcome(&setup(&host, &[]), 1);
        let said = failed["error"].as_str().unwrap_or_default().to_lowercase();
        assert!(words.iter().all(|w| said.contains(w)), "{case}: {failed:#}");
        assert_eq!(differences(&before, &host.tree("/etc")), Vec::<String>::new(), "{case}");
        assert_eq!(reloads(&host), 0, "{case}");
        assert!(internet.s_client(&[]).contains(SNAKE_OIL), "{case}");
    };
    internet.stop_ca();
    check(&internet, "unreachable", &["acme.test"]);
    internet.start_ca(|pebble| pebble["domainBlocklist"] = serde_json::json!(["mx1.example.test"]));
    check(&internet, "refusing", &["mx1.example.test", "refuses"]);
    internet.start_ca(|_| {});
    host.write("/root/api-ca.pem", internet.root());
    check(&internet, "of another authority", &["acme.test"]);
}

/// Rule: a first run on a host that already has DANE makes no sender defer.
#[test]
fn a_host_that_has_tlsa_keeps_what_the_record_says() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let record = host.ok(&["postfix", "tls", "output-server-tlsa", "-h", "mx1.example.test", "/etc/ssl/private/ssl-cert-snakeoil.key"]);
    let digest = record.split_whitespace().last().expect("a digest").to_owned();
    internet.dns.set("example.test", "_25._tcp.mx1", "TLSA", 60, &[&format!("3 1 1 {digest}")]);
    let sender = internet.sender("dane");
    assert!(sender.send("root@example.test").contains("Verified TLS connection"), "the record is right before");
    let ran = setup(&host, &[]);
    let log = sender.send("root@example.test");
    assert!(log.contains("Verified TLS connection") && log.contains("status=sent"), "{}\n{log}", text(&ran));
    assert!(ran.status.code() == Some(0) || text(&ran).to_lowercase().contains("tlsa"), "{}", text(&ran));
}

/// Every message that was accepted while setup and undo ran is delivered, and none was refused.
#[test]
fn mail_flows_through_setup_and_undo() {
    let messages = std::env::var("MXSEAL_LOAD").map_or(3000, |n| n.parse().expect("MXSEAL_LOAD is a number"));
    let internet = Internet::start();
    let host = internet.mail_host();
    let load = Load::start(&internet.net);
    let mut rounds = 0;
    while rounds == 0 || load.accepted() < messages {
        outcome(&setup(&host, &[]), 0);
        assert_verifiable(&internet);
        outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
        rounds += 1;
    }
    let sent = load.finish(messages);
    assert_eq!(sent.complaints, Vec::<String>::new());
    assert_eq!(load::delivered(&host), (sent.accepted, sent.accepted), "every accepted message is delivered once");
    eprintln!("{} messages accepted and delivered through {rounds} x setup and undo", sent.accepted);
}

/// The lab's own proof that it can count: a reload is Postfix's affair, so what goes wrong here is not ours.
#[test]
fn reloads_under_load_lose_nothing() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let load = Load::start(&internet.net);
    for _ in 0..3 {
        host.ok(&["systemctl", "reload", "postfix"]);
    }
    let sent = load.finish(1000);
    assert_eq!(sent.complaints, Vec::<String>::new());
    assert_eq!(load::delivered(&host), (sent.accepted, sent.accepted), "every accepted message is delivered once");
    assert!(reloads(&host) == 3, "{}", host.mail_log());
}

/// ... and that a refusal is seen.
#[test]
fn a_stop_under_load_is_noticed() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let load = Load::start(&internet.net);
    host.ok(&["systemctl", "stop", "postfix"]);
    let sent = load.finish(usize::MAX);
    assert!(sent.complaints.iter().any(|c| c.contains("refused") || c.contains("lost connection")), "{sent:?}");
}
