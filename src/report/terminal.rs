//! Writing to a terminal, or to whatever stands where one is expected.

use console::{Term, style};
use std::{
    io::{self, Write as _},
    sync::Mutex,
    time::Instant,
};

use crate::finding::Verdict;

/// How text may look: colour is for verdicts only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colour is wanted and understood.
    pub colour: bool,
}

impl Style {
    /// What standard output understands; `NO_COLOR` is honoured.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self { colour: console::colors_enabled() }
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

/// Progress as lines on standard error: a step a line, with its time.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    running: Mutex<Option<(String, Instant)>>,
}

impl Progress {
    /// Lines for a reader, or nothing when `quiet`.
    #[must_use]
    pub const fn new(quiet: bool) -> Self {
        Self { quiet, running: Mutex::new(None) }
    }

    /// A step begins.
    pub fn begin(&self, what: &str) {
        if let Ok(mut running) = self.running.lock() {
            *running = Some((what.to_owned(), Instant::now()));
        }
    }

    /// The step that began last is done.
    pub fn done(&self, result: &str) {
        let Some((what, began)) = self.running.lock().ok().and_then(|mut r| r.take()) else { return };
        self.line(&format!(
            "  {what} {} {result} ({:.1} s)",
            ".".repeat(46usize.saturating_sub(what.chars().count()).max(3)),
            began.elapsed().as_secs_f32()
        ));
    }

    /// A line of its own.
    pub fn line(&self, text: &str) {
        if !self.quiet {
            Terminal::complain(text);
        }
    }
}
