//! Programs of the admin before and after a change: for Dovecot and others that read the same file. Those before can stop it
//! while nothing is touched; those after are owed once it is proved, and are repeated until they have run well.

use super::{Trouble, place::Site};
use crate::{
    apply,
    change::{Change, Command, Content, Want},
    finding::{Finding, Remedy, Subject, Verdict},
    world::{Failure, Look as _, Machine},
};
use serde::{Deserialize, Serialize};
use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Beside the settings.
const BEFORE: &str = "hooks/before.d";
const AFTER: &str = "hooks/after.d";
/// One of them takes no longer.
const LIMIT: Duration = Duration::from_secs(120);
/// So many lines of what one says are told.
const LINES: usize = 5;

const OWED: &str = "watch/after.json";

/// What hooks are told of a change; kept while those after it are owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    change: String,
    event: String,
    server: String,
    names: Vec<String>,
    certificates: Vec<PathBuf>,
}

impl Told {
    fn of(change: &Change) -> Self {
        let event = match (&change.renews, &change.undoes) {
            (Some(_), _) => "renew",
            (None, Some(_)) => "undo",
            (None, None) => "setup",
        };
        let ours = change.undoes.is_none();
        let about = change.prove.iter().filter(|e| !ours || matches!(e.want, Want::Ours(_)));
        let mut names: Vec<String> = about.map(|e| e.name.to_string()).collect();
        names.sort();
        names.dedup();
        let stored = |content: &Content| matches!(content, Content::Stored { secret: true, .. });
        // Undo takes away what nobody reads any more.
        let certificates = change.edits.iter().filter(|e| e.becomes.as_ref().map_or(!ours, |t| stored(&t.content)));
        Self {
            change: change.id.clone(),
            event: event.to_owned(),
            server: change.profile.clone(),
            names,
            certificates: certificates.map(|e| e.path.clone()).collect(),
        }
    }

    /// The environment of a hook: paths and names, no secret.
    fn environment(&self) -> [(&'static str, String); 5] {
        let certificates: Vec<String> = self.certificates.iter().map(|p| p.display().to_string()).collect();
        [
            ("MXSEAL_EVENT", self.event.clone()),
            ("MXSEAL_CHANGE", self.change.clone()),
            ("MXSEAL_SERVER", self.server.clone()),
            ("MXSEAL_NAMES", self.names.join(" ")),
            ("MXSEAL_CERTIFICATES", certificates.join(" ")),
        ]
    }
}

/// Runs what is to run before `change`, and notes what is owed after it. Nothing was touched where this fails.
pub(super) fn before(site: &Site, change: &Change) -> Result<(), Trouble> {
    let Some(settings) = site.settings.as_deref() else { return Ok(()) };
    let told = Told::of(change);
    // A proof of what lies there already is nothing to anybody else.
    if told.event == "renew" && told.certificates.is_empty() {
        return Ok(());
    }
    let after = hooks(settings, AFTER)?;
    for hook in hooks(settings, BEFORE)? {
        run(&hook, &told).map_err(|why| Trouble::human(format!("{why}\nNothing was touched.")).about("hook-failed"))?;
    }
    if !after.is_empty() {
        site.store.save(OWED, &told).map_err(Trouble::state)?;
    }
    Ok(())
}

/// Runs what is owed after a change that was proved, this one or one of a run that died; a change that does not stand owes
/// nothing. What failed stays owed, and is told.
pub(super) fn owed(site: &Site) -> Vec<Finding> {
    let (Some(settings), Ok(Some(told))) = (site.settings.as_deref(), site.store.load::<Told>(OWED)) else { return Vec::new() };
    let stands = apply::receipts(&site.store).is_ok_and(|all| all.iter().any(|r| r.id == told.change));
    let failed: Vec<Finding> = match hooks(settings, AFTER) {
        _ if !stands => Vec::new(),
        Err(unsafe_one) => vec![finding(&settings.with_file_name(AFTER), &unsafe_one.says)],
        Ok(all) => all.iter().filter_map(|hook| run(hook, &told).err().map(|why| finding(hook, &why))).collect(),
    };
    if failed.is_empty() {
        let _ = site.store.remove(OWED);
    }
    failed
}

fn finding(hook: &Path, why: &str) -> Finding {
    let says = "the change is proved, and a program that was to run after it failed";
    let finding = Finding::new("hook-failed", Verdict::Fail, Subject::File { path: hook.to_owned(), line: 0 }, says);
    why.lines()
        .fold(finding, Finding::seen)
        .means("what it is for may go on with the old certificate; every run repeats it until it ends well")
        .remedy(Remedy::Command("mxseal renew".into()))
}

/// The programs in a directory beside the settings, in the order of their names; hidden files and what nobody may run are
/// left out. They run as root: others must have no hand in them.
fn hooks(settings: &Path, below: &str) -> Result<Vec<PathBuf>, Trouble> {
    let dir = settings.with_file_name(below);
    let unread =
        |path: &Path, e: std::io::Error| Trouble::human(format!("{}: {e}; nothing was touched", path.display())).about("hook-unsafe");
    let mut found = Vec::new();
    for path in Machine.list(&dir).map_err(|e| unread(&dir, e))? {
        let about = std::fs::metadata(&path).map_err(|e| unread(&path, e))?;
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || !about.is_file() || about.permissions().mode() & 0o111 == 0 {
            continue;
        }
        if let Some(part) = Machine.first_open_to_others(&path).map_err(|e| unread(&path, e))? {
            return Err(Trouble::human(format!(
                "{} would run as root, and others than root may write {}: look at it, then chown root and chmod go-w; nothing was touched",
                path.display(),
                part.display()
            ))
            .about("hook-unsafe"));
        }
        found.push(path);
    }
    Ok(found)
}

/// Runs one to its end; the words about its failure, with the last lines that it said.
fn run(hook: &Path, told: &Told) -> Result<(), String> {
    let command = Command(vec![hook.display().to_string()]);
    let output = Machine.feed(&command, b"", &told.environment(), LIMIT).map_err(|e: Failure| e.to_string())?;
    if output.code == 0 {
        return Ok(());
    }
    let said = format!("{}\n{}", output.stdout.trim(), output.stderr.trim());
    let lines: Vec<&str> = said.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    Err(format!("{} ended with {}\n{last}", hook.display(), output.code).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn told() -> Told {
        Told {
            change: "1".into(),
            event: "renew".into(),
            server: "postfix".into(),
            names: vec!["mx.example.org".into()],
            certificates: vec!["/etc/mxseal/live/a.pem".into(), "/etc/mxseal/live/b.pem".into()],
        }
    }

    #[test]
    fn they_run_in_order_and_know_what_happens() {
        let dir = tempfile::tempdir().unwrap();
        let settings = dir.path().join("mxseal.toml");
        assert!(hooks(&settings, AFTER).is_ok_and(|none| none.is_empty()), "no directory");
        let folder = dir.path().join(AFTER);
        fs::create_dir_all(&folder).unwrap();
        let script = |name: &str, text: &str, mode: u32| {
            fs::write(folder.join(name), text).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let out = dir.path().join("out");
        script("20-env", &format!("#!/bin/sh\nenv | grep ^MXSEAL | sort >>{}\n", out.display()), 0o755);
        script("10-fails", "#!/bin/sh\nseq 9; echo no >&2; exit 7\n", 0o700);
        script("README", "how to", 0o644);
        script(".hidden", "#!/bin/sh\n", 0o755);
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let all = hooks(&settings, AFTER).unwrap_or_else(|trouble| panic!("{trouble:?}"));
        assert_eq!(all, [folder.join("10-fails"), folder.join("20-env")]);
        assert_eq!(run(&all[0], &told()).unwrap_err(), format!("{} ended with 7\n6\n7\n8\n9\nno", all[0].display()));
        run(&all[1], &told()).unwrap();
        assert_eq!(
            fs::read_to_string(out).unwrap(),
            "MXSEAL_CERTIFICATES=/etc/mxseal/live/a.pem /etc/mxseal/live/b.pem\nMXSEAL_CHANGE=1\nMXSEAL_EVENT=renew\n\
             MXSEAL_NAMES=mx.example.org\nMXSEAL_SERVER=postfix\n"
        );
        script("20-env", "#!/bin/sh\n", 0o775);
        let refused = hooks(&settings, AFTER).unwrap_err();
        assert!(refused.says.contains("20-env would run as root") && refused.about == Some("hook-unsafe"), "{refused:?}");
    }
}
