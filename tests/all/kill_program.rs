//! The whole program is killed on a real mail server: with nobody rerunning the host is wholly before or wholly after, and the
//! same command again ends well.

use crate::lab::{
    awake::Awake,
    host::text,
    household::{Household, MX, MXSEAL, Tree},
    internet::Internet,
    process::{copy_program, wait_for},
    setup::{self, SNAKE_OIL, assert_verifiable, outcome, setup, start},
    transaction::{CHANGING, Call, calls},
};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// One state of the host: its files and what it serves.
#[derive(Clone)]
struct State {
    files: Tree,
    served: Vec<String>,
}

/// A host that goes to and fro between its two states.
struct Walk {
    house: Household,
    before: State,
    after: State,
}

impl Walk {
    fn new() -> Self {
        let house = Household::new();
        let state = |house: &Household| State { files: house.tree(), served: house.served() };
        let before = state(&house);
        let done = house.run(&[], "setup");
        assert_eq!(done.0, 0, "{}", done.1);
        let after = state(&house);
        assert!(before.files != after.files && before.served != after.served, "{:?} {:?}", before.served, after.served);
        let walk = Self { house, before, after };
        walk.ends_well("undo", "the first undo");
        walk
    }

    /// What `verb` starts from, and what it leads to.
    fn ends(&self, verb: &str) -> (&State, &State) {
        if verb == "setup" { (&self.before, &self.after) } else { (&self.after, &self.before) }
    }

    /// Which of the two states it is, in files and on the wire; panics where it is neither.
    fn verdict(&self, verb: &str, at: &str) -> &'static str {
        let (from, to) = self.ends(verb);
        let files = self.house.tree();
        let (state, name) = if files == from.files { (from, "before") } else { (to, "after") };
        if files != state.files {
            let odd: Vec<_> = files.iter().filter(|(p, f)| state.files.get(*p) != Some(f)).collect();
            let missing: Vec<_> = state.files.keys().filter(|p| !files.contains_key(*p)).collect();
            panic!("{at}: neither before nor after: {odd:#?}, missing {missing:?}");
        }
        wait_for(&format!("{at}: what {name} serves"), Duration::from_secs(30), || self.house.served() == state.served);
        let is_after = std::ptr::eq(state, &self.after);
        assert_eq!(self.house.deployment(), if is_after { "proved" } else { "issued" }, "{at}");
        name
    }

    /// The same command once more.
    fn ends_well(&self, verb: &str, at: &str) {
        let again = self.house.run(&[], verb);
        let nothing_left = verb == "undo" && again.0 == 1 && again.1.contains("nothing to undo");
        assert!(again.0 == 0 || nothing_left, "{at}, again: {}\n{}", again.0, again.1);
        assert_eq!(self.verdict(verb, &format!("{at}, again")), "after");
        assert!(!self.house.is_open(), "{at}");
    }

    /// The changing calls of a whole run: of the main thread alone, or of every process.
    fn trace(&self, verb: &str, children: bool) -> Vec<Call> {
        let log = self.house.root.join("trace");
        let trace = watched();
        let mut strace = vec!["strace", "-qq", "-o", log.to_str().unwrap(), "-e", &trace];
        strace.extend(children.then_some("-f"));
        let done = self.house.run(&strace, verb);
        assert_eq!(done.0, 0, "{}", done.1);
        calls(&fs::read_to_string(log).unwrap())
    }

    /// Runs `verb` until `call`, where it is killed; with `children`, whoever of its processes makes that call.
    fn kill_at(&self, verb: &str, call: &Call, children: bool) -> (i32, String) {
        let (trace, inject) = (watched(), format!("inject={}", call.inject("signal=KILL")));
        let mut strace = vec!["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        strace.extend(children.then_some("-f"));
        self.house.run(&strace, verb)
    }
}

/// Without `openat`, which reads a thousand times before it changes anything: what it creates is written to at once.
fn watched() -> String {
    format!("trace={}", CHANGING.replace("openat,", ""))
}

fn stride(default: usize) -> usize {
    std::env::var("MXSEAL_KILL_STRIDE").map_or(default, |s| s.parse().unwrap())
}

/// Every `stride`th of the calls, the last ones included, where most happens.
fn sample(calls: Vec<Call>, stride: usize) -> Vec<Call> {
    let skip = (calls.len().saturating_sub(1)) % stride;
    calls.into_iter().skip(skip).step_by(stride).collect()
}

#[test]
fn the_program_killed_anywhere_leaves_a_whole_host() {
    let walk = Walk::new();
    let _awake = Awake::over(&walk.house.postfix.etc());
    let (mut tally, mut worst) = (BTreeMap::<String, usize>::new(), Duration::ZERO);
    let (setup, undo) = (walk.trace("setup", false), walk.trace("undo", false));
    let total = (setup.len(), undo.len());
    let (setup, undo) = (sample(setup, stride(31)), sample(undo, stride(23)));
    let mut undo = undo.into_iter().cycle();
    for one in &setup {
        for (verb, call) in [("setup", one), ("undo", &undo.next().unwrap())] {
            let at = format!("{verb} killed at {call}");
            let (code, said) = walk.kill_at(verb, call, false);
            assert!(code == 137 || code == 0, "{at}: ended with {code}: {said}");
            // The files within a second on an idle machine; here five processes share a core.
            let began = Instant::now();
            wait_for(&format!("{at}: the guard\n{said}"), Duration::from_secs(5), || !walk.house.is_open());
            worst = worst.max(began.elapsed());
            *tally.entry(format!("{verb} {}", walk.verdict(verb, &at))).or_default() += 1;
            walk.ends_well(verb, &at);
        }
    }
    eprintln!(
        "the program killed at {} and as many of {total:?} calls: {tally:?}; settled in {} ms at most",
        setup.len(),
        worst.as_millis()
    );
    assert!(tally.keys().any(|k| k == "setup before") && tally.keys().any(|k| k == "undo before"), "{tally:?}");
}

/// Guard, server's tools, trial on a copy and program alike: whoever makes the n-th call of that name dies.
#[test]
fn any_of_its_processes_killed_leaves_what_the_next_run_mends() {
    let walk = Walk::new();
    let _awake = Awake::over(&walk.house.postfix.etc());
    let mut tally = BTreeMap::<String, usize>::new();
    let (setup, undo) = (walk.trace("setup", true), walk.trace("undo", true));
    let total = (setup.len(), undo.len());
    let (setup, undo) = (sample(setup, stride(61)), sample(undo, stride(53)));
    let mut undo = undo.into_iter().cycle();
    for one in &setup {
        for (verb, call) in [("setup", one), ("undo", &undo.next().unwrap())] {
            let at = format!("{verb}, whoever comes to {call} killed");
            let (code, said) = walk.kill_at(verb, call, true);
            // Where both the program and its guard died nobody is left, and the next run does it.
            let settled = code != 137 || !walk.house.is_open();
            if settled {
                assert!(!walk.house.is_open(), "{at}: ended with {code}, and left a change open: {said}");
                // The check of the server's own tools died, of the change and of what was there before: undo then tells no server
                // anything, says so, and names the command.
                let not_told = verb == "undo" && said.contains("undo-not-activated");
                if not_told {
                    walk.house.postfix.reload();
                }
                let verdict = walk.verdict(verb, &at);
                assert!(code != 1 || not_told || verdict == "before", "{at}: {verdict}, but ended with 1: {said}");
                *tally.entry(format!("{verb} {verdict}, ended with {code}")).or_default() += 1;
            } else {
                *tally.entry(format!("{verb} left to the next run")).or_default() += 1;
            }
            walk.ends_well(verb, &at);
        }
    }
    eprintln!("some process of the program killed at {} and as many of {total:?} calls: {tally:?}", setup.len());
}

/// Ctrl-C, a request to end, a lost connection, a terminal window that is closed: in the middle of the change, while it is
/// being proved.
#[test]
fn a_signal_or_a_closed_terminal_puts_everything_back() {
    let walk = Walk::new();
    let house = &walk.house;
    let interrupted = |verb: &str, at: &str, command: &mut Command, end: &dyn Fn(&Child)| {
        let main = house.postfix.read_config("main.cf");
        let mut running = house.start(command);
        wait_for(&format!("{at}: the change"), Duration::from_secs(60), || {
            assert!(matches!(running.try_wait(), Ok(None)), "{at}: it ended before: {}", house.said());
            house.postfix.read_config("main.cf") != main
        });
        end(&running);
        let began = Instant::now();
        running.wait().unwrap();
        wait_for(&format!("{at}: the guard\n{}", house.said()), Duration::from_secs(5), || !house.is_open());
        eprintln!("{at}: put back after {} ms", began.elapsed().as_millis());
        assert_eq!(walk.verdict(verb, at), "before", "{}", house.said());
    };
    let pid = |child: &Child| Pid::from_raw(i32::try_from(child.id()).unwrap());
    let plain = |verb: &str| {
        let mut command = Command::new(MXSEAL);
        command.args(house.arguments(verb));
        command
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        interrupted("setup", signal.as_str(), &mut plain("setup"), &|child| killpg(pid(child), signal).unwrap());
    }
    // script(1) is the terminal: it dies, and with it the terminal goes.
    let line = [vec![MXSEAL.to_owned()], house.arguments("setup")].concat().join(" ");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]);
    interrupted("setup", "the terminal closed", &mut terminal, &|child| kill(pid(child), Signal::SIGKILL).unwrap());
    walk.ends_well("setup", "after all that");
    interrupted("undo", "SIGINT", &mut plain("undo"), &|child| killpg(pid(child), Signal::SIGINT).unwrap());
    walk.ends_well("undo", "after all that");
}

/// The guard works in another directory than we do.
#[test]
fn relative_paths_are_guarded_too() {
    let house = Household::new();
    let (before, main) = (house.tree(), house.postfix.read_config("main.cf"));
    let root = format!("{}/", house.root.display());
    // What lies elsewhere below /tmp is reached through `..`.
    let relative = house.arguments("setup").into_iter().map(|a| match a.strip_prefix(&root) {
        Some(below) => below.to_owned(),
        None if a.starts_with("/tmp/") => format!("..{}", a.trim_start_matches("/tmp")),
        None => a,
    });
    let mut running = house.start(Command::new(MXSEAL).args(relative).current_dir(&house.root));
    wait_for("the change", Duration::from_secs(60), || {
        assert!(matches!(running.try_wait(), Ok(None)), "it ended before: {}", house.said());
        house.postfix.read_config("main.cf") != main
    });
    running.kill().unwrap();
    running.wait().unwrap();
    wait_for(&format!("the guard\n{}", house.said()), Duration::from_secs(5), || !house.is_open());
    assert!(house.tree() == before, "{}", house.said());
}

/// The program died between the change and its note about the certificate.
#[test]
fn what_was_proved_is_known_though_its_record_was_lost() {
    let house = Household::new();
    let done = house.run(&[], "setup");
    assert_eq!((done.0, house.deployment().as_str()), (0, "proved"), "{}", done.1);
    let store = mxseal::world::Store::open(house.state()).unwrap();
    let name = MX.parse().unwrap();
    mxseal::acme::mark(&store, &name, mxseal::facts::Deployment::Issued).unwrap();
    assert_eq!(house.deployment(), "proved");
    assert_eq!(house.run(&[], "setup").0, 0);
    let recorded = mxseal::acme::load_lineage(&store, &name).unwrap().expect("it").deployment;
    assert_eq!(recorded, mxseal::facts::Deployment::Proved);
}

/// A package upgrade replaces the program while it waits for an answer: its guard is the program that runs.
#[test]
fn the_program_may_be_replaced_while_it_runs() {
    let house = Household::new();
    let copy = house.root.join("mxseal");
    copy_program(MXSEAL, &copy);
    let mut running = house.start(Command::new(&copy).args(house.arguments("setup")));
    fs::remove_file(&copy).unwrap();
    assert!(running.wait().unwrap().success(), "{}", house.said());
}

/// SIGKILL while the CA is asked: nothing listens on port 80 any more, and the next run goes on with the same order.
#[test]
fn killed_while_the_ca_is_asked_the_next_run_goes_on() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let count = |word: &str| internet.ca_log().matches(word).count();
    for moment in ["sign-me-up", "order-plz", "chalZ", "finalize-order"] {
        let (orders, issued, seen) = (count("Added order "), count("Issued certificate serial"), count(moment));
        let mut running = start(&host);
        wait_for(&format!("{moment} in {}", internet.ca_log()), Duration::from_secs(60), || {
            assert!(matches!(running.try_wait(), Ok(None)), "{moment}: setup ended before");
            count(moment) > seen
        });
        setup::kill(running);
        wait_for("port 80 to be free", Duration::from_secs(5), || text(&host.run(&["ss", "-Hltn", "sport", "=", ":80"])).is_empty());
        assert!(internet.s_client(&[]).contains(SNAKE_OIL), "{moment}");
        assert!(!host.path("/var/lib/mxseal/journal/open").exists(), "{moment}");
        let done = outcome(&setup(&host, &[]), 0);
        assert_eq!(done["outcome"], "proved", "{moment}: {done:#}");
        assert_verifiable(&internet);
        // One order a key type; one more where the CA took it and we died before its URL came, or where it looked for the
        // answer after our death.
        let (orders, issued) = (count("Added order ") - orders, count("Issued certificate serial") - issued);
        eprintln!("killed at {moment}: {orders} orders, {issued} certificates");
        assert!((2..=3).contains(&orders) && issued == 2, "{moment}: {orders} orders, {issued} certificates");
        outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
        host.ok(&["rm", "-rf", "/var/lib/mxseal", "/etc/mxseal"]);
    }
}
