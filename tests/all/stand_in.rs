//! A rehearsal on the stand-in, as whoever has just built the program: no mail server, no root, nothing left behind.

use crate::lab::process::{copy_program, wait_for};
use clap::ValueEnum as _;
use mxseal::rehearsal::Fault;
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What a user without any rights has: a copy of the program and a place for temporary files.
struct User {
    dir: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let program = dir.path().join("mxseal");
        copy_program(env!("CARGO_BIN_EXE_mxseal"), &program);
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::set_permissions(dir.path().join("tmp"), Permissions::from_mode(0o777)).unwrap();
        Self { dir }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("mxseal"));
        command.arg("rehearse").args(more).env("TMPDIR", self.dir.path().join("tmp")).current_dir("/");
        if nix::unistd::geteuid().is_root() {
            let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
            command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
        }
        command
    }

    /// The outcome, of a run that ended with this status.
    fn rehearse(&self, more: &[&str], status: i32) -> Value {
        let out = self.command(&[&["--json"], more].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(status), "{more:?}: {said}{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
    }

    fn rooms(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path().join("tmp")).unwrap().map(|e| e.unwrap().path()).collect()
    }
}

#[test]
fn a_user_without_rights_sees_the_whole_of_setup() {
    let user = User::new();
    let shown = user.rehearse(&["--domain", "example.org"], 0);
    assert_eq!((&shown["verb"], &shown["outcome"]), (&"rehearse".into(), &"proved".into()), "{shown:#}");
    assert!(shown["stand_in"]["because"].as_str().is_some_and(|why| !why.is_empty()), "{shown:#}");
    let expected: Vec<_> = shown["proof"].as_array().unwrap().iter().map(|p| p["expected"].as_str().unwrap()).collect();
    assert_eq!(expected, ["ours", "ours"], "{shown:#}");
    assert_eq!(shown["certificate"]["name"], "mx.example.org", "{shown:#}");
    assert_eq!(user.rooms(), Vec::<PathBuf>::new());
}

#[test]
fn every_fault_is_recovered_from_as_promised() {
    let user = User::new();
    std::thread::scope(|scope| {
        for fault in Fault::value_variants() {
            let user = &user;
            scope.spawn(move || {
                let shown = user.rehearse(&["--fault", &fault.name()], 0);
                assert_eq!(shown["outcome"], "recovered", "{}: {shown:#}", fault.name());
            });
        }
    });
    assert_eq!(user.rooms(), Vec::<PathBuf>::new());
}

/// A rehearsal that waits, and the process of its stand-in.
fn kept(user: &User, log: &Path) -> (Child, u32) {
    let out = fs::File::create(log).unwrap();
    let child = user.command(&["--keep"]).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let said = || fs::read_to_string(log).unwrap();
    wait_for("the rehearsal to wait", Duration::from_secs(60), || said().contains("until you press Ctrl-C"));
    let room = fs::read_dir(user.dir.path().join("tmp")).unwrap().map(|e| e.unwrap().path());
    let own = room.into_iter().find(|r| r.to_string_lossy().contains(&format!("-{}-", child.id()))).expect("a room");
    let pid = fs::read_to_string(own.join("spool/pid/master.pid")).unwrap();
    (child, pid.trim().parse().unwrap())
}

#[test]
fn nothing_is_left_by_one_that_is_broken_off_or_killed() {
    let user = User::new();
    let log = user.dir.path().join("log");
    let gone = |pid: u32| !Path::new(&format!("/proc/{pid}")).exists();

    let (mut child, stand_in) = kept(&user, &log);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(gone(stand_in));
    assert_eq!(user.rooms(), Vec::<PathBuf>::new());
    assert!(fs::read_to_string(&log).unwrap().contains("broken off"));

    let (mut child, stand_in) = kept(&user, &log);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the stand-in to follow", Duration::from_secs(20), || gone(stand_in));
    assert_eq!(user.rooms().len(), 1);
    user.rehearse(&["--fault", "ca-refuses"], 0);
    assert_eq!(user.rooms(), Vec::<PathBuf>::new(), "the next one tidies up");
}
