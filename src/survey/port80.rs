//! Who answers on port 80, and from which directory it would serve an http-01 answer, where its files say so plainly.
//! No web server is asked: their own syntax checks open logs and make directories.

use super::sockets::Socket;
use crate::{
    facts::{Known, PortOwner},
    name::DnsName,
    world::Look,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The owner of `port`; process 0 where it is free.
pub(super) fn owner(
    look: &dyn Look,
    port: u16,
    sockets: &[Socket],
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
    names: &BTreeSet<DnsName>,
) -> Known<PortOwner> {
    let Some(socket) = sockets.iter().find(|s| s.addr.port() == port) else {
        let free = PortOwner { pid: 0, program: String::new(), elsewhere: false, webroot: None };
        return Known::seen(free, "/proc/net/tcp and tcp6");
    };
    let mut owner = owners.get(&socket.addr).cloned().unwrap_or_else(|| Known::unknown("it was not looked for"));
    if let Known::Seen { value, .. } = &mut owner
        && !value.elsewhere
    {
        value.webroot = webroot(look, &value.program, port, names);
    }
    owner
}

fn webroot(look: &dyn Look, program: &str, port: u16, names: &BTreeSet<DnsName>) -> Option<PathBuf> {
    let (folders, read): (&[&str], Reader) = match program {
        "nginx" => (&["/etc/nginx/sites-enabled", "/etc/nginx/conf.d"], nginx),
        "apache2" | "httpd" => (&["/etc/apache2/sites-enabled", "/etc/httpd/conf.d"], apache),
        _ => return None,
    };
    let files = folders.iter().flat_map(|f| look.list(Path::new(f)).unwrap_or_default());
    let sites: Vec<Site> = files
        .filter_map(|path| look.read(&path).ok().flatten())
        .flat_map(|(bytes, _)| read(&String::from_utf8_lossy(&bytes), port, names))
        .collect();
    // The site of the name answers; without one the default does, and without that the first.
    let site = sites.iter().find(|s| s.named).or_else(|| sites.iter().find(|s| s.default)).or_else(|| sites.first())?;
    site.root.clone().filter(|root| look.identity(root).is_ok())
}

/// Reads a web server's file: the sites on a port, with whether they are of one of the names.
type Reader = fn(&str, u16, &BTreeSet<DnsName>) -> Vec<Site>;

/// One site on the port, as far as it matters here. `root` is none where something else than a file may answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Site {
    named: bool,
    default: bool,
    root: Option<PathBuf>,
}

/// The `server` blocks of an nginx file.
fn nginx(text: &str, port: u16, names: &BTreeSet<DnsName>) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut tokens = tokens(text).into_iter().peekable();
    while let Some(token) = tokens.next() {
        if token != "server" || tokens.peek().map(String::as_str) != Some("{") {
            continue;
        }
        let (mut directive, mut site, mut ranks) = (Vec::<String>::new(), Site::default(), Vec::<Rank>::new());
        let (mut listens, mut here, mut best, mut blocked) = (false, false, Rank::Aside, false);
        for token in tokens.by_ref() {
            match token.as_str() {
                "{" => {
                    ranks.push(rank(&directive, ranks.last().copied()));
                    directive.clear();
                }
                "}" => {
                    ranks.pop();
                    directive.clear();
                    if ranks.is_empty() {
                        break;
                    }
                }
                ";" => {
                    let words: Vec<&str> = directive.iter().map(String::as_str).collect();
                    let level = ranks.last().copied().unwrap_or(Rank::Aside);
                    match (words.as_slice(), ranks.len()) {
                        (["listen", at, options @ ..], 1) => {
                            listens = true;
                            let on = at.rsplit(':').next().and_then(|p| p.trim_end_matches(']').parse::<u16>().ok()).unwrap_or(80);
                            here |= on == port && !options.contains(&"ssl");
                            site.default |= on == port && options.contains(&"default_server");
                        }
                        (["server_name", of @ ..], 1) => site.named |= of.iter().any(|n| names.iter().any(|m| m.covered_by(n))),
                        (["root", path], _) if level > best || (level == best && !blocked && level > Rank::Aside) => {
                            (site.root, best, blocked) = (Some(PathBuf::from(path)), level, false);
                        }
                        // At the level of the server these come before any location is looked at.
                        (["return" | "rewrite", ..], 1) => (site.root, best, blocked) = (None, Rank::Server, true),
                        (["return" | "rewrite" | "proxy_pass" | "alias", ..], _) if level > Rank::Aside && level >= best => {
                            (site.root, best, blocked) = (None, level, true);
                        }
                        _ => {}
                    }
                    directive.clear();
                }
                _ => directive.push(token),
            }
        }
        if here || (!listens && port == 80) {
            sites.push(site);
        }
    }
    sites
}

/// How much a block has to say of the path of an http-01 answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Nothing.
    Aside,
    /// It is the whole site, or its `/`.
    Whole,
    /// It is the location of the answer.
    Challenge,
    /// Before every location.
    Server,
}

fn rank(directive: &[String], within: Option<Rank>) -> Rank {
    match (directive.first().map(String::as_str), directive.last(), within) {
        (Some("location"), Some(path), _) if path.trim_start_matches("^~").starts_with("/.well-known/acme-challenge") => Rank::Challenge,
        (Some("location"), Some(path), _) if path == "/" => Rank::Whole,
        (Some("location"), ..) => Rank::Aside,
        (_, _, Some(outer)) => outer,
        _ => Rank::Whole,
    }
}

/// The words of an nginx file: quotes and comments taken away, `{`, `}` and `;` by themselves.
fn tokens(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(code, _)| code);
        for word in line.replace('{', " { ").replace('}', " } ").replace(';', " ; ").split_whitespace() {
            all.push(word.trim_matches(['"', '\'']).to_owned());
        }
    }
    all
}

/// The `VirtualHost` blocks of an Apache file.
fn apache(text: &str, port: u16, names: &BTreeSet<DnsName>) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut site: Option<(Site, bool)> = None;
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
        let mut words = line.split_whitespace().map(|w| w.trim_matches(['"', '\'']));
        let Some(first) = words.next() else { continue };
        match (first.to_ascii_lowercase().as_str(), &mut site) {
            ("<virtualhost", _) => {
                let on = |w: &str| w.trim_end_matches('>').rsplit(':').next().is_some_and(|p| p == "*" || p.parse() == Ok(port));
                site = words.any(on).then(|| (Site::default(), false));
            }
            ("</virtualhost>", _) => sites.extend(site.take().map(|(s, answers)| if answers { Site { root: None, ..s } } else { s })),
            ("servername" | "serveralias", Some((s, _))) => {
                s.named |= words.any(|w| names.iter().any(|m| m.covered_by(w.split(':').next().unwrap_or(w))));
            }
            ("documentroot", Some((s, _))) => s.root = words.next().map(PathBuf::from),
            (
                "redirect" | "redirectmatch" | "redirectpermanent" | "rewriterule" | "proxypass" | "proxypassmatch" | "alias",
                Some((_, answers)),
            ) => {
                *answers = true;
            }
            _ => {}
        }
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_file_of_a_web_server_is_read_in_peace(
            text in r#"(server|location|listen|root|return|<VirtualHost \*:80>|</VirtualHost>|DocumentRoot|[{};"'#:\] \n]|80|é|/x){0,40}"#,
        ) {
            for port in [80, 443] {
                let _ = (nginx(&text, port, &names()), apache(&text, port, &names()));
            }
        }
    }

    fn names() -> BTreeSet<DnsName> {
        ["mx.example.org".parse().unwrap()].into()
    }

    fn site(named: bool, default: bool, root: Option<&str>) -> Site {
        Site { named, default, root: root.map(PathBuf::from) }
    }

    #[test]
    fn nginx_sites_show_their_root() {
        for (text, expected) in [
            (
                "server {\n listen 80 default_server;\n listen [::]:80 default_server;\n root /var/www/html; # here\n server_name _;\n \
                 location / { try_files $uri =404; }\n}",
                vec![site(false, true, Some("/var/www/html"))],
            ),
            ("server { listen 443 ssl; server_name mx.example.org; root /x; }", vec![]),
            ("server { listen 80; server_name mx.example.org; return 301 https://$host$request_uri; }", vec![site(true, false, None)]),
            (
                "server { listen 80; server_name *.example.org; location ^~ /.well-known/acme-challenge/ { root /var/www/acme; } \
                 location / { return 301 https://$host$request_uri; } }",
                vec![site(true, false, Some("/var/www/acme"))],
            ),
            ("server { server_name a; location / { proxy_pass http://x; } root /srv; }", vec![site(false, false, None)]),
            ("server { root /srv; location ~ \\.php$ { return 403; } }", vec![site(false, false, Some("/srv"))]),
            ("server { return 301 /x; location /.well-known/acme-challenge { root /y; } }", vec![site(false, false, None)]),
            ("upstream x { server 10.0.0.1; }", vec![]),
            ("server { listen 127.0.0.1:8080; root /x; }", vec![]),
        ] {
            assert_eq!(nginx(text, 80, &names()), expected, "{text}");
        }
    }

    #[test]
    fn apache_sites_show_their_root() {
        for (text, expected) in [
            (
                "<VirtualHost *:80>\n  #ServerName www.example.com\n  DocumentRoot /var/www/html\n  ErrorLog x\n</VirtualHost>\n",
                vec![site(false, false, Some("/var/www/html"))],
            ),
            ("<VirtualHost *:443>\nDocumentRoot /x\n</VirtualHost>", vec![]),
            (
                "<VirtualHost *:80>\nServerName mx.example.org\nDocumentRoot \"/x\"\nRedirect permanent / https://mx.example.org/\n</VirtualHost>",
                vec![site(true, false, None)],
            ),
        ] {
            assert_eq!(apache(text, 80, &names()), expected, "{text}");
        }
    }
}
