//! Services beside the mail server that present a certificate to mail programs, and can be switched to ours in the same
//! change: as data, with the syntax of their files. Bytes in, bytes out.

use super::{
    lines::{Logical, Restored, words},
    main_cf::{self, Entry},
};
use crate::{change::SettingChange, view::Wire};
use std::path::{Path, PathBuf};

/// One service.
#[derive(Debug)]
pub struct Companion {
    /// What the admin calls it.
    pub id: &'static str,
    /// Its name for readers.
    pub title: &'static str,
    /// The folder of its configuration.
    pub folder: &'static str,
    /// The programs that hold its ports.
    pub processes: &'static [&'static str],
    /// Its ports, and how TLS begins there.
    pub ports: &'static [(u16, Wire)],
    /// The settings that name the files of chain and key, each as `<FILE`.
    pub settings: [&'static str; 2],
    /// Ends with 0 where its files can be used.
    pub check: &'static [&'static str],
    /// Lets it read them again, where it runs.
    pub activate: &'static [&'static str],
}

/// The wish for none of them, as flag and settings say it.
pub const NOTHING: &str = "nothing";

/// All that are known.
pub const COMPANIONS: &[Companion] = &[Companion {
    id: "dovecot",
    title: "Dovecot",
    folder: "/etc/dovecot",
    processes: &["dovecot"],
    ports: &[(110, Wire::Pop3), (143, Wire::Imap), (993, Wire::Imaps), (995, Wire::Pop3s)],
    settings: ["ssl_cert", "ssl_key"],
    check: &["doveconf", "-n"],
    activate: &["sh", "-c", "doveadm reload || ! pgrep -x dovecot >/dev/null"],
}];

impl Companion {
    /// The one that has this id.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        COMPANIONS.iter().find(|c| c.id == id)
    }

    /// The one whose configuration a file is part of.
    #[must_use]
    pub fn of(path: &Path) -> Option<&'static Self> {
        COMPANIONS.iter().find(|c| path.starts_with(c.folder))
    }

    /// The files of chain and key that a file of its configuration names, outside of blocks: those are for some clients alone.
    #[must_use]
    pub fn names(&self, bytes: &[u8]) -> [Option<PathBuf>; 2] {
        let all = entries(bytes);
        self.settings.map(|name| {
            let path = all.iter().rfind(|e| e.name == name)?.value.strip_prefix('<')?.trim();
            path.starts_with('/').then(|| PathBuf::from(path))
        })
    }

    /// The file with both settings naming `live`, where they are there already.
    #[must_use]
    pub fn switched(&self, bytes: &[u8], live: &Path) -> (Vec<u8>, Vec<SettingChange>) {
        let why = format!("{} presents the certificate that the mail server does, and takes in each renewal with it.", self.title);
        let (mut bytes, mut changes) = (bytes.to_vec(), Vec::new());
        for (name, file) in self.settings.iter().zip(self.names(&bytes)) {
            if file.is_some() {
                let (edited, change) = main_cf::set_in(&entries(&bytes), &bytes, name, &format!("<{}", live.display()), &why);
                bytes = edited;
                changes.extend(change);
            }
        }
        (bytes, changes)
    }

    /// Takes one change back, where the setting is as the change left it.
    #[must_use]
    pub fn restore(&self, bytes: &[u8], change: &SettingChange) -> Restored {
        main_cf::restore_in(&entries(bytes), bytes, change)
    }
}

/// The `name = value` lines outside of blocks (Dovecot's documentation, Config file syntax).
fn entries(bytes: &[u8]) -> Vec<Entry> {
    let (mut found, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    for (number, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let start = at;
        at += line.len();
        let text = words(line);
        if text.starts_with('#') {
        } else if text.ends_with('{') {
            depth += 1;
        } else if text == "}" {
            depth = depth.saturating_sub(1);
        } else if let Some(equals) = line.iter().position(|b| *b == b'=').filter(|_| depth == 0) {
            let rest = &line[equals + 1..];
            let value_at = start + equals + 1 + (rest.len() - rest.trim_ascii_start().len());
            let end = start + line.trim_ascii_end().len();
            found.push(Entry {
                name: words(&line[..equals]),
                value: words(rest),
                line: number + 1,
                at: Logical { line: number + 1, parts: std::iter::once(start..at).collect() },
                value_at: value_at.min(end.max(start + equals + 1)),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_change_and_come_back() {
        let dovecot = Companion::named("dovecot").expect("Dovecot");
        let before = b"# ssl_cert = </no\nssl = yes\n ssl_cert=</etc/d.pem\r\nssl_key =   </etc/d.key\n\
                       local_name imap.example.org {\n  ssl_cert = </etc/i.pem\n  ssl_key = </etc/i.key\n}\n";
        assert_eq!(dovecot.names(before), [Some("/etc/d.pem".into()), Some("/etc/d.key".into())]);
        let (after, changes) = dovecot.switched(before, Path::new("/live/a.pem"));
        assert_eq!(
            String::from_utf8_lossy(&after),
            "# ssl_cert = </no\nssl = yes\n ssl_cert=</live/a.pem\r\nssl_key =   </live/a.pem\n\
             local_name imap.example.org {\n  ssl_cert = </etc/i.pem\n  ssl_key = </etc/i.key\n}\n"
        );
        assert_eq!(dovecot.switched(&after, Path::new("/live/a.pem")).1, []);
        let mut back = after;
        for change in changes.iter().rev() {
            let Restored::Done(restored) = dovecot.restore(&back, change) else { panic!("{change:?}") };
            back = restored;
        }
        assert_eq!(back, before);
        // Who changed it since keeps it; who took it back has done so.
        let moved = "ssl_cert = </etc/other.pem\nssl_key =   </etc/d.key\n";
        for (change, expected) in changes.iter().zip(["conflict", "already"]) {
            let restored = match dovecot.restore(moved.as_bytes(), change) {
                Restored::Conflict(_) => "conflict",
                Restored::Already => "already",
                Restored::Done(_) => "done",
            };
            assert_eq!(restored, expected, "{}", change.name);
        }
        for nothing in ["", "ssl = no\n", "protocol imap {\nssl_cert = </a\n}\n", "ssl_cert = $ssl_cert\n"] {
            assert_eq!(dovecot.names(nothing.as_bytes()), [None, None], "{nothing}");
        }
    }
}
