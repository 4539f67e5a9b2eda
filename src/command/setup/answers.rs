//! What the CA must be told: from flags, from `mxseal.toml`, or asked.

use crate::{
    acme::{self, Wishes},
    cli::{Global, Setup},
    command::{
        Trouble,
        place::{self, Site},
    },
    facts::Facts,
    finding::{Finding, Subject, Verdict},
    intent::{ChallengeType, Intent},
    mta::companion::NOTHING,
    plan::{Challenge, Door, Rungs, ladder},
    publish::publisher::Publishers,
    settings::Settings,
    topics::Explained as _,
    wizard::mail_address,
};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The answers so far.
pub(super) struct Answers {
    /// What was said to this run, by flags, another settings file or a person.
    pub(super) said: Settings,
    /// Roots of the CA's API.
    pub(super) acme_ca_files: Vec<PathBuf>,
    email: Option<String>,
    no_email: bool,
    pub(super) agree_tos: bool,
    directory: Option<String>,
    acme_profile: Option<String>,
    eab: Option<(String, Zeroizing<Vec<u8>>)>,
    challenge: Option<ChallengeType>,
    publishers: Publishers,
    webroot: Option<PathBuf>,
    key_types: Option<crate::intent::KeyTypes>,
    certificates: crate::intent::Certificates,
    with: Vec<String>,
    existing: Option<crate::intent::Existing>,
    /// The policy host that can answer the CA.
    pub(super) policy_host: Option<Door>,
}

impl Answers {
    /// From what flags and files say together; `said` is what was said to this run and is kept afterwards.
    pub(super) fn gather(args: &Setup, said: Settings, settings: &Settings) -> Result<Self, Trouble> {
        // The CA of the settings is the one that is not to be tried on.
        let directory = match (&args.acme_directory, args.staging) {
            (None, true) => Some(LETS_ENCRYPT_STAGING.to_owned()),
            (Some(_), _) | (None, false) => settings.acme_directory.clone(),
        };
        directory.iter().try_for_each(|url| acme::check_directory(url)).map_err(|e| Trouble::usage(&e).about(e.topic()))?;
        if let Some(dir) = settings.webroot.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(Trouble::usage(format!("--webroot {}: there is no such directory", dir.display())));
        }
        let publishers = settings.publishers().map_err(Trouble::usage)?;
        if settings.challenge == Some(ChallengeType::Dns01) && !publishers.any() {
            return Err(Trouble::usage(acme::Trouble::NoPublisher).about("challenge-chosen"));
        }
        let eab = match (&settings.eab_kid, &settings.eab_hmac_key_file) {
            (Some(kid), Some(file)) => Some((kid.clone(), hmac_key(file)?)),
            (None, None) => None,
            _ => return Err(Trouble::usage("an external account needs both --eab-kid and --eab-hmac-key-file")),
        };
        let email = settings.email.clone().filter(|e| !e.is_empty());
        if let Some(Err(wrong)) = email.as_ref().map(|e| mail_address(e)) {
            return Err(Trouble::usage(format!("--email {wrong}")));
        }
        Ok(Self {
            said,
            acme_ca_files: settings.acme_ca_file.clone(),
            no_email: settings.email.is_some() && email.is_none(),
            email,
            agree_tos: settings.agree_tos,
            directory,
            acme_profile: settings.acme_profile.clone(),
            eab,
            challenge: settings.challenge,
            publishers,
            webroot: settings.webroot.clone(),
            key_types: settings.key_type,
            certificates: settings.certificates.unwrap_or_default(),
            with: settings.with.iter().filter(|id| *id != NOTHING).cloned().collect(),
            existing: settings.existing,
            policy_host: None,
        })
    }

    /// The wishes about server and certificate.
    pub(super) fn intent(&self, site: &Site, global: &Global) -> Intent {
        Intent {
            domains: site.place.domains.clone(),
            mx: site.place.mx.clone(),
            key_types: self.key_types,
            directory: self.directory.clone(),
            acme_profile: self.acme_profile.clone(),
            live_dir: place::live_dir(global),
            certificates: self.certificates,
            with: self.with.clone(),
            existing: self.existing,
            take_in: place::take_in(global),
        }
    }

    /// Whether nobody has said if the CA may write.
    pub(super) const fn email_is_open(&self) -> bool {
        self.email.is_none() && !self.no_email
    }

    /// The CA that was named.
    pub(super) fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }

    /// What the errand is told.
    pub(super) fn wishes(&self, facts: &Facts) -> Wishes {
        let (challenge, _) = self.ladder(facts);
        Wishes {
            email: self.email.clone(),
            agree_tos: self.agree_tos,
            eab: self.eab.clone(),
            challenge,
            publishers: self.publishers.clone(),
            ..Wishes::default()
        }
    }

    /// How the CA will be shown that the names are ours, with the reason. Where port 80 is free the facts say it.
    pub(super) fn challenge_note(&self, facts: &Facts) -> Option<Finding> {
        let (challenge, why) = self.ladder(facts);
        let plain = challenge == Challenge::Listen && facts.port80.value().is_some_and(|owner| owner.pid == 0);
        let says = format!("control of the names is shown by {}: {why}", challenge.kind().name());
        (!plain).then(|| Finding::new("challenge-chosen", Verdict::Pass, Subject::Host, says))
    }

    fn ladder(&self, facts: &Facts) -> (Challenge, String) {
        let (asked, webroot, publisher) = (self.challenge, self.webroot.as_deref(), self.publishers.any());
        let policy_host = self.policy_host.as_ref();
        ladder(&Rungs { asked, webroot, port80: &facts.port80, port443: &facts.port443, policy_host, publisher })
    }
}

fn hmac_key(file: &Path) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let wrong = |e: &dyn std::fmt::Display| Trouble::usage(format!("--eab-hmac-key-file {}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|e| wrong(&e))?;
    acme::eab_key(&text).map_err(|e| wrong(&e))
}
