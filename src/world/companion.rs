//! Our own program again, as a process that lives beside us: it ends when its standard input does, in whatever way we end.

use std::{
    ffi::OsStr,
    io::{self, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

/// It gets ready within this time.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Bytes that it may say until then.
const WORDS: usize = 4096;

/// A process at work. When this value goes, its standard input ends, and its own end is waited for.
#[derive(Debug)]
pub struct Companion {
    process: Child,
}

impl Companion {
    /// Starts `program` with `arguments` in the directory `at`, and waits until it has said `ready` on its standard output. Its
    /// standard error stays ours.
    ///
    /// # Errors
    /// When it cannot be started or does not get ready.
    #[expect(clippy::disallowed_methods, reason = "not a command with a deadline")]
    pub fn start(program: &Path, arguments: &[impl AsRef<OsStr>], at: &Path, ready: &'static [u8]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg0("mxseal").args(arguments).current_dir(at).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (sender, receiver) = channel();
        if let Some(pipe) = process.stdout.take() {
            thread::Builder::new().spawn(move || {
                let mut said = Vec::new();
                // Whatever it says before; it says no more than that.
                for byte in BufReader::new(pipe).bytes().take(WORDS).map_while(Result::ok) {
                    said.push(byte);
                    if said.ends_with(ready) {
                        break;
                    }
                }
                let _ = sender.send(said.ends_with(ready));
            })?;
        }
        let is_ready = receiver.recv_timeout(READY_LIMIT).unwrap_or(false);
        let companion = Self { process };
        if is_ready { Ok(companion) } else { Err(io::Error::other(format!("{} did not get ready", program.display()))) }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
