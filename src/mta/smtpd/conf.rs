//! What smtpd.conf(5) means for the ports that answer from the network: macros replaced, included files read where they are
//! included.

use super::lines::{Statement, Word, statements};
use crate::{
    facts::{ConfigFile, Role},
    mta::lines::Unreadable,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Files within files go no deeper.
const DEPTH: usize = 20;

/// One `listen on` statement of a network socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Its address, family and port, as they are written.
    pub(super) name: String,
    pub(super) at: (PathBuf, usize),
    pub(super) listens: Vec<SocketAddr>,
    pub(super) role: Role,
    pub(super) tls: Tls,
    /// The pairs of certificate and key that it names; the first is for senders that send no name.
    pub(super) pkis: Vec<String>,
    /// Its options are written in the statement, and are no macros.
    pub(super) plain: bool,
}

impl Listener {
    /// Nobody else can reach it.
    pub(super) fn is_local(&self) -> bool {
        !self.listens.is_empty() && self.listens.iter().all(|l| l.ip().is_loopback())
    }
}

/// Whether it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    None,
    May,
    Encrypt,
}

/// A file that a `pki` statement names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) file: PathBuf,
    pub(super) at: (PathBuf, usize),
}

/// One name of a `pki` statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pki {
    /// The name as it is written, which may be a macro.
    pub(super) written: String,
    pub(super) cert: Option<Named>,
    pub(super) key: Option<Named>,
}

/// The whole configuration.
#[derive(Debug, Default)]
pub(super) struct Conf {
    pub(super) listeners: Vec<Listener>,
    pub(super) pkis: BTreeMap<String, Pki>,
    /// Names of `pki` statements that actions use towards other servers.
    pub(super) sends_with: Vec<String>,
    /// Domains for which mail from elsewhere is accepted.
    pub(super) domains: Vec<String>,
    /// Where more of them are, which nobody reads here.
    pub(super) elsewhere: Vec<String>,
    /// Included files that are not among those given.
    pub(super) missing: Vec<PathBuf>,
    macros: BTreeMap<String, String>,
    tables: BTreeMap<String, Vec<String>>,
}

impl Conf {
    /// Reads the first file and what it includes; `interfaces` has a line `name address` for each address of this host.
    pub(super) fn read(files: &[ConfigFile], interfaces: &str) -> Result<Self, Unreadable> {
        let mut conf = Self::default();
        if let Some(first) = files.first() {
            conf.file(first, files, interfaces, 0)?;
        }
        Ok(conf)
    }

    fn file(&mut self, file: &ConfigFile, files: &[ConfigFile], interfaces: &str, depth: usize) -> Result<(), Unreadable> {
        for statement in statements(&file.path, &file.text.0.0)? {
            let wrong = |why: String| Unreadable { path: file.path.clone(), line: statement.line, why };
            let words = self.expanded(&statement).map_err(wrong)?;
            let texts: Vec<&str> = words.iter().map(String::as_str).collect();
            let at = (file.path.clone(), statement.line);
            match texts.as_slice() {
                [name, "=", value @ ..] => {
                    self.macros.insert((*name).to_owned(), value.join(" "));
                }
                ["include", path] => match files.iter().find(|f| f.path == Path::new(path)) {
                    Some(_) if depth >= DEPTH => return Err(wrong("files include each other".to_owned())),
                    Some(inner) => self.file(inner, files, interfaces, depth + 1)?,
                    None => self.missing.push(PathBuf::from(path)),
                },
                ["pki", name, what @ ("cert" | "key"), path] => {
                    let pki = self.pkis.entry(name.to_lowercase()).or_default();
                    pki.written = statement.words.get(1).map_or_else(String::new, |w| w.text.clone());
                    let named = Some(Named { file: PathBuf::from(path), at });
                    if *what == "cert" { pki.cert = named } else { pki.key = named }
                }
                ["table", name, "{", items @ .., "}"] => {
                    let items = items.iter().filter(|i| **i != ",").map(|i| (*i).to_owned()).collect();
                    self.tables.insert((*name).to_owned(), items);
                }
                ["listen", "on", "socket", ..] => {}
                ["listen", "on", address, options @ ..] => {
                    let listener = listener(&statement, at, address, options, interfaces);
                    if self.listeners.iter().any(|l| l.name == listener.name) {
                        return Err(wrong(format!("`{}` stands here a second time", listener.name)));
                    }
                    self.listeners.push(listener);
                }
                ["action", rest @ ..] => self.sends_with.extend(after(rest, "pki").map(str::to_lowercase)),
                ["match", rest @ ..] => self.matched(rest),
                _ => {}
            }
        }
        Ok(())
    }

    /// The words with macros replaced; those of a definition's name stay.
    fn expanded(&self, statement: &Statement) -> Result<Vec<String>, String> {
        let one = |word: &Word| match word.macro_name() {
            None => Ok(vec![word.text.clone()]),
            Some(name) => match self.macros.get(name) {
                Some(value) => Ok(value.split_whitespace().map(ToOwned::to_owned).collect()),
                None => Err(format!("the macro {name} is not defined in the files")),
            },
        };
        Ok(statement.words.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The domains of a rule that takes mail from elsewhere.
    fn matched(&mut self, words: &[&str]) {
        let place = |what: &str| words.iter().position(|w| *w == what);
        let from = place("from").filter(|i| *i == 0 || words[i - 1] != "!").and_then(|i| words.get(i + 1));
        let is_open = from.is_some_and(|f| !["local", "auth", "socket"].contains(f));
        let Some(at) = place("domain").filter(|i| is_open && *i > 0 && words[i - 1] == "for" && (*i < 2 || words[i - 2] != "!")) else {
            return;
        };
        match &words[at + 1..] {
            ["regex", ..] => self.elsewhere.push("a rule holds a regular expression".to_owned()),
            ["<", table, ">", ..] => match self.tables.get(*table) {
                Some(items) => self.domains.extend(items.iter().cloned()),
                None => self.elsewhere.push(format!("table {table} is another file")),
            },
            ["{", items @ ..] => {
                self.domains.extend(items.iter().take_while(|i| **i != "}").filter(|i| **i != ",").map(|i| (*i).to_owned()));
            }
            [domain, ..] => self.domains.push((*domain).to_owned()),
            [] => {}
        }
    }
}

fn after<'a>(words: &'a [&'a str], what: &'a str) -> impl Iterator<Item = &'a str> {
    words.windows(2).filter(move |w| w[0] == what).map(|w| w[1])
}

fn listener(statement: &Statement, at: (PathBuf, usize), address: &str, options: &[&str], interfaces: &str) -> Listener {
    let has = |option: &str| options.contains(&option);
    let port = after(options, "port").last().and_then(port).unwrap_or(if has("smtps") { 465 } else { 25 });
    let ips: Vec<IpAddr> = match address {
        "all" | "*" => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
        "localhost" => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        _ => match address.parse() {
            Ok(ip) => vec![ip],
            Err(_) => {
                let of = |line: &str| line.split_once(' ').filter(|(name, _)| *name == address).and_then(|(_, ip)| ip.parse().ok());
                interfaces.lines().filter_map(of).collect()
            }
        },
    };
    let fits = |ip: &IpAddr| if has("inet4") { ip.is_ipv4() } else { !has("inet6") || ip.is_ipv6() };
    Listener {
        name: statement.listener().unwrap_or_default(),
        at,
        listens: ips.into_iter().filter(fits).map(|ip| SocketAddr::new(ip, port)).collect(),
        role: match port {
            _ if has("smtps") => Role::Submissions,
            25 => Role::Mx,
            _ => Role::Submission,
        },
        tls: match () {
            () if has("smtps") || has("tls-require") => Tls::Encrypt,
            () if has("tls") => Tls::May,
            () => Tls::None,
        },
        pkis: after(options, "pki").map(str::to_lowercase).collect(),
        plain: statement.listens().is_some_and(|w| w.iter().skip(1).all(|w| w.macro_name().is_none())),
    }
}

fn port(text: &str) -> Option<u16> {
    match text {
        "smtp" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" | "urd" => Some(465),
        number => number.parse().ok(),
    }
}
