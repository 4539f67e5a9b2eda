//! Writing to a terminal, or to whatever stands where one is expected; and to the log of the run, word by word the same.

use super::{Event, Observer, text::findings, wrap::hang};
use crate::finding::Verdict;
use console::{Term, strip_ansi_codes, style};
use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// How text may look: colour is for verdicts only.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Colour is wanted and understood.
    pub colour: bool,
    /// For an ear: no colour, no dotted lines, no line that is written in two goes.
    pub plain: bool,
    /// Columns of a line.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, plain: false, width: WIDTH }
    }
}

/// Columns where nobody says how many there are.
const WIDTH: usize = 80;
/// `--plain`, or a terminal that can do no more.
static PLAIN: AtomicBool = AtomicBool::new(false);

impl Style {
    /// What standard output understands; `NO_COLOR` is honoured.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self::of(&Term::stdout())
    }

    /// The same of standard error.
    #[must_use]
    pub fn of_stderr() -> Self {
        Self::of(&Term::stderr())
    }

    fn of(term: &Term) -> Self {
        // A terminal that does not know its size says 0.
        let columns = term.size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns));
        let plain = PLAIN.load(Ordering::Relaxed);
        Self { colour: !plain && console::colors_enabled(), plain, width: if columns < 20 { WIDTH } else { columns } }
    }

    /// A verdict as a word of seven columns.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> String {
        self.paint(verdict, format!("{:<7}", verdict.to_string()))
    }

    /// `word` in the colour of a verdict.
    #[must_use]
    pub fn paint(self, verdict: Verdict, word: String) -> String {
        if !self.colour {
            return word;
        }
        match verdict {
            Verdict::Pass => style(word).green(),
            Verdict::Warn => style(word).yellow(),
            Verdict::Fail => style(word).red().bold(),
            Verdict::Unknown => style(word).cyan(),
        }
        .force_styling(true)
        .to_string()
    }
}

/// The log of the run, where one is kept.
static LOG: Mutex<Option<Box<dyn Write + Send>>> = Mutex::new(None);

/// What the run ends in was printed.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Standard output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal;

impl Terminal {
    /// Prints a text that ends in a line end. A closed pipe is the reader's wish and no error.
    pub fn print(text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.is_empty() && !text.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
        if !text.is_empty() {
            Self::note(&format!("{}\n", text.trim_end()));
        }
    }

    /// Prints that in which a run ends, once: an interrupt at the very end comes too late to say something else.
    pub fn document(text: &str) {
        if !ENDED.swap(true, Ordering::SeqCst) {
            Self::print(text);
        }
    }

    /// Prints `text`, of which only `noted` goes into the log: whole configuration files can hold passwords.
    pub fn print_apart(text: &str, noted: &str) {
        let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self::print(text);
        *LOG.lock().unwrap_or_else(PoisonError::into_inner) = log;
        Self::note(noted);
    }

    /// Prints a text to standard error.
    pub fn complain(text: &str) {
        let text = text.trim_end();
        let _ = writeln!(io::stderr().lock(), "{text}");
        Self::note(&format!("{text}\n"));
    }

    /// Tells a person something, on standard error, in lines that the terminal can hold; where there is none, in one line
    /// each.
    pub fn say(text: &str) {
        let mut lines = String::new();
        for line in text.split('\n') {
            // An empty line stays one.
            if line.is_empty() { lines.push('\n') } else { hang(&mut lines, "", line, Self::width_of_stderr()) }
        }
        Self::complain(&lines);
    }

    /// Begins a line on standard error that something else ends; the log is told by whoever knows all of it.
    pub(super) fn begin(text: &str) {
        let mut err = io::stderr().lock();
        let _ = write!(err, "{text}");
        let _ = err.flush();
    }

    /// From now on everything is written to `log` too, without colours. The log is no reason to stop: what cannot be
    /// written is left out.
    pub fn keep_log(log: impl Write + Send + 'static) {
        *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(log));
    }

    /// Writes to the log alone.
    pub(super) fn note(text: &str) {
        if let Some(log) = LOG.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ = log.write_all(strip_ansi_codes(text).as_bytes());
            let _ = log.flush();
        }
    }

    /// Speaks to an ear from now on: see [`Style::plain`].
    pub fn be_plain() {
        PLAIN.store(true, Ordering::Relaxed);
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }

    fn width_of_stderr() -> usize {
        if io::stderr().is_terminal() { Style::of(&Term::stderr()).width } else { usize::MAX }
    }

    /// Whether a person can be asked: standard input and standard error are terminals.
    #[must_use]
    pub fn can_ask() -> bool {
        io::stdin().is_terminal() && Term::stderr().is_term()
    }
}

/// Progress as lines on standard error: a step a line, with its time; a wait says what it waits for and how long it may
/// take. On a terminal the line begins when the step does.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    running: Mutex<Option<Step>>,
}

#[derive(Debug)]
struct Step {
    what: String,
    began: Instant,
    /// Its line was begun, and waits for its end.
    shown: bool,
}

/// Column at which results stand.
const RESULT_COLUMN: usize = 52;

impl Progress {
    /// Lines for a reader, or nothing when `quiet`.
    #[must_use]
    pub const fn new(quiet: bool) -> Self {
        Self { quiet, running: Mutex::new(None) }
    }

    /// A line of its own.
    pub fn line(&self, text: &str) {
        if !self.quiet {
            self.interrupt();
            Terminal::say(text);
        }
    }

    /// Ends a line that was begun, because another comes in between.
    fn interrupt(&self) {
        if let Some(step) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && std::mem::take(&mut step.shown)
        {
            Terminal::begin("\n");
        }
    }

    fn started(&self, what: String) {
        self.interrupt();
        let style = Style::of(&Term::stderr());
        let mut step = Step { what, began: Instant::now(), shown: false };
        if style.plain {
            Terminal::complain(&format!("Now: {}", step.what));
        } else if io::stderr().is_terminal() {
            Terminal::begin(&format!("  {} ", step.what));
            step.shown = true;
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    }

    fn done(&self, result: &str) {
        let style = Style::of(&Term::stderr());
        let Some(step) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Terminal::complain(&format!("  {result}"));
        };
        let line = Line { step: &step, result, seconds: step.began.elapsed().as_secs_f32(), style };
        if style.plain {
            return Terminal::complain(&line.spoken());
        }
        let (what, rest) = line.drawn();
        Terminal::begin(&format!("{}{rest}\n", if step.shown { "" } else { &what }));
        Terminal::note(&format!("{what}{rest}\n"));
    }
}

/// The line of a step that has ended.
struct Line<'a> {
    step: &'a Step,
    result: &'a str,
    seconds: f32,
    style: Style,
}

impl Line<'_> {
    fn spoken(&self) -> String {
        let result = if self.result == "done" { String::new() } else { format!(": {},", self.result) };
        format!("Done{result} in {:.1} seconds.", self.seconds)
    }

    /// What stands there while the step runs, and what is added at its end; a result for which no room is left hangs below.
    fn drawn(&self) -> (String, String) {
        let result = format!("{} ({:.1} s)", self.result, self.seconds);
        let (began, room) = (self.step.what.chars().count() + 3, self.style.width.min(WIDTH));
        let dots = (RESULT_COLUMN + 3).min(room.saturating_sub(result.chars().count() + 1)).saturating_sub(began);
        let rest = if dots >= 3 { format!("{} {result}", ".".repeat(dots)) } else { format!("...\n      {result}") };
        (format!("  {} ", self.step.what), rest)
    }
}

impl Observer for Progress {
    fn see(&self, event: Event) {
        if self.quiet {
            return;
        }
        match event {
            Event::Started(what) => self.started(what),
            Event::Waiting { on, at_most } => {
                self.interrupt();
                let mut text = String::new();
                hang(&mut text, "    ", &format!("waiting for {on}, at most {} s", at_most.as_secs()), Terminal::width_of_stderr());
                Terminal::complain(&text);
            }
            Event::Done(result) => self.done(&result),
            Event::Note(finding) => {
                self.interrupt();
                Terminal::complain(findings(Style::of(&Term::stderr()), &[finding]).trim_end());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line_that_fits() {
        for (what, result, width, expected) in [
            ("try it on a copy", "accepted", 80, "  try it on a copy .................................... accepted (1.5 s)"),
            (
                "certificate for mx1.example.test (ecdsa)",
                "valid until 2027-02-20T07:43:00Z",
                80,
                "  certificate for mx1.example.test (ecdsa) ...\n      valid until 2027-02-20T07:43:00Z (1.5 s)",
            ),
            (
                "certificate (rsa)",
                "valid until 2027-02-20T07:43:00Z",
                80,
                "  certificate (rsa) ................... valid until 2027-02-20T07:43:00Z (1.5 s)",
            ),
            ("order", "ok", 24, "  order ..... ok (1.5 s)"),
        ] {
            let step = Step { what: what.into(), began: Instant::now(), shown: false };
            let line = Line { step: &step, result, seconds: 1.5, style: Style { width, ..Style::default() } };
            let (began, rest) = line.drawn();
            assert_eq!(format!("{began}{rest}"), expected);
            assert!(expected.lines().all(|l| l.chars().count() <= width), "{expected}");
            assert!(!line.spoken().contains("..."));
        }
    }
}
