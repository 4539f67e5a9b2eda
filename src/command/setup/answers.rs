//! What the CA must be told: from flags, from `mxseal.toml`, or asked.

use crate::{
    acme::{self, Challenge, Wishes},
    cli::{Global, Setup},
    command::{
        Trouble,
        place::{self, Site},
    },
    facts::Facts,
    intent::Intent,
    report::Terminal,
    settings::Settings,
};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The answers so far.
pub(super) struct Answers {
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
    /// Flags over settings.
    pub(super) fn gather(args: &Setup, settings: &Settings) -> Result<Self, Trouble> {
        let directory = if args.staging {
            Some(LETS_ENCRYPT_STAGING.to_owned())
        } else {
            args.acme_directory.clone().or_else(|| settings.acme_directory.clone())
        };
        let kid = args.eab_kid.clone().or_else(|| settings.eab_kid.clone());
        let key_file = args.eab_hmac_key_file.clone().or_else(|| settings.eab_hmac_key_file.clone());
        let eab = match (kid, key_file) {
            (Some(kid), Some(file)) => Some((kid, hmac_key(&file)?)),
            (None, None) => None,
            _ => return Err(Trouble::usage("an external account needs both --eab-kid and --eab-hmac-key-file")),
        };
        let acme_ca_files = if args.acme_ca_files.is_empty() { settings.acme_ca_file.clone() } else { args.acme_ca_files.clone() };
        Ok(Self {
            acme_ca_files,
            email: if args.no_email { None } else { args.email.clone().or_else(|| settings.email.clone()) },
            no_email: args.no_email,
            agree_tos: args.agree_tos || settings.agree_tos,
            directory,
            acme_profile: args.acme_profile.clone().or_else(|| settings.acme_profile.clone()),
            eab,
            webroot: args.webroot.clone().or_else(|| settings.webroot.clone()),
            key_types: args.key_type.map(Into::into).or(settings.key_type),
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
        }
    }

    /// Asks for what the CA needs and nobody said; without a terminal a missing answer is an error that names its flag.
    pub(super) async fn complete(&mut self, site: &Site, args: &Setup, directory: &str) -> Result<(), Trouble> {
        if acme::has_account(&site.store, directory).map_err(Trouble::human)? {
            return Ok(());
        }
        let can_ask = !args.non_interactive && Terminal::can_ask();
        if !self.agree_tos {
            let terms = acme::terms(&site.net, directory).await.map_err(Trouble::human)?;
            if let Some(url) = terms.terms_of_service {
                if !can_ask {
                    return Err(Trouble::usage(format!("the CA wants its terms agreed to ({url}): read them and give --agree-tos")));
                }
                self.agree_tos = approval_of(&format!("The terms of the CA are at {url}\nDo you agree to them?"))?;
                if !self.agree_tos {
                    return Err(Trouble::human("without its terms agreed to, the CA gives no certificate; nothing was changed"));
                }
            }
        }
        if self.email.is_none() && !self.no_email {
            if !can_ask {
                return Err(Trouble::usage("may the CA write to you? Give --email ADDRESS or --no-email"));
            }
            let typed: String = dialoguer::Input::new()
                .with_prompt("Address that the CA may write to (empty for none)")
                .allow_empty(true)
                .interact_text()
                .map_err(no_answer)?;
            self.email = Some(typed.trim().to_owned()).filter(|t| !t.is_empty());
        }
        Ok(())
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

fn approval_of(question: &str) -> Result<bool, Trouble> {
    dialoguer::Confirm::new().with_prompt(question).default(false).interact().map_err(no_answer)
}

/// No terminal after all, or the input ended.
pub(super) fn no_answer(error: dialoguer::Error) -> Trouble {
    Trouble::human(format!("no answer came ({error}); nothing was changed"))
}

fn hmac_key(file: &Path) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|e| Trouble::usage(format!("{}: {e}", file.display())))?;
    acme::eab_key(&text).map_err(|e| Trouble::usage(format!("{}: {e}", file.display())))
}
