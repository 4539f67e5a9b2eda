//! What a plan says of telling senders, and of the policies that are begun, from facts that another machine wrote down.

use super::*;
use crate::lab::household::MXSEAL;
use mxseal::facts::PortOwner;
use std::process::Command;

type Tweak = fn(&mut Facts);

fn port(facts: &mut Facts, pid: u32, program: &str) {
    facts.port443 = Known::seen(PortOwner { pid, program: program.into(), elsewhere: false, webroot: None }, "/proc");
}

fn leads(facts: &mut Facts, to: &[&str]) {
    facts.domains[0].policy_host = answer(to.iter().map(|a| a.parse().expect("an address")).collect());
}

/// Each case: facts, and the settings that came with them.
const CASES: &[(&str, Tweak, &str)] = &[
    ("no address yet", |f| port(f, 0, ""), ""),
    ("no address yet, and mxseal publishes", |f| port(f, 0, ""), "publish = 'rfc2136'"),
    (
        "the name leads here",
        |f| {
            port(f, 0, "");
            leads(f, &["192.0.2.25"]);
        },
        "",
    ),
    (
        "a web server has the port",
        |f| {
            port(f, 80, "nginx");
            leads(f, &["192.0.2.25"]);
        },
        "",
    ),
    (
        "another program has it",
        |f| {
            port(f, 80, "haproxy");
            leads(f, &["192.0.2.25"]);
        },
        "",
    ),
    (
        "the name leads elsewhere",
        |f| {
            port(f, 0, "");
            leads(f, &["198.51.100.9"]);
        },
        "",
    ),
    (
        "a policy is announced",
        |f| {
            port(f, 0, "");
            f.domains[0].mta_sts = answer(vec!["v=STSv1; id=1;".into()]);
        },
        "",
    ),
    ("it is left out", |f| port(f, 0, ""), "tell = ['tls-rpt']"),
    ("nothing is told", |f| port(f, 0, ""), "tell = ['nothing']"),
];

#[test]
fn a_plan_says_what_senders_are_told() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/fixtures");
    let text = std::fs::read_to_string(fixtures.join("plan/stock-debian-order.txt")).expect("a host");
    let profile = Profile::built_in().expect("profiles").into_iter().find(|p| p.id == "postfix").expect("Postfix");
    let dir = tempfile::tempdir().expect("a directory");
    let (at, from) = (dir.path().join("facts.json"), dir.path().join("from.toml"));
    let mut got = String::new();
    for (what, tweak, settings) in CASES {
        let mut facts = host(&profile, "3.7.11", &sections(&text).0);
        tweak(&mut facts);
        std::fs::write(&at, serde_json::to_string(&facts.shared()).expect("JSON")).expect("facts");
        std::fs::write(&from, settings).expect("settings");
        let mut plan = Command::new(MXSEAL);
        plan.args(["plan", "--facts"]).arg(&at).arg("--from").arg(&from).env("COLUMNS", "100");
        let out = plan.output().expect("mxseal");
        assert_eq!(out.status.code(), Some(0), "{what}: {out:?}");
        let page = String::from_utf8(out.stdout).expect("text");
        let notes = page.split_once("+smtpd_tls_loglevel = 1\n").map_or(&*page, |(_, after)| after);
        got.push_str(&format!("== {what}\n{notes}"));
    }
    let path = fixtures.join("plan/told.txt");
    if std::env::var("MXSEAL_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, got).expect("a fixture");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if got != expected {
        let diff = similar::TextDiff::from_lines(&expected, &got);
        panic!("{} is said otherwise (- expected, + said):\n{}", path.display(), diff.unified_diff().context_radius(2));
    }
}
