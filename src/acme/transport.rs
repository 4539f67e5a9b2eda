//! One request and its answer: HTTP/1.1 over TLS with the roots of the API, a deadline, a bounded body, and the repeats
//! that a CA may ask for. Everything above sees either an answer that a CA would give, or a [`Trouble`].

use super::{
    bad_news::{Trouble, said, words},
    clock,
    jws::Signer,
};
use crate::{
    facts::Known,
    moment::Moment,
    report::observer::Event,
    world::{self, Net},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::{CertificateError, ClientConfig, crypto::CryptoProvider, pki_types::ServerName};
use serde_json::Value;
use std::{
    collections::VecDeque,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{net::TcpStream, sync::mpsc::UnboundedSender, time::timeout};
use tokio_rustls::TlsConnector;

/// One request with its whole answer ends within this.
const EXCHANGE: Duration = Duration::from_secs(30);
/// One address gets this long to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// No answer of a CA is larger than this, in bytes.
const BODY: usize = 1 << 20;
/// So many lines of the transcript are kept: what an error can show.
const TRANSCRIPT: usize = 4;
const USER_AGENT: &str = concat!("mxseal/", env!("CARGO_PKG_VERSION"), " (+https://github.com/mxseal/mxseal) instant-acme");

/// What may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// The nonce was refused, another one came with the refusal.
    Nonce,
    /// A connection was refused or cut.
    Cut,
    /// 5xx, from the CA or from whatever stands in front of it.
    Busy,
    /// Told to wait.
    Told,
}

/// What is tried again, how often at most, after which first pause (it doubles each time), and why so.
const TABLE: &[(Again, u32, Duration, &str)] = &[
    // CAs with many front ends refuse good nonces (RFC 8555 §6.5); each refusal brings the next one, so no pause.
    (Again::Nonce, 40, Duration::ZERO, "a refused nonce"),
    // Load balancers restart, kept connections end: 0.25 + 0.5 + … + 8 = 16 s bridges that.
    (Again::Cut, 6, Duration::from_millis(250), "a cut connection"),
    // Maintenance of a front end is short or long: 0.5 + 1 + … + 16 = 32 s bridges the short one.
    (Again::Busy, 6, Duration::from_millis(500), "a failure of its own"),
    // Retry-After that fits the patience is slept through, but a CA that says it again and again is believed.
    (Again::Told, 3, Duration::ZERO, "a request to wait"),
];

/// A host that never answered yet is not worth patience: a wrong URL should say so at once.
const FIRST_CONTACT: u32 = 2;

/// Cloned freely; all clones are one connection.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    tls: TlsConnector,
    provider: Arc<CryptoProvider>,
    signer: OnceLock<Arc<Signer>>,
    idle: tokio::sync::Mutex<Option<(String, SendRequest<Full<Bytes>>)>>,
    seen: Mutex<Seen>,
    patience: Duration,
    say: UnboundedSender<Event>,
}

#[derive(Default)]
struct Seen {
    answered: bool,
    gone: bool,
    retry_after: Option<Duration>,
    date: Option<String>,
    lines: VecDeque<String>,
}

/// Why there was no whole answer.
enum Fault {
    Cut(String),
    Final(Trouble),
}

impl Transport {
    /// A transport that believes `net.api_roots` and never sleeps longer than `patience` at once.
    pub(super) fn new(net: &Net, patience: Duration, say: UnboundedSender<Event>) -> Result<Self, Trouble> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Trouble::key("TLS", e.to_string()))?
            .with_root_certificates(net.api_roots.clone())
            .with_no_client_auth();
        Ok(Self(Arc::new(Inner {
            tls: Arc::new(config).into(),
            provider,
            signer: OnceLock::new(),
            idle: tokio::sync::Mutex::new(None),
            seen: Mutex::default(),
            patience,
            say,
        })))
    }

    /// From now on refused requests are signed again by this key.
    pub(super) fn sign_with(&self, signer: Arc<Signer>) {
        let _ = self.0.signer.set(signer);
    }

    /// `Retry-After` of the last answer.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.seen(|s| s.retry_after)
    }

    /// Whether the last answer was that there is no such thing, in whatever words.
    pub(super) fn gone(&self) -> bool {
        self.seen(|s| s.gone)
    }

    /// How far this clock is from the CA's, by the last answer of `host`.
    pub(super) fn clock(&self, host: &str) -> Known<i64> {
        clock::seen(self.seen(|s| s.date.clone()).as_deref(), world::now(), host)
    }

    /// Method, path and status of the last exchanges, oldest first; no bodies and no header but `Retry-After`.
    pub(super) fn transcript(&self) -> String {
        self.seen(|s| s.lines.iter().cloned().collect::<Vec<_>>().join("; "))
    }

    fn seen<T>(&self, with: impl FnOnce(&mut Seen) -> T) -> T {
        with(&mut self.0.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A GET or HEAD.
    pub(super) async fn look(&self, method: Method, url: &str) -> Result<Response<Bytes>, Trouble> {
        self.exchange(method, url, Bytes::new()).await
    }

    /// A POST of something signed.
    pub(super) async fn post(&self, url: &str, body: Vec<u8>) -> Result<Response<Bytes>, Trouble> {
        self.exchange(Method::POST, url, body.into()).await
    }

    /// Sends until there is an answer of a CA, by the table above.
    async fn exchange(&self, method: Method, url: &str, mut body: Bytes) -> Result<Response<Bytes>, Trouble> {
        let uri = usable(url)?;
        let mut tries = [0; TABLE.len()];
        loop {
            let outcome = match timeout(EXCHANGE, self.once(&method, &uri, body.clone())).await {
                Err(_) => Err(Fault::Cut(format!("no whole answer within {} s", EXCHANGE.as_secs()))),
                Ok(outcome) => outcome,
            };
            self.note(&method, &uri, &outcome);
            let (again, told, trouble) = match outcome {
                Err(Fault::Final(trouble)) => return Err(trouble),
                Err(Fault::Cut(why)) => (Again::Cut, None, unreachable(&uri, why)),
                Ok(answer) => match self.judge(&uri, &answer) {
                    None => return Ok(answer),
                    Some((Again::Nonce, _, trouble)) => {
                        let next = nonce(&answer).and_then(|n| self.0.signer.get()?.again(&body, &n));
                        let Some(next) = next else { return Err(trouble) };
                        body = next.into();
                        (Again::Nonce, None, trouble)
                    }
                    Some((_, Some(told), trouble)) if told > self.0.patience => return Err(trouble),
                    Some(other) => other,
                },
            };
            let row = TABLE.iter().position(|(a, ..)| *a == again).unwrap_or_default();
            let (_, most, first, what) = TABLE[row];
            let most = if self.seen(|s| s.answered) { most } else { most.min(FIRST_CONTACT) };
            if tries[row] >= most {
                return Err(trouble);
            }
            let pause = told.unwrap_or(first * 2_u32.pow(tries[row]));
            tries[row] += 1;
            if !pause.is_zero() {
                let on = format!("{} after {what}", host_of(&uri));
                let _ = self.0.say.send(Event::Waiting { on, at_most: pause });
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// `None` for an answer that a CA would give, refusals included.
    fn judge(&self, uri: &Uri, answer: &Response<Bytes>) -> Option<(Again, Option<Duration>, Trouble)> {
        let status = answer.status();
        if status.is_success() || status.is_redirection() {
            return None;
        }
        let problem = serde_json::from_slice::<Value>(answer.body()).ok().filter(|v| v["type"].is_string() || v["detail"].is_string());
        let kind = problem.as_ref().and_then(|p| p["type"].as_str()).unwrap_or_default();
        let broken = || Trouble::Broken { url: uri.to_string(), says: first_words(answer) };
        if kind.ends_with(":badNonce") {
            return Some((Again::Nonce, None, broken()));
        }
        let told = retry_after(answer.headers(), world::now());
        let limited = kind.ends_with(":rateLimited") || status == StatusCode::TOO_MANY_REQUESTS;
        if limited || (status == StatusCode::SERVICE_UNAVAILABLE && told.is_some()) {
            let says = problem.as_ref().map_or_else(|| first_words(answer), words);
            let trouble = Trouble::RateLimited { says, until: told.map(|t| world::now().after(t)) };
            return match told {
                Some(told) if told <= self.0.patience => Some((Again::Told, Some(told.max(Duration::from_millis(200))), trouble)),
                // Longer than our patience, or without an end: not slept through.
                _ => Some((Again::Told, Some(Duration::MAX), trouble)),
            };
        }
        status.is_server_error().then(|| (Again::Busy, None, broken()))
    }

    /// One request on the kept connection or a new one.
    async fn once(&self, method: &Method, uri: &Uri, body: Bytes) -> Result<Response<Bytes>, Fault> {
        let mut idle = self.0.idle.lock().await;
        let host = host_of(uri);
        let mut kept = idle.take().filter(|(to, _)| *to == host).map(|(_, sender)| sender);
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect(&self.0.tls, uri).await?,
        };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::builder().method(method).uri(path).header(header::USER_AGENT, USER_AGENT);
        let authority = uri.authority().map_or(host.as_str(), http::uri::Authority::as_str);
        request = request.header(header::HOST, authority);
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/jose+json");
        }
        let cut = |e: &dyn std::error::Error| Fault::Cut(chain(e));
        let request = request.body(Full::new(body)).map_err(|e| cut(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| cut(&e))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, BODY).collect().await.map_err(|e| cut(&*e))?.to_bytes();
        *idle = Some((host, sender));
        Ok(Response::from_parts(parts, body))
    }

    async fn connect(&self, tls: &TlsConnector, uri: &Uri) -> Result<SendRequest<Full<Bytes>>, Fault> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| Fault::Final(Trouble::Directory { url: uri.to_string(), why: e.to_string() }))?;
        let tcp = dial(host, uri.port_u16().unwrap_or(443)).await.map_err(Fault::Cut)?;
        let stream = match tls.connect(name, tcp).await {
            Ok(stream) => stream,
            Err(e) => return Err(self.explain(uri, &e).await),
        };
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| Fault::Cut(chain(&e)))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A handshake that failed: our clock, their certificate, or a cut.
    async fn explain(&self, uri: &Uri, error: &std::io::Error) -> Fault {
        let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else { return Fault::Cut(chain(error)) };
        let host = host_of(uri);
        let untrusted = |why: String, next: &str| Fault::Final(Trouble::Untrusted { host: host.clone(), why, next: next.to_owned() });
        match tls {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => untrusted(
                    "no root that this host knows issued it".to_owned(),
                    "for a private certificate authority give the root of its API in PEM form with --acme-ca-file (the file that was given, if any, holds another root)",
                ),
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => {
                    let why = format!("the certificate of {host} does not verify: {certificate}");
                    match self.clock_there(uri).await {
                        Some(ahead) if ahead.unsigned_abs() > 3600 => Fault::Final(Trouble::Clock { why, ahead, now: world::now() }),
                        None => untrusted(
                            certificate.to_string(),
                            "that server did not say what time it is: if `date` is right here, its operator must renew the certificate; choose another CA with --acme-directory meanwhile",
                        ),
                        Some(_) => untrusted(
                            certificate.to_string(),
                            "this host's clock agrees with that server's, so its operator must renew it; choose another with --acme-directory meanwhile",
                        ),
                    }
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    untrusted(certificate.to_string(), "check the host in --acme-directory")
                }
                other => untrusted(other.to_string(), "check --acme-directory and --acme-ca-file"),
            },
            rustls::Error::InvalidMessage(_) => untrusted("it does not speak TLS there".to_owned(), "check the port in --acme-directory"),
            other => Fault::Cut(other.to_string()),
        }
    }

    /// Seconds that we are ahead of a server whose certificate's dates do not fit.
    async fn clock_there(&self, uri: &Uri) -> Option<i64> {
        let config = clock::credulous(self.0.provider.clone()).ok()?;
        let asking = async {
            let name = ServerName::try_from(uri.host()?.trim_matches(['[', ']']).to_owned()).ok()?;
            let tcp = dial(uri.host()?.trim_matches(['[', ']']), uri.port_u16().unwrap_or(443)).await.ok()?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            let request = Request::head("/").header(header::HOST, uri.authority()?.as_str()).body(Full::new(Bytes::new())).ok()?;
            let answer = sender.send_request(request).await.ok()?;
            clock::clock_off(answer.headers().get(header::DATE)?.to_str().ok()?, world::now())
        };
        timeout(CONNECT, asking).await.ok()?
    }

    fn note(&self, method: &Method, uri: &Uri, outcome: &Result<Response<Bytes>, Fault>) {
        let what = match outcome {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(Fault::Cut(why)) => said(why),
            Err(Fault::Final(_)) => "not to be trusted".to_owned(),
        };
        self.seen(|seen| {
            seen.retry_after = None;
            seen.gone = outcome.as_ref().is_ok_and(|a| [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&a.status()));
            if let Ok(answer) = outcome {
                seen.answered = true;
                seen.retry_after = retry_after(answer.headers(), world::now());
                seen.date = text(answer.headers().get(header::DATE)).or(seen.date.take());
            }
            let after = seen.retry_after.map(|a| format!(", Retry-After {} s", a.as_secs())).unwrap_or_default();
            if seen.lines.len() == TRANSCRIPT {
                seen.lines.pop_front();
            }
            seen.lines.push_back(format!("{method} {} {what}{after}", uri.path()));
        });
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let me = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let answer = me.exchange(parts.method, &parts.uri.to_string(), body).await;
            answer.map(|a| BytesResponse::from(a.map(Full::new))).map_err(|trouble| instant_acme::Error::Other(Box::new(trouble)))
        })
    }
}

/// A URL that is worth a connection: `https://` and a host.
pub(super) fn usable(url: &str) -> Result<Uri, Trouble> {
    let wrong = |why: &str| Trouble::Directory { url: said(url), why: why.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("https"), _) => Err(wrong("it names no host")),
        _ => Err(wrong("it must begin with https://")),
    }
}

/// Host and port, as far as they are written.
fn host_of(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

fn unreachable(uri: &Uri, why: String) -> Trouble {
    Trouble::Unreachable {
        host: host_of(uri),
        why: said(&why),
        next: "check --acme-directory, this host's resolver and its way out to port 443".to_owned(),
    }
}

/// Every address of the host in turn: a black hole behind one of them must not hold up the others.
async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let all: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(|e| e.to_string())?.collect();
    let mut why = format!("{host} has no address");
    for addr in all {
        match timeout(CONNECT, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(e)) => why = format!("{addr}: {e}"),
            Err(_) => why = format!("{addr}: no answer within {} s", CONNECT.as_secs()),
        }
    }
    Err(why)
}

fn text(value: Option<&HeaderValue>) -> Option<String> {
    value.and_then(|v| v.to_str().ok()).map(ToOwned::to_owned)
}

/// The nonce that came with an answer.
pub(super) fn nonce(answer: &Response<Bytes>) -> Option<String> {
    text(answer.headers().get("replay-nonce"))
}

/// `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let value = text(headers.get(header::RETRY_AFTER))?;
    match value.trim().parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => clock::clock_off(&value, now).map(|off| Duration::from_secs(u64::try_from(-off).unwrap_or(0))),
    }
}

/// Status and beginning of an answer that is no JSON.
fn first_words(answer: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(answer.body().get(..200.min(answer.body().len())).unwrap_or_default()).into_owned();
    said(&format!("{} {body}", answer.status()))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !all.contains(&cause_text) {
            all = format!("{all}: {cause_text}");
        }
        next = cause.source();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_dialled() {
        assert!(usable("https://ca.example/dir").is_ok());
        for bad in ["http://ca.example/dir", "ca.example/dir", "file:///etc/passwd", "", "https://", "https:///x", "not a url"] {
            assert!(matches!(usable(bad), Err(Trouble::Directory { .. })), "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Moment(784_111_777);
        for (value, want) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now).map(|d| d.as_secs()), want, "{value}");
        }
    }
}
