//! One small public file below a web server's directory, gone with its value.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown},
    path::{Path, PathBuf},
};

/// A file that was placed, with the directories that were made for it.
#[derive(Debug)]
pub struct Placed {
    file: PathBuf,
    made: Vec<PathBuf>,
}

impl Placed {
    /// Writes `below/name` under `root`, 0644, owned as the directory is; missing directories are made 0755 with their
    /// parent's owner. An old file of that name is replaced, and never written through a link.
    ///
    /// # Errors
    /// When `root` is missing or the file cannot be written.
    pub fn new(root: &Path, below: &[&str], name: &str, bytes: &[u8]) -> io::Result<Self> {
        let mut dir = root.to_owned();
        let mut owner = fs::metadata(&dir)?;
        let mut placed = Self { file: PathBuf::new(), made: Vec::new() };
        for part in below {
            dir.push(part);
            match fs::create_dir(&dir) {
                Ok(()) => {
                    placed.made.push(dir.clone());
                    fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
                    chown(&dir, Some(owner.uid()), Some(owner.gid()))?;
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
            owner = fs::metadata(&dir)?;
        }
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
        placed.file = path;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        Ok(placed)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        for dir in self.made.iter().rev() {
            // Another file in it, and it stays.
            let _ = fs::remove_dir(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_and_goes() {
        let root = tempfile::tempdir().expect("a directory");
        let victim = root.path().join("victim");
        fs::write(&victim, "safe").expect("a file");
        let dir = root.path().join(".well-known");
        fs::create_dir(&dir).expect("a directory");
        {
            let placed = Placed::new(root.path(), &[".well-known", "acme-challenge"], "tok", b"answer").expect("placed");
            assert_eq!(fs::read(&placed.file).expect("read"), b"answer");
            assert_eq!(fs::metadata(&placed.file).expect("there").mode() & 0o777, 0o644);
            fs::remove_file(&placed.file).expect("gone");
            std::os::unix::fs::symlink(&victim, &placed.file).expect("a link");
            let _again = Placed::new(root.path(), &[".well-known", "acme-challenge"], "tok", b"answer").expect("placed");
            assert_eq!(fs::read(&victim).expect("read"), b"safe");
        }
        assert!(dir.exists() && !dir.join("acme-challenge").exists());
        assert!(Placed::new(&root.path().join("missing"), &[], "tok", b"").is_err());
    }
}
