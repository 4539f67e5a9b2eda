//! Did it go as promised? What a fault left behind, against what setup promises for it.

use super::Brief;
use crate::{
    apply,
    certificate::Certificate,
    cli::Global,
    command::{Trouble, place::Site},
    facts::Facts,
    rehearsal::{Fault, Fingerprint, Moves},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json::Outcome},
    view::{EndpointView, Offer},
    world::room,
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A killed run is cleared up within this time.
const CLEARED: Duration = Duration::from_secs(60);

/// How the course ended.
pub(super) enum Fate {
    /// It came to its end, and told it: `proved`, `put-back`, ….
    Told(&'static str),
    /// It stopped with a sentence.
    Stopped(Trouble),
    /// It was killed on the way.
    Killed,
}

impl Fate {
    pub(super) const fn of(outcome: &Outcome) -> Self {
        Self::Told(outcome.outcome)
    }

    /// For the user, where no fault was asked for.
    pub(super) fn told(self) -> Result<(), Trouble> {
        match self {
            Self::Stopped(trouble) => Err(trouble),
            Self::Told(_) | Self::Killed => Ok(()),
        }
    }
}

/// What setup promises for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// It does no harm: the change is proved all the same.
    Proved,
    /// Setup stops before any file is touched, and the server serves what it served.
    Untouched,
    /// Everything is put back, and the server serves what it served.
    PutBack,
    /// Every file is put back, and the user is told that the server does not run.
    FilesBack,
}

const fn promise(fault: Fault) -> Promise {
    match fault {
        Fault::CaSlow | Fault::DnsUnsigned => Promise::Proved,
        Fault::CaRefuses | Fault::CaCannotReach | Fault::CaVanishes | Fault::WrongKey | Fault::DnsBogus => Promise::Untouched,
        Fault::ReloadIgnored | Fault::Killed => Promise::PutBack,
        Fault::ServerDies => Promise::FilesBack,
    }
}

/// What was there before.
pub(super) struct Witness {
    trees: Vec<(PathBuf, Moves)>,
    files: Fingerprint,
    served: BTreeMap<SocketAddr, Vec<String>>,
}

impl Witness {
    pub(super) fn before(trees: Vec<(PathBuf, Moves)>, facts: &Facts) -> io::Result<Self> {
        Ok(Self { files: Fingerprint::of(&trees)?, trees, served: served(&facts.views) })
    }

    fn now(&self) -> io::Result<Fingerprint> {
        Fingerprint::of(&self.trees)
    }
}

/// The certificates of each address, without repetition.
fn served(views: &[EndpointView]) -> BTreeMap<SocketAddr, Vec<String>> {
    let mut all: BTreeMap<SocketAddr, Vec<String>> = BTreeMap::new();
    for view in views.iter().filter(|v| v.probe.offer != Offer::Legacy) {
        let shown = all.entry(view.probe.addr).or_default();
        // A server without one makes a certificate up, another one at each start.
        let known_by = |l: &Certificate| if l.self_signed { format!("{} {}", l.issuer, l.serial) } else { l.digest.0.clone() };
        shown.extend(view.leaf().map(known_by));
        shown.sort();
        shown.dedup();
    }
    all
}

/// Runs the real setup as a process of its own, kills it when it has changed a file, before the proof, and waits until its
/// guard has cleared up. `ca` is the directory and the root of its API.
pub(super) async fn killed(
    site: &Site,
    global: &Global,
    ca: [&str; 2],
    brief: &Brief,
    witness: &Witness,
    progress: &Progress,
) -> Result<Fate, Trouble> {
    let mut words: Vec<String> = ["setup", "--yes", "--non-interactive", "--agree-tos", "--no-email"].map(ToOwned::to_owned).into();
    let one = |path: &PathBuf| vec![path.display().to_string()];
    for (flag, values) in [
        ("--state-dir", one(&global.state_dir)),
        ("--config", one(&global.config)),
        ("--mta", site.place.mta.iter().cloned().collect()),
        ("--http-port", vec![site.net.http_port.to_string()]),
        ("--mta-config", one(&brief.config_dir)),
        ("--acme-directory", vec![ca[0].to_owned()]),
        ("--acme-ca-file", vec![ca[1].to_owned()]),
        ("--trust-anchor", site.place.trust_anchors.iter().flat_map(one).collect()),
        ("--dnssec-anchor", site.place.dnssec_anchor.iter().flat_map(one).collect()),
        ("--resolver", site.place.resolver.iter().map(ToString::to_string).collect()),
        ("--domain", site.place.domains.iter().map(ToString::to_string).collect()),
        ("--mx", site.place.mx.iter().map(ToString::to_string).collect()),
    ] {
        words.extend(values.into_iter().flat_map(|v| [flag.to_owned(), v]));
    }
    let wrong = |e: io::Error| Trouble::human(format!("the run that was to be killed: {e}"));
    let mut run = room::actor(&words).map_err(wrong)?;
    let changed = || witness.now().is_ok_and(|now| witness.files.rewritten(&now));
    let until = Instant::now() + CLEARED;
    while !changed() {
        if run.try_wait().map_err(wrong)?.is_some() || Instant::now() > until {
            return Ok(Fate::Stopped(Trouble::human("the run ended before it could be killed")));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    progress.see(Event::Started("kill setup between its change and the proof".into()));
    run.kill().await.map_err(wrong)?;
    progress.see(Event::Done("killed".into()));
    progress.see(Event::Started("wait for its guard".into()));
    while apply::open_change(&site.store).is_ok_and(|open| open.is_some()) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let open = apply::open_change(&site.store).is_ok_and(|open| open.is_some());
    progress.see(Event::Done(if open { "it did not end" } else { "it has ended the change" }.into()));
    Ok(Fate::Killed)
}

/// Compares what is with what was, and tells whether the promise was kept.
pub(super) async fn verdict(
    fault: Fault,
    fate: Fate,
    witness: &Witness,
    site: &Site,
    outcome: &mut Outcome,
    global: &Global,
) -> Result<(), Trouble> {
    let now = witness.now().map_err(|e| Trouble::human(format!("the copy cannot be looked at: {e}")))?;
    let (touched, other) = (witness.files.differences(&now), witness.files.other_contents(&now));
    let serves = served(&site.look().await?.views) == witness.served;
    let (word, said) = match fate {
        Fate::Told(word) => (word, None),
        Fate::Stopped(trouble) => ("stopped", Some(trouble.says)),
        Fate::Killed => ("killed", None),
    };
    let (kept, says) = match promise(fault) {
        Promise::Proved => (word == "proved", "the change was proved all the same"),
        Promise::Untouched => (
            matches!(word, "stopped" | "held") && touched.is_empty() && serves,
            "setup stopped before it touched a file, and the server serves what it served",
        ),
        Promise::PutBack => (
            matches!(word, "killed" | "put-back") && other.is_empty() && serves,
            "every file holds what it held, and the server serves what it served",
        ),
        // What tells a server that is restarted of a change starts one that has ended, too.
        Promise::FilesBack if word == "put-back" => {
            (other.is_empty() && serves, "every file holds what it held, and the server was started again")
        }
        Promise::FilesBack => {
            (word == "failed" && other.is_empty(), "every file holds what it held; only the server has to be started again by hand")
        }
    };
    let wrapped = |text: &str| report::row(Style::of_stdout(), "", text);
    let mut page = said.as_ref().map_or_else(String::new, |said| wrapped(&format!("\nSetup stopped: {said}")));
    if kept {
        page.push_str(&wrapped(&format!("\nAs promised: {says}.")));
        (outcome.outcome, outcome.exit, outcome.says) = ("recovered", 0, says.to_owned());
    } else {
        let wire = if serves { "as before" } else { "something else" };
        let says = format!("promised was: {says}; but setup {word}, {} files differ, the server serves {wire}", other.len());
        page.push_str(&wrapped(&format!("\nNot as {says}.")));
        (outcome.outcome, outcome.exit, outcome.says) = ("failed", 1, says);
    }
    outcome.error = outcome.error.take().or(said);
    if !global.json {
        Terminal::print(&page);
    }
    Ok(())
}
