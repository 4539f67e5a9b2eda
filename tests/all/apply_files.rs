//! What a change does to files, in this process and on a real directory: what stays, what returns, what is never touched.

use super::lab::{
    process::wait_for,
    transaction::{Scene, run_lock, sh},
};
use mxseal::{
    apply::{self, Recovered, Stuck, Told},
    certificate::Digest,
    change::{Activation, Change, Content, Raw},
    check::Proof,
    moment::Moment,
    world::{Failure, Look as _, Machine},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

/// Applies on `scene`, then does `then` with what lives.
fn with_live<T>(scene: &Scene, change: Change, then: impl FnOnce(apply::Live<'_>) -> T) -> Result<T, apply::Undone> {
    let (mut machine, store) = (Machine, scene.store());
    apply::apply(&mut machine, &store, run_lock(&change.config_dir), change).map(then)
}

fn commit(scene: &Scene, change: Change) -> Result<mxseal::change::Receipt, apply::Undone> {
    let proof = Proof::of_no_promise(&change, Moment(7)).unwrap();
    with_live(scene, change, |live| live.commit(&proof, vec![]).unwrap())
}

fn recover(scene: &Scene) -> Result<Option<Recovered>, Stuck> {
    apply::recover(&mut Machine, &scene.store())
}

#[test]
fn a_committed_change_keeps_link_owner_mode_and_attributes_and_leaves_a_receipt() {
    let scene = Scene::new();
    let link = scene.root.join("main.cf");
    symlink(scene.etc("main.cf"), &link).unwrap();
    let (began, was) = (SystemTime::now() - Duration::from_secs(2), fs::metadata(scene.etc("main.cf")).unwrap());
    let change = scene.change();
    let receipt = commit(&scene, change.clone()).unwrap();
    assert_eq!((&receipt.change, receipt.proved, &*receipt.id), (&change, Moment(7), "0007"));
    assert_eq!(scene.verdict("committed"), "after");
    let now = fs::metadata(&link).unwrap();
    assert_eq!((now.mode(), now.uid(), now.gid()), (was.mode(), was.uid(), was.gid()));
    assert_eq!(xattr::get_deref(&link, "user.note").unwrap().unwrap(), b"kept");
    assert!(now.modified().unwrap() >= began, "the time of change is the time of the edit");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(apply::receipts(&scene.store()).unwrap(), [receipt]);
    assert!(recover(&scene).unwrap().is_none());
}

#[test]
fn a_roll_back_returns_every_inode_and_time() {
    let scene = Scene::new();
    with_live(&scene, scene.change(), |live| {
        assert!(!scene.is_before());
        assert_eq!(live.change().id, "0007");
        live.roll_back().unwrap();
    })
    .unwrap();
    assert_eq!(scene.verdict("rolled back"), "before");
}

#[test]
fn what_fails_on_the_way_is_put_back_with_its_own_words() {
    let once = |scene: &Scene| {
        sh(&format!("test -e {0} && exit; >{0}; echo out; echo chain.pem: no good >&2; exit 4", scene.root.join("once").display()))
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&Scene, &mut Change), &'a str);
    let cases: [Case<'_>; 4] = [
        ("check", &|_, c| c.check.push(sh("echo mode is wrong >&2; exit 1")), "ended with 1: mode is wrong"),
        ("no such check", &|_, c| c.check.push(mxseal::change::Command(vec!["/no/such".into()])), "could not be started"),
        ("activation", &|s, c| c.activate.insert(0, once(s)), "ended with 4: chain.pem: no good"),
        ("missing object", &|s, _| fs::remove_dir_all(s.root.join("state/objects")).unwrap(), "No such file"),
    ];
    for (what, bend, words) in cases {
        let scene = Scene::new();
        let mut change = scene.change();
        bend(&scene, &mut change);
        let undone = with_live(&scene, change, |_| ()).unwrap_err();
        assert!(undone.cause.to_string().contains(words), "{what}: {undone}");
        assert!(undone.put_back.is_ok() && undone.to_string().ends_with("Everything on this host is as before."), "{what}: {undone}");
        assert_eq!(scene.verdict(what), "before");
    }
}

#[test]
fn a_server_that_cannot_be_told_is_reported() {
    let scene = Scene::new();
    let mut change = scene.change();
    change.activate = vec![sh("echo fatal: not running >&2; exit 1")];
    let undone = with_live(&scene, change, |_| ()).unwrap_err();
    assert!(matches!(&undone.put_back, Err(Stuck::Server(_))), "{undone}");
    assert!(undone.to_string().contains("may still run on the new ones: `/bin/sh -c"), "{undone}");
    assert_eq!(scene.verdict("not running"), "before");
    assert!(recover(&scene).unwrap().is_none(), "the files are back: nothing is open");
}

/// At boot: the server waits for us, and to wait for it would be to wait for ever.
#[test]
fn a_server_that_does_not_run_is_not_told() {
    for (running, told) in [("exit 1", Told::NotRunning), ("exit 0", Told::Serves)] {
        let scene = Scene::new();
        let mut change = scene.change();
        change.running = Some(sh(running));
        let activated = scene.root.join("activated");
        change.activate.push(sh(&format!("echo >>{}", activated.display())));
        // Nobody puts this one back: it is left as a dead run leaves it.
        with_live(&scene, change, |_| ()).unwrap();
        fs::remove_file(&activated).unwrap();
        let recovered = recover(&scene);
        let Ok(Some(Recovered::Restored { server: Ok(known), .. })) = &recovered else { panic!("{recovered:?}") };
        assert_eq!((*known, activated.exists(), scene.is_open()), (told, told == Told::Serves, false));
        assert!(scene.is_before());
    }
}

/// It ran when we began: one that our change has stopped is started again, or the admin reads that it is down.
#[test]
fn a_server_that_the_change_stopped_is_told() {
    let scene = Scene::new();
    let mut change = scene.change();
    change.running = Some(sh("exit 1"));
    change.activate = vec![sh("echo fatal: not running >&2; exit 1")];
    let undone = with_live(&scene, change, |_| ()).unwrap_err();
    assert!(matches!(&undone.put_back, Err(Stuck::Server(_))), "{undone}");
    assert!(scene.is_before() && !scene.is_open());
}

#[test]
fn a_server_that_must_restart_is_not_restarted_for_a_failed_check() {
    for (activation, restarts) in [(Activation::Restart, false), (Activation::Reload, true), (Activation::None, false)] {
        let scene = Scene::new();
        let mut change = scene.change();
        let told = scene.root.join("told");
        change.activation = activation;
        change.check = vec![sh("exit 1")];
        change.activate.push(sh(&format!(">{}", told.display())));
        with_live(&scene, change, |_| ()).unwrap_err();
        assert_eq!(told.exists(), restarts, "{activation:?}");
        assert_eq!(scene.verdict("failed check"), "before");
    }
}

#[test]
fn a_host_that_is_not_as_planned_is_not_touched() {
    type Case<'a> = (&'a str, &'a dyn Fn(&Scene));
    let cases: [Case<'_>; 6] = [
        ("bytes", &|s| fs::write(s.etc("main.cf"), "other\n").unwrap()),
        ("mode", &|s| fs::set_permissions(s.etc("master.cf"), fs::Permissions::from_mode(0o600)).unwrap()),
        ("attribute", &|s| xattr::set(s.etc("old.map"), "user.more", b"1").unwrap()),
        ("gone", &|s| fs::remove_file(s.etc("old.map")).unwrap()),
        ("there already", &|s| {
            fs::create_dir_all(s.root.join("keys/live")).unwrap();
            fs::write(s.chain(), "theirs\n").unwrap();
        }),
        ("a link now", &|s| {
            fs::rename(s.etc("main.cf"), s.etc("real.cf")).unwrap();
            symlink("real.cf", s.etc("main.cf")).unwrap();
        }),
    ];
    for (what, bend) in cases {
        let scene = Scene::new();
        let change = scene.change();
        bend(&scene);
        let bent = scene.look();
        let undone = with_live(&scene, change, |_| ()).unwrap_err();
        assert!(matches!(undone.cause, Failure::Drift(_)), "{what}: {undone}");
        assert!(scene.look() == bent && !scene.is_open(), "{what}");
    }
}

#[test]
fn one_change_is_open_at_a_time_and_names_a_file_once() {
    let scene = Scene::new();
    let mut twice = scene.change();
    twice.edits.push(twice.edits[1].clone());
    assert!(with_live(&scene, twice, |_| ()).unwrap_err().to_string().contains("each file once"));
    // Dropped without a word: as if we had died.
    with_live(&scene, scene.change(), |_| ()).unwrap();
    assert!(scene.is_open());
    let mut other = scene.change();
    other.edits.clear();
    let refusal = with_live(&scene, other, |_| ()).unwrap_err().to_string();
    assert!(refusal.contains("opening the journal"), "{refusal}");
    let lock = run_lock(&scene.root.join("etc"));
    assert!(matches!(recover(&scene), Err(Stuck::Busy(_))), "its owner may be alive");
    drop(lock);
    assert!(matches!(recover(&scene), Ok(Some(Recovered::Restored { server: Ok(Told::Serves), .. }))));
    assert_eq!(scene.verdict("recovered"), "before");
}

#[test]
fn what_somebody_else_changed_after_us_is_never_overwritten() {
    for keep in [false, true] {
        let scene = Scene::new();
        let theirs = b"an edit in the same second\n";
        let stuck = with_live(&scene, scene.change(), |live| {
            fs::write(scene.etc("main.cf"), theirs).unwrap();
            live.roll_back().unwrap_err()
        })
        .unwrap();
        let Stuck::Conflict { files, .. } = &stuck else { panic!("{stuck}") };
        assert_eq!((files.len(), &files[0].path), (1, &scene.etc("main.cf")));
        let original = &files[0].original;
        assert_eq!(fs::read(original).unwrap(), scene.before[&scene.etc("main.cf")].0, "the original is beside");
        assert!(stuck.to_string().contains(&format!("mv {} {}", original.display(), scene.etc("main.cf").display())), "{stuck}");
        assert_eq!(fs::read(scene.etc("main.cf")).unwrap(), theirs);
        assert!(scene.chain().exists(), "half of a change is no state: nothing else is put back either");
        assert!(matches!(recover(&scene), Err(Stuck::Conflict { .. })), "and again, until the admin decides");
        if keep {
            fs::remove_file(original).unwrap();
            assert!(matches!(recover(&scene), Ok(Some(Recovered::Kept { .. }))));
            assert_eq!(fs::read(scene.etc("main.cf")).unwrap(), theirs);
            assert!(scene.chain().exists() && !scene.is_open());
            assert!(scene.look().keys().all(|path| !path.to_string_lossy().contains("mxseal-")), "side files");
        } else {
            fs::rename(original, scene.etc("main.cf")).unwrap();
            assert!(matches!(recover(&scene), Ok(Some(Recovered::Restored { .. }))));
            assert_eq!(scene.verdict("decided"), "before");
        }
    }
}

#[test]
fn a_file_that_others_put_where_we_made_one_stays() {
    let scene = Scene::new();
    with_live(&scene, scene.change(), |live| {
        fs::write(scene.chain(), "renewed by another\n").unwrap();
        live.roll_back().unwrap();
    })
    .unwrap();
    assert_eq!(fs::read(scene.chain()).unwrap(), b"renewed by another\n");
    fs::remove_dir_all(scene.root.join("keys")).unwrap();
    assert!(scene.is_before());
}

#[test]
fn a_change_of_mode_alone_is_a_change() {
    let scene = Scene::new();
    let mut change = scene.change();
    change.edits.truncate(2);
    change.edits.remove(0);
    let bytes = scene.before[&scene.etc("main.cf")].0.clone();
    if let Some(target) = &mut change.edits[0].becomes {
        target.content = Content::Text(Raw(bytes));
        target.meta.mode = 0o600;
    }
    with_live(&scene, change, |live| {
        assert_eq!(Machine.read(&scene.etc("main.cf")).unwrap().unwrap().1.mode, 0o600);
        live.roll_back().unwrap();
    })
    .unwrap();
    assert_eq!(scene.verdict("mode"), "before");
}

#[test]
fn a_directory_is_open_to_servers_whatever_the_umask_and_goes_when_it_is_empty() {
    let scene = Scene::new();
    with_live(&scene, scene.change(), |live| {
        assert_eq!(fs::metadata(scene.root.join("keys/live")).unwrap().mode() & 0o7777, 0o755);
        live.roll_back().unwrap();
    })
    .unwrap();
    assert!(!scene.root.join("keys").exists());
}

fn postconf(scene: &Scene, setting: &str) -> Command {
    let mut command = Command::new("postconf");
    command.arg("-c").arg(scene.root.join("etc")).args(["-e", setting]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// One line more in main.cf, under Postfix's own edit lock.
fn one_line_more(scene: &Scene, id: &str, line: &str) -> Change {
    let path = scene.etc("main.cf");
    let before = fs::read(&path).unwrap();
    let mut edit = scene.edit(path, Some((Content::Text(Raw([&before, line.as_bytes()].concat())), 0)));
    // Of the bytes that were read, as a survey takes them: another editor may have been here since.
    edit.was.as_mut().unwrap().digest = Digest::of(&before);
    edit.edit_lock = Some(scene.etc("main.cf.tmp"));
    Change { id: id.into(), edits: vec![edit], check: vec![], activate: vec![], ..scene.change() }
}

#[test]
fn postfix_own_editor_and_we_never_lose_each_others_lines() {
    let scene = Scene::new();
    fs::write(scene.etc("main.cf"), "myhostname = mx.example.test\n").unwrap();
    let (mut ours, mut drifts, theirs) = (0, 0, 150);
    std::thread::scope(|scope| {
        let editor = scope.spawn(|| {
            for n in 0..theirs {
                let mut postconf = postconf(&scene, &format!("theirs_{n} = {n}"));
                assert!(postconf.status().expect("postconf, which tests/run installs").success());
            }
        });
        while !editor.is_finished() {
            let change = one_line_more(&scene, &format!("turn{}", ours + drifts), &format!("ours_{ours} = {ours}\n"));
            match commit(&scene, change) {
                Ok(_) => ours += 1,
                Err(undone) => {
                    assert!(matches!(undone.cause, Failure::Drift(_)) && undone.put_back.is_ok(), "{undone}");
                    drifts += 1;
                }
            }
        }
    });
    let text = fs::read_to_string(scene.etc("main.cf")).unwrap();
    for (name, count) in [("ours", ours), ("theirs", theirs)] {
        for n in 0..count {
            assert!(text.contains(&format!("{name}_{n} = {n}\n")), "{name}_{n} was lost");
        }
    }
    assert!(ours > 5, "{ours} of ours");
    assert!(!scene.etc("main.cf.tmp").exists());
    eprintln!("edits at the same time: {ours} ours, {drifts} refused because the other was faster, {theirs} by postconf");
}

#[test]
fn we_wait_for_postfix_own_editor_and_it_for_us() {
    let scene = Scene::new();
    let tmp = scene.etc("main.cf.tmp");
    // We hold the lock as a change does; postconf waits and then edits what we left.
    let mut machine = Machine;
    let lock = mxseal::world::Hands::lock_edit(&mut machine, &tmp, Duration::from_secs(1)).unwrap();
    let mut editor = postconf(&scene, "theirs = 1").spawn().unwrap();
    let waits = || {
        fs::read_to_string("/proc/locks")
            .unwrap()
            .lines()
            .any(|l| l.contains("->") && l.split_whitespace().nth(5) == Some(&editor.id().to_string()))
    };
    wait_for("postconf to wait for the lock", Duration::from_secs(10), waits);
    drop(lock);
    assert!(editor.wait().unwrap().success());
    assert!(fs::read_to_string(scene.etc("master.cf")).is_ok() && fs::read(scene.etc("main.cf")).unwrap().ends_with(b"theirs = 1\n"));
    // Another holds it: we wait, and go on when it is let go.
    fs::write(&tmp, "half of an edit").unwrap();
    let held = fs::File::open(&tmp).unwrap();
    held.lock().unwrap();
    let late = mxseal::world::Hands::lock_edit(&mut machine, &tmp, Duration::from_millis(50)).unwrap_err();
    assert!(late.to_string().contains("another program has kept it locked"), "{late}");
    mxseal::world::Hands::clear_edit_lock(&mut machine, &tmp).unwrap();
    assert_eq!(fs::read(&tmp).unwrap(), b"half of an edit", "neither a lock that is held nor one with content is removed");
    let change = one_line_more(&scene, "late", "ours = 1\n");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| commit(&scene, change).map(drop));
        wait_for("the change to wait", Duration::from_secs(10), || scene.is_open() && scene.etc(".main.cf.mxseal-late.new").exists());
        assert!(!run.is_finished());
        drop(held);
        run.join().unwrap().unwrap();
    });
    assert!(fs::read(scene.etc("main.cf")).unwrap().ends_with(b"ours = 1\n"));
    assert_eq!(fs::read(&tmp).unwrap(), b"half of an edit", "a lock file that we did not make stays");
}
