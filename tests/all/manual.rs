//! What is written says what is built: the manual page and the catalogue of findings.

use clap::CommandFactory as _;
use mxseal::{cli::Cli, mta::profile::Profile, topics};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn manual() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man/mxseal.8")
}

/// The long flags that a macro line of the page names: `.It Fl -email Ar address , Fl -no-email`.
fn written() -> BTreeSet<String> {
    let text = fs::read_to_string(manual()).unwrap();
    let words = text.lines().filter(|l| l.starts_with(".It ")).flat_map(|l| l.split_whitespace().collect::<Vec<_>>());
    words.filter(|w| w.len() > 1 && w.starts_with('-')).map(|w| format!("-{w}")).collect()
}

#[test]
fn every_flag_is_in_the_manual_and_the_manual_knows_no_other() {
    let command = Cli::command();
    let mut built: BTreeSet<String> = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    for part in std::iter::once(&command).chain(command.get_subcommands()) {
        built.extend(part.get_arguments().filter_map(|a| Some(format!("--{}", a.get_long()?))));
    }
    assert_eq!(built, written());
    let text = fs::read_to_string(manual()).unwrap();
    for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
        assert!(text.contains(&format!(".It Cm {}", verb.get_name())), "{} has no paragraph", verb.get_name());
    }
}

#[test]
fn the_manual_is_without_fault() {
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "style"]).arg(manual()).output();
    let lint = lint.expect("mandoc; tests/run installs what is needed");
    let said = String::from_utf8_lossy(&lint.stdout);
    // Which pages are installed here is no fault of the text.
    let faults: Vec<_> = said.lines().filter(|l| !l.contains("referenced manual not found") && !l.contains("mandoc.db")).collect();
    assert_eq!(faults, Vec::<&str>::new());
}

/// The text of every source file of the product, each up to its tests.
fn sources(dir: &Path, all: &mut String) {
    for path in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() && !path.ends_with("topics") {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("topics.rs") {
            let text = fs::read_to_string(&path).unwrap();
            all.push_str(text.split("#[cfg(test)]").next().unwrap());
        }
    }
}

/// The words between quotes that have the form of an id.
fn ids(text: &str) -> BTreeSet<&str> {
    let form =
        |w: &&str| w.contains('-') && w.len() > 3 && w.split('-').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase()));
    text.split(['"', '[', ']']).filter(form).collect()
}

/// What stands in quotes behind each of these words, before the next line that ends the part.
fn behind<'a>(text: &'a str, word: &str, end: &str) -> impl Iterator<Item = &'a str> {
    text.split(word).skip(1).flat_map(move |part| part.split(end).next().unwrap_or_default().split('"').skip(1).step_by(2))
}

#[test]
fn every_id_has_a_topic_and_every_topic_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    let mut set: BTreeSet<String> = Profile::built_in().unwrap().into_iter().flat_map(|p| p.settings).map(|s| s.name).collect();
    // Before Postfix 3.4 each key type has settings of its own.
    set.extend(["cert", "key", "eccert", "eckey", "dcert", "dkey"].map(|kind| format!("smtpd_tls_{kind}_file")));
    set.insert("tlsproxy_tls_chain_files".to_owned());
    let topics: BTreeSet<&str> = topics::all().map(|t| t.id).collect();
    let used = ids(&text);
    let unused: Vec<_> = topics.iter().filter(|t| !used.contains(*t) && !set.contains(**t)).collect();
    assert_eq!(unused, Vec::<&&str>::new(), "topics that nothing leads to");

    // What stands first in a new finding is an id, whatever its form; so is what an error or a setting is explained by.
    let found = text.split("Finding::new(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    let errors = behind(&text, "fn topic(&self) -> &'static str {", "\n}").filter(|w| w.contains('-'));
    let said = behind(&text, ".about(", ")");
    let without: Vec<_> = found.chain(errors).chain(said).filter(|id| !topics.contains(id)).collect();
    assert_eq!(without, Vec::<&str>::new(), "findings and errors without a topic");
    assert_eq!(set.iter().filter(|s| !topics.contains(s.as_str())).collect::<Vec<_>>(), Vec::<&String>::new(), "settings without a topic");
}
