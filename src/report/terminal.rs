//! Writing to a terminal, or to whatever stands where one is expected.

use console::{Term, style};
use std::{
    io::{self, Write as _},
    sync::Mutex,
    time::Instant,
};

use super::{Event, Observer, text::findings};
use crate::finding::Verdict;

/// How text may look: colour is for verdicts only.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Colour is wanted and understood.
    pub colour: bool,
    /// Columns of a line.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 80 }
    }
}

impl Style {
    /// What standard output understands; `NO_COLOR` is honoured.
    #[must_use]
    pub fn of_stdout() -> Self {
        let columns = Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns));
        Self { colour: console::colors_enabled(), width: columns }
    }

    /// A verdict as a word of seven columns.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> String {
        let word = format!("{:<7}", verdict.to_string());
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
    }

    /// Prints a text to standard error.
    pub fn complain(text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
    }

    /// Whether a person can be asked: standard input and standard error are terminals.
    #[must_use]
    pub fn can_ask() -> bool {
        use std::io::IsTerminal as _;
        io::stdin().is_terminal() && Term::stderr().is_term()
    }
}

/// Progress as lines on standard error: a step a line, with its time; a wait says what it waits for and how long it may
/// take.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    running: Mutex<Option<(String, Instant)>>,
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
            Terminal::complain(text);
        }
    }

    fn step(&self) -> Option<(String, Instant)> {
        self.running.lock().ok().and_then(|mut running| running.take())
    }
}

impl Observer for Progress {
    fn see(&self, event: Event) {
        match event {
            Event::Started(what) => {
                if let Ok(mut running) = self.running.lock() {
                    *running = Some((what, Instant::now()));
                }
            }
            Event::Waiting { on, at_most } => self.line(&format!("  waiting for {on}, at most {} s", at_most.as_secs())),
            Event::Done(result) => {
                let Some((what, began)) = self.step() else { return self.line(&format!("  {result}")) };
                let dots = ".".repeat(RESULT_COLUMN.saturating_sub(what.chars().count()).max(3));
                self.line(&format!("  {what} {dots} {result} ({:.1} s)", began.elapsed().as_secs_f32()));
            }
            Event::Note(finding) => self.line(findings(Style::default(), &[finding]).trim_end()),
        }
    }
}
