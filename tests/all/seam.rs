//! A mail server is named where mail servers are known, and nowhere else: a second one makes no other room grow.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The names of servers, and of the dialects and programs that are one server's.
const NAMES: [&str; 6] = ["postfix", "exim", "opensmtpd", "sendmail", "smtpd", "postscreen"];

/// Rooms that know mail servers: what they are, what is said of them, and the one that a rehearsal makes up.
const KNOW: [&str; 5] = ["mta/", "topics.rs", "topics/", "rehearsal/receiver", "rehearsal/stand_in.rs"];

/// What is no knowledge of this host's server: the words for the made-up one, the program that every server brings, and what
/// servers elsewhere do that send.
const NO_KNOWLEDGE: [&str; 5] = [
    "stand-in for Postfix",
    "those of a fresh Debian's Postfix",
    "const MAILER: &str = \"sendmail\";",
    "Postfix holds the host to them",
    "Postfix senders that go by DANE",
];

fn sources(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, all);
        } else {
            all.push(entry);
        }
    }
}

/// The code of a file: without comments, and without what is only for its tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The lines of code that name a server.
fn naming(text: &str) -> Vec<(usize, &str)> {
    let named = |line: &str| {
        let line = NO_KNOWLEDGE.iter().fold(line.to_owned(), |line, allowed| line.replace(allowed, "")).to_lowercase();
        NAMES.iter().any(|name| line.contains(name))
    };
    code(text).filter(|(_, line)| named(line)).collect()
}

#[test]
fn only_rooms_that_know_mail_servers_name_one() {
    for (text, found) in [
        ("if server.profile == \"postfix\" {\n", 1),
        ("match dialect { Dialect::Exim => 1,\nDialect::PostfixCf => 2 }\n", 2),
        ("/// As Postfix does.\nfn a() {}\n#[cfg(test)]\nmod tests { const A: &str = \"exim\"; }\n", 0),
        ("let says = \"on a stand-in for Postfix\";\n", 0),
    ] {
        assert_eq!(naming(text).len(), found, "{text}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    assert!(all.len() > 200, "the sources are there: {}", all.len());
    let mut wrong = Vec::new();
    for file in all {
        let name = file.strip_prefix(&root).expect("below").display().to_string();
        if KNOW.iter().any(|room| name.starts_with(room)) || name.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("text");
        wrong.extend(naming(&text).into_iter().map(|(line, said)| format!("src/{name}:{}: {}", line + 1, said.trim())));
    }
    assert!(wrong.is_empty(), "what is one mail server's belongs into src/mta or its profile:\n{}", wrong.join("\n"));
}
