//! After a power cut nobody runs "the next command": while something of ours stands on this host, a systemd unit settles an
//! open change before the mail server starts. It sleeps unless a journal is open.

use super::{COMMAND_LIMIT, is_undone, receipts};
use crate::{
    change::{Command, Meta},
    finding::{Finding, Remedy, Subject, Verdict},
    world::{Failure, Hands, Look, Store},
};
use std::{collections::BTreeMap, io, path::Path};

const TEXT: &str = include_str!("../../packaging/systemd/mxseal-recover.service");
const NAME: &str = "mxseal-recover.service";
const PLACE: &str = "/etc/systemd/system/mxseal-recover.service";
/// Where it is written first.
const STAGED: &str = "/etc/systemd/system/mxseal-recover.service.mxseal";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/mxseal-recover.service";
/// Where packages put theirs.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system/mxseal-recover.service", "/lib/systemd/system/mxseal-recover.service"];
/// The program and the Store that the packaged unit knows.
const PACKAGED_PROGRAM: &str = "/usr/bin/mxseal";
const PACKAGED_STORE: &str = "/var/lib/mxseal";
/// Systemd runs (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// What a plan says where nobody would look after a power cut yet; `None` where the unit is there.
#[must_use]
pub fn boot_note(look: &dyn Look, store: &Store) -> Option<Finding> {
    if !is_usual(store) || look.link(Path::new(ENABLED)).is_ok() {
        return None;
    }
    let note = |verdict, says: &str| Finding::new("boot-unit", verdict, Subject::File { path: PLACE.into(), line: 0 }, says);
    Some(if look.identity(Path::new(SYSTEMD)).is_ok() {
        note(Verdict::Pass, "a boot unit comes with this change and goes with the last")
            .means("after a power cut it settles an interrupted change before the mail server starts")
    } else {
        note(Verdict::Warn, "nobody settles a change here that a power cut interrupts")
            .means("the mail server would start on a configuration that was not proved")
            .remedy(Remedy::Do("systemd does not run here: let the boot run `mxseal recover` before the mail server".into()))
    })
}

/// Installs and enables the unit for `program`, where systemd runs, unless it is there. What failed is no reason to leave a
/// host without TLS, and is told.
#[must_use]
pub fn watch_boot(hands: &mut dyn Hands, store: &Store, program: &Path) -> Option<Finding> {
    let why = install(hands, store, program).err()?;
    let says = "the unit that settles an interrupted change at boot could not be installed";
    Some(
        Finding::new("boot-unit", Verdict::Warn, Subject::File { path: PLACE.into(), line: 0 }, says)
            .seen(why.to_string())
            .means("after a power cut within the seconds of a change the mail server starts on a configuration that was not proved")
            .remedy(Remedy::Do("let the boot run `mxseal recover` before the mail server".into())),
    )
}

fn install(hands: &mut dyn Hands, store: &Store, program: &Path) -> Result<(), Failure> {
    if !is_usual(store) || hands.identity(Path::new(SYSTEMD)).is_err() {
        return Ok(());
    }
    let packaged = program == Path::new(PACKAGED_PROGRAM) && PACKAGED.iter().any(|p| hands.identity(Path::new(p)).is_ok());
    let text = text(program).map_err(Failure::file(PLACE))?;
    let there = hands.read(Path::new(PLACE)).map_err(Failure::file(format!("reading {PLACE}")))?.map(|(bytes, _)| bytes);
    if !packaged && there.as_deref() != Some(text.as_bytes()) {
        let meta = Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() };
        let written = hands.stage(Path::new(STAGED), text.as_bytes(), &meta).and_then(|()| hands.swap(Path::new(STAGED), Path::new(PLACE)));
        written.map_err(Failure::file(format!("writing {PLACE}")))?;
    }
    if hands.link(Path::new(ENABLED)).is_err() {
        // It is for the next boot: the running systemd need not read it.
        hands.act(&systemctl("enable"), COMMAND_LIMIT, None)?;
    }
    Ok(())
}

/// Takes the unit away where nothing of ours stands on this host any more; a packaged one stays.
///
/// # Errors
/// When it stays. It does no harm.
pub(super) fn leave_boot(hands: &mut dyn Hands, store: &Store) -> Result<(), Failure> {
    let receipts = receipts(store).map_err(Failure::file("reading the receipts"))?;
    let stands = receipts.iter().any(|r| r.change.undoes.is_none() && !is_undone(r, &receipts));
    if stands || !is_usual(store) {
        return Ok(());
    }
    // Of a run that died while it wrote.
    hands.unlink(Path::new(STAGED)).map_err(Failure::file(format!("removing {STAGED}")))?;
    if hands.read(Path::new(PLACE)).map_err(Failure::file(format!("reading {PLACE}")))?.is_none() {
        return Ok(());
    }
    hands.act(&systemctl("disable"), COMMAND_LIMIT, None)?;
    hands.unlink(Path::new(PLACE)).map_err(Failure::file(format!("removing {PLACE}")))?;
    // A `systemctl enable` outlives the run that started it, and may have come in between.
    hands.unlink(Path::new(ENABLED)).map_err(Failure::file(format!("removing {ENABLED}")))
}

fn systemctl(verb: &str) -> Command {
    Command(["systemctl", "--quiet", "--no-reload", verb, NAME].map(str::to_owned).to_vec())
}

/// Another Store is somebody's experiment, which the next boot does not know.
fn is_usual(store: &Store) -> bool {
    store.path("") == Path::new(PACKAGED_STORE)
}

/// The unit for this program.
fn text(program: &Path) -> io::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    match program.to_str().filter(|p| p.starts_with('/') && p.chars().all(plain)) {
        Some(program) => Ok(TEXT.replace(&format!("ExecStart={PACKAGED_PROGRAM} "), &format!("ExecStart={program} "))),
        None => Err(io::Error::other(format!("systemd cannot be told to start {}: move the program", program.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_the_program_that_runs() {
        assert_eq!(text(Path::new(PACKAGED_PROGRAM)).unwrap(), TEXT);
        let ours = text(Path::new("/usr/local/bin/mxseal")).unwrap();
        assert!(ours.contains("\nExecStart=/usr/local/bin/mxseal recover\n"), "{ours}");
        assert!(text(Path::new("/opt/a %n/mxseal")).is_err());
        assert!(TEXT.contains(&format!("ConditionPathExists={PACKAGED_STORE}/journal/open")));
    }
}
