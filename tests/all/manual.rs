//! What is written says what is built: the manual, the catalogue of findings, and what shells complete.

use clap::CommandFactory as _;
use mxseal::{cli::Cli, mta::profile::Profile, settings::KEYS, topics};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn pages() -> Vec<PathBuf> {
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap();
    folder.map(|e| e.unwrap().path()).collect()
}

/// The long flags that a macro line of the page begins with: `.It Fl -email Ar address , Fl -no-email`.
fn written(page: &str) -> BTreeSet<String> {
    let words = page.lines().filter(|l| l.starts_with(".It Fl ")).flat_map(|l| l.split_whitespace().collect::<Vec<_>>());
    words.filter(|w| w.len() > 1 && w.starts_with('-')).map(|w| format!("-{w}")).collect()
}

/// Every long flag that the page speaks of, wherever it stands: `.Fl -yes` and `mxseal survey --json`.
fn spoken(page: &str) -> BTreeSet<String> {
    let of_macro = page.lines().flat_map(|l| l.split("Fl -").skip(1).collect::<Vec<_>>()).map(|w| format!("--{w}"));
    let typed =
        page.lines().filter(|l| l.contains("mxseal ")).flat_map(|l| l.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
    let flag = |w: String| w.split(|c: char| !(c == '-' || c.is_ascii_lowercase())).next().unwrap_or_default().to_owned();
    of_macro.chain(typed.filter(|w| w.starts_with("--"))).map(flag).collect()
}

fn flags(command: &clap::Command) -> BTreeSet<String> {
    command.get_arguments().filter_map(|a| Some(format!("--{}", a.get_long()?))).collect()
}

/// Those of the verb, and of the words that follow it.
fn flags_below(verb: &clap::Command) -> BTreeSet<String> {
    flags(verb).into_iter().chain(verb.get_subcommands().flat_map(flags_below)).collect()
}

fn positionals_below(verb: &clap::Command) -> Vec<String> {
    let own = verb.get_positionals().map(|a| a.get_id().to_string());
    own.chain(verb.get_subcommands().flat_map(positionals_below)).collect()
}

#[test]
fn every_verb_has_a_page_with_its_flags_and_no_other() {
    let command = Cli::command();
    let visible: Vec<_> = command.get_subcommands().filter(|v| !v.is_hide_set()).collect();
    let overview = page("mxseal.8");
    let mut everywhere = flags(&command);
    everywhere.extend(["--help", "--version"].map(ToOwned::to_owned));
    assert_eq!(everywhere, written(&overview));
    let mut expected = BTreeSet::from(["mxseal.8", "mxseal-hook.5", "mxseal-profile.5", "mxseal.toml.5"].map(ToOwned::to_owned));
    for verb in visible {
        let name = verb.get_name();
        let page = page(&format!("mxseal-{name}.8"));
        assert_eq!(flags_below(verb), written(&page), "{name}");
        let known: BTreeSet<String> = everywhere.iter().chain(&flags_below(verb)).cloned().collect();
        let other: Vec<_> = spoken(&page).into_iter().filter(|flag| !known.contains(flag)).collect();
        // plan's page tells of a survey in a pipe, and the survey's of nothing else.
        assert_eq!(other, Vec::<String>::new(), "{name} speaks of flags that it has not");
        for arg in positionals_below(verb) {
            assert!(
                page.contains(&format!(".Ar {arg}")) || page.contains(&format!("Op Ar {arg}")) || page.contains(".Cm bash"),
                "{name} {arg}"
            );
        }
        assert!(overview.contains(&format!(".It Cm {name}\n")) && overview.contains(&format!(".Xr mxseal-{name} 8")), "{name}");
        expected.insert(format!("mxseal-{name}.8"));
    }
    let found: BTreeSet<String> = pages().iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_settings_page_has_every_key_in_order() {
    let page = page("mxseal.toml.5");
    let keys: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix(".It Cm ")?.split(' ').next()).collect();
    assert_eq!(keys, KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    // Each is a flag of setup or dns too; what becomes of an existing certificate is one of two, and tables are none.
    let command = Cli::command();
    let flags: BTreeSet<String> = ["setup", "dns"].iter().flat_map(|verb| flags(command.find_subcommand(verb).unwrap())).collect();
    let no_flag = ["existing", "list", "zone", "zone-reload"];
    let without: Vec<_> = keys.iter().filter(|k| !no_flag.contains(k) && !flags.contains(&format!("--{k}"))).collect();
    assert_eq!(without, Vec::<&&str>::new());
}

/// What may stand in the place of a word that a profile does not know, in the words of the error.
fn known_instead(profile: &str) -> Vec<String> {
    let said = Profile::read(profile, "p.toml").expect_err(profile).to_string();
    let (_, known) = said.split_once("expected ").unwrap_or_else(|| panic!("{said}"));
    known.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

#[test]
fn the_profile_page_has_every_key_in_order_and_every_word() {
    let page = page("mxseal-profile.5");
    let part = |heading: &str| {
        let part = page.split_once(&format!(".Ss {heading}\n")).unwrap_or_else(|| panic!("{heading}")).1;
        part.split("\n.S").next().unwrap().to_owned()
    };
    let keys = |part: &str| -> Vec<String> {
        part.lines().filter_map(|l| l.strip_prefix(".It Cm ")?.split(' ').next()).map(ToOwned::to_owned).collect()
    };
    for (heading, table) in [
        ("The server", ""),
        ("The table recognise", "[recognise]\n"),
        ("A question", "[recognise.version]\n"),
        ("A table of only-where", "[[recognise.only-where]]\n"),
        ("A table file", "[[file]]\n"),
        ("A table setting", "[[setting]]\n"),
        ("The table trial", "[trial]\n"),
        ("The table rehearsal", "[rehearsal]\n"),
        ("The table key", "[key]\n"),
    ] {
        assert_eq!(keys(&part(heading)), known_instead(&format!("{table}nonsense = 1")), "{heading}");
    }
    for (heading, table, key) in [
        ("The server", "", "dialect"),
        ("The server", "", "activation"),
        ("The server", "", "holds"),
        ("A table setting", "[[setting]]\n", "at-least"),
        ("A table setting", "[[setting]]\n", "roles"),
    ] {
        let value = if key == "roles" { "['nonsense']" } else { "'nonsense'" };
        let part = part(heading);
        let about = part.split(".It Cm ").find(|about| about.starts_with(&format!("{key} "))).unwrap();
        let without: Vec<_> = known_instead(&format!("{table}{key} = {value}"))
            .into_iter()
            .filter(|word| !about.lines().any(|l| l.strip_prefix(".Ql ").is_some_and(|l| l.split(' ').next() == Some(word))))
            .collect();
        assert_eq!(without, Vec::<String>::new(), "{key}");
    }
    let said = Profile::read("check = [['{nonsense}']]", "p.toml").unwrap_err().to_string();
    let (_, known) = said.split_once("these are: ").unwrap();
    let items: Vec<_> = part("Values")
        .lines()
        .filter_map(|l| l.strip_prefix(".It Ic "))
        .flat_map(|l| l.split(" , ").map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(items, known.split(", ").map(|name| format!("{{{}}}", name.trim())).collect::<Vec<_>>());
}

#[test]
fn what_the_catalogue_refers_to_is_written() {
    let ours = topics::all().flat_map(|t| t.reference.split("; ")).filter(|r| r.starts_with("mxseal"));
    for reference in ours {
        let (name, rest) = reference.split_once('(').unwrap_or_else(|| panic!("{reference}"));
        let (section, flag) = rest.split_once(')').unwrap_or_else(|| panic!("{reference}"));
        let page = page(&format!("{name}.{section}"));
        assert!(flag.is_empty() || written(&page).contains(flag.trim()) || flag.contains("--trust-anchor"), "{reference}");
    }
}

#[test]
fn the_manual_is_without_fault() {
    for page in pages() {
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "style"]).arg(&page).output();
        let lint = lint.expect("mandoc; tests/run installs what is needed");
        let said = String::from_utf8_lossy(&lint.stdout);
        // Which pages are installed here is no fault of the text.
        let faults: Vec<_> = said.lines().filter(|l| !l.contains("referenced manual not found") && !l.contains("mandoc.db")).collect();
        assert_eq!(faults, Vec::<&str>::new());
    }
}

/// What bash offers behind these words, the last one half typed.
fn completed(shell: &Path, words: &[&str]) -> BTreeSet<String> {
    let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
    let [.., before, last] = quoted.as_slice() else { panic!("two words at least") };
    // As bash calls it (bash(1), Programmable Completion): command, the word, the one before it.
    let line = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; _mxseal mxseal {last} {before}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        shell.display(),
        quoted.join(" "),
        words.len() - 1,
    );
    let out = Command::new("bash").args(["--norc", "-c", &line]).output().expect("bash");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().filter(|l| !l.is_empty()).map(ToOwned::to_owned).collect()
}

#[test]
fn bash_completes_verbs_flags_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let script = |shell: &str| {
        let out = Command::new(env!("CARGO_BIN_EXE_mxseal")).args(["completions", shell]).output().unwrap();
        assert!(out.status.success() && !out.stdout.is_empty(), "{shell}");
        out.stdout
    };
    let file = dir.path().join("mxseal");
    fs::write(&file, script("bash")).unwrap();
    let command = Cli::command();
    let offered = completed(&file, &["mxseal", ""]);
    for verb in command.get_subcommands() {
        assert_eq!(offered.contains(verb.get_name()), !verb.is_hide_set(), "{} in {offered:?}", verb.get_name());
    }
    for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
        let offered = completed(&file, &["mxseal", verb.get_name(), "--"]);
        let missing: Vec<_> = flags(verb).into_iter().chain(flags(&command)).filter(|f| !offered.contains(f)).collect();
        assert_eq!(missing, Vec::<String>::new(), "{}", verb.get_name());
    }
    let of = |words: &[&str]| completed(&file, words).into_iter().collect::<Vec<_>>();
    assert_eq!(of(&["mxseal", "setup", "--key-type", ""]), ["both", "ecdsa", "rsa"]);
    assert_eq!(of(&["mxseal", "reh"]), ["rehearse"]);
    for (shell, begins) in [("zsh", "#compdef mxseal"), ("fish", "# Print an optspec")] {
        let text = String::from_utf8(script(shell)).unwrap();
        assert!(text.starts_with(begins) && text.contains("non-interactive") && !text.contains("guard"), "{shell}: {text}");
    }
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
    let mut used = ids(&text);
    used.extend(behind(&text, "Finding::new(", ","));
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
