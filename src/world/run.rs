//! Running commands: no shell, no terminal, a fixed environment, a deadline, bounded output.

use super::machine::{Failure, Output};
use crate::change::Command;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    io::{self, Read},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::Stdio,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// No more than this many bytes of a command's output are kept.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Runs `command` to its end with `stdin`; ends it and its process group after `limit`.
pub(super) fn run(command: &Command, limit: Duration, stdin: Stdio) -> Result<Output, Failure> {
    let start = |source| Failure::Start { command: command.to_string(), source };
    let (program, arguments) = command.0.split_first().ok_or_else(|| start(io::Error::other("no program is named")))?;
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let (said, complained) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let began = Instant::now();
    // Polling: a wait with a deadline needs a signal handler or a thread that outlives us.
    let mut pause = Duration::from_micros(200);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(start)? {
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
    Ok(Output { code, stdout: text(&said), stderr: text(&complained) })
}

/// Reads a pipe in a thread, so that a chatty command never blocks.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            let mut left = OUTPUT_LIMIT;
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                let keep = n.min(left);
                left -= keep;
                if sender.send(chunk[..keep].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// A daemon that inherits the pipe keeps it open: what came within a moment of the command's end is what counts.
fn text(pieces: &Receiver<Vec<u8>>) -> String {
    let mut all = Vec::new();
    let until = Instant::now() + Duration::from_millis(200);
    while let Ok(piece) = pieces.recv_timeout(until.saturating_duration_since(Instant::now())) {
        all.extend(piece);
    }
    String::from_utf8_lossy(&all).into_owned()
}
