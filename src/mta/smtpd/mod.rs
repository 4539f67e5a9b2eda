//! OpenSMTPD: what smtpd.conf(5) means for the ports that answer from the network. A listener serves TLS with the pair of
//! certificate and key that it names; a later pair is for senders that send one of its names.

mod conf;
mod edit;
mod harmless;
mod lines;
pub(super) mod redacted;
mod wanted;

pub(super) use edit::{restore, set};
pub(super) use harmless::harmless;
pub(super) use wanted::{is_ours, wanted};

use super::{
    lines::Unreadable,
    understood::{INTERFACES, PROCESS, Understood},
};
use crate::facts::{ConfigFile, Effective, Known, Origin, Service};
use conf::{Conf, Tls};
use std::{collections::BTreeMap, path::PathBuf};

/// Reads the files as smtpd does.
pub(super) fn understand(files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Understood, Unreadable> {
    let conf = read(files, answers)?;
    let services = conf
        .listeners
        .iter()
        .map(|listener| {
            let here = |value: String| Effective { value, from: Origin::Service { path: listener.at.0.clone(), line: listener.at.1 } };
            let tls = match listener.tls {
                Tls::None => "none",
                Tls::May => "may",
                Tls::Encrypt => "encrypt",
            };
            let mut settings =
                BTreeMap::from([("tls".to_owned(), here(tls.to_owned())), ("pki".to_owned(), here(listener.pkis.join(" ")))]);
            for name in &listener.pkis {
                let pki = conf.pkis.get(name);
                for (what, named) in [("cert", pki.and_then(|p| p.cert.as_ref())), ("key", pki.and_then(|p| p.key.as_ref()))] {
                    if let Some(named) = named {
                        let from = Origin::File { path: named.at.0.clone(), line: named.at.1 };
                        let value = named.file.display().to_string();
                        settings.insert(format!("pki {name} {what}"), Effective { value, from });
                    }
                }
            }
            Service {
                name: listener.name.clone(),
                at: listener.at.clone(),
                program: "smtpd".into(),
                listens: listener.listens.clone(),
                role: listener.role,
                wire: None,
                tests_strangers: false,
                chroot: false,
                settings,
            }
        })
        .collect();
    let mut domains = Vec::new();
    let mut elsewhere = conf.elsewhere;
    for item in &conf.domains {
        match item.parse() {
            Ok(domain) if !domains.contains(&domain) => domains.push(domain),
            Ok(_) => {}
            Err(_) => elsewhere.push(format!("a rule holds {item}")),
        }
    }
    let receives_for = match (elsewhere.is_empty(), domains.is_empty()) {
        (false, _) => Known::unknown(format!("{}; name the domains with --domain", elsewhere.join(", "))),
        (true, true) => Known::unknown("no rule takes mail from elsewhere for a domain"),
        (true, false) => Known::seen(domains, "smtpd.conf"),
    };
    Ok(Understood { services, hostname: Known::unknown("smtpd.conf does not say it"), receives_for })
}

/// The files that those given include, and that are not among them.
pub(super) fn missing(files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, Unreadable> {
    Ok(read(files, answers)?.missing)
}

/// The process that listens must have read the file that we read.
pub(super) fn agree(understood: &Understood, answers: &BTreeMap<String, String>) -> Result<(), String> {
    let words: Vec<&str> = answers.get(PROCESS).map_or_else(Vec::new, |p| p.lines().collect());
    let given = words.windows(2).find(|w| w[0] == "-f").map(|w| w[1]);
    let read = understood.services.first().map(|s| s.at.0.display().to_string());
    match (given, read) {
        (Some(given), Some(read)) if given != read => {
            Err(format!("smtpd was started with -f {given}, and {read} was read: name the file with --mta-config {given}"))
        }
        _ => Ok(()),
    }
}

/// Certificate and key of each pair that a service names, the one for senders without a name first.
pub(super) fn presents(service: &Service) -> Vec<(PathBuf, PathBuf)> {
    let get = |name: &str| service.settings.get(name).map(|e| e.value.as_str());
    let pair = |pki: &str| Some((get(&format!("pki {pki} cert"))?.into(), get(&format!("pki {pki} key"))?.into()));
    get("pki").unwrap_or_default().split_whitespace().filter_map(pair).collect()
}

fn read(files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Conf, Unreadable> {
    Conf::read(files, answers.get(INTERFACES).map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Role, mta::postfix::tests::file, name::DnsName};

    fn understood(files: &[(&str, &str)]) -> Result<Understood, Unreadable> {
        let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
        understand(&files, &[(INTERFACES.to_owned(), "eth0 192.0.2.1\neth0 2001:db8::1\nlo 127.0.0.1".to_owned())].into())
    }

    #[test]
    fn each_listener_is_a_service() {
        let got = understood(&[(
            "/etc/smtpd.conf",
            "crt = \"/c.pem\"\npki one cert $crt\npki one key \"/k.pem\"\npki two cert \"/2\"\npki two key \"/2\"\n\
             listen on socket\nlisten on localhost\nlisten on eth0 tls pki One pki two\nlisten on 0.0.0.0 smtps pki one auth\n\
             listen on eth0 inet4 port submission tls-require pki two auth\nlisten on wlan9\n",
        )])
        .expect("understood");
        let rows: Vec<_> = got
            .services
            .iter()
            .map(|s| {
                (
                    s.name.as_str(),
                    s.role,
                    s.settings["tls"].value.as_str(),
                    s.listens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("listen on localhost", Role::Mx, "none", "[::1]:25 127.0.0.1:25".to_owned()),
                ("listen on eth0", Role::Mx, "may", "192.0.2.1:25 [2001:db8::1]:25".to_owned()),
                ("listen on 0.0.0.0 smtps", Role::Submissions, "encrypt", "0.0.0.0:465".to_owned()),
                ("listen on eth0 inet4 port submission", Role::Submission, "encrypt", "192.0.2.1:587".to_owned()),
                ("listen on wlan9", Role::Mx, "none", String::new()),
            ]
        );
        assert_eq!(presents(&got.services[1]), [("/c.pem".into(), "/k.pem".into()), ("/2".into(), "/2".into())]);
    }

    #[test]
    fn domains_are_those_of_open_rules() {
        for (rules, expected) in [
            ("match from any for domain \"example.org\" action a\nmatch from local for any action b\n", Ok("example.org")),
            ("table d { \"b.example\", a.example }\nmatch for domain <d> from any action a\n", Ok("b.example a.example")),
            ("match from src 192.0.2.0/24 for domain { a.example, b.example } action a\n", Ok("a.example b.example")),
            ("match for domain a.example action a\nmatch !from any for domain b.example action a\n", Err("no rule takes mail")),
            ("table d file:/etc/d\nmatch from any for domain <d> action a\n", Err("table d is another file; name")),
            ("match from any for domain regex \".*\" action a\n", Err("regular expression")),
            ("match from any for domain \"*.example\" action a\n", Err("a rule holds *.example")),
        ] {
            match (understood(&[("/c", rules)]).expect("understood").receives_for, expected) {
                (Known::Seen { value, .. }, Ok(all)) => {
                    assert_eq!(value.iter().map(DnsName::as_str).collect::<Vec<_>>().join(" "), all, "{rules}");
                }
                (Known::Unknown { why }, Err(part)) => assert!(why.contains(part), "{why}"),
                (got, _) => panic!("{rules}: {got:?}"),
            }
        }
    }

    #[test]
    fn included_files_are_read_where_they_stand() {
        let main = ("/etc/smtpd.conf", "include \"/etc/p.conf\"\nlisten on eth0 tls pki one\n");
        let files = [file(main.0, main.1)];
        assert_eq!(missing(&files, &BTreeMap::new()), Ok(vec!["/etc/p.conf".into()]));
        let got = understood(&[main, ("/etc/p.conf", "pki one cert \"/c\"\npki one key \"/c\"\nlisten on lo\n")]).expect("understood");
        assert_eq!(got.services.iter().map(|s| s.at.0.display().to_string()).collect::<Vec<_>>(), ["/etc/p.conf", "/etc/smtpd.conf"]);
        assert_eq!(presents(&got.services[1]), [("/c".into(), "/c".into())]);
        let round = understood(&[("/a", "include \"/a\"\n")]).expect_err("a circle").to_string();
        assert_eq!(round, "/a:1: files include each other");
        assert_eq!(
            understood(&[("/a", "\nlisten on $x\n")]).expect_err("no macro").to_string(),
            "/a:2: the macro x is not defined in the files"
        );
    }

    #[test]
    fn another_file_than_that_of_the_process_is_not_believed() {
        let got = understood(&[("/etc/smtpd.conf", "listen on lo\n")]).expect("understood");
        let started = |words: &str| agree(&got, &[(PROCESS.to_owned(), words.to_owned())].into());
        assert_eq!(started("/usr/sbin/smtpd"), Ok(()));
        assert_eq!(started("/usr/sbin/smtpd\n-f\n/etc/smtpd.conf"), Ok(()));
        assert!(started("smtpd\n-f\n/x").expect_err("another").contains("--mta-config /x"));
    }
}
