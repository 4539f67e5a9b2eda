//! Who had a hand in a file, and when, as far as a host remembers: its time of change, its owner, and the packages that came
//! about then.

use crate::{moment::Moment, world::Look};
use std::{path::Path, time::Duration};

/// Where dpkg keeps a file a package, written when the package is unpacked.
const DPKG: &str = "/var/lib/dpkg/info";
/// A package's scripts are done within this time.
const ABOUT: Duration = Duration::from_secs(600);
/// So many packages are named.
const MOST: usize = 5;

/// A line of evidence about the last change of `path`; `None` where it cannot be seen.
#[must_use]
pub fn last_hand(look: &dyn Look, path: &Path) -> Option<String> {
    let (changed, owner) = look.changed(path).ok()?;
    let user = nix::unistd::User::from_uid(owner.into()).ok().flatten().map_or_else(|| owner.to_string(), |user| user.name);
    let mut line = format!("{} changed {changed}, owner {user}", path.display());
    let packages = packages(look, Path::new(DPKG), changed);
    if let [first, more @ ..] = packages.as_slice() {
        let more: Vec<&str> = more.iter().take(MOST - 1).map(String::as_str).collect();
        let left = if packages.len() > MOST { format!(" and {} more", packages.len() - MOST) } else { String::new() };
        line.push_str(&format!(
            "; within ten minutes of it dpkg unpacked {}{left}",
            [&[first.as_str()], more.as_slice()].concat().join(", ")
        ));
    }
    Some(line)
}

/// The packages that were unpacked about then.
fn packages(look: &dyn Look, info: &Path, then: Moment) -> Vec<String> {
    let lists = look.list(info).unwrap_or_default().into_iter().filter(|path| path.extension().is_some_and(|e| e == "list"));
    let about_then = |path: &Path| {
        let (at, _) = look.changed(path).ok()?;
        (at.since(then) <= ABOUT && then.since(at) <= ABOUT).then_some(())
    };
    let name = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().split(':').next().unwrap_or_default().to_owned());
    lists.filter_map(|path| about_then(&path).and_then(|()| name(&path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Machine;
    use std::fs::{File, FileTimes};

    #[test]
    fn packages_of_that_time_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let then = Moment(1_800_000_000);
        for (name, seconds) in [
            ("postfix.list", 1_800_000_500),
            ("libc6:amd64.list", 1_799_999_401),
            ("old.list", 1_799_999_000),
            ("x.md5sums", 1_800_000_000),
        ] {
            let file = File::create(dir.path().join(name)).unwrap();
            let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
        }
        assert_eq!(packages(&Machine, dir.path(), then), ["libc6", "postfix"]);
        assert_eq!(packages(&Machine, &dir.path().join("none"), then), Vec::<String>::new());
        let line = last_hand(&Machine, &dir.path().join("old.list")).unwrap();
        assert!(line.contains("old.list changed 2027-01-15T07:43:20Z, owner "), "{line}");
    }
}
