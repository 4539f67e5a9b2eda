//! Which macros and options make every port present our files. Where the template of a distribution asks for macros they are
//! set; where its options were set without them, the options are edited in place.

use super::{
    by_name,
    lines::{ADVERTISE, CERTIFICATE, KEY},
    section,
};
use crate::{
    facts::{ConfigFile, Server, Service},
    finding::{Finding, Subject, Verdict},
    mta::{
        lines::Unreadable,
        profile::{Profile, Setting},
        wanted::{Aim, Wanted, Wish},
    },
};
use std::path::{Path, PathBuf};

/// Whether a service presents what `live` holds, and nothing else.
pub(in crate::mta) fn is_ours(service: &Service, live: &[PathBuf]) -> bool {
    let get = |name: &str| service.settings.get(name).map_or("", |e| e.value.as_str());
    let shown = super::presents(service);
    let ours = live.iter().map(|p| (p.clone(), p.clone()));
    !get(ADVERTISE).is_empty() && shown.len() == live.len() && ours.zip(&shown).all(|(a, b)| a == *b)
}

/// The settings of the profile: none where all is well, its macros, else its options, else all of them.
pub(in crate::mta) fn wanted(server: &Server, profile: &Profile, aim: &Aim<'_>) -> Result<Wanted, Unreadable> {
    let folder = aim.live.first().and_then(|file| file.parent());
    if let Some((service, shown)) = server.services.iter().find_map(|s| Some((s, by_connection(s, folder)?))) {
        let (path, line) = service.at.clone();
        let why = format!(
            "{CERTIFICATE} = {shown} chooses anew for each connection, and a name could lose its certificate; name one file there, or set TLS up by hand"
        );
        return Err(Unreadable { path, line, why });
    }
    let is_macro = |s: &&Setting| s.name.starts_with(|c: char| c.is_ascii_uppercase());
    let settings: Vec<&Setting> = profile.settings.iter().filter(|s| s.is_for(&server.version) && !s.propose).collect();
    let (macros, options): (Vec<&Setting>, Vec<&Setting>) = settings.iter().partition(|s| is_macro(s));
    let mut last = follow(server, profile, aim, &[]);
    for some in [&macros, &options, &settings] {
        if last.is_err() && !some.is_empty() {
            last = follow(server, profile, aim, some);
        }
    }
    last
}

/// What chooses a certificate by the name that a client sends, or by anything else that only a connection knows; what we wrote
/// for files in `folder` is none.
fn by_connection<'a>(service: &'a Service, folder: Option<&Path>) -> Option<&'a str> {
    let value = service.settings.get(CERTIFICATE)?.value.as_str();
    if by_name::read(value).is_some() && super::presents(service).iter().all(|(chain, _)| chain.parent() == folder) {
        return None;
    }
    ["$tls_", "${tls_", "$sender_", "${sender_", "$received_", "${received_", "$interface_"]
        .iter()
        .any(|v| value.contains(v))
        .then_some(value)
}

/// One setting after the other, each looked for where the ones before left the files.
fn follow(server: &Server, profile: &Profile, aim: &Aim<'_>, settings: &[&Setting]) -> Result<Wanted, Unreadable> {
    let mut wanted = Wanted::default();
    let mut files = server.files.clone();
    let live = value(aim);
    for setting in settings {
        let want = setting.want.replace("{live}", &live);
        let main = section(&files, &server.defaults)?;
        let present = main.get(&setting.name);
        let value = present.map(|d| d.value.as_str()).or_else(|| server.defaults.get(&setting.name).map(String::as_str));
        let is_set = present.is_some_and(|d| !d.value.is_empty() || setting.name != KEY);
        if setting.at_least.holds(value, &want) || (setting.if_set && !is_set) {
            continue;
        }
        let Some(path) = present.map(|d| d.path.clone()).or_else(|| home(profile, server)) else { continue };
        let wish = Wish { service: None, name: setting.name.clone(), value: want, why: setting.why.clone() };
        edit(&mut files, &path, &wish)?;
        wanted.wishes.entry(path).or_default().push(wish);
    }
    let understood = super::understand(&server.version, &files, &server.defaults)?;
    let named = |s: &Service| s.settings.get(CERTIFICATE).is_none_or(|e| by_name::read(&e.value) == by_name::read(&live));
    if let Some(service) = understood.services.iter().find(|s| !is_ours(s, aim.live) || !named(s)) {
        let (path, line) = service.at.clone();
        let shown = service.settings.get(CERTIFICATE).map_or("", |e| e.value.as_str());
        return Err(Unreadable { path, line, why: format!("{CERTIFICATE} = {shown} would stay in force; set TLS up by hand") });
    }
    wanted.notes.extend(shadowed(server, &wanted));
    Ok(wanted)
}

/// The files for all, or those for each name.
fn value(aim: &Aim<'_>) -> String {
    let listed = |files: &[PathBuf]| files.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" : ");
    let others = aim.by_name.iter().filter(|(_, files)| files != aim.live);
    by_name::written(&others.map(|(name, files)| (name.to_string(), listed(files))).collect::<Vec<_>>(), &listed(aim.live))
}

/// Where a setting goes that is not there yet: the profile's own place for it, else the first file.
fn home(profile: &Profile, server: &Server) -> Option<PathBuf> {
    let own = profile.files.iter().find(|f| f.new_settings).map(|f| f.path.path(server));
    own.or_else(|| server.files.first().map(|f| f.path.clone()))
}

fn edit(files: &mut Vec<ConfigFile>, path: &Path, wish: &Wish) -> Result<(), Unreadable> {
    let before = files.iter().find(|f| f.path == path).map_or(&[][..], |f| &f.text.0.0);
    let (bytes, _) = super::set(path, before, &wish.name, &wish.value, &wish.why)?;
    match files.iter_mut().find(|f| f.path == path) {
        Some(file) => file.text.0.0 = bytes,
        // Its macros must be there before anybody asks for them.
        None => files.insert(0, ConfigFile::new(path.to_owned(), bytes)),
    }
    Ok(())
}

/// Certificate settings that our macro silently beats.
fn shadowed(server: &Server, wanted: &Wanted) -> Vec<Finding> {
    const BEATEN: [&str; 2] = ["MAIN_TLS_CERTIFICATE", "MAIN_TLS_PRIVATEKEY"];
    if !wanted.wishes.values().flatten().any(|w| w.name == "MAIN_TLS_CERTKEY") {
        return Vec::new();
    }
    let Ok(main) = section(&server.files, &server.defaults) else { return Vec::new() };
    let template = main.get(CERTIFICATE).map(|d| &d.path);
    let note = |name: &&str| {
        // The template's own answer for where nobody gave one is not worth a word.
        let beaten = main.get(name).filter(|d| Some(&d.path) != template)?;
        let says = format!("{name} = {} stays, and is ignored from now on", beaten.value);
        let at = Subject::File { path: beaten.path.clone(), line: beaten.line };
        Some(Finding::new("legacy-shadowed", Verdict::Pass, at, says).means("MAIN_TLS_CERTKEY comes before it"))
    };
    BEATEN.iter().filter_map(note).collect()
}
