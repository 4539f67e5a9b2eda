//! A change is tried on a copy first: the server's own tools check the copy, with queue and data directories of its own,
//! before anything live is touched. A tool that is given a copied configuration works on the queue that it names, so the
//! copy's directories are replaced before the first command.

use crate::{
    change::{Change, Command, Content, Trial},
    world::{self, Failure, Look, Store},
};
use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// A check of a configuration that takes longer than this will not end.
const LIMIT: Duration = Duration::from_secs(30);

/// Tries `change` on a copy of its configuration directory and gives what the tools said without failing.
///
/// # Errors
/// When the copy cannot be made, or a check fails: the tools' own words. Nothing live was touched.
pub fn try_on_a_copy(look: &dyn Look, store: &Store, change: &Change, trial: &Trial) -> Result<Vec<String>, Failure> {
    let room = store.path("trial");
    world::remove_tree(&room).map_err(Failure::file(format!("removing the old {}", room.display())))?;
    let result = check(look, store, &room, change, trial);
    world::remove_tree(&room).map_err(Failure::file(format!("removing {}", room.display())))?;
    result
}

fn check(look: &dyn Look, store: &Store, room: &Path, change: &Change, trial: &Trial) -> Result<Vec<String>, Failure> {
    let copy = room.join("config");
    let copied = || -> std::io::Result<Vec<(PathBuf, PathBuf)>> {
        fs::create_dir_all(room)?;
        world::copy_tree(&change.config_dir, &copy)?;
        let keys = if trial.with_keys { lay_keys(store, room, change)? } else { Vec::new() };
        for edit in &change.edits {
            let Some(place) = place(&change.config_dir, &copy, &edit.path, trial) else { continue };
            match edit.becomes.as_ref().map(|t| &t.content) {
                Some(Content::Text(raw)) => fs::write(&place, in_room(&raw.0, &keys))?,
                Some(Content::Stored { .. }) => {}
                None => fs::remove_file(&place)?,
            }
        }
        for (file, lines) in &trial.append {
            let path = copy.join(file);
            let mut text = fs::read(&path)?;
            text.extend(format!("\n{}\n", lines.join("\n")).replace("{room}", &room.display().to_string()).into_bytes());
            fs::write(&path, text)?;
            // Postfix programs doze for two seconds when main.cf is younger than that; this one is a copy.
            fs::File::options().write(true).open(&path)?.set_modified(UNIX_EPOCH)?;
        }
        for (dir, owner) in &trial.directories {
            let path = room.join(dir);
            fs::create_dir(&path)?;
            // Whatever the umask: tools that change their user enter it.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            if let Some(user) = nix::unistd::User::from_name(owner).ok().flatten() {
                std::os::unix::fs::chown(&path, Some(user.uid.as_raw()), None)?;
            }
        }
        Ok(keys)
    };
    let keys = copied().map_err(Failure::file(format!("copying {} to {}", change.config_dir.display(), copy.display())))?;
    let mut said = Vec::new();
    for command in &trial.check {
        let here = |text: &String| text.replace("{copy}", &copy.display().to_string()).replace("{room}", &room.display().to_string());
        let command = Command(command.0.iter().map(here).collect());
        let output = look.run(&command, LIMIT)?;
        // Standard output may be the whole configuration, passwords included: it is not kept.
        let mut words: Vec<String> = output.stderr.lines().map(ToOwned::to_owned).collect();
        if let Some(log) = &trial.log {
            words.extend(fs::read_to_string(room.join(log)).unwrap_or_default().lines().map(ToOwned::to_owned));
        }
        // The reader knows the live path, not the copy's.
        let live = |line: &String| {
            let line = line.replace(&*copy.to_string_lossy(), &change.config_dir.to_string_lossy());
            keys.iter().fold(line, |line, (live, here)| line.replace(&*here.to_string_lossy(), &live.to_string_lossy()))
        };
        let words: Vec<String> = words.iter().map(live).collect();
        if output.code != 0 {
            let tail = words.iter().rev().take(6).rev().cloned().collect::<Vec<_>>().join("\n  ");
            return Err(Failure::Command { command: command.to_string(), code: output.code, said: tail });
        }
        said.extend(words);
    }
    Ok(said)
}

/// Key and chain in the room, as they will lie in their places: live path and path in the room.
fn lay_keys(store: &Store, room: &Path, change: &Change) -> std::io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut keys = Vec::new();
    for edit in &change.edits {
        let (Some(Content::Stored { digest, .. }), Some(name)) = (edit.becomes.as_ref().map(|t| &t.content), edit.path.file_name()) else {
            continue;
        };
        let path = room.join(name);
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&zeroize::Zeroizing::new(store.get(digest)?))?;
        keys.push((edit.path.clone(), path));
    }
    Ok(keys)
}

/// A text that names keys by their places in the room.
fn in_room(text: &[u8], keys: &[(PathBuf, PathBuf)]) -> Vec<u8> {
    keys.iter().fold(text.to_vec(), |text, (live, here)| {
        let (live, here) = (live.as_os_str().as_bytes(), here.as_os_str().as_bytes());
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some(at) = rest.windows(live.len()).position(|w| w == live) {
            out.extend([&rest[..at], here].concat());
            rest = &rest[at + live.len()..];
        }
        out.extend(rest);
        out
    })
}

/// Where an edited file lies in the copy: below the configuration directory, or a link's target by the name of the link.
fn place(config_dir: &Path, copy: &Path, path: &Path, trial: &Trial) -> Option<PathBuf> {
    if path == config_dir {
        return Some(copy.to_owned());
    }
    if let Ok(below) = path.strip_prefix(config_dir) {
        return Some(copy.join(below));
    }
    trial.links.iter().find(|(_, real)| real == path).and_then(|(name, _)| Some(copy.join(OsStr::new(name.file_name()?))))
}
