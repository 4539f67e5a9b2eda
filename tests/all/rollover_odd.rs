//! Days on which a roll-over cannot go well: what stands against it is found before anything is ordered, what was ordered is used by
//! the next run, and the keys before are served, which every sender knows.

use crate::{
    lab::{
        dns::Signed,
        household::{Household, MX, Tree},
        process::{copy_program, wait_for},
    },
    retreat::{ids, told},
    rollover::{days_later, held, keys, publish, zone},
};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, time::Duration};

/// The same host at the end of each of them.
struct Standing {
    house: Household,
    served: Vec<String>,
    next: Vec<String>,
    zone: BTreeSet<String>,
    files: Tree,
}

impl Standing {
    /// Its next keys may be used.
    fn new() -> Self {
        let house = Household::with_servers(Signed::Yes, "");
        house.keep_port();
        // Else a process that has served a hundred clients makes room for one that reads the new files.
        house.postfix.set("max_use = 10000");
        house.postfix.reload();
        let (code, done) = told(&house, "setup", &["--alarm", "", "--tell", "nothing"]);
        assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
        publish(&house);
        let next = keys(&held(&house, 1, "rollover-too-new"), "next");
        days_later(&house, 2);
        let (served, zone, files) = (house.served(), zone(&house), house.tree());
        Self { house, served, next, zone, files }
    }

    /// Keys, chain, records are as before, and the same next keys can be used still.
    fn is_as_before(&self, after: &str) {
        let Self { house, .. } = self;
        assert!(!house.is_open(), "{after}: {}", house.said());
        // A process of before a reload may take one more client.
        wait_for(&format!("{after}: what is served"), Duration::from_secs(30), || house.served() == self.served);
        assert_eq!(zone(house), self.zone, "{after}");
        assert_eq!(house.tree(), self.files, "{after}");
        let (code, planned) = told(house, "rollover", &["--dry-run"]);
        assert_eq!((code, &planned["outcome"]), (0, &"planned".into()), "{after}: {planned:#}");
        assert_eq!(keys(&planned, "next"), self.next, "{after}");
    }

    /// A roll-over in a mount namespace of its own that `script` prepares; what it said.
    fn in_a_room(&self, script: &str) -> String {
        let script = format!("set -e; {script}; exec \"$@\"");
        let (code, said) = self.house.run(&["unshare", "--mount", "sh", "-c", &script, "sh"], "rollover");
        assert_eq!(code, 1, "{said}");
        said
    }

    /// A copy of a folder of ours on a disk without room.
    fn full(&self, folder: &str) -> String {
        let (folder, copy) = (self.house.root.join(folder), self.house.root.join("copy"));
        let (folder, copy) = (folder.display(), copy.display());
        format!(
            "rm -rf {copy}; cp -a {folder} {copy}; mount -t tmpfs -o size=1M,mode=700 tmpfs {folder}; cp -a {copy}/. {folder}; \
             ! dd if=/dev/zero of={folder}/full bs=512 2>/dev/null"
        )
    }
}

#[test]
fn what_stands_against_a_roll_over_is_found_before_the_order() {
    let mut standing = Standing::new();
    let before = standing.house.counted();
    let etc = standing.house.postfix.etc();

    // The timer is at work.
    let lock = fs::File::open(&etc).expect("a directory");
    lock.lock().expect("its lock");
    let (code, busy) = told(&standing.house, "rollover", &[]);
    assert_eq!((code, &busy["topic"]), (1, &"run-busy".into()), "{busy:#}");
    // Also where another test's child, just forked, has it still.
    lock.unlock().expect("unlocked");

    // Somebody is editing the configuration.
    let main = standing.house.postfix.read_config("main.cf");
    standing.house.postfix.write_config("main.cf", &format!("{main}# half done\n"));
    held(&standing.house, 1, "drift");
    standing.house.postfix.write_config("main.cf", &main);

    // Somebody laid another file there, which no process has read yet.
    let live = standing.house.root.join(format!("conf/live/{MX}.pem"));
    let ours = fs::read(&live).expect("key and chain");
    fs::write(&live, [&ours[..], b"\n"].concat()).expect("written");
    let (code, changed) = told(&standing.house, "rollover", &[]);
    assert!(code == 1 && ids(&changed) == ["live-changed"], "{changed:#}");
    fs::write(&live, ours).expect("written");

    // The server is stopped.
    standing.house.postfix.stop();
    let (code, down) = told(&standing.house, "rollover", &[]);
    assert!(code == 1 && ids(&down) == ["server-down"] && down["outcome"] == "held", "{down:#}");
    standing.house.postfix.launch();

    // No room for what is to be kept.
    let said = standing.in_a_room(&standing.full("state"));
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(standing.house.counted(), before, "nothing was ordered");
    standing.is_as_before("all of that");
}

#[test]
fn what_was_ordered_and_not_served_is_served_by_the_next_run() {
    let standing = Standing::new();
    let (house, root) = (&standing.house, standing.house.root.display());

    // Nobody is there who could prove to be the CA.
    let settings = fs::read_to_string(house.root.join("conf/mxseal.toml")).expect("settings");
    let ca = settings.lines().find(|l| l.starts_with("acme-ca-file")).and_then(|l| l.split('"').nth(1)).expect("the CA's root");
    let issued = house.counted().1;
    let said = standing.in_a_room(&format!("mount --bind {root}/root.pem {ca}"));
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(house.counted().1, issued);
    standing.is_as_before("a CA that cannot be asked");

    // No room where the mail server reads it.
    let said = standing.in_a_room(&standing.full("conf/live"));
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(house.counted().1, issued + 2, "one for each key type");
    standing.is_as_before("a full disk");
    let ordered = house.counted();

    // The server says that it has read its files again, and goes on with the old ones.
    copy_program("/usr/sbin/postfix", &house.root.join("postfix.real"));
    let deaf = house.root.join("postfix");
    fs::write(&deaf, format!("#!/bin/sh\nfor word; do [ \"$word\" != reload ] || exit 0; done\nexec {root}/postfix.real \"$@\"\n"))
        .expect("written");
    fs::set_permissions(&deaf, fs::Permissions::from_mode(0o755)).expect("a mode");
    let said = standing.in_a_room(&format!("mount --bind {} /usr/sbin/postfix", deaf.display()));
    assert!(said.contains("Not proved, so everything was put back"), "{said}");
    house.postfix.reload();
    standing.is_as_before("a proof that failed");
    let timer = house.run(&[], "renew");
    assert_eq!(timer.0, 0, "{}", timer.1);
    standing.is_as_before("the timer");

    let (code, done) = told(house, "rollover", &[]);
    assert_eq!((code, &done["outcome"]), (0, &"proved".into()), "{done:#}");
    assert_eq!((house.served(), house.counted()), (standing.next.clone(), ordered), "nothing was ordered again");
}
