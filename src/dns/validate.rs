//! Our own validation, beside what a resolver vouches for: signatures are followed from the root's keys down to the answer
//! (RFC 4035 §5), through the same resolver, which is asked not to judge (CD) and to send the signatures (DO).

use super::{
    ask::{self, Wish},
    reading,
};
use crate::world::RootKeys;
use hickory_net::{
    DnsHandle, NetError,
    dnssec::DnssecDnsHandle,
    runtime::TokioRuntimeProvider,
    xfer::{DnsResponseStream, FirstAnswer as _},
};
use hickory_proto::{
    dnssec::Proof,
    op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long the way from the root to one answer may take.
const DEADLINE: Duration = Duration::from_secs(8);

/// Follows signatures through one resolver. Clones share what was followed.
#[derive(Clone)]
pub(super) struct Validator(DnssecDnsHandle<Link>);

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Validator").field(&self.0.inner().server).finish()
    }
}

impl Validator {
    /// Asks `server`, and starts from these keys.
    pub(super) fn new(server: SocketAddr, roots: &RootKeys) -> Self {
        let link = Link { server, keys: Arc::default() };
        Self(DnssecDnsHandle::with_trust_anchor(link, roots.0.clone()))
    }

    /// What the resolver said, asked for again and every part of it followed to a key of the root; else why that could not be
    /// done, as the end of a sentence. The second answer comes from a cache: what is the same keeps the larger TTL of both.
    pub(super) async fn answer(&self, said: &Message, kind: RecordType) -> Result<Message, String> {
        let followed = tokio::time::timeout(DEADLINE, self.along(said, kind))
            .await
            .unwrap_or_else(|_| Err(format!("did not end within {} s", DEADLINE.as_secs())));
        let Ok(mut message) = followed else {
            // Keys may have changed since they were asked for.
            self.0.inner().keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
            return followed;
        };
        for record in message.answers.iter_mut().chain(&mut message.authorities) {
            let before = said.answers.iter().chain(&said.authorities).filter(|r| r.name == record.name && r.data == record.data);
            record.ttl = before.map(|r| r.ttl).fold(record.ttl, u32::max);
        }
        Ok(message)
    }

    /// Each alias by itself, then what it leads to: that an alias leads to nothing is proved at its end alone (CVE-2017-15105).
    async fn along(&self, said: &Message, kind: RecordType) -> Result<Message, String> {
        let mut name = said.queries.first().ok_or("found no question")?.name().clone();
        let mut aliases = Vec::new();
        while kind != RecordType::CNAME && aliases.len() < reading::LONGEST_CHAIN {
            if !said.answers.iter().any(|r| r.name == name && r.record_type() == RecordType::CNAME) {
                break;
            }
            let link = self.signed(&name, RecordType::CNAME).await?.answers;
            let alias = link.into_iter().find(|r| r.name == name && r.record_type() == RecordType::CNAME);
            let alias = alias.ok_or_else(|| format!("found no CNAME of {name}"))?;
            if let RData::CNAME(target) = &alias.data {
                name = target.0.clone();
            }
            aliases.push(alias);
        }
        let mut message = self.signed(&name, kind).await?;
        message.answers.extend(aliases);
        Ok(message)
    }

    /// The records of one name, or their absence, signed.
    async fn signed(&self, name: &Name, kind: RecordType) -> Result<Message, String> {
        let asked = self.0.lookup(Query::query(name.clone(), kind), DnsRequestOptions::default()).first_answer().await;
        let message: Message = asked.map_err(|e| format!("failed: {e}"))?.into();
        let mut records = message.answers.iter().filter(|r| r.name == *name && r.record_type() == kind).peekable();
        let shown = if records.peek().is_some() {
            records.all(|r| r.proof == Proof::Secure)
        } else {
            let proved =
                |kinds: &[RecordType]| message.authorities.iter().any(|r| kinds.contains(&r.record_type()) && r.proof == Proof::Secure);
            proved(&[RecordType::SOA]) && proved(&[RecordType::NSEC, RecordType::NSEC3])
        };
        if shown { Ok(message) } else { Err(format!("found {kind} of {name} without signatures that lead to the root")) }
    }
}

/// One resolver, asked for signatures. What it says of zones' keys is asked once: each answer below them needs it.
#[derive(Clone)]
struct Link {
    server: SocketAddr,
    keys: Arc<Mutex<HashMap<(Name, RecordType), DnsResponse>>>,
}

impl DnsHandle for Link {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        let this = self.clone();
        Box::pin(async move {
            let question = request.queries.first().ok_or_else(|| io::Error::other("no question"))?;
            this.ask(question.name(), question.query_type()).await
        })
        .into()
    }
}

impl Link {
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, NetError> {
        let about = (name.clone(), kind);
        if let Some(known) = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&about) {
            return Ok(known.clone());
        }
        let mut heard = ask::once(self.server, name, kind, Wish::Signatures).await;
        // A lost packet is no verdict.
        if heard.is_err() {
            heard = ask::once(self.server, name, kind, Wish::Signatures).await;
        }
        let message = heard?;
        match message.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Err(io::Error::other(format!("it says {code} to {kind} of {name}")).into()),
        }
        let response = DnsResponse::from_message(message)?;
        if matches!(kind, RecordType::DNSKEY | RecordType::DS) {
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(about, response.clone());
        }
        Ok(response)
    }
}
