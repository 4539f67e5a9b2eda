//! Questions to a person, on standard error: dialoguer's words, read by the terminal's own line editing. So Ctrl-D is heard,
//! and Ctrl-C ends us with the terminal as it was.

use super::Terminal;
use dialoguer::theme::{SimpleTheme, Theme};
use std::{fmt, io};

/// Asks for a line; an empty one is the default. White space at both ends is left out.
///
/// # Errors
/// When there is none: the input ended, or the terminal went away.
pub fn ask(question: &str, default: Option<&str>) -> io::Result<String> {
    let typed = answer(|f| SimpleTheme.format_input_prompt(f, question, default))?;
    Ok(if typed.is_empty() { default.unwrap_or_default().to_owned() } else { typed })
}

/// Asks as for a yes or a no; an empty line is the default. Other words are left to the caller.
///
/// # Errors
/// As [`ask`].
pub fn ask_yes_or_no(question: &str, default: bool) -> io::Result<String> {
    let typed = answer(|f| SimpleTheme.format_confirm_prompt(f, question, Some(default)))?;
    Ok(if typed.is_empty() { if default { "y" } else { "n" }.to_owned() } else { typed })
}

/// Asks for a yes or a no; an empty line is a no.
///
/// # Errors
/// As [`ask`].
pub fn agreed(question: &str) -> io::Result<bool> {
    loop {
        match ask_yes_or_no(question, false)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

fn answer(question: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> io::Result<String> {
    let mut text = String::new();
    question(&mut text).map_err(io::Error::other)?;
    Terminal::begin(&format!("{} ", text.trim_end()));
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        Terminal::begin("\n");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the input ended"));
    }
    Terminal::note(&format!("{} {}\n", text.trim_end(), line.trim()));
    Ok(line.trim().to_owned())
}
