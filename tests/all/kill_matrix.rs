//! A change is killed, or fails, at every system call that changes something: the host is wholly before or wholly after, and
//! the server serves just that.
#![allow(clippy::print_stdout, clippy::exit)]

use super::lab::transaction::{CHANGING, Call, DRIVE, ROOT, Scene, calls, guard_arguments, run_lock, sh, until_closed};
use mxseal::{
    apply::{self, Guard},
    change::Change,
    check::Proof,
    moment::Moment,
    world::{Machine, Store},
};
use nix::sys::signal::{Signal, kill, killpg};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, Write as _},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Not a promise: the program that the other tests kill. Without its variable it does nothing.
#[test]
fn driver() {
    let Ok(what) = std::env::var(DRIVE) else { return };
    let root = Path::new(&std::env::var(ROOT).unwrap()).to_owned();
    let code = drive(&what, &root);
    std::process::exit(code);
}

fn drive(what: &str, root: &Path) -> i32 {
    let store = Store::open(root.join("state")).unwrap();
    if what == "guard" {
        let done = apply::stand_guard(&mut Machine, &store);
        tell(&format!("guard: {done:?}"));
        let _ = fs::remove_file(root.join("guard"));
        return 0;
    }
    let gate = || {
        println!("thread {}", nix::unistd::gettid());
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    };
    if what == "recover" {
        gate();
        let done = apply::recover(&mut Machine, &store);
        tell(&format!("recover: {done:?}"));
        return i32::from(done.is_err());
    }
    let _guard = matches!(what, "guarded" | "hold").then(|| {
        fs::write(root.join("guard"), "").unwrap();
        let (program, arguments) = guard_arguments();
        Guard::start(&program, &arguments).unwrap()
    });
    let change: Change = serde_json::from_slice(&fs::read(root.join("change.json")).unwrap()).unwrap();
    let proof = Proof::of_no_promise(&change, Moment(1)).unwrap();
    let lock = run_lock(&change.config_dir);
    gate();
    let mut machine = Machine;
    let live = match apply::apply(&mut machine, &store, lock, change) {
        Ok(live) => live,
        Err(undone) => {
            tell(&undone.to_string());
            return 1;
        }
    };
    match what {
        "roll-back" => match live.roll_back() {
            Ok(()) => 1,
            Err(stuck) => {
                tell(&stuck.to_string());
                3
            }
        },
        "hold" => {
            println!("live");
            std::io::stdin().lock().read_line(&mut String::new()).unwrap();
            0
        }
        _ => match live.commit(&proof, vec![]) {
            Ok(_) => 0,
            Err(undone) => {
                tell(&undone.to_string());
                1
            }
        },
    }
}

/// `eprintln` that may fail: errors are injected into everything.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[derive(Default)]
struct Tally(Mutex<BTreeMap<String, usize>>);

impl Tally {
    fn count(&self, what: impl Into<String>) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    fn of(&self, what: &str) -> usize {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }
}

/// Every item once, by two workers.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// The changing calls of a whole run.
fn calls_of(what: &str, code: i32) -> Vec<Call> {
    let scene = Scene::new();
    let (ended, calls) = scene.trace(what);
    assert_eq!(ended, code, "{}", scene.stderr());
    assert_eq!(scene.verdict(what), if code == 0 { "after" } else { "before" });
    calls
}

#[test]
fn killed_at_every_call_and_recovered_the_host_is_whole() {
    let tally = Tally::default();
    for (what, code) in [("setup", 0), ("roll-back", 1)] {
        each(&calls_of(what, code), |call| {
            let (scene, at) = (Scene::new(), format!("{what} killed at {call}"));
            assert_eq!(scene.run(what, Some(&call.inject("signal=KILL"))), 137, "{at}: {}", scene.stderr());
            assert_eq!(scene.run("recover", None), 0, "{at}: {}", scene.stderr());
            tally.count(format!("{what} {}", scene.verdict(&at)));
        });
    }
    assert!(tally.of("setup before") > 60 && tally.of("setup after") > 10 && tally.of("roll-back after") == 0, "{:?}", tally.0);
    eprintln!("killed, then recovered: {:?}", tally.0.lock().unwrap());
}

/// All pairs with `MXSEAL_KILL_STRIDE=1`, else a sample that moves over both calls.
#[test]
fn killed_again_during_recovery_the_host_is_whole() {
    let stride: usize = std::env::var("MXSEAL_KILL_STRIDE").map_or(29, |s| s.parse().unwrap());
    let tally = Tally::default();
    let first = calls_of("setup", 0);
    let turn = AtomicUsize::new(0);
    each(&first, |one| {
        let scene = Scene::new();
        assert_eq!(scene.run("setup", Some(&one.inject("signal=KILL"))), 137);
        let (ended, second) = scene.trace("recover");
        assert_eq!(ended, 0, "{}", scene.stderr());
        for two in &second {
            if !turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(stride) {
                continue;
            }
            let (scene, at) = (Scene::new(), format!("killed at {one}, recovery at {two}"));
            assert_eq!(scene.run("setup", Some(&one.inject("signal=KILL"))), 137, "{at}");
            assert_eq!(scene.run("recover", Some(&two.inject("signal=KILL"))), 137, "{at}: {}", scene.stderr());
            assert_eq!(scene.run("recover", None), 0, "{at}: {}", scene.stderr());
            tally.count(scene.verdict(&at));
        }
    });
    assert!(tally.of("before") > 0, "{:?}", tally.0);
    eprintln!("killed twice (stride {stride} of {} pairs): {:?}", turn.into_inner(), tally.0.lock().unwrap());
}

#[test]
fn killed_with_nobody_rerunning_the_guard_makes_the_host_whole() {
    let (tally, worst) = (Tally::default(), Mutex::new(Duration::ZERO));
    each(&calls_of("setup", 0), |call| {
        let (scene, at) = (Scene::new(), format!("guarded, killed at {call}"));
        assert_eq!(scene.run("guarded", Some(&call.inject("signal=KILL"))), 137, "{at}: {}", scene.stderr());
        let took = until_closed(&scene, &at);
        tally.count(scene.verdict(&at));
        let mut worst = worst.lock().unwrap();
        *worst = took.max(*worst);
    });
    assert!(tally.of("before") > 30 && tally.of("after") > 5, "{:?}", tally.0);
    let worst = worst.into_inner().unwrap();
    assert!(worst < Duration::from_secs(10), "the guard took {worst:?}");
    eprintln!("killed, guard alone: {:?}, at most {} ms", tally.0.lock().unwrap(), worst.as_millis());
}

#[test]
fn an_error_at_any_call_leaves_the_host_whole() {
    let tally = Tally::default();
    for (what, ends) in [("setup", [0, 1]), ("roll-back", [1, 3])] {
        let calls = calls_of(what, ends[0]);
        let cases: Vec<_> = ["ENOSPC", "EIO", "EACCES"].iter().flat_map(|error| calls.iter().map(move |call| (*error, call))).collect();
        each(&cases, |(error, call)| {
            let (scene, at) = (Scene::new(), format!("{what}: {error} at {call}"));
            let code = scene.run(what, Some(&call.inject(&format!("error={error}"))));
            let reported = scene.stderr();
            assert!(ends.contains(&code), "{at}: ended with {code}: {reported}");
            assert!(code == ends[0] || !reported.is_empty(), "{at}: silent");
            let again = scene.is_open();
            if again {
                assert_eq!(scene.run("recover", None), 0, "{at}: {}", scene.stderr());
            }
            let verdict = scene.verdict(&at);
            assert_eq!(verdict == "after", code == 0, "{at}: {verdict}, but ended with {code}: {reported}");
            tally.count(format!("{what} {verdict}{}", if again { " by a second run" } else { "" }));
        });
    }
    eprintln!("errors: {:?}", tally.0.lock().unwrap());
}

#[test]
fn a_disk_that_is_full_from_any_call_on_needs_no_second_run() {
    let tally = Tally::default();
    let calls: Vec<Call> =
        calls_of("setup", 0).into_iter().filter(|c| ["write", "link", "linkat", "mkdir", "fsetxattr"].contains(&&*c.name)).collect();
    assert!(calls.len() > 10);
    each(&calls, |call| {
        let (scene, at) = (Scene::new(), format!("full from {call}"));
        let inject = format!("{}:error=ENOSPC:when={}+", call.name, call.nth);
        let code = scene.run("setup", Some(&inject));
        let verdict = scene.verdict(&at);
        assert_eq!(verdict == "after", code == 0, "{at}: {}", scene.stderr());
        tally.count(verdict);
    });
    eprintln!("disk full from a call on: {:?}", tally.0.lock().unwrap());
}

/// strace around the server's own command, once: a command that dies is a failure, and what it left is activated over.
#[test]
fn a_command_of_the_server_that_is_killed_anywhere_puts_everything_back() {
    let tally = Tally::default();
    let wrapped = |scene: &Scene, arguments: &str| {
        let mut change = scene.change();
        let real = change.activate[0].0[2].clone();
        let once = scene.root.join("once");
        let once = once.display();
        change.activate =
            vec![sh(&format!("test -e {once} && {{ {real}\nexit; }}\n>{once}\nexec strace -f -qq {arguments} /bin/sh -c '{real}'"))];
        scene.plan(&change);
    };
    let scene = Scene::new();
    let log = scene.root.join("log");
    wrapped(&scene, &format!("-o {} -e trace={CHANGING}", log.display()));
    assert_eq!(scene.run("setup", None), 0, "{}", scene.stderr());
    let calls = calls(&fs::read_to_string(log).unwrap());
    assert!(calls.len() > 10, "{calls:?}");
    each(&calls, |call| {
        let (scene, at) = (Scene::new(), format!("command killed at {call}"));
        wrapped(&scene, &format!("-o /dev/null -e trace={CHANGING} -e inject={}", call.inject("signal=KILL")));
        let code = scene.run("setup", None);
        let verdict = scene.verdict(&at);
        assert_eq!(verdict == "after", code == 0, "{at}: {}", scene.stderr());
        tally.count(verdict);
    });
    assert!(tally.of("before") > 5, "{:?}", tally.0);
    eprintln!("commands killed: {:?}", tally.0.lock().unwrap());
}

#[test]
fn a_signal_to_the_run_or_its_terminal_puts_everything_back() {
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGKILL] {
        let scene = Scene::new();
        let mut driver = scene.drive("hold");
        driver.go();
        driver.says("live");
        assert!(!scene.is_before() && scene.is_open());
        let guards = driver.children();
        assert_eq!(guards.len(), 1, "the guard");
        let stat = fs::read_to_string(format!("/proc/{}/stat", guards[0])).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        assert_eq!((fields[3], fields[4]), (&*guards[0].to_string(), "0"), "a session of its own, no terminal: {stat}");
        for harmless in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
            kill(guards[0], harmless).unwrap();
        }
        assert!(scene.is_open(), "the guard acts when we die, not before");
        killpg(driver.pid(), signal).unwrap();
        assert_eq!(driver.end(), 128 + signal as i32);
        let took = until_closed(&scene, signal.as_str());
        assert_eq!(scene.verdict(signal.as_str()), "before");
        assert!(took < Duration::from_secs(10), "{signal}: the guard took {took:?}");
    }
}

/// The command that a dead run left behind ends after the guard put the files back, and must not have the last word.
#[test]
fn a_slow_activation_that_outlives_us_does_not_win() {
    let scene = Scene::new();
    let (slow, go) = (scene.root.join("slow"), scene.root.join("go"));
    assert!(std::process::Command::new("mkfifo").arg(&go).status().unwrap().success());
    let mut change = scene.change();
    let between = format!("if test ! -e {slow}; then : >{slow}; read line <{go}; fi", slow = slow.display(), go = go.display());
    change.activate = vec![scene.activation(&between)];
    scene.plan(&change);
    let mut driver = scene.drive("guarded");
    driver.go();
    super::lab::process::wait_for("the activation", Duration::from_secs(5), || slow.exists());
    kill(driver.pid(), Signal::SIGKILL).unwrap();
    driver.end();
    super::lab::process::wait_for("the files", Duration::from_secs(5), || scene.is_before());
    assert!(scene.is_open(), "the server is told only when the stray command has ended");
    fs::write(&go, "\n").unwrap();
    until_closed(&scene, "slow");
    assert_eq!(scene.verdict("slow"), "before");
}

#[test]
fn where_a_second_name_is_impossible_a_copy_keeps_all_but_the_inode() {
    let scene = Scene::new();
    assert_eq!(scene.run("roll-back", Some("linkat:error=EPERM")), 1, "{}", scene.stderr());
    let plain = |seen: &BTreeMap<std::path::PathBuf, super::lab::transaction::Seen>| {
        seen.iter().map(|(path, s)| (path.clone(), (s.0.clone(), s.1, s.2, s.3, s.5, s.6.clone()))).collect::<Vec<_>>()
    };
    assert_eq!(plain(&scene.look()), plain(&scene.before));
    assert!(!scene.is_before(), "the inodes are new: the injection did its work");
}

/// What a power cut could lose: every file is flushed before it is renamed, every rename before the next step.
#[test]
fn every_rename_follows_the_flush_of_its_file_and_precedes_the_flush_of_its_folder() {
    let scene = Scene::new();
    let (code, lines) =
        scene.trace_lines("setup", &["-y", "-e", "trace=rename,renameat,renameat2,fsync,fdatasync,openat,fchmod,write,pwrite64"]);
    assert_eq!(code, 0, "{}", scene.stderr());
    let path_in =
        |line: &str, open: char, close: char| line.split(open).nth(1).and_then(|rest| rest.split(close).next()).unwrap_or("").to_owned();
    let renames: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].starts_with("rename")).collect();
    assert!(renames.len() >= 6, "{lines:#?}");
    for at in renames {
        let quoted: Vec<&str> = lines[at].split('"').collect();
        let (from, to) = (quoted[1], quoted[3]);
        let flushed = |path: &str, lines: &[String]| lines.iter().any(|l| l.starts_with("fsync(") && path_in(l, '<', '>') == path);
        assert!(flushed(from, &lines[..at]), "{from} was never flushed");
        let writes_after = lines[..at].iter().rposition(|l| l.starts_with("write(") && path_in(l, '<', '>') == from);
        let last_flush = lines[..at].iter().rposition(|l| l.starts_with("fsync(") && path_in(l, '<', '>') == from);
        assert!(writes_after < last_flush, "{from} was written after its flush");
        let folder = Path::new(to).parent().unwrap().to_str().unwrap();
        let next =
            lines[at + 1..].iter().position(|l| l.starts_with("rename") || l.starts_with("pwrite64")).map_or(lines.len(), |n| at + 1 + n);
        assert!(flushed(folder, &lines[at + 1..next]), "{folder} was not flushed after {}", lines[at]);
    }
    // A key is 0600 from its first byte.
    let staged = ".chain.pem.mxseal-0007.new";
    let opened = lines.iter().find(|l| l.starts_with("openat(") && l.contains(staged)).expect("the key is staged");
    assert!(opened.contains("O_CREAT|O_EXCL") && opened.contains("0600"), "{opened}");
    let modes: Vec<&String> = lines.iter().filter(|l| l.starts_with("fchmod(") && l.contains(staged)).collect();
    assert!(modes.iter().all(|l| l.contains(", 0600)")), "{modes:?}");
}
