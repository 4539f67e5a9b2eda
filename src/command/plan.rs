//! `mxseal plan`: what setup would do on a host that we never touched, from the facts that a survey wrote down there.

use super::{Trouble, place};
use crate::{
    cli::{Global, Plan},
    facts::{FACTS_VERSION, Facts},
    intent::Intent,
    plan,
    publish::prospects,
    report::{self, Style, Terminal, json, json::Outcome},
    settings::Settings,
};
use serde_json::Value;
use std::{collections::BTreeSet, io::Read as _, path::Path};

pub(super) fn run(args: &Plan, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "plan", ..Outcome::default() };
    let told = tell(args, global, &mut outcome);
    super::close(global, told, outcome)
}

fn tell(args: &Plan, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    let facts = read(&args.facts)?;
    let (intent, settings) = wishes(args, global)?;
    let profile = place::profile_of(&facts, &place::profiles(global)?)?;
    let mut planned = plan::plan(&facts, &intent, &profile).map_err(place::refused)?;
    if planned.next.is_some() {
        let prospects = prospects(&facts, &settings.mx, settings.policy_host, &BTreeSet::new());
        planned.follow(super::tell::notes(&facts, &settings.mx, &settings, &prospects));
    }
    outcome.plan = Some(json::PlanDoc::of(&facts.config_files(), &planned));
    outcome.findings.extend(planned.findings().cloned());
    (outcome.outcome, outcome.exit) = match (&planned.next, planned.held.is_empty()) {
        (_, false) => ("held", 1),
        (None, true) => ("nothing-to-do", 0),
        (Some(_), true) => ("planned", 0),
    };
    if !global.json {
        let head = format!("{} · {} · as surveyed {}\n", facts.host.hostname, facts.host.os, facts.now);
        Terminal::print(&(head + &report::plan_page(Style::of_stdout(), &facts.config_files(), &planned, 1)));
    }
    Ok(())
}

/// The wishes that count there: flags, and the settings file that came with the facts. This host's own do not.
fn wishes(args: &Plan, global: &Global) -> Result<(Intent, Settings), Trouble> {
    let flags = Settings {
        domain: args.domains.clone(),
        mx: args.mx.clone(),
        acme_directory: args.acme_directory.clone(),
        acme_profile: args.acme_profile.clone(),
        key_type: args.key_type.map(Into::into),
        certificates: args.certificates.map(Into::into),
        existing: args.existing.wish(),
        ..Settings::default()
    };
    let from = args.from.as_ref().map(|file| Settings::named(file, "--from")).transpose().map_err(place::unusable)?;
    let wishes = flags.over(from.unwrap_or_default());
    let intent = Intent {
        domains: wishes.domain.clone(),
        mx: wishes.mx.clone(),
        key_types: wishes.key_type,
        directory: wishes.acme_directory.clone(),
        acme_profile: wishes.acme_profile.clone(),
        live_dir: place::live_dir(global),
        certificates: wishes.certificates.unwrap_or_default(),
        with: wishes.with.clone(),
        existing: wishes.existing,
        ..Intent::default()
    };
    Ok((intent, wishes))
}

/// The facts of a file; the version is looked at first, so that another format is not blamed on its content.
fn read(path: &Path) -> Result<Facts, Trouble> {
    let wrong = |why: String| Trouble::usage(format!("--facts {}: {why}", path.display())).about("facts-unusable");
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|all| text = all)
    };
    read.map_err(|e| wrong(e.to_string()))?;
    let document: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("this is no JSON document: {e}")))?;
    let survey = "give what `mxseal survey --json` printed on the host";
    if let (Some(error), Some("survey")) = (document["error"].as_str(), document["verb"].as_str()) {
        return Err(wrong(format!("the survey failed there: {error}")));
    }
    match (document["version"].as_u64(), document.get("server")) {
        (Some(version), Some(_)) if version == u64::from(FACTS_VERSION) => {}
        (Some(version), Some(_)) => {
            let other = if version > u64::from(FACTS_VERSION) { "a newer" } else { "an older" };
            return Err(wrong(format!(
                "{other} mxseal wrote these facts (format {version}, this one reads {FACTS_VERSION}): plan with the version that surveyed, or survey again"
            )));
        }
        _ => return Err(wrong(format!("this is no survey: {survey}"))),
    }
    serde_json::from_value(document).map_err(|e| wrong(format!("this survey is damaged, or another version wrote it: {e}; {survey}")))
}
