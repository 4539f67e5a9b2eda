//! The made-up DNS: on one loopback port the servers of every zone, with real signatures from a root key of their own, and
//! a validating resolver before them. Who asks with recursion desired is answered as by that resolver: AD where every
//! zone on the way is signed, SERVFAIL where one is bogus, unless checking is disabled (RFC 4035 §3.2).

mod table;
mod zone;

pub use table::{Record, Signing, Table};

use super::aside::Aside;
use hickory_proto::{
    ProtoError,
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, RData, Record as WireRecord, RecordType},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use zone::{Key, Zone, tree};

/// DNS.
const DOMAIN: u16 = 53;
/// No UDP answer is longer, in bytes.
const UDP: u16 = 1232;
/// Longer chains of CNAMEs are not followed.
const LONGEST_CHAIN: usize = 8;
/// A TCP connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);

/// Answers until it is dropped.
pub struct Dns {
    /// Where it answers, UDP and TCP: what `--resolver` gets.
    pub addr: SocketAddr,
    /// The root's key in zone-file form, for whoever validates.
    pub anchor: String,
    told: Arc<Told>,
    _aside: Aside,
}

struct Told {
    key: Key,
    servers: bool,
    now: Mutex<(Table, Vec<Zone>)>,
}

impl Dns {
    /// Answers from `table` on a free port of 127.0.0.1. Its zones have no name servers to be asked by themselves: what listens on
    /// port 53 there is this host's.
    ///
    /// # Errors
    /// When no port can be opened, or a record of the table cannot be written in DNS.
    pub fn start(table: Table) -> io::Result<Self> {
        Self::answering(table, one_port()?, false)
    }

    /// Answers from `table` on port 53 of 127.0.0.1, in a room of its own; the name servers of its zones are there too.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in_room(table: Table) -> io::Result<Self> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, DOMAIN));
        Self::answering(table, (UdpSocket::bind(at)?, TcpListener::bind(at)?), true)
    }

    fn answering(table: Table, (udp, tcp): (UdpSocket, TcpListener), servers: bool) -> io::Result<Self> {
        let key = Key::new().map_err(io::Error::other)?;
        let anchor = key.anchor().map_err(io::Error::other)?;
        let zones = tree(&table, &key, servers).map_err(io::Error::other)?;
        let told = Arc::new(Told { key, servers, now: Mutex::new((table, zones)) });
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let addr = udp.local_addr()?;
        let (over_udp, over_tcp) = (told.clone(), told.clone());
        let aside = Aside::run("rehearsal dns", async move {
            tokio::join!(serve_udp(udp, over_udp), serve_tcp(tcp, over_tcp));
        })?;
        Ok(Self { addr, anchor, told, _aside: aside })
    }

    /// Changes what it says, from the next answer on.
    ///
    /// # Errors
    /// When a record of the new table cannot be written in DNS; it goes on as before.
    pub fn change(&self, change: impl FnOnce(&mut Table)) -> io::Result<()> {
        let mut now = self.told.now.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = now.0.clone();
        change(&mut table);
        let zones = tree(&table, &self.told.key, self.told.servers).map_err(io::Error::other)?;
        *now = (table, zones);
        Ok(())
    }
}

/// A port that is free for UDP and TCP.
fn one_port() -> io::Result<(UdpSocket, TcpListener)> {
    let mut taken = io::Error::other("no port is free");
    for _ in 0..16 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(e) => taken = e,
        }
    }
    Err(taken)
}

async fn serve_udp(socket: UdpSocket, told: Arc<Told>) {
    let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else { return };
    let mut buffer = vec![0; 4096];
    loop {
        // A client that went away shows here as an error of the next call (udp(7)).
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some((answer, room)) = told.answer(buffer.get(..length).unwrap_or_default())
            && let Some(bytes) = fitted(&answer, usize::from(room))
        {
            let _ = socket.send_to(&bytes, from).await;
        }
    }
}

/// An answer that fits, or its head with TC (RFC 1035 §4.2.1).
fn fitted(answer: &Message, room: usize) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    if bytes.len() <= room {
        return Some(bytes);
    }
    let mut head = answer.clone();
    head.metadata.truncation = true;
    head.answers.clear();
    head.authorities.clear();
    head.to_vec().ok()
}

async fn serve_tcp(listener: TcpListener, told: Arc<Told>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(talk(stream, told.clone()))),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn talk(mut stream: TcpStream, told: Arc<Told>) {
    let mut question = Vec::new();
    while let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await {
        question.resize(usize::from(length), 0);
        if !matches!(timeout(IDLE, stream.read_exact(&mut question)).await, Ok(Ok(_))) {
            return;
        }
        let Some((answer, _)) = told.answer(&question) else { return };
        let Some(bytes) = answer.to_vec().ok() else { return };
        let Ok(length) = u16::try_from(bytes.len()) else { return };
        if stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await.is_err() {
            return;
        }
    }
}

impl Told {
    /// The answer to a question, and the bytes that the asker takes over UDP; none for what is no question.
    fn answer(&self, bytes: &[u8]) -> Option<(Message, u16)> {
        let asked = Message::from_vec(bytes).ok().filter(|m| m.metadata.message_type == MessageType::Query)?;
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_desired = asked.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.metadata.checking_disabled = asked.metadata.checking_disabled;
        answer.add_queries(asked.queries.clone());
        if asked.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP);
            edns.set_dnssec_ok(wants_signatures(&asked));
            answer.set_edns(edns);
        }
        let room = asked.edns.as_ref().map_or(512, |edns| edns.max_payload().clamp(512, UDP));
        match asked.queries.as_slice() {
            [question] if asked.metadata.op_code == OpCode::Query && question.query_class() == DNSClass::IN => {
                if self.fill(&mut answer, &asked, question).is_err() {
                    answer.metadata.response_code = ResponseCode::ServFail;
                }
            }
            _ => answer.metadata.response_code = ResponseCode::NotImp,
        }
        Some((answer, room))
    }

    /// Answers one question from the zones, along its CNAMEs.
    fn fill(&self, answer: &mut Message, asked: &Message, question: &Query) -> Result<(), ProtoError> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut name, kind) = (question.name().to_lowercase(), question.query_type());
        let (mut answers, mut absence, mut weakest) = (Vec::new(), Vec::new(), Signing::Signed);
        for _ in 0..LONGEST_CHAIN {
            // The DS of a zone is its parent's (RFC 4035 §3.1.4.1).
            let responsible = |z: &&Zone| z.origin.zone_of(&name) && (kind != RecordType::DS || z.origin != name || name.is_root());
            let Some(zone) = now.1.iter().filter(responsible).max_by_key(|z| z.origin.num_labels()) else { break };
            if weakest != Signing::Bogus && zone.signing != Signing::Signed {
                weakest = zone.signing;
            }
            if let Some(set) = zone.get(&name, kind) {
                answers.extend(zone.signed(set)?);
                break;
            }
            let Some(alias) = zone.get(&name, RecordType::CNAME) else {
                absence = zone.absence(&name)?;
                if !zone.has(&name) {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                break;
            };
            answers.extend(zone.signed(alias)?);
            let Some(RData::CNAME(target)) = alias.record().map(|r| &r.data) else { break };
            name = target.0.to_lowercase();
        }
        let (resolve, signatures) = (asked.metadata.recursion_desired, wants_signatures(asked));
        answer.metadata.authoritative = !resolve;
        if resolve && weakest == Signing::Bogus && !asked.metadata.checking_disabled {
            answer.metadata.response_code = ResponseCode::ServFail;
            return Ok(());
        }
        // AD only for those who asked for it, in either way (RFC 6840 §5.8).
        answer.metadata.authentic_data = resolve && weakest == Signing::Signed && (signatures || asked.metadata.authentic_data);
        let plain = |r: &WireRecord| signatures || !matches!(r.record_type(), RecordType::RRSIG | RecordType::NSEC);
        answer.insert_answers(answers.into_iter().filter(plain).collect());
        answer.insert_authorities(absence.into_iter().filter(plain).collect());
        Ok(())
    }
}

fn wants_signatures(asked: &Message) -> bool {
    asked.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
}
