//! The ways to bring an [`Exchange`] to whoever serves the zone.
//!
//! Five are ours: a person, the zone's file on this host, an update over the wire (RFC 2136), a program of the admin's, and, in a
//! build with the feature `dns-apis`, the programming interface of a DNS company.

#[cfg(feature = "dns-apis")]
use super::api::{Api, Session};
use super::{
    Exchange, Ours, Record, Refused,
    zone_file::{self, Unedited},
};
use crate::{
    change::{Command, Meta},
    dns::{Key, NotDone, Primary, Resolver, Seen},
    moment::Moment,
    name::DnsName,
    world::{Failure, Hands as _, Look as _, Machine, Net, Store},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a command of the admin's may take.
const LIMIT: Duration = Duration::from_secs(60);
/// So many characters of what it said at last are shown.
const SAID: usize = 2000;

/// How records are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// You enter them; mxseal prints them, and waits where it is asked to
    Manual,
    /// The zone's file on this host is edited
    Zonefile,
    /// An update is sent to the zone's primary server (RFC 2136)
    Rfc2136,
    /// A program of yours is told what to change
    Hook,
    /// Your DNS company is told over its programming interface (not in every build)
    Api,
}

/// A way, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// Somebody does it by hand.
    Manual,
    /// The zone's master file on this host (RFC 1035 §5).
    ZoneFile {
        /// The file.
        file: PathBuf,
        /// What makes the server read it again; empty where that is left to the admin.
        reload: Command,
    },
    /// An update over the wire (RFC 2136), signed where there is a key (RFC 8945).
    Rfc2136 {
        /// The server; the zone's primary by its SOA record where none is named.
        server: Option<SocketAddr>,
        /// The file that holds the key, as `nsupdate -k` reads it.
        key: Option<PathBuf>,
    },
    /// A program that is told on its standard input.
    Hook {
        /// The program.
        program: PathBuf,
    },
    /// The programming interface of a DNS company.
    #[cfg(feature = "dns-apis")]
    Api(Api),
}

/// The ways of all zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publishers {
    /// Of every zone that has none of its own.
    pub all: Option<Publisher>,
    /// Of one zone.
    pub zones: BTreeMap<DnsName, Publisher>,
}

impl Publishers {
    /// The way of this zone, where mxseal can go it by itself.
    #[must_use]
    pub fn of(&self, zone: &DnsName) -> Option<&Publisher> {
        self.zones.get(zone).or(self.all.as_ref()).filter(|p| **p != Publisher::Manual)
    }

    /// Whether mxseal can publish anything by itself.
    #[must_use]
    pub fn any(&self) -> bool {
        self.zones.values().chain(&self.all).any(|p| *p != Publisher::Manual)
    }
}

/// What a way comes to for one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What is left to do: without what is there already, and what is gone.
    pub exchange: Exchange,
    /// The exact change.
    pub words: Words,
    /// What is left to the admin after it, as a sentence.
    pub next: Option<String>,
}

/// A change in the words of whoever takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// Records, to be entered by hand.
    Records,
    /// A file, before and after.
    File {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        before: Vec<u8>,
        /// Its bytes afterwards.
        after: Vec<u8>,
    },
    /// A text, as it is sent.
    Text(String),
}

/// What has been looked at and can be done.
enum Step {
    Nothing,
    File {
        path: PathBuf,
        meta: Meta,
        before: Vec<u8>,
        after: Vec<u8>,
    },
    Update {
        primary: Primary,
        seen: Seen,
    },
    Hook {
        told: String,
    },
    #[cfg(feature = "dns-apis")]
    Call(Box<Session>),
}

impl Publisher {
    /// Looks at the zone and says what would be done. Changes nothing.
    ///
    /// # Errors
    /// When the zone cannot be looked at, or a record that is not ours is in the way.
    pub async fn draft(&self, net: &Net, exchange: &Exchange, now: Moment) -> Result<Draft, Refused> {
        self.look(net, exchange, now).await.map(|(draft, _)| draft)
    }

    /// Does it, all or nothing, and keeps in the Store which records are ours from now on. What is done by hand is not done, and
    /// not ours.
    ///
    /// # Errors
    /// When it was not done, or it is not known whether it was.
    pub async fn publish(&self, net: &Net, store: &Store, exchange: &Exchange, now: Moment) -> Result<Draft, Refused> {
        let (draft, step) = self.look(net, exchange, now).await?;
        let left = &draft.exchange;
        if matches!(step, Step::Nothing) {
            return Ok(draft);
        }
        // Noted first: whatever becomes of us, a record of ours is never taken for somebody else's.
        let mut ours: Ours = store.load(Ours::FILE)?.unwrap_or_default();
        ours.note(&left.zone, &left.add, now);
        store.save(Ours::FILE, &ours)?;
        let done = self.carry_out(step, left).await;
        match &done {
            Ok(()) => ours.forget(&left.remove),
            Err(why) if why.is_open() => {}
            Err(_) => ours.forget(&left.add),
        }
        store.save(Ours::FILE, &ours).map_err(|e| Refused::Unclear(e.to_string(), left.zone.clone()))?;
        done.map(|()| draft)
    }

    async fn look(&self, net: &Net, exchange: &Exchange, now: Moment) -> Result<(Draft, Step), Refused> {
        let draft = |exchange: Exchange, words| Draft { exchange, words, next: None };
        match self {
            Self::Manual => Ok((draft(exchange.clone(), Words::Records), Step::Nothing)),
            Self::ZoneFile { file, reload } => {
                let failed = |e: &dyn std::fmt::Display| Refused::Failed(format!("the zone file {}: {e}", file.display()));
                let path = Machine.real(file).map_err(|e| failed(&e))?;
                let (before, meta) = Machine.read(&path).map_err(|e| failed(&e))?.ok_or_else(|| failed(&"it is gone"))?;
                let journal = PathBuf::from(format!("{}.jnl", path.display()));
                if Machine.kind(&journal).map_err(|e| failed(&e))?.is_some() {
                    return Err(failed(&format!("{} shows that its server writes it itself: use --publish rfc2136", journal.display())));
                }
                let (after, left) = zone_file::edited(&before, exchange, now).map_err(|e| match e {
                    Unedited::InTheWay(other) => Refused::InTheWay(other),
                    e => failed(&e),
                })?;
                let words = Words::File { path: path.clone(), before: before.clone(), after: after.clone() };
                if left.is_empty() {
                    return Ok((draft(left, words), Step::Nothing));
                }
                let zone = &exchange.zone;
                let next = reload.0.is_empty().then(|| {
                    format!("let the server of {zone} read its file again, such as `rndc reload {zone}` or `knotc zone-reload {zone}`")
                });
                Ok((Draft { exchange: left, words, next }, Step::File { path, meta, before, after }))
            }
            Self::Rfc2136 { server, key } => {
                let key = key.as_deref().map(Key::read).transpose().map_err(Refused::Failed)?;
                let resolver = Resolver::new(net).map_err(|e| Refused::Failed(e.to_string()))?;
                let primary = Primary::of(&resolver, &exchange.zone, *server, key).await.map_err(Refused::Failed)?;
                let all = [exchange.add.as_slice(), &exchange.remove].concat();
                let seen = primary.look(&all).await.map_err(Refused::Failed)?;
                let left = exchange.left(&seen.records())?;
                if left.is_empty() {
                    return Ok((draft(left, Words::Text(String::new())), Step::Nothing));
                }
                let script = primary.script(&left.zone, &left.add, &left.remove, &seen).map_err(Refused::Failed)?;
                Ok((draft(left, Words::Text(script)), Step::Update { primary, seen }))
            }
            Self::Hook { program } => {
                safe(program)?;
                let told = told(exchange);
                let step = if exchange.is_empty() { Step::Nothing } else { Step::Hook { told: told.clone() } };
                Ok((draft(exchange.clone(), Words::Text(told)), step))
            }
            #[cfg(feature = "dns-apis")]
            Self::Api(api) => {
                let (session, left) = api.look(exchange).await?;
                let words = Words::Text(session.words(&left));
                let step = if left.is_empty() { Step::Nothing } else { Step::Call(Box::new(session)) };
                Ok((draft(left, words), step))
            }
        }
    }

    async fn carry_out(&self, step: Step, left: &Exchange) -> Result<(), Refused> {
        match (self, step) {
            (_, Step::Nothing) | (Self::Manual, _) => Ok(()),
            (Self::ZoneFile { reload, .. }, Step::File { path, meta, before, after }) => {
                replace(&left.zone, &path, &meta, &before, &after)?;
                if reload.0.is_empty() {
                    return Ok(());
                }
                Machine.act(reload, LIMIT, None).or_else(|e| {
                    put(&path, &meta, &before)?;
                    Err(Refused::Failed(format!("{e}; {} is as it was", path.display())))
                })
            }
            (_, Step::Update { primary, seen }) => {
                primary.exchange(&left.zone, &left.add, &left.remove, &seen).await.map_err(|e| match e {
                    NotDone::Changed => Refused::Changed(left.zone.clone()),
                    NotDone::Refused(why) => Refused::Failed(why),
                    NotDone::Unclear(why) => Refused::Unclear(why, left.zone.clone()),
                })
            }
            (Self::Hook { program }, Step::Hook { told }) => {
                let unclear = |why: String| Refused::Unclear(why, left.zone.clone());
                let command = Command(vec![program.display().to_string()]);
                let output = Machine.feed(&command, told.as_bytes(), &[], LIMIT).map_err(|e| match e {
                    Failure::Start { .. } => Refused::Failed(e.to_string()),
                    e => unclear(e.to_string()),
                })?;
                match output.code {
                    0 => Ok(()),
                    code => Err(unclear(format!("{} ended with {code}: {}", program.display(), last(&output.stderr)))),
                }
            }
            #[cfg(feature = "dns-apis")]
            (_, Step::Call(session)) => session.exchange(left).await,
            (_, Step::File { .. } | Step::Hook { .. }) => Ok(()),
        }
    }
}

/// What runs as root is root's alone.
fn safe(program: &Path) -> Result<(), Refused> {
    let failed = |why: String| Refused::Failed(format!("the hook {}: {why}", program.display()));
    match Machine.first_open_to_others(program).map_err(|e| failed(e.to_string()))? {
        Some(part) if nix::unistd::geteuid().is_root() => {
            Err(failed(format!("others than root may write {}: look at it, then chown root and chmod go-w", part.display())))
        }
        _ => Ok(()),
    }
}

/// Checks the new file beside its place, and puts it there if nobody else wrote it meanwhile.
fn replace(zone: &DnsName, path: &Path, meta: &Meta, before: &[u8], after: &[u8]) -> Result<(), Refused> {
    let failed = |e: &dyn std::fmt::Display| Refused::Failed(format!("the zone file {}: {e}", path.display()));
    let beside = beside(path);
    Machine.stage(&beside, after, meta).map_err(|e| failed(&e))?;
    let checked = check(zone, &beside).and_then(|()| match Machine.read(path) {
        Ok(Some((bytes, _))) if bytes == before => Ok(()),
        Ok(_) => Err(Refused::Changed(zone.clone())),
        Err(e) => Err(failed(&e)),
    });
    match checked.and_then(|()| Machine.swap(&beside, path).map_err(|e| failed(&e))) {
        Ok(()) => Ok(()),
        Err(why) => {
            let _ = Machine.unlink(&beside);
            Err(why)
        }
    }
}

fn put(path: &Path, meta: &Meta, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    Machine.stage(&beside, bytes, meta)?;
    Machine.swap(&beside, path)
}

fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.mxseal", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// By the tool of a server, where one is installed. Nothing is asked of the network.
fn check(zone: &DnsName, file: &Path) -> Result<(), Refused> {
    let (zone, file) = (zone.absolute(), file.display().to_string());
    for words in [&["kzonecheck", "-o", &zone, &file][..], &["named-checkzone", "-q", "-i", "local", &zone, &file]] {
        match Machine.run(&Command(words.iter().map(ToString::to_string).collect()), LIMIT) {
            Ok(output) if output.code == 0 => return Ok(()),
            Ok(output) => {
                let said = format!("{}\n{}", output.stdout.trim(), output.stderr.trim());
                return Err(Refused::Failed(format!("`{}` refuses the new zone file: {}", words.join(" "), last(&said))));
            }
            Err(Failure::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Refused::Failed(e.to_string())),
        }
    }
    Ok(())
}

/// The end of what a program said, on a few lines at most.
fn last(said: &str) -> String {
    let said = said.trim();
    said.chars().skip(said.chars().count().saturating_sub(SAID)).collect()
}

/// What a hook reads.
fn told(exchange: &Exchange) -> String {
    let record = |r: &Record| -> Value {
        let value = if let super::Data::Txt(text) = &r.data { text.clone() } else { r.data.to_string() };
        json!({"name": r.owner, "type": r.data.kind(), "ttl": r.ttl, "value": value, "line": r.to_string()})
    };
    let all = |records: &[Record]| records.iter().map(record).collect::<Vec<_>>();
    let document = json!({"version": 1, "zone": exchange.zone, "add": all(&exchange.add), "remove": all(&exchange.remove)});
    format!("{document:#}\n")
}
