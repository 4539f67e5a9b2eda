//! Which options present our files, with the macros that they are built of.

use super::{cf::OPTIONS, cf_of, presents, understand};
use crate::{
    facts::{Server, Service},
    finding::{Finding, Subject, Verdict},
    mta::{
        lines::Unreadable,
        profile::Profile,
        wanted::{Aim, Wanted, Wish},
    },
};
use std::path::PathBuf;

/// Whether a service presents what `live` holds, and nothing else: without both ways to trusted CAs it offers no STARTTLS.
pub(in crate::mta) fn is_ours(service: &Service, live: &[PathBuf]) -> bool {
    let is_set = |name: &str| service.settings.get(name).is_some_and(|e| !e.value.is_empty());
    let shown = presents(service);
    let ours = live.iter().map(|p| (p.clone(), p.clone()));
    OPTIONS.iter().all(|(name, _)| is_set(name)) && shown.len() == live.len() && ours.zip(&shown).all(|(a, b)| a == *b)
}

/// The options and macros that are wanted.
pub(in crate::mta) fn wanted(server: &Server, profile: &Profile, aim: &Aim<'_>) -> Result<Wanted, Unreadable> {
    let mut wanted = Wanted::default();
    let cf = cf_of(&server.files)?.path.clone();
    let mc = server.files.iter().find(|f| f.path.extension().is_some_and(|e| e == "mc")).map(|f| f.path.clone());
    let services = understand(&server.files, &server.defaults)?.services;
    let all = aim.live.iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
    for setting in profile.settings.iter().filter(|s| s.is_for(&server.version)) {
        let Some((option, built_of)) = OPTIONS.iter().find(|(option, _)| *option == setting.name) else { continue };
        // Names of CAs are read of one file.
        let live = if option.starts_with("CA") { all.first().cloned().unwrap_or_default() } else { all.join(",") };
        let want = setting.want.replace("{live}", &live);
        let present = services.first().and_then(|s| s.settings.get(*option)).map(|e| e.value.as_str());
        if setting.at_least.holds(present, &want) {
            continue;
        }
        for (path, name) in [(Some(&cf), *option), (mc.as_ref(), *built_of)] {
            let wish = Wish { service: None, name: name.to_owned(), value: want.clone(), why: setting.why.clone() };
            if let Some(path) = path {
                wanted.wishes.entry(path.clone()).or_default().push(wish);
            }
        }
    }
    if mc.is_none() && !wanted.wishes.is_empty() {
        let says = format!(
            "there is no {} beside it: what builds {} anew must know these options",
            cf.with_extension("mc").display(),
            cf.display()
        );
        let finding = Finding::new("built-elsewhere", Verdict::Warn, Subject::File { path: cf, line: 0 }, says);
        wanted.notes.push(finding.means("a sendmail.cf that is built without them offers senders the old certificate, or none"));
    }
    Ok(wanted)
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

    const COMMENTS: &str = "#O CACertPath\n#O CACertFile\n#O ServerCertFile\n#O ServerKeyFile\n";

    fn after(files: &[(&str, &str)]) -> Result<(Vec<String>, usize), Unreadable> {
        let profile = Profile::built_in().expect("profiles").into_iter().find(|p| p.dialect == Dialect::SendmailCf).expect("Sendmail");
        let server = Server {
            profile: profile.id.clone(),
            version: Version(vec![8, 17]),
            config_dir: "/m".into(),
            instances: Vec::new(),
            running: Known::unknown("test"),
            files: files.iter().map(|(path, text)| file(path, text)).collect(),
            defaults: BTreeMap::new(),
            hostname: Known::unknown("test"),
            receives_for: Known::unknown("test"),
            services: Vec::new(),
        };
        let live = ["/l/ec.pem", "/l/rsa.pem"].map(PathBuf::from);
        let aim = Aim { live: &live, by_name: &[], types: &[KeyType::Ecdsa, KeyType::Rsa], names_are_left_out: false, mx: &[] };
        let wanted = profile.dialect.wanted(&server, &profile, &aim)?;
        let edited = |f: &crate::facts::ConfigFile| match wanted.wishes.get(&f.path) {
            Some(wishes) => profile.dialect.edit(&f.path, &f.text.0.0, wishes).map(|(bytes, _)| bytes),
            None => Ok(f.text.0.0.clone()),
        };
        let files = server.files.iter().map(|f| edited(f).map(|b| String::from_utf8(b).expect("text")));
        Ok((files.collect::<Result<_, _>>()?, wanted.notes.len()))
    }

    #[test]
    fn both_files_say_the_same() {
        let ours = "O ServerCertFile=/l/ec.pem,/l/rsa.pem\nO ServerKeyFile=/l/ec.pem,/l/rsa.pem\n";
        let defines = "define(`confSERVER_CERT', `/l/ec.pem,/l/rsa.pem')dnl\ndefine(`confSERVER_KEY', `/l/ec.pem,/l/rsa.pem')dnl\n";
        let (files, notes) = after(&[("/m/sendmail.cf", COMMENTS), ("/m/sendmail.mc", "MAILER(`smtp')dnl\n")]).expect("edits");
        let cas = "define(`confCACERT', `/l/ec.pem')dnl\ndefine(`confCACERT_PATH', `/etc/ssl/certs')dnl\n";
        assert_eq!(
            files,
            [format!("O CACertPath=/etc/ssl/certs\nO CACertFile=/l/ec.pem\n{ours}"), format!("{defines}{cas}MAILER(`smtp')dnl\n")]
        );
        assert_eq!(notes, 0);

        let served = "O CACertPath=/p\nO CACertFile=/c\nO ServerCertFile=/old\nO ServerKeyFile=/k\n";
        let (files, notes) = after(&[("/m/sendmail.cf", served)]).expect("edits");
        assert_eq!((files[0].as_str(), notes), (format!("O CACertPath=/p\nO CACertFile=/c\n{ours}").as_str(), 1));
        assert!(after(&[("/m/sendmail.cf", "O QueueLA=8\n")]).expect_err("no place").to_string().contains("has no place"));
    }
}
