//! A renewal is killed anywhere: what is served stays valid, and the next run goes on where it stopped.

use crate::lab::{
    household::Household,
    process::wait_for,
    transaction::{CHANGING, Call, calls},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// A host that was set up, with what it serves: the keys stay through all renewals.
struct Standing {
    house: Household,
    served: Vec<String>,
}

impl Standing {
    fn new() -> Self {
        let house = Household::new();
        house.keep_port();
        let done = house.run(&[], "setup");
        assert_eq!(done.0, 0, "{}", done.1);
        let served = house.served();
        Self { house, served }
    }

    /// Whatever happened: nothing is open, the keys are served, and one more run brings the host to rest.
    fn is_whole(&self, at: &str) -> &'static str {
        wait_for(&format!("{at}: the guard\n{}", self.house.said()), Duration::from_secs(5), || !self.house.is_open());
        wait_for(&format!("{at}: what is served"), Duration::from_secs(30), || self.house.served() == self.served);
        let before = self.house.deployment();
        let next = self.house.run(&[], "renew");
        assert_eq!(next.0, 0, "{at}, the next run: {}", next.1);
        assert_eq!((self.house.deployment(), self.house.served()), ("proved".into(), self.served.clone()), "{at}: {}", next.1);
        let again = self.house.run(&[], "renew");
        assert!(again.0 == 0 && again.1.contains("is renewed from"), "{at}, once more: {}", again.1);
        if before == "proved" { "proved" } else { "went on" }
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |s| s.parse().expect("a number"))
}

#[test]
fn a_renewal_killed_anywhere_is_gone_on_with() {
    let standing = Standing::new();
    let (house, trace) = (&standing.house, format!("trace={}", CHANGING.replace("openat,", "")));
    let log = house.root.join("trace");
    let done = house.run(&["strace", "-qq", "-o", log.to_str().unwrap(), "-e", &trace], "renew --force");
    assert_eq!(done.0, 0, "{}", done.1);
    let all: Vec<Call> = calls(&fs::read_to_string(&log).unwrap());
    let stride = number("MXSEAL_KILL_STRIDE", all.len().div_ceil(8));
    let mut tally = BTreeMap::<&str, usize>::new();
    for call in all.iter().skip((all.len() - 1) % stride).step_by(stride) {
        let inject = format!("inject={}", call.inject("signal=KILL"));
        let killed = house.run(&["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject], "renew --force");
        let at = format!("killed at {call}");
        assert!(killed.0 == 137 || killed.0 == 0, "{at}: ended with {}: {}", killed.0, killed.1);
        *tally.entry(standing.is_whole(&at)).or_default() += 1;
    }
    eprintln!("a renewal killed at every {stride}th of {} calls: {tally:?}", all.len());
    assert!(tally.contains_key("proved") && tally.contains_key("went on"), "{tally:?}");
}

/// At moments that no call marks: while the CA is waited for, while the wire is asked.
#[test]
fn a_renewal_killed_at_any_moment_is_gone_on_with() {
    let standing = Standing::new();
    let house = &standing.house;
    let start = || house.start(Command::new(crate::lab::household::MXSEAL).args(house.arguments("renew --force")));
    let began = Instant::now();
    assert!(start().wait().unwrap().success(), "{}", house.said());
    let whole = began.elapsed();
    for seed in 0..number("MXSEAL_SEEDS", 4) {
        // The golden ratio spreads any number of moments evenly, and none falls on another.
        let moment = whole.mul_f64((seed as f64 * 0.618_034 + 0.3).fract());
        let mut running = start();
        std::thread::sleep(moment);
        let _ = kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGKILL);
        running.wait().unwrap();
        standing.is_whole(&format!("killed after {} of {} ms", moment.as_millis(), whole.as_millis()));
    }
}
