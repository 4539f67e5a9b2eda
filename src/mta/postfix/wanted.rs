//! Which settings make every MX service present our file, and keep every other service as it is.

use super::{
    Config, Level, level, presents,
    sni::{self, SNI},
};
use crate::{
    certificate::KeyType,
    facts::{Effective, Origin, Role, Server, Service, Version},
    finding::{Finding, Remedy, Subject, Verdict},
    mta::{
        lines::Unreadable,
        profile::{Profile, Setting},
        settings,
        wanted::{Aim, Wanted, Wish},
    },
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Settings that name a certificate or key file; `smtpd_tls_chain_files` beats them all.
const LEGACY: [&str; 6] = [
    "smtpd_tls_cert_file",
    "smtpd_tls_key_file",
    "smtpd_tls_eccert_file",
    "smtpd_tls_eckey_file",
    "smtpd_tls_dcert_file",
    "smtpd_tls_dkey_file",
];
const CHAIN: &str = "smtpd_tls_chain_files";
const LEVEL: &str = "smtpd_tls_security_level";

/// Whether a service presents `live` and nothing else.
pub(in crate::mta) fn is_ours(service: &Service, live: &[PathBuf]) -> bool {
    service.program == "postscreen" || (presents(service) == live && level(service) != Level::None)
}

/// What will become of one service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ours,
    Keeps,
}

struct Planner<'a> {
    server: &'a Server,
    profile: &'a Profile,
    live: &'a str,
    config: Config<'a>,
    /// The values that count for a service without own ones.
    main: BTreeMap<&'static str, Effective>,
    wanted: Wanted,
}

pub(in crate::mta) fn wanted(server: &Server, profile: &Profile, aim: &Aim<'_>) -> Result<Wanted, Unreadable> {
    let config = Config::read(&server.files, &server.defaults)?;
    let live_text = aim.live.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    let main = settings::ASKS.iter().map(|n| Ok((*n, config.effective(n, None)?))).collect::<Result<_, _>>()?;
    let mut planner = Planner { server, profile, live: &live_text, config, main, wanted: Wanted::default() };
    let fates: Vec<(&Service, Fate)> = server.services.iter().map(|s| (s, planner.fate(s, aim))).collect();
    if server.version >= Version(vec![3, 4]) {
        planner.chain(&fates);
        planner.behind_postscreen(&fates);
        planner.by_name(&fates, aim);
    } else {
        planner.cert_and_key(&fates, aim.types);
    }
    planner.levels(&fates);
    planner.listed(&fates);
    planner.tell(&fates);
    Ok(planner.wanted)
}

impl Planner<'_> {
    fn wish(&mut self, service: Option<&Service>, name: &str, value: impl Into<String>, why: impl Into<String>) {
        let file = if service.is_some() { self.config.master } else { self.config.main };
        let wish = Wish { service: service.map(|s| s.name.clone()), name: name.to_owned(), value: value.into(), why: why.into() };
        self.wanted.wishes.entry(file.path.clone()).or_default().push(wish);
    }

    fn main(&self, name: &str) -> &str {
        self.main.get(name).map_or("", |e| e.value.as_str())
    }

    fn why(&self, name: &str) -> String {
        self.profile.setting(name, &self.server.version).map_or_else(String::new, |s| s.why.clone())
    }

    fn fate(&self, service: &Service, aim: &Aim<'_>) -> Fate {
        let own_mx = |s: &Service| s.role == Role::Mx && s.program == "smtpd" && has_own(s);
        let another = self.server.services.iter().any(|s| s.role == Role::Mx && s.program == "smtpd" && !own_mx(s) && !is_inner(s));
        let keeps = match service.role {
            // A second MX service with a certificate of its own serves other names; the only one is what all this is for.
            Role::Mx => {
                (has_own(service) && another && service.program == "smtpd" && !presents_only(service, self.live)) || is_inner(service)
            }
            Role::Submission | Role::Submissions => {
                has_own(service) && !presents_only(service, self.live) || self.holds_left_out(service, aim)
            }
        };
        if keeps { Fate::Keeps } else { Fate::Ours }
    }

    /// A name that mail programs use and that cannot be validated stays on the old file.
    fn holds_left_out(&self, service: &Service, aim: &Aim<'_>) -> bool {
        aim.names_are_left_out && !presents(service).is_empty() && !presents_only(service, self.live)
    }

    fn chain(&mut self, fates: &[(&Service, Fate)]) {
        let why = self.why(CHAIN);
        let inherits = |s: &Service| s.program == "smtpd" && !from_service(s, CHAIN);
        let main_changes = fates.iter().any(|(s, f)| *f == Fate::Ours && s.role == Role::Mx && inherits(s) && !has_own_files(s))
            || fates.iter().all(|(s, _)| s.program != "smtpd");
        if main_changes && self.main(CHAIN) != self.live {
            self.wish(None, CHAIN, self.live, why.clone());
        }
        for (service, fate) in fates.iter().filter(|(s, _)| s.program == "smtpd") {
            let present = setting(service, CHAIN);
            match fate {
                Fate::Keeps if !inherits(service) || level(service) == Level::None => {}
                Fate::Keeps if main_changes => {
                    self.wish(Some(service), CHAIN, present, "The service keeps the certificate that it presents today.");
                }
                Fate::Keeps => {}
                Fate::Ours if service.role == Role::Mx && (!inherits(service) || !main_changes) && present != self.live => {
                    self.wish(Some(service), CHAIN, self.live, why.clone());
                }
                Fate::Ours => {}
            }
        }
    }

    /// Our table comes before those of others; where one certificate serves all, it goes. Who keeps a certificate keeps it for
    /// every name.
    fn by_name(&mut self, fates: &[(&Service, Fate)], aim: &Aim<'_>) {
        let folder = aim.live.first().and_then(|file| file.parent()).unwrap_or(Path::new("/"));
        let present = self.config.main_raw(SNI).unwrap_or_default().to_owned();
        let others: Vec<&str> = sni::tables(&present).into_iter().filter(|table| !sni::is_ours(table, folder)).collect();
        let ours = sni::ours(aim.by_name);
        let want = ours.as_deref().into_iter().chain(others.iter().copied()).collect::<Vec<_>>().join(", ");
        if sni::tables(&present) == sni::tables(&want) {
            return;
        }
        let why = match ours {
            Some(_) => "A sender that sends one of these names is shown the certificate of that name.",
            None => "One certificate serves every name.",
        };
        self.wish(None, SNI, want, why);
        let inherits = |s: &Service| s.program == "smtpd" && level(s) != Level::None && !from_service(s, SNI);
        for (service, _) in fates.iter().filter(|(s, fate)| ours.is_some() && *fate == Fate::Keeps && inherits(s)) {
            self.wish(Some(service), SNI, others.join(", "), "The service keeps the certificate that it presents today.");
        }
    }

    /// Before 3.4 a certificate and a key setting for each key type; one file holds one type, and the other types are emptied.
    fn cert_and_key(&mut self, fates: &[(&Service, Fate)], types: &[KeyType]) {
        let (cert, key) = if types == [KeyType::Ecdsa] { (LEGACY[2], LEGACY[3]) } else { (LEGACY[0], LEGACY[1]) };
        for (service, _) in fates.iter().filter(|(s, f)| *f == Fate::Keeps && s.program == "smtpd" && !is_inner(s)) {
            for name in LEGACY.iter().filter(|n| !from_service(service, n)) {
                let wanted_now = setting(service, name);
                if !wanted_now.is_empty() || *name == cert || *name == key {
                    self.wish(Some(service), name, wanted_now, "The service keeps the certificate that it presents today.");
                }
            }
        }
        let why = self.why(LEGACY[0]);
        for (service, _) in fates.iter().filter(|(s, f)| *f == Fate::Ours && s.role == Role::Mx && has_own_files(s)) {
            self.wish(Some(service), cert, self.live, why.clone());
            self.wish(Some(service), key, self.live, why.clone());
        }
        for name in LEGACY {
            if (name == cert || name == key) && self.main(name) != self.live {
                self.wish(None, name, self.live, why.clone());
            } else if name != cert && name.ends_with("cert_file") && !self.main(name).is_empty() {
                self.wish(None, name, "", "The old certificate of the other key type is served no longer.");
            }
        }
    }

    /// An explicit setting of tlsproxy would keep the old certificate for every sender that postscreen tests.
    fn behind_postscreen(&mut self, fates: &[(&Service, Fate)]) {
        const PROXY: &str = "tlsproxy_tls_chain_files";
        for (service, _) in fates.iter().filter(|(s, f)| s.program == "tlsproxy" && *f == Fate::Ours) {
            let Some(Effective { value: present, from }) = service.settings.get(PROXY) else { continue };
            let follows =
                matches!(from, Origin::Default) || present == self.live || self.config.main_raw(PROXY) == Some("$smtpd_tls_chain_files");
            if follows {
                continue;
            }
            self.wanted.notes.push(
                Finding::new(
                    "tlsproxy-own-certificate",
                    Verdict::Warn,
                    Subject::Setting(PROXY.into()),
                    format!("{PROXY} = {present} is set, and will follow smtpd"),
                )
                .means("behind postscreen, strangers were served that certificate and known senders another"),
            );
            let scope = matches!(from, Origin::Service { .. }).then_some(*service);
            let value = if scope.is_some() { self.live.to_owned() } else { format!("${CHAIN}") };
            self.wish(scope, PROXY, value, "A sender that postscreen tests is served the same certificate.");
        }
    }

    /// The level is written only where the effective one is none; a service that enforces through an old switch keeps that.
    fn levels(&mut self, fates: &[(&Service, Fate)]) {
        let Some(listed) = self.profile.setting(LEVEL, &self.server.version).cloned() else { return };
        let open = |s: &Service| s.program == "smtpd" && s.role == Role::Mx && level(s) == Level::None;
        let mut main = false;
        for (service, _) in fates.iter().filter(|(s, f)| *f == Fate::Ours && open(s)) {
            if from_service(service, LEVEL) {
                self.wish(Some(service), LEVEL, listed.want.clone(), listed.why.clone());
            } else {
                main = true;
            }
        }
        if !main {
            return;
        }
        self.wish(None, LEVEL, listed.want, listed.why);
        for (service, _) in fates.iter().filter(|(s, _)| s.program == "smtpd" && !from_service(s, LEVEL)) {
            let by_switch = setting(service, "smtpd_tls_wrappermode") != "yes" && level(service) == Level::Encrypt;
            if by_switch {
                self.wish(Some(service), LEVEL, "encrypt", "The service enforces TLS through an old switch, and keeps it.");
            }
        }
    }

    /// What else the profile lists: written for the whole server where it is weaker, or only told.
    fn listed(&mut self, fates: &[(&Service, Fate)]) {
        let special = |s: &&Setting| s.name == LEVEL || s.want.contains("{live}");
        let listed: Vec<Setting> =
            self.profile.settings.iter().filter(|s| s.is_for(&self.server.version) && !special(s)).cloned().collect();
        for Setting { name, want, at_least, roles, propose, why, .. } in listed {
            if !propose && roles.is_empty() {
                if !at_least.holds(Some(self.main(&name)), &want) {
                    self.wish(None, &name, want, why);
                }
                continue;
            }
            for (service, _) in fates.iter().filter(|(s, _)| roles.contains(&s.role) && level(s) != Level::None) {
                if at_least.holds(service.settings.get(&name).map(|e| e.value.as_str()), &want) {
                    continue;
                }
                if propose {
                    let place = format!("{}/{name}", service.name);
                    self.wanted.notes.push(
                        Finding::new(
                            "client-floor",
                            Verdict::Warn,
                            Subject::Setting(format!("{} {name}", service.name)),
                            format!("{name} of {} admits more than {want}, and is left so", service.name),
                        )
                        .means(why.clone())
                        .remedy(Remedy::Command(format!("postconf -c {} -P '{place}={want}'", self.server.config_dir.display()))),
                    );
                } else {
                    self.wish(Some(service), &name, want.clone(), why.clone());
                }
            }
        }
    }

    /// The older settings of main.cf: ignored, or left to the services that keep them.
    fn shadowed(&self, fates: &[(&Service, Fate)]) -> Option<Finding> {
        let present: Vec<(&str, &Effective)> = LEGACY
            .iter()
            .filter_map(|name| Some((*name, self.main.get(name)?)))
            .filter(|(_, e)| matches!(e.from, Origin::File { .. }) && !e.value.is_empty())
            .collect();
        let (_, first) = present.first()?;
        let names: Vec<&str> = present.iter().map(|(name, _)| *name).collect();
        let shows = |s: &Service| presents(s).iter().any(|p| present.iter().any(|(_, e)| p.as_path() == Path::new(&e.value)));
        let keepers: Vec<&str> = fates
            .iter()
            .filter(|(s, fate)| *fate == Fate::Keeps && s.program == "smtpd" && level(s) != Level::None && shows(s))
            .map(|(s, _)| s.name.as_str())
            .collect();
        let names = names.join(", ");
        let says = if keepers.is_empty() {
            format!("{names}: left as they are, and ignored from now on")
        } else {
            format!("{names}: left as they are, and used by {} alone from now on", keepers.join(", "))
        };
        Some(Finding::new("legacy-shadowed", Verdict::Pass, at(first), says).means(format!("{CHAIN} comes before them")))
    }

    /// What the admin should know, with what will be done about it.
    fn tell(&mut self, fates: &[(&Service, Fate)]) {
        let mut notes = Vec::new();
        let wished = self.wanted.wishes.get(&self.config.main.path).is_some_and(|all| all.iter().any(|w| w.name == CHAIN));
        if wished || !self.main(CHAIN).is_empty() {
            notes.extend(self.shadowed(fates));
        }
        let served: Vec<PathBuf> = self.server.services.iter().filter(|s| s.program == "smtpd").flat_map(presents).collect();
        for name in ["smtp_tls_cert_file", "smtp_tls_chain_files"] {
            let Some(client) = self.main.get(name) else { continue };
            if !client.value.is_empty()
                && client.value.split([' ', ',']).any(|f| f == self.live || served.iter().any(|s| s == Path::new(f)))
            {
                notes.push(
                    Finding::new(
                        "client-certificate",
                        Verdict::Warn,
                        at(client),
                        format!("{name} presents the server's certificate to other servers too, and is left so"),
                    )
                    .means("public CAs no longer certify for clients: the old file stays for that use, and expires; few servers ask for it")
                    .remedy(Remedy::Do("empty it, unless a relay of yours asks for that certificate".into())),
                );
            }
        }
        for (service, fate) in fates {
            let subject = || Subject::Setting(format!("{} {LEVEL}", service.name));
            if service.role == Role::Mx && service.program == "smtpd" && !is_inner(service) && level(service) == Level::Encrypt {
                notes.push(
                    Finding::new(
                        "encrypt-on-mx",
                        Verdict::Warn,
                        subject(),
                        format!("{} takes mail in TLS only, and keeps that", service.name),
                    )
                    .means("senders without STARTTLS cannot deliver (RFC 3207 section 4)"),
                );
            }
            let own = presents(service);
            if *fate == Fate::Keeps && service.program == "smtpd" && !own.is_empty() && level(service) != Level::None {
                let files: Vec<String> = own.iter().map(|p| p.display().to_string()).collect();
                notes.push(Finding::new(
                    "service-keeps-certificate",
                    Verdict::Pass,
                    Subject::Setting(service.name.clone()),
                    format!("{} keeps the certificate that it presents today: {}", service.name, files.join(", ")),
                ));
            }
        }
        self.wanted.notes.extend(notes);
    }
}

fn at(effective: &Effective) -> Subject {
    match &effective.from {
        Origin::File { path, line } | Origin::Service { path, line } => Subject::File { path: path.clone(), line: *line },
        Origin::Default => Subject::Host,
    }
}

fn setting(service: &Service, name: &str) -> String {
    service.settings.get(name).map_or_else(String::new, |e| e.value.clone())
}

fn from_service(service: &Service, name: &str) -> bool {
    service.settings.get(name).is_some_and(|e| matches!(e.from, Origin::Service { .. }))
}

/// Own certificate files by the older settings.
fn has_own_files(service: &Service) -> bool {
    LEGACY.iter().any(|n| from_service(service, n) && !setting(service, n).is_empty())
}

/// A certificate of its own that it really presents: its own chain, or its own older files where no chain beats them.
fn has_own(service: &Service) -> bool {
    let chain = setting(service, CHAIN);
    (from_service(service, CHAIN) && !chain.is_empty()) || (has_own_files(service) && chain.is_empty())
}

fn presents_only(service: &Service, live: &str) -> bool {
    presents(service) == [Path::new(live)]
}

/// Takes mail back from a filter on this host: loopback only, another port, and TLS switched off by its own setting.
fn is_inner(service: &Service) -> bool {
    let local = !service.listens.is_empty() && service.listens.iter().all(|a| a.ip().is_loopback() && a.port() != 25);
    local && level(service) == Level::None && from_service(service, LEVEL)
}
