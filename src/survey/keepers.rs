//! Where certificate programs keep what they got, under which name, and what renews it there. Their files are read, and
//! nothing of theirs is run.

use crate::{facts::Kept, world::Look};
use std::path::{Path, PathBuf};

/// A place of a program: folder of folders (or of files), chain, key. `*` is the folder's name.
struct Place {
    keeper: &'static str,
    folder: &'static str,
    chain: &'static str,
    key: &'static str,
}

const PLACES: [Place; 9] = [
    Place { keeper: "certbot", folder: "/etc/letsencrypt/live", chain: "fullchain.pem", key: "privkey.pem" },
    Place { keeper: "dehydrated", folder: "/var/lib/dehydrated/certs", chain: "fullchain.pem", key: "privkey.pem" },
    Place { keeper: "dehydrated", folder: "/etc/dehydrated/certs", chain: "fullchain.pem", key: "privkey.pem" },
    Place { keeper: "acme.sh", folder: "/root/.acme.sh", chain: "fullchain.cer", key: "*.key" },
    Place { keeper: "acme.sh", folder: "/etc/acme.sh", chain: "fullchain.cer", key: "*.key" },
    Place { keeper: "lego", folder: "/root/.lego/certificates", chain: "*.crt", key: "*.key" },
    Place { keeper: "lego", folder: "/etc/lego/certificates", chain: "*.crt", key: "*.key" },
    Place { keeper: "lego", folder: "/var/lib/lego/certificates", chain: "*.crt", key: "*.key" },
    Place { keeper: "lego", folder: "/.lego/certificates", chain: "*.crt", key: "*.key" },
];

/// Files in which cron finds what it runs (cron(8)), and folders of such files.
const CRON_FILES: [&str; 1] = ["/etc/crontab"];
const CRON_FOLDERS: [&str; 7] = [
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/periodic/daily",
    "/var/spool/cron/crontabs",
    "/var/spool/cron",
];
/// Timers that are enabled.
const TIMERS: &str = "/etc/systemd/system/timers.target.wants";
/// Systemd runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// The files of one certificate that a program keeps.
pub(super) struct Found {
    pub(super) keeper: &'static str,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) kept: Kept,
}

/// Everything that certificate programs keep here.
pub(super) fn find(look: &dyn Look) -> Vec<Found> {
    let mut found = Vec::new();
    let mut renewers: Vec<(&str, Option<String>)> = Vec::new();
    for Place { keeper, folder, chain, key } in PLACES {
        for (chain, key) in lineages(look, Path::new(folder), chain, key) {
            if !renewers.iter().any(|(k, _)| *k == keeper) {
                renewers.push((keeper, renewer(look, keeper)));
            }
            let job = renewers.iter().find(|(k, _)| *k == keeper).and_then(|(_, job)| job.clone());
            let name = name(&chain, folder);
            let kept = match keeper {
                "certbot" => certbot(look, name, job),
                "acme.sh" => {
                    let file = key_conf(&chain, &name);
                    let new_key = value(look, &file, "Le_ForceNewDomainKey").as_deref() == Some("1");
                    // `acme.sh --remove` takes that file away.
                    let renewed_by = job.filter(|_| look.identity(&file).is_ok());
                    Kept { keeps_key: Some(!new_key), name, renewed_by }
                }
                "dehydrated" => dehydrated(look, name, job),
                _ => Kept { name, renewed_by: job, keeps_key: None },
            };
            found.push(Found { keeper, chain, key, kept });
        }
    }
    found
}

/// Who keeps a file, by where it really lies.
pub(super) fn by_place(real: &Path) -> Option<&'static str> {
    let text = real.to_str()?;
    [
        ("/ssl-cert-snakeoil", "snakeoil"),
        ("/etc/letsencrypt/", "certbot"),
        ("/.acme.sh/", "acme.sh"),
        ("/etc/acme.sh/", "acme.sh"),
        ("/.lego/", "lego"),
        ("/lego/certificates/", "lego"),
        ("/dehydrated/certs/", "dehydrated"),
    ]
    .iter()
    .find(|(part, _)| text.contains(part))
    .map(|(_, keeper)| *keeper)
}

/// What certbot's own file of a certificate says; without that file certbot renews nothing.
fn certbot(look: &dyn Look, name: String, job: Option<String>) -> Kept {
    let file = PathBuf::from(format!("/etc/letsencrypt/renewal/{name}.conf"));
    let says = |key| value(look, &file, key).map(|v| v.eq_ignore_ascii_case("true"));
    let renews = look.identity(&file).is_ok() && says("autorenew") != Some(false);
    Kept { name, renewed_by: job.filter(|_| renews), keeps_key: Some(says("reuse_key") == Some(true)) }
}

/// What dehydrated's settings say, its own and those beside; what its list of names leaves out it does not renew.
fn dehydrated(look: &dyn Look, name: String, job: Option<String>) -> Kept {
    let beside = look.list(Path::new("/etc/dehydrated/conf.d")).unwrap_or_default();
    let mut files = beside.into_iter().rev().chain([PathBuf::from("/etc/dehydrated/config")]);
    let renews = files.find_map(|file| value(look, &file, "PRIVATE_KEY_RENEW"));
    let list = look.read(Path::new("/etc/dehydrated/domains.txt")).ok().flatten();
    let listed = list.is_none_or(|(bytes, _)| {
        let names = |line: &str| !line.trim_start().starts_with('#') && line.split_whitespace().any(|word| word == name);
        String::from_utf8_lossy(&bytes).lines().any(names)
    });
    Kept { keeps_key: Some(renews.as_deref() == Some("no")), name, renewed_by: job.filter(|_| listed) }
}

/// The timer or the line of cron that runs a program's renewals.
fn renewer(look: &dyn Look, keeper: &str) -> Option<String> {
    let (timers, words): (&[&str], &[&str]) = match keeper {
        "certbot" => (&["certbot.timer", "snap.certbot.renew.timer", "certbot-renew.timer"], &["certbot", "renew"]),
        "acme.sh" => (&["acme.sh.timer", "acme_letsencrypt.timer"], &["acme.sh", "--cron"]),
        "dehydrated" => (&["dehydrated.timer"], &["dehydrated", " -c"]),
        _ => (&["lego.timer", "lego-renew.timer"], &["lego", "renew"]),
    };
    if let Some(timer) = timers.iter().find(|timer| look.link(&Path::new(TIMERS).join(timer)).is_ok()) {
        return Some((*timer).to_owned());
    }
    let systemd = look.identity(Path::new(SYSTEMD)).is_ok();
    // Debian's line for certbot does nothing where systemd runs.
    let rests = |line: &str| line.trim_start().starts_with('#') || systemd && line.contains("! -d /run/systemd/system");
    let runs = |line: &&str| {
        let line = line.replace("--cron ", "--cron -c ");
        !rests(&line) && words.iter().all(|w| line.contains(w))
    };
    let files = CRON_FILES.iter().map(PathBuf::from);
    let mut files = files.chain(CRON_FOLDERS.iter().flat_map(|dir| look.list(Path::new(dir)).unwrap_or_default()));
    let has_line = |file: &PathBuf| {
        let text = look.read(file).ok().flatten().map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
        text.is_some_and(|text| text.lines().any(|line| runs(&line)))
    };
    files.find(has_line).map(|file| file.display().to_string())
}

/// The last value of a key in a file of `key=value` or `key = value` lines, quotes taken off.
fn value(look: &dyn Look, file: &Path, key: &str) -> Option<String> {
    let (bytes, _) = look.read(file).ok().flatten()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let of = |line: &str| Some(line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim().trim_matches(['\'', '"']).to_owned());
    text.lines().filter_map(of).next_back()
}

/// The certificate's name in its keeper's words: its folder's, or its file's.
fn name(chain: &Path, folder: &str) -> String {
    let dir = chain.parent().filter(|dir| *dir != Path::new(folder));
    let named = dir.map_or_else(|| chain.file_stem(), Path::file_name);
    named.map(|n| n.to_string_lossy().trim_end_matches("_ecc").to_owned()).unwrap_or_default()
}

/// acme.sh writes what it knows of a certificate beside it.
fn key_conf(chain: &Path, name: &str) -> PathBuf {
    chain.with_file_name(format!("{name}.conf"))
}

/// Chain and key files below a keeper's folder.
fn lineages(look: &dyn Look, folder: &Path, chain: &str, key: &str) -> Vec<(PathBuf, PathBuf)> {
    let entries = look.list(folder).unwrap_or_default();
    if let Some(ending) = chain.strip_prefix('*') {
        // One file a name, all in one folder; lego keeps the issuer's beside.
        let is_chain = |p: &&PathBuf| p.to_str().is_some_and(|t| t.ends_with(ending) && !t.ends_with(".issuer.crt"));
        return entries.iter().filter(is_chain).map(|p| (p.clone(), p.with_extension(key.trim_start_matches("*.")))).collect();
    }
    let name = |dir: &Path| dir.file_name().map(|n| n.to_string_lossy().trim_end_matches("_ecc").to_owned()).unwrap_or_default();
    let pairs = entries.iter().map(|dir| (dir.join(chain), dir.join(key.replace('*', &name(dir)))));
    pairs.filter(|(chain, _)| look.identity(chain).is_ok()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        change::{Command, Meta},
        world::{Failure, Machine, Output},
    };
    use std::{fs, io, os::unix::fs::symlink, time::Duration};

    /// A machine whose root is a directory.
    pub(in crate::survey) struct Below(tempfile::TempDir);

    impl Below {
        pub(in crate::survey) fn at(&self, path: &Path) -> PathBuf {
            self.0.path().join(path.strip_prefix("/").unwrap_or(path))
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.at(Path::new(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Look for Below {
        fn read(&self, path: &Path) -> io::Result<Option<(Vec<u8>, Meta)>> {
            Machine.read(&self.at(path))
        }

        fn run(&self, command: &Command, _: Duration) -> Result<Output, Failure> {
            panic!("nothing of theirs is run, and not {command}")
        }

        fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(Machine.list(&self.at(dir))?.into_iter().map(|p| Path::new("/").join(p.strip_prefix(self.0.path()).unwrap())).collect())
        }

        fn real(&self, path: &Path) -> io::Result<PathBuf> {
            Machine.real(&self.at(path))
        }

        fn link(&self, path: &Path) -> io::Result<PathBuf> {
            Machine.link(&self.at(path))
        }

        fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
            Machine.identity(&self.at(path))
        }
    }

    pub(in crate::survey) fn machine(files: &[(&str, &str)]) -> Below {
        let below = Below(tempfile::tempdir().unwrap());
        for (path, text) in files {
            below.write(path, text);
        }
        below
    }

    /// Keeper, name, key file, what renews it, whether its key stays.
    type Row<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, Option<bool>);

    #[test]
    fn what_each_program_keeps_is_found_by_its_name_with_what_renews_it() {
        const CHAIN: &str = "/etc/letsencrypt/live/mx.example/fullchain.pem";
        const KEY: &str = "/etc/letsencrypt/live/mx.example/privkey.pem";
        const CONF: &str = "/etc/letsencrypt/renewal/mx.example.conf";
        let debian = "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot -q renew\n";
        let cases: &[(&[(&str, &str)], Row<'_>)] = &[
            // Without its file in renewal/ certbot renews nothing, whatever cron runs.
            (&[(CHAIN, ""), ("/etc/cron.d/certbot", debian)], ("certbot", "mx.example", KEY, None, Some(false))),
            (
                &[(CHAIN, ""), (CONF, "[renewalparams]\nreuse_key = True\n"), ("/etc/cron.d/certbot", debian)],
                ("certbot", "mx.example", KEY, Some("/etc/cron.d/certbot"), Some(true)),
            ),
            (
                &[(CHAIN, ""), (CONF, "autorenew = False\n"), ("/etc/cron.d/certbot", debian)],
                ("certbot", "mx.example", KEY, None, Some(false)),
            ),
            (
                &[(CHAIN, ""), (CONF, ""), ("/etc/cron.d/certbot", debian), ("/run/systemd/system/x", "")],
                ("certbot", "mx.example", KEY, None, Some(false)),
            ),
            (
                &[
                    ("/root/.acme.sh/mx.example_ecc/fullchain.cer", ""),
                    ("/root/.acme.sh/mx.example_ecc/mx.example.conf", "Le_Domain='mx.example'\n"),
                    ("/var/spool/cron/crontabs/root", "7 3 * * * \"/root/.acme.sh\"/acme.sh --cron --home \"/root/.acme.sh\"\n"),
                ],
                (
                    "acme.sh",
                    "mx.example",
                    "/root/.acme.sh/mx.example_ecc/mx.example.key",
                    Some("/var/spool/cron/crontabs/root"),
                    Some(true),
                ),
            ),
            (
                &[
                    ("/etc/acme.sh/mx.example/fullchain.cer", ""),
                    ("/etc/acme.sh/mx.example/mx.example.conf.removed", ""),
                    ("/etc/cron.d/acme", "7 3 * * * root /etc/acme.sh/acme.sh --cron --home /etc/acme.sh\n"),
                ],
                ("acme.sh", "mx.example", "/etc/acme.sh/mx.example/mx.example.key", None, Some(true)),
            ),
            (
                &[
                    ("/etc/acme.sh/mx.example/fullchain.cer", ""),
                    ("/etc/acme.sh/mx.example/mx.example.conf", "Le_ForceNewDomainKey='1'\n"),
                    ("/var/spool/cron/crontabs/root", "# acme.sh --cron\n"),
                ],
                ("acme.sh", "mx.example", "/etc/acme.sh/mx.example/mx.example.key", None, Some(false)),
            ),
            (
                &[
                    ("/root/.lego/certificates/mx.example.crt", ""),
                    ("/root/.lego/certificates/mx.example.issuer.crt", ""),
                    ("/etc/cron.daily/certs", "#!/bin/sh\nlego --domains mx.example --http renew\n"),
                ],
                ("lego", "mx.example", "/root/.lego/certificates/mx.example.key", Some("/etc/cron.daily/certs"), None),
            ),
            (
                &[
                    ("/var/lib/dehydrated/certs/mx.example/fullchain.pem", ""),
                    ("/etc/dehydrated/config", "PRIVATE_KEY_RENEW=\"no\"\n"),
                    ("/etc/cron.d/dehydrated", "5 4 * * * root dehydrated --cron --hook x\n"),
                ],
                (
                    "dehydrated",
                    "mx.example",
                    "/var/lib/dehydrated/certs/mx.example/privkey.pem",
                    Some("/etc/cron.d/dehydrated"),
                    Some(true),
                ),
            ),
            (
                &[
                    ("/etc/dehydrated/certs/mx.example/fullchain.pem", ""),
                    ("/etc/dehydrated/conf.d/keys.sh", "PRIVATE_KEY_RENEW=no\n"),
                    ("/etc/dehydrated/domains.txt", "# mx.example\nwww.example\n"),
                    ("/etc/cron.d/dehydrated", "5 4 * * * root dehydrated -c\n"),
                ],
                ("dehydrated", "mx.example", "/etc/dehydrated/certs/mx.example/privkey.pem", None, Some(true)),
            ),
            (
                &[
                    ("/etc/dehydrated/certs/alias/fullchain.pem", ""),
                    ("/etc/dehydrated/domains.txt", "mx.example mx2.example > alias\n"),
                    ("/etc/cron.d/dehydrated", "5 4 * * * root dehydrated -c\n"),
                ],
                ("dehydrated", "alias", "/etc/dehydrated/certs/alias/privkey.pem", Some("/etc/cron.d/dehydrated"), Some(false)),
            ),
        ];
        for (files, wanted) in cases {
            let found = find(&machine(files));
            let rows: Vec<_> = found
                .iter()
                .map(|f| (f.keeper, f.kept.name.as_str(), f.key.to_str().unwrap(), f.kept.renewed_by.as_deref(), f.kept.keeps_key))
                .collect();
            assert_eq!(rows, [*wanted], "{files:?}");
        }
    }

    #[test]
    fn a_timer_counts_where_it_is_enabled() {
        let machine = machine(&[("/etc/systemd/system/timers.target.wants/x", "")]);
        assert_eq!(renewer(&machine, "certbot"), None);
        symlink("/nowhere", machine.at(Path::new("/etc/systemd/system/timers.target.wants/certbot.timer"))).unwrap();
        assert_eq!(renewer(&machine, "certbot").as_deref(), Some("certbot.timer"));
    }

    #[test]
    fn keepers_are_known_by_their_places() {
        for (path, expected) in [
            ("/etc/ssl/certs/ssl-cert-snakeoil.pem", Some("snakeoil")),
            ("/etc/letsencrypt/archive/mx/fullchain3.pem", Some("certbot")),
            ("/root/.acme.sh/mx.example_ecc/fullchain.cer", Some("acme.sh")),
            ("/etc/postfix/my.pem", None),
        ] {
            assert_eq!(by_place(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_keepers_folder_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mx.example_ecc")).unwrap();
        for file in ["mx.example_ecc/fullchain.cer", "b.crt", "b.issuer.crt", "README"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let at = |p: &str| dir.path().join(p);
        assert_eq!(
            lineages(&Machine, dir.path(), "fullchain.cer", "*.key"),
            vec![(at("mx.example_ecc/fullchain.cer"), at("mx.example_ecc/mx.example.key"))]
        );
        assert_eq!(lineages(&Machine, dir.path(), "*.crt", "*.key"), vec![(at("b.crt"), at("b.key"))]);
        assert_eq!(lineages(&Machine, Path::new("/nowhere"), "*.crt", "*.key"), vec![]);
    }
}
