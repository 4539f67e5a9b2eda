//! What the CA must be told: from flags, from `mxseal.toml`, or asked.

use super::approval;
use crate::{
    acme::{self, Challenge, Wishes},
    cli::{Global, Setup},
    command::{
        Trouble, no_answer,
        place::{self, Site},
    },
    facts::Facts,
    intent::Intent,
    name::DnsName,
    report::{self, Terminal},
    settings::Settings,
    topics::Explained as _,
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
    agree_tos: bool,
    directory: Option<String>,
    acme_profile: Option<String>,
    eab: Option<(String, Zeroizing<Vec<u8>>)>,
    webroot: Option<PathBuf>,
    key_types: Option<crate::intent::KeyTypes>,
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
        let eab = match (&settings.eab_kid, &settings.eab_hmac_key_file) {
            (Some(kid), Some(file)) => Some((kid.clone(), hmac_key(file)?)),
            (None, None) => None,
            _ => return Err(Trouble::usage("an external account needs both --eab-kid and --eab-hmac-key-file")),
        };
        let email = settings.email.clone().filter(|e| !e.is_empty());
        // RFC 5321 §4.1.2: whatever else it is, it has a domain.
        if let Some(wrong) =
            email.as_ref().filter(|e| e.rsplit_once('@').is_none_or(|(local, at)| local.is_empty() || at.parse::<DnsName>().is_err()))
        {
            return Err(Trouble::usage(format!("--email {wrong:?}: this is no mail address")));
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
            webroot: settings.webroot.clone(),
            key_types: settings.key_type,
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
            replace: Vec::new(),
            live_dir: place::live_dir(global),
        }
    }

    /// Asks for what the CA needs and nobody said; without a terminal a missing answer is an error that names its flag.
    pub(super) async fn complete(&mut self, site: &Site, args: &Setup, directory: &str) -> Result<(), Trouble> {
        if acme::has_account(&site.store, directory).map_err(Trouble::state)? {
            return Ok(());
        }
        let can_ask = !args.non_interactive && Terminal::can_ask();
        let mut missing = Vec::new();
        if !self.agree_tos {
            let terms = acme::terms(&site.net, directory).await.map_err(Trouble::of)?;
            match terms.terms_of_service {
                Some(url) if can_ask => {
                    self.agree_tos =
                        report::agreed(&format!("The terms of the CA are at {url}\nDo you agree to them?")).map_err(no_answer)?;
                    if !self.agree_tos {
                        return Err(Trouble::human("without its terms agreed to, the CA gives no certificate; nothing was changed")
                            .about("ca-terms"));
                    }
                    self.said.agree_tos = true;
                }
                Some(url) => missing.push(format!("do you agree to the CA's terms at {url}? Give --agree-tos")),
                None => {}
            }
        }
        if self.email.is_none() && !self.no_email {
            if can_ask {
                let typed = report::ask("Address that the CA may write to (empty for none)", None).map_err(no_answer)?;
                self.said.email = Some(typed.clone());
                self.email = Some(typed).filter(|t| !t.is_empty());
            } else {
                missing.push("may the CA write to you? Give --email ADDRESS or --no-email".to_owned());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if !args.yes {
            missing.push(approval::MISSING.to_owned());
        }
        Err(Trouble::usage(format!("answers are missing, and nobody can be asked here; nothing was changed:\n{}", missing.join("\n")))
            .about("answers-missing"))
    }

    /// What the errand is told.
    pub(super) fn wishes(&self, facts: &Facts) -> Wishes {
        let found = facts.port80.value().and_then(|owner| owner.webroot.clone());
        Wishes {
            email: self.email.clone(),
            agree_tos: self.agree_tos,
            eab: self.eab.clone(),
            challenge: self.webroot.clone().or(found).map_or(Challenge::Listen, Challenge::Webroot),
            ..Wishes::default()
        }
    }
}

fn hmac_key(file: &Path) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let wrong = |e: &dyn std::fmt::Display| Trouble::usage(format!("--eab-hmac-key-file {}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|e| wrong(&e))?;
    acme::eab_key(&text).map_err(|e| wrong(&e))
}
