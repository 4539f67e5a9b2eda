//! Which statements make every listener present our file. A pair of certificate and key that only our listeners name is edited
//! in place; else the listeners get a pair of their own, and the other one stays for whoever names it.

use super::{
    conf::{Conf, Listener, Tls},
    edit::PKI,
    presents, read, set, understand,
};
use crate::{
    facts::{Role, Server, Service},
    mta::{
        lines::Unreadable,
        profile::Profile,
        wanted::{Aim, Wanted, Wish},
    },
};
use std::path::{Path, PathBuf};

/// Whether a service presents what `live` holds to whoever sends no name.
pub(in crate::mta) fn is_ours(service: &Service, live: &[PathBuf]) -> bool {
    presents(service).first().is_some_and(|(cert, key)| live.contains(cert) && cert == key)
}

/// The statements that are wanted.
pub(in crate::mta) fn wanted(server: &Server, profile: &Profile, aim: &Aim<'_>) -> Result<Wanted, Unreadable> {
    let conf = read(&server.files, &server.defaults)?;
    let mut wanted = Wanted::default();
    let Some(live) = aim.live.first() else { return Ok(wanted) };
    let is_open = conf.listeners.iter().any(|l| l.role == Role::Mx && !l.is_local());
    let meant = |l: &&Listener| {
        let named = l.role == Role::Mx || !aim.names_are_left_out;
        named && (l.tls != Tls::None || !l.is_local() || !is_open)
    };
    let ours: Vec<&Listener> = conf.listeners.iter().filter(meant).collect();
    let why = |setting: &str| profile.setting(setting, &server.version).map_or_else(String::new, |s| s.why.clone());
    let value = live.display().to_string();
    let mut wish = |path: &Path, service: Option<&str>, name: &str, value: &str, setting: &str| {
        let wish = Wish { service: service.map(ToOwned::to_owned), name: name.to_owned(), value: value.to_owned(), why: why(setting) };
        let of_file = wanted.wishes.entry(path.to_owned()).or_default();
        if !of_file.contains(&wish) {
            of_file.push(wish);
        }
    };
    let own = own_name(&conf, live, aim);
    let mut declared = conf.pkis.contains_key(&own);
    for listener in &ours {
        let first = listener.pkis.first();
        let alone = first.filter(|name| {
            let of_others = conf.listeners.iter().any(|l| l.pkis.contains(name) && !ours.contains(&l));
            !of_others && !conf.sends_with.contains(name)
        });
        if let Some(pki) = alone.and_then(|name| conf.pkis.get(name)) {
            for (what, named) in [("cert", &pki.cert), ("key", &pki.key)] {
                if let Some(named) = named.as_ref().filter(|n| n.file != *live) {
                    wish(&named.at.0, None, &format!("pki {} {what}", pki.written), &value, what);
                }
            }
            continue;
        }
        if first == Some(&own) {
            continue;
        }
        if !listener.plain {
            let (path, line) = listener.at.clone();
            return Err(Unreadable { path, line, why: "options of this listener come from a macro; write them out".to_owned() });
        }
        if !declared {
            wish(&listener.at.0, None, &format!("pki {own} cert"), &value, "cert");
            wish(&listener.at.0, None, &format!("pki {own} key"), &value, "key");
            declared = true;
        }
        wish(&listener.at.0, Some(&listener.name), PKI, &own, PKI);
    }
    serve(server, &wanted, aim, &ours)?;
    Ok(wanted)
}

/// The name of a pair of our own: one that holds our file already, else the MX name, else one that nobody has.
fn own_name(conf: &Conf, live: &Path, aim: &Aim<'_>) -> String {
    let holds = |p: &super::conf::Pki| [&p.cert, &p.key].iter().all(|n| n.as_ref().is_some_and(|n| n.file == live));
    if let Some((name, _)) = conf.pkis.iter().find(|(_, p)| holds(p)) {
        return name.clone();
    }
    let mx = aim.mx.first().map_or("mxseal", |name| name.as_str());
    if conf.pkis.contains_key(mx) { format!("mxseal.{mx}") } else { mx.to_owned() }
}

/// Whether what is wanted is enough: every listener that is meant presents our file then.
fn serve(server: &Server, wanted: &Wanted, aim: &Aim<'_>, ours: &[&Listener]) -> Result<(), Unreadable> {
    let mut files = server.files.clone();
    for (path, wishes) in &wanted.wishes {
        let Some(file) = files.iter_mut().find(|f| f.path == *path) else { continue };
        for w in wishes {
            file.text.0.0 = set(path, &file.text.0.0, w.service.as_deref(), &w.name, &w.value, &w.why)?.0;
        }
    }
    let after = understand(&files, &server.defaults)?;
    let other = after.services.iter().find(|s| ours.iter().any(|l| l.name == s.name) && !is_ours(s, aim.live));
    other.map_or(Ok(()), |s| {
        let why = format!("`{}` would keep its certificate; set TLS up by hand", s.name);
        Err(Unreadable { path: s.at.0.clone(), line: s.at.1, why })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::KeyType,
        facts::{Known, Version},
        mta::{dialect::Dialect, postfix::tests::file},
    };
    use std::collections::BTreeMap;

    const LIVE: &str = "/l/mx.example.org.pem";

    /// The files after the edits that a plan makes of them.
    fn after(files: &[(&str, &str)], names_are_left_out: bool) -> Result<Vec<String>, Unreadable> {
        let profile = Profile::built_in().expect("profiles").into_iter().find(|p| p.dialect == Dialect::SmtpdConf).expect("OpenSMTPD");
        let server = Server {
            profile: profile.id.clone(),
            version: Version(vec![7, 4]),
            config_dir: "/c".into(),
            instances: Vec::new(),
            running: Known::unknown("test"),
            files: files.iter().map(|(path, text)| file(path, text)).collect(),
            defaults: BTreeMap::from([("interfaces".to_owned(), "eth0 192.0.2.1".to_owned())]),
            hostname: Known::unknown("test"),
            receives_for: Known::unknown("test"),
            services: Vec::new(),
        };
        let (live, mx) = ([PathBuf::from(LIVE)], ["mx.example.org".parse().expect("a name")]);
        let aim = Aim { live: &live, by_name: &[], types: &[KeyType::Rsa], names_are_left_out, mx: &mx };
        let wanted = profile.dialect.wanted(&server, &profile, &aim)?;
        let edited = |f: &crate::facts::ConfigFile| match wanted.wishes.get(&f.path) {
            Some(wishes) => profile.dialect.edit(&f.path, &f.text.0.0, wishes).map(|(bytes, _)| bytes),
            None => Ok(f.text.0.0.clone()),
        };
        server.files.iter().map(|f| edited(f).map(|b| String::from_utf8(b).expect("text"))).collect()
    }

    #[test]
    fn odd_configurations_are_changed_where_they_must_be() {
        let ours = "pki mx.example.org cert \"/l/mx.example.org.pem\"\npki mx.example.org key \"/l/mx.example.org.pem\"\n";
        for (before, expected) in [
            ("listen on all\n", format!("{ours}listen on all tls pki mx.example.org\n")),
            ("listen on all", format!("{ours}listen on all tls pki mx.example.org")),
            ("listen on localhost\n", format!("{ours}listen on localhost tls pki mx.example.org\n")),
            (
                "listen on socket\nlisten on lo0\nlisten on localhost\nlisten on eth0 # in\n",
                format!(
                    "listen on socket\n{ours}listen on lo0 tls pki mx.example.org\nlisten on localhost\nlisten on eth0 tls pki mx.example.org # in\n"
                ),
            ),
            (
                "pki old.example cert \"/c\"\npki old.example key '/k'\nlisten on eth0 tls pki old.example\nlisten on eth0 smtps pki old.example auth\n",
                format!(
                    "pki old.example cert \"{LIVE}\"\npki old.example key \"{LIVE}\"\nlisten on eth0 tls pki old.example\nlisten on eth0 smtps pki old.example auth\n"
                ),
            ),
            (
                "pki a.example cert \"/c\"\npki a.example key \"/k\"\naction r relay pki a.example\nlisten on eth0 tls pki a.example\n",
                format!(
                    "pki a.example cert \"/c\"\npki a.example key \"/k\"\naction r relay pki a.example\n{ours}listen on eth0 tls pki mx.example.org\n"
                ),
            ),
            (
                "pki mx.example.org cert \"/c\"\npki mx.example.org key \"/k\"\naction r relay pki mx.example.org\nlisten on eth0\n",
                format!(
                    "pki mx.example.org cert \"/c\"\npki mx.example.org key \"/k\"\naction r relay pki mx.example.org\npki mxseal.mx.example.org cert \"{LIVE}\"\npki mxseal.mx.example.org key \"{LIVE}\"\nlisten on eth0 tls pki mxseal.mx.example.org\n"
                ),
            ),
            (
                "crt = \"/c\"\npki x cert $crt\npki x key $crt\nlisten on eth0 \\\n  tls \\\n  pki x\n",
                format!("crt = \"/c\"\npki x cert \"{LIVE}\"\npki x key \"{LIVE}\"\nlisten on eth0 \\\n  tls \\\n  pki x\n"),
            ),
            (
                "n = x\npki $n cert \"/c\"\npki $n key \"/k\"\nopt = \"tls pki x\"\nlisten on eth0 $opt\n",
                format!("n = x\npki $n cert \"{LIVE}\"\npki $n key \"{LIVE}\"\nopt = \"tls pki x\"\nlisten on eth0 $opt\n"),
            ),
        ] {
            assert_eq!(after(&[("/c", before)], false).expect(before), [expected], "{before}");
        }
        let again = format!("{ours}listen on all tls pki mx.example.org\n");
        assert_eq!(after(&[("/c", &again)], false).expect("nothing"), [again]);
    }

    #[test]
    fn a_listener_with_names_of_its_own_keeps_its_certificate() {
        let before = "pki a cert \"/c\"\npki a key \"/k\"\nlisten on eth0 tls pki a\nlisten on eth0 smtps pki a\n";
        let expected = format!(
            "pki a cert \"/c\"\npki a key \"/k\"\npki mx.example.org cert \"{LIVE}\"\npki mx.example.org key \"{LIVE}\"\n\
             listen on eth0 tls pki mx.example.org\nlisten on eth0 smtps pki a\n"
        );
        assert_eq!(after(&[("/c", before)], true).expect(before), [expected]);
    }

    #[test]
    fn included_files_are_edited_where_the_statement_stands() {
        let files = [("/c", "include \"/p\"\nlisten on eth0 tls pki a\n"), ("/p", "pki a cert \"/c\"\npki a key \"/k\"\n")];
        let got = after(&files, false).expect("edits");
        assert_eq!(got, [files[0].1.to_owned(), format!("pki a cert \"{LIVE}\"\npki a key \"{LIVE}\"\n")]);
    }

    #[test]
    fn what_cannot_be_edited_says_where() {
        for (before, why) in [
            ("opt = \"filter x\"\n\nlisten on eth0 $opt\n", "/c:3: options of this listener come from a macro; write them out"),
            ("listen on eth0\nlisten on eth0 hostname x\n", "/c:2: `listen on eth0` stands here a second time"),
            ("listen on eth0\r\n", "/c:1: the line ends with a carriage return, which smtpd does not read"),
        ] {
            assert_eq!(after(&[("/c", before)], false).expect_err(before).to_string(), why);
        }
    }
}
