//! Other services of this host that are configured to read a certificate of the mail server's, or one that could be: who
//! reads a file goes on presenting what lies in it.

use crate::{
    facts::{ForeignLineage, Reader},
    world::Look,
};
use std::path::{Path, PathBuf};

/// Services and where their configuration lies.
const SERVICES: [(&str, &str); 12] = [
    ("Dovecot", "/etc/dovecot"),
    ("nginx", "/etc/nginx"),
    ("Apache", "/etc/apache2"),
    ("Apache", "/etc/httpd"),
    ("Courier", "/etc/courier"),
    ("Cyrus IMAP", "/etc/imapd.conf"),
    ("HAProxy", "/etc/haproxy"),
    ("Caddy", "/etc/caddy"),
    ("lighttpd", "/etc/lighttpd"),
    ("ejabberd", "/etc/ejabberd"),
    ("Prosody", "/etc/prosody"),
    ("stunnel", "/etc/stunnel"),
];
/// Folders deeper than this hold no configuration.
const DEPTH: usize = 3;
/// A longer file is none.
const LONGEST: usize = 1 << 18;

/// Every line of theirs that names a certificate which is in use or kept here.
pub(super) fn readers(look: &dyn Look, foreign: &[ForeignLineage]) -> Vec<Reader> {
    read_by(look, foreign.iter().flat_map(|f| [f.chain.as_path(), f.key.as_path()]))
}

/// Every line of theirs that names one of these files, or a link to it.
pub fn read_by<'a>(look: &dyn Look, files: impl Iterator<Item = &'a Path>) -> Vec<Reader> {
    let mut wanted: Vec<(&Path, PathBuf)> = files.map(|file| (file, look.real(file).unwrap_or_else(|_| file.to_owned()))).collect();
    wanted.sort();
    wanted.dedup();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (program, place) in SERVICES {
        for path in self::files(look, Path::new(place), DEPTH) {
            let Ok(Some((bytes, _))) = look.read(&path) else { continue };
            if bytes.len() > LONGEST {
                continue;
            }
            for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
                let Some((setting, file)) = names(look, line, &wanted) else { continue };
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

/// The setting of a line, and which of the files it names.
fn names(look: &dyn Look, line: &str, wanted: &[(&Path, PathBuf)]) -> Option<(String, PathBuf)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let setting: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
    let words = line.get(setting.len()..)?.split(|c: char| c.is_whitespace() || "=<;\"',{}".contains(c));
    let is = |word: &Path| {
        let by_name = wanted.iter().find(|(file, _)| *file == word);
        by_name.or_else(|| look.real(word).ok().and_then(|real| wanted.iter().find(|(_, file)| *file == real)))
    };
    let (file, _) = words.filter(|word| word.starts_with('/')).map(Path::new).find_map(is)?;
    Some((setting, (*file).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{super::keepers::tests::machine, *};
    use std::os::unix::fs::symlink;

    const CHAIN: &str = "/etc/letsencrypt/live/mx/fullchain.pem";
    const KEY: &str = "/etc/ssl/mx.key";

    #[test]
    fn each_service_is_found_by_its_line() {
        for (program, path, line, setting) in [
            ("Dovecot", "/etc/dovecot/conf.d/10-ssl.conf", format!("ssl_cert = <{CHAIN}"), "ssl_cert"),
            ("nginx", "/etc/nginx/sites-enabled/www", format!("  ssl_certificate {CHAIN};"), "ssl_certificate"),
            ("Apache", "/etc/apache2/sites-enabled/www.conf", format!("SSLCertificateKeyFile \"{KEY}\""), "SSLCertificateKeyFile"),
            ("Apache", "/etc/httpd/conf.d/ssl.conf", format!("SSLCertificateFile {CHAIN}"), "SSLCertificateFile"),
            ("Courier", "/etc/courier/imapd-ssl", format!("TLS_CERTFILE={CHAIN}"), "TLS_CERTFILE"),
            ("Cyrus IMAP", "/etc/imapd.conf", format!("tls_server_cert: {CHAIN}"), "tls_server_cert"),
            ("HAProxy", "/etc/haproxy/haproxy.cfg", format!("bind :993 ssl crt {CHAIN} alpn x"), "bind"),
            ("Caddy", "/etc/caddy/Caddyfile", format!("\ttls {CHAIN} {KEY}"), "tls"),
            ("lighttpd", "/etc/lighttpd/conf-enabled/10-ssl.conf", format!("ssl.pemfile = \"{CHAIN}\""), "ssl.pemfile"),
            ("ejabberd", "/etc/ejabberd/ejabberd.yml", format!("  - {CHAIN}"), "-"),
            ("Prosody", "/etc/prosody/prosody.cfg.lua", format!("ssl = {{ certificate = \"{CHAIN}\" }}"), "ssl"),
            ("stunnel", "/etc/stunnel/imaps.conf", format!("cert={CHAIN}"), "cert"),
            // By a link, as Debian's Dovecot does.
            ("Dovecot", "/etc/dovecot/conf.d/10-ssl.conf", "ssl_cert = </etc/dovecot/private/dovecot.pem".into(), "ssl_cert"),
            ("", "/etc/nginx/nginx.conf", format!("# ssl_certificate {CHAIN};"), ""),
            ("", "/etc/nginx/nginx.conf", format!("ssl_certificate {CHAIN}.old;"), ""),
            ("", "/etc/nginx/sites-available/www", format!("ssl_certificate {CHAIN};"), ""),
            ("", "/etc/nginx/nginx.conf", "ssl_certificate /etc/letsencrypt/live/mx2/fullchain.pem;".into(), ""),
        ] {
            let below = machine(&[(CHAIN, ""), (KEY, ""), (path, &format!("first = 1\n{line}\n"))]);
            std::fs::create_dir_all(below.at(Path::new("/etc/dovecot/private"))).unwrap();
            symlink(below.at(Path::new(CHAIN)), below.at(Path::new("/etc/dovecot/private/dovecot.pem"))).unwrap();
            let found = read_by(&below, [Path::new(CHAIN), Path::new(KEY)].into_iter());
            let got: Vec<_> = found.iter().map(|r| (r.program.as_str(), r.at.clone(), r.setting.as_str())).collect();
            let wanted = [(program, (PathBuf::from(path), 2), setting)];
            assert_eq!(got, if program.is_empty() { &[] } else { &wanted[..] }, "{path}: {line}");
        }
    }
}
