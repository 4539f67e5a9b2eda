//! Whom the end of a run is told: the journal, a textfile, a letter.

use super::{
    Trouble, alarm,
    kept::{self, RUN},
};
use crate::{
    apply,
    change::Meta,
    cli::Global,
    finding::{Finding, Subject, Verdict},
    maintain::Run,
    report::{self, Style, Terminal, json::Outcome},
    world::{self, Hands as _, Machine, Store},
};
use std::{collections::BTreeMap, io, path::Path};

/// The journal's word for the end of a run, and for one thing that it found: `journalctl MESSAGE_ID=`.
const RAN: &str = "8b1d3fd3a4c94f6ab1b1c8f0b6a7d2e5";
const FOUND: &str = "c1f4a9e27d5b4c0e9a6631d2f08b7e94";

/// A run ended: what it found is kept and told. What of that could not be done is found too.
pub(super) fn ended(global: &Global, textfile: Option<&Path>, told: &Result<(), Trouble>, outcome: &mut Outcome) {
    let about = told.as_ref().err().and_then(|trouble| trouble.about);
    let store = Store::at(&global.state_dir);
    if about == Some("run-busy") || about == Some("root-needed") || !store.path("receipts").is_dir() {
        return;
    }
    let settings = alarm::settings(global, &store);
    let now = world::now();
    let mut run = kept::last_run(&store).filter(|run| run.ended.is_none()).unwrap_or(Run { began: now, ..Run::default() });
    (run.ended, run.exit, run.outcome) = (Some(now), outcome.exit, outcome.outcome.to_owned());
    run.findings = outcome.findings.clone();
    if let Err(trouble) = told {
        (run.exit, run.outcome) = (trouble.exit, "failed".to_owned());
        // A renewal that failed says so itself.
        if run.findings.iter().all(|f| f.id != "renewal-failed") {
            run.findings.push(Finding::new(about.unwrap_or("run-failed"), Verdict::Fail, Subject::Host, &trouble.says));
        }
    }
    let unkept = store.save(RUN, &run).err().map(|e| {
        Finding::new(
            "state-unusable",
            Verdict::Warn,
            Subject::File { path: store.path(RUN), line: 0 },
            "the end of this run could not be kept",
        )
        .seen(e.to_string())
    });
    let receipts = apply::receipts(&store).ok();
    let untold = receipts.as_ref().and_then(|all| alarm::tell(&store, &settings, all, &run).err()).map(|why| *why);
    let unwritten = textfile.or(settings.textfile.as_deref()).and_then(|file| write(&store, file));
    let lineage = receipts.as_deref().and_then(apply::standing).map(alarm::served_name).unwrap_or_default();
    journal(&store, &lineage, &run, untold.as_ref());
    let more: Vec<Finding> = [unkept, untold, unwritten].into_iter().flatten().collect();
    if !more.is_empty() && outcome.exit == 0 {
        outcome.exit = 1;
    }
    if !global.json {
        Terminal::print(&report::findings(Style::of_stdout(), &more));
    }
    outcome.findings.extend(more);
}

/// The metrics of the host as it was seen last, in a file that everybody may read, replaced whole.
pub(super) fn write(store: &Store, file: &Path) -> Option<Finding> {
    let why = textfile(store, file).err()?;
    let says = "the metrics could not be written";
    let finding = Finding::new("textfile-unwritten", Verdict::Warn, Subject::File { path: file.to_owned(), line: 0 }, says);
    Some(finding.seen(why.to_string()).means("whoever watches by that file sees old figures"))
}

fn textfile(store: &Store, file: &Path) -> io::Result<()> {
    let receipts = apply::receipts(store)?;
    let standing = apply::standing(&receipts);
    let observed = standing.and_then(|r| kept::last_observed(store, &r.id));
    let proved = standing.filter(|r| !r.unproved).map(|r| r.proved);
    let text = report::metrics(observed.as_ref(), kept::last_run(store).as_ref(), proved);
    let name = file.file_name().ok_or_else(|| io::Error::other("this names no file"))?.to_string_lossy();
    // The collector reads what ends in .prom.
    let (mut machine, beside) = (Machine, file.with_file_name(format!(".{name}.new")));
    machine.stage(&beside, text.as_bytes(), &Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() })?;
    machine.swap(&beside, file)
}

/// One entry for the run, and one for each thing that needs a human.
fn journal(store: &Store, lineage: &str, run: &Run, untold: Option<&Finding>) {
    if !store.is_usual() {
        return;
    }
    let entry = |message: &str, id: &str, priority: &str, more: &[(&str, &str)]| {
        let fields = [
            ("MESSAGE", message),
            ("MESSAGE_ID", id),
            ("PRIORITY", priority),
            ("SYSLOG_IDENTIFIER", "mxseal"),
            ("MXSEAL_LINEAGE", lineage),
        ];
        let _ = world::journal(&[&fields[..], more].concat());
    };
    // Where no letter could be sent this is the alarm.
    for finding in run.needs().iter().chain(untold) {
        let priority = match (untold, finding.verdict) {
            (Some(_), _) => "2",
            (None, Verdict::Fail) => "3",
            (None, _) => "4",
        };
        let message = format!("{}: {} [{}]", finding.subject, finding.says, finding.id);
        entry(&message, FOUND, priority, &[("MXSEAL_FINDING", &finding.id), ("MXSEAL_VERDICT", &finding.verdict.to_string())]);
    }
    let (message, exit) = (format!("renew ended: {}", run.outcome), run.exit.to_string());
    let priority = if run.exit == 0 { "6" } else { "4" };
    entry(&message, RAN, priority, &[("MXSEAL_OUTCOME", &run.outcome), ("MXSEAL_EXIT", &exit)]);
}
