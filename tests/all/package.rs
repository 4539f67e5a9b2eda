//! The Debian package: clean, and harmless to come, to be renewed and to go. What a mail server's configuration names stays.

use crate::lab::{
    host::{Host, MXSEAL, differences, text},
    internet::Internet,
    process::run,
    setup::{SNAKE_OIL, assert_verifiable, contents, outcome, reloads, setup},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const UNITS: [&str; 4] = ["mxseal-recover.service", "mxseal-renew.service", "mxseal-renew.timer", "mxseal-alarm.service"];
const LIVE: &str = "/etc/mxseal/live/mx1.example.test.pem";

/// Builds the package of the program under test.
fn build(folder: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb/build");
    // The test needs no small file.
    let quick = [("DPKG_DEB_COMPRESSOR_TYPE", "gzip"), ("DPKG_DEB_COMPRESSOR_LEVEL", "1")];
    run(Command::new(script).arg(env!("CARGO_BIN_EXE_mxseal")).arg(folder).envs(quick));
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "deb")).expect("a package")
}

/// The same with another version.
fn next_version(deb: &Path, folder: &Path) -> PathBuf {
    let (tree, next) = (folder.join("tree"), folder.join("next.deb"));
    run(Command::new("dpkg-deb").arg("-R").arg(deb).arg(&tree));
    let control = tree.join("DEBIAN/control");
    fs::write(&control, fs::read_to_string(&control).unwrap().replace("\nVersion: 0", "\nVersion: 1")).unwrap();
    run(Command::new("dpkg-deb").args(["--root-owner-group", "-Zgzip", "-z1", "-b"]).arg(&tree).arg(&next));
    next
}

/// What dpkg said, standard error too.
fn dpkg(host: &Host, arguments: &[&str]) -> String {
    let out = host.run(&[&["dpkg"], arguments].concat());
    let said = text(&out) + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "dpkg {arguments:?}: {said}");
    said
}

fn property(host: &Host, unit: &str, name: &str) -> String {
    host.ok(&["systemctl", "show", "--value", "-p", name, unit]).trim().to_owned()
}

/// The package's units work, enabled and awake, and none of ours hides them.
fn packaged_units_work(host: &Host) {
    for unit in UNITS {
        assert!(property(host, unit, "FragmentPath").ends_with(&format!("/lib/systemd/system/{unit}")), "{unit}");
    }
    assert_eq!(host.ok(&["systemctl", "is-enabled", UNITS[0], UNITS[2]]), "enabled\nenabled\n");
    assert_eq!(property(host, UNITS[2], "ActiveState"), "active");
}

#[test]
fn it_comes_and_goes_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    let deb = build(folder.path());
    let lintian = Command::new("lintian").args(["--fail-on", "error,warning", "--allow-root"]).arg(&deb).output();
    let lintian = lintian.expect("lintian; tests/run installs what is needed");
    assert!(lintian.status.success(), "{}", text(&lintian));
    let next = next_version(&deb, folder.path());

    let internet = Internet::start();
    let host = internet.mail_host();
    let untouched = contents(&host.tree("/etc"));
    for (name, file) in [("/root/mxseal.deb", &deb), ("/root/next.deb", &next)] {
        host.write(name, fs::read(file).unwrap());
    }
    // Set up by a program that lay there by hand, with units of its own; then the package comes.
    outcome(&setup(&host, &[]), 0);
    host.ok(&["sh", "-c", "umount /usr/bin/mxseal && rm -f /usr/bin/mxseal"]);
    let postfix = contents(&host.tree("/etc/postfix"));
    dpkg(&host, &["-i", "/root/mxseal.deb"]);
    packaged_units_work(&host);
    assert!(UNITS.iter().all(|unit| !host.path(&format!("/etc/systemd/system/{unit}")).exists()));
    assert!(host.run(&["mxseal", "renew", "--force"]).status.success());
    packaged_units_work(&host);
    assert!(UNITS.iter().all(|unit| !host.path(&format!("/etc/systemd/system/{unit}")).exists()), "a change brings none beside them");

    // What an admin has turned off stays off through an upgrade.
    host.ok(&["systemctl", "disable", "--now", UNITS[2]]);
    dpkg(&host, &["-i", "/root/next.deb"]);
    assert_eq!(text(&host.run(&["systemctl", "is-enabled", UNITS[2]])), "disabled\n");
    assert_eq!(property(&host, UNITS[2], "ActiveState"), "inactive");
    host.ok(&["systemctl", "enable", "--now", UNITS[2]]);
    dpkg(&host, &["-i", "/root/mxseal.deb"]);
    packaged_units_work(&host);

    // Removed and purged: mail goes on, and every file that it needs is named.
    let (state, conf, reloaded) = (contents(&host.tree("/var/lib/mxseal")), contents(&host.tree("/etc/mxseal")), reloads(&host));
    for how in ["-r", "-P"] {
        let said = dpkg(&host, &[how, "mxseal"]);
        let named = format!("{LIVE} stays, because it is named in /etc/postfix/main.cf");
        assert!(said.contains(&named), "{said}");
        assert!(!host.path(MXSEAL).exists() && property(&host, UNITS[2], "LoadState") == "not-found");
        assert_eq!(differences(&state, &contents(&host.tree("/var/lib/mxseal"))), Vec::<String>::new());
        assert_eq!(differences(&conf, &contents(&host.tree("/etc/mxseal"))), Vec::<String>::new());
        assert_eq!(differences(&postfix, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new());
        assert_verifiable(&internet);
    }
    assert_eq!(reloads(&host), reloaded);
    host.ok(&["systemctl", "restart", "postfix"]);
    assert_verifiable(&internet);
    let log = internet.sender("secure").send("root@example.test");
    assert!(log.contains("Verified TLS connection") && log.contains("status=sent"), "{log}");

    // With the package back there is a way back, and then nothing of it stays.
    dpkg(&host, &["-i", "/root/mxseal.deb"]);
    outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    packaged_units_work(&host);
    assert!(internet.s_client(&[]).contains(SNAKE_OIL));
    host.ok(&["systemctl", "start", "mxseal-renew.service"]);
    host.ok(&["mkdir", "-p", "/etc/mxseal/hooks/before.d", "/etc/mxseal/hooks/after.d"]);

    // A policy that senders may go by is named with the way out, and keeps what ends it.
    let kept = "/var/lib/mxseal/policies/example.test.json";
    host.ok(&["mkdir", "-p", "/var/lib/mxseal/policies"]);
    host.write(kept, "{}");
    for how in ["-r", "-P"] {
        let said = dpkg(&host, &[how, "mxseal"]);
        assert!(said.contains(&format!("{kept} stays")) && said.contains("mxseal policy leave example.test"), "{said}");
        assert!(host.path(kept).exists() && !said.contains("mail server"), "{said}");
    }
    dpkg(&host, &["-i", "/root/mxseal.deb"]);
    host.ok(&["rm", "-r", "/var/lib/mxseal/policies"]);
    let said = dpkg(&host, &["-P", "mxseal"]);
    assert!(!said.contains("mxseal: "), "{said}");
    assert_eq!(differences(&untouched, &contents(&host.tree("/etc"))), Vec::<String>::new());
    for path in ["/var/lib/mxseal", "/var/lib/systemd/timers/stamp-mxseal-renew.timer", "/usr/share/doc/mxseal"] {
        assert!(!host.path(path).exists(), "{path}");
    }
}

/// What setup wrote is known by the same words to the program and to the package.
#[test]
fn the_package_knows_the_units_that_setup_wrote() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = "# mxseal wrote this file";
    for file in ["packaging/deb/postinst", "src/apply/units.rs"] {
        assert!(fs::read_to_string(root.join(file)).unwrap().contains(words), "{file}");
    }
}
