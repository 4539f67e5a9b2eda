//! Records get into DNS: by updates that real servers take, by a zone's file, by a program of the admin's; and the world is
//! watched until it sees them.

use crate::{
    lab::{
        authority::Authority,
        dns::{Dns, Signed, own_loopback},
        primary::{Make, Primary, SECRET},
        process::run,
    },
    told::{POLICY, Site},
};
use mxseal::{
    change::Command as Words,
    dns::{Key, NotDone, Primary as Server, Resolver},
    facts::Tlsa,
    moment::Moment,
    name::DnsName,
    publish::{Data, Exchange, Ours, Record, Refused, publisher::Publisher},
    world::{Net, Store},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

pub(crate) fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

pub(crate) fn record(owner: &str, data: Data) -> Record {
    Record { owner: name(owner), ttl: 3600, data }
}

pub(crate) fn txt(owner: &str, text: &str) -> Record {
    record(owner, Data::Txt(text.into()))
}

fn tlsa(data: &str) -> Record {
    record("_25._tcp.mx.example.test", Data::Tlsa(Tlsa { usage: 3, selector: 1, matching: 1, data: data.repeat(32) }))
}

fn exchange(add: &[Record], remove: &[Record]) -> Exchange {
    Exchange { zone: name("example.test"), add: add.to_vec(), remove: remove.to_vec() }
}

fn net() -> Net {
    Net { resolver: Some(SocketAddr::from(([127, 0, 0, 1], 9))), ..Authority::new().net() }
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("state")).unwrap();
    (dir, store)
}

fn ours(store: &Store) -> Vec<Record> {
    store.load::<Ours>(Ours::FILE).unwrap().unwrap_or_default().0.into_iter().map(|told| told.record).collect()
}

#[test]
fn single_records_are_exchanged_at_knot_and_at_bind() {
    for make in [Make::Knot, Make::Bind] {
        let theirs = "aa".repeat(32);
        let server = Primary::start(
            make,
            "example.test",
            &format!("mx A 192.0.2.1\n_25._tcp.mx 60 TLSA 3 1 1 {theirs}\n_mta-sts TXT \"not for senders\"\n_acme CNAME elsewhere"),
        );
        let (_dir, store) = store();
        let publisher = Publisher::Rfc2136 { server: Some(server.addr), key: Some(server.key.clone()) };
        let publish = |e: &Exchange| wait(publisher.publish(&net(), &store, e, Moment(1)));
        let long = format!("v=TLSRPTv1; rua={};", ["mailto:postmaster@example.test"; 12].join(","));
        let new = [
            tlsa("0b"),
            tlsa("0c"),
            txt("_mta-sts.example.test", "v=STSv1; id=1;"),
            txt("_smtp._tls.example.test", &long),
            record("mx.example.test", Data::Caa("0 issue \"ca.example; validationmethods=http-01\"".parse().unwrap())),
            record("mta-sts.example.test", Data::Cname(name("mx.example.test"))),
        ];
        let draft = wait(publisher.draft(&net(), &exchange(&new, &[]), Moment(1))).unwrap();
        assert_eq!((draft.exchange.add.len(), ours(&store).len()), (6, 0), "{make:?}");
        assert_eq!(server.ask("_mta-sts.example.test", "TXT"), "\"not for senders\"", "{make:?}: a draft changes nothing");

        publish(&exchange(&new, &[])).unwrap_or_else(|e| panic!("{make:?}: {e}"));
        let upper = |data: &str| data.repeat(32).to_uppercase();
        assert_eq!(
            server.ask("_25._tcp.mx.example.test", "TLSA"),
            format!("3 1 1 {}\n3 1 1 {}\n3 1 1 {}", upper("0b"), upper("0c"), upper("aa")),
            "{make:?}"
        );
        assert_eq!(server.ask("_mta-sts.example.test", "TXT"), "\"not for senders\"\n\"v=STSv1; id=1;\"");
        assert_eq!(server.ask("mta-sts.example.test", "CNAME"), "mx.example.test.");
        assert_eq!(server.ask("mx.example.test", "CAA"), "0 issue \"ca.example; validationmethods=http-01\"");
        assert!(server.ask("_smtp._tls.example.test", "TXT").contains("\" \""), "in two strings");
        assert_eq!(ours(&store), new);

        // Once more is nothing more, and what is ours alone goes.
        let again = publish(&exchange(&new, &[])).unwrap();
        assert!(again.exchange.is_empty());
        // Somebody wrote the same text in other strings.
        server.update(
            "update delete _mta-sts.example.test. TXT \"v=STSv1; id=1;\"\nupdate add _mta-sts.example.test. 60 TXT \"v=STSv1;\" \" id=1;\"",
        );
        publish(&exchange(&[txt("_mta-sts.example.test", "v=STSv1; id=2;")], &[new[2].clone(), new[0].clone(), new[3].clone()])).unwrap();
        assert_eq!(server.ask("_mta-sts.example.test", "TXT"), "\"not for senders\"\n\"v=STSv1; id=2;\"");
        assert_eq!(server.ask("_25._tcp.mx.example.test", "TLSA"), format!("3 1 1 {}\n3 1 1 {}", upper("0c"), upper("aa")));
        assert_eq!(server.ask("_smtp._tls.example.test", "TXT"), "");
        assert_eq!(ours(&store).len(), 4);

        // Somebody else's is in the way.
        server.update("update add _smtp._tls.example.test. 60 TXT \"v=TLSRPTv1; rua=mailto:them@example.net\"");
        for add in [txt("_smtp._tls.example.test", "v=TLSRPTv1; rua=mailto:us@example.test"), txt("_acme.example.test", "x")] {
            let said = publish(&exchange(&[add, tlsa("0d")], &[])).unwrap_err();
            assert!(matches!(said, Refused::InTheWay(_)), "{make:?}: {said}");
        }
        assert!(!server.ask("_25._tcp.mx.example.test", "TLSA").contains(&upper("0d")), "all or nothing");
    }
}

#[test]
fn what_changed_since_the_look_is_not_touched() {
    for make in [Make::Knot, Make::Bind] {
        let server = Primary::start(make, "example.test", "mx A 192.0.2.1");
        let (zone, old, new) =
            (name("example.test"), txt("_mta-sts.example.test", "v=STSv1; id=1;"), txt("_mta-sts.example.test", "v=STSv1; id=2;"));
        let resolver = Resolver::new(&net()).unwrap();
        let at = |key: &Path| wait(Server::of(&resolver, &zone, Some(server.addr), Some(Key::read(key).unwrap()))).unwrap();
        let primary = at(&server.key);
        let alias = record("mta-sts.example.test", Data::Cname(name("mx.example.test")));
        for (what, add, remove, meanwhile, clean) in [
            (
                "one came",
                &new,
                None,
                "update add _mta-sts.example.test. 60 TXT \"v=STSv1; id=3;\"",
                "update delete _mta-sts.example.test. TXT",
            ),
            ("an alias came", &new, None, "update add _mta-sts.example.test. 60 CNAME x.", "update delete _mta-sts.example.test. CNAME"),
            ("an address came", &alias, None, "update add mta-sts.example.test. 60 A 192.0.2.2", "update delete mta-sts.example.test. A"),
            ("ours went", &new, Some(&old), "update delete _mta-sts.example.test. TXT", ""),
        ] {
            let remove: Vec<Record> = remove.into_iter().cloned().collect();
            if !remove.is_empty() {
                server.update("update add _mta-sts.example.test. 60 TXT \"v=STSv1; id=1;\"");
            }
            let seen = wait(primary.look(&[std::slice::from_ref(add), &remove].concat())).unwrap();
            server.update(meanwhile);
            let before = server.ask("example.test", "SOA");
            let refused = wait(primary.exchange(&zone, std::slice::from_ref(add), &remove, &seen));
            assert_eq!(refused, Err(NotDone::Changed), "{make:?}: {what}");
            assert_eq!(server.ask("example.test", "SOA"), before, "{make:?}: {what}: nothing was written");
            if !clean.is_empty() {
                server.update(clean);
            }
        }

        let dir = tempfile::tempdir().unwrap();
        let seen = wait(primary.look(std::slice::from_ref(&new))).unwrap();
        for (file, text, says) in [
            ("unknown", format!("hmac-sha256:other:{SECRET}"), "does not know the key other"),
            ("wrong", "hmac-sha256:mx.key:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=".to_owned(), "has another secret for the key mx.key"),
        ] {
            let key = dir.path().join(file);
            fs::write(&key, text).unwrap();
            match wait(at(&key).exchange(&zone, std::slice::from_ref(&new), &[], &seen)) {
                Err(NotDone::Refused(said)) => assert!(said.contains(says), "{make:?}: {said}"),
                other => panic!("{make:?}: {file}: {other:?}"),
            }
        }
        let unsigned = wait(Server::of(&resolver, &zone, Some(server.addr), None)).unwrap();
        let refused = wait(unsigned.exchange(&zone, std::slice::from_ref(&new), &[], &seen));
        assert!(matches!(&refused, Err(NotDone::Refused(said)) if said.contains("--tsig-file")), "{make:?}: {refused:?}");
        let other = exchange(&[txt("a.example.net", "x")], &[]);
        let elsewhere = Publisher::Rfc2136 { server: Some(server.addr), key: Some(server.key.clone()) };
        let said = wait(elsewhere.draft(&net(), &Exchange { zone: name("example.net"), ..other }, Moment(1))).unwrap_err().to_string();
        assert!(said.ends_with("nothing was written"), "{said}");
    }
}

const ZONE: &str = "$TTL 300 ; five minutes\n@ SOA ns hostmaster 41 3600 600 86400 5\n\tNS ns\nns A 192.0.2.1\n";

#[test]
fn a_zone_file_is_edited_whole_or_not_at_all() {
    let (dir, store) = store();
    let (file, link) = (dir.path().join("zones/example.test"), dir.path().join("link"));
    fs::create_dir(dir.path().join("zones")).unwrap();
    fs::write(&file, ZONE).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    symlink(&file, &link).unwrap();
    let seen = dir.path().join("seen");
    let shell = |script: &str| Words(["/bin/sh", "-c", script].map(str::to_owned).to_vec());
    let publish = |reload: Words, add: &[Record]| {
        let publisher = Publisher::ZoneFile { file: link.clone(), reload };
        wait(publisher.publish(&net(), &store, &exchange(add, &[]), Moment(1)))
    };
    let new = txt("_mta-sts.example.test", "v=STSv1; id=1;");
    let after = ZONE.replace("41", "42") + "_mta-sts.example.test. 3600 IN TXT \"v=STSv1; id=1;\"\n";

    let failed =
        publish(shell(&format!("cat {} >{}; echo no reason >&2; exit 7", file.display(), seen.display())), std::slice::from_ref(&new));
    assert!(failed.is_err_and(|e| e.to_string().contains("ended with 7: no reason")));
    assert_eq!(fs::read_to_string(&seen).unwrap(), after, "the server was told of the new file");
    assert_eq!((fs::read_to_string(&file).unwrap().as_str(), ours(&store).len()), (ZONE, 0), "and the old one is back");

    let left = publish(Words::default(), std::slice::from_ref(&new)).unwrap();
    assert!(left.next.is_some_and(|next| next.contains("rndc reload example.test")));
    let about = fs::metadata(&file).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), after);
    assert_eq!((about.mode() & 0o777, about.uid(), about.gid()), (0o640, 65534, 65534));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ours(&store), std::slice::from_ref(&new));
    assert!(publish(shell("exit 7"), &[new]).unwrap().exchange.is_empty(), "nothing to do, nobody to tell");

    // By the word of a server's own tool.
    let other = txt("_smtp._tls.example.test", "x");
    fs::write(&file, ZONE.replace("\tNS ns\n", "")).unwrap();
    let refused = publish(Words::default(), std::slice::from_ref(&other)).unwrap_err().to_string();
    assert!(refused.contains("kzonecheck") && refused.contains("refuses the new zone file"), "{refused}");
    fs::write(&file, format!("{ZONE}$INCLUDE more\n")).unwrap();
    let refused = publish(Words::default(), std::slice::from_ref(&other)).unwrap_err().to_string();
    assert!(refused.contains("line 5: $INCLUDE is not followed"), "{refused}");
    fs::write(&file, ZONE).unwrap();
    fs::write(dir.path().join("zones/example.test.jnl"), "").unwrap();
    let refused = publish(Words::default(), &[other]).unwrap_err().to_string();
    assert!(refused.contains("use --publish rfc2136"), "{refused}");
    let mut files: Vec<_> = fs::read_dir(dir.path().join("zones")).unwrap().map(|e| e.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["example.test", "example.test.jnl"], "nothing is left lying about");
}

#[test]
fn a_hook_is_told_on_standard_input() {
    let (dir, store) = store();
    let (hook, told) = (dir.path().join("hook"), dir.path().join("told"));
    let publish = |script: &str| {
        fs::write(&hook, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let publisher = Publisher::Hook { program: hook.clone() };
        let remove = [txt("_mta-sts.example.test", "v=STSv1; id=1;")];
        wait(publisher.publish(
            &net(),
            &store,
            &exchange(&[tlsa("0b"), txt("_mta-sts.example.test", "v=STSv1; id=\"2\";")], &remove),
            Moment(1),
        ))
    };
    publish(&format!("cat >{}", told.display())).unwrap();
    let document: Value = serde_json::from_slice(&fs::read(&told).unwrap()).unwrap();
    assert_eq!((&document["version"], &document["zone"]), (&1.into(), &"example.test".into()));
    assert_eq!(document["add"][0]["type"], "TLSA");
    assert_eq!(document["add"][0]["value"], format!("3 1 1 {}", "0b".repeat(32)));
    assert_eq!(document["add"][1]["value"], "v=STSv1; id=\"2\";");
    assert_eq!(document["add"][1]["line"], "_mta-sts.example.test. 3600 IN TXT \"v=STSv1; id=\\\"2\\\";\"");
    assert_eq!(document["remove"][0]["name"], "_mta-sts.example.test");
    assert_eq!(ours(&store).len(), 2);

    let said = publish("seq 9999 >&2; exit 3").unwrap_err();
    assert!(matches!(said, Refused::Unclear(..)), "{said}");
    assert!(said.to_string().contains("ended with 3") && said.to_string().contains("9999") && said.to_string().len() < 2500, "{said}");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o775)).unwrap();
    let publisher = Publisher::Hook { program: hook.clone() };
    let said = wait(publisher.publish(&net(), &store, &exchange(&[tlsa("0c")], &[]), Moment(1))).unwrap_err().to_string();
    assert!(said.contains("others than root may write") && said.ends_with("nothing was written"), "{said}");
}

/// What a wildcard gives a name is not at that name: nothing is written where an alias of it leads, and it stands in nobody's way.
#[test]
fn a_wildcard_is_no_record_of_the_name() {
    for wildcard in ["* CNAME @", "* TXT \"v=spf1 -all\""] {
        let site = Site::with(Signed::Yes, &format!("@ TXT apex\n{wildcard}"));
        let done = site.json(&["dns", "--publish", "rfc2136"]);
        let text = "v=TLSRPTv1; rua=mailto:postmaster@example.test;";
        let added = format!("_smtp._tls.example.test. 3600 IN TXT \"{text}\"");
        assert_eq!((&done["exit"], &done["zones"][0]["added"]), (&0.into(), &serde_json::json!([added])), "{wildcard}: {done:#}");
        let held = |name: &str| run(Command::new("kdig").args([&format!("@{}", site.dns.authority.ip()), "+short", name, "TXT"]));
        assert_eq!((held("_smtp._tls.example.test"), held("example.test")), (format!("\"{text}\"\n"), "\"apex\"\n".to_owned()));
        assert_eq!(site.json(&["dns"])["records"], serde_json::json!([]), "{wildcard}");
    }
}

/// The example for a web API, against one that knows whole sets alone: what others put there stays.
#[test]
fn the_example_for_a_web_api_takes_along_what_is_there() {
    let (dir, store) = store();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let sets = Arc::new(Mutex::new(BTreeMap::<String, Value>::new()));
    let kept = sets.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut heard, mut byte) = (Vec::new(), [0]);
            while !heard.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                heard.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&heard).to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let words: Vec<&str> = head.split_whitespace().collect();
            let mut sets = kept.lock().unwrap();
            let (status, said) = match (words[0], sets.get(words[1])) {
                _ if !head.contains("authorization: bearer abc\r\n") => ("403 No", Value::from("who are you?")),
                ("get", None) => ("404 No", Value::Null),
                ("get", Some(set)) => ("200 OK", set.clone()),
                _ => {
                    sets.insert(words[1].to_owned(), serde_json::from_slice(&body).unwrap());
                    ("200 OK", Value::Null)
                }
            };
            let said = said.to_string();
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}", said.len());
        }
    });
    let (hook, token) = (dir.path().join("hook"), dir.path().join("token"));
    let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/examples/hook-api")).unwrap();
    let example = example.replace("https://dns.example.net/v1", &format!("http://{at}"));
    fs::write(&hook, example.replace("/etc/mxseal/dns-token", &token.display().to_string())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let publisher = Publisher::Hook { program: hook };
    let publish = |add: &[Record], remove: &[Record]| wait(publisher.publish(&net(), &store, &exchange(add, remove), Moment(1)));
    let set = |name: &str| sets.lock().unwrap().get(&format!("/zones/example.test/{name}.example.test/txt")).cloned();

    let (old, new) = (txt("_mta-sts.example.test", "v=STSv1; id=1;"), txt("_mta-sts.example.test", "v=STSv1; id=2;"));
    fs::write(&token, "other\n").unwrap();
    let said = publish(std::slice::from_ref(&old), &[]).unwrap_err().to_string();
    assert!(said.contains("answers 403: \"who are you?\""), "{said}");
    fs::write(&token, "abc\n").unwrap();
    let theirs = json!({ "ttl": 60, "values": ["not ours"] });
    sets.lock().unwrap().insert("/zones/example.test/_mta-sts.example.test/txt".into(), theirs);
    publish(&[old.clone(), txt("_smtp._tls.example.test", "v=TLSRPTv1; rua=mailto:a@b.example;")], &[]).unwrap();
    publish(std::slice::from_ref(&old), &[]).unwrap();
    assert_eq!(set("_mta-sts"), Some(json!({ "ttl": 3600, "values": ["not ours", "v=STSv1; id=1;"] })));
    assert_eq!(set("_smtp._tls"), Some(json!({ "ttl": 3600, "values": ["v=TLSRPTv1; rua=mailto:a@b.example;"] })));
    publish(std::slice::from_ref(&new), &[old]).unwrap();
    assert_eq!(set("_mta-sts").unwrap()["values"], json!(["not ours", "v=STSv1; id=2;"]));
    publish(&[], &[new]).unwrap();
    assert_eq!(set("_mta-sts"), Some(json!({ "ttl": 3600, "values": ["not ours"] })));
}

/// What the servers of a wait say: `name: state`.
fn servers(document: &Value) -> Vec<String> {
    let server = |s: &Value| format!("{}: {}", s["server"].as_str().unwrap().rsplit_once(' ').unwrap().0, s["state"].as_str().unwrap());
    document["wait"]["servers"].as_array().unwrap_or_else(|| panic!("{document}")).iter().map(server).collect()
}

#[test]
fn records_are_published_and_waited_for_until_the_last_server_has_them() {
    // The second name server lags behind.
    let second = own_loopback();
    let site = Site::with(Signed::Yes, &format!("@ NS ns2\nns2 A {second}\n"));
    site.serve(POLICY);
    let lagging = Primary::start_at(SocketAddr::from((second, 53)), Make::Knot, "example.test", 7, "mx A 192.0.2.1");

    let dry = site.command(&["dns", "--publish", "rfc2136", "--dry-run"]).output().unwrap();
    let script = String::from_utf8_lossy(&dry.stdout);
    assert_eq!(dry.status.code(), Some(1), "{dry:?}");
    assert!(
        script.contains("prereq nxrrset _mta-sts.example.test. IN TXT\n")
            && script.contains("update add _smtp._tls.example.test. 3600 TXT"),
        "{script}"
    );
    assert!(!site.dir.path().join("state/published.json").exists());

    fs::write(site.dir.path().join("mxseal.toml"), "publish = 'manual'\n[zone.'example.test']\npublish = 'rfc2136'\n").unwrap();
    let early = site.json(&["dns", "--publish", "--wait", "--timeout", "2s", "--public-resolver", "none"]);
    assert_eq!((&early["exit"], &early["zones"][0]["state"]), (&1.into(), &"published".into()), "{early}");
    assert_eq!(early["zones"][0]["added"].as_array().map(Vec::len), Some(2));
    assert_eq!(servers(&early), ["ns.lab: right", "ns2.example.test: behind", "this host's resolver: not-asked"]);
    assert_eq!(early["wait"]["servers"][1]["serial"], 7);

    // Begun again it goes on from there.
    let mut resumed = site.command(&["dns", "--wait", "--timeout", "5m", "--public-resolver", &site.dns.resolver.to_string()]);
    let late = std::thread::spawn(move || resumed.output().unwrap());
    for kind in ["_mta-sts", "_smtp._tls"] {
        let owner = format!("{kind}.example.test");
        let text = run(Command::new("kdig").args([&format!("@{}", site.dns.authority.ip()), "+short", &owner, "TXT"]));
        lagging.update(&format!("update add {owner}. 60 TXT {}", text.trim()));
    }
    let late = late.join().unwrap();
    let lines = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(0), "{late:?}");
    for who in ["this host's resolver", "public resolver"] {
        assert!(lines.lines().any(|l| l.contains(who) && l.contains("2 of 2, signed, TTL ")), "{who}: {lines}");
    }
    // Whoever starts from another root has the resolver's word alone.
    let mut elsewhere = site.command(&["dns", "--wait", "--timeout", "5m", "--public-resolver", "none", "--json"]);
    let words: Vec<_> = elsewhere.get_args().map(ToOwned::to_owned).collect();
    let anchor = words.iter().position(|w| w == "--dnssec-anchor").unwrap();
    elsewhere = Command::new(elsewhere.get_program());
    let alone = elsewhere.args(&words[..anchor]).args(&words[anchor + 2..]).output().unwrap();
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap_or_else(|e| panic!("{e}: {alone:?}"));
    assert_eq!(alone["wait"]["servers"][2]["security"], "unknown", "{alone:#}");

    // Another place of the world sees another zone; somebody who never answers says nothing.
    let other = Dns::start(&[("example.test", "mx A 192.0.2.1", Signed::No)]);
    let split = site.json(&["dns", "--wait", "--timeout", "2s", "--public-resolver", &other.resolver.to_string()]);
    assert_eq!((&split["exit"], &split["wait"]["servers"][2]["state"]), (&1.into(), &"behind".into()), "{split}");
    let mute = std::net::UdpSocket::bind((own_loopback(), 0)).unwrap();
    let untold = site.json(&["dns", "--wait", "--timeout", "5m", "--public-resolver", &mute.local_addr().unwrap().to_string()]);
    assert_eq!((&untold["exit"], &untold["wait"]["outlook"]), (&3.into(), &"untold".into()), "{untold}");

    // What was published is exchanged for another; what somebody else put there is not.
    let moved = site.json(&["dns", "--publish", "rfc2136", "--rua", "mailto:tls@example.test"]);
    assert_eq!((&moved["exit"], moved["zones"][0]["removed"].as_array().map(Vec::len)), (&0.into(), Some(1)), "{moved}");
    site.dns.set("example.test", "_smtp._tls", "TXT", 60, &["\"v=TLSRPTv1;rua=mailto:them@example.test\""]);
    let theirs = site.json(&["dns", "--publish", "rfc2136", "--rua", "mailto:tls@example.test"]);
    assert_eq!(theirs["exit"], 1);
    assert!(theirs["findings"].as_array().unwrap().iter().any(|f| f["id"] == "dns-left-to-you"), "{theirs}");
    assert!(theirs["zones"].as_array().is_none_or(Vec::is_empty), "{theirs}");
}

#[test]
fn a_way_that_cannot_be_gone_is_wrong_use() {
    let site = Site::new(Signed::No);
    for (arguments, says) in [
        (&["dns", "--publish"][..], "say how records are published"),
        (&["dns", "--publish", "zonefile"], "--publish zonefile needs --zone-file"),
        (&["dns", "--publish", "hook"], "--publish hook needs --hook"),
        (&["dns", "--dry-run"], "--publish"),
        (&["dns", "--wait", "--timeout", "soon"], "is no duration"),
        (&["dns", "--wait", "--timeout", "18446744073709551615s"], "is longer than a year"),
    ] {
        let out = site.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && said.contains(says), "{arguments:?}: {out:?}");
    }
    // What lies nobody knows where is not waited for, and so not seen.
    site.dns.set("example.test", "_smtp._tls", "CNAME", 60, &["gone.invalid."]);
    let untold = site.json(&["dns", "--wait", "--timeout", "5m", "--public-resolver", "none"]);
    assert_eq!((&untold["exit"], &untold["wait"]["outlook"]), (&3.into(), &"untold".into()), "{untold:#}");
    assert_eq!(untold["wait"]["why"], "the zone of _smtp._tls.example.test could not be told");
}
