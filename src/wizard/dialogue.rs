//! The thin edge: a question becomes lines, and a line becomes an answer, a way back or a way out.

use super::question::{Id, Question};
use crate::{
    report::{self, Terminal},
    settings::Settings,
};
use std::{io, path::Path};

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The settings hold the answer, which was this.
    Taken(String),
    /// To the question before.
    Back,
    /// Out, with everything as it is.
    Quit,
}

/// What came of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approved {
    /// Apply it.
    Yes,
    /// Leave everything as it is.
    No,
    /// Get the certificate, and print what to change.
    PrintOnly,
    /// To the last question.
    Back,
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
enum Line<T> {
    Means(T),
    Tell(String),
}

const FIRST: &str = "this is the first question: there is no way back, only q, which leaves everything as it is";
const PLAN: &str = "\
y applies the plan: it is tried on a copy first, then made, then proved by live conversations with every listening address. If \
the proof fails, if the CA does not answer or if you press Ctrl-C, everything is put back as it was. `mxseal undo` puts it back \
at any later time.
n leaves everything as it is.
d shows the whole files with what changes in them.
p gets the certificate and prints what to change; you make the change.
b goes back to the last question, q leaves everything as it is.
To see it all on a copy first: mxseal rehearse. To try the CA without changing anything: mxseal setup --staging.";

/// Asks until there is an answer that can be taken. `first` says that there is nothing to go back to.
///
/// # Errors
/// When no answer can come: the input ended, or the terminal went away.
pub fn ask(question: &Question, first: bool, settings: &mut Settings) -> io::Result<Said> {
    if first {
        Terminal::say("\nEnter takes what is in brackets. ? tells more, b goes back, q leaves everything as it is.");
    }
    Terminal::say(&format!("\n{}", question.why));
    loop {
        let line = match question.id {
            Id::AgreeTos => report::ask_yes_or_no(&question.asks, question.default.as_deref() == Some("y")),
            _ => report::ask(&question.asks, question.default.as_deref()),
        };
        match means(question, &line?, first, settings) {
            Line::Means(said) => return Ok(said),
            Line::Tell(text) => Terminal::say(&text),
        }
    }
}

fn means(question: &Question, line: &str, first: bool, settings: &mut Settings) -> Line<Said> {
    match line {
        "?" => Line::Tell(question.more()),
        "b" if first => Line::Tell(FIRST.to_owned()),
        "b" => Line::Means(Said::Back),
        "q" => Line::Means(Said::Quit),
        text => question.answer(text, settings).map_or_else(Line::Tell, |()| Line::Means(Said::Taken(text.to_owned()))),
    }
}

/// Asks whether the plan that was shown is to be applied; `whole_diff` shows more of it.
///
/// # Errors
/// As [`ask`].
pub fn approve(first: bool, whole_diff: impl Fn()) -> io::Result<Approved> {
    loop {
        let line = report::ask("Apply? y yes / n no / d whole diff / p print only / ? more", Some("n"))?;
        if line == "d" {
            whole_diff();
            continue;
        }
        match approval(&line, first) {
            Line::Means(said) => return Ok(said),
            Line::Tell(text) => Terminal::say(&text),
        }
    }
}

fn approval(line: &str, first: bool) -> Line<Approved> {
    match line.to_ascii_lowercase().as_str() {
        "y" | "yes" => Line::Means(Approved::Yes),
        "n" | "no" | "q" => Line::Means(Approved::No),
        "p" => Line::Means(Approved::PrintOnly),
        "b" if first => Line::Tell("nothing was asked that could be answered otherwise".to_owned()),
        "b" => Line::Means(Approved::Back),
        "?" => Line::Tell(PLAN.to_owned()),
        _ => Line::Tell("please type y, n, d or p; ? tells what they do".to_owned()),
    }
}

/// Asks whether the answers are to be kept for the next run.
///
/// # Errors
/// As [`ask`].
pub fn keep(file: &Path) -> io::Result<bool> {
    loop {
        let question = format!("\nKeep your answers in {} for the next run?", file.display());
        match report::ask_yes_or_no(&question, true)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" | "q" => return Ok(false),
            _ => Terminal::say("please type y or n"),
        }
    }
}

/// Every open question with its flag, for where nobody can be asked.
#[must_use]
pub fn missing(questions: &[Question]) -> Vec<String> {
    let one = |q: &Question| format!("{} {}{} Give {}", q.why, q.asks, if q.asks.ends_with('?') { "" } else { "." }, q.id.flag());
    questions.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_answer_or_a_way() {
        let question = Question::new(Id::Mx, "Because.", "Which?").or(Some("mx.example.org"));
        let mut settings = Settings::default();
        assert_eq!(means(&question, "b", false, &mut settings), Line::Means(Said::Back));
        assert_eq!(means(&question, "q", false, &mut settings), Line::Means(Said::Quit));
        for (line, word) in [("?", "--mx HOST"), ("b", "first question"), ("mx", "no dot")] {
            let Line::Tell(text) = means(&question, line, true, &mut settings) else { panic!("{line}") };
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(settings, Settings::default());
        assert_eq!(means(&question, "mx.example.org", true, &mut settings), Line::Means(Said::Taken("mx.example.org".into())));
        assert_eq!(settings.mx, ["mx.example.org".parse().unwrap()]);
    }

    #[test]
    fn a_plan_is_approved_by_a_plain_word_only() {
        for (line, wanted) in [
            ("y", Some(Approved::Yes)),
            ("YES", Some(Approved::Yes)),
            ("n", Some(Approved::No)),
            ("q", Some(Approved::No)),
            ("p", Some(Approved::PrintOnly)),
            ("b", Some(Approved::Back)),
            ("", None),
            ("yy", None),
            ("?", None),
        ] {
            let got = match approval(line, false) {
                Line::Means(said) => Some(said),
                Line::Tell(_) => None,
            };
            assert_eq!(got, wanted, "{line:?}");
        }
        assert!(matches!(approval("b", true), Line::Tell(_)));
    }
}
