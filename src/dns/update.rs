//! Updates of a zone (RFC 2136), signed where there is a key (RFC 8945): look at the primary, then exchange single records, all or
//! nothing, on the condition that nothing changed since the look. Over TCP, so that no answer is lost or cut.

use super::{Resolver, reading, tsig::Key};
use crate::{
    name::DnsName,
    policy::caa::Caa,
    record::{Data, Record},
    world,
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record as Wire, RecordType,
        rdata::{
            CAA, CNAME, TLSA, TXT,
            tlsa::{CertUsage, Matching, Selector},
            tsig::TsigError,
        },
    },
};
use std::{collections::BTreeSet, io, net::SocketAddr, str::FromStr as _, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long one server may take for one message.
const LIMIT: Duration = Duration::from_secs(10);

/// Why an update was not done, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// What was seen is there no more, or something is where nothing was.
    Changed,
    /// The server does not want it, or could not be reached: nothing was written.
    Refused(String),
    /// It was sent, and no answer that can be believed came.
    Unclear(String),
}

/// The server that takes a zone's updates, with the key that it wants.
#[derive(Clone, Debug)]
pub struct Primary {
    addr: SocketAddr,
    key: Option<Key>,
}

/// What a primary holds at some names: of these types, in its own words.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<Wire>);

impl Seen {
    /// What can be read of it.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let record = |w: &Wire| Some(Record { owner: reading::host(&w.name).ok()?, ttl: w.ttl, data: data(&w.data)? });
        self.0.iter().filter_map(record).collect()
    }
}

impl Primary {
    /// The server that is named, else the one that the zone's SOA record names (RFC 2136 §4.3).
    ///
    /// # Errors
    /// A sentence: it could not be found.
    pub async fn of(resolver: &Resolver, zone: &DnsName, named: Option<SocketAddr>, key: Option<Key>) -> Result<Self, String> {
        if let Some(addr) = named {
            return Ok(Self { addr, key });
        }
        let name = resolver.primary(zone).await?;
        let addresses = resolver.addresses(&name).await;
        let mut fault = format!("{name}, the primary of {zone}, has no address");
        for ip in addresses.value().into_iter().flat_map(|a| &a.records) {
            let addr = SocketAddr::new(*ip, 53);
            match timeout(LIMIT, TcpStream::connect(addr)).await {
                Ok(Ok(_)) => return Ok(Self { addr, key }),
                Ok(Err(e)) => fault = format!("{name}, the primary of {zone}, does not answer at {addr}: {e}"),
                Err(_) => fault = format!("{name}, the primary of {zone}, does not answer at {addr}"),
            }
        }
        Err(format!("{fault}; name the server that takes updates with --dns-server"))
    }

    /// Its address.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it holds at the names of these records: those of the same type, and aliases.
    ///
    /// # Errors
    /// A sentence: it does not answer, or does not serve the zone.
    pub async fn look(&self, records: &[Record]) -> Result<Seen, String> {
        let mut questions: BTreeSet<(&DnsName, &str)> = records.iter().map(|r| (&r.owner, r.data.kind())).collect();
        questions.extend(records.iter().map(|r| (&r.owner, "CNAME")));
        let mut seen = Seen::default();
        for (owner, kind) in questions {
            let kind = RecordType::from_str(kind).map_err(|e| e.to_string())?;
            let wire = name(owner)?;
            let found = self.held(owner, kind).await?.answers.into_iter().filter(|r| r.name == wire && r.record_type() == kind);
            let found: Vec<Wire> = found.collect();
            // What a wildcard makes is not there (RFC 2136 §3.2), and hides nothing.
            if !found.is_empty() && !self.is_from_wildcard(owner, kind).await? {
                seen.0.extend(found);
            }
        }
        Ok(seen)
    }

    /// Its own answer about a name and type.
    async fn held(&self, owner: &DnsName, kind: RecordType) -> Result<Message, String> {
        let mut question = Message::query();
        question.metadata.recursion_desired = false;
        question.add_query(Query::query(name(owner)?, kind));
        let (_, answer) = self.ask(&question).await.map_err(|(_, why)| why)?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => Ok(answer),
            ResponseCode::NoError | ResponseCode::NXDomain => Err(format!("{} does not serve the zone of {owner}", self.addr)),
            code => Err(format!("{} says {code} to {kind} of {owner}", self.addr)),
        }
    }

    async fn is_from_wildcard(&self, owner: &DnsName, kind: RecordType) -> Result<bool, String> {
        let below = owner.under(reading::NOBODYS).map_err(|e| e.to_string())?;
        Ok(reading::is_from_wildcard(&self.held(&below, kind).await?))
    }

    /// Takes `remove` away and adds `add`, if at their names there is exactly what was seen.
    ///
    /// # Errors
    /// When it was not done, or that is not known.
    pub async fn exchange(&self, zone: &DnsName, add: &[Record], remove: &[Record], seen: &Seen) -> Result<(), NotDone> {
        let mut message = update(zone, add, remove, seen).map_err(NotDone::Refused)?;
        if let Some(key) = &self.key {
            message.finalize(&key.0, world::now().0).map_err(|e| NotDone::Refused(e.to_string()))?;
        }
        let (bytes, answer) =
            self.ask(&message).await.map_err(|(sent, why)| if sent { NotDone::Unclear(why) } else { NotDone::Refused(why) })?;
        if let (Some(key), Some(signature)) = (&self.key, message.signature()) {
            let genuine = key.0.verify_message_byte(&bytes, Some(&signature.data.mac), true).is_ok();
            if !genuine {
                return Err(match self.about_key(&answer, key) {
                    Some(why) => NotDone::Refused(why),
                    None => NotDone::Unclear(format!("the answer of {} is not signed with the key {key}", self.addr)),
                });
            }
        }
        let at = self.addr;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::YXDomain | ResponseCode::YXRRSet | ResponseCode::NXRRSet | ResponseCode::NXDomain => Err(NotDone::Changed),
            ResponseCode::Refused => Err(NotDone::Refused(match &self.key {
                Some(key) => format!("{at} lets the key {key} change nothing in {zone}, or not these records: allow it there"),
                None => format!("{at} takes no unsigned updates of {zone}: give the key with --tsig-file"),
            })),
            ResponseCode::NotAuth | ResponseCode::NotZone => {
                Err(NotDone::Refused(self.key.as_ref().and_then(|key| self.about_key(&answer, key)).unwrap_or_else(|| match &self.key {
                    Some(_) => format!("{at} is not the primary of {zone}"),
                    None => format!("{at} takes no unsigned updates of {zone}, or is not its primary: give the key with --tsig-file"),
                })))
            }
            ResponseCode::NotImp => Err(NotDone::Refused(format!("{at} takes no updates: name the server that does with --dns-server"))),
            code => Err(NotDone::Refused(format!("{at} says {code} to the update of {zone}"))),
        }
    }

    /// What the server says of the key (RFC 8945 §5.2).
    fn about_key(&self, answer: &Message, key: &Key) -> Option<String> {
        let says = match answer.signature()?.data.error? {
            TsigError::BadKey => format!("does not know the key {key}: its name and algorithm must be the same there"),
            TsigError::BadSig => format!("has another secret for the key {key}"),
            TsigError::BadTime => "has another time: set the clocks of both hosts".to_owned(),
            _ => return None,
        };
        Some(format!("{} {says}", self.addr))
    }

    /// The update in the words of nsupdate(1).
    ///
    /// # Errors
    /// A sentence: a record cannot be written.
    pub fn script(&self, zone: &DnsName, add: &[Record], remove: &[Record], seen: &Seen) -> Result<String, String> {
        let message = update(zone, add, remove, seen)?;
        let mut out = format!("server {} {}\nzone {}\n", self.addr.ip(), self.addr.port(), zone.absolute());
        for w in &message.answers {
            out += &match (w.dns_class, data(&w.data)) {
                (DNSClass::IN, Some(data)) => format!("prereq yxrrset {} IN {} {data}\n", w.name, data.kind()),
                _ if w.record_type() == RecordType::ANY => format!("prereq nxdomain {}\n", w.name),
                _ => format!("prereq nxrrset {} IN {}\n", w.name, w.record_type()),
            };
        }
        for w in &message.authorities {
            let Some(data) = data(&w.data) else { continue };
            out += &match w.dns_class {
                DNSClass::NONE => format!("update delete {} {} {data}\n", w.name, data.kind()),
                _ => format!("update add {} {} {} {data}\n", w.name, w.ttl, data.kind()),
            };
        }
        Ok(out + "send\n")
    }

    /// One message there and back; where that fails, whether it was sent, and why.
    async fn ask(&self, message: &Message) -> Result<(Vec<u8>, Message), (bool, String)> {
        let mut sent = false;
        let conversation = async {
            let bytes = message.to_vec().map_err(io::Error::other)?;
            let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
            let mut stream = TcpStream::connect(self.addr).await?;
            sent = true;
            stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
            let mut reply = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut reply).await?;
            let answer = Message::from_vec(&reply).map_err(io::Error::other)?;
            if answer.metadata.id != message.metadata.id || answer.metadata.message_type != MessageType::Response {
                return Err(io::Error::other("the answer is to another question"));
            }
            Ok((reply, answer))
        };
        let ended: Result<io::Result<_>, _> = timeout(LIMIT, conversation).await;
        match ended {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(e)) => Err((sent, format!("{} did not answer: {e}", self.addr))),
            Err(_) => Err((sent, format!("{} did not answer within {} s", self.addr, LIMIT.as_secs()))),
        }
    }
}

/// The message (RFC 2136 §2): what was seen as prerequisites, exactly, then what goes, then what comes.
fn update(zone: &DnsName, add: &[Record], remove: &[Record], seen: &Seen) -> Result<Message, String> {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name(zone)?, RecordType::SOA));
    let mut sets: BTreeSet<(&DnsName, &str)> = add.iter().chain(remove).map(|r| (&r.owner, r.data.kind())).collect();
    // A name with an alias has nothing else, whoever may have made it one since.
    sets.extend(add.iter().map(|r| (&r.owner, "CNAME")));
    for &(owner, kind) in &sets {
        let (owner, kind) = (name(owner)?, RecordType::from_str(kind).map_err(|e| e.to_string())?);
        let there: Vec<&Wire> = seen.0.iter().filter(|w| w.name == owner && w.record_type() == kind).collect();
        if there.is_empty() {
            message.answers.push(of_class(DNSClass::NONE, Wire::update0(owner, 0, kind)));
        }
        message.answers.extend(there.into_iter().map(|w| of_class(DNSClass::IN, w.clone())));
    }
    for record in add.iter().filter(|r| matches!(r.data, Data::Cname(_))) {
        let owner = name(&record.owner)?;
        if !seen.0.iter().any(|w| w.name == owner) {
            message.answers.push(of_class(DNSClass::NONE, Wire::update0(owner, 0, RecordType::ANY)));
        }
    }
    for record in remove {
        let target = name(&record.owner)?;
        // In the very form that it has there: a text may be cut into strings otherwise than ours.
        let there: Vec<&Wire> = seen.0.iter().filter(|w| w.name == target && data(&w.data).as_ref() == Some(&record.data)).collect();
        let built = if there.is_empty() { Some(wire(record)?) } else { None };
        message.authorities.extend(there.into_iter().chain(&built).map(|w| of_class(DNSClass::NONE, w.clone())));
    }
    for record in add {
        let mut wire = wire(record)?;
        // All of a set have one TTL (RFC 2181 §5.2): that of others' records stays.
        if let Some(beside) = seen.0.iter().find(|w| w.name == wire.name && w.record_type() == wire.record_type()) {
            wire.ttl = beside.ttl;
        }
        message.authorities.push(wire);
    }
    Ok(message)
}

/// A record that is asked for or deleted (RFC 2136 §2.4 and §2.5): its class says which.
fn of_class(class: DNSClass, mut record: Wire) -> Wire {
    (record.dns_class, record.ttl) = (class, 0);
    record
}

fn name(of: &DnsName) -> Result<Name, String> {
    Name::from_str(&of.absolute()).map_err(|e| format!("{of}: {e}"))
}

fn wire(record: &Record) -> Result<Wire, String> {
    let data = match &record.data {
        Data::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        Data::Txt(text) => {
            let strings: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
            RData::TXT(TXT::from_bytes(if strings.is_empty() { vec![b""] } else { strings }))
        }
        Data::Tlsa(t) => {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(t.data.as_bytes()).map_err(|e| format!("{record}: {e}"))?;
            RData::TLSA(TLSA::new(CertUsage::from(t.usage), Selector::from(t.selector), Matching::from(t.matching), bytes))
        }
        Data::Caa(caa) => {
            let mut wire = CAA::new_issue(caa.flags & 128 != 0, None, Vec::new());
            wire.reserved_flags = caa.flags & 127;
            wire.tag.clone_from(&caa.tag);
            wire.value = caa.value.clone().into_bytes();
            RData::CAA(wire)
        }
    };
    Ok(Wire::from_rdata(name(&record.owner)?, record.ttl, data))
}

/// What it says, where it is of a type that we write.
pub(super) fn data(wire: &RData) -> Option<Data> {
    match wire {
        RData::CNAME(target) => reading::host(&target.0).ok().map(Data::Cname),
        RData::TXT(text) => Some(Data::Txt(reading::txt(text).as_str().to_owned())),
        RData::TLSA(tlsa) => Some(Data::Tlsa(reading::tlsa(tlsa))),
        RData::CAA(caa) => {
            Some(Data::Caa(Caa { flags: caa.flags(), tag: caa.tag.clone(), value: String::from_utf8(caa.value.clone()).ok()? }))
        }
        _ => None,
    }
}
