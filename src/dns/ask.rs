//! One question, asked so that it ends: each resolver in turn, twice, two seconds each; TCP where UDP was cut short.

use super::Server;
use crate::{facts::Security, name::DnsName};
use hickory_net::{DnsHandle as _, NetError, runtime::TokioRuntimeProvider, udp::UdpClientStream, xfer::FirstAnswer as _};
use hickory_proto::{
    op::{DnsRequest, DnsRequestOptions, Edns, Message, Query, ResponseCode},
    rr::{Name, RecordType},
};
use std::{io, net::SocketAddr, str::FromStr as _, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);
/// How often each resolver is tried.
const TRIES: usize = 2;
/// How long a question may take in all, other resolvers included.
const DEADLINE: Duration = Duration::from_secs(8);

/// A reply with what may be believed of it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) message: Message,
    pub(super) security: Security,
    pub(super) from: SocketAddr,
}

/// What is asked of a resolver beside its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Its judgement: AD in a question asks for AD in the answer, without the weight of the signatures (RFC 6840 §5.7).
    Judgement,
    /// The answer, whatever it judges (CD, RFC 4035 §3.2.2).
    Unchecked,
    /// The same, with its signatures (DO, RFC 3225).
    Signatures,
}

/// Asks until somebody answers NOERROR or NXDOMAIN; else the last fault as a sentence.
pub(super) async fn ask(servers: &[Arc<Server>], name: &DnsName, kind: RecordType) -> Result<Heard, String> {
    let name = Name::from_str(&name.absolute()).map_err(|e| format!("{name} cannot be asked of DNS: {e}"))?;
    tokio::time::timeout(DEADLINE, in_turn(servers, &name, kind))
        .await
        .unwrap_or_else(|_| Err(format!("no resolver answered {kind} of {name} within {} s", DEADLINE.as_secs())))
}

async fn in_turn(servers: &[Arc<Server>], name: &Name, kind: RecordType) -> Result<Heard, String> {
    let mut fault = String::new();
    for _ in 0..TRIES {
        for server in servers {
            let message = match once(server.addr, name, kind, Wish::Judgement).await {
                Ok(message) => message,
                Err(e) => {
                    fault = format!("{} did not answer {kind} of {name}: {e}", server.addr);
                    continue;
                }
            };
            match message.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => {
                    let security = judge(server, message.metadata.authentic_data).await;
                    return Ok(Heard { message, security, from: server.addr });
                }
                // SERVFAIL that goes away with checking disabled is the validator's word for bogus (RFC 4035 §5.5).
                ResponseCode::ServFail if server.believed => match once(server.addr, name, kind, Wish::Unchecked).await {
                    Ok(message) if matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) => {
                        return Ok(Heard { message, security: Security::Bogus, from: server.addr });
                    }
                    _ => fault = format!("{} says SERVFAIL to {kind} of {name}", server.addr),
                },
                code => fault = format!("{} says {code} to {kind} of {name}", server.addr),
            }
        }
    }
    Err(fault)
}

/// What may be believed of an answer of this server.
pub(super) async fn judge(server: &Server, ad: bool) -> Security {
    if !server.believed {
        Security::Unknown
    } else if ad {
        Security::Secure
    } else if validates(server).await {
        Security::Insecure
    } else {
        Security::Unknown
    }
}

async fn validates(server: &Server) -> bool {
    let ask_root = || async {
        let root = once(server.addr, &Name::root(), RecordType::SOA, Wish::Judgement).await;
        root.is_ok_and(|m| m.metadata.authentic_data && m.metadata.response_code == ResponseCode::NoError)
    };
    *server.validates.get_or_init(ask_root).await
}

/// One question to one resolver; a cut answer is asked again over TCP.
pub(super) async fn once(server: SocketAddr, name: &Name, kind: RecordType, wish: Wish) -> Result<Message, NetError> {
    let request = || {
        let mut message = Message::query();
        message.add_query(Query::query(name.clone(), kind));
        message.metadata.recursion_desired = true;
        message.metadata.authentic_data = true;
        message.metadata.checking_disabled = wish != Wish::Judgement;
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        edns.set_dnssec_ok(wish == Wish::Signatures);
        message.set_edns(edns);
        DnsRequest::new(message, DnsRequestOptions::default())
    };
    let exchange = async {
        let udp = UdpClientStream::builder(server, TokioRuntimeProvider::default()).with_timeout(Some(TRY)).exchange();
        let reply = udp.send(request()).first_answer().await?.into_message();
        if !reply.metadata.truncation {
            return Ok(reply);
        }
        over_tcp(server, &request()).await
    };
    tokio::time::timeout(TRY, exchange).await.unwrap_or(Err(NetError::Timeout))
}

/// One message with its length before it, there and back (RFC 7766 §8).
async fn over_tcp(server: SocketAddr, question: &Message) -> Result<Message, NetError> {
    let mut stream = TcpStream::connect(server).await?;
    let bytes = question.to_vec()?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    let reply = Message::from_vec(&reply).map_err(io::Error::other)?;
    if reply.metadata.id != question.metadata.id || reply.queries != question.queries {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer over TCP is to another question").into());
    }
    Ok(reply)
}
