//! Mail servers as data: a relative of Postfix takes one file, and only root's files count.

use crate::lab::household::{Household, MXSEAL};
use serde_json::Value;
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

/// The example of the manual, for a server that lies below `opt` instead of `/opt/relay`.
fn example(opt: &Path) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/mxseal-profile.5")).unwrap();
    let example = page.split_once(".Bd -literal -offset indent\n").unwrap().1.split(".Ed\n").next().unwrap();
    example.replace("/opt/relay", &opt.display().to_string())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Programs of other names in `root/opt`, which are Postfix's in truth and note every call, and a profile of them beside the
/// settings in `root/conf`; gives its file.
fn relay(root: &Path) -> PathBuf {
    let (opt, profiles) = (root.join("opt"), root.join("conf/mta-profiles"));
    fs::create_dir_all(opt.join("sbin")).unwrap();
    fs::create_dir_all(&profiles).unwrap();
    for (name, program) in [("relay", "postfix"), ("relayconf", "postconf")] {
        let path = opt.join("sbin").join(name);
        let script = format!("#!/bin/sh\n[ ! -w {0} ] || echo {name} \"$@\" >>{0}/calls\nexec {program} \"$@\"\n", opt.display());
        fs::write(&path, script).unwrap();
        mode(&path, 0o755);
    }
    let file = profiles.join("relay.toml");
    fs::write(&file, example(&opt)).unwrap();
    mode(&file, 0o644);
    mode(&profiles, 0o755);
    file
}

#[test]
fn a_relative_of_postfix_takes_one_file() {
    let house = Household::new();
    let file = relay(&house.root);
    let (before, served) = (house.tree(), house.served());
    let run = |verb: &str, more: &[&str]| {
        let mut arguments = house.arguments(verb);
        arguments.iter_mut().filter(|a| *a == "postfix").for_each(|a| *a = "relay".into());
        let out = Command::new(MXSEAL).args(arguments).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        (out.status.code(), said)
    };

    let (code, said) = run("setup", &["--json"]);
    assert_eq!(code, Some(0), "{said}");
    let outcome: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(outcome["outcome"], "proved", "{said}");
    assert_eq!(house.deployment(), "proved");
    assert_ne!(house.served(), served);
    let calls = fs::read_to_string(house.root.join("opt/calls")).unwrap();
    for call in [&format!("relay -c {} reload", house.postfix.etc().display()), "relayconf -d -h mail_version"] {
        assert!(calls.lines().any(|l| l == call), "{call}: {calls}");
    }
    let trial = |l: &str| l.starts_with("relayconf -c ") && !l.contains(&house.postfix.etc().display().to_string());
    assert!(calls.lines().any(trial), "no trial on a copy: {calls}");

    // Who undoes it must know what it was; who renews it need not.
    let aside = house.root.join("relay.toml");
    fs::rename(&file, &aside).unwrap();
    let (code, said) = run("undo", &[]);
    assert!(code == Some(2) && said.contains("no mail server called \"relay\"") && said.contains("mta-profiles"), "{code:?} {said}");
    fs::write(&file, "id = ").unwrap();
    assert_eq!(house.deployment(), "proved");
    fs::rename(&aside, &file).unwrap();
    let (code, said) = run("undo", &[]);
    assert_eq!(code, Some(0), "{said}");
    let etc = house.postfix.etc();
    let of_server = |tree: crate::lab::household::Tree| tree.into_iter().filter(|(path, _)| path.starts_with(&etc)).collect::<Vec<_>>();
    assert_eq!(of_server(house.tree()), of_server(before));
    assert_eq!(house.served(), served);
}

#[test]
fn what_is_known_is_listed_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    mode(dir.path(), 0o755);
    let file = relay(dir.path());
    let new = example(&dir.path().join("opt")).replacen("[recognise]", "[recognise]\nsince = \"99\"", 1);
    for (name, text) in [
        ("future", new.replacen("id = \"relay\"", "id = \"future\"", 1)),
        ("past", new.replacen("id = \"relay\"", "id = \"past\"", 1).replacen("since = \"99\"", "until = \"1.0\"", 1)),
        ("gone", example(Path::new("/nonexistent")).replacen("id = \"relay\"", "id = \"gone\"", 1)),
        ("own", example(Path::new("/nonexistent")).replacen("id = \"relay\"", "id = \"postfix\"", 1)),
    ] {
        fs::write(file.with_file_name(name).with_extension("toml"), text).unwrap();
        mode(&file.with_file_name(name).with_extension("toml"), 0o644);
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(MXSEAL);
        command.args(["profiles", "--config"]).arg(dir.path().join("conf/mxseal.toml")).args(more);
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw()).current_dir("/").output().unwrap()
    };
    let out = run(&["--json"]);
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{said}");
    let document: Value = serde_json::from_str(&said).unwrap();
    let of = |id: &str| document["profiles"].as_array().unwrap().iter().find(|p| p["id"] == id).unwrap_or_else(|| panic!("{id}: {said}"));
    assert_eq!((&of("relay")["fits"], &of("relay")["file"]), (&true.into(), &file.display().to_string().into()));
    assert_eq!((&of("postfix")["replaces"], &of("postfix")["fits"]), (&true.into(), &false.into()));
    assert!(of("exim")["file"].is_null());
    for (id, why) in [
        ("gone", "there is no /nonexistent/sbin/relayconf"),
        ("future", "and this is for 99 and newer"),
        ("past", "and this is for versions before 1.0"),
    ] {
        assert!(of(id)["why"].as_str().unwrap().contains(why) && of(id)["fits"] == false, "{said}");
    }
    let page = String::from_utf8(run(&[]).stdout).unwrap();
    assert!(page.contains("  relay  ") && page.contains(&format!("Relay, {}", file.display())) && page.contains("built in"), "{page}");

    mode(&file, 0o666);
    let out = run(&[]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("relay.toml") && said.contains("chmod go-w"), "{said}");
    mode(&file, 0o644);
    fs::write(&file, "id = 'relay'\ntitel = 'Relay'\n").unwrap();
    let out = run(&[]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("relay.toml:2:1: ") && said.contains("do you mean title?"), "{said}");
    assert!(said.contains("More: mxseal explain profile-unusable"), "{said}");
}
