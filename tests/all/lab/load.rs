//! Mail without pause: `smtp-source` from the sender's place to port 25 of the MX host, counted at both ends.

use super::{host::Host, internet::SENDER, net::Net, process::wait_for};
use std::{
    collections::HashSet,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Messages of one run of smtp-source. Two run side by side, so one is always sending while the other starts anew.
const BATCH: usize = 250;
/// Sessions of each of the two; together below Postfix's fifty a client.
const SESSIONS: usize = 20;

/// What a server says that takes no more connections at once.
const CROWDED: &str = " 421 Too many concurrent";
/// What a sender sees of a port that closes for a moment; a connection that waited in its backlog has no greeting either.
const CLOSING: [&str; 3] = [CROWDED, "connect: Connection refused", "lost connection while reading server greeting"];
/// ... or of a server that ends and starts anew.
const CUT_OFF: [&str; 2] = ["connect: Connection refused", "lost connection while"];

/// A load that goes on until it is told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Vec<String>>>,
}

/// What became of it.
#[derive(Debug)]
pub struct Sent {
    /// Messages that the host took over, with a 250 after the last dot.
    pub accepted: usize,
    /// How often nobody listened, where that was allowed for.
    pub refused: usize,
    /// What smtp-source said of anything but acceptance: refused connections, 4xx, 5xx, lost connections.
    pub complaints: Vec<String>,
}

impl Load {
    /// Begins, and returns when the first messages were accepted.
    pub fn start(net: &Net) -> Self {
        Self::of(net, 2, SESSIONS, BATCH, &[])
    }

    /// A few at a time, while other things are done on the same machine.
    pub fn light(net: &Net) -> Self {
        Self::of(net, 2, 2, 10, &[])
    }

    /// The same for a server that takes twenty connections at once, and closes its port for a moment when it is told to read
    /// its configuration again: a message a connection, and who is refused comes again.
    pub fn patient(net: &Net) -> Self {
        Self::of(net, 4, 1, 1, &CLOSING)
    }

    /// The same for as long as its port does not close.
    pub fn gentle(net: &Net) -> Self {
        Self::of(net, 4, 1, 1, &CLOSING[..1])
    }

    /// The same for a server that is restarted: conversations are cut off too.
    pub fn very_patient(net: &Net) -> Self {
        Self::of(net, 4, 1, 1, &CUT_OFF)
    }

    fn of(net: &Net, workers: usize, sessions: usize, batch: usize, momentary: &'static [&'static str]) -> Self {
        let (stop, accepted, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let workers = (0..workers).map(|_| {
            let mut source = net.command(SENDER, "smtp-source");
            source.args(["-s", &sessions.to_string(), "-m", &batch.to_string(), "-l", "200", "-M", "sender.test"]);
            source.args(["-f", "a@sender.test", "-t", "root@example.test", "198.18.0.25:25"]);
            let (stop, accepted, refused) = (stop.clone(), accepted.clone(), refused.clone());
            std::thread::spawn(move || work(&source, batch, &stop, &accepted, &refused, momentary))
        });
        let load = Self { workers: workers.collect(), stop, accepted, refused };
        wait_for("the first messages", Duration::from_secs(60), || load.accepted() > 0 || load.workers.iter().any(JoinHandle::is_finished));
        load
    }

    /// How many were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Goes on until `at_least` were accepted, or something else happened, then ends.
    pub fn finish(self, at_least: usize) -> Sent {
        while self.accepted() < at_least && !self.workers.iter().any(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.stop.store(true, Ordering::SeqCst);
        let complaints = self.workers.into_iter().flat_map(|w| w.join().expect("a worker")).collect();
        Sent { accepted: self.accepted.load(Ordering::SeqCst), refused: self.refused.load(Ordering::SeqCst), complaints }
    }
}

fn work(
    source: &Command,
    batch: usize,
    stop: &AtomicBool,
    accepted: &AtomicUsize,
    refused: &AtomicUsize,
    momentary: &[&str],
) -> Vec<String> {
    // Process ids come again in a long run, and smtp-source makes its Message-Ids of them: the subject tells runs apart.
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let fixed: Vec<_> = source.get_args().map(std::ffi::OsStr::to_owned).collect();
    while !stop.load(Ordering::SeqCst) {
        let (target, before) = fixed.split_last().expect("a target");
        let mut source = Command::new(source.get_program());
        source.args(before).args(["-S", &RUN.fetch_add(1, Ordering::SeqCst).to_string()]).arg(target);
        let out = source.stdin(Stdio::null()).output().expect("smtp-source comes with Postfix; tests/run installs it");
        let said: Vec<_> = String::from_utf8_lossy(&out.stderr).lines().map(str::to_owned).collect();
        if let [one] = said.as_slice()
            && momentary.iter().any(|m| one.contains(m))
        {
            refused.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        if !out.status.success() || !said.is_empty() {
            return said.into_iter().chain([format!("smtp-source ended with {}", out.status)]).collect();
        }
        accepted.fetch_add(batch, Ordering::SeqCst);
    }
    Vec::new()
}

/// Waits until the host's queue is empty, and counts what lies in its mailbox, without our own letters: (messages, different messages).
pub fn delivered(host: &Host) -> (usize, usize) {
    wait_for("the host's queue to drain", Duration::from_secs(600), || host.queue_is_empty());
    let mailbox = host.mailbox();
    let lines: Vec<&str> = mailbox.lines().collect();
    let ours = |line: &str| line.to_ascii_lowercase().starts_with("message-id: <") && !line.contains("<mxseal.");
    let subject = |at: usize| lines[at..].iter().take_while(|line| !line.is_empty()).find(|line| line.starts_with("Subject: "));
    let all: Vec<_> = (0..lines.len()).filter(|at| ours(lines[*at])).map(|at| (lines[at], subject(at))).collect();
    (all.len(), all.iter().collect::<HashSet<_>>().len())
}
