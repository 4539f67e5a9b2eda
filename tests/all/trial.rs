//! A change is tried on a copy with the real Postfix tools: what they refuse never reaches the live files, and the live
//! queue is not touched.

use mxseal::{
    apply::try_on_a_copy,
    change::{Activation, Change, Command, Content, Edit, Meta, Raw, Target, Trial},
    world::{Machine, Store},
};
use std::{fs, path::Path};

fn words(all: &[&str]) -> Command {
    Command(all.iter().map(ToString::to_string).collect())
}

fn postfix_trial() -> Trial {
    let lines =
        ["queue_directory = {room}/queue", "data_directory = {room}/data", "maillog_file = {room}/log", "maillog_file_prefixes = {room}"];
    Trial {
        append: vec![("main.cf".into(), lines.map(ToOwned::to_owned).into())],
        directories: vec![("queue".into(), "root".into()), ("data".into(), "postfix".into())],
        links: vec![],
        check: vec![words(&["postconf", "-c", "{copy}"]), words(&["postfix", "-c", "{copy}", "check"])],
        log: Some("log".into()),
    }
}

fn change(dir: &Path, text: &str) -> Change {
    let path = dir.join("main.cf");
    let meta = Meta { uid: 0, gid: 0, mode: 0o644, xattrs: Default::default() };
    let becomes = Some(Target { content: Content::Text(Raw(text.into())), meta });
    Change {
        id: "1".into(),
        why: "try".into(),
        profile: "postfix".into(),
        config_dir: dir.to_owned(),
        edits: vec![Edit { path, was: None, becomes, edit_lock: None, settings: vec![] }],
        trial: None,
        check: vec![],
        activation: Activation::Reload,
        activate: vec![],
        running: None,
        prove: vec![],
        undoes: None,
    }
}

#[test]
fn a_bad_configuration_is_refused_on_the_copy_and_the_live_queue_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (etc, queue) = (dir.path().join("etc"), dir.path().join("live-queue"));
    fs::create_dir(&etc).unwrap();
    fs::create_dir(&queue).unwrap();
    let live = format!("compatibility_level = 3.6\nqueue_directory = {}\nmyhostname = mx.example.test\n", queue.display());
    fs::write(etc.join("main.cf"), &live).unwrap();
    fs::copy("/usr/share/postfix/master.cf.dist", etc.join("master.cf")).unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();

    let good = format!("{live}smtpd_tls_loglevel = 1\n");
    try_on_a_copy(&Machine, &store, &change(&etc, &good), &postfix_trial()).unwrap();
    let bad = format!("{live}smtpd_tls_loglevel = many\nthis is no setting\n");
    let refused = try_on_a_copy(&Machine, &store, &change(&etc, &bad), &postfix_trial()).expect_err("a bad line").to_string();
    assert!(refused.contains("line 5") || refused.contains("missing '='"), "{refused}");
    assert!(refused.contains(&*etc.to_string_lossy()), "the admin's own path is named: {refused}");

    assert_eq!(fs::read_to_string(etc.join("main.cf")).unwrap(), live);
    assert_eq!(fs::read_dir(&queue).unwrap().count(), 0, "nothing was made in the live queue");
    assert!(!store.path("trial").exists(), "the copy is gone");
}
