//! `mxseal alarm`: the admin is written what needs a human, once; and whether such a letter arrives.

use super::{Trouble, course::Ended, kept, place};
use crate::{
    apply,
    certificate::Digest,
    change::{Command, Receipt, Want},
    cli::{Alarm, Global},
    facts::Facts,
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::{self, Run, Told},
    moment::Moment,
    mta::fate::{Fate, LOGS, fate},
    name::DnsName,
    report::{self, Letter, json, json::Outcome},
    settings::Settings,
    world::{self, Look as _, Machine, Store},
};
use serde::{Deserialize, Serialize};
use std::{path::Path, thread, time::Duration};

const TOLD: &str = "watch/told.json";
const PROVED: &str = "watch/alarm.json";
/// Every mail server brings a program of this name, which takes a message at any time.
const MAILER: &str = "sendmail";
/// It takes a message within this time.
const HAND_IN: Duration = Duration::from_secs(60);
/// A server delivers to itself, or hands on to the next one, within this time.
const ARRIVES: Duration = Duration::from_secs(20);

pub(super) fn run(args: &Alarm, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "alarm", ..Outcome::default() };
    let told = if args.test { test(global, &mut outcome) } else { what_is_untold(global, &mut outcome) };
    super::close(global, told, outcome)
}

/// What the last run found and nobody was told: it died, or its letter could not be handed in.
fn what_is_untold(global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    place::needs_root()?;
    let store = Store::at(&global.state_dir);
    let settings = settings(global, &store);
    // What systemd says of the unit that failed (systemd.exec(5)); where a run ended by itself, it has told what it knows.
    let ended_by = std::env::var("MONITOR_SERVICE_RESULT").ok().filter(|result| !["exit-code", "success"].contains(&result.as_str()));
    let Some(mut run) = kept::last_run(&store).or_else(|| ended_by.as_ref().map(|_| Run::default())) else {
        return Ended::new("nothing-to-do", 0, "Nothing was ever renewed here.").tell(outcome, global);
    };
    if run.ended.is_none() || ended_by.is_some() {
        if works(&store) {
            return Ended::new("nothing-to-do", 0, "A run is at work; it tells by itself.").tell(outcome, global);
        }
        let died = Finding::new("run-died", Verdict::Fail, Subject::Host, "a run of mxseal renew did not come to its end")
            .seen(format!("the last one that is known began at {}", run.began))
            .seen(ended_by.map_or_else(|| "nobody saw how it ended".to_owned(), |by| format!("systemd saw it end by: {by}")))
            .means("whether the certificate is due, and what is served, nobody has looked at since")
            .remedy(Remedy::Command("mxseal renew".into()));
        (run.exit, run.findings) = (1, vec![died]);
    }
    let receipts = apply::receipts(&store).ok();
    match receipts.map_or(Ok(None), |receipts| tell(&store, &settings, &receipts, &run)) {
        Ok(None) => Ended::new("nothing-to-do", 0, "Nothing is to be told that was not told yet.").tell(outcome, global),
        Ok(Some(to)) => Ended::new("told", 0, format!("{to} was written.")).tell(outcome, global),
        Err(untold) => {
            outcome.findings.push((*untold).clone());
            let why = untold.evidence.into_iter().next().unwrap_or_default();
            Err(Trouble::human(format!("{}: {why}", untold.says)).about("alarm-unsent"))
        }
    }
}

/// The settings; where they cannot be used, which stops a run too, the letter goes where the last test arrived.
pub(super) fn settings(global: &Global, store: &Store) -> Settings {
    place::settings(global).unwrap_or_else(|_| Settings { alarm: proved(store).map(|p| p.address), ..Settings::default() })
}

/// Whether another run is at work on the server that stands.
fn works(store: &Store) -> bool {
    let receipts = apply::receipts(store).unwrap_or_default();
    apply::standing(&receipts).is_some_and(|r| place::lock(&r.change.config_dir).is_err())
}

/// A letter on purpose, and what became of it.
fn test(global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    place::needs_root()?;
    let store = Store::at(&global.state_dir);
    let settings = place::settings(global)?;
    let receipts = apply::receipts(&store).unwrap_or_default();
    let standing = apply::standing(&receipts);
    let Some(to) = address(&store, &settings, standing) else {
        return Err(Trouble::usage("nobody is to be written to: give an address with the key alarm of the settings").about("alarm-unsent"));
    };
    let finding = prove(&store, standing, &to);
    let exit = match finding.verdict {
        Verdict::Pass => 0,
        Verdict::Unknown => 3,
        Verdict::Warn | Verdict::Fail => 1,
    };
    if !global.json {
        report::Terminal::print(&report::findings(report::Style::of_stdout(), std::slice::from_ref(&finding)));
    }
    outcome.findings.push(finding);
    Ended::new(if exit == 0 { "proved" } else { "unproved" }, exit, "").tell(outcome, global)
}

/// Writes what of `run` is news, and keeps that it was told. Gives who was written to, or why nobody could be.
///
/// It is kept after the letter was handed in: a kill in between repeats it once, with the same Message-ID.
pub(super) fn tell(store: &Store, settings: &Settings, receipts: &[Receipt], run: &Run) -> Result<Option<String>, Box<Finding>> {
    let Some(standing) = apply::standing(receipts) else {
        // Nothing of ours is left to speak of.
        let _ = store.remove(TOLD);
        return Ok(None);
    };
    let mut needs = run.needs();
    let hushed = |name: &DnsName| kept::rest(store, name).is_some_and(|rest| !rest.is_news());
    needs.retain(|f| f.id != "renewal-failed" || !matches!(&f.subject, Subject::Mx(name) if hushed(name)));
    if needs.is_empty() && (run.exit != 0 || run.ended.is_none()) {
        return Ok(None);
    }
    let now = world::now();
    let observed = kept::last_observed(store, &standing.id);
    let served = observed.as_ref().and_then(|seen| seen.first_end());
    let near = served.map_or(0, |leaf| maintain::nearness(leaf.not_before, leaf.not_after, now));
    let told: Told = store.load(TOLD).ok().flatten().unwrap_or_default();
    let Some(why) = maintain::news(&told, &needs, near) else { return Ok(None) };
    let about = served_name(standing);
    let (subject, body) = report::alarm(&about, why, &told, &needs, served, now);
    let to = address(store, settings, Some(standing));
    if let Some(to) = to.clone() {
        // A repeated letter is the same one: it follows the same last one, and says the same.
        let same = serde_json::to_vec(&(told.at, &subject, needs.iter().map(|f| (&f.id, f.verdict)).collect::<Vec<_>>()));
        let id = format!("mxseal.{}@{about}", Digest::of(&same.unwrap_or_default()).short());
        let letter = Letter { from: sender(standing, &about), about, to, at: now, id, subject, body };
        if let Err(why) = send(&letter) {
            return Err(Box::new(
                Finding::new("alarm-unsent", Verdict::Fail, Subject::Host, "the alarm could not be handed to the mail server")
                    .seen(why)
                    .means("nobody is written; the journal and the failed unit say what needs a human")
                    .remedy(Remedy::Command("mxseal alarm --test".into())),
            ));
        }
    }
    let _ = store.save(TOLD, &Told { at: now, findings: needs, near });
    Ok(to)
}

/// An address that a letter reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProvedAddress {
    pub(super) address: String,
    pub(super) at: Moment,
}

/// The address that the last test reached.
pub(super) fn proved(store: &Store) -> Option<ProvedAddress> {
    store.load(PROVED).ok().flatten()
}

/// What a plan says where a test alarm comes with it; `None` where nobody is written to, or an earlier one arrived.
pub(super) fn note(store: &Store, settings: &Settings, facts: &Facts) -> Option<Finding> {
    let domain = facts.domains.first().filter(|_| store.is_usual()).map(|d| format!("postmaster@{}", d.domain));
    let to = settings.alarm.clone().or(domain).filter(|to| !to.is_empty())?;
    if proved(store).is_some_and(|proved| proved.address == to) {
        return None;
    }
    Some(Finding::new("alarm-test", Verdict::Pass, Subject::Host, format!("a test alarm goes to {to} at the end")))
}

/// Who is written to: the settings' address, else the postmaster of the domain that is served (RFC 5321 §4.5.1). Nobody where
/// the settings say so, or the Store is somebody's experiment.
pub(super) fn address(store: &Store, settings: &Settings, standing: Option<&Receipt>) -> Option<String> {
    match &settings.alarm {
        Some(none) if none.is_empty() => None,
        Some(given) => Some(given.clone()),
        None if store.is_usual() => standing.map(postmaster),
        None => None,
    }
}

fn postmaster(standing: &Receipt) -> String {
    let domain = standing.change.prove.iter().find_map(|e| e.domain.as_ref());
    domain.map_or_else(|| "postmaster".to_owned(), |domain| format!("postmaster@{domain}"))
}

/// From whom: a domain that this server receives for, so that a letter to elsewhere is believed and what bounces comes back.
fn sender(standing: &Receipt, about: &str) -> String {
    let from = postmaster(standing);
    if from.contains('@') { from } else { format!("{from}@{about}") }
}

/// The MX name that a change serves; empty where it promises nothing.
pub(super) fn served_name(standing: &Receipt) -> String {
    let expect = &standing.change.prove;
    let ours = expect.iter().find(|e| matches!(e.want, Want::Ours(_))).or_else(|| expect.first());
    ours.map(|e| e.name.to_string()).unwrap_or_default()
}

/// Sends a test to `to` and waits until the server has delivered it, or handed it on.
pub(super) fn prove(store: &Store, standing: Option<&Receipt>, to: &str) -> Finding {
    let at = world::now();
    let finding = |verdict, says: &str| Finding::new("alarm-test", verdict, Subject::Host, format!("a test alarm to {to} {says}"));
    let again = Remedy::Command("mxseal alarm --test".into());
    let Some(standing) = standing else {
        return finding(Verdict::Unknown, "was not sent: no change of mxseal stands on this host");
    };
    let about = served_name(standing);
    let id = format!("mxseal.{}@{about}", Digest::of(format!("{at} {to} {}", std::process::id()).as_bytes()).short());
    let body = format!(
        "{about}, {at}\n\nThis is a test. mxseal writes here when something needs you: the certificate\ncould not be renewed, or \
         something else is served than was proved; and when all\nis well again.\n"
    );
    let subject = format!("[mxseal] {about}: a test alarm");
    let letter = Letter { from: sender(standing, &about), about, to: to.to_owned(), at, id, subject, body };
    if let Err(why) = send(&letter) {
        return finding(Verdict::Warn, "could not be handed to the mail server").seen(why).remedy(again);
    }
    match arrived(&letter) {
        Fate::Delivered(line) => {
            let _ = store.save(PROVED, &ProvedAddress { address: to.to_owned(), at });
            finding(Verdict::Pass, "was delivered").seen(line)
        }
        Fate::Refused(line) => finding(Verdict::Warn, "came back")
            .seen(line)
            .means("nobody hears when something needs a human")
            .remedy(Remedy::Do("give an address that takes mail: the key alarm of the settings, or setup --alarm ADDRESS".into())),
        Fate::Waits(line) => finding(Verdict::Unknown, "waits in the queue").seen(line).remedy(again),
        Fate::Unknown => finding(Verdict::Unknown, "was taken, and the log does not say what became of it").remedy(again),
    }
}

fn send(letter: &Letter) -> Result<(), String> {
    let words = [MAILER, "-i", "-f", &letter.from, "--", &letter.to].map(str::to_owned);
    let command = Command(words.into());
    match Machine.feed(&command, letter.message().as_bytes(), &[], HAND_IN) {
        Ok(output) if output.code == 0 => Ok(()),
        Ok(output) => Err(format!("`{command}` ended with {}: {}", output.code, output.stderr.trim())),
        Err(e) => Err(e.to_string()),
    }
}

/// Looks into the logs until one of them says it, or time is up.
fn arrived(letter: &Letter) -> Fate {
    let (mut pause, mut waited, mut last) = (Duration::from_millis(100), Duration::ZERO, Fate::Unknown);
    while waited < ARRIVES {
        thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_secs(2));
        let logs = logged(letter.at);
        if logs.is_empty() {
            return Fate::Unknown;
        }
        last = fate(&logs.concat(), &letter.id, &letter.to);
        if matches!(last, Fate::Delivered(_) | Fate::Refused(_)) {
            break;
        }
    }
    last
}

/// What mail servers logged since, from each place that there is.
fn logged(since: Moment) -> Vec<String> {
    let since = format!("--since=@{}", since.0.saturating_sub(1));
    let journal = ["journalctl", "--no-pager", "--quiet", "--output=cat", &since, "SYSLOG_FACILITY=2"].map(str::to_owned).to_vec();
    let tails = LOGS.iter().filter(|log| Path::new(log).is_file()).map(|log| ["tail", "-c", "262144", log].map(str::to_owned).to_vec());
    let commands = std::iter::once(journal).chain(tails);
    let outputs = commands.filter_map(|words| Machine.run(&Command(words), Duration::from_secs(10)).ok());
    outputs.filter(|out| out.code == 0).map(|out| out.stdout + "\n").collect()
}
