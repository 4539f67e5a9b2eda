//! The names that a change lays beside a file: in its own directory, so that putting into place is one rename.

use std::path::{Path, PathBuf};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The file as it shall be.
    New,
    /// The original: a second name of its inode.
    Was,
}

/// `.main.cf.mxseal-<id>.new` or `.was`.
pub(super) fn beside(path: &Path, id: &str, side: Side) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".mxseal-{id}."));
    name.push(match side {
        Side::New => "new",
        Side::Was => "was",
    });
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_beside_their_file() {
        let cases = [
            ("/etc/postfix/main.cf", Side::New, "/etc/postfix/.main.cf.mxseal-7.new"),
            ("/etc/postfix/main.cf", Side::Was, "/etc/postfix/.main.cf.mxseal-7.was"),
            ("main.cf", Side::New, ".main.cf.mxseal-7.new"),
        ];
        for (path, side, want) in cases {
            assert_eq!(beside(Path::new(path), "7", side), Path::new(want), "{path} {side:?}");
        }
    }
}
