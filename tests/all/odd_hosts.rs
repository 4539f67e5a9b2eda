//! Hosts that their admins made in ways of their own: setup changes them and a stranger can verify them, what was not to
//! change has not, a second setup finds nothing to do, and undo gives every byte, owner, mode, attribute and link back.

use crate::lab::{
    awake::Awake,
    odd::{OLD, Odd, SMTP, V4, V6, ended, images},
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::Path,
};

/// One odd host.
struct Row {
    what: &'static str,
    /// Lines of main.cf; `$dir` is the configuration directory.
    main: &'static str,
    /// Services that answer from the network.
    master: &'static str,
    /// What else is odd about its files.
    bend: fn(&Path),
    /// Where strangers shall be able to verify it.
    ours: &'static [&'static str],
    /// Where it shall go on to present what it did before.
    kept: &'static [&'static str],
}

const ROW: Row = Row { what: "", main: OLD, master: SMTP, bend: |_| (), ours: &[V4, V6], kept: &[] };

/// Rewrites a file of the configuration directory.
fn rewrite(dir: &Path, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(dir.join(name)).unwrap();
    fs::write(dir.join(name), change(bytes)).unwrap();
}

fn crlf(bytes: Vec<u8>) -> Vec<u8> {
    String::from_utf8(bytes).unwrap().replace('\n', "\r\n").into_bytes()
}

/// Sets the time of change back, because Postfix waits two seconds with a file that is younger.
fn age(dir: &Path) {
    for name in ["main.cf", "master.cf"] {
        let file = fs::File::options().append(true).open(dir.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(10)).unwrap();
    }
}

/// Takes one host there and back.
fn there_and_back(odd: &Odd, row: &Row) -> Result<(), String> {
    let mut postfix = odd.host(row.main, row.master);
    let dir = postfix.etc();
    (row.bend)(&dir);
    age(&dir);
    odd.launch(&mut postfix);
    let _awake = Awake::over(&dir);
    let before = images(&postfix);
    let leaves = || row.ours.iter().chain(row.kept).map(|at| odd.seen(at, &[]).0).collect::<Vec<_>>();
    let served = leaves();

    let done = ended(&odd.setup(&postfix, &[]), 0)?;
    if done["outcome"] != "proved" {
        return Err(format!("{done:#}"));
    }
    row.ours.iter().try_for_each(|at| odd.verified(at))?;
    for (at, before) in row.kept.iter().zip(&served[row.ours.len()..]) {
        let (leaf, said) = odd.seen(at, &[]);
        if leaf != *before {
            return Err(format!("{at} has changed: {said}"));
        }
    }
    let again = ended(&odd.setup(&postfix, &[]), 0)?;
    if again["outcome"] != "nothing-to-do" {
        return Err(format!("a second setup: {again:#}"));
    }

    ended(&odd.undo(), 0)?;
    let after = images(&postfix);
    if let Some(path) = before.keys().chain(after.keys()).find(|path| before.get(*path) != after.get(*path)) {
        let text = |all: &BTreeMap<_, crate::lab::odd::Image>| {
            all.get(path).map(|i| format!("{:o} {:?} {:?}\n{}", i.0, i.1, i.2.keys(), i.3.escape_ascii()))
        };
        return Err(format!("{} is another after undo: before {:?}, after {:?}", path.display(), text(&before), text(&after)));
    }
    if leaves() != served {
        return Err("after undo another certificate is presented than before".into());
    }
    Ok(())
}

/// All rows, one after the other on one internet; every failure is told.
fn run(rows: &[Row]) {
    let odd = Odd::new();
    let mut failed = Vec::new();
    for row in rows {
        let began = std::time::Instant::now();
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| there_and_back(&odd, row))) {
            Ok(Ok(())) => eprintln!("{}: there and back in {:.1?}", row.what, began.elapsed()),
            Ok(Err(why)) => failed.push(format!("== {}: {why}", row.what)),
            Err(_) => failed.push(format!("== {}: the lab failed, see above", row.what)),
        }
    }
    assert!(failed.is_empty(), "{} of {} odd hosts:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

#[test]
fn files_of_every_kind() {
    run(&[
        Row { what: "nothing is odd", ..ROW },
        Row {
            what: "both files are links, one by a chain",
            bend: |dir| {
                let away = dir.parent().unwrap().join("srv");
                fs::create_dir(&away).unwrap();
                fs::rename(dir.join("main.cf"), away.join("main.cf")).unwrap();
                fs::rename(dir.join("master.cf"), away.join("master.real")).unwrap();
                symlink("../srv/main.cf", dir.join("main.cf")).unwrap();
                symlink("master.real", away.join("master.cf")).unwrap();
                symlink(away.join("master.cf"), dir.join("master.cf")).unwrap();
            },
            master: "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd -o smtpd_tls_cert_file=$dir/both.pem\n",
            kept: &["198.18.0.25:587"],
            ..ROW
        },
        Row {
            what: "main.cf is 0640 root:postfix",
            bend: |dir| {
                let group = nix::unistd::Group::from_name("postfix").unwrap().unwrap().gid.as_raw();
                chown(dir.join("main.cf"), Some(0), Some(group)).unwrap();
                fs::set_permissions(dir.join("main.cf"), fs::Permissions::from_mode(0o640)).unwrap();
            },
            ..ROW
        },
        Row {
            what: "both files have CRLF",
            master: "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_tls_cert_file=$dir/both.pem\n",
            bend: |dir| ["main.cf", "master.cf"].into_iter().for_each(|name| rewrite(dir, name, crlf)),
            kept: &["198.18.0.25:587"],
            ..ROW
        },
        Row {
            what: "comments are Latin-1",
            bend: |dir| {
                for name in ["main.cf", "master.cf"] {
                    rewrite(dir, name, |b| [&b"# Postausgang f\xfcr M\xfcller\n"[..], &b, b"# \xa9 1999\n"].concat());
                }
            },
            ..ROW
        },
        Row {
            what: "settings are there more than once",
            main: "smtpd_tls_security_level = none\nsmtpd_tls_chain_files = /nowhere\nsmtpd_tls_loglevel = 0\n\
                   smtpd_tls_chain_files = $dir/both.pem\nsmtpd_tls_security_level = may\nsmtpd_tls_loglevel = 0\n",
            ..ROW
        },
        Row {
            what: "values go over lines, with comments and empty lines between",
            main: "smtpd_tls_chain_files =\n# the key\n\n  $dir/old.key,\n   # and its\n#certificate\n\t$dir/old.pem\n\nsmtpd_tls_security_level =\n may\n",
            ..ROW
        },
        Row {
            what: "values are made of other values",
            main: "tls = $dir\nwish = may\nsmtpd_tls_cert_file = ${tls}/old.pem\nsmtpd_tls_key_file = $(tls)/old.key\n\
                   smtpd_tls_security_level = ${wish?{$wish}:{none}}\n",
            ..ROW
        },
        Row {
            what: "the last lines have no end",
            bend: |dir| {
                for name in ["main.cf", "master.cf"] {
                    rewrite(dir, name, |b| b.strip_suffix(b"\n").unwrap().to_vec());
                }
            },
            ..ROW
        },
        Row {
            what: "files have attributes",
            bend: |dir| {
                xattr::set(dir.join("main.cf"), "user.owner", b"the mail team").unwrap();
                xattr::set(dir.join("main.cf"), "user.empty", b"").unwrap();
                run_setfacl(&dir.join("main.cf"));
            },
            ..ROW
        },
        Row {
            what: "the first line is indented and a setting is unknown",
            main: "no_such_setting = $dir\nsmtpd_tls_cert_file=$dir/both.pem\nsmtpd_tls_security_level=may\n",
            bend: |dir| rewrite(dir, "main.cf", |b| [&b"   left = over\n\n"[..], &b].concat()),
            ..ROW
        },
    ]);
}

/// An access control list, as setfacl(1) makes it: user 65534 may read (acl(5), version 2).
fn run_setfacl(path: &Path) {
    let entry = |tag: u16, perm: u16, id: u32| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat();
    let all = [(1, 6, u32::MAX), (2, 4, 65534), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 4, u32::MAX)];
    let list = [2_u32.to_le_bytes().to_vec(), all.into_iter().flat_map(|(t, p, i)| entry(t, p, i)).collect()].concat();
    xattr::set(path, "system.posix_acl_access", &list).unwrap();
}

#[test]
fn services_of_every_kind() {
    run(&[
        Row {
            what: "submission has its own certificate, 465 shares the server's",
            master: "smtp inet n - y - - smtpd\nsubmission inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n  \
                     -o smtpd_tls_cert_file=$dir/both.pem -o smtpd_tls_key_file=$dir/both.pem\n\
                     smtps inet n - y - - smtpd\n  -o smtpd_tls_wrappermode=yes\n",
            ours: &[V4, V6, "198.18.0.25:465", "[fd00::25]:465"],
            kept: &["198.18.0.25:587"],
            ..ROW
        },
        Row {
            what: "465 has a chain of its own and waits for TLS, both in braces",
            master: "25 inet n - y - - smtpd\n465 inet n - - - 10 smtpd -o { smtpd_tls_wrappermode = yes }\n  -o { smtpd_tls_chain_files = $dir/both.pem }\n",
            kept: &["198.18.0.25:465"],
            ..ROW
        },
        Row {
            what: "postscreen on 25",
            master: "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ndnsblog unix - - y - 0 dnsblog\ntlsproxy unix - - y - 0 tlsproxy\n",
            main: "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/both.pem\npostscreen_greet_wait = 1s\n",
            ..ROW
        },
        Row {
            what: "tlsproxy has a chain of its own",
            master: "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\ntlsproxy unix - - y - 0 tlsproxy\n",
            main: "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/both.pem\ntlsproxy_tls_chain_files = $dir/both.pem\n\
                   postscreen_greet_wait = 1s\npostscreen_access_list =\npostscreen_bare_newline_enable = yes\npostscreen_cache_map =\n",
            ..ROW
        },
        Row { what: "the level is an old switch", main: "smtpd_use_tls = yes\nsmtpd_tls_cert_file = $dir/both.pem\n", ..ROW },
        Row { what: "the level is none", main: "smtpd_tls_security_level = none\n", ..ROW },
        Row { what: "nothing is said of TLS", main: "", ..ROW },
        Row { what: "25 takes mail in TLS only", main: "smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = $dir/both.pem\n", ..ROW },
        Row {
            what: "the level of 25 is empty",
            master: "smtp inet n - y - - smtpd -o smtpd_tls_security_level=\nsubmission inet n - n - - smtpd\n",
            ours: &[V4, V6, "198.18.0.25:587"],
            ..ROW
        },
        Row {
            what: "the only MX service has a certificate of its own",
            main: "smtpd_tls_security_level = may\n",
            master: "smtp inet n - n - - smtpd\n  -o smtpd_tls_cert_file=$dir/old.pem\n  -o smtpd_tls_key_file=$dir/old.key\n",
            ..ROW
        },
        Row {
            what: "the only MX service has a chain of its own",
            main: "smtpd_tls_security_level = may\n",
            master: "smtp inet n - n - - smtpd -o smtpd_tls_chain_files=$dir/old.key,$dir/old.pem\n",
            ..ROW
        },
        Row {
            what: "a service goes over lines, with comments between",
            master: "smtp\n  inet\n# stays here\n\n  n - y\n\t- -\n  smtpd\n   # this too\n  -o syslog_name=in\n",
            ..ROW
        },
        Row { what: "465 speaks STARTTLS", master: "smtp inet n - y - - smtpd\nsmtps inet n - y - - smtpd\n", ..ROW },
        Row {
            what: "a filter gives mail back on a port of its own",
            master: "smtp inet n - y - - smtpd\n127.0.0.1:10025 inet n - n - - smtpd -o smtpd_tls_security_level=none -o mynetworks=127.0.0.0/8\n",
            ..ROW
        },
    ]);
}

#[test]
fn names_and_addresses_of_every_kind() {
    let odd = Odd::new();
    let dns = &odd.internet.dns;
    let check = |row: Row| there_and_back(&odd, &row).map_err(|why| format!("== {}: {why}", row.what)).err();
    let mut failed = Vec::new();
    failed.extend(check(Row {
        what: "a service for each address",
        master: "198.18.0.25:smtp inet n - y - - smtpd\n[fd00::25]:25 inet n - n - - smtpd -o syslog_name=six\n127.0.0.1:25 inet n - n - - smtpd -o smtpd_tls_security_level=none\n",
        ..ROW
    }));
    failed.extend(check(Row {
        what: "loopback and one address",
        main: "inet_interfaces = localhost, 198.18.0.25\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/both.pem\n",
        ours: &[V4],
        ..ROW
    }));
    failed.extend(check(Row { what: "two domains, one of them unsigned", main: "mydestination = example.test, $mydomain,\n  plain.test\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/both.pem\n", ..ROW }));
    dns.set("example.test", "mx2", "A", 60, &["198.18.0.25"]);
    dns.set("example.test", "@", "MX", 60, &["10 mx1", "20 mx2"]);
    failed.extend(check(Row { what: "two MX names", ..ROW }));
    dns.set("example.test", "@", "MX", 60, &["10 mx1"]);
    dns.set("example.test", "mx1", "A", 60, &[]);
    failed.extend(check(Row {
        what: "IPv6 only",
        main: "inet_protocols = ipv6\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/both.pem\n",
        ours: &[V6],
        ..ROW
    }));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
