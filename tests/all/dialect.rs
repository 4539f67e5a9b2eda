//! `main.cf` and `master.cf` mean to us what they mean to Postfix: the same files, read and edited by `postconf` and by us.

use mxseal::mta::{dialect::Dialect, dialect::Wish, expand::expand, main_cf, master_cf};
use proptest::{prelude::*, sample::select, test_runner::Config};
use std::{collections::BTreeMap, path::Path, process::Command};
use tempfile::TempDir;

const MASTER: &str = "smtp inet n - y - - smtpd\nqmgr unix n - n 300 1 qmgr\n";

fn dir(main: &[u8], master: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("main.cf"), main).expect("main.cf");
    std::fs::write(dir.path().join("master.cf"), master).expect("master.cf");
    dir
}

/// Postfix dozes for two seconds over a file that was just written.
fn cool(dir: &Path) {
    for name in ["main.cf", "master.cf"] {
        let file = std::fs::File::options().append(true).open(dir.join(name)).expect("a file");
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(10)).expect("an older file");
    }
}

/// The standard output of `postconf`, without its warnings; `None` where it refuses.
fn postconf(dir: &Path, arguments: &[&str]) -> Option<String> {
    cool(dir);
    let mut command = Command::new("postconf");
    command.env("LC_ALL", "C").arg("-c").arg(dir).args(arguments);
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; tests/run installs what is needed"));
    out.status.success().then(|| latin(&out.stdout))
}

fn latin(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect(), ToOwned::to_owned)
}

fn collapsed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// `name = value` lines of `postconf`, whitespace within values made one space as we do.
fn said(text: &str) -> BTreeMap<String, String> {
    let pair = |l: &str| l.split_once(" =").map(|(n, v)| (n.to_owned(), collapsed(v)));
    text.lines().filter_map(pair).filter(|(n, _)| n != "config_directory").collect()
}

fn read(main: &[u8]) -> Option<BTreeMap<String, String>> {
    let all = main_cf::read(Path::new("main.cf"), main).ok()?;
    Some(all.into_iter().map(|e| (e.name, collapsed(&e.value))).collect())
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let lines: [&[u8]; 16] = [
        b"myhostname = a.example",
        b"myhostname=b.example",
        b"mydomain =  c.example ",
        b"relayhost = ",
        b"relayhost = [x]:25",
        b"  , continued",
        b"\tmydomain = x",
        b"# comment = 1",
        b"  # indented comment",
        b"",
        b" \t ",
        b"mynetworks = 127.0.0.0/8,",
        b"smtpd_tls_cert_file\t=\t/c.pem",
        b"smtpd_tls_security_level = may",
        b"smtpd_banner = caf\xe9 $myhostname",
        b"mydestination = $mydomain, ${myhostname}, $(relayhost) ${relayhost?yes} ${relayhost:no}",
    ];
    let end = select(vec![&b"\n"[..], b"\n", b"\n", b"\r\n"]);
    (prop::collection::vec((select(lines.to_vec()), end), 1..9), any::<bool>()).prop_map(|(lines, closed)| {
        let mut all: Vec<u8> = lines.iter().flat_map(|(l, e)| [*l, *e].concat()).collect();
        if !closed {
            all.truncate(all.len() - 1);
        }
        all
    })
}

proptest! {
    #![proptest_config(Config { cases: 60, failure_persistence: None, ..Config::default() })]

    #[test]
    fn main_cf_means_the_same_to_postfix(main in file()) {
        let dir = dir(&main, MASTER);
        let theirs = postconf(dir.path(), &["-n"]).map(|t| said(&t));
        prop_assert_eq!(read(&main), theirs);
    }

    #[test]
    fn an_edit_means_the_same_as_theirs(main in file(), value in select(vec!["may", "encrypt", ""])) {
        let name = "smtpd_tls_security_level";
        // Behind a file without a final line end, postconf joins its line to the last one; so this one gets it.
        let closed = if main.ends_with(b"\n") { main.clone() } else { [&main[..], b"\n"].concat() };
        let (ours, theirs) = (dir(&main, MASTER), dir(&closed, MASTER));
        let (edited, _) = main_cf::set(Path::new("main.cf"), &main, name, value, "why").expect("an edit");
        std::fs::write(ours.path().join("main.cf"), &edited).expect("main.cf");
        let edit = format!("{name}={value}");
        prop_assert!(postconf(theirs.path(), &["-e", &edit]).is_some());
        let read_by_them = |d: &TempDir| postconf(d.path(), &["-n"]).map(|t| said(&t));
        prop_assert_eq!(read_by_them(&ours), read_by_them(&theirs));
    }
}

#[test]
fn parameters_expand_as_postfix_expands_them() {
    let names = ["relayhost", "mydestination", "mynetworks", "relay_domains", "myorigin", "smtpd_banner", "virtual_alias_domains"];
    let main = "mydomain = d.example\nmyhostname = h.$mydomain\ncompatibility_level = 3.6\nrelayhost = ${mydomain?set}${nexthop_nope:unset}\n\
        mydestination = $(myhostname) ${myhostname} $myhostname.x\nmynetworks = ${myhostname ? {yes $mydomain} : {no}} ${empty_address_recipient?{a}:{b}}\n\
        relay_domains = ${{$compatibility_level} <level {3.10} ? {old} : {new}} ${{$compatibility_level} >=level {3.6} ? {x} : {y}}\n\
        myorigin = ${{10} > {9}?number} ${{b} > {a} ? {text}} ${{$mydomain} == {d.example} ? {same} : {other}}\n\
        smtpd_banner = $$myhostname a$mydomain-b\nvirtual_alias_domains = ${mydomain?{t}:f} ${relayhost:{u}}\n";
    let dir = dir(main.as_bytes(), MASTER);
    let entries = main_cf::read(Path::new("main.cf"), main.as_bytes()).expect("settings");
    let get = |name: &str| match entries.iter().rfind(|e| e.name == name) {
        Some(entry) => Some(entry.value.clone()),
        None => postconf(dir.path(), &["-dh", name]).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()),
    };
    for name in names {
        let theirs = postconf(dir.path(), &["-xh", name]).expect("an answer");
        let ours = expand(&get(name).expect("a value"), &get).expect("no cycle");
        assert_eq!(collapsed(&ours), collapsed(&theirs), "{name}");
    }
}

const SERVICES: &str = "# head\nsmtp      inet  n       -       y       -       -       smtpd\n#comment\n\n  -o smtpd_tls_security_level=\n\t-o { smtpd_banner = a b  c }\n\
    submission inet n - n - - smtpd -o syslog_name=postfix/submission -v\n  -o\n  smtpd_enforce_tls=yes\r\n[::1]:465 inet n - - - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_wrappermode=no\n\
    smtpd pass - - y - - smtpd\nvmail unix - n n - - pipe\n  flags=R user=mail argv=/bin/cat -o x=y ${recipient}";

#[test]
fn services_are_those_that_postfix_lists() {
    let dir = dir(b"", SERVICES);
    let ours = master_cf::read(Path::new("master.cf"), SERVICES.as_bytes()).expect("services");
    let theirs = postconf(dir.path(), &["-M"]).expect("services");
    let listed: Vec<(String, String)> = theirs
        .lines()
        .filter(|l| !l.starts_with(' '))
        .map(|l| {
            let words: Vec<_> = l.split_whitespace().collect();
            (format!("{}/{}", words[0], words[1]), words[7].to_owned())
        })
        .collect();
    assert_eq!(ours.iter().map(|e| (e.id.clone(), e.command.clone())).collect::<Vec<_>>(), listed);
    let overrides = said(&postconf(dir.path(), &["-P"]).expect("overrides"));
    let of_ours: BTreeMap<String, String> = ours
        .iter()
        .filter(|e| e.command != "pipe")
        .flat_map(|e| e.options.iter().map(|o| (format!("{}/{}", e.id, o.name), collapsed(&o.value))))
        .collect();
    assert_eq!(of_ours, overrides.into_iter().filter(|(n, _)| !n.starts_with("vmail")).collect());
}

#[test]
fn an_override_means_the_same_as_theirs() {
    for (service, name) in [
        ("smtp/inet", "smtpd_tls_chain_files"),
        ("smtp/inet", "smtpd_tls_security_level"),
        ("submission/inet", "smtpd_enforce_tls"),
        ("submission/inet", "smtpd_tls_chain_files"),
        ("[::1]:465/inet", "smtpd_tls_wrappermode"),
        ("smtpd/pass", "smtpd_tls_chain_files"),
    ] {
        for value in ["", "/x.pem"] {
            let (ours, theirs) = (dir(b"", SERVICES), dir(b"", SERVICES));
            let wish = Wish { service: Some(service.into()), name: name.into(), value: value.into(), why: "why".into() };
            let path = ours.path().join("master.cf");
            let (edited, changes) = Dialect::PostfixCf.edit(&path, SERVICES.as_bytes(), &[wish]).expect("an edit");
            std::fs::write(&path, &edited).expect("master.cf");
            assert!(postconf(theirs.path(), &["-P", &format!("{service}/{name}={value}")]).is_some(), "{service} {name}");
            let read_by_them = |d: &TempDir| said(&postconf(d.path(), &["-P"]).expect("an answer"));
            assert_eq!(read_by_them(&ours), read_by_them(&theirs), "{service} {name}={value}");
            for change in &changes {
                let back = Dialect::PostfixCf.restore(&path, &edited, change);
                assert_eq!(back, mxseal::mta::Restored::Done(SERVICES.into()), "{service} {name}={value}");
            }
        }
    }
}
