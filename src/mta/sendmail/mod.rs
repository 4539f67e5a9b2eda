//! Sendmail: the options of `sendmail.cf` decide, and `sendmail.mc` is what it is built of. Both are edited alike, so that the
//! next `m4 sendmail.mc` says the same; nothing is built here, for a `sendmail.cf` that somebody edited would lose that.

mod cf;
mod harmless;
mod mc;
pub(super) mod redacted;
mod wanted;

pub(super) use harmless::harmless;
pub(super) use wanted::{is_ours, wanted};

use super::{
    lines::{Restored, Unreadable},
    understood::Understood,
};
use crate::{
    change::SettingChange,
    facts::{ConfigFile, Effective, Known, Origin, Role, Service},
    name::DnsName,
};
use cf::{CERT, KEY, OPTIONS};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What the server's own tools are asked: its names, its host name, the file with its process id, and how it was started.
pub(super) const ASKS: &[&str] = &["class_w", "host", "pid_file_path", "started"];

/// Reads `sendmail.cf` as the daemon does.
pub(super) fn understand(files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Understood, Unreadable> {
    let file = cf_of(files)?;
    let options = cf::options(&file.text.0.0);
    let settings: BTreeMap<String, Effective> = OPTIONS
        .iter()
        .map(|(name, _)| {
            let set = options.iter().rfind(|o| o.name == *name);
            let from = set.map_or(Origin::Default, |o| Origin::File { path: file.path.clone(), line: o.line });
            ((*name).to_owned(), Effective { value: set.map_or_else(String::new, |o| o.value.clone()), from })
        })
        .collect();
    let mut daemons: Vec<(usize, &str)> =
        options.iter().filter(|o| o.name == "DaemonPortOptions").map(|o| (o.line, o.value.as_str())).collect();
    if daemons.is_empty() {
        daemons.push((0, "Name=MTA"));
    }
    let services = daemons.into_iter().map(|(line, daemon)| service((file.path.clone(), line), daemon, &settings)).collect();
    let hostname = match answers.get("host").map(|name| name.parse::<DnsName>()) {
        Some(Ok(name)) => Known::seen(name, "sendmail -bt"),
        _ => Known::unknown("Sendmail did not say its own name"),
    };
    let names = answers.get("class_w").map_or("", String::as_str).split_whitespace();
    let domains: Vec<DnsName> = names.filter(|n| n.contains('.') && !n.starts_with('[')).filter_map(|n| n.parse().ok()).collect();
    let receives_for =
        if domains.is_empty() { Known::unknown("class w holds no domain") } else { Known::seen(domains, "class w of sendmail -bt") };
    Ok(Understood { services, hostname, receives_for })
}

/// One daemon (Sendmail Installation and Operation Guide, `DaemonPortOptions`).
fn service(at: (PathBuf, usize), daemon: &str, settings: &BTreeMap<String, Effective>) -> Service {
    let parts = || daemon.split(',').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim()));
    let get = |first: char| parts().filter(|(k, _)| k.starts_with(first)).map(|(_, v)| v).next_back();
    let port = match get('P').unwrap_or("smtp") {
        "smtp" => 25,
        "submission" => 587,
        "smtps" | "submissions" | "urd" => 465,
        number => number.parse().unwrap_or(0),
    };
    let is_v6 = get('F').is_some_and(|f| f.eq_ignore_ascii_case("inet6"));
    let listens: Vec<IpAddr> = match get('A') {
        Some(addr) => addr.parse().into_iter().collect(),
        // One socket takes both.
        None if is_v6 => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
        None => vec![Ipv4Addr::UNSPECIFIED.into()],
    };
    let modifiers = get('M').unwrap_or_default();
    let mut settings = settings.clone();
    // It offers no STARTTLS, whatever the options say.
    if modifiers.contains('S') {
        settings.insert(CERT.to_owned(), Effective { value: String::new(), from: Origin::Service { path: at.0.clone(), line: at.1 } });
    }
    Service {
        name: get('N').map_or_else(|| format!("port {port}"), ToOwned::to_owned),
        at,
        program: "sendmail".into(),
        listens: listens.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        role: match port {
            _ if modifiers.contains('s') => Role::Submissions,
            25 => Role::Mx,
            _ => Role::Submission,
        },
        wire: None,
        tests_strangers: false,
        chroot: false,
        settings,
    }
}

/// SIGHUP lets the daemon run its own command line again: one that is not a full path would end it.
pub(super) fn agree(answers: &BTreeMap<String, String>) -> Result<(), String> {
    match answers.get("started").map(|line| line.trim()) {
        Some(line) if !line.is_empty() && !line.starts_with('/') => {
            Err(format!("Sendmail was started as `{line}` and can read its configuration again only where it was started by its full path"))
        }
        _ => Ok(()),
    }
}

/// Chain and key files that a service presents.
pub(super) fn presents(service: &Service) -> Vec<(PathBuf, PathBuf)> {
    let list = |name: &str| -> Vec<PathBuf> {
        let value = service.settings.get(name).map_or("", |e| e.value.as_str());
        value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(PathBuf::from).collect()
    };
    list(CERT).into_iter().zip(list(KEY)).collect()
}

/// Sets an option in `sendmail.cf`, or a macro in `sendmail.mc`.
pub(super) fn set(path: &Path, bytes: &[u8], name: &str, value: &str, why: &str) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let plain = value.split(',').all(|v| v.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b)));
    if !plain {
        let why = format!("m4 could change the value of {name}; choose a path of letters, digits, `/`, `.`, `_` and `-`");
        return Err(Unreadable { path: path.to_owned(), line: 0, why });
    }
    if name.starts_with("conf") { mc::set(path, bytes, name, value, why) } else { cf::set(path, bytes, name, value, why) }
}

/// Takes one change back.
pub(super) fn restore(bytes: &[u8], change: &SettingChange) -> Restored {
    if change.name.starts_with("conf") { mc::restore(bytes, change) } else { cf::restore(bytes, change) }
}

fn cf_of(files: &[ConfigFile]) -> Result<&ConfigFile, Unreadable> {
    files.iter().find(|f| f.path.extension().is_some_and(|e| e == "cf")).ok_or_else(|| {
        let path = files.first().map(|f| f.path.with_extension("cf")).unwrap_or_default();
        Unreadable { path, line: 0, why: "the file is missing".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::postfix::tests::file;

    fn understood(cf: &str) -> Understood {
        let answers = [("class_w", "[192.0.2.1] vm localhost mx.example.org example.org"), ("host", "mx.example.org")];
        understand(&[file("/m/sendmail.cf", cf)], &answers.map(|(n, v)| (n.to_owned(), v.to_owned())).into()).expect(cf)
    }

    #[test]
    fn each_daemon_is_a_service() {
        let got = understood(
            "O DaemonPortOptions=Family=inet6, Name=MTA-v6, Port=smtp\nO DaemonPortOptions=Name=MSA,Port=submission, M=Ea,Addr=192.0.2.1\n\
             O DaemonPortOptions=Port=465, Name=TLSMTA, M=s\nO DaemonPortOptions=Port=26, M=S\nO ServerCertFile=/a,/b\nO ServerKeyFile=/c, /d\n",
        );
        let rows: Vec<_> = got
            .services
            .iter()
            .map(|s| (s.name.as_str(), s.role, s.listens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), presents(s).len()))
            .collect();
        assert_eq!(
            rows,
            [
                ("MTA-v6", Role::Mx, "[::]:25 0.0.0.0:25".to_owned(), 2),
                ("MSA", Role::Submission, "192.0.2.1:587".to_owned(), 2),
                ("TLSMTA", Role::Submissions, "0.0.0.0:465".to_owned(), 2),
                ("port 26", Role::Submission, "0.0.0.0:26".to_owned(), 0),
            ]
        );
        assert_eq!(presents(&got.services[0])[1], ("/b".into(), "/d".into()));
        let domains = got.receives_for.value().expect("domains");
        assert_eq!(domains.iter().map(DnsName::as_str).collect::<Vec<_>>(), ["mx.example.org", "example.org"]);
        assert_eq!(understood("# nothing\n").services[0].listens, ["0.0.0.0:25".parse().expect("an address")]);
        assert!(understand(&[], &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_daemon_that_would_end_at_the_signal_is_left_alone() {
        let started = |line: &str| agree(&[("started".to_owned(), line.to_owned())].into());
        assert_eq!((started("/usr/sbin/sendmail -bd"), started("")), (Ok(()), Ok(())));
        assert!(started("sendmail -bd -q20m").expect_err("no path").contains("`sendmail -bd -q20m`"));
    }
}
