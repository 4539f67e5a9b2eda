//! `mxseal setup` as a person meets it on a terminal.

use crate::lab::{
    host::{Host, differences},
    internet::{DIRECTORY, Internet},
    process::wait_for,
    setup::{SNAKE_OIL, assert_verifiable, contents},
};
use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

const APPLY: &str = "Apply? y yes / n no / d whole diff / p";
const TERMS: &str = "Do you agree to them? [y/N]";
const ADDRESS: &str = "Address that the CA may write to (empty for none):";

/// A program on a terminal of its own, in the host.
struct Session {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    read: usize,
}

impl Session {
    fn start(host: &Host) -> Self {
        let command = format!(
            "trap : INT; mxseal setup --acme-directory {DIRECTORY} --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem; \
             echo ended with \\$?; stty -a | tr ' ' '\\n' | grep -x -e 'icanon;\\?' -e 'echo;\\?' | tr '\\n' ' '"
        );
        let mut command = host.command(&["script", "-qec", &format!("bash -c \"{command}\""), "/dev/null"]);
        command.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = screen.clone();
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut chunk) {
                shown.lock().unwrap().extend(&chunk[..n]);
            }
        });
        Self { child, keys, screen, reader, read: 0 }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits for a question that was not there before, and types.
    fn answer(&mut self, question: &str, keys: &str) -> String {
        let deadline = Duration::from_secs(60);
        let what = format!("{question:?}");
        wait_for(&what, deadline, || {
            let seen = self.seen();
            assert!(!seen[self.read..].contains("ended with"), "no {question:?} in {seen}");
            seen[self.read..].contains(question)
        });
        let shown = self.seen()[self.read..].to_owned();
        self.read += shown.len();
        self.keys.write_all(keys.as_bytes()).unwrap();
        shown
    }

    /// What was shown to the end, and the exit status. The terminal is as it was: lines, echo and a cursor.
    fn end(mut self) -> (i32, String) {
        let what = "the end";
        wait_for(what, Duration::from_secs(120), || matches!(self.child.try_wait(), Ok(Some(_))));
        drop(self.keys);
        self.reader.join().unwrap();
        let seen = String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned();
        let (_, rest) = seen.rsplit_once("ended with ").unwrap_or_else(|| panic!("no end: {seen}"));
        let code = rest.split_whitespace().next().and_then(|c| c.parse().ok()).unwrap_or_else(|| panic!("{seen}"));
        let settings: Vec<&str> = rest.split_whitespace().skip(1).collect();
        assert_eq!(settings, ["icanon", "echo"], "the terminal is not as it was: {seen}");
        let (hidden, visible) = (seen.rfind("\x1b[?25l"), seen.rfind("\x1b[?25h"));
        assert!(hidden.is_none() || visible > hidden, "the cursor stays hidden: {seen:?}");
        (code, seen)
    }
}

#[test]
fn questions_are_answered_on_a_terminal() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let tree = || contents(&host.tree("/etc/postfix"));
    let before = tree();
    let untouched = |what: &str| {
        assert_eq!(differences(&before, &tree()), Vec::<String>::new(), "{what}");
        assert!(internet.s_client(&[]).contains(SNAKE_OIL), "{what}");
    };

    // Leaving: Ctrl-C and Ctrl-D at the first question, a no to the terms.
    let mut session = Session::start(&host);
    session.answer(TERMS, "\x03");
    let (code, seen) = session.end();
    assert_eq!(code, 130, "{seen}");
    let mut session = Session::start(&host);
    session.answer(TERMS, "\x04");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("no answer came (the input ended); nothing was changed"), "{seen}");
    let mut session = Session::start(&host);
    session.answer(TERMS, "\n");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("without its terms agreed to"), "{seen}");
    untouched("who leaves changes nothing");

    // Looking closer, and printing only.
    let mut session = Session::start(&host);
    session.answer(TERMS, "y\n");
    session.answer(ADDRESS, "\n");
    session.answer(APPLY, "maybe\n");
    let shown = session.answer(APPLY, "d\n");
    assert!(shown.contains("please type y, n, d or p"), "{shown}");
    let whole = session.answer(APPLY, "p\n");
    assert!(whole.contains("mydestination = "), "lines far from the change: {whole}");
    let (code, seen) = session.end();
    assert!(code == 0 && seen.contains("+smtpd_tls_chain_files = /etc/mxseal/live/mx1.example.test.pem"), "{seen}");
    untouched("printing");
    assert!(host.path("/etc/mxseal/live/mx1.example.test.pem").exists());

    // With an account, one question is left.
    let mut session = Session::start(&host);
    session.answer(APPLY, "n\n");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("nothing was changed") && !seen.contains(TERMS), "{seen}");
    let mut session = Session::start(&host);
    session.answer(APPLY, "\x03");
    assert_eq!(session.end().0, 130);
    let mut session = Session::start(&host);
    session.answer(APPLY, "\x04");
    assert_eq!(session.end().0, 1);
    untouched("a no");

    let mut session = Session::start(&host);
    session.answer(APPLY, "y\n");
    let (code, seen) = session.end();
    assert!(code == 0, "{seen}");
    assert_verifiable(&internet);
}
