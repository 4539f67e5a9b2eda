//! The answers to the CA's questions: our own listener on port 80 or 443, v4 and v6, that knows nothing but those of this
//! order and is gone afterwards; or a file where a web server that owns port 80 serves it.

use super::{
    bad_news::Trouble,
    tls_alpn::{self, Shown},
};
use crate::{
    facts::Known,
    intent::ChallengeType,
    name::DnsName,
    plan::{Challenge, Door},
    serve::{self, Served},
    world::{Failure, Hands as _, Look as _, Machine, Net, Placed, Store},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

const FOLDER: [&str; 2] = [".well-known", "acme-challenge"];
/// Nobody needs more than this at once; a CA asks from a handful of places.
const CONNECTIONS: usize = 64;
/// One question with its answer.
const CONVERSATION: Duration = Duration::from_secs(10);
/// The policy host reads its file again within this.
const RELOAD: Duration = Duration::from_secs(30);
/// No request head is larger than this, in bytes (hyper's least).
const HEAD: usize = 8192;

#[derive(Default)]
struct Known01 {
    answers: BTreeMap<String, String>,
    asked_by: Vec<IpAddr>,
}

impl Known01 {
    fn was_asked_by(&mut self, peer: IpAddr) {
        if !self.asked_by.contains(&peer) && self.asked_by.len() < CONNECTIONS {
            self.asked_by.push(peer);
        }
    }
}

/// What a listener of ours speaks.
#[derive(Clone)]
enum Speaks {
    Http,
    Tls(TlsAcceptor),
}

/// The answers of one errand; withdrawn when dropped.
pub(super) struct Answers {
    how: Challenge,
    port: u16,
    known: Arc<Mutex<Known01>>,
    shown: Arc<Shown>,
    placed: Vec<Placed>,
    handed: BTreeMap<DnsName, String>,
    listening: Vec<JoinHandle<()>>,
}

impl Answers {
    /// None yet, and nothing open.
    pub(super) fn new(how: Challenge, net: &Net) -> Self {
        let port = match how.kind() {
            ChallengeType::TlsAlpn01 => net.tls_port,
            ChallengeType::Dns01 => 53,
            ChallengeType::Http01 => net.http_port,
        };
        Self { how, port, known: Arc::default(), shown: Arc::default(), placed: Vec::new(), handed: BTreeMap::new(), listening: Vec::new() }
    }

    /// Which kind of question is answered.
    pub(super) const fn kind(&self) -> ChallengeType {
        self.how.kind()
    }

    /// Where the CA asks.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// From now on the question `token` about `name` is answered by `answer`, the key authorization (RFC 8555 §8.1).
    pub(super) fn add(&mut self, name: &str, token: &str, answer: &str) -> Result<(), Trouble> {
        // Base64url (RFC 8555 §8.3): what becomes a file name must be nothing else.
        let fine = !token.is_empty() && token.len() <= 256 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fine {
            return Err(Trouble::Broken { url: "a challenge".into(), says: "its token is not in base64url form".into() });
        }
        match &self.how {
            Challenge::Webroot(root) => {
                let wrong = |source| Trouble::Webroot { path: root.join(FOLDER[0]).join(FOLDER[1]), source };
                self.placed.push(Placed::new(root, &FOLDER, token, answer.as_bytes()).map_err(wrong)?);
            }
            Challenge::Listen => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).answers.insert(token.to_owned(), answer.to_owned());
                self.listen(&Speaks::Http)?;
            }
            Challenge::TlsAlpn => {
                self.shown.add(name, answer)?;
                let tls = tls_alpn::acceptor(self.shown.clone());
                self.listen(&Speaks::Tls(tls.map_err(|e| Trouble::Key { what: "TLS for the CA's question".into(), why: e.to_string() })?))?;
            }
            // Who answers was told of it before.
            Challenge::Dns | Challenge::PolicyHost(_) => {}
        }
        Ok(())
    }

    /// Whether somebody else answers by TLS, who has to be handed all answers at once.
    pub(super) const fn are_handed_over(&self) -> bool {
        matches!(self.how, Challenge::PolicyHost(_))
    }

    /// The policy host shows these from now on: names with their key authorizations.
    pub(super) async fn hand_over(&mut self, answers: &[(DnsName, String)]) -> Result<(), Trouble> {
        let Challenge::PolicyHost(door) = &self.how else { return Ok(()) };
        for (name, answer) in answers {
            self.handed.insert(name.clone(), tls_alpn::answer(name.as_str(), answer)?);
        }
        let handed = self.handed.clone();
        exchange(door, |served| served.answers.extend(handed)).map_err(|why| self.not_handed(&why))?;
        if door.reload.0.is_empty() {
            tokio::time::sleep(serve::NOTICED).await;
        }
        Ok(())
    }

    /// The policy host shows them no more.
    pub(super) fn take_back(&mut self) {
        let Challenge::PolicyHost(door) = &self.how else { return };
        let names = std::mem::take(&mut self.handed);
        // Whatever stays is worth nothing to anybody, and goes when the file is written next.
        let _ = exchange(door, |served| served.answers.retain(|name, _| !names.contains_key(name)));
    }

    fn not_handed(&self, why: &str) -> Trouble {
        let next = "see journalctl -u mxseal-policy.service, or use port 80 with --challenge http-01";
        Trouble::Listen { port: self.port, why: format!("the policy host has it, and could not be told: {why}"), next: next.to_owned() }
    }

    /// Who asked for an answer that we know; unknown where another server answers.
    pub(super) fn asked_by(&self) -> Known<Vec<IpAddr>> {
        match self.how {
            Challenge::Listen | Challenge::TlsAlpn => Known::seen(
                self.known.lock().unwrap_or_else(PoisonError::into_inner).asked_by.clone(),
                format!("our listener on port {}", self.port),
            ),
            Challenge::Webroot(_) => Known::unknown("a web server answers"),
            Challenge::Dns => Known::unknown("name servers answer"),
            Challenge::PolicyHost(_) => Known::unknown("the policy host answers"),
        }
    }

    /// Both families, each a socket of its own, so that whoever holds one of them is noticed.
    fn listen(&mut self, speaks: &Speaks) -> Result<(), Trouble> {
        if !self.listening.is_empty() {
            return Ok(());
        }
        let (v6, v4) = (open(Ipv6Addr::UNSPECIFIED.into(), self.port), open(Ipv4Addr::UNSPECIFIED.into(), self.port));
        let sockets = match (v6, v4) {
            (Ok(v6), Ok(v4)) => vec![v6, v4],
            (Err(e), Ok(v4)) if no_such_family(&e) => vec![v4],
            (Ok(v6), Err(e)) if no_such_family(&e) => vec![v6],
            (Err(e), _) | (_, Err(e)) => {
                let next = match (e.kind(), speaks) {
                    (io::ErrorKind::AddrInUse, Speaks::Http) => {
                        "another program answers there: give the directory that it serves with --webroot, or stop it for a moment"
                    }
                    (io::ErrorKind::AddrInUse, Speaks::Tls(_)) => {
                        "another program answers there: use port 80 with --challenge http-01, or stop it for a moment"
                    }
                    (io::ErrorKind::PermissionDenied, _) => "run this as root, or give a web server's directory with --webroot",
                    _ => "give a web server's directory with --webroot",
                };
                return Err(Trouble::Listen { port: self.port, why: e.to_string(), next: next.to_owned() });
            }
        };
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let start = |socket| tokio::spawn(serve(socket, speaks.clone(), self.known.clone(), room.clone()));
        self.listening = sockets.into_iter().map(start).collect();
        Ok(())
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for task in &self.listening {
            task.abort();
        }
        if !self.handed.is_empty() {
            self.take_back();
        }
    }
}

/// Changes what the policy host serves, as it is now, and lets it know.
fn exchange(door: &Door, what: impl FnOnce(&mut Served)) -> Result<(), String> {
    let there = || -> io::Result<Served> {
        let (bytes, _) = Machine.read(&door.file)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(serde_json::from_slice(&Zeroizing::new(bytes))?)
    };
    let wrong = |e: io::Error| format!("{}: {e}", door.file.display());
    let mut served = there().map_err(wrong)?;
    let before = served.clone();
    what(&mut served);
    if served == before {
        return Ok(());
    }
    let (Some(dir), Some(name)) = (door.file.parent(), door.file.file_name()) else { return Ok(()) };
    Store::at(dir).save(name, &served).map_err(wrong)?;
    if door.reload.0.is_empty() {
        return Ok(());
    }
    Machine.act(&door.reload, RELOAD, None).map_err(|e: Failure| e.to_string())
}

fn no_such_family(e: &io::Error) -> bool {
    e.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32) || e.kind() == io::ErrorKind::AddrNotAvailable
}

fn open(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    let addr = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

async fn serve(listener: TcpListener, speaks: Speaks, known: Arc<Mutex<Known01>>, room: Arc<Semaphore>) {
    let mut talks = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, mostly: others must end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while talks.try_join_next().is_some() {}
        let Ok(seat) = room.clone().try_acquire_owned() else { continue };
        let (speaks, known) = (speaks.clone(), known.clone());
        talks.spawn(async move {
            let _ = timeout(CONVERSATION, talk(stream, peer.ip(), speaks, &known)).await;
            drop(seat);
        });
    }
}

async fn talk(stream: TcpStream, peer: IpAddr, speaks: Speaks, known: &Mutex<Known01>) {
    match speaks {
        Speaks::Http => {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(known, peer, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(CONVERSATION).keep_alive(false).max_buf_size(HEAD);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
        // The handshake is the whole answer.
        Speaks::Tls(acceptor) => {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                known.lock().unwrap_or_else(PoisonError::into_inner).was_asked_by(peer);
                let _ = stream.shutdown().await;
            }
        }
    }
}

fn answer(known: &Mutex<Known01>, peer: IpAddr, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let token = path.strip_prefix("/.well-known/acme-challenge/").filter(|_| *method == Method::GET);
    let found = token.and_then(|t| known.answers.get(t)).cloned();
    let mut response = Response::new(Full::default());
    match found {
        Some(text) => {
            known.was_asked_by(peer);
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
            *response.body_mut() = Full::from(text);
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_tokens_are_answered() {
        let known = Mutex::new(Known01 { answers: BTreeMap::from([("tok".to_owned(), "tok.thumb".to_owned())]), asked_by: Vec::new() });
        let peer = IpAddr::from([192, 0, 2, 9]);
        for (method, path, want) in [
            (Method::GET, "/.well-known/acme-challenge/tok", 200),
            (Method::POST, "/.well-known/acme-challenge/tok", 404),
            (Method::GET, "/.well-known/acme-challenge/", 404),
            (Method::GET, "/.well-known/acme-challenge/tok/../tok", 404),
            (Method::GET, "/", 404),
        ] {
            assert_eq!(answer(&known, peer, &method, path).status().as_u16(), want, "{method} {path}");
        }
        assert_eq!(known.lock().expect("a lock").asked_by, [peer]);
    }

    #[test]
    fn a_token_is_no_path() {
        let dir = tempfile::tempdir().expect("a directory");
        for bad in ["../x", "a/b", "", ".", "a.b", "a b", "ä"] {
            let net = Net::of_this_host(None, &[] as &[&str], &[] as &[&str]).expect("a network");
            let mut answers = Answers::new(Challenge::Webroot(dir.path().to_owned()), &net);
            assert!(answers.add("a.example", bad, "x").is_err(), "{bad:?}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }
}
