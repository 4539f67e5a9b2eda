//! What a release leaves on disk, a later one must read: `fixtures/journal-v1` are open changes as the first release wrote
//! them, of which `@ROOT@` stands for the place. They are never written anew.

use mxseal::{
    apply::{self, Recovered, Stuck, Told},
    world::{Machine, Store},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A copy of an open change at that phase.
fn opened(phase: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/fixtures/journal-v1").join(phase);
    let mut todo = vec![PathBuf::new()];
    while let Some(below) = todo.pop() {
        fs::create_dir_all(root.join(&below)).unwrap();
        for entry in fs::read_dir(frozen.join(&below)).unwrap().map(Result::unwrap) {
            let name = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                todo.push(name);
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(root.join(&name), text.replace("@ROOT@", root.to_str().unwrap())).unwrap();
        }
    }
    (dir, root)
}

/// Every file below, by its name.
fn files(root: &Path) -> Vec<String> {
    let (mut found, mut todo) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else {
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn an_open_change_of_the_first_release_is_put_back() {
    let (_dir, root) = opened("swapping");
    let store = Store::open(root.join("state")).unwrap();
    let before = fs::read(root.join("etc/.main.cf.mxseal-20261122061054-07c00905.was")).unwrap();
    assert_ne!(fs::read(root.join("etc/main.cf")).unwrap(), before);
    let recovered = apply::recover(&mut Machine, &store);
    assert!(matches!(&recovered, Ok(Some(Recovered::Restored { server: Ok(Told::NotRunning), .. }))), "{recovered:?}");
    assert_eq!(fs::read(root.join("etc/main.cf")).unwrap(), before);
    assert_eq!(files(&root), ["etc/main.cf"]);
}

#[test]
fn a_proved_change_of_the_first_release_is_finished() {
    let (_dir, root) = opened("proved");
    let store = Store::open(root.join("state")).unwrap();
    let proved = fs::read(root.join("etc/main.cf")).unwrap();
    let recovered = apply::recover(&mut Machine, &store);
    assert!(matches!(&recovered, Ok(Some(Recovered::Finished { .. }))), "{recovered:?}");
    assert_eq!(fs::read(root.join("etc/main.cf")).unwrap(), proved);
    let kept = ["conf/live/mx.example.test.pem", "etc/main.cf", "state/receipts/20261122061104-07c00905.json"];
    assert_eq!(files(&root), kept);
    let receipts = apply::receipts(&store).unwrap();
    let standing = apply::standing(&receipts).expect("it stands");
    assert_eq!((standing.change.edits.len(), standing.change.prove.len(), standing.baseline.is_empty()), (2, 1, false));
}

#[test]
fn a_journal_of_a_later_release_is_refused_and_nothing_is_touched() {
    let (_dir, root) = opened("swapping");
    let store = Store::open(root.join("state")).unwrap();
    let journal = root.join("state/journal/open/change.json");
    let later = fs::read_to_string(&journal).unwrap().replacen(r#""version":1"#, r#""version":2"#, 1);
    fs::write(&journal, &later).unwrap();
    let before = files(&root);
    let refused = apply::recover(&mut Machine, &store);
    assert!(matches!(refused, Err(Stuck::Journal(_))), "{refused:?}");
    let said = Command::new(env!("CARGO_BIN_EXE_mxseal")).arg("--state-dir").arg(root.join("state")).arg("recover").output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{words}");
    assert!(words.contains("was written by another release (format 2, this one reads 1); run `mxseal recover` of that release"), "{words}");
    assert_eq!((files(&root), fs::read_to_string(&journal).unwrap()), (before, later));
}
