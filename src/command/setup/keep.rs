//! What was said to a setup that stands is kept in the settings file: the next run, and the timer, are told the same.

use crate::{
    change::Meta,
    command::Trouble,
    finding::{Finding, Remedy, Subject, Verdict},
    report::{Event, Observer as _, Progress},
    settings::{self, Settings},
    wizard,
    world::{Hands as _, Look as _, Machine},
};
use std::{collections::BTreeMap, path::Path};

/// Keeps the answers, and asks before it does where a person is there; a file that cannot be written is no reason to put a
/// proved change back.
pub(super) fn answers(file: &Path, said: &Settings, ask: bool, progress: &Progress) -> Option<Finding> {
    match write(file, said, ask) {
        Ok(false) => None,
        Ok(true) => {
            progress.line(&format!("Your answers are kept in {}", file.display()));
            None
        }
        Err(why) => {
            let at = Subject::File { path: file.to_owned(), line: 0 };
            let finding = Finding::new("settings-not-kept", Verdict::Warn, at, "the answers could not be kept")
                .seen(why.says)
                .means("the change stands; the next run has to be told the same flags again")
                .remedy(Remedy::Do("write them into that file by hand; mxseal.toml(5) lists the keys".into()));
            progress.see(Event::Note(finding.clone()));
            Some(finding)
        }
    }
}

/// Whether the file was changed, because it had to be. It is replaced whole; owner, mode and a link to it stay.
fn write(file: &Path, said: &Settings, ask: bool) -> Result<bool, Trouble> {
    let wrong = |e: std::io::Error| Trouble::human(format!("{}: {e}", file.display()));
    let (mut machine, real) = (Machine, Machine.real(file).unwrap_or_else(|_| file.to_owned()));
    let (bytes, meta) = machine.read(&real).map_err(wrong)?.unzip();
    let before = bytes.map(String::from_utf8).transpose().map_err(|e| Trouble::human(format!("{}: {e}", file.display())))?;
    let Some(after) = settings::kept(file, before.as_deref(), said).map_err(Trouble::human)? else { return Ok(false) };
    // Who goes away without an answer wants nothing kept.
    if ask && !wizard::keep(file).unwrap_or(false) {
        return Ok(false);
    }
    let meta = meta.unwrap_or(Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() });
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = real.with_file_name(format!(".{name}.new"));
    if let Some(dir) = real.parent().filter(|dir| !dir.is_dir()) {
        machine.make_dir(dir).map_err(wrong)?;
    }
    machine.stage(&beside, after.as_bytes(), &meta).map_err(wrong)?;
    machine.swap(&beside, &real).map_err(wrong)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn the_file_keeps_owner_mode_and_its_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let (real, file) = (dir.path().join("real.toml"), dir.path().join("mxseal.toml"));
        std::fs::write(&real, "# mine\nemail = 'a@example.org'\n").expect("a file");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("its mode");
        symlink("real.toml", &file).expect("a link");
        let said = Settings { email: Some("b@example.org".into()), ..Settings::default() };
        assert!(write(&file, &said, false).is_ok_and(|changed| changed));
        let about = std::fs::metadata(&real).expect("the file");
        assert_eq!((about.mode() & 0o7777, about.uid()), (0o640, nix::unistd::geteuid().as_raw()));
        assert_eq!(std::fs::read_to_string(&file).expect("text"), "# mine\nemail = \"b@example.org\"\n");
        assert!(file.is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 2, "nothing is left beside");

        assert!(write(&file, &said, false).is_ok_and(|changed| !changed));
        assert_eq!(std::fs::metadata(&real).expect("the file").ino(), about.ino(), "not written again");
    }

    #[test]
    fn a_new_file_gets_its_directory_and_a_damaged_one_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let said = Settings { agree_tos: true, ..Settings::default() };
        let file = dir.path().join("mxseal/mxseal.toml");
        assert!(write(&file, &said, false).is_ok_and(|changed| changed));
        assert_eq!(std::fs::metadata(&file).expect("a file").mode() & 0o7777, 0o644);
        std::fs::write(&file, "agree-tos = \n").expect("a file");
        let finding = answers(&file, &said, false, &Progress::new(true)).expect("a finding");
        assert!(finding.evidence[0].contains("mxseal.toml:1:"), "{finding:?}");
        assert_eq!(std::fs::read_to_string(&file).expect("text"), "agree-tos = \n");
    }
}
