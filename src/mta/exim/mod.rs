//! Exim: what its main section means for the ports that answer from the network. What its files say is read here and compared
//! with what `exim -bP` says; where the two differ nothing is touched.

mod by_name;
mod edit;
mod lines;
mod listens;
mod main_section;
pub(super) mod redacted;
mod wanted;

pub(super) use edit::{restore, set};
pub(super) use wanted::{is_ours, wanted};

use super::{
    lines::{Unreadable, words},
    understood::Understood,
};
use crate::{
    facts::{ConfigFile, Effective, Known, Origin, Role, Service, Version},
    name::DnsName,
};
use lines::{ADVERTISE, CERTIFICATE, KEY, OPTIONS};
use main_section::MainSection;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What `exim -bP` is asked.
pub(super) const ASKS: &[&str] = &[
    CERTIFICATE,
    KEY,
    ADVERTISE,
    "log_selector",
    "daemon_smtp_ports",
    "tls_on_connect_ports",
    "local_interfaces",
    "primary_hostname",
    "pid_file_path",
    "spool_directory",
    "exim_user",
    "exim_group",
    "+local_domains",
    "+relay_to_domains",
];

/// Reads the files as Exim does. `answers` are those to [`ASKS`], with [`super::understood::MACROS`] and
/// [`super::understood::PROCESS`].
pub(super) fn understand(version: &Version, files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Understood, Unreadable> {
    let main = section(files, answers)?;
    let settings: BTreeMap<String, Effective> = OPTIONS.iter().map(|name| ((*name).to_owned(), effective(&main, version, name))).collect();
    let at = match &settings[CERTIFICATE].from {
        Origin::File { path, line } => (path.clone(), *line),
        _ => (files.first().map(|f| f.path.clone()).unwrap_or_default(), 0),
    };
    let service = |(port, listens, on_connect): (u16, Vec<_>, bool)| Service {
        name: format!("port {port}"),
        at: at.clone(),
        program: "exim".into(),
        listens,
        role: match port {
            _ if on_connect => Role::Submissions,
            587 | 465 => Role::Submission,
            _ => Role::Mx,
        },
        wire: None,
        tests_strangers: false,
        chroot: false,
        settings: settings.clone(),
    };
    let services = listens::ports(answers).into_iter().map(service).collect();
    let hostname = match answers.get("primary_hostname").map(|name| name.parse::<DnsName>()) {
        Some(Ok(name)) => Known::seen(name, "primary_hostname"),
        Some(Err(e)) => Known::unknown(format!("primary_hostname: {e}")),
        None => Known::unknown("Exim was not asked for its primary_hostname"),
    };
    let receives_for = receives_for(answers, hostname.value());
    Ok(Understood { services, hostname, receives_for })
}

/// The files that those given include, and that are not among them.
pub(super) fn missing(files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, Unreadable> {
    Ok(section(files, answers)?.missing)
}

/// The macros of `known` that conditions of the files ask for, and that the files do not define themselves.
pub(super) fn asked_macros(files: &[ConfigFile], known: &str) -> String {
    let conditions: Vec<String> = files.iter().map(|f| lines::conditions(&f.text.0.0)).collect();
    let own: Vec<String> = files.iter().flat_map(|f| lines::entries(&f.text.0.0).0).map(|e| e.name).collect();
    let names = known.lines().filter_map(|l| l.split('=').next()).filter(|n| !n.is_empty() && !own.iter().any(|o| o == n));
    names.filter(|n| conditions.iter().any(|c| c.contains(n))).collect::<Vec<_>>().join(" ")
}

/// What Exim says of itself must be what its files say: else there is a file, or a way to read one, that we do not know.
pub(super) fn agree(understood: &Understood, answers: &BTreeMap<String, String>) -> Result<(), String> {
    let started = |name| listens::option(answers, name).is_some();
    if started("-oX") && !started("-oP") {
        let path = answers.get("pid_file_path").map_or("", String::as_str);
        return Err(format!(
            "Exim runs with -oX and without -oP, so it keeps no file with its process id and cannot be told to read its configuration \
             again: start it with -oP {path} too"
        ));
    }
    let Some(service) = understood.services.first() else { return Ok(()) };
    for name in [CERTIFICATE, KEY, ADVERTISE] {
        let (Some(files), Some(exim)) = (service.settings.get(name), answers.get(name)) else { continue };
        let exim = words(exim.as_bytes());
        if files.value != exim {
            let (path, line) = &service.at;
            return Err(format!(
                "Exim says {name} = {exim}, and its files, as mxseal reads them, say {name} = {} ({}:{line}): set TLS up by hand",
                files.value,
                path.display()
            ));
        }
    }
    Ok(())
}

/// Where the daemon keeps its process id: its command line says so, else its configuration, else it is a file in the spool; and
/// those of its options that say where it listens, as a shell reads them.
pub(super) fn complete(answers: &mut BTreeMap<String, String>) {
    let Some(configured) = answers.get("pid_file_path").cloned() else { return };
    let spool = answers.get("spool_directory").map_or("/var/spool/exim", String::as_str);
    let compiled = if configured.is_empty() { format!("{spool}/exim-daemon.pid") } else { configured };
    let path = listens::option(answers, "-oP").map_or(compiled, ToOwned::to_owned);
    answers.insert("pid_file_path".to_owned(), path);
    let quoted = |name: &&str| listens::option(answers, name).filter(|v| !v.contains('\'')).map(|value| format!("{name} '{value}'"));
    let options: Vec<String> = ["-oX", "-oP"].iter().filter_map(quoted).collect();
    answers.insert("daemon_options".to_owned(), options.join(" "));
}

/// With this nothing that a copy takes is delivered: it stays in the queue, which nobody runs.
const QUEUE_ONLY: &str = "queue_only";

/// The same files, with mail kept in the queue.
pub(super) fn harmless(files: &[(PathBuf, Vec<u8>)]) -> Result<Vec<(PathBuf, Vec<u8>)>, Unreadable> {
    let sets = |(_, bytes): &&(PathBuf, Vec<u8>)| lines::entries(bytes).0.iter().any(|e| e.name == QUEUE_ONLY);
    let Some((path, bytes)) = files.iter().find(sets).or(files.first()) else { return Ok(Vec::new()) };
    Ok(vec![(path.clone(), set(path, bytes, QUEUE_ONLY, "yes", "Nothing may leave the copy.")?.0)])
}

/// Chain and key files that a service presents to whoever sends no name; none where they depend on something else of the
/// connection, or Exim makes a certificate up.
pub(super) fn presents(service: &Service) -> Vec<(PathBuf, PathBuf)> {
    let get = |name: &str| service.settings.get(name).map_or("", |e| e.value.as_str());
    let of_names = |value: &str| by_name::read(value).map_or_else(|| list(value), |(_, others)| list(&others));
    let chains = of_names(get(CERTIFICATE));
    let keys = of_names(get(KEY));
    if chains.iter().chain(&keys).any(|p| !p.starts_with('/')) {
        return Vec::new();
    }
    let key = |place: usize| keys.get(place).unwrap_or(&chains[place]);
    (0..chains.len()).map(|n| (PathBuf::from(&chains[n]), PathBuf::from(key(n)))).collect()
}

fn section(files: &[ConfigFile], answers: &BTreeMap<String, String>) -> Result<MainSection, Unreadable> {
    MainSection::read(files, answers.get(super::understood::MACROS).map_or("", String::as_str).split_whitespace())
}

fn effective(main: &MainSection, version: &Version, name: &str) -> Effective {
    match main.get(name) {
        Some(d) => Effective { value: d.value.clone(), from: Origin::File { path: d.path.clone(), line: d.line } },
        // Every sender is offered TLS since 4.87, with a certificate that Exim makes up where none is set.
        None if name == ADVERTISE && *version >= Version(vec![4, 87]) => Effective { value: "*".into(), from: Origin::Default },
        None => Effective { value: String::new(), from: Origin::Default },
    }
}

/// A list as Exim splits it: by colons, or by what follows `<` at its beginning; a doubled separator stands for itself.
fn list(text: &str) -> Vec<String> {
    let text = text.trim();
    let (separator, text) = match text.strip_prefix('<').and_then(|rest| rest.chars().next().map(|c| (c, &rest[c.len_utf8()..]))) {
        Some((c, rest)) if c.is_ascii_punctuation() => (c, rest),
        _ => (':', text),
    };
    let (doubled, mark) = (format!("{separator}{separator}"), "\0");
    let one = |item: &str| item.replace(mark, &separator.to_string()).trim().to_owned();
    text.replace(&doubled, mark).split(separator).map(one).filter(|item| !item.is_empty()).collect()
}

/// The domains that are written down; what a lookup or another list says is named, not asked.
fn receives_for(answers: &BTreeMap<String, String>, own: Option<&DnsName>) -> Known<Vec<DnsName>> {
    let (mut domains, mut elsewhere): (Vec<DnsName>, Vec<String>) = (Vec::new(), Vec::new());
    for name in ["local_domains", "relay_to_domains"] {
        for item in list(answers.get(&format!("domainlist {name}")).map_or("", String::as_str)) {
            let found = match item.as_str() {
                "@" => own.cloned(),
                "@[]" | "localhost" => continue,
                _ if item.starts_with(['!', '*', '^']) => continue,
                _ => item.parse().ok(),
            };
            match found {
                Some(domain) if domain.parent().is_none() || domains.contains(&domain) => {}
                Some(domain) => domains.push(domain),
                None => elsewhere.push(format!("{name} holds {item}")),
            }
        }
    }
    if !elsewhere.is_empty() {
        return Known::unknown(format!("{}, which only Exim can ask; name the domains with --domain", elsewhere.join(", ")));
    }
    if domains.is_empty() {
        Known::unknown("local_domains and relay_to_domains name no domain")
    } else {
        Known::seen(domains, "exim -bP +local_domains +relay_to_domains")
    }
}

/// Whether a path can stand in a value: Exim expands the rest, and replaces macros inside words.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::postfix::tests::file;

    fn answers(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn ports_and_names_are_what_exim_says() {
        let told = answers(&[
            ("primary_hostname", "mx1.example.org"),
            ("domainlist local_domains", "@:localhost:example.net : *.example.com"),
            ("local_interfaces", "<; ::0 ; 0.0.0.0"),
            ("daemon_smtp_ports", "smtp : 465 : 587"),
            ("tls_on_connect_ports", "465"),
        ]);
        let got = understand(&Version(vec![4, 96]), &[file("/c", "tls_certificate = /a : /b\n")], &told).expect("understood");
        let all: Vec<_> = got.services.iter().map(|s| (s.name.as_str(), s.role, s.listens.len())).collect();
        assert_eq!(all, [("port 25", Role::Mx, 2), ("port 465", Role::Submissions, 2), ("port 587", Role::Submission, 2)]);
        assert_eq!(
            got.receives_for.value().expect("domains").iter().map(DnsName::as_str).collect::<Vec<_>>(),
            ["mx1.example.org", "example.net"]
        );
        assert_eq!(got.services[0].settings[ADVERTISE].value, "*");
        let both = [("/a", "/a"), ("/b", "/b")].map(|(c, k)| (c.into(), k.into()));
        assert_eq!(presents(&got.services[0]), both);
        let lookup = answers(&[("domainlist local_domains", "lsearch;/etc/domains")]);
        assert!(understand(&Version::default(), &[], &lookup).expect("understood").receives_for.value().is_none());
    }

    #[test]
    fn files_that_say_something_else_than_exim_are_not_believed() {
        let told = answers(&[("tls_certificate", "/x"), ("daemon_smtp_ports", "25")]);
        let got = understand(&Version(vec![4, 96]), &[file("/c", "tls_certificate = /a\n")], &told).expect("understood");
        assert!(agree(&got, &told).expect_err("another").starts_with("Exim says tls_certificate = /x"));
        let same = answers(&[("tls_certificate", "/a"), ("tls_advertise_hosts", "*")]);
        assert_eq!(agree(&got, &same), Ok(()));
        for (process, words) in [("exim\n-bd\n-oX\n25", Some("-oP")), ("exim\n-bd\n-oX\n25\n-oP\n/run/x", None)] {
            let said = agree(&got, &answers(&[(crate::mta::understood::PROCESS, process)])).err();
            assert_eq!(said.is_some(), words.is_some(), "{said:?}");
        }
    }

    #[test]
    fn a_copy_keeps_its_mail() {
        for (files, becomes) in [
            (&["A = b\nbegin acl\n", "c = d\n"][..], ("/0", "A = b\nqueue_only = yes\nbegin acl\n")),
            (&["A = b\n", "queue_only = false\n"], ("/1", "queue_only = yes\n")),
        ] {
            let files: Vec<_> = files.iter().enumerate().map(|(n, text)| (format!("/{n}").into(), text.as_bytes().to_vec())).collect();
            assert_eq!(harmless(&files).expect("harmless"), [(becomes.0.into(), becomes.1.as_bytes().to_vec())]);
        }
    }

    #[test]
    fn a_copy_listens_where_the_daemon_does() {
        for (process, options) in [("exim\n-bd\n-q30m", ""), ("exim\n-bd\n-oX\n<; ::1 ; 25", "-oX '<; ::1 ; 25'"), ("exim\n-oX\n1'2", "")] {
            let mut told = answers(&[("pid_file_path", "/run/x"), (crate::mta::understood::PROCESS, process)]);
            complete(&mut told);
            assert_eq!(told["daemon_options"], options, "{process}");
        }
    }

    #[test]
    fn lists_are_split_as_exim_does() {
        for (text, want) in [
            ("a : b:c", vec!["a", "b", "c"]),
            ("<; ::1 ; 0.0.0.0", vec!["::1", "0.0.0.0"]),
            ("::::1 : 127.0.0.1", vec!["::1", "127.0.0.1"]),
            ("", vec![]),
        ] {
            assert_eq!(list(text), want, "{text}");
        }
    }
}
