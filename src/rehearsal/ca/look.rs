//! How the CA looks whether a name is the asker's (RFC 8555 §8.3): its addresses from the made-up DNS, the port that http-01
//! has in this rehearsal, and the answer that must lie there.

use super::request::Problem;
use crate::{
    dns::Resolver,
    facts::{Known, Security},
    name::DnsName,
    world::Net,
};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// One look ends within this.
const LOOK: Duration = Duration::from_secs(10);
/// No answer is longer, in bytes.
const ANSWER: usize = 4096;

/// What a look saw: the address that was used, and whether the answer was right.
pub(super) struct Seen {
    pub(super) address: Option<IpAddr>,
    pub(super) verdict: Result<(), Problem>,
}

/// Asks the first address of `name` for the answer to `token`, which must be `expected`.
pub(super) async fn look(net: &Net, name: &DnsName, token: &str, expected: &str) -> Seen {
    let address = match first_address(net, name).await {
        Ok(address) => address,
        Err(problem) => return Seen { address: None, verdict: Err(problem) },
    };
    let url = format!("http://{name}/.well-known/acme-challenge/{token}");
    let verdict = match timeout(LOOK, fetch(SocketAddr::new(address, net.http_port), name, token)).await {
        Err(_) => Err(Problem::new(400, "connection", format!("{address}: Fetching {url}: no answer within {} s", LOOK.as_secs()))),
        Ok(Err(why)) => Err(Problem::new(400, "connection", format!("{address}: Fetching {url}: {why}"))),
        Ok(Ok(answer)) if answer.trim_end() == expected => Ok(()),
        Ok(Ok(answer)) => {
            let said: String = answer.chars().take(80).collect();
            Err(Problem::new(403, "unauthorized", format!("{address}: Invalid response from {url}: {said:?}")))
        }
    };
    Seen { address: Some(address), verdict }
}

async fn first_address(net: &Net, name: &DnsName) -> Result<IpAddr, Problem> {
    let resolver = Resolver::new(net).map_err(|e| Problem::new(500, "serverInternal", e.to_string()))?;
    match resolver.addresses(name).await {
        Known::Seen { value, .. } if value.security == Security::Bogus => {
            Err(Problem::new(400, "dns", format!("DNS problem: looking up A for {name}: DNSSEC: Bogus")))
        }
        Known::Seen { value, .. } => value.records.first().copied().ok_or_else(|| {
            Problem::new(400, "dns", format!("no valid A records found for {name}; no valid AAAA records found for {name}"))
        }),
        Known::Unknown { why } => Err(Problem::new(400, "dns", format!("DNS problem: {why}"))),
    }
}

async fn fetch(addr: SocketAddr, name: &DnsName, token: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("/.well-known/acme-challenge/{token}")).header(header::HOST, name.as_str());
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await?.to_bytes();
    connection.abort();
    if status.is_success() { Ok(String::from_utf8_lossy(&body).into_owned()) } else { Ok(format!("{status}")) }
}
