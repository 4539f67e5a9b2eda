//! The programming interfaces of DNS companies, and of PowerDNS: one library speaks to all of them.
//!
//! None of them takes conditions, and few take more than one set of records at a time. So the zone is listed first, single
//! records are added and taken away, and it is listed again: what it holds then tells what became of it, whatever was answered.
//! Where it broke off in between, what was done is taken back.

mod credentials;
mod providers;
mod record;

use super::{Data, Exchange, Record, Refused};
use crate::{name::DnsName, nearest, world};
use credentials::Credentials;
use dns_update::{DnsRecord, DnsRecordType, DnsUpdater, Error};
use providers::{PROVIDERS, Provider};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How long all of one look, or of one change, may take. Neither the library nor its HTTP client bounds the size of an answer: only
/// this does.
const LIMIT: Duration = Duration::from_secs(60);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(20);
/// How long a change that was taken may need until it is listed, and between two looks.
const LISTED: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);
/// What lists the companies.
const TOPIC: &str = "dns-providers";

/// Whose interface, and where its credentials lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    provider: &'static Provider,
    credentials: PathBuf,
}

impl Api {
    /// The interface of this company.
    ///
    /// # Errors
    /// A sentence: it is not known.
    pub fn of(provider: &str, credentials: PathBuf) -> Result<Self, String> {
        let known = || PROVIDERS.iter().map(|p| p.id);
        match PROVIDERS.iter().find(|p| p.id == provider) {
            Some(provider) => Ok(Self { provider, credentials }),
            None => Err(format!(
                "--dns-provider: there is no provider {provider:?}{}; `mxseal explain {TOPIC}` lists them",
                nearest::meant(&nearest::nearest(provider, known()))
            )),
        }
    }

    /// Looks at the zone: what is left to do, and by which conversation.
    pub(super) async fn look(&self, exchange: &Exchange) -> Result<(Session, Exchange), Refused> {
        let provider = self.provider;
        if let Some(key) = exchange.add.iter().find(|r| !provider.tlsa && matches!(r.data, Data::Tlsa(_))) {
            let why = format!("{} takes no TLSA records over its interface, and {} would be one", provider.name, key.owner);
            return Err(Refused::Failed(format!("{why}; --tell tls-rpt,mta-sts leaves them out, or enter them in its panel")));
        }
        let credentials = Credentials::read(&self.credentials, provider.name, provider.keys).map_err(Refused::Failed)?;
        // Its HTTP client cannot be made without them, for a plain address neither, and ends the program over that.
        if !world::has_system_roots() {
            return Err(Refused::Failed(
                "this host has no certificates of CAs, which a DNS company's is verified by: install ca-certificates".into(),
            ));
        }
        let updater = (provider.connect)(&credentials, Some(REQUEST));
        let updater = updater.map_err(|e| Refused::Failed(credentials.masked(&format!("{}: {e}", provider.name))))?;
        let session = Session { provider, credentials, updater };
        let left = match timeout(LIMIT, session.left(exchange)).await {
            Ok(left) => left?,
            Err(_) => return Err(Refused::Failed(session.too_slow())),
        };
        Ok((session, left))
    }
}

/// A conversation with one company.
pub(super) struct Session {
    provider: &'static Provider,
    credentials: Credentials,
    updater: DnsUpdater,
}

/// Records of one name and type.
struct Set<'a> {
    owner: &'a DnsName,
    kind: DnsRecordType,
    records: Vec<&'a Record>,
}

impl Session {
    /// The change, a line each.
    pub(super) fn words(&self, change: &Exchange) -> String {
        let line = |sign: char, r: &Record| format!("{sign} {}\n", Record { ttl: r.ttl.max(self.provider.ttl), ..r.clone() });
        let gone = change.remove.iter().map(|r| line('-', r));
        gone.chain(change.add.iter().map(|r| line('+', r))).collect()
    }

    /// Does it, and takes it back where only a part could be done.
    pub(super) async fn exchange(&self, change: &Exchange) -> Result<(), Refused> {
        let written = timeout(LIMIT, self.write(change)).await;
        let why = match &written {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why.clone()),
            Err(_) => Some(self.too_slow()),
        };
        let unclear = |why: String| Refused::Unclear(why, change.zone.clone());
        let open = match self.open(change, if why.is_none() { LISTED } else { Duration::ZERO }).await {
            Ok(open) if open.is_empty() => return Ok(()),
            Ok(open) => open,
            Err(no_look) => return Err(unclear(why.unwrap_or(no_look))),
        };
        let Some(why) = why else {
            let says =
                format!("{} took the change and does not list it: {}", self.provider.name, self.words(&open).trim().replace('\n', ", "));
            return Err(unclear(says));
        };
        let done = change.without(&open);
        if done.is_empty() {
            // What nobody answered to may still be done.
            return Err(if written.is_err() { unclear(why) } else { Refused::Failed(why) });
        }
        let back = done.clone().reversed();
        let _ = timeout(LIMIT, self.write(&back)).await;
        let stands = stands(done, self.open(&back, Duration::ZERO).await.ok());
        if stands.is_empty() {
            return Err(Refused::TakenBack(why));
        }
        let all = |exchange: &Exchange| self.words(exchange).trim().replace('\n', ", ");
        Err(Refused::Partly(format!("{why}; done is: {}; not done is: {}", all(&stands), all(&change.without(&stands)))))
    }

    /// What of a change the zone does not show, after so long at most.
    async fn open(&self, change: &Exchange, patience: Duration) -> Result<Exchange, String> {
        let began = Instant::now();
        loop {
            let open = match timeout(LIMIT, self.left(change)).await {
                Ok(open) => open.map_err(|e| e.to_string())?,
                Err(_) => return Err(self.too_slow()),
            };
            if open.is_empty() || began.elapsed() >= patience {
                return Ok(open);
            }
            sleep(PAUSE).await;
        }
    }

    /// What is left to do where the zone holds what it lists.
    async fn left(&self, change: &Exchange) -> Result<Exchange, Refused> {
        // An alias stands alone at its name, and nothing stands beside one.
        let mut kinds: Vec<(&DnsName, DnsRecordType)> = Vec::new();
        for record in change.add.iter().chain(&change.remove) {
            let alone = matches!(record.data, Data::Cname(_)) && change.add.contains(record);
            let beside = if alone { record::ALL } else { &[DnsRecordType::CNAME] };
            for kind in beside.iter().copied().chain([record::kind(&record.data)]) {
                let at = (&record.owner, kind);
                if !kinds.contains(&at) && (self.provider.tlsa || kind != DnsRecordType::TLSA) {
                    kinds.push(at);
                }
            }
        }
        let (mut found, mut others): (Vec<Record>, Vec<String>) = (Vec::new(), Vec::new());
        for (owner, kind) in kinds {
            let listed = self.updater.list_rrset(owner.as_str(), kind, change.zone.as_str()).await;
            let listed = listed.map_err(|e| Refused::Failed(self.said(&format!("list {} of {owner}", kind.as_str()), &change.zone, e)))?;
            for listed in listed {
                match record::read(&listed) {
                    Some(data) => found.push(Record { owner: owner.clone(), ttl: super::TTL, data }),
                    None => others.push(format!("{owner} {} {listed}", kind.as_str())),
                }
            }
        }
        let left = change.left(&found)?;
        let alias = |r: &&Record| matches!(r.data, Data::Cname(_));
        match (left.add.iter().find(alias), others.first()) {
            (Some(new), Some(other)) => {
                Err(Refused::Failed(format!("`{new}` cannot stand beside `{other}`, which mxseal did not put there")))
            }
            _ => Ok(left),
        }
    }

    /// An alias goes before another comes; of everything else the new comes before the old goes.
    async fn write(&self, change: &Exchange) -> Result<(), String> {
        let (aliases, others): (Vec<&Record>, Vec<&Record>) = change.remove.iter().partition(|r| matches!(r.data, Data::Cname(_)));
        self.remove(&aliases, &change.zone).await?;
        for set in sets(change.add.iter()) {
            let ttl = set.records.iter().map(|r| r.ttl).fold(self.provider.ttl, u32::max);
            let done = self.updater.add_to_rrset(set.owner.as_str(), set.kind, ttl, self.written(&set)?, change.zone.as_str()).await;
            done.map_err(|e| self.said(&format!("add {} of {}", set.kind.as_str(), set.owner), &change.zone, e))?;
        }
        self.remove(&others, &change.zone).await
    }

    async fn remove(&self, records: &[&Record], zone: &DnsName) -> Result<(), String> {
        for set in sets(records.iter().copied()) {
            let done = self.updater.remove_from_rrset(set.owner.as_str(), set.kind, self.written(&set)?, zone.as_str()).await;
            done.map_err(|e| self.said(&format!("remove {} of {}", set.kind.as_str(), set.owner), zone, e))?;
        }
        Ok(())
    }

    fn written(&self, set: &Set<'_>) -> Result<Vec<DnsRecord>, String> {
        let of = |r: &&Record| record::written(&r.data).ok_or_else(|| format!("{} cannot be told of `{r}`", self.provider.name));
        set.records.iter().map(of).collect()
    }

    /// What came of a request, without anything that nobody else may know.
    fn said(&self, what: &str, zone: &DnsName, error: Error) -> String {
        let (name, file) = (self.provider.name, self.credentials.file().display());
        match error {
            Error::Unauthorized => format!("{name} does not accept the credentials in {file}"),
            Error::NotFound => format!("{name} does not know the zone {zone}, or does not show it to the credentials in {file}"),
            error => {
                let text = self.credentials.masked(&error.to_string());
                match unreached(&text) {
                    Some(host) => format!(
                        "{name} could not be reached at {host}: no connection, no answer within {} s, or a certificate that the \
                         roots of this system do not verify",
                        REQUEST.as_secs()
                    ),
                    None => format!("{name} did not {what}: {}", text.strip_prefix("API error: ").unwrap_or(&text)),
                }
            }
        }
    }

    fn too_slow(&self) -> String {
        format!("{} was not done within {} s, or asked to be left alone for longer", self.provider.name, LIMIT.as_secs())
    }
}

/// What still stands of what was done, after the way back: what is `open` of that, and all of it where nobody could look.
fn stands(done: Exchange, open: Option<Exchange>) -> Exchange {
    open.map_or(done, Exchange::reversed)
}

/// Where a request went that nobody answered. The library keeps the address alone, and not why.
fn unreached(said: &str) -> Option<&str> {
    let (_, url) = said.split_once("Failed to send request to ").filter(|_| said.contains("error sending request for url"))?;
    let end = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
    Some(&url[..end])
}

fn sets<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Set<'a>> {
    let mut sets: Vec<Set<'a>> = Vec::new();
    for record in records {
        let (owner, kind) = (&record.owner, record::kind(&record.data));
        match sets.iter_mut().find(|set| (set.owner, set.kind) == (owner, kind)) {
            Some(set) => set.records.push(record),
            None => sets.push(Set { owner, kind, records: vec![record] }),
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(add: &[&str], remove: &[&str]) -> Exchange {
        let of = |texts: &[&str]| {
            let record = |text: &&str| Record { owner: "a.example".parse().expect("a name"), ttl: 60, data: Data::Txt((*text).to_owned()) };
            texts.iter().map(record).collect()
        };
        Exchange { zone: "example".parse().expect("a name"), add: of(add), remove: of(remove) }
    }

    #[test]
    fn what_stands_of_a_change_that_broke_off_is_what_could_not_be_taken_back() {
        let change = exchange(&["one", "two"], &["old"]);
        // What of the change is open, what of the way back is open; what stands then, and what does not.
        for (open, back, stands, not) in [
            (exchange(&["two"], &["old"]), Some(exchange(&[], &[])), exchange(&[], &[]), exchange(&["one", "two"], &["old"])),
            (exchange(&["two"], &["old"]), Some(exchange(&[], &["one"])), exchange(&["one"], &[]), exchange(&["two"], &["old"])),
            (exchange(&["two"], &["old"]), None, exchange(&["one"], &[]), exchange(&["two"], &["old"])),
            (exchange(&["two"], &[]), Some(exchange(&["old"], &[])), exchange(&[], &["old"]), exchange(&["one", "two"], &[])),
            (exchange(&["two"], &[]), None, exchange(&["one"], &["old"]), exchange(&["two"], &[])),
        ] {
            let done = change.without(&open);
            let stand = super::stands(done, back.clone());
            assert_eq!((&stand, change.without(&stand)), (&stands, not), "{open:?} {back:?}");
        }
    }
}
