//! The mail servers that are known on this host: the profiles that are compiled in, and those in `mta-profiles` beside the
//! settings. Their commands run as root, so nobody else may have a hand in them.

use crate::{
    mta::profile::{BadProfile, Profile},
    nearest::{meant, nearest},
    rehearsal::StandIn,
    settings::Place,
    topics::Explained,
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The directory beside the settings.
pub const DIRECTORY: &str = "mta-profiles";

/// No profile is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// There are no more files.
const MOST: usize = 64;

/// A profile and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The profile.
    pub profile: Profile,
    /// Its file; `None` where it is compiled in.
    pub file: Option<PathBuf>,
    /// It takes the place of one that is compiled in.
    pub replaces: bool,
}

/// A profile of the admin's that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{}: {source}; mail servers are described there, see mxseal-profile(5)", .path.display())]
    Unread {
        /// The file, or the directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another than root could write it, or it is not what it should be.
    #[error("{}: {why}", .path.display())]
    Unsafe {
        /// The file, or the directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// It is no profile.
    #[error("{}:{place}\nThe keys and their values are described in mxseal-profile(5).", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        place: Place,
    },
}

impl Explained for Unusable {
    fn topic(&self) -> &'static str {
        "profile-unusable"
    }
}

/// All that are known where the settings lie at `config`: one of the admin's takes the place of a compiled one with its id.
///
/// # Errors
/// When a file cannot be read, belongs to others, or is no profile; the first one, by name.
pub fn beside(config: &Path) -> Result<Vec<Listed>, Unusable> {
    let dir = config.parent().unwrap_or_else(|| Path::new("/")).join(DIRECTORY);
    let compiled = Profile::built_in().map_err(|e| Unusable::Unsafe { path: dir.clone(), why: e.to_string() })?;
    let mut all: Vec<Listed> = compiled.into_iter().map(|profile| Listed { profile, file: None, replaces: false }).collect();
    for path in files(&dir)? {
        let text = text(&path)?;
        let profile = read(&path, &text)?;
        let same = all.iter().position(|known| known.profile.id == profile.id);
        match same.map(|at| (at, all[at].file.clone())) {
            Some((_, Some(other))) => {
                let why = format!("{} describes {:?} already", other.display(), profile.id);
                return Err(wrong_id(path, &text, why));
            }
            Some((at, None)) => all[at] = Listed { profile, file: Some(path), replaces: true },
            None => all.push(Listed { profile, file: Some(path), replaces: false }),
        }
    }
    Ok(all)
}

/// The profiles of a directory, by name; none where it is missing. What an editor leaves beside them is none.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Unusable> {
    let unread = |source| Unusable::Unread { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(unread)?,
    };
    only_ours(dir)?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unread)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    if paths.len() > MOST {
        return Err(Unusable::Unsafe { path: dir.to_owned(), why: format!("it holds more than {MOST} profiles; take some away") });
    }
    paths.sort();
    Ok(paths)
}

/// Whether nobody but root, or whoever runs this, can change it. A link would be as safe as what it leads through.
fn only_ours(path: &Path) -> Result<fs::Metadata, Unusable> {
    let about = fs::symlink_metadata(path).map_err(|source| Unusable::Unread { path: path.to_owned(), source })?;
    let unsafe_as = |why: String| Unusable::Unsafe { path: path.to_owned(), why };
    let shown = path.display();
    let ours = nix::unistd::geteuid().as_raw();
    if about.is_symlink() {
        return Err(unsafe_as("this is a link: put the thing itself here, for its commands run as root".into()));
    }
    if about.uid() != 0 && about.uid() != ours {
        return Err(unsafe_as(format!(
            "it belongs to user {}, and the commands of a profile run as root: look at it, then chown root {shown}",
            about.uid()
        )));
    }
    // Where an access list lets others write, the bits of the group show it (acl(5)).
    if about.mode() & 0o022 != 0 {
        return Err(unsafe_as(format!(
            "others than its owner can write it (mode {:04o}), and the commands of a profile run as root: look at it, then chmod go-w {shown}",
            about.mode() & 0o7777
        )));
    }
    Ok(about)
}

fn text(path: &Path) -> Result<String, Unusable> {
    let about = only_ours(path)?;
    let unfit = |why: String| Unusable::Unsafe { path: path.to_owned(), why };
    if !about.is_file() {
        return Err(unfit("this is no regular file".into()));
    }
    if about.len() > LONGEST {
        return Err(unfit(format!("it has {} bytes, and no profile has more than {LONGEST}", about.len())));
    }
    fs::read_to_string(path).map_err(|source| Unusable::Unread { path: path.to_owned(), source })
}

/// The profile in a text, which lies at `path`.
fn read(path: &Path, text: &str) -> Result<Profile, Unusable> {
    let profile = Profile::read(text, &path.display().to_string())
        .map_err(|e: BadProfile| Unusable::Wrong { path: path.to_owned(), place: Place::of(text, e.span(), said(e.why())) })?;
    if profile.id == StandIn::ID {
        return Err(wrong_id(path.to_owned(), text, format!("{:?} is what a rehearsal calls its own server", profile.id)));
    }
    Ok(profile)
}

fn wrong_id(path: PathBuf, text: &str, why: String) -> Unusable {
    let span = toml_edit::Document::parse(text).ok().and_then(|document| document.get("id")?.span());
    Unusable::Wrong { path, place: Place::of(text, span, why) }
}

/// The reader's words, with the word that was perhaps meant.
fn said(why: &str) -> String {
    let Some((head, expected)) = why.split_once(", expected ") else { return why.to_owned() };
    let mut words = head.split('`').skip(1).step_by(2);
    let (Some(word), known) = (words.next(), expected.split('`').skip(1).step_by(2)) else { return why.to_owned() };
    let known: Vec<&str> = known.collect();
    let alike = nearest(word, known.iter().copied());
    match (head.starts_with("unknown field"), alike.as_slice()) {
        (true, []) => format!("there is no key {word:?} here; these are: {}", known.join(", ")),
        (true, alike) => format!("there is no key {word:?} here{}", meant(alike)),
        (false, alike) => format!("{why}{}", meant(alike)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    const POSTFIX: &str = include_str!("../mta-profiles/postfix.toml");

    /// A settings file's directory with these profiles.
    fn with(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let profiles = dir.path().join(DIRECTORY);
        fs::create_dir(&profiles).unwrap();
        fs::set_permissions(&profiles, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in files {
            fs::write(profiles.join(name), text).unwrap();
            fs::set_permissions(profiles.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let config = dir.path().join("mxseal.toml");
        (dir, config)
    }

    fn ids(all: &[Listed]) -> Vec<(&str, bool, bool)> {
        all.iter().map(|l| (l.profile.id.as_str(), l.file.is_some(), l.replaces)).collect()
    }

    #[test]
    fn the_same_id_replaces_and_a_new_one_adds() {
        let compiled = beside(Path::new("/nonexistent/mxseal.toml")).unwrap();
        assert!(compiled.len() > 3 && compiled.iter().all(|l| l.file.is_none()));
        let mine = POSTFIX.replacen("title = \"Postfix\"", "title = \"Mine\"", 1);
        let new = POSTFIX.replacen("id = \"postfix\"", "id = \"relay\"", 1);
        let (_dir, config) = with(&[("z.toml", &mine), ("a.toml", &new), (".#a.toml", "{"), ("a.toml~", "{"), ("README", "{")]);
        let all = beside(&config).unwrap();
        assert_eq!(all.len(), compiled.len() + 1);
        assert_eq!((ids(&all)[0], all[0].profile.title.as_str()), (("postfix", true, true), "Mine"));
        assert_eq!(ids(&all).last(), Some(&("relay", true, false)));
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        // What stands in the file, what instead, where in that the caret stands, what is said.
        for (from, to, caret, says) in [
            ("holds = \"both\"", "hold = \"both\"", "hold", "there is no key \"hold\" here; do you mean holds"),
            ("edit-lock = ", "editlock = ", "editlock", "there is no key \"editlock\" here; do you mean edit-lock?"),
            ("[key]", "[kex]", "kex", "there is no key \"kex\" here; do you mean key?"),
            ("group = \"root\"", "gruop = \"root\"", "gruop", "there is no key \"gruop\" here; do you mean group?"),
            ("programs = [", "colour = [", "colour", "there is no key \"colour\" here; these are: programs, "),
            ("\npropose = true", "\nproposed = true", "proposed", "do you mean propose?"),
            ("at-least = \"level\"", "at-least = \"levle\"", "\"levle\"", "do you mean level?"),
            ("dialect = \"postfix-cf\"", "dialect = \"postfix\"", "\"postfix\"", "do you mean postfix-cf?"),
            (
                "\"{config_dir}/main.cf\"",
                "\"{dir}/main.cf\"",
                "\"",
                "`{dir}/main.cf` holds a placeholder that is not known; these are: config_dir, ",
            ),
            ("mode = \"0600\"", "mode = \"0644\"", "\"0644\"", "0644"),
            ("activation = \"reload\"", "activation = ", "", ""),
            ("[\"/usr/sbin/postconf\", \"/usr/local/sbin/postconf\"]", "[\"postconf\"]", "[", "\"postconf\" is no absolute path"),
            ("processes = [\"master\"]", "processes = []", "[", "at least one"),
            ("since = \"3.6\"", "since = \"new\"", "\"new\"", "is no version"),
            ("id = \"postfix\"", "id = \"Post fix\"", "\"Post", "small letters"),
            ("id = \"postfix\"", "id = \"stand-in\"", "\"stand", "rehearsal"),
        ] {
            assert!(POSTFIX.contains(from), "{from}");
            let bad = POSTFIX.replacen(from, to, 1);
            let at = bad.find(to).unwrap() + if caret.is_empty() { to.len() } else { to.find(caret).unwrap() };
            let line = bad[..at].matches('\n').count() + 1;
            let column = at - bad[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
            let (_dir, config) = with(&[("p.toml", &bad)]);
            let said = beside(&config).expect_err(to).to_string();
            let file = config.with_file_name(DIRECTORY).join("p.toml");
            assert!(said.starts_with(&format!("{}:{line}:{column}: ", file.display())) && said.contains(says), "{to}: {said}");
            assert!(said.contains(" | ") && said.contains('^') && said.ends_with("mxseal-profile(5)."), "{said}");
        }
        let (_dir, config) = with(&[("p.toml", &POSTFIX.replacen("title = \"Postfix\"", "", 1))]);
        assert!(beside(&config).unwrap_err().to_string().contains("missing field `title`"));
        let (_dir, config) = with(&[("a.toml", POSTFIX), ("b.toml", POSTFIX)]);
        let said = beside(&config).unwrap_err().to_string();
        assert!(said.contains("b.toml:2:6: ") && said.contains("a.toml describes \"postfix\" already"), "{said}");
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (below, bits) in [("", 0o775), ("", 0o757), ("p.toml", 0o664), ("p.toml", 0o646)] {
            let (_dir, config) = with(&[("p.toml", POSTFIX)]);
            let path = config.with_file_name(DIRECTORY).join(below);
            mode(&path, bits);
            let said = beside(&config).unwrap_err().to_string();
            assert!(said.contains("others than its owner can write it") && said.contains("chmod go-w"), "{below} {bits:o}: {said}");
        }
        let (_dir, config) = with(&[("p.toml", POSTFIX)]);
        let dir = config.with_file_name(DIRECTORY);
        symlink(dir.join("p.toml"), dir.join("q.toml")).unwrap();
        assert!(beside(&config).unwrap_err().to_string().contains("q.toml: this is a link"));
        let (_dir, config) = with(&[("p.toml", &"#\n".repeat(40_000))]);
        assert!(beside(&config).unwrap_err().to_string().contains("it has 80000 bytes"));
        let (_dir, config) = with(&[]);
        fs::create_dir(config.with_file_name(DIRECTORY).join("d.toml")).unwrap();
        assert!(beside(&config).unwrap_err().to_string().contains("d.toml: this is no regular file"));
        if nix::unistd::geteuid().is_root() {
            for below in ["", "p.toml"] {
                let (_dir, config) = with(&[("p.toml", POSTFIX)]);
                std::os::unix::fs::chown(config.with_file_name(DIRECTORY).join(below), Some(65534), None).unwrap();
                let said = beside(&config).unwrap_err().to_string();
                assert!(said.contains("it belongs to user 65534") && said.contains("chown root"), "{said}");
            }
        }
    }
}
