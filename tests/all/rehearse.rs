//! A rehearsal shows everything and changes nothing: on a booted stock host, on odd ones, with every fault, and killed.

use crate::lab::{
    host::{Entry, Host, differences},
    internet::Internet,
    process::wait_for,
    setup::{SNAKE_OIL, outcome, setup},
};
use clap::ValueEnum as _;
use mxseal::rehearsal::Fault;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What must not change: content, owner, mode, inode and time of everything but mail and locks.
fn everything(host: &Host) -> BTreeMap<PathBuf, Entry> {
    let mut all = host.tree("/etc");
    let moves = ["incoming", "active", "deferred", "defer", "bounce", "maildrop", "pid"];
    let queue = host.tree("/var/spool/postfix").into_iter().filter(|(path, _)| !moves.iter().any(|m| path.starts_with(m)));
    all.extend(queue.map(|(path, entry)| (PathBuf::from("/var/spool/postfix").join(path), entry)));
    all
}

fn masters(host: &Host) -> String {
    host.ok(&["sh", "-c", "cat /proc/[0-9]*/comm | grep -c '^master$' || true"]).trim().to_owned()
}

pub fn rehearse(host: &Host, more: &[&str]) -> std::process::Output {
    host.run(&[&["mxseal", "rehearse", "--json"], more].concat())
}

/// The addresses that were proved, with what was expected of each.
pub fn proved(shown: &Value) -> Vec<(String, String)> {
    let one = |p: &Value| (p["address"].as_str().unwrap_or_default().to_owned(), p["expected"].as_str().unwrap_or_default().to_owned());
    shown["proof"].as_array().expect("a proof").iter().map(one).collect()
}

#[test]
fn everything_is_shown_and_nothing_is_changed() {
    let internet = Internet::start();
    let host = internet.mail_host();
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
    wait_for("the end of that conversation", Duration::from_secs(10), || host.mail_log().contains("disconnect from"));
    let (before, log) = (everything(&host), host.mail_log());

    let shown = outcome(&rehearse(&host, &[]), 0);
    assert_eq!(shown["outcome"], "proved", "{shown:#}");
    assert_eq!(shown["host"]["unchanged"], true, "{shown:#}");
    let diff = shown["plan"]["diff"].as_str().expect("a diff");
    assert!(diff.contains("+smtpd_tls_chain_files = /etc/mxseal/live/mx1.example.test.pem"), "{diff}");
    assert!(proved(&shown).contains(&("198.18.0.25:25".to_owned(), "ours".to_owned())), "{shown:#}");
    // A policy is served in the room too, and announced only because it came as senders fetch it.
    let told: Vec<&str> = shown["dns"]["records"].as_array().expect("records").iter().filter_map(|r| r["name"].as_str()).collect();
    let tlsa = "_25._tcp.mx1.example.test";
    let expected = ["_smtp._tls.example.test", tlsa, tlsa, tlsa, tlsa, "mta-sts.example.test", "_mta-sts.example.test"];
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let (told, expected) = (told.iter().map(ToString::to_string).collect(), expected.map(str::to_owned).to_vec());
    assert_eq!(sorted(told), sorted(expected), "{shown:#}");
    let list = shown["findings"].as_array().expect("findings").iter().find(|f| f["id"] == "list-eligible");
    assert!(list.is_some_and(|f| f["subject"].to_string().contains("example.test")), "{shown:#}");

    assert_eq!(differences(&before, &everything(&host)), Vec::<String>::new());
    assert_eq!(host.mail_log(), log, "the live server heard nothing");
    assert_eq!(masters(&host), "1");
    assert!(!host.path("/var/lib/mxseal").exists() && !host.path("/run/mxseal").exists());

    // Killed in whatever way it leaves nothing, and mail is delivered.
    for signal in ["KILL", "TERM"] {
        let script = format!(
            "mxseal rehearse --keep & while [ $(cat /proc/[0-9]*/comm | grep -c '^master$') = 1 ]; do sleep 0.1; done; kill -{signal} $!; wait $!; echo $?"
        );
        let said = host.ok(&["sh", "-c", &script]);
        assert!(said.trim().ends_with(if signal == "KILL" { "137" } else { "1" }), "{said}");
        wait_for("the end of the copy", Duration::from_secs(10), || masters(&host) == "1");
        let left = host.ok(&["sh", "-c", "grep -lz '^stage$' /proc/[0-9]*/cmdline || true"]);
        assert_eq!(left, "");
    }
    assert_eq!(differences(&before, &everything(&host)), Vec::<String>::new());
    let log = internet.sender("may").send("root@example.test");
    assert!(log.contains("status=sent"), "{log}");
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));

    // Where setup has nothing left to do it says so, and recoveries can be watched all the same.
    outcome(&setup(&host, &[]), 0);
    let (before, trust) = (everything(&host), ["--trust-anchor", "/root/root.pem"]);
    let shown = outcome(&rehearse(&host, &trust), 0);
    assert_eq!(shown["outcome"], "nothing-to-do", "{shown:#}");
    let shown = outcome(&rehearse(&host, &[&trust[..], &["--fault", "killed"]].concat()), 0);
    assert_eq!(shown["outcome"], "recovered", "{shown:#}");
    assert_eq!(differences(&before, &everything(&host)), Vec::<String>::new());
}

#[test]
fn with_every_fault_it_ends_as_promised() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let before = everything(&host);
    let faults: Vec<String> = Fault::value_variants().iter().map(|f| f.name()).collect();
    assert!(faults.len() >= 10, "{faults:?}");
    for some in faults.chunks(3) {
        std::thread::scope(|scope| {
            let run = |fault: &String| {
                let shown = outcome(&rehearse(&host, &["--fault", fault]), 0);
                assert_eq!(
                    (&shown["outcome"], &shown["host"]["unchanged"]),
                    (&Value::from("recovered"), &Value::from(true)),
                    "{fault}: {shown:#}"
                );
            };
            for fault in some {
                scope.spawn(move || run(fault));
            }
        });
    }
    assert_eq!(differences(&before, &everything(&host)), Vec::<String>::new());
    assert_eq!(masters(&host), "1");
}

/// Everything that would ask, log, deliver or write elsewhere; most of it is not there, and must not be missed.
const TRAPS: &str = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n\
    smtpd_milters = inet:127.0.0.1:8891, unix:/run/opendkim/sock\nnon_smtpd_milters = $smtpd_milters\ncontent_filter = scan:[127.0.0.1]:10024\n\
    maillog_file = /var/log/postfix.log\nmulti_instance_enable = yes\nmulti_instance_wrapper = /bin/false\n\
    transport_maps = inline:{ example.test=lmtp:unix:private/lmtp }\n\
    smtpd_recipient_restrictions = permit_mynetworks, reject_rbl_client rbl.example.test, check_policy_service inet:127.0.0.1:10023\n";
const TRAPPED_SERVICES: &str = "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes\n  \
    -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n465 inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes\n  \
    -o smtpd_milters=inet:localhost:8892\nscan unix - - n - - smtp\n";

#[test]
fn on_an_odd_host_that_is_stopped_too() {
    let internet = Internet::start();
    let host = internet.mail_host();
    host.ok(&["systemctl", "stop", "postfix"]);
    wait_for("the end of Postfix", Duration::from_secs(20), || masters(&host) == "0");
    host.ok(&["sh", "-c", "mkdir -p /srv/mail && mv /etc/postfix/main.cf /srv/mail/ && ln -s /srv/mail/main.cf /etc/postfix/main.cf"]);
    for (file, more) in [("/srv/mail/main.cf", TRAPS), ("/etc/postfix/master.cf", TRAPPED_SERVICES)] {
        host.write(file, host.read(file) + more);
    }
    let (before, log) = (everything(&host), host.mail_log());
    let shown = outcome(&rehearse(&host, &[]), 0);
    assert_eq!(shown["outcome"], "proved", "{shown:#}");
    for address in ["198.18.0.25:25", "198.18.0.25:465", "198.18.0.25:587", "[fd00::25]:587"] {
        assert!(proved(&shown).contains(&(address.to_owned(), "ours".to_owned())), "{address}: {shown:#}");
    }
    let diff = shown["plan"]["diff"].as_str().expect("a diff");
    assert!(diff.contains("/srv/mail/main.cf") && !diff.contains("discard"), "{diff}");
    assert_eq!(differences(&before, &everything(&host)), Vec::<String>::new());
    assert_eq!((masters(&host).as_str(), host.mail_log()), ("0", log), "and it is as stopped as before");

    // Where the copy does not start, the server's own words say why.
    let addresses = format!("{}inet_interfaces = 203.0.113.99\n", host.read("/srv/mail/main.cf"));
    host.write("/srv/mail/main.cf", addresses);
    let failed = outcome(&rehearse(&host, &[]), 1);
    assert!(failed["error"].as_str().is_some_and(|e| e.contains("203.0.113.99") && e.contains("does not start")), "{failed:#}");
    assert_eq!(failed["host"]["unchanged"], true, "{failed:#}");
}
