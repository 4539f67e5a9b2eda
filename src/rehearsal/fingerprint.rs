//! What a rehearsal promises not to change, so that two times can be compared: every file of `/etc` and of our own places, and
//! of the mail server's working directories all that does not move by itself.

use crate::certificate::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Larger files are compared by size and times alone, in bytes.
const LARGEST: u64 = 4 << 20;

/// What a tree was at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<PathBuf, Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    /// Size, time of change of the content and of the entry itself (which nobody can set), and digest of the content; `None`
    /// for what moves by itself.
    content: Option<(u64, [i64; 4], String)>,
}

/// How closely a tree is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Nothing in it changes by itself.
    Nothing,
    /// A queue: files come and go in the directories of these names, which the server made itself; sockets stay, and programs of a
    /// chroot are as they were.
    Mail(Vec<String>),
    /// Files, and what times tell of their use; sockets and pipes stay.
    Files,
    /// Everything below it, such as caches.
    Everything,
}

impl Fingerprint {
    /// Takes one of several trees; a missing one is empty.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn of(trees: &[(PathBuf, Moves)]) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        for (tree, moves) in trees {
            look(tree, moves, &mut all)?;
        }
        Ok(Self(all))
    }

    /// How many files and directories it covers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it covers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The paths that came, went or are not the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let all: BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        all.into_iter().filter(|p| self.0.get(*p) != other.0.get(*p)).cloned().collect()
    }

    /// The paths that do not hold the same, by content, owner and mode: none where files were replaced and put back.
    #[must_use]
    pub fn other_contents(&self, other: &Self) -> Vec<PathBuf> {
        let same = |path: &Path| {
            let of = |all: &Self| all.0.get(path).map(|e| (e.mode, e.owner, e.content.as_ref().map(|(_, _, digest)| digest.clone())));
            of(self) == of(other)
        };
        self.differences(other).into_iter().filter(|p| !same(p)).collect()
    }

    /// Whether a file that is in both holds something else.
    #[must_use]
    pub fn rewritten(&self, other: &Self) -> bool {
        self.other_contents(other).iter().any(|path| self.0.contains_key(path) && other.0.contains_key(path))
    }
}

fn look(path: &Path, moves: &Moves, all: &mut BTreeMap<PathBuf, Entry>) -> io::Result<()> {
    let about = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    let content = match moves {
        Moves::Nothing => {
            Some((about.size(), [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()], digest(path, &about)?))
        }
        Moves::Mail(_) | Moves::Files | Moves::Everything => None,
    };
    let owner = (about.uid(), about.gid());
    all.insert(path.to_owned(), Entry { mode: about.mode(), owner, inode: about.ino(), content });
    if !about.is_dir() || *moves == Moves::Everything {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let below = match moves {
            Moves::Mail(made) if made.iter().any(|m| entry.file_name() == **m) => &Moves::Files,
            Moves::Mail(_) => &Moves::Nothing,
            // Messages may lie in folders of their own.
            Moves::Files if entry.file_type().is_ok_and(|t| t.is_file() || t.is_dir()) => continue,
            other => other,
        };
        look(&entry.path(), below, all)?;
    }
    Ok(())
}

fn digest(path: &Path, about: &fs::Metadata) -> io::Result<String> {
    let bytes = if about.is_file() && about.size() <= LARGEST {
        fs::read(path)
    } else if about.is_symlink() {
        fs::read_link(path).map(|to| to.into_os_string().into_encoded_bytes())
    } else {
        return Ok(String::new());
    };
    match bytes {
        // It went while we looked, which the next look tells.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        bytes => bytes.map(|b| Digest::of(&zeroize::Zeroizing::new(b)).0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};

    type Change = fn(&Path);

    #[test]
    fn what_a_foreign_hand_changes_is_seen_and_mail_that_moves_is_not() {
        let write = |p: PathBuf, t: &str| fs::write(p, t).expect("a file");
        let table: &[(&str, Change, &[&str])] = &[
            ("nothing", |_| (), &[]),
            ("a message comes", |d| fs::write(d.join("queue/incoming/A1"), "x").expect("a file"), &[]),
            ("a message is deferred", |d| fs::create_dir(d.join("queue/deferred/A")).expect("a folder"), &[]),
            ("a cache is written", |d| fs::write(d.join("data/new"), "new").expect("a file"), &[]),
            ("a mode", |d| fs::set_permissions(d.join("queue/hold"), fs::Permissions::from_mode(0o711)).expect("a mode"), &["queue/hold"]),
            ("a content", |d| fs::write(d.join("etc/main.cf"), "b").expect("a file"), &["etc/main.cf"]),
            ("a new socket", |d| drop(UnixListener::bind(d.join("queue/private/x")).expect("a socket")), &["queue/private/x"]),
            ("a socket is gone", |d| fs::remove_file(d.join("queue/private/smtp")).expect("a socket"), &["queue/private/smtp"]),
            ("a new directory in the queue", |d| fs::create_dir(d.join("queue/tmp")).expect("a folder"), &["queue/tmp"]),
            (
                "a replaced file",
                |d| fs::rename(d.join("etc/copy"), d.join("etc/main.cf")).expect("a name"),
                &["etc", "etc/copy", "etc/main.cf"],
            ),
        ];
        for (what, change, expected) in table {
            let dir = tempfile::tempdir().expect("a folder");
            for below in ["etc", "queue/incoming", "queue/deferred", "queue/hold", "queue/private", "data"] {
                fs::create_dir_all(dir.path().join(below)).expect("a folder");
            }
            for file in ["etc/main.cf", "etc/copy", "data/cache"] {
                write(dir.path().join(file), "a");
            }
            drop(UnixListener::bind(dir.path().join("queue/private/smtp")).expect("a socket"));
            let made = ["incoming", "deferred", "hold", "private"].map(ToOwned::to_owned).to_vec();
            let trees = [("etc", Moves::Nothing), ("queue", Moves::Mail(made)), ("data", Moves::Everything), ("none", Moves::Nothing)]
                .map(|(t, m)| (dir.path().join(t), m));
            let before = Fingerprint::of(&trees).expect("a look");
            change(dir.path());
            let after = Fingerprint::of(&trees).expect("a look");
            let seen: Vec<String> =
                before.differences(&after).iter().map(|p| p.strip_prefix(dir.path()).expect("below").display().to_string()).collect();
            assert!(expected.iter().all(|e| seen.contains(&(*e).to_owned())), "{what}: {seen:?}");
            assert_eq!(seen.is_empty(), expected.is_empty(), "{what}: {seen:?}");
        }
    }
}
