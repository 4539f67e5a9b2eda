//! What admins write, and the programs that keep certificates for them.

use super::{Reader, text};
use mxseal::{
    certificate::Digest,
    change::SettingChange,
    facts::{ConfigFile, Tlsa, Version},
    image::{Image, Meta},
    moment::Moment,
    mta::{
        Restored,
        companion::COMPANIONS,
        config::ConfigText,
        dialect::{Dialect, Wish},
        profile::Profile,
    },
    name::DnsName,
    publish::{Data, Exchange, Record, zone_file},
    settings::Settings,
};
use std::{collections::BTreeMap, fs, path::Path};

pub const READERS: &[Reader] = &[
    ("dovecot", dovecot),
    ("exim", exim),
    ("main_cf", main_cf),
    ("master_cf", master_cf),
    ("profile", profile),
    ("sendmail_cf", sendmail_cf),
    ("sendmail_mc", sendmail_mc),
    ("settings", settings),
    ("smtpd_conf", smtpd_conf),
    ("tsig_key", tsig_key),
    ("zone_file", zone),
];

const MAIN: &[u8] = b"myhostname = mx.example.org\n";
const MASTER: &[u8] = b"smtp inet n - y - - smtpd\n";
const LIVE: &str = "/etc/mxseal/live/mx.example.org.pem";

pub fn main_cf(bytes: &[u8]) {
    mail_server(Dialect::PostfixCf, &[("main.cf", bytes), ("master.cf", MASTER)], &wish(None, "smtpd_tls_chain_files"));
}

pub fn master_cf(bytes: &[u8]) {
    let wish = wish(Some("smtp/inet"), "smtpd_tls_chain_files");
    mail_server(Dialect::PostfixCf, &[("master.cf", bytes), ("main.cf", MAIN)], &wish);
}

pub fn exim(bytes: &[u8]) {
    mail_server(Dialect::Exim, &[("exim.conf", bytes)], &wish(None, "tls_certificate"));
}

pub fn smtpd_conf(bytes: &[u8]) {
    mail_server(Dialect::SmtpdConf, &[("smtpd.conf", bytes)], &wish(None, "pki mxseal cert"));
}

pub fn sendmail_cf(bytes: &[u8]) {
    mail_server(Dialect::SendmailCf, &[("sendmail.cf", bytes)], &wish(None, "ServerCertFile"));
}

pub fn sendmail_mc(bytes: &[u8]) {
    mail_server(Dialect::SendmailCf, &[("sendmail.mc", bytes)], &wish(None, "ServerCertFile"));
}

fn wish(service: Option<&str>, name: &str) -> Wish {
    Wish { service: service.map(str::to_owned), name: name.to_owned(), value: LIVE.to_owned(), why: "So it is wished.".to_owned() }
}

/// The files of a mail server, the first of which somebody wrote: read, edited, and put back to the byte.
fn mail_server(dialect: Dialect, files: &[(&str, &[u8])], wish: &Wish) {
    let none = BTreeMap::new();
    let all: Vec<ConfigFile> = files.iter().map(|(name, bytes)| file(name, bytes)).collect();
    let _ = (dialect.missing(&all, &none), dialect.understand(&Version(vec![4, 96]), &all, &none));
    let shared = serde_json::to_value(&all[0].text).expect("JSON");
    let _: ConfigText = serde_json::from_value(shared).expect("what is printed is read");
    let (path, bytes) = (Path::new(files[0].0), files[0].1);
    let _ = dialect.harmless(&[(path.to_owned(), bytes.to_vec())]);
    let _ = dialect.edit(path, bytes, &[]).map(|(edited, _)| assert_eq!(edited, bytes, "no wish, no change"));
    let Ok((edited, changes)) = dialect.edit(path, bytes, std::slice::from_ref(wish)) else { return };
    if let Ok((again, more)) = dialect.edit(path, &edited, std::slice::from_ref(wish)) {
        assert_eq!((text(&again), more.len()), (text(&edited), 0), "a wish that is fulfilled changes nothing");
    }
    put_back(bytes, edited, &changes, |now, change| dialect.restore(path, now, change));
}

fn put_back(before: &[u8], mut now: Vec<u8>, changes: &[SettingChange], restore: impl Fn(&[u8], &SettingChange) -> Restored) {
    for change in changes.iter().rev() {
        match restore(&now, change) {
            Restored::Done(bytes) => now = bytes,
            Restored::Already => {}
            Restored::Conflict(line) => panic!("nobody changed line {line} since: {:?}", text(&now)),
        }
    }
    assert_eq!(text(&now), text(before), "undo gives back every byte");
}

fn file(name: &str, bytes: &[u8]) -> ConfigFile {
    let image = Image { digest: Digest::of(bytes), meta: Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() } };
    ConfigFile { path: name.into(), real: name.into(), image, text: ConfigText::of(bytes.to_vec()) }
}

pub fn dovecot(bytes: &[u8]) {
    for companion in COMPANIONS {
        let (edited, changes) = companion.switched(bytes, Path::new(LIVE));
        for named in companion.names(bytes).iter().zip(companion.names(&edited)).filter_map(|(old, new)| old.as_ref().and(Some(new))) {
            assert_eq!(named.as_deref(), Some(Path::new(LIVE)), "what is switched names our file");
        }
        put_back(bytes, edited, &changes, |now, change| companion.restore(now, change));
    }
}

pub fn profile(bytes: &[u8]) {
    let _ = Profile::read(&text(bytes), "x.toml");
}

pub fn settings(bytes: &[u8]) {
    on_disk("mxseal.toml", bytes, |path| {
        if let Ok(settings) = Settings::read(path) {
            let before = text(bytes);
            let _ = mxseal::settings::kept(path, Some(&before), &settings);
        }
    });
}

pub fn tsig_key(bytes: &[u8]) {
    for name in ["key", "Kmx.example.+163+00001.private"] {
        on_disk(name, bytes, |path| {
            let _ = mxseal::dns::Key::read(path);
        });
    }
}

/// Hands over a file of that name, with the bytes in it.
fn on_disk(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("a file");
    read(&path);
}

/// What is added stands there; done once, nothing is left to do; what is taken away again leaves everybody else's records.
pub fn zone(bytes: &[u8]) {
    let name = |text: &str| text.parse::<DnsName>().expect("a name");
    let record = |owner: &str, data| Record { owner: name(owner), ttl: 3600, data };
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: "5e".repeat(32) };
    let zone = name("example.org");
    let add =
        vec![record("_mta-sts.example.org", Data::Txt("v=STSv1; id=1;".to_owned())), record("_25._tcp.mx.example.org", Data::Tlsa(tlsa))];
    let there = Exchange { zone: zone.clone(), add: add.clone(), remove: vec![] };
    let now = Moment(1_900_000_000);
    let Ok((edited, done)) = zone_file::edited(bytes, &there, now) else { return };
    let (same, left) = zone_file::edited(&edited, &there, now).expect("what was written is read");
    assert!(left.is_empty() && same == edited, "done once, nothing is left: {:?}", text(&edited));
    let back = Exchange { zone, add: vec![], remove: done.add };
    let (gone, left) = zone_file::edited(&edited, &back, now).expect("what was written is taken away");
    assert_eq!(left.remove.len(), back.remove.len(), "what was added is found: {:?}", text(&edited));
    let (_, left) = zone_file::edited(&gone, &back, now).expect("what is left is read");
    assert!(left.is_empty(), "what was taken away is gone: {:?}", text(&gone));
}
