//! Where a verb works: flags and settings become one wish, the network, our store and the mail server's profile.

use super::Trouble;
use crate::{
    change::Command,
    cli::{Global, Where, absolute},
    facts::{Facts, Server},
    intent::Intent,
    mta::profile::Profile,
    plan::{self, Plan, Refusal},
    profiles::{self, Listed},
    rehearsal::StandIn,
    settings::{Settings, Unusable},
    survey,
    topics::Explained as _,
    world::{self, Lock, Look as _, Machine, Net, Store},
};
use std::path::{Path, PathBuf};

/// What every verb that looks at this host has in hand.
pub(super) struct Site {
    pub(super) place: Where,
    pub(super) net: Net,
    pub(super) store: Store,
    live_dir: PathBuf,
    /// The settings file, beside which the admin's hooks lie; `None` where nobody else is to notice what is done.
    pub(super) settings: Option<PathBuf>,
    /// The only profile to look for; `None` means all that are known.
    pub(super) profile: Option<Profile>,
    /// All that are known. Who needs none is not stopped by a wrong one.
    known: Result<Vec<Listed>, profiles::Unusable>,
}

impl Site {
    /// From flags over settings. Makes nothing.
    pub(super) fn of(flags: &Where, acme_ca_files: &[PathBuf], settings: &Settings, global: &Global) -> Result<Self, Trouble> {
        let place = over(flags, settings);
        let known = profiles::beside(&global.config);
        let stand_in = match (&place.mta, &place.mta_config, &known) {
            (Some(id), Some(dir), _) if id == StandIn::ID => Some(StandIn::profile(dir).map_err(Trouble::usage)?),
            (Some(id), _, Ok(all)) => profile(id, all).map(|_| None)?,
            _ => None,
        };
        // Some servers are configured in one file.
        if let Some(at) = place.mta_config.as_ref().filter(|at| !at.exists()) {
            return Err(Trouble::usage(format!("--mta-config {}: there is no such directory, and no such file", at.display())));
        }
        let mut net = Net::of_this_host(place.resolver, &place.trust_anchors, acme_ca_files)
            .map_err(|e| Trouble::usage(e).about("anchor-unusable"))?;
        if let Some(file) = &place.dnssec_anchor {
            net.dns_roots = net.dns_roots.and_of(file).map_err(|e| Trouble::usage(e).about("anchor-unusable"))?;
        }
        net.http_port = settings.http_port.unwrap_or(net.http_port);
        Ok(Self {
            place,
            net,
            store: Store::at(&global.state_dir),
            live_dir: live_dir(global),
            settings: Some(global.config.clone()),
            profile: stand_in,
            known,
        })
    }

    /// Another place than this host's own, perhaps with a mail server of its own.
    pub(super) fn at(place: Where, net: Net, store: Store, global: &Global, profile: Option<Profile>) -> Self {
        Self { place, net, store, live_dir: live_dir(global), settings: None, profile, known: profiles::beside(&global.config) }
    }

    /// Whoever writes must be the owner of the mail server's files: root, or whoever rehearses on a stand-in.
    pub(super) fn needs_owner(&self) -> Result<(), Trouble> {
        match &self.profile {
            Some(profile) if profile.key.uid == nix::unistd::geteuid().as_raw() => Ok(()),
            _ => needs_root(),
        }
    }

    /// Our store at this place, made where it is missing.
    pub(super) fn open_store(&mut self, root: &Path) -> Result<(), Trouble> {
        let opened = Store::open(root)
            .map_err(|e| Trouble::human(format!("{}: {e}; give another place with --state-dir", root.display())).about("state-unusable"));
        self.store = opened?;
        Ok(())
    }

    /// What is, with what every listener presents. What could not be seen says why; only a damaged store stops here.
    pub(super) async fn look(&self) -> Result<Facts, Trouble> {
        self.survey(true).await
    }

    /// The same; where `served` is not asked for, no listener hears of it.
    pub(super) async fn survey(&self, served: bool) -> Result<Facts, Trouble> {
        let wants = survey::Wants {
            mta: self.place.mta.clone(),
            config_dir: self.place.mta_config.clone(),
            domains: self.place.domains.clone(),
            mx: self.place.mx.clone(),
            live_dir: self.live_dir.clone(),
            profiles: Some(self.profiles()?),
            served,
        };
        survey::survey(&Machine, &self.store, &self.net, &wants, world::now()).await.map_err(Trouble::state)
    }

    /// What is, and what is to be done.
    pub(super) async fn look_and_plan(&self, intent: &Intent) -> Result<(Facts, Plan), Trouble> {
        let facts = self.look().await?;
        let profile = self.profile_of(&facts)?;
        let plan = plan::plan(&facts, intent, &profile).map_err(refused)?;
        Ok((facts, plan))
    }

    /// The profiles to look for.
    fn profiles(&self) -> Result<Vec<Profile>, Trouble> {
        match &self.profile {
            Some(only) => Ok(vec![only.clone()]),
            None => Ok(self.known()?.iter().map(|l| l.profile.clone()).collect()),
        }
    }

    fn known(&self) -> Result<&[Listed], Trouble> {
        self.known.as_deref().map_err(unusable_profile)
    }

    /// The profile of the server that was found.
    pub(super) fn profile_of(&self, facts: &Facts) -> Result<Profile, Trouble> {
        match &self.profile {
            Some(only) if facts.server.value().is_some() => Ok(only.clone()),
            _ => profile_of(facts, self.known()?),
        }
    }

    /// What its own people call the server that was found; its id where no profile knows it, nothing where none was found.
    pub(super) fn title_of(&self, facts: &Facts) -> String {
        let named = |server: &Server| self.profile_of(facts).map_or_else(|_| server.profile.clone(), |known| known.title);
        facts.server.value().map(named).unwrap_or_default()
    }

    /// The profile of this id.
    pub(super) fn profile(&self, id: &str) -> Result<Profile, Trouble> {
        profile(id, self.known()?)
    }

    /// The lock of one run on one configuration directory, whatever its state directory.
    pub(super) fn lock(&self, facts: &Facts) -> Result<Lock, Trouble> {
        let dir = facts.server.value().map(|s| s.config_dir.clone()).unwrap_or_default();
        lock(&dir)
    }
}

/// Locks a configuration directory for this run.
pub(super) fn lock(dir: &Path) -> Result<Lock, Trouble> {
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    match Store::lock(&real) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(Trouble::human(format!(
            "another mxseal works on {}; nothing was changed, run this again when it has ended",
            real.display()
        ))
        .about("run-busy")),
        Err(e) => Err(Trouble::human(format!("{} cannot be locked: {e}; nothing was changed", real.display()))),
    }
}

/// The profile of the server that was found.
pub(super) fn profile_of(facts: &Facts, known: &[Listed]) -> Result<Profile, Trouble> {
    let id = match &facts.server {
        crate::facts::Known::Seen { value, .. } => &value.profile,
        crate::facts::Known::Unknown { why } => {
            return Err(Trouble::human(format!(
                "no mail server to work on: {why}; nothing was changed. `mxseal survey` shows what is here, --mta and --mta-config name another"
            ))
            .about("server-unknown"));
        }
    };
    profile(id, known)
}

/// A profile by its id.
fn profile(id: &str, known: &[Listed]) -> Result<Profile, Trouble> {
    known.iter().find(|l| l.profile.id == id).map(|l| l.profile.clone()).ok_or_else(|| {
        let ids = known.iter().map(|l| l.profile.id.as_str()).collect::<Vec<_>>().join(", ");
        Trouble::usage(format!(
            "mxseal knows no mail server called {id:?}; --mta takes one of: {ids}. A file of {} beside the settings adds one: mxseal-profile(5)",
            profiles::DIRECTORY
        ))
        .about("server-unknown")
    })
}

/// All profiles that are known where these settings lie.
pub(super) fn profiles(global: &Global) -> Result<Vec<Listed>, Trouble> {
    profiles::beside(&global.config).map_err(|file| unusable_profile(&file))
}

fn unusable_profile(file: &profiles::Unusable) -> Trouble {
    Trouble::usage(file).about(file.topic())
}

/// A refusal in the user's terms.
pub(super) fn refused(refusal: Refusal) -> Trouble {
    Trouble::of(refusal)
}

/// Everything that writes needs root: the mail server's files are root's.
pub(super) fn needs_root() -> Result<(), Trouble> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Trouble::usage("this needs root, because a mail server's configuration and keys are root's: run it with sudo").about("root-needed"))
}

/// The settings file, or the reason why it cannot be used.
pub(super) fn settings(global: &Global) -> Result<Settings, Trouble> {
    Settings::read(&global.config).map_err(unusable)
}

/// A settings file that cannot be used.
pub(super) fn unusable(file: Unusable) -> Trouble {
    Trouble::usage(&file).about(file.topic())
}

/// Where mail servers read their certificates: `live` beside the settings file.
pub(super) fn live_dir(global: &Global) -> PathBuf {
    global.config.parent().map_or_else(|| PathBuf::from("/etc/mxseal/live"), |dir| dir.join("live"))
}

/// The command line that takes in what others renewed: this program, with the same settings and Store. Empty where others than
/// root could put another program in its place, for root's hooks call it.
pub(super) fn take_in(global: &Global) -> Command {
    let program = std::env::current_exe().ok().filter(|program| matches!(Machine.first_open_to_others(program), Ok(None)));
    let Some(program) = program.map(|path| path.display().to_string()) else { return Command::default() };
    let usual = Global::usual();
    let mut words = vec![program];
    for (flag, path, usual) in [("--config", &global.config, usual.config), ("--state-dir", &global.state_dir, usual.state_dir)] {
        if *path != usual {
            words.extend([flag.to_owned(), path.display().to_string()]);
        }
    }
    words.push("renew".to_owned());
    Command(words)
}

/// Flags over settings.
pub(super) fn over(flags: &Where, settings: &Settings) -> Where {
    let mut place = flags.clone();
    if place.domains.is_empty() {
        place.domains.clone_from(&settings.domain);
    }
    if place.mx.is_empty() {
        place.mx.clone_from(&settings.mx);
    }
    if place.trust_anchors.is_empty() {
        place.trust_anchors.clone_from(&settings.trust_anchor);
    }
    place.mta = place.mta.or_else(|| settings.mta.clone());
    place.mta_config = place.mta_config.or_else(|| settings.mta_config.clone()).as_deref().map(absolute);
    place.resolver = place.resolver.or(settings.resolver);
    place.dnssec_anchor = place.dnssec_anchor.or_else(|| settings.dnssec_anchor.clone());
    place
}
