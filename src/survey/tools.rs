//! Asking the server's own tools. Only those that write nothing are asked.

use crate::{
    change::Command,
    mta::profile::{Ask, Filling},
    world::{Look, Output},
};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// How long a question may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs one to its end; a bad exit code is the sentence for the reader.
pub(super) fn run(look: &dyn Look, command: &Command) -> Result<Output, String> {
    let out = look.run(command, PATIENCE).map_err(|e| e.to_string())?;
    if out.code != 0 {
        let words = command.0.get(..5).map_or_else(|| command.to_string(), |first| format!("{} ...", first.join(" ")));
        // postconf warns of parameters that nobody uses, with their values: passwords of tables are among them.
        let said: Vec<&str> = out.stderr.lines().filter(|l| !l.contains("unused parameter")).collect();
        return Err(format!("`{words}` ended with {}: {}", out.code, said.join("\n").trim()));
    }
    Ok(out)
}

/// The one word that a question is about.
pub(super) fn answer(look: &dyn Look, ask: &Ask, dir: &Path) -> Result<String, String> {
    let nothing = BTreeMap::new();
    let command = ask.command.fill(Filling::new(dir, &nothing));
    let said = run(look, &command)?.stdout;
    let behind = if ask.after.is_empty() { Some(said.as_str()) } else { said.split_once(&ask.after).map(|(_, rest)| rest) };
    let word = behind.and_then(|rest| rest.split_whitespace().next());
    word.map(ToOwned::to_owned).ok_or_else(|| format!("`{command}` said nothing that mxseal understands: {}", said.trim()))
}

/// `name = value` lines, as `postconf` prints them.
pub(super) fn settings(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|l| l.split_once(" =")).map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Machine;

    #[test]
    fn postconf_lines_are_read() {
        let got = settings("myhostname = vm\nmydestination =\nrelay_domains = a = b\nnonsense\n");
        assert_eq!(got.get("myhostname").map(String::as_str), Some("vm"));
        assert_eq!(got.get("mydestination").map(String::as_str), Some(""));
        assert_eq!(got.get("relay_domains").map(String::as_str), Some("a = b"));
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn a_failure_quotes_no_value_of_a_stranger() {
        let script = "echo 'postconf: warning: main.cf: unused parameter: my_password=hunter2' >&2; echo 'postconf: fatal: x' >&2; exit 1";
        let why = run(&Machine, &Command(["sh", "-c", script].map(ToOwned::to_owned).to_vec())).expect_err("it fails");
        assert!(why.contains("ended with 1: postconf: fatal: x"), "{why}");
        assert_eq!(why.matches("hunter2").count(), script.matches("hunter2").count(), "only the command itself: {why}");
    }
}
