//! Other services of this host that are configured to read a certificate of the mail server's, or one that could be: who
//! reads a file goes on presenting what lies in it.

use crate::{
    facts::{ForeignLineage, Reader},
    world::Look,
};
use std::path::{Path, PathBuf};

/// Services and where their configuration lies.
const SERVICES: [(&str, &str); 9] = [
    ("Dovecot", "/etc/dovecot"),
    ("nginx", "/etc/nginx"),
    ("Apache", "/etc/apache2"),
    ("Apache", "/etc/httpd"),
    ("Cyrus IMAP", "/etc/imapd.conf"),
    ("HAProxy", "/etc/haproxy"),
    ("Caddy", "/etc/caddy"),
    ("lighttpd", "/etc/lighttpd"),
    ("ejabberd", "/etc/ejabberd"),
];
/// Folders deeper than this hold no configuration.
const DEPTH: usize = 3;
/// A longer file is none.
const LONGEST: usize = 1 << 18;

/// Every line of theirs that names one of these files.
pub(super) fn readers(look: &dyn Look, foreign: &[ForeignLineage]) -> Vec<Reader> {
    let mut wanted: Vec<&Path> = foreign.iter().flat_map(|f| [f.chain.as_path(), f.key.as_path()]).collect();
    wanted.sort();
    wanted.dedup();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (program, place) in SERVICES {
        for path in files(look, Path::new(place), DEPTH) {
            let Ok(Some((bytes, _))) = look.read(&path) else { continue };
            if bytes.len() > LONGEST {
                continue;
            }
            for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                let Some((setting, file)) = names(line, &wanted) else { continue };
                found.push(Reader { program: program.to_owned(), at: (path.clone(), number + 1), setting, file });
            }
        }
    }
    found
}

/// The files below a place; those that are enabled by a link are not counted twice where their folder lies beside.
pub(super) fn files(look: &dyn Look, place: &Path, depth: usize) -> Vec<PathBuf> {
    let skipped = |p: &&PathBuf| !p.ends_with("sites-available") && !p.ends_with("conf-available") && !p.ends_with("mods-available");
    match look.list(place) {
        Ok(entries) if !entries.is_empty() && depth > 0 => entries.iter().filter(skipped).flat_map(|p| files(look, p, depth - 1)).collect(),
        _ => vec![place.to_owned()],
    }
}

/// The setting of a line, and the file that it names.
fn names(line: &str, wanted: &[&Path]) -> Option<(String, PathBuf)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let setting: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
    let words = line.get(setting.len()..)?.split(|c: char| c.is_whitespace() || "=<;\"',{}".contains(c));
    let file = words.map(Path::new).find(|word| wanted.contains(word))?;
    Some((setting, file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_names_a_file_is_found_by_its_setting() {
        let wanted = [Path::new("/etc/letsencrypt/live/mx/fullchain.pem"), Path::new("/etc/ssl/mx.key")];
        for (line, expected) in [
            ("ssl_cert = </etc/letsencrypt/live/mx/fullchain.pem", Some("ssl_cert")),
            ("  ssl_certificate /etc/letsencrypt/live/mx/fullchain.pem;", Some("ssl_certificate")),
            ("SSLCertificateKeyFile \"/etc/ssl/mx.key\"", Some("SSLCertificateKeyFile")),
            ("tls_server_cert: /etc/letsencrypt/live/mx/fullchain.pem", Some("tls_server_cert")),
            ("bind :993 ssl crt /etc/letsencrypt/live/mx/fullchain.pem alpn x", Some("bind")),
            ("# ssl_cert = </etc/letsencrypt/live/mx/fullchain.pem", None),
            ("ssl_cert = </etc/letsencrypt/live/mx/fullchain.pem.old", None),
            ("ssl_cert = </etc/letsencrypt/live/mx2/fullchain.pem", None),
            ("", None),
        ] {
            assert_eq!(names(line, &wanted).map(|(setting, _)| setting).as_deref(), expected, "{line}");
        }
    }
}
