//! The program is killed on a booted host with Exim at every call that changes something: with nobody's help the configuration
//! and what is generated of it are wholly before or wholly after, that is what is served, and the same command ends well.

use crate::{
    exim::{MADE_UP, configuration},
    lab::{
        host::{Host, Server, differences, text},
        internet::Internet,
        process::wait_for,
        setup::{ANSWERS, VERIFIED, assert_verifiable, outcome, setup},
        transaction::{CHANGING, Call, calls},
    },
};
use std::{collections::BTreeMap, path::PathBuf, process::Output, time::Duration};

type Files = BTreeMap<PathBuf, (String, u32, (u32, u32))>;

/// A host that goes to and fro between its two states.
struct Walk {
    internet: Internet,
    host: Host,
    before: Files,
    after: Files,
}

impl Walk {
    fn new(server: Server) -> Self {
        let internet = Internet::start();
        let host = internet.mail_host_with(server);
        let before = configuration(&host);
        outcome(&setup(&host, &[]), 0);
        assert_verifiable(&internet);
        let after = configuration(&host);
        let walk = Self { internet, host, before, after };
        walk.ends_well("undo", "the first undo");
        walk
    }

    fn run(&self, strace: &[&str], verb: &str) -> Output {
        let words = match verb {
            "setup" => [&["mxseal", "setup", "--json"], ANSWERS].concat(),
            _ => vec!["mxseal", "undo", "--json", "--non-interactive", "--yes"],
        };
        self.host.run(&[strace, &words].concat())
    }

    /// Every call of the main thread that changes something. `openat` reads a thousand times before; what it creates is
    /// written to at once.
    fn trace(&self, verb: &str) -> Vec<Call> {
        let done = self.run(&["strace", "-qq", "-o", "/root/trace", "-e", &watched()], verb);
        assert_eq!(done.status.code(), Some(0), "{verb}: {}{}", text(&done), String::from_utf8_lossy(&done.stderr));
        calls(&self.host.read("/root/trace"))
    }

    fn kill_at(&self, verb: &str, call: &Call) -> Output {
        let inject = format!("inject={}", call.inject("signal=KILL"));
        self.run(&["strace", "-qq", "-o", "/dev/null", "-e", &watched(), "-e", &inject], verb)
    }

    /// Which of the two states it is, in files and on the wire; panics where it is neither.
    fn verdict(&self, verb: &str, at: &str) -> &'static str {
        let files = configuration(&self.host);
        let is_after = files == self.after;
        assert!(is_after || files == self.before, "{at}: neither: {:#?}", differences(&self.before, &files));
        let shown = if is_after { VERIFIED } else { MADE_UP };
        wait_for(&format!("{at}: {shown}"), Duration::from_secs(30), || self.internet.s_client(&[]).contains(shown));
        if is_after == (verb == "setup") { "after" } else { "before" }
    }

    fn is_open(&self) -> bool {
        self.host.path("/var/lib/mxseal/journal/open").exists()
    }

    fn ends_well(&self, verb: &str, at: &str) {
        let again = self.run(&[], verb);
        let nothing_left = verb == "undo" && text(&again).contains("nothing to undo");
        assert!(again.status.success() || nothing_left, "{at}, again: {}", text(&again));
        assert_eq!(self.verdict(verb, &format!("{at}, again")), "after");
        assert!(!self.is_open(), "{at}");
    }
}

fn watched() -> String {
    format!("trace={}", CHANGING.replace("openat,", ""))
}

/// So many of them, the last one included; all with `MXSEAL_KILL_STRIDE=1`.
fn sample(all: Vec<Call>, some: usize) -> Vec<Call> {
    let stride = std::env::var("MXSEAL_KILL_STRIDE").map_or(all.len().div_ceil(some), |s| s.parse().expect("a number"));
    let skip = all.len().saturating_sub(1) % stride;
    all.into_iter().skip(skip).step_by(stride).collect()
}

#[test]
fn killed_anywhere_exim_is_wholly_before_or_wholly_after() {
    let walk = Walk::new(Server::EximSplit);
    let (setup, undo) = (walk.trace("setup"), walk.trace("undo"));
    let total = (setup.len(), undo.len());
    let (setup, undo) = (sample(setup, 6), sample(undo, 6));
    let mut tally = BTreeMap::<String, usize>::new();
    let mut killed_there = 0;
    let mut undo = undo.into_iter().cycle();
    for one in &setup {
        for (verb, call) in [("setup", one), ("undo", &undo.next().expect("a call"))] {
            let at = format!("{verb} killed at {call}");
            let killed = walk.kill_at(verb, call);
            killed_there += usize::from(!killed.status.success());
            wait_for(&format!("{at}: the guard\n{}", text(&killed)), Duration::from_secs(30), || !walk.is_open());
            *tally.entry(format!("{verb} {}", walk.verdict(verb, &at))).or_default() += 1;
            walk.ends_well(verb, &at);
        }
    }
    eprintln!("killed at {} and as many of {total:?} calls: {tally:?}", setup.len());
    assert!(killed_there > 0, "no call of the sample was reached: {tally:?}");
}
