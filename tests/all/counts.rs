//! How much is done: programs started, DNS questions, conversations, requests to the CA. Time is `tests/bench`'s affair;
//! what makes it grow shows here first, on any machine.

use crate::lab::{
    host::{Host, text},
    internet::Internet,
    setup::ANSWERS,
};
use std::collections::BTreeSet;

/// What one run did, from its system calls.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    /// Processes that it started itself.
    started: usize,
    /// Programs that ran, those that others started included, itself too.
    programs: usize,
    /// Different DNS questions.
    questions: usize,
    /// Connections to port 25.
    conversations: usize,
}

fn count(host: &Host, argv: &[&str]) -> Done {
    let strace = ["strace", "-f", "-qq", "-xx", "-s", "600", "-e", "signal=none", "-o", "/root/trace"];
    let out = host.run(&[&strace, &["-e", "trace=execve,fork,vfork,clone,clone3,connect,sendto"][..], argv].concat());
    assert!(out.status.success(), "{}{}", text(&out), String::from_utf8_lossy(&out.stderr));
    let trace = host.read("/root/trace");
    let main = trace.split_whitespace().next().expect("a trace");
    let calls: Vec<(&str, &str)> = trace.lines().filter_map(|l| l.split_once(char::is_whitespace)).collect();
    let is_start =
        |call: &str| ["fork(", "vfork(", "clone(", "clone3("].iter().any(|c| call.starts_with(c)) && !call.contains("CLONE_THREAD");
    let to = |call: &str, port: u16| call.contains(&format!("_port=htons({port})"));
    // The first two bytes are a question's id: it changes when the question is repeated.
    let question = |call: &str| call.split('"').nth(1).map(|bytes| bytes.get(8..).unwrap_or_default().to_owned());
    Done {
        started: calls.iter().filter(|(pid, call)| *pid == main && is_start(call.trim_start())).count(),
        programs: calls.iter().filter(|(_, call)| call.contains("execve") && call.ends_with("= 0")).count(),
        questions: calls
            .iter()
            .filter(|(_, c)| c.contains("sendto(") && to(c, 53))
            .filter_map(|(_, c)| question(c))
            .collect::<BTreeSet<_>>()
            .len(),
        conversations: calls.iter().filter(|(_, c)| c.contains("connect(") && !c.contains("resumed") && to(c, 25)).count(),
    }
}

#[test]
fn no_more_is_done_than_needed() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let survey = count(&host, &["mxseal", "survey", "--json", "--trust-anchor", "/root/root.pem"]);
    // Four addresses, four conversations each.
    assert_eq!(survey, Done { started: 5, programs: 6, questions: 16, conversations: 16 });

    let asked = internet.ca_log().len();
    // How often the log is read for the test alarm's fate is up to the mail server.
    let setup = count(&host, &[&["mxseal", "setup", "--json", "--alarm", ""], ANSWERS].concat());
    // Two surveys; two checks of the copy, the units enabled and the timer started, the guard, the reload. Up to eight questions more
    // are asked about what senders are told.
    assert!(setup.started == 16 && setup.questions <= 24, "{setup:?}");
    // The rest is what `postfix reload` starts, most of it scripts.
    assert!(setup.programs <= 30, "{setup:?}");
    // Two surveys and a proof, which a slow machine may have to repeat.
    let proof = setup.conversations - 2 * 16;
    assert!(proof.is_multiple_of(80) && (80..=400).contains(&proof), "{setup:?}");

    let seen = requests(&internet.ca_log()[asked..]);
    // How often the order is looked at is up to the CA.
    let seen: Vec<&str> = seen.iter().map(String::as_str).filter(|r| *r != "POST /my-order/").collect();
    let account = ["GET /dir", "HEAD /nonce-plz", "POST /sign-me-up", "GET /dir"];
    let order = ["HEAD /nonce-plz", "POST /order-plz", "POST /authZ/", "POST /chalZ/", "POST /finalize-order/", "POST /certZ/"];
    assert_eq!(seen, [&account[..], &order, &order].concat());

    // Nothing is due: two key types at four addresses, a window for each, and no program.
    let asked = internet.ca_log().len();
    let renew = count(&host, &["mxseal", "renew", "--json"]);
    assert_eq!((renew.started, renew.programs, renew.conversations), (0, 1, 8), "{renew:?}");
    let seen = requests(&internet.ca_log()[asked..]);
    assert!(seen.len() == 3 && seen.iter().all(|r| r.starts_with("GET ")), "{seen:?}");
}

/// What Pebble was asked, behind "Pebble", date and time.
fn requests(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|l| l.strip_suffix(" -> calling handler()"));
    lines.filter_map(|l| l.splitn(4, ' ').nth(3)).map(str::to_owned).collect()
}
