//! A change is tried on a copy with the real Postfix tools: what they refuse never reaches the live files, and the live
//! queue is not touched.

use mxseal::{
    apply::try_on_a_copy,
    change::{Activation, Change, Content, Edit, Meta, Raw, Target, Trial},
    mta::profile::Profile,
    world::{Machine, Store},
};
use std::{fs, path::Path};

/// As the profile tries a change of Postfix.
fn postfix_trial() -> Trial {
    let postfix = Profile::built_in().unwrap().into_iter().find(|p| p.id == "postfix").unwrap();
    postfix.trial.unwrap()
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
        renews: None,
        replaces: None,
        notices_ms: 0,
        config: std::collections::BTreeMap::new(),
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
    let refused = |text: &str| try_on_a_copy(&Machine, &store, &change(&etc, text), &postfix_trial()).map(drop).map_err(|e| e.to_string());
    for (more, word) in [
        ("smtpd_tls_loglevel = 1\nthis is no setting", "missing '='"),
        ("default_process_limit = many", "default_process_limit = many"),
        ("inet_protocols = ipv9", "ipv9"),
        ("mail_owner = nobody-here", "mail_owner"),
        ("hash_queue_depth = -3", "hash_queue_depth"),
    ] {
        let said = refused(&format!("{live}{more}\n")).expect_err(more);
        assert!(said.contains(word), "{more}: {said}");
        assert!(!said.contains("main.cf") || said.contains(&*etc.to_string_lossy()), "the admin's own path is named: {said}");
    }
    let master = fs::read_to_string(etc.join("master.cf")).unwrap();
    for (line, word) in [("smtp inet n", "line"), ("smtp inet n - z - - smtpd", "chroot")] {
        fs::write(etc.join("master.cf"), format!("{master}{line}\n")).unwrap();
        let said = refused(&good).expect_err(line);
        assert!(said.contains(word), "{line}: {said}");
    }
    // A host that logs elsewhere needs no such service.
    let unlogged: String = master.lines().filter(|l| !l.starts_with("postlog")).map(|l| format!("{l}\n")).collect();
    fs::write(etc.join("master.cf"), unlogged).unwrap();
    refused(&good).unwrap();

    assert_eq!(fs::read_to_string(etc.join("main.cf")).unwrap(), live);
    assert_eq!(fs::read_dir(&queue).unwrap().count(), 0, "nothing was made in the live queue");
    assert!(!store.path("trial").exists(), "the copy is gone");
}
