//! The policy of a domain as senders fetch it (RFC 8461 §3.3): over TLS that verifies, from every address of the policy host,
//! without redirects, within limits.

use crate::{
    name::DnsName,
    policy::{
        Fetched,
        sts_policy::{LARGEST, StsPolicy},
    },
    world::{self, Net},
};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, response::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;

/// Where the policy lies (RFC 8461 §3.2).
pub const PATH: &str = "/.well-known/mta-sts.txt";
/// Senders wait between 4 and 60 seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// The policy that the addresses of `mta-sts.DOMAIN` serve, each asked on its own and all at once.
pub async fn policy(net: &Net, domain: &DnsName, addresses: &[IpAddr]) -> Fetched {
    if addresses.is_empty() {
        return Fetched::Nothing(format!("mta-sts.{domain} has no address"));
    }
    let url = format!("https://mta-sts.{domain}{PATH}");
    let mut asked = JoinSet::new();
    for &address in addresses {
        let (net, domain) = (net.clone(), domain.clone());
        asked.spawn(async move {
            let fetched = timeout(LIMIT, fetch(&net, &domain, address)).await;
            (address, fetched.unwrap_or_else(|_| Some(Err(format!("there was no whole answer within {} s", LIMIT.as_secs())))))
        });
    }
    let answers: BTreeMap<IpAddr, Option<Result<Bytes, String>>> = asked.join_all().await.into_iter().collect();
    let unasked: Vec<IpAddr> = answers.iter().filter(|(_, said)| said.is_none()).map(|(at, _)| *at).collect();
    let said = || answers.iter().filter_map(|(at, said)| Some((at, said.as_ref()?)));
    let failed: Vec<String> = said().filter_map(|(at, said)| Some(format!("at {at}: {}", said.as_ref().err()?))).collect();
    let mut came = said().filter_map(|(at, said)| Some((at, said.as_ref().ok()?)));
    if !failed.is_empty() {
        let others: Vec<String> = came.map(|(at, _)| at.to_string()).collect();
        let but = if others.is_empty() { String::new() } else { format!("; it comes from {}", others.join(", ")) };
        return Fetched::Nothing(format!("{url} {}{but}", failed.join("; ")));
    }
    let Some((at, body)) = came.next() else {
        let all: Vec<String> = unasked.iter().map(ToString::to_string).collect();
        return Fetched::Untold(format!("from this host nothing leads to {}, where {url} lies", all.join(", ")));
    };
    match came.find(|(_, other)| *other != body) {
        Some((other, _)) => Fetched::Nothing(format!("{at} and {other} serve different policies at {url}")),
        None => Fetched::Policy { reading: StsPolicy::read(body), unasked },
    }
}

/// What comes from one address; `None` where nothing leads there from here.
async fn fetch(net: &Net, domain: &DnsName, address: IpAddr) -> Option<Result<Bytes, String>> {
    match TcpStream::connect((address, 443)).await {
        Ok(tcp) => Some(fetch_over(net, domain, tcp).await),
        Err(e) if world::no_route(&e) => None,
        Err(e) => Some(Err(e.to_string())),
    }
}

async fn fetch_over(net: &Net, domain: &DnsName, tcp: TcpStream) -> Result<Bytes, String> {
    let ask = Ask { method: "GET", path: PATH, body: Bytes::new() };
    let (head, body) = send(net, &format!("mta-sts.{domain}"), tcp, ask, LARGEST + 1).await?;
    only_200(head.status)?;
    let media = head.headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase());
    if media.as_deref().and_then(|m| m.split(';').next()).map(str::trim) != Some("text/plain") {
        return Err(format!("its media type is {:?}, and some senders take text/plain alone", media.unwrap_or_default()));
    }
    Ok(body)
}

/// A file of the web, at most `largest` bytes of it.
///
/// # Errors
/// A sentence: the URL is none of https, or no address of its host gives the file.
pub async fn file(net: &Net, url: &str, largest: usize) -> Result<Bytes, String> {
    let (status, body) = exchange(net, "GET", url, Bytes::new(), largest).await?;
    only_200(StatusCode::from_u16(status).map_err(|e| e.to_string())?).map_err(|why| format!("{url}: {why}"))?;
    Ok(body)
}

/// One request, with a form where it has a body; the status of the answer, and at most `largest` bytes of it.
///
/// # Errors
/// A sentence: the URL is none of https, or no address of its host answers.
pub async fn exchange(net: &Net, method: &str, url: &str, body: Bytes, largest: usize) -> Result<(u16, Bytes), String> {
    let uri: Uri = url.parse().map_err(|e| format!("{url} is no URL: {e}"))?;
    let (Some("https"), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(format!("{url} does not begin with https://")) };
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let addresses = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(443))).await.map_err(|e| format!("{url}: {e}"))?;
    let mut fault = "its host has no address".to_owned();
    for address in addresses {
        let ask = Ask { method, path, body: body.clone() };
        let talk = async { send(net, host, TcpStream::connect(address).await.map_err(|e| e.to_string())?, ask, largest).await };
        match timeout(LIMIT, talk).await {
            Ok(Ok((head, body))) => return Ok((head.status.as_u16(), body)),
            Ok(Err(why)) => fault = why,
            Err(_) => fault = format!("there was no whole answer within {} s", LIMIT.as_secs()),
        }
    }
    Err(format!("{url}: {fault}"))
}

fn only_200(status: StatusCode) -> Result<(), String> {
    if status == StatusCode::OK { Ok(()) } else { Err(format!("the answer is {status}, and only 200 counts")) }
}

struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    body: Bytes,
}

/// One request, all that a connection is for: TLS that verifies, no redirect.
async fn send(net: &Net, host: &str, tcp: TcpStream, ask: Ask<'_>, largest: usize) -> Result<(Parts, Bytes), String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(net.verdict_roots.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(|e| format!("no TLS that verifies: {e}"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(ask.method).uri(ask.path).header(header::HOST, host);
    if !ask.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").header(header::ACCEPT, "application/json");
    }
    let request = request.header(header::USER_AGENT, concat!("mxseal/", env!("CARGO_PKG_VERSION")));
    let request = request.body(Full::new(ask.body)).map_err(|e| e.to_string())?;
    let (head, body) = sender.send_request(request).await.map_err(|e| e.to_string())?.into_parts();
    if head.status.is_redirection() {
        let to =
            head.headers.get(header::LOCATION).map_or_else(|| "nowhere".into(), |l| String::from_utf8_lossy(l.as_bytes()).into_owned());
        return Err(format!("it redirects to {to:?}, which is not followed"));
    }
    let whole = Limited::new(body, largest).collect().await.map_err(|e| format!("it did not come whole within {largest} bytes: {e}"))?;
    Ok((head, whole.to_bytes()))
}
