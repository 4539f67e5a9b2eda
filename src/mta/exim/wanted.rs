//! Two macros in the one file that counts.

use super::macros_file;
use crate::{
    facts::{Server, Service},
    finding::{Finding, Subject, Verdict},
    mta::{
        dialect::Wish,
        profile::Profile,
        wanted::{Aim, Wanted},
    },
};
use std::path::Path;

pub(in crate::mta) fn is_ours(service: &Service, live: &Path) -> bool {
    let get = |name: &str| service.settings.get(name).map(|e| e.value.as_str());
    get("MAIN_TLS_ENABLE").is_some() && get("MAIN_TLS_CERTKEY").is_some_and(|v| Path::new(v) == live)
}

pub(in crate::mta) fn wanted(server: &Server, profile: &Profile, aim: &Aim<'_>) -> Wanted {
    let mut wanted = Wanted::default();
    let counts = macros_file(&server.files);
    let path = profile.files.iter().map(|f| f.path.path(&server.config_dir)).find(|p| p.file_name().is_some_and(|n| n == counts));
    let Some(path) = path else { return wanted };
    let now = |name: &str| server.services.iter().find_map(|s| s.settings.get(name));
    let wishes = wanted.wishes.entry(path).or_default();
    for setting in profile.settings.iter().filter(|s| s.is_for(&server.version) && !s.propose) {
        let value = setting.want.replace("{live}", &aim.live.to_string_lossy());
        let present = now(&setting.name).map(|e| e.value.as_str());
        if !setting.at_least.holds(present, &value) {
            wishes.push(Wish { service: None, name: setting.name.clone(), value, why: setting.why.clone() });
        }
    }
    for shadowed in ["MAIN_TLS_CERTIFICATE", "MAIN_TLS_PRIVATEKEY"] {
        if let Some(effective) = now(shadowed) {
            wanted.notes.push(
                Finding::new(
                    "legacy-shadowed",
                    Verdict::Pass,
                    Subject::Setting(shadowed.into()),
                    format!("{shadowed} = {} stays, and is ignored from now on", effective.value),
                )
                .means("MAIN_TLS_CERTKEY comes before it"),
            );
        }
    }
    wanted
}
