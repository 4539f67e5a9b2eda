//! A terminal of 24 lines and 80 columns with a program on it, and what a person sees there.

use super::process::wait_for;
use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

/// The size of the screen.
pub const SIZE: (u16, u16) = (24, 80);

/// A program on a terminal of its own.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    read: usize,
}

impl Terminal {
    /// Runs the words of a shell on a terminal; `start` makes the command in its place: on a host, in a namespace. The name
    /// of the terminal is in the file `tty` of the working directory, for who wants to change its size.
    pub fn start(start: impl FnOnce(&[&str]) -> Command, words: &str) -> Self {
        let (rows, columns) = SIZE;
        let script = format!(
            "stty rows {rows} cols {columns}; tty >/tmp/tty; trap : INT; {words}; \
             echo ended with \\$?; stty -a | tr ' ' '\\n' | grep -x -e 'icanon;\\?' -e 'echo;\\?' | tr '\\n' ' '"
        );
        let mut command = start(&["script", "-qec", &format!("bash -c \"{script}\""), "/dev/null"]);
        let terminal = command.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = terminal.spawn().expect("script is in bsdutils; tests/run installs what is needed");
        let (keys, mut out) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let keep = shown.clone();
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut chunk) {
                keep.lock().expect("a lock").extend(&chunk[..n]);
            }
        });
        Self { child, keys, shown, reader, read: 0 }
    }

    /// Everything that was shown, as it came.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("a lock")).into_owned()
    }

    /// Waits for something that was not there before; gives what was shown since the last answer.
    pub fn until(&self, what: &str) -> String {
        wait_for(&format!("{what:?}"), Duration::from_secs(90), || {
            let seen = self.seen();
            assert!(!seen[self.read..].contains("ended with"), "no {what:?} in {seen}");
            seen[self.read..].contains(what)
        });
        self.seen()[self.read..].to_owned()
    }

    /// Waits for a question, and types.
    pub fn answer(&mut self, question: &str, keys: &str) -> String {
        let shown = self.until(question);
        self.read += shown.len();
        self.keys.write_all(keys.as_bytes()).expect("a terminal that listens");
        shown
    }

    /// Waits for a question, and compares the whole screen with a file below `fixtures/screens`: the cursor waits behind the
    /// question, and no line is cut at the edge. What differs from run to run is left out: times, dates, ids.
    ///
    /// `MXSEAL_GOLDEN=write` writes what is shown today; read the diff before you keep it.
    pub fn golden(&self, name: &str, question: &str) {
        self.until(question);
        lines(&self.seen());
        let (height, width) = SIZE;
        let of = |n| std::num::NonZero::new(n).expect("a size");
        let mut emulator = vt100::Parser::new(of(height), of(width), 0);
        emulator.process(&self.shown.lock().expect("a lock"));
        let screen = emulator.screen();
        let rows: Vec<String> = screen.rows(0, width).map(|row| row.trim_end().to_owned()).collect();
        let (row, column) = screen.cursor_position();
        let (asking, below) = rows[usize::from(row)..].split_first().expect("the row of the cursor");
        assert!(!screen.hide_cursor(), "{name}: nobody sees where to type: {rows:#?}");
        assert!(asking.ends_with(question) && usize::from(column) >= asking.chars().count(), "{name}: {column} in {asking:?}");
        assert!(below.iter().all(String::is_empty), "{name}: something stands below the question: {below:#?}");
        let cut = (0..height).find(|&n| screen.row_wrapped(n) && !pasted(&rows[..=usize::from(n)]));
        assert_eq!(cut, None, "{name}: a row is longer than the screen is wide: {rows:#?}");
        compare(name, &rows[..=usize::from(row)]);
    }

    /// What was shown to the end, and the exit status. The terminal is as it was: lines, echo and a cursor.
    pub fn end(mut self) -> (i32, String) {
        wait_for("the end", Duration::from_secs(120), || matches!(self.child.try_wait(), Ok(Some(_))));
        drop(self.keys);
        self.reader.join().expect("the reader");
        let shown = self.shown.lock().expect("a lock").clone();
        let seen = String::from_utf8_lossy(&shown).into_owned();
        let (_, rest) = seen.rsplit_once("ended with ").unwrap_or_else(|| panic!("no end: {seen}"));
        let code = rest.split_whitespace().next().and_then(|c| c.parse().ok()).unwrap_or_else(|| panic!("{seen}"));
        let settings: Vec<&str> = rest.split_whitespace().skip(1).collect();
        assert_eq!(settings, ["icanon", "echo"], "the terminal is not as it was: {seen}");
        let (hidden, visible) = (seen.rfind("\x1b[?25l"), seen.rfind("\x1b[?25h"));
        assert!(hidden.is_none() || visible > hidden, "the cursor stays hidden: {seen:?}");
        (code, seen)
    }
}

/// The lines of a text that was shown, without colours; none is longer than the screen is wide, but for commands that are to
/// be pasted.
pub fn lines(shown: &str) -> Vec<String> {
    let plain = console::strip_ansi_codes(shown).replace('\r', "");
    let lines: Vec<String> = plain.lines().map(|l| l.trim_end().to_owned()).collect();
    let long: Vec<_> = lines.iter().filter(|l| l.chars().count() > usize::from(SIZE.1) && !l.contains("next: run: ")).collect();
    assert!(long.is_empty(), "longer than the screen is wide: {long:#?}");
    lines
}

/// Whether the last of these rows belongs to a command that is to be pasted.
fn pasted(rows: &[String]) -> bool {
    rows.iter().rev().take(4).any(|row| row.contains("next: run: "))
}

fn compare(name: &str, rows: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/fixtures/screens").join(format!("{name}.txt"));
    let got = rows.iter().map(|row| steady(row) + "\n").collect::<String>();
    if std::env::var("MXSEAL_GOLDEN").as_deref() == Ok("write") {
        std::fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| std::fs::write(&path, got)).expect("a fixture");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if got != expected {
        let diff = similar::TextDiff::from_lines(&expected, &got);
        panic!("{} is shown otherwise (- expected, + shown):\n{}", path.display(), diff.unified_diff().context_radius(2));
    }
}

/// A line without what differs from run to run.
fn steady(line: &str) -> String {
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).count();
    let word = |word: &str| match word {
        _ if digits(word) >= 14 && word.contains('-') && !word.contains('/') => "ID".to_owned(),
        _ if word.ends_with(".log") => format!("{}/ID.log", word.rsplit_once('/').map_or("", |(dir, _)| dir)),
        _ if word.starts_with("20") && digits(word) == 8 && word.trim_end_matches([',', ')']).len() == 10 => {
            word.replace(&word[..10], "DATE")
        }
        _ if word.starts_with("...") => "...".to_owned(),
        _ if word.split_once('.').is_some_and(|(s, tenth)| digits(s) == s.len() && tenth.len() == 1 && digits(tenth) == 1) => {
            "T".to_owned()
        }
        _ if word.starts_with('(') && word.contains('.') && digits(word) + 2 == word.len() => "(T".to_owned(),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
