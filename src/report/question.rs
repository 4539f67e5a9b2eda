//! Questions to a person, on standard error: dialoguer's words, read by the terminal's own line editing. So Ctrl-D is heard,
//! and Ctrl-C ends us with the terminal as it was.

use dialoguer::theme::{SimpleTheme, Theme};
use std::{
    fmt,
    io::{self, Write as _},
};

/// Asks for a line; its white space at both ends is left out.
///
/// # Errors
/// When there is none: the input ended, or the terminal went away.
pub fn ask(question: &str) -> io::Result<String> {
    answer(|f| SimpleTheme.format_input_prompt(f, question, None))
}

/// Asks for a yes or a no; an empty line is a no.
///
/// # Errors
/// As [`ask`].
pub fn agreed(question: &str) -> io::Result<bool> {
    loop {
        match answer(|f| SimpleTheme.format_confirm_prompt(f, question, Some(false)))?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "" | "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

fn answer(question: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> io::Result<String> {
    let mut text = String::new();
    question(&mut text).map_err(io::Error::other)?;
    let mut terminal = io::stderr().lock();
    write!(terminal, "{} ", text.trim_end())?;
    terminal.flush()?;
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        writeln!(terminal)?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the input ended"));
    }
    Ok(line.trim().to_owned())
}
