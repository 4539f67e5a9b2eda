//! Running commands: no shell, no terminal, a fixed environment, a deadline, bounded output.

use super::hands::{Failure, Output};
use crate::change::Command;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// No more than this many bytes of a command's output are kept.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Runs `command` to its end with `stdin` and more environment; ends it and its process group after `limit`.
pub(super) fn run(command: &Command, limit: Duration, stdin: Stdio, environment: &[(&str, String)]) -> Result<Output, Failure> {
    let start = |source| Failure::Start { command: command.to_string(), source };
    let (program, arguments) = command.0.split_first().ok_or_else(|| start(io::Error::other("no program is named")))?;
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let (mut said, mut complained) = (Collected::of(child.stdout.take()), Collected::of(child.stderr.take()));
    let began = Instant::now();
    // Polling: a wait with a deadline needs a signal handler or a thread that outlives us.
    let mut pause = Duration::from_micros(200);
    let status = loop {
        let ended = child.try_wait().map_err(start)?;
        // A chatty command must never block. What it said before its end is in the pipe; a daemon that it left may keep the
        // pipe open, so nobody waits for the pipe's end.
        said.read();
        complained.read();
        if let Some(status) = ended {
            break status;
        }
        if began.elapsed() > limit {
            let _ = killpg(group, Signal::SIGKILL);
            let _ = child.wait();
            return Err(Failure::Deadline { command: command.to_string(), limit });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Output { code, stdout: said.text(), stderr: complained.text() })
}

/// What came out of a pipe so far.
struct Collected<P> {
    pipe: Option<P>,
    bytes: Vec<u8>,
}

impl<P: Read + AsFd> Collected<P> {
    fn of(pipe: Option<P>) -> Self {
        let pipe = pipe.filter(|pipe| fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok());
        Self { pipe, bytes: Vec::new() }
    }

    fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = [0; 16384];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            let room = OUTPUT_LIMIT.saturating_sub(self.bytes.len());
            self.bytes.extend(&chunk[..n.min(room)]);
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Output, Failure> {
        run(&Command(vec!["/bin/sh".into(), "-c".into(), script.into()]), limit, Stdio::null(), &[])
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_a_command_says_is_kept_with_its_code() {
        let cases = [
            ("echo out; echo err >&2", 0, "out\n", "err\n"),
            ("echo $LC_ALL $HOME; exit 3", 3, "C\n", ""),
            ("kill -TERM $$", 143, "", ""),
            ("cat", 0, "", ""),
        ];
        for (script, code, stdout, stderr) in cases {
            let want = Output { code, stdout: stdout.into(), stderr: stderr.into() };
            assert_eq!(sh(script, LONG).unwrap(), want, "{script}");
        }
        assert!(matches!(run(&Command(vec!["/no/such/program".into()]), LONG, Stdio::null(), &[]), Err(Failure::Start { .. })));
        assert!(matches!(run(&Command(vec![]), LONG, Stdio::null(), &[]), Err(Failure::Start { .. })));
    }

    #[test]
    fn a_chatty_command_ends_and_its_output_is_bounded() {
        let output = sh("head -c 3000000 /dev/zero; echo end >&2", LONG).unwrap();
        assert_eq!((output.code, output.stdout.len(), &*output.stderr), (0, OUTPUT_LIMIT, "end\n"));
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
        let began = Instant::now();
        let output = sh("sleep 30 & echo $!", LONG).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
        let daemon = Pid::from_raw(output.stdout.trim().parse().unwrap());
        nix::sys::signal::kill(daemon, Signal::SIGKILL).unwrap();
    }

    #[test]
    fn after_the_deadline_nothing_of_it_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let refusal = sh(&format!("sleep 30 & echo $! >{}; wait", file.display()), Duration::from_millis(300)).unwrap_err();
        assert!(matches!(refusal, Failure::Deadline { .. }), "{refusal}");
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let until = Instant::now() + LONG;
        while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < until, "the command's child is still there");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
