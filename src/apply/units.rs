//! The systemd units that stand beside a change: one settles a change that a power cut interrupted, before the mail server
//! starts, and a timer renews what falls due. They come with the first change and go with the last.

use super::{COMMAND_LIMIT, receipts, standing};
use crate::{
    change::{Command, Meta},
    finding::{Finding, Remedy, Subject, Verdict},
    world::{Failure, Hands, Look, Store},
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// A unit file, as a package brings it.
struct Unit {
    name: &'static str,
    text: &'static str,
    /// What pulls it in at boot, where anything does.
    wanted_by: Option<&'static str>,
}

const UNITS: [Unit; 4] = [
    Unit {
        name: "mxseal-recover.service",
        text: include_str!("../../packaging/systemd/mxseal-recover.service"),
        wanted_by: Some("multi-user.target"),
    },
    Unit { name: "mxseal-alarm.service", text: include_str!("../../packaging/systemd/mxseal-alarm.service"), wanted_by: None },
    Unit { name: "mxseal-renew.service", text: include_str!("../../packaging/systemd/mxseal-renew.service"), wanted_by: None },
    Unit { name: TIMER, text: include_str!("../../packaging/systemd/mxseal-renew.timer"), wanted_by: Some("timers.target") },
];
/// What serves policies: they come with the first policy that this host serves, and go with the last.
const POLICY_UNITS: [Unit; 2] = [
    Unit { name: POLICY_SERVICE, text: include_str!("../../packaging/systemd/mxseal-policy.service"), wanted_by: None },
    Unit { name: POLICY_SOCKET, text: include_str!("../../packaging/systemd/mxseal-policy.socket"), wanted_by: Some("sockets.target") },
];
const POLICY_SOCKET: &str = "mxseal-policy.socket";
const POLICY_SERVICE: &str = "mxseal-policy.service";
/// Begins now, not at the next boot.
const TIMER: &str = "mxseal-renew.timer";
/// When the timer last began its service, which `Persistent=` asks.
const TIMER_STAMP: &str = "/var/lib/systemd/timers/stamp-mxseal-renew.timer";

const PLACE: &str = "/etc/systemd/system";
/// Where packages put theirs.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// The first line of a unit that we wrote. One without it is the admin's, who has another in the place of the package's.
const MARK: &str = "# mxseal wrote this file, and takes it away with the last change.\n";
/// The program that the packaged units know.
const PACKAGED_PROGRAM: &str = "/usr/bin/mxseal";
/// Systemd runs (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

impl Unit {
    /// Where admins have theirs, and we ours.
    fn place(&self) -> PathBuf {
        Path::new(PLACE).join(self.name)
    }

    /// Where it is written first.
    fn staged(&self) -> PathBuf {
        Path::new(PLACE).join(format!("{}.mxseal", self.name))
    }

    /// The link that enables it.
    fn enabled(&self) -> Option<PathBuf> {
        self.wanted_by.map(|target| Path::new(PLACE).join(format!("{target}.wants")).join(self.name))
    }

    /// A link in our file's place is the admin's: a mask (`systemctl(1)`), or a unit of their own.
    fn is_masked(&self, look: &dyn Look) -> bool {
        look.link(&self.place()).is_ok()
    }

    /// Still to be enabled.
    fn sleeps(&self, look: &dyn Look) -> bool {
        // The link outlives a package that was removed.
        let there = || self.is_packaged(look) || look.identity(&self.place()).is_ok();
        !self.is_masked(look) && self.enabled().is_some_and(|link| look.link(&link).is_err() || !there())
    }

    /// A package has brought it.
    fn is_packaged(&self, look: &dyn Look) -> bool {
        PACKAGED.iter().any(|dir| look.identity(&Path::new(dir).join(self.name)).is_ok())
    }

    /// What lies in our file's place.
    fn lies(&self, look: &dyn Look) -> Result<Lies, Failure> {
        let place = self.place();
        let there = look.read(&place).map_err(Failure::file(format!("reading {}", place.display())))?;
        Ok(match there {
            None => Lies::Nothing,
            Some((bytes, _)) if bytes.starts_with(MARK.as_bytes()) => Lies::Ours(bytes),
            Some(_) => Lies::Theirs,
        })
    }
}

/// What lies in the place of a unit of ours.
enum Lies {
    Nothing,
    Ours(Vec<u8>),
    /// The admin's own.
    Theirs,
}

/// What a plan says where nobody would look after a power cut yet, or renew; `None` where the units of `program` are there.
#[must_use]
pub fn units_note(look: &dyn Look, store: &Store, program: &Path) -> Option<Finding> {
    if !store.is_usual() || !UNITS.iter().any(|unit| unit.sleeps(look)) {
        return None;
    }
    let nobody = || {
        note(Verdict::Warn, "nobody renews here, and nobody settles a change that a power cut interrupts")
            .means("the certificate would expire, and the mail server could start on a configuration that was not proved")
    };
    Some(if !runs_systemd(look) {
        nobody().remedy(Remedy::Do(by_hand("systemd does not run here: ", program)))
    } else if let Some(open) = others_write(look, program) {
        nobody().seen(open).remedy(Remedy::Do(format!(
            "root's timer starts only what nobody but root can write, so put the program there and run setup once more: \
             sudo install -m 755 {} {PACKAGED_PROGRAM} && sudo {PACKAGED_PROGRAM} setup",
            program.display()
        )))
    } else {
        note(Verdict::Pass, "a timer and a boot unit come now, and go with the last change")
            .means("what falls due is renewed, and an interrupted change is settled before the mail server starts")
    })
}

/// Why root's units must not start `program`: others than root could put something else in its place.
fn others_write(look: &dyn Look, program: &Path) -> Option<String> {
    // The package's start its own.
    if UNITS.iter().all(|unit| unit.is_packaged(look)) {
        return None;
    }
    match look.first_open_to_others(program) {
        Ok(None) => None,
        Ok(Some(part)) => Some(format!("others than root may write {}", part.display())),
        Err(e) => Some(format!("whether others than root may write {} could not be seen: {e}", program.display())),
    }
}

/// Installs, enables and starts the units for `program`, where systemd runs, unless they are there. What failed is no reason
/// to leave a host without TLS, and is told.
#[must_use]
pub fn install_units(hands: &mut dyn Hands, store: &Store, program: &Path) -> Option<Finding> {
    let why = install(hands, store, program).err()?;
    Some(
        note(Verdict::Warn, "the units that renew, and settle an interrupted change at boot, could not be installed")
            .seen(why.to_string())
            .means("the certificate expires unless somebody renews it; after a power cut within the seconds of a change the mail server starts on a configuration that was not proved")
            .remedy(Remedy::Do(by_hand("", program))),
    )
}

fn install(hands: &mut dyn Hands, store: &Store, program: &Path) -> Result<(), Failure> {
    if !store.is_usual() || !runs_systemd(hands) {
        return Ok(());
    }
    // Said in the plan.
    if others_write(hands, program).is_some() {
        return Ok(());
    }
    let ticks = UNITS.iter().any(|unit| unit.name == TIMER && !unit.is_masked(hands));
    if lay(hands, &UNITS, program)? && ticks {
        hands.act(&systemctl(&["start"], [TIMER]), COMMAND_LIMIT, None)?;
    }
    Ok(())
}

/// Writes the units that are missing or for another program, and enables them; whether there was anything to do.
fn lay(hands: &mut dyn Hands, units: &[Unit], program: &Path) -> Result<bool, Failure> {
    let wanted: Vec<&Unit> = units.iter().filter(|unit| !unit.is_masked(hands)).collect();
    let mut news = wanted.iter().any(|unit| unit.sleeps(hands));
    for unit in &wanted {
        let place = unit.place();
        let lies = unit.lies(hands)?;
        if matches!(lies, Lies::Theirs) || unit.is_packaged(hands) {
            continue;
        }
        let text = text(unit, program).map_err(Failure::file(place.display().to_string()))?;
        if matches!(lies, Lies::Ours(bytes) if bytes == text.as_bytes()) {
            continue;
        }
        let meta = Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() };
        let written = hands.stage(&unit.staged(), text.as_bytes(), &meta).and_then(|()| hands.swap(&unit.staged(), &place));
        written.map_err(Failure::file(format!("writing {}", place.display())))?;
        news = true;
    }
    if news {
        // The running systemd reads them all with it.
        let names = wanted.iter().filter(|unit| unit.wanted_by.is_some()).map(|unit| unit.name);
        hands.act(&systemctl(&["enable"], names), COMMAND_LIMIT, None)?;
    }
    Ok(news)
}

/// Installs and starts what serves policies on port 443; where the file is `new`, it is served from now on. Who connects meanwhile
/// waits at the socket. What failed is told.
#[must_use]
pub fn start_policy_host(hands: &mut dyn Hands, store: &Store, program: &Path, new: bool) -> Option<Finding> {
    let by_hand = |why: &str| {
        let served = store.path("policy-host/served.json");
        let says = format!("{why}let something start `{} serve --listen [::]:443 --file {}`", program.display(), served.display());
        Finding::new("policy-host-units", Verdict::Warn, Subject::Host, "nothing serves the policies on port 443 yet")
            .remedy(Remedy::Do(says))
    };
    if !runs_systemd(hands) {
        return Some(by_hand("systemd does not run here: "));
    }
    if !store.is_usual() {
        return Some(by_hand("the units know the usual state directory alone: "));
    }
    if !POLICY_UNITS.iter().all(|unit| unit.is_packaged(hands))
        && let Ok(Some(open)) = hands.first_open_to_others(program)
    {
        let why = format!("others than root may write {}, so root's systemd does not start it: ", open.display());
        return Some(by_hand(&why));
    }
    if let Some(masked) = POLICY_UNITS.iter().find(|unit| unit.is_masked(hands)) {
        return Some(by_hand(&format!("{} is masked, and stays so: systemctl unmask it, or ", masked.name)));
    }
    let mut start = || {
        lay(hands, &POLICY_UNITS, program)?;
        hands.act(&systemctl(&["start"], [POLICY_SOCKET]), COMMAND_LIMIT, None)?;
        if new { hands.act(&systemctl(&["try-restart"], [POLICY_SERVICE]), COMMAND_LIMIT, None) } else { Ok(()) }
    };
    let why = start().err()?;
    let remedy = Remedy::Command(format!("systemctl status {POLICY_SOCKET} {POLICY_SERVICE}"));
    Some(
        Finding::new("policy-host-units", Verdict::Fail, Subject::Host, "the policy host could not be started")
            .seen(why.to_string())
            .remedy(remedy),
    )
}

/// What makes the service that serves policies read its file again; `None` where systemd does not hold its socket.
#[must_use]
pub fn policy_host_reload(look: &dyn Look, store: &Store) -> Option<Command> {
    if !store.is_usual() || !runs_systemd(look) {
        return None;
    }
    let listens = look.run(&systemctl(&["is-active"], [POLICY_SOCKET]), COMMAND_LIMIT).is_ok_and(|said| said.code == 0);
    listens.then(|| systemctl(&["try-restart"], [POLICY_SERVICE]))
}

/// Stops what serves policies, and takes its units away.
#[must_use]
pub fn stop_policy_host(hands: &mut dyn Hands, store: &Store) -> Option<Finding> {
    if !store.is_usual() || !runs_systemd(hands) {
        return None;
    }
    let mut stop = || {
        // One that is masked is the admin's.
        let awake: Vec<&str> = POLICY_UNITS.iter().rev().filter(|unit| !unit.is_masked(hands)).map(|unit| unit.name).collect();
        if !awake.is_empty() {
            hands.act(&systemctl(&["disable", "--now"], awake), COMMAND_LIMIT, None)?;
        }
        for unit in &POLICY_UNITS {
            if !unit.is_masked(hands) && matches!(unit.lies(hands)?, Lies::Ours(_)) {
                let place = unit.place();
                hands.unlink(&place).map_err(Failure::file(format!("removing {}", place.display())))?;
            }
        }
        hands.act(&systemctl(&["daemon-reload"], []), COMMAND_LIMIT, None)
    };
    let why = stop().err()?;
    let says = "the policy host could not be stopped, and serves nothing any more";
    Some(Finding::new("policy-host-units", Verdict::Warn, Subject::Host, says).seen(why.to_string()))
}

/// Takes the units away where nothing of ours stands on this host any more; packaged ones stay.
///
/// # Errors
/// When one stays. It does no harm.
pub(super) fn remove_units(hands: &mut dyn Hands, store: &Store) -> Result<(), Failure> {
    let receipts = receipts(store).map_err(Failure::file("reading the receipts"))?;
    if standing(&receipts).is_some() || !store.is_usual() {
        return Ok(());
    }
    let remove = |hands: &mut dyn Hands, path: PathBuf| hands.unlink(&path).map_err(Failure::file(format!("removing {}", path.display())));
    let mut ours = Vec::new();
    for unit in &UNITS {
        // Of a run that died while it wrote.
        remove(hands, unit.staged())?;
        if !unit.is_masked(hands) && matches!(unit.lies(hands)?, Lies::Ours(_)) {
            ours.push(unit);
        }
    }
    if ours.is_empty() {
        return Ok(());
    }
    let awake = runs_systemd(hands);
    if awake && ours.iter().any(|unit| unit.name == TIMER) {
        hands.act(&systemctl(&["stop"], [TIMER]), COMMAND_LIMIT, None)?;
    }
    hands.act(&systemctl(&["--no-reload", "disable"], ours.iter().map(|unit| unit.name)), COMMAND_LIMIT, None)?;
    for unit in &ours {
        remove(hands, unit.place())?;
        // A `systemctl enable` outlives the run that started it, and may have come in between.
        unit.enabled().map_or(Ok(()), |link| remove(hands, link))?;
    }
    remove(hands, TIMER_STAMP.into())?;
    if awake { hands.act(&systemctl(&["daemon-reload"], []), COMMAND_LIMIT, None) } else { Ok(()) }
}

fn note(verdict: Verdict, says: &str) -> Finding {
    Finding::new("units", verdict, Subject::File { path: PLACE.into(), line: 0 }, says)
}

fn systemctl<'a>(verb: &[&'a str], names: impl IntoIterator<Item = &'a str>) -> Command {
    let words = ["systemctl", "--quiet"].into_iter().chain(verb.iter().copied()).chain(names);
    Command(words.map(str::to_owned).collect())
}

/// What an admin does where systemd does not.
fn by_hand(why: &str, program: &Path) -> String {
    format!("{why}let the boot run `mxseal recover` before the mail server, and write to /etc/cron.d/mxseal: {}", cron_line(program))
}

/// A line of `/etc/cron.d`: cron mails what is said, and nothing is said unless a human is needed.
fn cron_line(program: &Path) -> String {
    format!("17 */4 * * * root said=$({} renew 2>&1) || echo \"$said\"", program.display())
}

fn runs_systemd(look: &dyn Look) -> bool {
    look.identity(Path::new(SYSTEMD)).is_ok()
}

/// The unit for this program.
fn text(unit: &Unit, program: &Path) -> io::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    match program.to_str().filter(|p| p.starts_with('/') && p.chars().all(plain)) {
        Some(program) => {
            Ok(MARK.to_owned() + &unit.text.replace(&format!("ExecStart={PACKAGED_PROGRAM} "), &format!("ExecStart={program} ")))
        }
        None => Err(io::Error::other(format!("systemd cannot be told to start {}: move the program", program.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_units_start_the_program_that_runs() {
        for (unit, verb) in UNITS.iter().zip([Some("recover"), Some("alarm"), Some("renew"), None]) {
            assert_eq!(text(unit, Path::new(PACKAGED_PROGRAM)).unwrap(), format!("{MARK}{}", unit.text));
            let ours = text(unit, Path::new("/usr/local/bin/mxseal")).unwrap();
            let starts: Vec<&str> = ours.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
            assert_eq!(starts, verb.iter().map(|verb| format!("/usr/local/bin/mxseal {verb}")).collect::<Vec<_>>());
            assert!(text(unit, Path::new("/opt/a %n/mxseal")).is_err());
            let wanted = unit.text.lines().find_map(|line| line.strip_prefix("WantedBy="));
            assert_eq!(wanted, unit.wanted_by, "{}", unit.name);
        }
        assert!(UNITS[0].text.contains("ConditionPathExists=/var/lib/mxseal/journal/open"));
    }

    /// In the shell that cron starts: silent unless a human is needed.
    #[test]
    fn cron_hears_only_of_what_needs_a_human() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("mxseal");
        for (code, heard) in [(0, ""), (1, "told\n  renew  twice\n"), (3, "told\n  renew  twice\n")] {
            std::fs::write(&program, format!("#!/bin/sh\necho told >&2\necho \"  $1  twice\"\nexit {code}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let line = cron_line(&program);
            let command = line.strip_prefix("17 */4 * * * root ").unwrap();
            // cron(8) ends a command at the first of these.
            assert!(!command.contains('%'));
            let output = std::process::Command::new("sh").args(["-c", command]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
            assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.stderr.len()), (heard, 0), "exit {code}");
        }
    }
}
